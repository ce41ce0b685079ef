"""Which port has which address.

Theory of operation. ``ip_allocations`` has one row an address, unique by (network, sortable address): that key is
what decides a race for one address. Choosing a free one reads and then writes, so every transaction that takes
addresses of a network holds the guard ``network-addresses:<id>`` (free on SQLite, which has one writer). Each
subnet remembers where the last search ended (``next_key``); the search goes on there and wraps, so it normally
finds its address with one look-up in the primary key, however many are taken; a long run of taken addresses is
skipped by one anti-join inside the database.

An address is free the moment its port is deleted in the API. That the fabric may still hold it for a while is no
conflict: whoever gets it next waits in the engine until the former holder has let go (``held``, see ``kinds``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from stackling.network import rules
from stackling.network.errors import address_in_use
from stackling.network.rows import Record
from stackling.store.tables.network import ip_allocations, subnets
from stackling.store.transaction import Tx

_a = ip_allocations
_TAKEN = select(_a.c.ip).where(_a.c.network_id == bindparam("network"), _a.c.ip == bindparam("ip"))
_INSERT = insert(_a)
_RELEASE = delete(_a).where(_a.c.port_id.in_(bindparam("ports", expanding=True)))
_RELEASE_ONE = delete(_a).where(_a.c.network_id == bindparam("network"), _a.c.ip == bindparam("ip"))
_b = ip_allocations.alias("following_one")
_GAP = (
    select(_a.c.following)
    .select_from(_a.outerjoin(_b, and_(_b.c.network_id == _a.c.network_id, _b.c.ip == _a.c.following)))
    .where(_a.c.network_id == bindparam("network"), _a.c.ip >= bindparam("low"), _a.c.ip <= bindparam("high"),
           _b.c.ip.is_(None))
    .order_by(_a.c.ip).limit(1)
)
_SET_NEXT = update(subnets).where(subnets.c.id == bindparam("s")).values(next_key=bindparam("k"))
_COUNT = select(func.count()).select_from(_a).where(_a.c.subnet_id == bindparam("subnet"))


def key(value: str | int, version: int | None = None) -> str:
    """A text that sorts as addresses do, one range a version."""
    if isinstance(value, str):
        parsed = ipaddress.ip_address(value)
        version, value = parsed.version, int(parsed)
    return f"4{value:08x}" if version == 4 else f"6{value:032x}"


def of_key(text: str) -> str:
    """The address of a sortable text."""
    return rules.address(int(text[0]), int(text[1:], 16))


def guard(tx: Tx, network_id: str) -> None:
    """Be alone in choosing addresses and ranges of this network."""
    tx.guard(f"network-addresses:{network_id}")


def is_taken(tx: Tx, network_id: str, value: str) -> bool:
    """Whether a port has this address."""
    return tx.scalar(_TAKEN, network=network_id, ip=key(value)) is not None


def first_free(tx: Tx, subnet: Record) -> str | None:
    """A free address of the subnet's pools, or None. The caller holds the guard."""
    version: int = subnet["ip_version"]
    bounds = rules.pool_bounds(subnet["allocation_pools"])
    cursor = int(subnet["next_key"][1:], 16) if subnet["next_key"] else 0
    ahead = [(max(low, cursor), high) for low, high in bounds if high >= cursor]
    behind = [(low, min(high, cursor - 1)) for low, high in bounds if low < cursor]
    for low, high in [*ahead, *behind]:
        found = _free_between(tx, subnet["network_id"], version, low, high)
        if found is not None:
            subnet["next_key"] = key(found + 1, version) if found < 2 ** (32 if version == 4 else 128) - 1 else None
            tx.execute(_SET_NEXT, {"s": subnet["id"], "k": subnet["next_key"]})
            return rules.address(version, found)
    return None


def _free_between(tx: Tx, network_id: str, version: int, low: int, high: int) -> int | None:
    if tx.scalar(_TAKEN, network=network_id, ip=key(low, version)) is None:
        return low
    gap = tx.scalar(_GAP, network=network_id, low=key(low, version), high=key(high, version))
    if gap is None:
        return None
    number = int(gap[1:], 16)
    return number if number <= high else None


def take(tx: Tx, network_id: str, port_id: str, fixed_ips: Sequence[dict[str, str]]) -> None:
    """Note these addresses as the port's. The caller holds the guard and has checked that they are free."""
    if not fixed_ips:
        return
    rows: list[dict[str, Any]] = []
    for fixed in fixed_ips:
        parsed = ipaddress.ip_address(fixed["ip_address"])
        number = int(parsed)
        rows.append({"network_id": network_id, "ip": key(number, parsed.version),
                     "following": key(number + 1, parsed.version), "address": str(parsed),
                     "subnet_id": fixed["subnet_id"], "port_id": port_id})
    tx.execute(_INSERT, rows if len(rows) > 1 else rows[0])


def take_exact(tx: Tx, network_id: str, value: str) -> str:
    """Check that an address is free; gives its canonical text. Raises Neutron's IpAddressAlreadyAllocated (409)."""
    text = str(ipaddress.ip_address(value))
    if is_taken(tx, network_id, text):
        raise address_in_use(text, network_id)
    return text


def release(tx: Tx, port_ids: Sequence[str]) -> None:
    """Free all addresses of these ports."""
    if port_ids:
        tx.execute(_RELEASE, {"ports": list(port_ids)})


def release_addresses(tx: Tx, network_id: str, values: Sequence[str]) -> None:
    """Free these addresses."""
    for value in values:
        tx.execute(_RELEASE_ONE, {"network": network_id, "ip": key(value)})


def used_in(tx: Tx, subnet_id: str) -> int:
    """How many addresses of the subnet are taken."""
    return int(tx.scalar(_COUNT, subnet=subnet_id) or 0)
