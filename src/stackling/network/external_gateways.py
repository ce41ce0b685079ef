"""Several external gateways of one router (Neutron's ``external-gateway-multihoming``).

The first gateway is that of ``external_gateway_info``, in columns of its own; the others are in ``more_gateways``, each
``{"port_id", "network_id", "external_fixed_ips"}``. A gateway has no id in the API: it is named by its network, and
where the router has several there, by one of its addresses. What is named by none is refused with the reason and 400
(upstream's exceptions of that have no status, so it answers 500).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import ports, routers
from stackling.network.resources import PORTS, SUBNETS
from stackling.network.rows import Record
from stackling.store.transaction import Tx

MOST = 16
Info = Mapping[str, Any]


def add(tx: Tx, ctx: Context, record: Record, infos: Sequence[Info]) -> Record:
    """Give the router more gateways; its first one, where it has none. Raises ``Invalid``."""
    tx.guard(f"router:{record['id']}")
    return routers.save(tx, ctx, record, _added(tx, ctx, record, infos))


def remove(tx: Tx, ctx: Context, record: Record, infos: Sequence[Info]) -> Record:
    """Take gateways away; where the first one goes, the next takes its place. Raises ``Invalid``, and ``Conflict``
    for one that floating IPs need."""
    tx.guard(f"router:{record['id']}")
    if not infos:
        return record
    if not record["gateway_port_id"]:
        raise Invalid(f"Unable to remove extra gateways from a router {record['id']}: the router does not have any "
                      "external gateways", type="UnableToRemoveGateways")
    found, missing = _match(record, infos)
    if missing:
        names = ", ".join(info["network_id"] for info in missing)
        raise _unmatched(record, f"could not match gateway port IDs for gateway info with networks {names}")
    return routers.save(tx, ctx, record, _removed(tx, record, list(found)))


def update(tx: Tx, ctx: Context, record: Record, infos: Sequence[Info]) -> Record:
    """Let the router have these gateways, the first of them first, and no others. Raises as ``add`` and ``remove``."""
    tx.guard(f"router:{record['id']}")
    if not infos:
        return routers.save(tx, ctx, record, _removed(tx, record, [one["port_id"] for one in gateways(record)]))
    now = dict(record)
    found, _ = _match(now, infos[:1], strict=False)
    now.update(_first(now, next(iter(found), None)))
    now.update(routers.set_gateway(tx, ctx, now, infos[0], routers.interfaces(tx, record["id"])))
    found, missing = _match(now, infos[1:], strict=False)
    found.pop(now["gateway_port_id"], None)
    gone = [one["port_id"] for one in now["more_gateways"] if one["port_id"] not in found]
    now.update(_removed(tx, now, gone))
    now["more_gateways"] = [_with_addresses(tx, ctx, one, found[one["port_id"]]) for one in now["more_gateways"]]
    now.update(_added(tx, ctx, now, missing))
    return routers.save(tx, ctx, record, {name: now[name] for name in record})


def gateways(record: Record) -> list[Record]:
    """All of them, the first one first."""
    if not record["gateway_port_id"]:
        return []
    first = {"port_id": record["gateway_port_id"], "network_id": record["gateway_network_id"],
             "external_fixed_ips": record["external_fixed_ips"]}
    return [first, *record["more_gateways"]]


# -- how

def _added(tx: Tx, ctx: Context, record: Record, infos: Sequence[Info]) -> Record:
    """The columns that change."""
    now, rest = dict(record), list(infos)
    if len(gateways(record)) + len(rest) > MOST:
        raise Invalid(f"Unable to add extra gateways to a router {record['id']}: it can have {MOST} of them",
                      type="UnableToAddExtraGateways")
    legs = routers.interfaces(tx, record["id"])
    if rest and not now["gateway_port_id"]:
        now.update(routers.set_gateway(tx, ctx, now, rest.pop(0), legs))
    for info in rest:
        network, subnets = routers.outside(tx, ctx, info)
        if network["id"] not in [one["network_id"] for one in gateways(now)]:
            routers.check_gateway_overlap(tx, legs, subnets)
            _check_others(tx, now, subnets)
        port = routers.gateway_port(tx, ctx, now, network, subnets, info.get("external_fixed_ips"))
        now["more_gateways"] = [*now["more_gateways"], {
            "port_id": port["id"], "network_id": network["id"], "external_fixed_ips": port["fixed_ips"]}]
    return {name: value for name, value in now.items() if value != record[name]}


def _check_others(tx: Tx, record: Record, subnets: Sequence[Record]) -> None:
    """Subnets of two external networks must not overlap."""
    for network_id in {one["network_id"] for one in gateways(record)}:
        others = SUBNETS.where(tx, network_id=network_id)
        routers.check_overlap(subnets, [subnet["cidr"] for subnet in others], "another external network of the router")


def _removed(tx: Tx, record: Record, port_ids: Sequence[str]) -> Record:
    """The columns that change when these gateways go."""
    now = dict(record)
    for one in record["more_gateways"]:
        if one["port_id"] in port_ids:
            now["more_gateways"] = [other for other in now["more_gateways"] if other is not one]
            routers.drop_gateway(tx, {**record, "more_gateways": now["more_gateways"]}, one)
    if now["gateway_port_id"] in port_ids:
        now.update(routers.clear_gateway(tx, now))
    return {name: value for name, value in now.items() if value != record[name]}


def _first(record: Record, port_id: str | None) -> Record:
    """The columns when the gateway of *port_id* becomes the first one."""
    chosen = next((one for one in record["more_gateways"] if one["port_id"] == port_id), None)
    if chosen is None:
        return {}
    before = gateways(record)[0]
    return {"gateway_port_id": chosen["port_id"], "gateway_network_id": chosen["network_id"],
            "external_fixed_ips": chosen["external_fixed_ips"],
            "more_gateways": [before, *(one for one in record["more_gateways"] if one is not chosen)]}


def _with_addresses(tx: Tx, ctx: Context, gateway: Record, info: Info) -> Record:
    wanted, port = info.get("external_fixed_ips"), PORTS.get(tx, gateway["port_id"])
    if not wanted or port is None:
        return gateway
    subnets = SUBNETS.where(tx, network_id=gateway["network_id"])
    return {**gateway, "external_fixed_ips": ports.update(tx, ctx, port, {"fixed_ips": wanted}, subnets=subnets)[
        "fixed_ips"]}


def _match(record: Record, infos: Sequence[Info], *, strict: bool = True) -> tuple[dict[str, Info], list[Info]]:
    """Which gateway (by its port) each of *infos* means, and those that mean none. *strict*: an address that no
    gateway in the network has is refused. Raises ``Invalid``."""
    found: dict[str, Info] = {}
    missing: list[Info] = []
    for info in infos:
        there = [one for one in gateways(record) if one["network_id"] == info["network_id"]]
        addresses = {fixed["ip_address"] for fixed in info.get("external_fixed_ips") or () if "ip_address" in fixed}
        if not there:
            missing.append(info)
        elif not info.get("external_fixed_ips"):
            if len(there) > 1:
                raise _unmatched(record, "multiple gateway ports are attached to the same network "
                                 f"{info['network_id']} but external_fixed_ips parameter is not specified in the "
                                 "request")
            found[there[0]["port_id"]] = info
        else:
            match = next((one for one in there if addresses & {
                fixed["ip_address"] for fixed in one["external_fixed_ips"]}), None)
            if match is not None:
                found[match["port_id"]] = info
            elif strict:
                raise _unmatched(record, f"could not match a gateway port attached to network {info['network_id']} "
                                 f"based on the specified fixed IPs {info['external_fixed_ips']}")
            else:
                missing.append(info)
    return found, missing


def _unmatched(record: Record, reason: str) -> Invalid:
    return Invalid("Unable to match a requested gateway port to existing gateway ports for router "
                   f"{record['id']}: {reason}", type="UnableToMatchGateways")
