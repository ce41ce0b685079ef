"""Hosts: registering machines, what they have, who is up, claiming and releasing room.

Theory of operation. Choosing a host and claiming its room happen in the same transaction as the server's insertion.
The choice reads; the claim is an UPDATE whose condition repeats the capacity rule, so that of two transactions that
chose the same last room one changes no row, chooses again, and in the end explains itself. The same UPDATE raises the
host's generation, which is the version of the document that its agent asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, bindparam, false, func, insert, or_, select, update
from sqlalchemy.engine import Row

from stackling.compute import rows
from stackling.compute.model import Host, Need
from stackling.compute.scheduler import best, explain, lack
from stackling.core.errors import NotFound
from stackling.core.ids import new_id
from stackling.ports.document import Inventory
from stackling.store.tables.fleet import hosts, machines
from stackling.store.transaction import Tx

UP_WITHIN = 60.0
"""Seconds since its machine's last report after which a host counts as down."""
CANDIDATES = 64

_JOINED = hosts.outerjoin(machines, machines.c.id == hosts.c.machine_id)
_UP = and_(hosts.c.forced_down == false(), hosts.c.fenced == false(), hosts.c.suspect == false(),
           machines.c.last_seen >= bindparam("seen"))
_HOST = select(
    hosts.c.id, hosts.c.name, hosts.c.availability_zone, hosts.c.vcpus, hosts.c.memory_mib, hosts.c.disk_gib,
    hosts.c.vcpus_used, hosts.c.memory_mib_used, hosts.c.disk_gib_used, hosts.c.cpu_ratio, hosts.c.memory_ratio,
    hosts.c.disk_ratio, hosts.c.disabled, hosts.c.fenced, hosts.c.servers, hosts.c.forced_down, hosts.c.storage,
    hosts.c.suspect, hosts.c.vcpus_reserved, hosts.c.memory_mib_reserved, hosts.c.disk_gib_reserved,
    machines.c.last_seen,
).select_from(_JOINED)
_ROOM = (
    hosts.c.memory_mib_free >= bindparam("memory"),
    (hosts.c.vcpus - hosts.c.vcpus_reserved) * hosts.c.cpu_ratio - hosts.c.vcpus_used >= bindparam("cpus"),
    (hosts.c.disk_gib - hosts.c.disk_gib_reserved) * hosts.c.disk_ratio - hosts.c.disk_gib_used >= bindparam("disk"),
)
_CANDIDATES = _HOST.where(
    *_ROOM, hosts.c.disabled == false(), hosts.c.fenced == false(), _UP,
    or_(bindparam("any_zone") == 1,
        hosts.c.availability_zone == bindparam("zone")),
    or_(bindparam("any_storage") == 1, hosts.c.storage == bindparam("storage")),
    or_(bindparam("any_host") == 1, hosts.c.name == bindparam("host")),
).order_by(hosts.c.memory_mib_free.desc()).limit(bindparam("most"))
_CANDIDATES_ONLY = _CANDIDATES.where(hosts.c.id.in_(bindparam("only", expanding=True)))
_CANDIDATES_AVOID = _CANDIDATES.where(hosts.c.id.not_in(bindparam("avoid", expanding=True)))
_ALL = _HOST.order_by(hosts.c.name)
_CLAIM_VALUES: dict[str, Any] = {
    "vcpus_used": hosts.c.vcpus_used + bindparam("cpus"),
    "memory_mib_used": hosts.c.memory_mib_used + bindparam("memory"),
    "memory_mib_free": hosts.c.memory_mib_free - bindparam("memory"),
    "disk_gib_used": hosts.c.disk_gib_used + bindparam("disk"),
    "servers": hosts.c.servers + bindparam("count"),
    "generation": hosts.c.generation + 1,
}
_CLAIM = update(hosts).where(
    hosts.c.id == bindparam("id_"), *_ROOM, hosts.c.disabled == false(), hosts.c.fenced == false(),
).values(_CLAIM_VALUES)
_CHANGE = update(hosts).where(hosts.c.id == bindparam("id_")).values(_CLAIM_VALUES)
_BUMP = update(hosts).where(hosts.c.id == bindparam("id_")).values(generation=hosts.c.generation + 1)
_GENERATION = select(hosts.c.generation).where(hosts.c.id == bindparam("id_"))


def _host(row: Row[Any], seen: float) -> Host:
    return Host(row.id, row.name, row.availability_zone, row.vcpus - row.vcpus_reserved,
                row.memory_mib - row.memory_mib_reserved, row.disk_gib - row.disk_gib_reserved, row.vcpus_used,
                row.memory_mib_used, row.disk_gib_used, row.cpu_ratio, row.memory_ratio, row.disk_ratio,
                bool(row.disabled), bool(row.fenced),
                is_up(rows.mapping(row), seen + UP_WITHIN), row.servers, row.storage)


def candidates(tx: Tx, need: Need, most: int = CANDIDATES) -> list[Host]:
    """Hosts that can take *need*, those with the most free memory first; at most *most*."""
    seen = tx.time - UP_WITHIN
    values: dict[str, Any] = {
        "memory": need.memory_mib, "cpus": need.vcpus, "disk": need.disk_gib, "seen": seen, "most": most,
        "any_zone": int(need.availability_zone is None), "zone": need.availability_zone,
        "any_host": int(need.host is None), "host": need.host,
        "any_storage": int(need.storage is None), "storage": need.storage}
    statement, avoid = _CANDIDATES, need.avoid | need.unfit
    if need.only is not None:
        statement, values["only"] = _CANDIDATES_ONLY, sorted(need.only - avoid)
    elif avoid:
        statement, values["avoid"] = _CANDIDATES_AVOID, sorted(avoid)
    return [_host(row, seen) for row in tx.all(statement, **values)]


def place(tx: Tx, need: Need) -> Host | None:
    """Choose a host and claim its room in this transaction; None when none can take it (``why_not`` says why)."""
    for _ in range(8):
        host = best(_considered(tx, need), need)
        if host is None:
            return None
        if tx.changed(_CLAIM, id_=host.id, cpus=need.vcpus, memory=need.memory_mib, disk=need.disk_gib, count=1):
            return host
    return None


def place_beyond(tx: Tx, need: Need) -> Host | None:
    """The same for what only needs somebody to see to it: counted on the host that it gets, whether there is room or
    not."""
    host = best(candidates(tx, replace(need, vcpus=0, memory_mib=0, disk_gib=0)))
    if host is not None:
        take(tx, host.id, need.vcpus, need.memory_mib, need.disk_gib)
    return host


def _considered(tx: Tx, need: Need) -> list[Host]:
    """The candidates; those that a soft group is drawn to are among them, however many are emptier."""
    found = candidates(tx, need)
    if not need.near or need.apart or len(found) < CANDIDATES:
        return found
    near = frozenset(host for host, _ in need.near)
    more = candidates(tx, replace(need, only=near if need.only is None else near & need.only))
    return [*found, *(host for host in more if host.id not in {one.id for one in found})]


def force(tx: Tx, need: Need) -> Host | None:
    """Claim on the host that an administrator named, whether it has room or not; None when it doesn't exist."""
    row = tx.one(_HOST.where(hosts.c.name == need.host))
    if row is None:
        return None
    take(tx, row.id, need.vcpus, need.memory_mib, need.disk_gib)
    return _host(row, tx.time - UP_WITHIN)


def get(tx: Tx, id: str) -> Host:
    """The host with that id, as the scheduler sees it."""
    row = tx.one(_HOST.where(hosts.c.id == id))
    if row is None:
        raise NotFound(f"Compute host {id} could not be found.")
    return _host(row, tx.time - UP_WITHIN)


def neighbours(tx: Tx, id: str) -> frozenset[str]:
    """The hosts that the same machine holds (*id* among them)."""
    held = select(hosts.c.machine_id).where(hosts.c.id == id).scalar_subquery()
    return frozenset({id, *(str(row.id) for row in tx.all(select(hosts.c.id).where(hosts.c.machine_id == held)))})


def exists(tx: Tx, name: str) -> bool:
    """Whether a host is called so."""
    return tx.one(_HOST.where(hosts.c.name == name)) is not None


def why_not(tx: Tx, need: Need) -> tuple[str, list[dict[str, str]]]:
    """The explanation of a refusal: a summary without names, and the reason by host for administrators."""
    seen = tx.time - UP_WITHIN
    text, refusals = explain([_host(row, seen) for row in tx.all(_ALL)], need)
    return text, [{"host": refusal.host, "reason": refusal.reason} for refusal in refusals]


def take(tx: Tx, host_id: str, vcpus: int, memory_mib: int, disk_gib: int) -> None:
    """Count a server's share as used, unconditionally."""
    tx.changed(_CHANGE, id_=host_id, cpus=vcpus, memory=memory_mib, disk=disk_gib, count=1)


def release(tx: Tx, host_id: str, vcpus: int, memory_mib: int, disk_gib: int) -> None:
    """Give a server's share back."""
    tx.changed(_CHANGE, id_=host_id, cpus=-vcpus, memory=-memory_mib, disk=-disk_gib, count=-1)


def grow(tx: Tx, host_id: str, vcpus: int, memory_mib: int, disk_gib: int) -> bool:
    """Claim more for a server that is there; False when the host has no room."""
    return bool(tx.changed(_CLAIM, id_=host_id, cpus=vcpus, memory=memory_mib, disk=disk_gib, count=0))


def shrink(tx: Tx, host_id: str, vcpus: int, memory_mib: int, disk_gib: int) -> None:
    """Give a part of a server's share back."""
    tx.changed(_CHANGE, id_=host_id, cpus=-vcpus, memory=-memory_mib, disk=-disk_gib, count=0)


def lack_on(tx: Tx, host_id: str, vcpus: int, memory_mib: int, disk_gib: int) -> str | None:
    """What that host lacks, as in "lacks 512 MiB of memory"; None when there is room."""
    row = tx.one(_HOST.where(hosts.c.id == host_id))
    return None if row is None else lack(_host(row, tx.time - UP_WITHIN), Need(vcpus, memory_mib, disk_gib))


def bump(tx: Tx, host_id: str) -> int:
    """Raise the host's generation (one of its servers changes) and give the new one."""
    tx.changed(_BUMP, id_=host_id)
    return int(tx.scalar(_GENERATION, id_=host_id))


def generation(tx: Tx, host_id: str) -> int:
    """The host's generation."""
    return int(tx.scalar(_GENERATION, id_=host_id))


# -- registering and reporting

def register_machine(tx: Tx, name: str, credential_hash: str, host_name: str | None = None, *,
                     availability_zone: str = "nova", cpu_ratio: float = 16.0, memory_ratio: float = 1.0,
                     disk_ratio: float = 1.0) -> tuple[str, str]:
    """Make the machine *name* and the host that it holds known; (machine id, host id). Idempotent.

    *credential_hash* is the SHA-256, in hex, of what its agent sends; a new one replaces the old. *host_name* is the
    machine's by default. A host that another machine holds keeps its lease.
    """
    host_name = host_name or name
    row = tx.one(select(machines.c.id).where(machines.c.name == name))
    if row is None:
        machine_id = new_id()
        tx.execute(insert(machines), {"id": machine_id, "name": name, "credential_hash": credential_hash,
                                      "created_at": tx.now})
    else:
        machine_id = str(row.id)
        tx.execute(update(machines).where(machines.c.id == machine_id).values(credential_hash=credential_hash))
    found = tx.one(select(hosts.c.id, hosts.c.machine_id).where(hosts.c.name == host_name))
    if found is not None:
        if found.machine_id is None:
            tx.execute(update(hosts).where(hosts.c.id == found.id).values(
                machine_id=machine_id, lease_epoch=hosts.c.lease_epoch + 1, report_sequence=0))
        return machine_id, str(found.id)
    tx.guard("hosts.number")
    host_id, number = new_id(), int(tx.scalar(select(func.max(hosts.c.number))) or 0) + 1
    tx.execute(insert(hosts), {
        "id": host_id, "number": number, "name": host_name, "machine_id": machine_id, "lease_epoch": 1, "generation": 1,
        "cpu_ratio": cpu_ratio, "memory_ratio": memory_ratio, "disk_ratio": disk_ratio,
        "availability_zone": availability_zone, "created_at": tx.now})
    tx.event(None, "host", host_id, "register", f"machine {name} holds host {host_name}", source="fleet")
    return machine_id, host_id


def set_inventory(tx: Tx, host: Mapping[str, Any], inventory: Inventory) -> None:
    """What the agent reports of *host*, a row; writes only when it differs."""
    values: dict[str, Any] = {
        "vcpus": inventory.vcpus, "memory_mib": inventory.memory_mib, "disk_gib": inventory.disk_gib,
        "hypervisor_type": inventory.hypervisor_type, "hypervisor_version": inventory.hypervisor_version,
        "cpu_info": inventory.cpu_info, "storage": inventory.storage}
    if all(host[key] == value for key, value in values.items()):
        return
    tx.execute(update(hosts).where(hosts.c.id == host["id"]).values(
        **values, updated_at=tx.now,
        memory_mib_free=int((inventory.memory_mib - host["memory_mib_reserved"]) * host["memory_ratio"])
        - hosts.c.memory_mib_used))


# -- showing

_FULL = select(hosts, machines.c.last_seen, machines.c.facts, machines.c.address, machines.c.name.label("machine_name"),
               ).select_from(_JOINED)
_LIST = _FULL.order_by(hosts.c.number)


def is_up(host: Mapping[str, Any], now: float) -> bool:
    """Whether the host's machine reported within ``UP_WITHIN``, nobody misses it, and nobody forced it down."""
    missed = host["fenced"] or host["suspect"]
    return not host["forced_down"] and not missed and (host["last_seen"] or 0.0) >= now - UP_WITHIN


def talks(host: Mapping[str, Any], now: float) -> bool:
    """Whether its machine reported within ``UP_WITHIN``, whatever was said of it."""
    return (host["last_seen"] or 0.0) >= now - UP_WITHIN


def list_hosts(tx: Tx) -> list[Mapping[str, Any]]:
    """Every host with its machine's facts, in the order of registration."""
    return [rows.mapping(row) for row in tx.all(_LIST)]


def get_host(tx: Tx, ref: str) -> Mapping[str, Any]:
    """By id, number or name; raises ``NotFound``."""
    condition = or_(hosts.c.id == ref, hosts.c.name == ref)
    if ref.isdecimal() and len(ref) < 10:
        condition = or_(condition, hosts.c.number == int(ref))
    row = tx.one(_FULL.where(condition))
    if row is None:
        raise NotFound(f"Compute host {ref} could not be found.")
    return rows.mapping(row)


def update_host(tx: Tx, host_id: str, **values: Any) -> None:
    """Enable, disable, force down: *values* are columns."""
    tx.execute(update(hosts).where(hosts.c.id == host_id).values(**values, updated_at=tx.now))


def host_states(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """``host_status`` of the servers on those hosts: UP, UNKNOWN, DOWN (forced) or MAINTENANCE (disabled)."""
    if not ids:
        return {}
    seen = tx.time - UP_WITHIN
    return {row.id: _host_status(row, seen) for row in tx.all(_STATES, ids=sorted(set(ids)))}


_STATES = select(hosts.c.id, hosts.c.disabled, hosts.c.forced_down, hosts.c.fenced, hosts.c.suspect,
                 machines.c.last_seen).select_from(_JOINED).where(
    hosts.c.id.in_(bindparam("ids", expanding=True)))


def _host_status(row: Row[Any], seen: float) -> str:
    if row.forced_down or row.fenced:
        return "DOWN"
    if row.disabled:
        return "MAINTENANCE"
    return "UP" if (row.last_seen or 0.0) >= seen and not row.suspect else "UNKNOWN"
