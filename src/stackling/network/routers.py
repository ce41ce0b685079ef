"""Routers, their gateways, interfaces and extra routes: use-cases, one transaction each."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.network import addresses, balanced, flavors, networks, port_forwardings, ports, qos, quotas, rules
from stackling.network.errors import bad_request, conflict, not_found
from stackling.network.resources import FLOATING_IPS, NETWORKS, PORTS, ROUTERS, SUBNETS
from stackling.network.rows import Record, desired, many, moved, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

MOST_ROUTES = 30
_p, _f = tables.ports, tables.floating_ips
_LEGS = select(_p).where(_p.c.device_id == bindparam("router"), _p.c.role == PortRole.ROUTER,
                         _p.c.deleting.is_(False)).order_by(_p.c.created_at, _p.c.id)
_FLOATING = select(_f).where(_f.c.router_id == bindparam("router"), _f.c.deleting.is_(False))


_DEFAULT_ROUTES = ("enable_default_route_ecmp", "enable_default_route_bfd")


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make routers, with their gateways, all or none."""
    for project_id in {spec["project_id"] for spec in specs}:
        quotas.reserve(tx, project_id, "router", sum(spec["project_id"] == project_id for spec in specs))
    records: list[Record] = []
    for spec in specs:
        if spec.get("flavor_id"):
            flavors.check_for_router(tx, spec["flavor_id"])
        record: Record = {
            **standard(tx, spec["id"], spec["project_id"], spec), **desired(), "name": spec.get("name", ""),
            "admin_state_up": spec.get("admin_state_up", True), "status": "ACTIVE", "gateway_network_id": None,
            "gateway_port_id": None, "enable_snat": True, "external_fixed_ips": [], "routes": [],
            "availability_zone_hints": spec.get("availability_zone_hints", []),
            "distributed": bool(spec.get("distributed", False)), "ha": spec.get("ha") is not False,
            "flavor_id": spec.get("flavor_id"), "gateway_qos_policy_id": None, "revision_number": 1,
            "more_gateways": [], **{name: bool(spec.get(name, False)) for name in _DEFAULT_ROUTES},
        }
        if spec.get("external_gateway_info"):
            record.update(set_gateway(tx, ctx, record, spec["external_gateway_info"], legs=[]))
        ROUTERS.insert(tx, [record])
        store_tags(tx, record["id"], record["tags"], fresh=True)
        announce(tx, ctx, "router", record, "create")
        tx.nudge("router", record["id"])
        records.append(record)
    return records


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a router: its gateway and routes too."""
    tx.guard(f"router:{record['id']}")
    values = {name: changes[name] for name in ("name", "description", "admin_state_up", "distributed", "ha",
                                               *_DEFAULT_ROUTES)
              if name in changes and changes[name] is not None}
    if "external_gateway_info" in changes:
        info = changes["external_gateway_info"]
        legs = interfaces(tx, record["id"])
        values.update(set_gateway(tx, ctx, record, info, legs) if info else clear_gateway(tx, record))
    if "routes" in changes:
        values["routes"] = _routes(tx, {**record, **values}, changes["routes"] or [])
    return save(tx, ctx, record, values)


def save(tx: Tx, ctx: Context, record: Record, values: Mapping[str, Any], *, always: bool = False) -> Record:
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values and not always:
        return record
    changed: Record = {**values, **touch(tx, record), **moved(record)}
    ROUTERS.update(tx, record["id"], changed)
    tx.nudge("router", record["id"])
    if "more_gateways" in values:           # floating IPs say through which of several gateways they are reached
        for floating in many(tx, _FLOATING, router=record["id"]):
            FLOATING_IPS.update(tx, floating["id"], moved(floating))
            tx.nudge("floating_ip", floating["id"])
    balanced.router_moved(tx, record["id"])
    announce(tx, ctx, "router", record, "update", ", ".join(sorted(values)))
    return {**record, **changed}


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a router without interfaces; its gateway goes with it."""
    tx.guard(f"router:{record['id']}")
    if interfaces(tx, record["id"]):
        raise conflict("RouterInUse", f"Router {record['id']} still has ports")
    record = {**record, "routes": []}       # they go with it, and keep no gateway
    while record["gateway_port_id"]:
        record = {**record, **clear_gateway(tx, record)}
    forget_tags(tx, record)
    ROUTERS.update(tx, record["id"], {**moved(record), "deleting": True, "gateway_port_id": None,
                                      "gateway_network_id": None, "more_gateways": []})
    announce(tx, ctx, "router", record, "delete")
    tx.nudge("router", record["id"])


def interfaces(tx: Tx, router_id: str) -> list[Record]:
    """The router's legs in tenant networks."""
    return [leg for leg in legs_of(tx, router_id) if leg["device_owner"] != rules.Owner.ROUTER_GATEWAY]


def legs_of(tx: Tx, router_id: str) -> list[Record]:
    """All ports of the router, its gateway's too."""
    return many(tx, _LEGS, router=router_id)


# -- gateway

def set_gateway(tx: Tx, ctx: Context, record: Record, info: Mapping[str, Any], legs: Sequence[Record]) -> Record:
    """Set or change the gateway; the columns that change."""
    network, subnets = outside(tx, ctx, info)
    values: Record = {"enable_snat": info.get("enable_snat", True)}
    if "qos_policy_id" in info:
        qos.check_binding(tx, ctx, info["qos_policy_id"], record["gateway_qos_policy_id"])
        values["gateway_qos_policy_id"] = info["qos_policy_id"]
    wanted: list[dict[str, Any]] | None = info.get("external_fixed_ips") or None
    if record["gateway_network_id"] == network["id"]:
        port = PORTS.get(tx, record["gateway_port_id"])
        if port is not None and wanted is not None:
            port = ports.update(tx, ctx, port, {"fixed_ips": wanted}, subnets=subnets)
            values["external_fixed_ips"] = port["fixed_ips"]
        return values
    check_gateway_overlap(tx, legs, subnets)
    if record["gateway_port_id"]:
        drop_gateway(tx, record, {"port_id": record["gateway_port_id"], "network_id": record["gateway_network_id"]})
    port = gateway_port(tx, ctx, record, network, subnets, wanted)
    return {**values, "gateway_network_id": network["id"], "gateway_port_id": port["id"],
            "external_fixed_ips": port["fixed_ips"]}


def outside(tx: Tx, ctx: Context, info: Mapping[str, Any]) -> tuple[Record, list[Record]]:
    """The external network of a gateway and its subnets. Raises ``NotFound`` and ``Invalid``."""
    network = NETWORKS.get(tx, info["network_id"])
    if network is None or not networks.usable_by(tx, ctx, network):
        raise not_found("network", info["network_id"])
    if not network["external"]:
        raise bad_request("router", f"Network {network['id']} is not an external network")
    addresses.guard(tx, network["id"])
    subnets = SUBNETS.where(tx, network_id=network["id"])
    for one in info.get("external_fixed_ips") or ():
        if "subnet_id" in one and one["subnet_id"] not in [subnet["id"] for subnet in subnets]:
            raise bad_request("router", f"Subnet {one['subnet_id']} is not part of network {network['id']}")
    return network, subnets


def gateway_port(tx: Tx, ctx: Context, record: Record, network: Record, subnets: Sequence[Record],
                 fixed_ips: Sequence[Mapping[str, Any]] | None) -> Record:
    """A new port of the router in an external network."""
    spec: Record = {"id": new_id(), "project_id": "", "device_id": record["id"],
                    "device_owner": rules.Owner.ROUTER_GATEWAY, "security_groups": []}
    if fixed_ips:
        spec["fixed_ips"] = list(fixed_ips)
    return ports.make(tx, ctx, network, subnets, spec, PortRole.ROUTER)


def check_gateway_overlap(tx: Tx, legs: Sequence[Record], subnets: Sequence[Record]) -> None:
    """Raises ``Invalid`` where a subnet of an external network overlaps with one of an interface."""
    check_overlap(subnets, [subnet["cidr"] for subnet in _subnets_of(tx, legs)], "an interface of the router")


def check_overlap(subnets: Sequence[Record], cidrs: Sequence[str], whose: str) -> None:
    """Raises ``Invalid`` where one of *subnets* overlaps with one of *cidrs*."""
    for subnet in subnets:
        other = rules.overlaps(cidrs, subnet["cidr"])
        if other is not None:
            raise bad_request("router", f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr {other} of "
                              f"{whose}")


def clear_gateway(tx: Tx, record: Record) -> Record:
    """Take the (first) gateway away; the next one takes its place. The columns that change. Raises ``Conflict``."""
    if not record["gateway_port_id"]:
        return {}
    drop_gateway(tx, record, {"port_id": record["gateway_port_id"], "network_id": record["gateway_network_id"]})
    first, *rest = record["more_gateways"] or [None]
    if first is None:
        return {"gateway_network_id": None, "gateway_port_id": None, "external_fixed_ips": [], "enable_snat": True,
                "gateway_qos_policy_id": None}
    return {"gateway_network_id": first["network_id"], "gateway_port_id": first["port_id"],
            "external_fixed_ips": first["external_fixed_ips"], "gateway_qos_policy_id": None, "more_gateways": rest}


def drop_gateway(tx: Tx, record: Record, gateway: Record) -> None:
    """Let a gateway's port go. Raises ``Conflict`` when floating IPs or routes need it."""
    network_id = gateway["network_id"]
    left = [record["gateway_network_id"]] if gateway["port_id"] != record["gateway_port_id"] else []
    left += [one["network_id"] for one in record["more_gateways"] if one["port_id"] != gateway["port_id"]]
    if network_id not in left and any(
            one["floating_network_id"] == network_id for one in many(tx, _FLOATING, router=record["id"])):
        raise conflict("RouterExternalGatewayInUseByFloatingIp", "Gateway cannot be updated for router "
                       f"{record['id']}, since a gateway to external network {network_id} is "
                       "required by one or more floating IPs.")
    port = PORTS.get(tx, gateway["port_id"])
    if port is not None:
        if record["routes"]:
            _keep_routes(tx, record, [port["id"]])
        ports.drop_leg(tx, port)


# -- interfaces

def add_interface(tx: Tx, ctx: Context, record: Record, body: Mapping[str, Any]) -> Record:
    """Connect the router to a subnet or to a port's subnets; Neutron's answer body."""
    port_id, subnet_id = body.get("port_id"), body.get("subnet_id")
    if port_id and subnet_id:
        raise bad_request("router", "Cannot specify both subnet-id and port-id")
    if not port_id and not subnet_id:
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    tx.guard(f"router:{record['id']}")
    port = _add_port(tx, ctx, record, port_id) if port_id else _add_subnet(tx, ctx, record, str(subnet_id))
    save(tx, ctx, record, {}, always=True)
    ids = [fixed["subnet_id"] for fixed in port["fixed_ips"]]
    return _interface_info(record, port, ids)


def _interface_info(record: Record, port: Record, subnet_ids: list[str]) -> Record:
    return {"id": record["id"], "tenant_id": port["project_id"], "project_id": port["project_id"],
            "port_id": port["id"], "network_id": port["network_id"],
            "subnet_id": subnet_ids[-1] if subnet_ids else None, "subnet_ids": subnet_ids, "tags": []}


def _add_port(tx: Tx, ctx: Context, record: Record, port_id: str) -> Record:
    port = PORTS.get(tx, port_id)
    if port is None or not (ctx.is_admin or port["project_id"] == ctx.project_id):
        raise not_found("port", port_id)
    if port["device_id"] or port["role"] != PortRole.INTERFACE:
        raise conflict("PortInUse", f"Unable to complete operation on port {port_id} for network {port['network_id']}. "
                       f"Port already has an attached device {port['device_id']}.")
    if not port["fixed_ips"]:
        raise bad_request("router", "Router port must have at least one fixed IP")
    subnets = {subnet["id"]: subnet for subnet in SUBNETS.several(tx, [f["subnet_id"] for f in port["fixed_ips"]])}
    used = [subnets[fixed["subnet_id"]] for fixed in port["fixed_ips"]]
    if sum(subnet["ip_version"] == 4 for subnet in used) > 1:
        raise bad_request("router", "Cannot have multiple IPv4 subnets on router port")
    _check_new_subnets(tx, record, used)
    changed: Record = {
        **touch(tx, port), **moved(port), "role": PortRole.ROUTER, "device_id": record["id"], "up": False,
        "device_owner": rules.Owner.ROUTER_INTERFACE, "security_groups": [], "port_security_enabled": False,
    }
    new: Record = {**port, **changed}
    new["status"] = rules.port_status(new)
    PORTS.update(tx, port_id, {**changed, "status": new["status"]})
    tx.execute(ports.DROP_GROUPS, {"port": port_id})
    tx.nudge("port", port_id)
    return new


def _add_subnet(tx: Tx, ctx: Context, record: Record, subnet_id: str) -> Record:
    subnet = SUBNETS.get(tx, subnet_id)
    network = NETWORKS.get(tx, subnet["network_id"]) if subnet is not None else None
    if subnet is None or network is None or not networks.usable_by(tx, ctx, network):
        raise not_found("subnet", subnet_id)
    if subnet["gateway_ip"] is None:
        raise bad_request("router", "Subnet for router interface must have a gateway IP")
    if subnet["ip_version"] == 6 and subnet["ipv6_ra_mode"] is None and subnet["ipv6_address_mode"] is not None:
        raise bad_request("router", f"IPv6 subnet {subnet_id} configured to receive RAs from an external router cannot "
                          "be added to Neutron Router")
    _check_new_subnets(tx, record, [subnet])
    addresses.guard(tx, network["id"])
    fixed = {"subnet_id": subnet_id, "ip_address": subnet["gateway_ip"]}
    if subnet["ip_version"] == 6:
        leg = next((leg for leg in interfaces(tx, record["id"]) if leg["network_id"] == network["id"]
                    and all(":" in one["ip_address"] for one in leg["fixed_ips"])), None)
        if leg is not None:                     # one port carries all IPv6 subnets of a network
            taker = ports.fixed_ips.Taker(tx, network["id"], leg["id"])
            fixed_ips = [*leg["fixed_ips"], taker.exact(subnet, subnet["gateway_ip"])]
            return ports.save(tx, ctx, leg, {"fixed_ips": fixed_ips})
    quotas.reserve(tx, record["project_id"], "port")
    spec: Record = {"id": new_id(), "project_id": record["project_id"], "device_id": record["id"],
                    "device_owner": rules.Owner.ROUTER_INTERFACE, "security_groups": [], "fixed_ips": [fixed],
                    "port_security_enabled": False}
    return ports.make(tx, ctx, network, [subnet], spec, PortRole.ROUTER)


def _check_new_subnets(tx: Tx, record: Record, new: Sequence[Record]) -> None:
    legs = legs_of(tx, record["id"])
    present = _subnets_of(tx, legs)
    for subnet in new:
        if any(subnet["id"] == other["id"] for other in present):
            raise bad_request("router", f"Router already has a port on subnet {subnet['id']}")
        other = rules.overlaps([one["cidr"] for one in present], subnet["cidr"])
        if other is not None:
            found = next(one for one in present if one["cidr"] == other)
            raise bad_request("router", f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr {other} of "
                              f"subnet {found['id']}")


def _subnets_of(tx: Tx, legs: Sequence[Record]) -> list[Record]:
    return SUBNETS.several(tx, sorted({fixed["subnet_id"] for leg in legs for fixed in leg["fixed_ips"]}))


def remove_interface(tx: Tx, ctx: Context, record: Record, body: Mapping[str, Any]) -> Record:
    """Disconnect; refused while a floating IP or a route needs the interface."""
    port_id, subnet_id = body.get("port_id"), body.get("subnet_id")
    if not port_id and not subnet_id:
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    tx.guard(f"router:{record['id']}")
    legs = interfaces(tx, record["id"])
    leg = _leg(tx, ctx, record, legs, port_id, subnet_id)
    gone = [subnet_id] if subnet_id else [fixed["subnet_id"] for fixed in leg["fixed_ips"]]
    _check_removal(tx, record, gone)
    left = [fixed for fixed in leg["fixed_ips"] if fixed["subnet_id"] not in gone]
    if record["routes"]:
        _keep_routes(tx, record, [leg["id"]] if not left else [], gone)
    addresses.guard(tx, leg["network_id"])
    if left:
        addresses.release_addresses(tx, leg["network_id"], [fixed["ip_address"] for fixed in leg["fixed_ips"]
                                                            if fixed["subnet_id"] in gone])
        ports.save(tx, ctx, leg, {"fixed_ips": left})
        record = ROUTERS.get(tx, record["id"]) or record
    else:
        ports.drop_leg(tx, leg)
    save(tx, ctx, record, {}, always=True)
    return _interface_info(record, leg, gone)


def _leg(tx: Tx, ctx: Context, record: Record, legs: Sequence[Record], port_id: str | None,
         subnet_id: str | None) -> Record:
    if port_id:
        leg = next((leg for leg in legs if leg["id"] == port_id), None)
        if leg is None:
            raise not_found_interface(record["id"], port_id)
        if subnet_id and all(fixed["subnet_id"] != subnet_id for fixed in leg["fixed_ips"]):
            raise conflict("SubnetMismatchForPort", f"Subnet on port {port_id} does not match the requested subnet "
                           f"{subnet_id}.")
        return leg
    leg = next((leg for leg in legs if any(f["subnet_id"] == subnet_id for f in leg["fixed_ips"])), None)
    if leg is None:
        subnet = SUBNETS.get(tx, str(subnet_id))
        network = NETWORKS.get(tx, subnet["network_id"]) if subnet else None
        if network is None or not networks.usable_by(tx, ctx, network):
            raise not_found("subnet", subnet_id)
        error = not_found("router", record["id"])
        error.type = "RouterInterfaceNotFoundForSubnet"
        error.message = f"Router {record['id']} has no interface on subnet {subnet_id}"
        raise error
    return leg


def not_found_interface(router_id: str, port_id: str) -> Exception:
    """RouterInterfaceNotFound."""
    error = not_found("router", router_id)
    error.type = "RouterInterfaceNotFound"
    error.message = f"Router {router_id} does not have an interface with id {port_id}"
    return error


def _check_removal(tx: Tx, record: Record, subnet_ids: Sequence[str]) -> None:
    floating = many(tx, _FLOATING, router=record["id"])
    if not floating:
        return
    cidrs = {one["id"]: one["cidr"] for one in SUBNETS.several(tx, list(subnet_ids))}
    forwarded = port_forwardings.used_subnet(tx, record["id"], cidrs)
    if forwarded is not None:
        raise conflict("RouterInterfaceInUseByFloatingIP", f"Router interface for subnet {forwarded} on router "
                       f"{record['id']} cannot be deleted, as it is required by one or more floating IPs.")
    targets = {port["id"]: port for port in PORTS.several(tx, [one["port_id"] for one in floating if one["port_id"]])}
    for one in floating:
        port = targets.get(one["port_id"])
        used = [f["subnet_id"] for f in port["fixed_ips"] if f["ip_address"] == one["fixed_ip_address"]] if port else []
        for subnet_id in used:
            if subnet_id in subnet_ids:
                raise conflict("RouterInterfaceInUseByFloatingIP", f"Router interface for subnet {subnet_id} on router "
                               f"{record['id']} cannot be deleted, as it is required by one or more floating IPs.")


# -- extra routes

def _reachable(tx: Tx, record: Record, without: Sequence[str] = (), subnets_without: Sequence[str] = ()
               ) -> tuple[list[str], list[str]]:
    legs = [leg for leg in legs_of(tx, record["id"]) if leg["id"] not in without]
    cidrs = [subnet["cidr"] for subnet in _subnets_of(tx, legs) if subnet["id"] not in subnets_without]
    return cidrs, [fixed["ip_address"] for leg in legs for fixed in leg["fixed_ips"]]


def _routes(tx: Tx, record: Record, routes: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    if len(routes) > MOST_ROUTES:
        raise Invalid(f"Unable to complete operation for {record['id']}. The number of routes exceeds the maximum "
                      f"{MOST_ROUTES}.", type="RoutesExhausted")
    cidrs, used = _reachable(tx, record)
    for route in routes:
        fault = rules.route_fault([route], cidrs, used)
        if fault is not None:
            raise Invalid(f"Invalid format for routes: {[dict(route)]}, {fault}", type="InvalidRoutes")
    return [{"destination": rules.canonical_cidr(route["destination"]),
             "nexthop": str(ipaddress.ip_address(route["nexthop"]))} for route in routes]


def _keep_routes(tx: Tx, record: Record, without: Sequence[str], subnets_without: Sequence[str] = ()) -> None:
    """Refuse to take a leg away that a route needs."""
    cidrs, _ = _reachable(tx, record, without, subnets_without)
    for route in record["routes"]:
        if rules.route_fault([route], cidrs, ()) is not None:
            subnet = next(iter(subnets_without), "of the gateway")
            raise conflict("RouterInterfaceInUseByRoute", f"Router interface for subnet {subnet} on router "
                           f"{record['id']} cannot be deleted, as it is required by one or more routes.")


def add_routes(tx: Tx, ctx: Context, record: Record, routes: Sequence[Mapping[str, str]]) -> Record:
    """Add extra routes to those that are there."""
    tx.guard(f"router:{record['id']}")
    new = _routes(tx, record, routes)
    return save(tx, ctx, record, {"routes": [*record["routes"], *(one for one in new if one not in record["routes"])]})


def remove_routes(tx: Tx, ctx: Context, record: Record, routes: Sequence[Mapping[str, str]]) -> Record:
    """Take extra routes away; one that isn't there is no error."""
    tx.guard(f"router:{record['id']}")
    gone = [{"destination": rules.canonical_cidr(one["destination"]),
             "nexthop": str(ipaddress.ip_address(one["nexthop"]))} for one in routes]
    return save(tx, ctx, record, {"routes": [one for one in record["routes"] if one not in gone]})

