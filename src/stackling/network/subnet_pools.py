"""Subnet pools: ranges from which subnets get their CIDR."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import access, address_scopes, quotas, rules
from stackling.network.errors import bad_request, conflict, not_found, over_quota
from stackling.network.resources import ADDRESS_SCOPES, SUBNET_POOLS, SUBNETS
from stackling.network.rows import Record, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.store.tables.network import subnet_pools, subnets
from stackling.store.transaction import Tx

_p = subnet_pools
_DEFAULT = select(_p.c.id).where(_p.c.is_default.is_(True), _p.c.ip_version == bindparam("version"))
_TAKEN = select(subnets.c.cidr, subnets.c.project_id).where(subnets.c.subnetpool_id == bindparam("pool"))
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def default_id(tx: Tx, version: int) -> str | None:
    """The default pool of that IP version."""
    return tx.scalar(_DEFAULT, version=version)


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make subnet pools, all or none."""
    records: list[Record] = []
    for spec in specs:
        quotas.reserve(tx, spec["project_id"], "subnetpool")
        prefixes, version = _prefixes(spec["prefixes"])
        low, high = (8, 32) if version == 4 else (64, 128)
        record: Record = {
            **standard(tx, spec["id"], spec["project_id"], spec), "name": spec["name"], "ip_version": version,
            "prefixes": prefixes, "min_prefixlen": spec.get("min_prefixlen", low),
            "max_prefixlen": spec.get("max_prefixlen", high), "default_quota": spec.get("default_quota"),
            "is_default": spec.get("is_default", False), "address_scope_id": spec.get("address_scope_id"),
        }
        record["default_prefixlen"] = spec.get("default_prefixlen", record["min_prefixlen"])
        _check(record)
        _check_default(tx, record)
        _check_scope(tx, ctx, record)
        SUBNET_POOLS.insert(tx, [record])
        if spec.get("shared"):
            access.grant(tx, "subnetpool", record)
        store_tags(tx, record["id"], record["tags"], fresh=True)
        announce(tx, ctx, "subnetpool", record, "create")
        records.append(record)
    return records


def _prefixes(given: Sequence[str]) -> tuple[list[str], int]:
    if not given:
        raise Invalid("Empty subnet pool prefix list.", type="EmptySubnetPoolPrefixList")
    parsed = [ipaddress.ip_network(one, strict=False) for one in given]
    versions = {one.version for one in parsed}
    if len(versions) > 1:
        raise Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", type="PrefixVersionMismatch")
    four = ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv6Network))
    return [*map(str, four), *map(str, six)], versions.pop()


def _check(record: Record) -> None:
    most = 32 if record["ip_version"] == 4 else 128
    low, high, usual = record["min_prefixlen"], record["max_prefixlen"], record["default_prefixlen"]
    for name, value in (("min", low), ("max", high), ("default", usual)):
        if not 0 <= value <= most:
            raise Invalid(f"Illegal prefix bounds: {name}_prefixlen={value}, base_prefixlen={most}.",
                          type="IllegalSubnetPoolPrefixBounds")
    pairs = (("min", low, "max", high), ("min", low, "default", usual), ("default", usual, "max", high))
    for one, a, other, b in pairs:
        if a > b:
            raise Invalid(f"Illegal prefix bounds: {one}_prefixlen={a}, {other}_prefixlen={b}.",
                          type="IllegalSubnetPoolPrefixBounds")


def _check_default(tx: Tx, record: Record) -> None:
    if record["is_default"]:
        tx.guard("default-subnet-pool")
        other = default_id(tx, record["ip_version"])
        if other is not None and other != record["id"]:
            raise Invalid("A default subnetpool for this IP family has already been set. Only one default may exist "
                          "per IP family.", type="InvalidInput")


def _check_scope(tx: Tx, ctx: Context, record: Record) -> None:
    """A pool's address scope is one that the caller may use, of its IP version, and no other pool there has any of its
    prefixes."""
    scope_id: str | None = record["address_scope_id"]
    if scope_id is None:
        return
    tx.guard(f"address-scope:{scope_id}")
    scope = address_scopes.find(tx, ctx, scope_id)
    if scope["ip_version"] != record["ip_version"]:
        raise Invalid(f"Illegal subnetpool association: subnetpool {record['id']} cannot associate with address scope "
                      f"{scope_id} because subnetpool ip_version is not {scope['ip_version']}.",
                      type="IllegalSubnetPoolIpVersionAssociationToAddressScope")
    taken = [prefix for other in SUBNET_POOLS.where(tx, address_scope_id=scope_id) if other["id"] != record["id"]
             for prefix in other["prefixes"]]
    if any(rules.overlaps(taken, prefix) for prefix in record["prefixes"]):
        raise conflict("AddressScopePrefixConflict", "Failed to associate address scope: subnetpools within an address "
                       "scope must have unique prefixes.")


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a pool; prefixes may be added, not taken away. In somebody else's address scope it is an administrator's
    to change."""
    tx.guard(f"subnet-pool:{record['id']}")
    scope = ADDRESS_SCOPES.get(tx, record["address_scope_id"]) if record["address_scope_id"] else None
    if scope is not None and not ctx.is_admin and scope["project_id"] != ctx.project_id:
        raise Invalid(f"Illegal subnetpool update : subnetpool {record['id']} cannot be updated when associated with "
                      "shared address scope.", type="IllegalSubnetPoolUpdate")
    values = dict(changes)
    if "prefixes" in values:
        values["prefixes"], version = _prefixes(values["prefixes"])
        if version != record["ip_version"]:
            raise Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", type="PrefixVersionMismatch")
        new = [ipaddress.ip_network(one) for one in values["prefixes"]]
        for old in map(ipaddress.ip_network, record["prefixes"]):
            if not any(old.subnet_of(one) for one in new):      # type: ignore[arg-type]
                raise Invalid("Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.",
                              type="IllegalSubnetPoolPrefixUpdate")
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values:
        return record
    new_record = {**record, **values, **touch(tx, record)}
    _check(new_record)
    _check_default(tx, new_record)
    if {"address_scope_id", "prefixes"} & values.keys():
        _check_scope(tx, ctx, new_record)
    SUBNET_POOLS.update(tx, record["id"], {**values, **touch(tx, record)})
    announce(tx, ctx, "subnetpool", record, "update")
    return new_record


def add_prefixes(tx: Tx, ctx: Context, record: Record, prefixes: Sequence[str]) -> Record:
    """Add to what the pool has."""
    return update(tx, ctx, record, {"prefixes": [*record["prefixes"], *prefixes]}) if prefixes else record


def remove_prefixes(tx: Tx, ctx: Context, record: Record, prefixes: Sequence[str]) -> Record:
    """Take ranges away of which nothing is allocated; what the pool doesn't have is no error."""
    tx.guard(f"subnet-pool:{record['id']}")
    taken = [row.cidr for row in tx.all(_TAKEN, pool=record["id"])]
    if any(rules.overlaps(taken, prefix) for prefix in prefixes):
        raise Invalid("Illegal update to prefixes: One or more removed prefixes are already allocated.",
                      type="IllegalSubnetPoolPrefixUpdate")
    left = list(record["prefixes"])
    for prefix in prefixes:
        left = [part for one in left for part in _without(one, prefix)]
    if not left:
        raise Invalid("Empty subnet pool prefix list.", type="EmptySubnetPoolPrefixList")
    new, _ = _prefixes(left)
    if new == record["prefixes"]:
        return record
    changed: Record = {"prefixes": new, **touch(tx, record)}
    SUBNET_POOLS.update(tx, record["id"], changed)
    announce(tx, ctx, "subnetpool", record, "update", "prefixes")
    return {**record, **changed}


def _without(prefix: str, gone: str) -> list[str]:
    """What is left of *prefix* when *gone* is taken out of it."""
    mine, other = ipaddress.ip_network(prefix), ipaddress.ip_network(gone)
    if mine.version != other.version or not mine.overlaps(other):    # type: ignore[arg-type]
        return [prefix]
    if mine.subnet_of(other):    # type: ignore[arg-type]
        return []
    return [str(one) for one in mine.address_exclude(other)]    # type: ignore[arg-type]


def onboard(tx: Tx, ctx: Context, record: Record, network: Record) -> list[dict[str, str]]:
    """Take the subnets of a network, of the pool's IP version, into the pool with their ranges."""
    tx.guard(f"subnet-pool:{record['id']}")
    found = [one for one in SUBNETS.where(tx, network_id=network["id"]) if one["ip_version"] == record["ip_version"]]
    taken = [row.cidr for row in tx.all(_TAKEN, pool=record["id"])]
    for subnet in found:
        if rules.overlaps(taken, subnet["cidr"]):
            raise Invalid(f"Illegal subnetpool update : Onboarding subnet {subnet['id']}: {subnet['cidr']} conflicts "
                          f"with allocated prefixes in subnet pool {record['id']}.", type="IllegalSubnetPoolUpdate")
    add_prefixes(tx, ctx, record, [subnet["cidr"] for subnet in found])
    for subnet in found:
        SUBNETS.update(tx, subnet["id"], {"subnetpool_id": record["id"], **touch(tx, subnet)})
        announce(tx, ctx, "subnet", subnet, "update", "subnetpool_id")
    return [{"id": subnet["id"], "cidr": subnet["cidr"]} for subnet in found]


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a pool that no subnet uses."""
    tx.guard(f"subnet-pool:{record['id']}")
    if tx.one(_TAKEN, pool=record["id"]) is not None:
        raise conflict("SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations.")
    forget_tags(tx, record)
    access.forget(tx, "subnetpool", record["id"])
    SUBNET_POOLS.delete(tx, record["id"])
    announce(tx, ctx, "subnetpool", record, "delete")


def allocate(tx: Tx, ctx: Context, pool_id: str, version: int | None, cidr: str | None, prefixlen: int | None,
             project_id: str) -> str:
    """A CIDR of the pool: exactly *cidr*, or the first free one of *prefixlen* (default: the pool's)."""
    pool = SUBNET_POOLS.get(tx, pool_id)
    if pool is None or not access.usable(tx, ctx, "subnetpool", pool):
        raise not_found("subnetpool", pool_id)
    if version is not None and version != pool["ip_version"]:
        raise bad_request("subnets", "Cannot allocate requested subnet from the available set of prefixes")
    tx.guard(f"subnet-pool:{pool_id}")
    wanted = ipaddress.ip_network(cidr, strict=False) if cidr is not None else None
    length = wanted.prefixlen if wanted else prefixlen if prefixlen is not None else pool["default_prefixlen"]
    if length < pool["min_prefixlen"]:
        raise Invalid(f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is "
                      f"{pool['min_prefixlen']}.", type="MinPrefixSubnetAllocationError")
    if length > pool["max_prefixlen"]:
        raise Invalid(f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is "
                      f"{pool['max_prefixlen']}.", type="MaxPrefixSubnetAllocationError")
    rows = tx.all(_TAKEN, pool=pool_id)
    _check_quota(pool, rows, length, project_id)
    taken = sorted((ipaddress.ip_network(row.cidr) for row in rows), key=lambda one: int(one.network_address))
    found = _exact(pool, taken, wanted) if wanted is not None else _first(pool, taken, length)
    if found is None:
        reason = (f"Insufficient prefix space to allocate subnet size /{length}" if wanted is None
                  else "Cannot allocate requested subnet from the available set of prefixes")
        raise conflict("SubnetAllocationError", f"Failed to allocate subnet: {reason}.")
    return str(found)


def _check_quota(pool: Record, rows: Sequence[Any], length: int, project_id: str) -> None:
    quota = pool["default_quota"]
    if not quota:
        return
    width = 32 if pool["ip_version"] == 4 else 64           # an IPv6 quota counts /64s

    def units(prefix: int) -> int:
        return 2 ** max(0, width - prefix)

    used = sum(units(int(row.cidr.split("/")[1])) for row in rows if row.project_id == project_id)
    if used + units(length) > quota:
        raise over_quota(["subnetpool"])


def _exact(pool: Record, taken: Sequence[Network], wanted: Network) -> Network | None:
    inside = any(wanted.subnet_of(ipaddress.ip_network(one)) for one in pool["prefixes"])   # type: ignore[arg-type]
    return wanted if inside and not any(wanted.overlaps(one) for one in taken) else None    # type: ignore[arg-type]


def _first(pool: Record, taken: Sequence[Network], length: int) -> Network | None:
    """First fit: walk the taken ranges in order, step over each."""
    for prefix in map(ipaddress.ip_network, pool["prefixes"]):
        if length < prefix.prefixlen:
            continue
        size = 2 ** (prefix.max_prefixlen - length)
        at, end = int(prefix.network_address), int(prefix.broadcast_address)
        for one in taken:
            low, high = int(one.network_address), int(one.broadcast_address)
            if high < at or low > end:
                continue
            if low >= at + size:
                break
            at = -(-(high + 1) // size) * size
        if at + size - 1 <= end:
            return ipaddress.ip_network((at, length))
    return None
