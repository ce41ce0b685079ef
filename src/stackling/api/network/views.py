"""How each resource is shown: records to the bodies of Neutron's answers, a page at a time."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.core.clock import seconds_z
from stackling.core.context import Context
from stackling.network import access, external_gateways, port_forwardings, qos, related
from stackling.network import flavors as flavors_
from stackling.network import trunks as trunking
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

View = Callable[["Tx", Context, Sequence[Record]], list[dict[str, Any]]]


def _standard(record: Record) -> dict[str, Any]:
    return {
        "id": record["id"], "project_id": record["project_id"], "tenant_id": record["project_id"],
        "description": record["description"] or "", "tags": record["tags"] or [],
        "revision_number": record["revision_number"], "created_at": seconds_z(record["created_at"]),
        "updated_at": seconds_z(record["updated_at"]),
    }


def _shared(tx: Tx, ctx: Context, object_type: str, records: Sequence[Record]) -> set[str]:
    return access.shared_ids(tx, ctx, object_type, [one["id"] for one in records])


def networks(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Networks."""
    shared = _shared(tx, ctx, "network", records)
    scopes = related.address_scopes(tx, [one["id"] for one in records])
    return [{
        **_standard(one), "name": one["name"], "admin_state_up": one["admin_state_up"], "status": one["status"],
        "subnets": one["subnets"], "shared": one["id"] in shared, "router:external": one["external"],
        **({"is_default": one["is_default"]} if one["external"] else {}),
        "port_security_enabled": one["port_security_enabled"], "mtu": one["mtu"], "dns_domain": one["dns_domain"],
        "availability_zone_hints": one["availability_zone_hints"], "availability_zones": [],
        "ipv4_address_scope": scopes.get((one["id"], 4)),
        "ipv6_address_scope": scopes.get((one["id"], 6)), "l2_adjacency": True,
        **({"segments": one["segments"]} if one["segments"] else {
            "provider:network_type": one["network_type"], "provider:physical_network": one["physical_network"],
            "provider:segmentation_id": one["segmentation_id"]}),
        "vlan_transparent": one["vlan_transparent"], "qos_policy_id": one["qos_policy_id"],
    } for one in records]


def segments(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Segments of networks."""
    return [{**{name: one[name] for name in (
        "id", "name", "description", "network_id", "network_type", "physical_network", "segmentation_id",
        "revision_number")}, "created_at": seconds_z(one["created_at"]), "updated_at": seconds_z(one["updated_at"]),
    } for one in records]


def subnets(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Subnets, with what they take from their networks."""
    external = related.external_networks(tx, {one["network_id"] for one in records})
    return [{
        **_standard(one), "name": one["name"], "network_id": one["network_id"], "ip_version": one["ip_version"],
        "cidr": one["cidr"], "gateway_ip": one["gateway_ip"], "allocation_pools": one["allocation_pools"],
        "dns_nameservers": one["dns_nameservers"], "host_routes": one["host_routes"],
        "enable_dhcp": one["enable_dhcp"], "ipv6_ra_mode": one["ipv6_ra_mode"],
        "ipv6_address_mode": one["ipv6_address_mode"], "service_types": one["service_types"],
        "dns_publish_fixed_ip": one["dns_publish_fixed_ip"],
        "subnetpool_id": one["subnetpool_id"], "router:external": one["network_id"] in external, "segment_id": None,
    } for one in records]


def ports(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Ports."""
    return [{
        **_standard(one), "name": one["name"], "network_id": one["network_id"],
        "admin_state_up": one["admin_state_up"], "status": one["status"], "mac_address": one["mac_address"],
        "fixed_ips": one["fixed_ips"], "device_id": one["device_id"], "device_owner": one["device_owner"],
        "security_groups": one["security_groups"], "allowed_address_pairs": one["allowed_address_pairs"],
        "extra_dhcp_opts": one["extra_dhcp_opts"], "port_security_enabled": one["port_security_enabled"],
        "dns_name": one["dns_name"], "dns_domain": one["dns_domain"],
        "dns_assignment": _assignment(one["fixed_ips"], one["dns_name"]),
        "ip_allocation": "immediate" if one["fixed_ips"] else "none",
        "propagate_uplink_status": one["propagate_uplink_status"], "trusted": one["trusted"],
        "binding:vnic_type": one["binding_vnic_type"],
        "qos_policy_id": one["qos_policy_id"], "qos_network_policy_id": one["qos_network_policy_id"],
        **({"trunk_details": one["trunk_details"]} if one["trunk_details"] is not None else {}),
        "binding:host_id": one["binding_host"], "binding:profile": one["binding_profile"],
        **(_BOUND if one["binding_host"] else _UNBOUND),
    } for one in records]


def port_page(rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """As ``ports``, of rows as ``lists.page`` gives them."""
    return [{
        "id": id, "project_id": project_id, "tenant_id": project_id, "description": description or "",
        "tags": _raw(tags), "revision_number": revision_number, "created_at": seconds_z(created_at),
        "updated_at": seconds_z(updated_at), "name": name, "network_id": network_id,
        "admin_state_up": bool(admin_state_up), "status": status, "mac_address": mac_address,
        "fixed_ips": _raw(fixed_ips), "device_id": device_id, "device_owner": device_owner,
        "security_groups": _raw(security_groups), "allowed_address_pairs": _raw(allowed_address_pairs),
        "extra_dhcp_opts": _raw(extra_dhcp_opts), "port_security_enabled": bool(port_security_enabled),
        "dns_name": dns_name, "dns_domain": dns_domain, "dns_assignment": _assignment(_decode(fixed_ips), dns_name),
        "ip_allocation": "none" if fixed_ips == "[]" else "immediate",
        "propagate_uplink_status": bool(propagate_uplink_status),
        "trusted": None if trusted is None else bool(trusted), "binding:vnic_type": binding_vnic_type,
        "binding:host_id": binding_host, "binding:profile": _raw(binding_profile),
        "binding:vif_type": "ovs" if binding_host else "unbound",
        "binding:vif_details": _DETAILS if binding_host else {}, "qos_policy_id": qos_policy_id,
        "qos_network_policy_id": qos_network_policy_id,
        **({"trunk_details": msgspec.Raw(trunk_details)} if trunk_details is not None else {}),
    } for (id, project_id, name, description, tags, revision_number, created_at, updated_at, network_id, admin_state_up,
           status, mac_address, device_id, device_owner, fixed_ips, security_groups, allowed_address_pairs,
           extra_dhcp_opts, port_security_enabled, binding_host, binding_profile, binding_vnic_type, dns_name,
           dns_domain, propagate_uplink_status, qos_policy_id, qos_network_policy_id, trusted, trunk_details) in rows]


_EMPTY = {None: msgspec.Raw("[]"), "[]": msgspec.Raw("[]"), "{}": msgspec.Raw("{}")}
_decode = msgspec.json.Decoder(list[dict[str, str]]).decode


def _raw(text: str | None) -> msgspec.Raw:
    return _EMPTY.get(text) or msgspec.Raw(text or "")


_UNBOUND: dict[str, Any] = {"binding:vif_type": "unbound", "binding:vif_details": {}}
_DETAILS: dict[str, Any] = {"port_filter": True, "connectivity": "l2", "bridge_name": "br-int",
                            "datapath_type": "system"}
_BOUND: dict[str, Any] = {"binding:vif_type": "ovs", "binding:vif_details": _DETAILS}


def _assignment(fixed_ips: Sequence[dict[str, str]], dns_name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for fixed in fixed_ips:
        address = fixed["ip_address"]
        name = dns_name or "host-" + address.replace(".", "-").replace(":", "-")
        found.append({"ip_address": address, "hostname": name, "fqdn": f"{name}.openstacklocal."})
    return found


def routers(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Routers."""
    return [{
        **_standard(one), "name": one["name"], "admin_state_up": one["admin_state_up"], "status": one["status"],
        "external_gateway_info": None if not one["gateway_network_id"] else {
            "network_id": one["gateway_network_id"], "enable_snat": one["enable_snat"],
            "external_fixed_ips": one["external_fixed_ips"], "qos_policy_id": one["gateway_qos_policy_id"]},
        "external_gateways": [
            {"network_id": gateway["network_id"], "external_fixed_ips": gateway["external_fixed_ips"]}
            for gateway in external_gateways.gateways(one)],
        "enable_default_route_bfd": one["enable_default_route_bfd"],
        "enable_default_route_ecmp": one["enable_default_route_ecmp"], "enable_snat": one["enable_snat"],
        "routes": one["routes"], "distributed": one["distributed"], "ha": one["ha"], "flavor_id": one["flavor_id"],
        "availability_zone_hints": one["availability_zone_hints"], "availability_zones": ["nova"],
    } for one in records]


def floating_ips(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Floating IPs, with what is shown of the ports that they point at."""
    targets = related.port_details(tx, [one["port_id"] for one in records if one["port_id"]])
    forwardings = port_forwardings.of_floating_ips(
        tx, [one["id"] for one in records if one["router_id"] and not one["port_id"]])
    return [{
        **_standard(one), "floating_network_id": one["floating_network_id"],
        "floating_ip_address": one["floating_ip_address"], "port_id": one["port_id"],
        "fixed_ip_address": one["fixed_ip_address"], "router_id": one["router_id"], "status": one["status"],
        "dns_name": one["dns_name"], "dns_domain": one["dns_domain"], "qos_policy_id": one["qos_policy_id"],
        "qos_network_policy_id": one["qos_network_policy_id"],
        "port_details": targets.get(one["port_id"]),
        "port_forwardings": [_forwarded(forwarding) for forwarding in forwardings.get(one["id"], ())],
    } for one in records]


def port_forwarding(one: Record) -> dict[str, Any]:
    """A port forwarding."""
    ranges = {f"{side}_port_range": f"{one[f'{side}_low']}:{one[f'{side}_high']}" for side in ("external", "internal")}
    return {**_forwarded(one), **ranges, "description": one["description"]}


def _forwarded(one: Record) -> dict[str, Any]:
    """What a floating IP tells of it."""
    return {**{name: one[name] for name in ("id", "protocol", "internal_ip_address", "internal_port_id")},
            **{f"{side}_port": one[f"{side}_low"] if one[f"{side}_low"] == one[f"{side}_high"] else None
               for side in ("external", "internal")}}


def security_groups(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Groups with their rules."""
    found = related.rules_of(tx, [one["id"] for one in records])
    shared = _shared(tx, ctx, "security_group", records)
    return [{
        **_standard(one), "name": one["name"], "stateful": one["stateful"], "shared": one["id"] in shared,
        "security_group_rules": [_rule(rule, one["default_of"] is not None) for rule in found[one["id"]]],
    } for one in records]


def security_group_rules(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Rules."""
    default = related.default_groups(tx, {one["security_group_id"] for one in records})
    return [_rule(one, one["security_group_id"] in default) for one in records]


def _rule(one: Record, default: bool) -> dict[str, Any]:
    prefix = one["remote_ip_prefix"]
    body = _standard(one)
    del body["tags"]
    return {
        **body, "security_group_id": one["security_group_id"], "direction": one["direction"],
        "ethertype": one["ethertype"], "protocol": one["protocol"], "port_range_min": one["port_range_min"],
        "port_range_max": one["port_range_max"], "remote_ip_prefix": prefix, "remote_group_id": one["remote_group_id"],
        "normalized_cidr": None if prefix is None else str(ipaddress.ip_network(prefix, strict=False)),
        "remote_address_group_id": one["remote_address_group_id"], "belongs_to_default_sg": default,
    }


def subnet_pools(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Subnet pools."""
    shared = _shared(tx, ctx, "subnetpool", records)
    return [{
        **_standard(one), "name": one["name"], "ip_version": one["ip_version"], "prefixes": one["prefixes"],
        **{name: str(one[name]) for name in ("default_prefixlen", "min_prefixlen", "max_prefixlen")},
        "default_quota": one["default_quota"], "shared": one["id"] in shared,
        "is_default": one["is_default"], "address_scope_id": one["address_scope_id"],
    } for one in records]


def rbac_policies(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Who shares what with whom."""
    return [{
        "id": one["id"], "project_id": one["project_id"], "tenant_id": one["project_id"],
        "object_type": one["object_type"], "object_id": one["object_id"], "action": one["action"],
        "target_tenant": one["target_project"],
    } for one in records]


def address_scopes(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Address scopes."""
    shared = _shared(tx, ctx, "address_scope", records)
    return [{
        "id": one["id"], "project_id": one["project_id"], "tenant_id": one["project_id"], "name": one["name"],
        "ip_version": one["ip_version"], "shared": one["id"] in shared,
    } for one in records]


def address_groups(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Address groups."""
    bodies = [{**_standard(one), "name": one["name"], "addresses": one["addresses"]} for one in records]
    for body in bodies:
        del body["tags"]
    return bodies


_RULE = {"bandwidth_limit": ("max_kbps", "max_burst_kbps", "direction"), "dscp_marking": ("dscp_mark",),
         "minimum_bandwidth": ("min_kbps", "direction")}


def qos_policies(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """QoS policies with their rules."""
    shared = _shared(tx, ctx, "qos_policy", records)
    rules = qos.rules_of(tx, [one["id"] for one in records])
    return [{
        **_standard(one), "name": one["name"], "shared": one["id"] in shared, "is_default": one["is_default"],
        "rules": [{"id": rule["id"], "qos_policy_id": one["id"], "type": rule["type"],
                   **{name: rule[name] for name in _RULE[rule["type"]]}} for rule in rules[one["id"]]],
    } for one in records]


def trunks(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Trunks with their subports."""
    subports = trunking.subports_of(tx, [one["id"] for one in records])
    statuses = trunking.statuses(tx, [one["port_id"] for one in records])
    return [{
        **_standard(one), "name": one["name"], "admin_state_up": one["admin_state_up"], "port_id": one["port_id"],
        "status": statuses.get(one["port_id"], "DOWN"),
        "sub_ports": [trunking.detail(port) for port in subports[one["id"]]],
    } for one in records]


def flavors(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Flavors of services with their profiles."""
    profiles = flavors_.bound(tx, [one["id"] for one in records])
    return [{**{name: one[name] for name in ("id", "name", "description", "service_type", "enabled")},
             "service_profiles": profiles[one["id"]]} for one in records]


def service_profiles(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Service profiles with their flavors."""
    there = flavors_.bound(tx, [one["id"] for one in records])
    return [{**{name: one[name] for name in ("id", "description", "driver", "metainfo", "enabled")},
             "flavors": there[one["id"]]} for one in records]


def default_statefulness(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Whether new security groups are stateful."""
    return [{"id": one["id"], "project_id": one["project_id"] or None, "tenant_id": one["project_id"] or None,
             "stateful": one["stateful"]} for one in records]


def default_rules(tx: Tx, ctx: Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    """The rules that new security groups start with."""
    return [{name: one[name] for name in (
        "id", "description", "direction", "ethertype", "protocol", "port_range_min", "port_range_max",
        "remote_ip_prefix", "remote_group_id", "remote_address_group_id", "used_in_default_sg",
        "used_in_non_default_sg")} for one in records]
