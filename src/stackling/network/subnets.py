"""Subnets: use-cases, one transaction each. A subnet is realised as a part of its network."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import addresses, networks, quotas, rules, subnet_pools
from stackling.network.errors import bad_request, conflict, invalid_input, not_found
from stackling.network.resources import NETWORKS, PORTS, SUBNET_POOLS, SUBNETS
from stackling.network.rows import Record, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables.network import ip_allocations, ports, subnets
from stackling.store.transaction import Tx

MOST_DNS, MOST_ROUTES = 5, 20
_OVERLAP = select(subnets.c.id, subnets.c.cidr).where(
    subnets.c.network_id == bindparam("network"), subnets.c.first_key <= bindparam("last"),
    subnets.c.last_key >= bindparam("first"))
_USERS = (
    select(ports.c.id, ports.c.device_owner, ports.c.fixed_ips, ports.c.role, ip_allocations.c.address,
           ports.c.generation, ports.c.revision_number)
    .join(ip_allocations, ip_allocations.c.port_id == ports.c.id)
    .where(ip_allocations.c.subnet_id == bindparam("subnet"))
)
_GUESTS = select(ports).where(ports.c.network_id == bindparam("network"), ports.c.deleting.is_(False),
                              ports.c.role == PortRole.INTERFACE)
_LEGS = select(ports.c.device_id).distinct().join(ip_allocations, ip_allocations.c.port_id == ports.c.id).where(
    ip_allocations.c.subnet_id == bindparam("subnet"), ports.c.role == PortRole.ROUTER, ports.c.deleting.is_(False))


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make subnets, all or none."""
    for project_id in {spec["project_id"] for spec in specs}:
        quotas.reserve(tx, project_id, "subnet", sum(spec["project_id"] == project_id for spec in specs))
    return [_create(tx, ctx, spec) for spec in specs]


def _create(tx: Tx, ctx: Context, spec: Mapping[str, Any]) -> Record:
    addresses.guard(tx, spec["network_id"])
    network = networks.find(tx, ctx, spec["network_id"], lock=True)
    _refuse_segment(spec)
    cidr, pool_id = _range(tx, ctx, spec)
    record = _record(tx, spec, cidr, pool_id)
    networks.check_mtu(network["id"], network["mtu"], [record["ip_version"]])
    _check_overlap(tx, record)
    record["metadata_ip"] = None
    own_port = _own_address(tx, network, record)
    SUBNETS.insert(tx, [record])
    store_tags(tx, record["id"], record["tags"], fresh=True)
    networks.follow_subnets(tx, network, [*network["subnets"], record["id"]], **own_port)
    if rules.is_auto_address(record):
        _give_auto_addresses(tx, network, record)
    announce(tx, ctx, "subnet", record, "create", record["cidr"])
    return record


def _refuse_segment(spec: Mapping[str, Any]) -> None:
    if spec.get("segment_id") is not None:
        raise bad_request("subnets", "subnets are in all segments of their network here")


def _range(tx: Tx, ctx: Context, spec: Mapping[str, Any]) -> tuple[str, str | None]:
    pool_id: str | None = spec.get("subnetpool_id")
    version: int | None = spec.get("ip_version")
    if spec.get("use_default_subnetpool") and pool_id is None:
        pool_id = subnet_pools.default_id(tx, version or 4)
        if pool_id is None and version != 6:
            raise bad_request("subnets", "No default subnetpool found for IPv4")
        if pool_id is None and version == 6 and "cidr" not in spec:
            raise bad_request("subnets", "No default subnetpool found for IPv6")
    if pool_id is not None:
        if spec.get("allocation_pools") and spec.get("cidr") is None:
            raise bad_request("subnets", "allocation_pools are not allowed without an explicit cidr from the pool")
        _check_pool(tx, spec["network_id"], pool_id)
        return subnet_pools.allocate(tx, ctx, pool_id, version, spec.get("cidr"), spec.get("prefixlen"),
                                     spec["project_id"]), pool_id
    cidr = spec.get("cidr")
    if cidr is None:
        raise bad_request("subnets", "a subnetpool must be specified in the absence of a cidr")
    return rules.canonical_cidr(cidr), None


def _check_pool(tx: Tx, network_id: str, pool_id: str) -> None:
    """Subnets of one IP version in a network come from pools of one address scope, or from one pool."""
    pool = SUBNET_POOLS.get(tx, pool_id)
    ids = {one["subnetpool_id"] for one in SUBNETS.where(tx, network_id=network_id)} - {None, pool_id}
    for other in SUBNET_POOLS.several(tx, sorted(ids)) if pool is not None else ():
        if pool is None or other["ip_version"] != pool["ip_version"]:
            continue
        if other["address_scope_id"] is None:
            raise Invalid("Subnets hosted on the same network must be allocated from the same subnet pool.",
                          type="NetworkSubnetPoolAffinityError")
        if other["address_scope_id"] != pool["address_scope_id"]:
            raise Invalid("Subnets hosted on the same network must be in the same address scope: "
                          f"{other['address_scope_id']}.", type="NetworkAddressScopeAffinityError")


def _record(tx: Tx, spec: Mapping[str, Any], cidr: str, pool_id: str | None) -> Record:
    network = ipaddress.ip_network(cidr)
    version: int = spec.get("ip_version") or network.version
    if version != network.version:
        raise invalid_input(f"cidr '{cidr}' does not match the ip_version '{version}'")
    _check_kind(spec, network)
    gateway = spec["gateway_ip"] if "gateway_ip" in spec else rules.default_gateway(network)
    given = spec.get("allocation_pools")
    pools = _pools(network, gateway, given)
    _check_gateway(network, gateway, pools if given is not None else None)
    record: Record = {
        **standard(tx, spec["id"], spec["project_id"], spec), "name": spec.get("name", ""),
        "network_id": spec["network_id"], "ip_version": version, "cidr": cidr,
        "first_key": addresses.key(int(network.network_address), version),
        "last_key": addresses.key(int(network.broadcast_address), version),
        "gateway_ip": gateway, "allocation_pools": pools, "enable_dhcp": spec.get("enable_dhcp", True),
        "dns_nameservers": spec.get("dns_nameservers", []), "host_routes": _routes(spec.get("host_routes", [])),
        "ipv6_ra_mode": spec.get("ipv6_ra_mode"), "ipv6_address_mode": spec.get("ipv6_address_mode"),
        "service_types": spec.get("service_types", []),
        "dns_publish_fixed_ip": spec.get("dns_publish_fixed_ip", False), "subnetpool_id": pool_id, "next_key": None,
    }
    _check_lists(record)
    return record


def _routes(routes: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"destination": route["destination"], "nexthop": route["nexthop"]} for route in routes]


def _check_kind(spec: Mapping[str, Any], network: rules.Network) -> None:
    dhcp = spec.get("enable_dhcp", True)
    ra, mode = spec.get("ipv6_ra_mode"), spec.get("ipv6_address_mode")
    if network.version == 4:
        for name in ("ipv6_ra_mode", "ipv6_address_mode"):
            if name in spec and spec[name] is not None:
                raise invalid_input(f"{name} is not valid when ip_version is 4")
    else:
        if (ra or mode) and not dhcp:
            raise invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
        fault = rules.ipv6_mode_fault(ra, mode)
        if fault is not None:
            raise invalid_input(fault)
        if (ra in rules.AUTO_ADDRESS_MODES or mode in rules.AUTO_ADDRESS_MODES) and network.prefixlen != 64:
            raise invalid_input(f"Invalid CIDR {network} for IPv6 address mode. OpenStack uses the EUI-64 address "
                                "format, which requires the prefix to be /64")
    if not dhcp:
        return
    if network.prefixlen > (30 if network.version == 4 else 126):
        raise invalid_input("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if network.network_address.is_multicast:
        raise invalid_input("Multicast IP subnet is not supported if enable_dhcp is True")
    if network.network_address.is_loopback:
        raise invalid_input("Loopback IP subnet is not supported if enable_dhcp is True")
    if network.prefixlen == 0:
        raise invalid_input("0 is not allowed as CIDR prefix length")


def _pools(network: rules.Network, gateway: str | None, given: list[dict[str, str]] | None) -> rules.Pools:
    if given is None:
        return rules.default_pools(network, gateway)
    fault = rules.pool_fault(network, given)
    if fault is not None:
        type_, text = fault
        raise (conflict if type_ == "OverlappingAllocationPools" else _invalid)(type_, text)
    return [{"start": str(ipaddress.ip_address(pool["start"])), "end": str(ipaddress.ip_address(pool["end"]))}
            for pool in given]


def _invalid(type_: str, text: str) -> Exception:
    return Invalid(text, type=type_)


def _check_gateway(network: rules.Network, gateway: str | None, pools: rules.Pools | None) -> None:
    if gateway is None:
        return
    parsed = ipaddress.ip_address(gateway)
    if parsed.version != network.version:
        raise invalid_input(f"gateway_ip '{gateway}' does not match the ip_version '{network.version}'")
    edges = (network.network_address, network.broadcast_address) if network.version == 4 else (network.network_address,)
    if parsed in network and parsed in edges and network.prefixlen < (31 if network.version == 4 else 127):
        raise invalid_input("Gateway is not valid on subnet")
    for pool in pools or ():
        if rules.in_pools(gateway, [pool]):
            raise conflict("GatewayConflictWithAllocationPools",
                           f"Gateway ip {gateway} conflicts with allocation pool {pool['start']}-{pool['end']}.")


def _check_lists(record: Record) -> None:
    if len(record["dns_nameservers"]) > MOST_DNS:
        raise _invalid("DNSNameServersExhausted", f"Unable to complete operation for {record['id']}. The number of DNS "
                       f"nameservers exceeds the limit {MOST_DNS}.")
    if len(record["host_routes"]) > MOST_ROUTES:
        raise _invalid("HostRoutesExhausted", f"Unable to complete operation for {record['id']}. The number of host "
                       f"routes exceeds the limit {MOST_ROUTES}.")
    for server in record["dns_nameservers"]:
        if ipaddress.ip_address(server).version != record["ip_version"]:
            raise invalid_input(f"dns_nameserver '{server}' does not match the ip_version '{record['ip_version']}'")
    for route in record["host_routes"]:
        for value in (route["destination"].split("/")[0], route["nexthop"]):
            if ipaddress.ip_address(value).version != record["ip_version"]:
                raise invalid_input(f"host_route '{value}' does not match the ip_version '{record['ip_version']}'")


def _check_overlap(tx: Tx, record: Record) -> None:
    other = tx.one(_OVERLAP, network=record["network_id"], first=record["first_key"], last=record["last_key"])
    if other is not None:
        raise invalid_input(f"Requested subnet with cidr: {record['cidr']} for network: {record['network_id']} "
                            "overlaps with another subnet")


def _own_address(tx: Tx, network: Record, subnet: Record) -> dict[str, Any]:
    """Give the network's own port an address in a new DHCP subnet; what changes in the network's row.

    The address lies outside of the pools where there is room, else it is the pools' last one; a subnet with fewer
    than three addresses to give has none, so that its only address isn't lost to guests.
    """
    if subnet["ip_version"] != 4 or not subnet["enable_dhcp"] or network["external"]:
        return {}
    value = _spare_address(tx, subnet)
    if value is None:
        return {}
    subnet["metadata_ip"] = value
    fixed = {"subnet_id": subnet["id"], "ip_address": value}
    port = PORTS.get(tx, network["metadata_port_id"]) if network["metadata_port_id"] else None
    if port is None:
        port = networks.metadata_port(tx, network)
        port["fixed_ips"], port["status"] = [fixed], "ACTIVE"
        PORTS.insert(tx, [port])
    else:
        PORTS.update(tx, port["id"], {**touch(tx, port), "fixed_ips": [*port["fixed_ips"], fixed]})
    addresses.take(tx, network["id"], port["id"], [fixed])
    return {"metadata_port_id": port["id"], "metadata_mac": port["mac_address"]}


def _spare_address(tx: Tx, subnet: Record) -> str | None:
    bounds = rules.pool_bounds(subnet["allocation_pools"])
    first, last = rules.usable(ipaddress.ip_network(subnet["cidr"]))
    gateway = int(ipaddress.ip_address(subnet["gateway_ip"])) if subnet["gateway_ip"] else -1
    outside = [edge for low, high in bounds for edge in (high + 1, low - 1)]
    for number in [*outside, last, first]:
        if first <= number <= last and number != gateway and not any(low <= number <= high for low, high in bounds):
            value = rules.address(4, number)
            if not addresses.is_taken(tx, subnet["network_id"], value):
                return value
    if sum(high - low + 1 for low, high in bounds) < 3:
        return None
    for low, high in reversed(bounds):
        for number in range(high, max(low, high - 8) - 1, -1):
            value = rules.address(4, number)
            if not addresses.is_taken(tx, subnet["network_id"], value):
                return value
    return None


def _give_auto_addresses(tx: Tx, network: Record, subnet: Record) -> None:
    """A SLAAC subnet came: every port of the network forms its address there, as guests will."""
    for row in tx.all(_GUESTS, network=network["id"]):
        port: Record = dict(row._mapping)    # pyright: ignore[reportPrivateUsage]
        if not port["fixed_ips"]:
            continue
        fixed = {"subnet_id": subnet["id"], "ip_address": rules.eui64(subnet["cidr"], port["mac_address"])}
        addresses.take(tx, network["id"], port["id"], [fixed])
        PORTS.update(tx, port["id"], {**touch(tx, port), "generation": port["generation"] + 1, "settled": False,
                                      "fixed_ips": [*port["fixed_ips"], fixed]})
        tx.nudge("port", port["id"])


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a subnet."""
    addresses.guard(tx, record["network_id"])
    values = {name: changes[name] for name in _UPDATABLE if name in changes}
    if "host_routes" in values:
        values["host_routes"] = _routes(values["host_routes"])
    network = ipaddress.ip_network(record["cidr"])
    gateway = values.get("gateway_ip", record["gateway_ip"])
    if "allocation_pools" in values:
        values["allocation_pools"] = _pools(network, gateway, values["allocation_pools"])
        values["next_key"] = None
    if "gateway_ip" in values and gateway != record["gateway_ip"]:
        _check_gateway_unused(tx, record)
    if "gateway_ip" in values or "allocation_pools" in values:
        _check_gateway(network, gateway, values.get("allocation_pools", record["allocation_pools"]))
    if values.get("enable_dhcp") is False and (record["ipv6_ra_mode"] or record["ipv6_address_mode"]):
        raise invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if values.get("enable_dhcp") and network.prefixlen > (30 if network.version == 4 else 126):
        raise invalid_input("Subnet has a prefix length that is incompatible with DHCP service enabled")
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values:
        return record
    new: Record = {**record, **values, **touch(tx, record)}
    _check_lists(new)
    _follow(tx, record, new, values)
    SUBNETS.update(tx, record["id"], {key: new[key] for key in new if new[key] != record[key]})
    announce(tx, ctx, "subnet", record, "update", ", ".join(sorted(values)))
    return new


_UPDATABLE = ("name", "description", "gateway_ip", "allocation_pools", "dns_nameservers", "host_routes", "enable_dhcp",
              "service_types", "dns_publish_fixed_ip")


def _follow(tx: Tx, record: Record, new: Record, values: Mapping[str, Any]) -> None:
    if not {"gateway_ip", "dns_nameservers", "host_routes", "enable_dhcp"} & values.keys():
        return
    network = NETWORKS.locked(tx, record["network_id"])
    if network is None:
        raise not_found("subnet", record["id"])
    own = {}
    if values.get("enable_dhcp") and not record["metadata_ip"]:
        own = _own_address(tx, network, new)
    elif values.get("enable_dhcp") is False and record["metadata_ip"]:
        new["metadata_ip"] = None
        _drop_own_address(tx, network, record)
    networks.follow_subnets(tx, network, network["subnets"], **own)


def _drop_own_address(tx: Tx, network: Record, subnet: Record) -> None:
    port = PORTS.get(tx, network["metadata_port_id"]) if network["metadata_port_id"] else None
    if port is not None and subnet["metadata_ip"]:
        left = [fixed for fixed in port["fixed_ips"] if fixed["subnet_id"] != subnet["id"]]
        PORTS.update(tx, port["id"], {**touch(tx, port), "fixed_ips": left})
        addresses.release_addresses(tx, network["id"], [subnet["metadata_ip"]])


def _check_gateway_unused(tx: Tx, record: Record) -> None:
    for row in tx.all(_USERS, subnet=record["id"]):
        if row.role == PortRole.ROUTER and row.address == record["gateway_ip"]:
            raise conflict("GatewayIpInUse", f"Current gateway ip {record['gateway_ip']} already in use by port "
                           f"{row.id}. Unable to update.")


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a subnet; SubnetInUse while a port (not the network's own, nor one that formed its address) uses it."""
    addresses.guard(tx, record["network_id"])
    users = [row for row in tx.all(_USERS, subnet=record["id"]) if row.device_owner not in rules.AUTO_DELETED]
    auto = rules.is_auto_address(record)
    if any(not auto or row.role == PortRole.ROUTER for row in users):
        raise conflict("SubnetInUse", f"Unable to complete operation on subnet {record['id']}: One or more ports have "
                       "an IP allocation from this subnet.")
    for row in users:
        left = [fixed for fixed in row.fixed_ips if fixed["subnet_id"] != record["id"]]
        PORTS.update(tx, row.id, {"fixed_ips": left, "generation": row.generation + 1, "settled": False,
                                  "revision_number": row.revision_number + 1, "updated_at": tx.now})
        addresses.release_addresses(tx, record["network_id"], [row.address])
        tx.nudge("port", row.id)
    network = NETWORKS.locked(tx, record["network_id"])
    if network is not None:
        _drop_own_address(tx, network, record)
        networks.follow_subnets(tx, network, [id for id in network["subnets"] if id != record["id"]])
    forget_tags(tx, record)
    SUBNETS.delete(tx, record["id"])
    announce(tx, ctx, "subnet", record, "delete")


def routers_of(tx: Tx, subnet_id: str) -> list[str]:
    """The routers that have a leg in the subnet."""
    return [row[0] for row in tx.all(_LEGS, subnet=subnet_id)]
