"""Floating IPs: use-cases, one transaction each.

The address is a port's in the external network (``network:floatingip``), so that nobody else can have it. The
router is found: the one that has an interface in the fixed address's subnet and its gateway in the external network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy import update as update_row

from stackling.core.context import Context
from stackling.core.errors import NotFound
from stackling.core.ids import new_id
from stackling.network import (
    addresses,
    balanced,
    floating_release,
    networks,
    port_forwardings,
    ports,
    qos,
    quotas,
    rules,
)
from stackling.network.errors import bad_request, conflict, not_found
from stackling.network.resources import FLOATING_IPS, NETWORKS, PORTS, SUBNETS
from stackling.network.routes import router_for
from stackling.network.rows import Record, desired, moved, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_p, _f = tables.ports, tables.floating_ips
_PIN = update_row(_p).where(_p.c.id == bindparam("port"), _p.c.deleting.is_(False)).values(pins=_p.c.pins + 1)
_ON_ADDRESS = select(_f.c.id, _f.c.floating_ip_address).where(
    _f.c.port_id == bindparam("port"), _f.c.fixed_ip_address == bindparam("fixed"),
    _f.c.floating_network_id == bindparam("external"), _f.c.deleting.is_(False))


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Allocate floating IPs, and associate those that name a port."""
    for project_id in {spec["project_id"] for spec in specs}:
        quotas.reserve(tx, project_id, "floatingip", sum(spec["project_id"] == project_id for spec in specs))
    return [_create(tx, ctx, spec) for spec in specs]


def _create(tx: Tx, ctx: Context, spec: Mapping[str, Any]) -> Record:
    addresses.guard(tx, spec["floating_network_id"])
    network = networks.find(tx, ctx, spec["floating_network_id"])
    if not network["external"]:
        raise bad_request("floatingip", f"Network {network['id']} is not a valid external network")
    subnets = SUBNETS.where(tx, network_id=network["id"])
    if not any(subnet["ip_version"] == 4 for subnet in subnets):
        raise bad_request("floatingip", f"Network {network['id']} does not contain any IPv4 subnet")
    wanted: dict[str, str] = {}
    if spec.get("subnet_id"):
        if spec["subnet_id"] not in [subnet["id"] for subnet in subnets]:
            raise not_found("subnet", spec["subnet_id"])
        wanted["subnet_id"] = spec["subnet_id"]
    if spec.get("floating_ip_address"):
        wanted["ip_address"] = spec["floating_ip_address"]
    port_spec: Record = {"id": new_id(), "project_id": "", "device_id": spec["id"],
                         "device_owner": rules.Owner.FLOATING_IP, "security_groups": [], "fixed_ips": [wanted]}
    if not wanted:
        del port_spec["fixed_ips"]
    only_v4 = [subnet for subnet in subnets if subnet["ip_version"] == 4]
    port = ports.make(tx, ctx, network, only_v4, port_spec, PortRole.FLOATING)
    record: Record = {
        **standard(tx, spec["id"], spec["project_id"], spec), **desired(), "floating_network_id": network["id"],
        "floating_ip_address": port["fixed_ips"][0]["ip_address"], "floating_port_id": port["id"],
        "floating_mac": port["mac_address"], "port_id": None, "fixed_ip_address": None, "router_id": None,
        "status": "DOWN", "dns_name": spec.get("dns_name", ""), "dns_domain": spec.get("dns_domain", ""),
        "qos_policy_id": spec.get("qos_policy_id"), "qos_network_policy_id": network["qos_policy_id"],
        "auto_server_id": spec.get("auto_server_id"), "held": None, "settled": True, "observed_generation": 1,
    }
    qos.check_binding(tx, ctx, record["qos_policy_id"])
    if spec.get("port_id"):
        record.update(_target(tx, ctx, record, spec["port_id"], spec.get("fixed_ip_address")))
        record.update(settled=False, held=_holding(record), observed_generation=0)
        tx.nudge("floating_ip", record["id"])
    elif spec.get("fixed_ip_address"):
        raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
    FLOATING_IPS.insert(tx, [record])
    store_tags(tx, record["id"], record["tags"], fresh=True)
    announce(tx, ctx, "floating_ip", record, "create", record["floating_ip_address"])
    _nudge_server(tx, record["port_id"])
    return record


def _holding(record: Record) -> list[Any]:
    return [record["floating_ip_address"], record["port_id"], record["fixed_ip_address"]]


def _target(tx: Tx, ctx: Context, record: Record, port_id: str, fixed: str | None) -> Record:
    """The columns of an association; every reason against it is an error."""
    port = PORTS.get(tx, port_id)
    if port is None or not (ctx.is_admin or ctx.project_id in (port["project_id"], _owner(tx, port["network_id"]))):
        raise not_found("port", port_id)
    if tx.dialect != "sqlite" and not tx.changed(_PIN, port=port_id):    # who deletes it meanwhile, meets us here
        raise not_found("port", port_id)
    if port["project_id"] != record["project_id"] and not ctx.is_admin:
        raise bad_request("floatingip", f"Cannot process floating IP association with Port {port_id}, since that port "
                          "is owned by a different tenant")
    candidates = [one for one in port["fixed_ips"] if ":" not in one["ip_address"]]
    if fixed is not None:
        chosen = [one for one in port["fixed_ips"] if one["ip_address"] == fixed]
        if not chosen:
            raise bad_request("floatingip", f"Port {port_id} does not have fixed ip {fixed}")
        if ":" in fixed:
            raise bad_request("floatingip", f"Cannot process floating IP association with {fixed}, since that is not "
                              "an IPv4 address")
    elif not candidates:
        raise bad_request("floatingip", f"Cannot add floating IP to port {port_id} that has no fixed IPv4 addresses")
    elif len(candidates) > 1:
        raise bad_request("floatingip", f"Port {port_id} has multiple fixed IPv4 addresses.  Must provide a specific "
                          "IPv4 address when assigning a floating IP")
    else:
        chosen = candidates
    router_id = router_for(tx, chosen[0]["subnet_id"], record["floating_network_id"])
    if router_id is not None and tx.dialect != "sqlite":
        tx.guard(f"router:{router_id}")
        router_id = router_for(tx, chosen[0]["subnet_id"], record["floating_network_id"])
    if router_id is None:
        raise NotFound(f"External network {record['floating_network_id']} is not reachable from subnet "
                       f"{chosen[0]['subnet_id']}.  Therefore, cannot associate Port {port_id} with a Floating IP.",
                       type="ExternalGatewayForFloatingIPNotFound")
    address = chosen[0]["ip_address"]
    other = tx.one(_ON_ADDRESS, port=port_id, fixed=address, external=record["floating_network_id"])
    if other is not None and other.id != record["id"]:
        raise conflict("FloatingIPPortAlreadyAssociated", "Cannot associate floating IP "
                       f"{record['floating_ip_address']} ({record['id']}) with port {port_id} using fixed IP "
                       f"{address}, as that fixed IP already has a floating IP on external network "
                       f"{record['floating_network_id']}.")
    port_forwardings.check_target(tx, record, port_id, address)
    return {"port_id": port_id, "fixed_ip_address": address, "router_id": router_id}


def _owner(tx: Tx, network_id: str) -> str | None:
    network = NETWORKS.get(tx, network_id)
    return network["project_id"] if network is not None else None


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change the description; associate, move or disassociate. To change nothing is to disassociate (a floating IP
    once had nothing else that could be changed, and upstream kept that)."""
    changes = changes or {"port_id": None}
    values: Record = {name: changes[name] for name in ("description", "qos_policy_id") if name in changes}
    if "qos_policy_id" in values:
        qos.check_binding(tx, ctx, values["qos_policy_id"], record["qos_policy_id"])
    if "port_id" in changes and changes["port_id"] is None:
        if changes.get("fixed_ip_address"):
            raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
        if record["port_id"]:
            values.update(port_id=None, fixed_ip_address=None, router_id=None)
    elif "port_id" in changes or changes.get("fixed_ip_address"):
        port_id = changes.get("port_id") or record["port_id"]
        if port_id is None:
            raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
        fixed = changes.get("fixed_ip_address")
        if fixed is None and port_id == record["port_id"]:
            fixed = record["fixed_ip_address"]
        port_forwardings.check_free(tx, record)
        values.update(_target(tx, ctx, record, port_id, fixed))
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values:
        return record
    new: Record = {**record, **values, **touch(tx, record)}
    if {"port_id", "fixed_ip_address", "router_id"} & values.keys():
        new.update(moved(record))
        new["held"] = [*(record["held"] or ()), *(_holding(new) if new["port_id"] else ())]
        tx.nudge("floating_ip", record["id"])
        _nudge_server(tx, record["port_id"])
        _nudge_server(tx, new["port_id"])
    elif "qos_policy_id" in values and record["port_id"]:
        new.update(moved(record))
        tx.nudge("floating_ip", record["id"])
    new["status"] = rules.floating_ip_status(new)
    FLOATING_IPS.update(tx, record["id"], {key: new[key] for key in new if new[key] != record[key]})
    announce(tx, ctx, "floating_ip", record, "update", ", ".join(sorted(values)))
    return new


def _nudge_server(tx: Tx, port_id: str | None) -> None:
    port = PORTS.any(tx, port_id) if port_id else None
    if port is not None:
        ports.nudge_server(tx, port["server_id"])
        if port["role"] == PortRole.LOAD_BALANCER:
            balanced.nudge(tx, port["device_id"])


def delete(tx: Tx, ctx: Context | None, record: Record) -> None:
    """Give the address back. It is free at once; the fabric lets go before anybody else's use is realised. Raises
    FipInUseByPortForwarding."""
    addresses.guard(tx, record["floating_network_id"])
    port_forwardings.check_free(tx, record)
    port = PORTS.get(tx, record["floating_port_id"])
    _nudge_server(tx, record["port_id"])
    forget_tags(tx, record)
    announce(tx, ctx, "floating_ip", record, "delete", record["floating_ip_address"])
    if record["held"] is None:                  # never associated: the fabric knows nothing of it
        addresses.release(tx, [record["floating_port_id"]])
        PORTS.delete(tx, record["floating_port_id"])
        FLOATING_IPS.delete(tx, record["id"])
        tx.forget("floating_ip", record["id"], record["generation"])
        return
    if port is not None:
        ports.drop_leg(tx, port)
    FLOATING_IPS.update(tx, record["id"], {**moved(record), "deleting": True, "port_id": None, "fixed_ip_address": None,
                                           "router_id": None})
    tx.nudge("floating_ip", record["id"])


def delete_network(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a network, an external one with the floating IPs that point at nothing (Neutron does so too)."""
    if record["external"]:
        for floating in FLOATING_IPS.where(tx, floating_network_id=record["id"]):
            if floating["port_id"] is None:
                delete(tx, ctx, floating)
    networks.delete_network(tx, ctx, record)


def external_networks(tx: Tx) -> list[Record]:
    """All external networks."""
    return NETWORKS.where(tx, external=True)


def disassociate(tx: Tx, ctx: Context, record: Record) -> Record:
    """Point it at nothing."""
    _nudge_server(tx, record["port_id"])
    announce(tx, ctx, "floating_ip", record, "disassociate")
    return floating_release.disassociate(tx, record)

