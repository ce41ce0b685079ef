"""The attributes of every resource (checked against neutron-lib's API definitions)."""

from __future__ import annotations

from stackling.api.network import values as v
from stackling.api.network.attributes import REQUIRED, STANDARD, Attribute, Table, once, seen, settable
from stackling.network import rbac

_NAME = settable(v.NAME, "", filter=True, sort=True)
_UP = settable(v.boolean, True, filter=True, sort=True)
_MODES = v.one_of("dhcpv6-stateful", "dhcpv6-stateless", "slaac", None)

NETWORK: Table = {
    **STANDARD,
    "name": _NAME,
    "admin_state_up": _UP,
    "status": seen(),
    "shared": settable(v.boolean, False, filter=True),
    "subnets": Attribute(),
    "router:external": settable(v.boolean, False, filter=True, column="external"),
    "is_default": settable(v.boolean, False, filter=True),
    "port_security_enabled": settable(v.boolean, True, filter=True),
    "mtu": settable(v.non_negative, 0, filter=True, sort=True),
    "dns_domain": settable(v.domain, "", filter=True, sort=True),
    "availability_zone_hints": once(v.zones),
    "availability_zones": Attribute(),
    "ipv4_address_scope": Attribute(),
    "ipv6_address_scope": Attribute(),
    "l2_adjacency": Attribute(),
    "qos_policy_id": settable(v.nullable(v.uuid), None),
    "provider:network_type": settable(v.nullable(v.text(32)), filter=True, column="network_type"),
    "provider:physical_network": settable(v.nullable(v.text(64)), filter=True, column="physical_network"),
    "provider:segmentation_id": settable(v.nullable(v.integer), filter=True, column="segmentation_id"),
    "segments": settable(v.segments),
    "vlan_transparent": once(v.boolean, filter=True),
}

SUBNET: Table = {
    **STANDARD,
    "name": _NAME,
    "ip_version": once(lambda value: v.one_of(4, 6)(v.integer(value)), filter=True, sort=True),
    "network_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "subnetpool_id": once(v.nullable(v.uuid), filter=True, sort=True),
    "prefixlen": once(v.non_negative),
    "use_default_subnetpool": once(v.boolean, False),
    "cidr": once(v.nullable(v.cidr), filter=True, sort=True),
    "gateway_ip": settable(v.nullable(v.ip), filter=True, sort=True),
    "allocation_pools": settable(v.pools),
    "dns_nameservers": settable(v.nameservers),
    "host_routes": settable(v.routes),
    "enable_dhcp": settable(v.boolean, True, filter=True, sort=True),
    "ipv6_ra_mode": once(_MODES, filter=True, sort=True),
    "ipv6_address_mode": once(_MODES, filter=True, sort=True),
    "service_types": settable(v.service_types),
    "dns_publish_fixed_ip": settable(v.boolean, False),
    "router:external": Attribute(v.boolean, filter=True),
    "shared": Attribute(v.boolean, filter=True),
    "segment_id": once(v.nullable(v.uuid)),
}

SEGMENT: Table = {
    **{name: STANDARD[name] for name in ("id", "description", "revision_number", "created_at", "updated_at")},
    "name": settable(v.nullable(v.NAME), filter=True, sort=True),
    "network_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "network_type": once(v.text(32), REQUIRED, filter=True, sort=True),
    "physical_network": once(v.nullable(v.text(64)), filter=True, sort=True),
    "segmentation_id": once(v.nullable(v.integer), sort=True),
}

PORT: Table = {
    **STANDARD,
    "name": _NAME,
    "network_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "admin_state_up": _UP,
    "status": seen(),
    "mac_address": settable(v.nullable(v.mac), filter=True, sort=True),
    "fixed_ips": settable(v.fixed_ips, filter=True),
    "device_id": settable(v.TEXT, "", filter=True, sort=True),
    "device_owner": settable(v.TEXT, "", filter=True, sort=True),
    "security_groups": settable(v.nullable(v.uuids), filter=True),
    "allowed_address_pairs": settable(v.address_pairs),
    "extra_dhcp_opts": settable(v.dhcp_options),
    "port_security_enabled": settable(v.boolean, filter=True),
    "dns_name": settable(v.host_name, ""),
    "dns_domain": settable(v.domain, ""),
    "dns_assignment": Attribute(),
    "ip_allocation": Attribute(),
    "propagate_uplink_status": settable(v.boolean, True),
    "trusted": settable(v.boolean),
    "binding:vnic_type": settable(v.one_of(
        "normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa",
        "accelerator-direct", "accelerator-direct-physical", "remote-managed"), "normal", column="binding_vnic_type"),
    "binding:host_id": settable(v.nullable(v.TEXT), filter=True, column="binding_host"),
    "binding:profile": settable(v.mapping),
    "qos_policy_id": settable(v.nullable(v.uuid), None),
    "qos_network_policy_id": Attribute(),
    "trunk_details": Attribute(),
    "binding:vif_type": Attribute(),
    "binding:vif_details": Attribute(),
}

ROUTER: Table = {
    **STANDARD,
    "name": _NAME,
    "admin_state_up": _UP,
    "status": seen(),
    "external_gateway_info": settable(v.gateway_info, None),
    "external_gateways": Attribute(v.gateways),
    "enable_snat": seen(v.boolean),
    "enable_default_route_bfd": settable(v.nullable(v.boolean)),
    "enable_default_route_ecmp": settable(v.nullable(v.boolean)),
    "routes": Attribute(v.routes, put=True),
    "distributed": settable(v.nullable(v.boolean), filter=True),
    "ha": settable(v.nullable(v.boolean), filter=True),
    "availability_zone_hints": once(v.zones),
    "availability_zones": Attribute(),
    "flavor_id": once(v.nullable(v.uuid), None, filter=True),
}

RBAC_POLICY: Table = {
    **{name: STANDARD[name] for name in ("id", "project_id", "tenant_id")},
    "object_type": once(v.one_of(*rbac.OBJECTS), REQUIRED, filter=True, sort=True),
    "object_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "action": once(v.TEXT, REQUIRED, filter=True, sort=True),
    "target_tenant": settable(v.NOT_EMPTY, REQUIRED, filter=True, sort=True, column="target_project"),
}

FLOATING_IP: Table = {
    **STANDARD,
    "floating_network_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "floating_ip_address": once(v.nullable(v.ip), None, filter=True, sort=True),
    "subnet_id": once(v.nullable(v.uuid), None),
    "port_id": settable(v.nullable(v.uuid), None, filter=True),
    "fixed_ip_address": settable(v.nullable(v.ip), None, filter=True, sort=True),
    "router_id": seen(v.uuid),
    "status": seen(),
    "port_details": Attribute(),
    "port_forwardings": Attribute(),
    "qos_policy_id": settable(v.nullable(v.uuid), None),
    "qos_network_policy_id": Attribute(),
    "dns_name": once(v.host_name, ""),
    "dns_domain": once(v.domain, ""),
}

SECURITY_GROUP: Table = {
    **STANDARD,
    "name": settable(v.NAME, "", filter=True, sort=True),
    "stateful": settable(v.boolean, filter=True),
    "shared": Attribute(v.boolean, filter=True),
    "security_group_rules": Attribute(),
}

RULE: Table = {
    **{name: attribute for name, attribute in STANDARD.items() if name != "tags"},
    "security_group_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "direction": once(v.one_of("ingress", "egress"), REQUIRED, filter=True, sort=True),
    "ethertype": once(v.ethertype, "IPv4", filter=True, sort=True),
    "protocol": once(v.protocol, None, filter=True, sort=True),
    "port_range_min": once(v.port_number, None, filter=True, sort=True),
    "port_range_max": once(v.port_number, None, filter=True, sort=True),
    "remote_ip_prefix": once(v.prefix, None, filter=True, sort=True),
    "normalized_cidr": Attribute(),
    "remote_group_id": once(v.nullable(v.TEXT), None, filter=True, sort=True),
    "remote_address_group_id": once(v.nullable(v.TEXT), None, filter=True, sort=True),
    "belongs_to_default_sg": Attribute(v.boolean, filter=True),
}

SUBNET_POOL: Table = {
    **STANDARD,
    "name": settable(v.NOT_EMPTY, REQUIRED, filter=True, sort=True),
    "prefixes": settable(v.subnets, REQUIRED),
    "ip_version": seen(v.integer),
    "default_prefixlen": settable(v.non_negative, filter=True, sort=True),
    "min_prefixlen": settable(v.non_negative, filter=True, sort=True),
    "max_prefixlen": settable(v.non_negative, filter=True, sort=True),
    "default_quota": settable(v.nullable(v.non_negative), filter=True, sort=True),
    "shared": once(v.boolean, False, filter=True),
    "is_default": settable(v.boolean, False, filter=True),
    "address_scope_id": settable(v.nullable(v.uuid), filter=True, sort=True),
}

ADDRESS_SCOPE: Table = {
    **{name: STANDARD[name] for name in ("id", "project_id", "tenant_id")},
    "name": _NAME,
    "ip_version": once(lambda value: v.one_of(4, 6)(v.integer(value)), REQUIRED, filter=True, sort=True),
    "shared": settable(v.boolean, False, filter=True),
}

ADDRESS_GROUP: Table = {
    **{name: attribute for name, attribute in STANDARD.items() if name != "tags"},
    "name": _NAME,
    "description": settable(v.nullable(v.text(1024)), "", filter=True, sort=True),
    "addresses": once(v.subnets),
}

QOS_POLICY: Table = {
    **STANDARD,
    "name": settable(v.NAME, "", filter=True, sort=True),
    "shared": settable(v.boolean, False, filter=True),
    "is_default": settable(v.boolean, False, filter=True),
    "rules": Attribute(),
}

FLAVOR: Table = {
    "id": STANDARD["id"],
    "name": settable(v.NAME, "", filter=True, sort=True),
    "description": settable(v.nullable(v.text(1024)), "", filter=True, sort=True),
    "service_type": once(v.text(64), REQUIRED, filter=True, sort=True),
    "service_profiles": settable(v.uuids, []),      # as upstream: taken, and not what binds them
    "enabled": settable(v.boolean, True, filter=True, sort=True),
}

SERVICE_PROFILE: Table = {
    "id": STANDARD["id"],
    "description": settable(v.nullable(v.text(1024)), "", filter=True, sort=True),
    "driver": settable(v.text(1024), "", filter=True, sort=True),
    "metainfo": settable(v.text(4096), "", sort=True),
    "enabled": settable(v.boolean, True, filter=True, sort=True),
}

TRUNK: Table = {
    **STANDARD,
    "name": _NAME,
    "admin_state_up": _UP,
    "port_id": once(v.uuid, REQUIRED, filter=True, sort=True),
    "status": Attribute(filter=True),
    "sub_ports": once(v.subports, []),
}

DEFAULT_STATEFULNESS: Table = {
    "id": STANDARD["id"],
    "project_id": once(v.nullable(v.project), filter=True, sort=True),
    "tenant_id": once(v.nullable(v.project), filter=True, sort=True, column="project_id"),
    "stateful": settable(v.boolean, True, filter=True, sort=True),
}

DEFAULT_RULE: Table = {
    **{name: RULE[name] for name in (
        "id", "project_id", "tenant_id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max",
        "remote_ip_prefix", "remote_group_id", "remote_address_group_id")},
    "description": once(v.description, "", filter=True, sort=True),
    "used_in_default_sg": once(v.boolean, False, filter=True),
    "used_in_non_default_sg": once(v.boolean, True, filter=True),
}
