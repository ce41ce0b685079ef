"""Port forwardings of floating IPs: use-cases, one transaction each.

A floating IP either points at one port or forwards ports of its own to several. Its router is the first forwarding's;
all others must be reached by the same one. Whoever changes what a floating IP does holds ``floating-ip:<id>``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.network import rules
from stackling.network.errors import bad_request, conflict, not_found
from stackling.network.resources import FLOATING_IPS, PORT_FORWARDINGS, PORTS
from stackling.network.routes import router_for
from stackling.network.rows import Record, desired, many, moved, standard, touch
from stackling.network.timeline import announce
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_w, _f = tables.port_forwardings, tables.floating_ips
_OF_FLOATING = select(_w).where(_w.c.floating_ip_id.in_(bindparam("ids", expanding=True)),
                                _w.c.deleting.is_(False)).order_by(_w.c.created_at, _w.c.id)
_OF_PORT = select(_w).where(_w.c.internal_port_id == bindparam("port"), _w.c.deleting.is_(False))
_BOUND = select(_f.c.id, _f.c.floating_ip_address).where(
    _f.c.port_id == bindparam("port"), _f.c.fixed_ip_address == bindparam("address"), _f.c.deleting.is_(False))
_RESOURCE = "port_forwarding"
PROTOCOLS = ("tcp", "udp", "sctp")


def of_floating_ips(tx: Tx, ids: Sequence[str]) -> dict[str, list[Record]]:
    """The forwardings of each floating IP, in one query."""
    found: dict[str, list[Record]] = {id: [] for id in ids}
    for start in range(0, len(ids), 500):
        for one in many(tx, _OF_FLOATING, ids=list(ids[start:start + 500])):
            found[one["floating_ip_id"]].append(one)
    return found


def guard(tx: Tx, floating_id: str) -> None:
    """Be alone in changing where the floating IP leads."""
    tx.guard(f"floating-ip:{floating_id}")


def find(tx: Tx, floating: Record, id: str) -> Record:
    """One of the floating IP's forwardings; raises PortForwardingNotFound."""
    record = None if "\0" in id else PORT_FORWARDINGS.get(tx, id)
    if record is None or record["floating_ip_id"] != floating["id"]:
        raise not_found("port_forwarding", id.replace("\0", ""))
    return record


def create(tx: Tx, ctx: Context, floating: Record, spec: Mapping[str, Any]) -> Record:
    """Forward ports of the floating IP."""
    guard(tx, floating["id"])
    if floating["port_id"]:
        raise conflict("FloatingIPPortAlreadyAssociated", "Cannot associate floating IP "
                       f"{floating['floating_ip_address']} ({floating['id']}) with port {spec['internal_port_id']}, as "
                       f"that floating IP is associated with port {floating['port_id']}.")
    ends = _ends(spec, None)
    target = _target(tx, ctx, floating, spec["internal_port_id"], spec.get("internal_ip_address"))
    record: Record = {
        **standard(tx, spec["id"], floating["project_id"], spec), **desired(), "floating_ip_id": floating["id"],
        "floating_ip_address": floating["floating_ip_address"], "protocol": spec["protocol"], **ends, **target}
    _check_collision(tx, record)
    PORT_FORWARDINGS.insert(tx, [record])
    if floating["router_id"] != record["router_id"]:
        _lead(tx, floating, record["router_id"])
    announce(tx, ctx, "port_forwarding", record, "create", f"of {floating['floating_ip_address']}")
    tx.nudge("port_forwarding", record["id"])
    return record


def _ends(spec: Mapping[str, Any], former: Record | None) -> Record:
    """First and last port of both sides: as many inside as outside, or one inside for all."""
    values: Record = {}
    for side in ("external", "internal"):
        one, several = spec.get(f"{side}_port"), spec.get(f"{side}_port_range")
        if one is not None and several is not None and several != (one, one):
            raise bad_request(_RESOURCE, f"{side}_port and {side}_port_range can't be given together")
        low, high = several if several is not None else (one, one)
        if low is None:
            if former is None:
                raise bad_request(_RESOURCE, f"{side}_port or {side}_port_range must be specified")
            low, high = former[f"{side}_low"], former[f"{side}_high"]
        values |= {f"{side}_low": low, f"{side}_high": high}
    inside = values["internal_high"] - values["internal_low"]
    if inside and inside != values["external_high"] - values["external_low"]:
        raise bad_request(_RESOURCE, "the internal port range must have the size of the external one, or be one port")
    return values


def _target(tx: Tx, ctx: Context, floating: Record, port_id: str, address: str | None) -> Record:
    port = PORTS.locked(tx, port_id)
    if port is None or not (ctx.is_admin or port["project_id"] == ctx.project_id):
        raise not_found("port", port_id)
    fixed = [one for one in port["fixed_ips"] if ":" not in one["ip_address"]
             and (address is None or one["ip_address"] == address)]
    if not fixed:
        raise bad_request(_RESOURCE, f"The requested internal IP address {address} is not associated with the port "
                          f"{port_id}" if address else f"Port {port_id} has no fixed IPv4 address")
    bound = tx.one(_BOUND, port=port_id, address=fixed[0]["ip_address"])
    if bound is not None:
        raise conflict("PortHasBindingFloatingIP", "Cannot create port forwarding to floating IP "
                       f"{floating['floating_ip_address']} ({floating['id']}) with port {port_id} using fixed IP "
                       f"{fixed[0]['ip_address']}, as that port already has a binding floating IP.")
    router_id = router_for(tx, fixed[0]["subnet_id"], floating["floating_network_id"])
    if router_id is not None:
        tx.guard(f"router:{router_id}")
        router_id = router_for(tx, fixed[0]["subnet_id"], floating["floating_network_id"])
    if router_id is None or floating["router_id"] not in (None, router_id):
        raise bad_request(_RESOURCE, f"Floating IP {floating['id']} and port {port_id} are not connected by one router")
    return {"internal_port_id": port_id, "internal_ip_address": fixed[0]["ip_address"], "router_id": router_id}


def _check_collision(tx: Tx, record: Record) -> None:
    others = of_floating_ips(tx, [record["floating_ip_id"]])[record["floating_ip_id"]]
    inside = many(tx, _OF_PORT, port=record["internal_port_id"])
    clash: dict[str, Any] = {}
    for other in (one for one in others if _also(one, record) and _overlap(one, record, "external")):
        clash = {"floatingip_id": record["floating_ip_id"], "external_port": other["external_low"]}
    for other in (one for one in inside if _also(one, record) and _overlap(one, record, "internal")
                  and one["internal_ip_address"] == record["internal_ip_address"]):
        clash = {"internal_port_id": record["internal_port_id"], "internal_port": other["internal_low"]}
    if clash:
        raise bad_request(_RESOURCE, "A duplicate port forwarding entry with same attributes already exists, "
                          f"conflicting values are {clash}")


def _also(one: Record, record: Record) -> bool:
    return one["id"] != record["id"] and one["protocol"] == record["protocol"]


def _overlap(one: Record, other: Record, side: str) -> bool:
    return one[f"{side}_low"] <= other[f"{side}_high"] and other[f"{side}_low"] <= one[f"{side}_high"]


def update(tx: Tx, ctx: Context, floating: Record, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a forwarding."""
    guard(tx, floating["id"])
    values: Record = {name: changes[name] for name in ("protocol", "description") if name in changes}
    values |= _ends(changes, record)
    if {"internal_port_id", "internal_ip_address"} & changes.keys():
        port_id = changes.get("internal_port_id") or record["internal_port_id"]
        address = changes.get("internal_ip_address")
        if address is None and port_id == record["internal_port_id"]:
            address = record["internal_ip_address"]
        values |= _target(tx, ctx, floating, port_id, address)
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values:
        return record
    follow = values.keys() != {"description"}
    changed: Record = {**values, **touch(tx, record), **(moved(record) if follow else {})}
    _check_collision(tx, {**record, **changed})
    PORT_FORWARDINGS.update(tx, record["id"], changed)
    if follow:
        tx.nudge("port_forwarding", record["id"])
    announce(tx, ctx, "port_forwarding", record, "update", ", ".join(sorted(values)))
    return {**record, **changed}


def delete(tx: Tx, ctx: Context | None, record: Record) -> None:
    """Forward no longer; with its last forwarding a floating IP leaves its router."""
    guard(tx, record["floating_ip_id"])
    PORT_FORWARDINGS.update(tx, record["id"], {**moved(record), "deleting": True})
    announce(tx, ctx, "port_forwarding", record, "delete")
    tx.nudge("port_forwarding", record["id"])
    if not of_floating_ips(tx, [record["floating_ip_id"]])[record["floating_ip_id"]]:
        floating = FLOATING_IPS.get(tx, record["floating_ip_id"])
        if floating is not None and not floating["port_id"]:
            _lead(tx, floating, None)


def _lead(tx: Tx, floating: Record, router_id: str | None) -> None:
    new: Record = {**floating, "router_id": router_id, **touch(tx, floating)}
    new["status"] = rules.floating_ip_status(new)
    FLOATING_IPS.update(tx, floating["id"], {key: new[key] for key in new if new[key] != floating[key]})


def port_gone(tx: Tx, port_id: str, addresses: Sequence[str] | None = None) -> None:
    """The port goes, or loses these addresses: what is forwarded there goes with it."""
    for record in many(tx, _OF_PORT, port=port_id):
        if addresses is None or record["internal_ip_address"] in addresses:
            delete(tx, None, record)


def check_free(tx: Tx, floating: Record) -> None:
    """A floating IP that forwards ports can't be associated; raises FipInUseByPortForwarding."""
    guard(tx, floating["id"])
    if of_floating_ips(tx, [floating["id"]])[floating["id"]]:
        raise conflict("FipInUseByPortForwarding", f"Floating IP {floating['id']} in use by Port Forwarding resources.")


def check_target(tx: Tx, floating: Record, port_id: str, address: str) -> None:
    """An address that ports are forwarded to gets no floating IP of its own; raises PortHasPortForwarding."""
    if any(one["internal_ip_address"] == address for one in many(tx, _OF_PORT, port=port_id)):
        raise conflict("PortHasPortForwarding", f"Cannot associate floating IP {floating['floating_ip_address']} "
                       f"({floating['id']}) with port {port_id} using fixed IP {address}, as that port already has a "
                       "Port Forwarding binding.")


def used_subnet(tx: Tx, router_id: str, cidrs: Mapping[str, str]) -> str | None:
    """The first of the subnets (id → CIDR) to which the router forwards ports."""
    for record in PORT_FORWARDINGS.where(tx, router_id=router_id):
        inside = ipaddress.ip_address(record["internal_ip_address"])
        for id, cidr in cidrs.items():
            if inside in ipaddress.ip_network(cidr):
                return id
    return None
