"""The network service's tables.

Conventions: ``revision_number`` counts changes that a user sees; ``generation`` counts changes that the fabric must
follow, ``observed_generation`` is the last one that it did, ``settled`` false while they differ. ``held`` is what
the fabric may still hold of the row (addresses), so that another row with the same address waits for its release.
Child lists that a view shows (fixed IPs, groups) are kept as JSON beside their normalised tables, so that a list
is one query.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, UniqueConstraint, false, true

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long, Name

Short = String(64)
Address = String(64)
Key = Id
"""A sortable address (see ``network.addresses.key``)."""


def _standard(*, name: bool = True) -> list[Column[Any]]:
    columns: list[Column[Any]] = [Column("id", Id, primary_key=True), Column("project_id", Id, nullable=False)]
    if name:
        columns.append(Column("name", Name, nullable=False, default="", server_default=""))
    return [
        *columns,
        Column("description", Long),
        Column("tags", Json),
        Column("revision_number", Integer, nullable=False, default=0, server_default="0"),
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
    ]


def _desired() -> list[Column[Any]]:
    return [
        Column("generation", BigInteger, nullable=False, default=1, server_default="1"),
        Column("observed_generation", BigInteger, nullable=False, default=0, server_default="0"),
        Column("settled", Boolean, nullable=False, default=False, server_default=false()),
        Column("deleting", Boolean, nullable=False, default=False, server_default=false()),
        Column("last_error", Long),
    ]


networks = Table(
    "networks", metadata,
    *_standard(), *_desired(),
    Column("admin_state_up", Boolean, nullable=False, default=True, server_default=true()),
    Column("status", Short, nullable=False),
    Column("external", Boolean, nullable=False, default=False, server_default=false()),
    Column("is_default", Boolean, nullable=False, default=False, server_default=false()),
    Column("port_security_enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("mtu", Integer, nullable=False),
    Column("network_type", Short, nullable=False),
    Column("physical_network", Short),
    Column("segmentation_id", Integer),
    Column("segments", Json),                       # all, as they are shown, where there are more than that one
    Column("vlan_transparent", Boolean, nullable=False, default=False, server_default=false()),
    Column("dns_domain", Name, nullable=False, default="", server_default=""),
    Column("availability_zone_hints", Json),
    Column("qos_policy_id", Id),
    Column("subnets", Json),                        # ids in order of creation
    Column("metadata_port_id", Id),
    Column("metadata_mac", String(17)),
    Index("ix_networks_project_id", "project_id"),
    Index("ix_networks_segmentation_id", "segmentation_id"),
    Index("ix_networks_external", "external"),
    Index("ix_networks_qos_policy_id", "qos_policy_id"),
)

network_segments = Table(
    "network_segments", metadata,
    *_standard(name=False),                         # project_id is empty: they are nobody's
    Column("name", Name),
    Column("network_id", Id, nullable=False),
    Column("number", Integer, nullable=False),      # their order; the first is in the network's row as well
    Column("network_type", Short, nullable=False),
    Column("physical_network", Short),
    Column("segmentation_id", Integer),
    Index("ix_network_segments_network_id", "network_id"),
    Index("ix_network_segments_physical_network", "physical_network"),
    Index("ix_network_segments_segmentation_id", "segmentation_id"),
)
subnets = Table(
    "subnets", metadata,
    *_standard(),
    Column("network_id", Id, nullable=False),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", Address, nullable=False),
    Column("first_key", Key, nullable=False),       # sortable bounds of the CIDR
    Column("last_key", Key, nullable=False),
    Column("gateway_ip", Address),
    Column("allocation_pools", Json),
    Column("dns_nameservers", Json),
    Column("host_routes", Json),
    Column("enable_dhcp", Boolean, nullable=False, default=True, server_default=true()),
    Column("ipv6_ra_mode", Short),
    Column("ipv6_address_mode", Short),
    Column("service_types", Json),
    Column("dns_publish_fixed_ip", Boolean, nullable=False, default=False, server_default=false()),
    Column("subnetpool_id", Id),
    Column("metadata_ip", Address),
    Column("next_key", Key),                        # where the search for a free address starts
    Index("ix_subnets_network_id", "network_id"),
    Index("ix_subnets_project_id", "project_id"),
    Index("ix_subnets_subnetpool_id", "subnetpool_id"),
)

ip_allocations = Table(
    "ip_allocations", metadata,
    Column("network_id", Id, primary_key=True),
    Column("ip", Key, primary_key=True),            # sortable form
    Column("following", Key, nullable=False),       # the sortable form of the next address
    Column("address", Address, nullable=False),
    Column("subnet_id", Id, nullable=False),
    Column("port_id", Id, nullable=False),
    Index("ix_ip_allocations_port_id", "port_id"),
    Index("ix_ip_allocations_subnet_id", "subnet_id"),
    Index("ix_ip_allocations_address", "address"),
)

ports = Table(
    "ports", metadata,
    *_standard(), *_desired(),
    Column("network_id", Id, nullable=False),
    Column("role", Short, nullable=False),          # ports.fabric.PortRole
    Column("admin_state_up", Boolean, nullable=False, default=True, server_default=true()),
    Column("status", Short, nullable=False),
    Column("mac_address", String(17)),              # null once deleting: the MAC is free again
    Column("device_id", Name, nullable=False, default="", server_default=""),
    Column("device_owner", Name, nullable=False, default="", server_default=""),
    Column("fixed_ips", Json),                      # [{subnet_id, ip_address}]
    Column("security_groups", Json),                # ids
    Column("allowed_address_pairs", Json),
    Column("extra_dhcp_opts", Json),
    Column("port_security_enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("binding_host", Name),
    Column("binding_profile", Json),
    Column("binding_vnic_type", Short, nullable=False, default="normal", server_default="normal"),
    Column("dns_name", Name, nullable=False, default="", server_default=""),
    Column("dns_domain", Name, nullable=False, default="", server_default=""),
    Column("propagate_uplink_status", Boolean, nullable=False, default=True, server_default=true()),
    Column("trusted", Boolean),                     # null: nobody has said; binding_profile has it as well
    Column("qos_policy_id", Id),
    Column("qos_network_policy_id", Id),            # its network's
    Column("up", Boolean, nullable=False, default=False, server_default=false()),
    Column("held", Json),                           # addresses that the fabric may hold; null: none
    Column("pins", BigInteger, nullable=False, default=0, server_default="0"),     # rises with each association
    Column("server_id", Id),                        # whom compute plugged it into; device_id is only what users write
    Column("created_for_server", Boolean, nullable=False, default=False, server_default=false()),
    Column("trunk_id", Id),                         # of a subport
    Column("parent_port_id", Id),
    Column("trunk_tag", Integer),
    Column("trunk_details", Json),                  # of a parent: the trunk's id, and its subports as clients see them
    Column("attach_tag", Name),
    Column("attach_order", BigInteger, nullable=False, default=0, server_default="0"),
    UniqueConstraint("network_id", "mac_address", name="uq_ports_network_id_mac_address"),
    UniqueConstraint("trunk_id", "trunk_tag", name="uq_ports_trunk_id_trunk_tag"),
    Index("ix_ports_project_id", "project_id"),
    Index("ix_ports_device_id", "device_id"),
    Index("ix_ports_server_id", "server_id"),
    Index("ix_ports_network_id_settled", "network_id", "settled"),
    Index("ix_ports_binding_host", "binding_host"),
    Index("ix_ports_qos_policy_id", "qos_policy_id"),
    Index("ix_ports_qos_network_policy_id", "qos_network_policy_id"),
)

port_security_groups = Table(
    "port_security_groups", metadata,
    Column("port_id", Id, primary_key=True),
    Column("security_group_id", Id, primary_key=True),
    Index("ix_port_security_groups_security_group_id", "security_group_id"),
)

routers = Table(
    "routers", metadata,
    *_standard(), *_desired(),
    Column("admin_state_up", Boolean, nullable=False, default=True, server_default=true()),
    Column("status", Short, nullable=False),
    Column("gateway_network_id", Id),
    Column("gateway_port_id", Id),
    Column("enable_snat", Boolean, nullable=False, default=True, server_default=true()),
    Column("external_fixed_ips", Json),
    Column("routes", Json),                         # [{destination, nexthop}]
    Column("availability_zone_hints", Json),
    Column("distributed", Boolean, nullable=False, default=False, server_default=false()),
    Column("ha", Boolean, nullable=False, default=True, server_default=true()),
    Column("flavor_id", Id),
    Column("gateway_qos_policy_id", Id),
    Column("more_gateways", Json, nullable=False),  # beyond the first: [{port_id, network_id, external_fixed_ips}]
    Column("enable_default_route_ecmp", Boolean, nullable=False, default=False, server_default=false()),
    Column("enable_default_route_bfd", Boolean, nullable=False, default=False, server_default=false()),
    Index("ix_routers_project_id", "project_id"),
    Index("ix_routers_gateway_network_id", "gateway_network_id"),
)

floating_ips = Table(
    "floating_ips", metadata,
    *_standard(name=False), *_desired(),
    Column("floating_network_id", Id, nullable=False),
    Column("floating_ip_address", Address, nullable=False),
    Column("floating_port_id", Id, nullable=False),
    Column("floating_mac", String(17), nullable=False),
    Column("port_id", Id),
    Column("fixed_ip_address", Address),
    Column("router_id", Id),
    Column("status", Short, nullable=False),
    Column("dns_name", Name, nullable=False, default="", server_default=""),
    Column("dns_domain", Name, nullable=False, default="", server_default=""),
    Column("qos_policy_id", Id),
    Column("qos_network_policy_id", Id),            # its network's
    Column("auto_server_id", Id),                   # allocated for this server, released with it
    Column("held", Json),                           # [address, port id, fixed ip] that the fabric may hold
    UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id", name="uq_floating_ips_port_id_fixed"),
    Index("ix_floating_ips_project_id", "project_id"),
    Index("ix_floating_ips_floating_ip_address", "floating_ip_address"),
    Index("ix_floating_ips_router_id", "router_id"),
    Index("ix_floating_ips_settled", "settled"),
    Index("ix_floating_ips_auto_server_id", "auto_server_id"),
)

security_groups = Table(
    "security_groups", metadata,
    *_standard(), *_desired(),
    Column("stateful", Boolean, nullable=False, default=True, server_default=true()),
    Column("default_of", Id),                       # the project whose default group it is
    UniqueConstraint("default_of", name="uq_security_groups_default_of"),
    Index("ix_security_groups_project_id", "project_id"),
)

security_group_rules = Table(
    "security_group_rules", metadata,
    *_standard(name=False),
    Column("security_group_id", Id, nullable=False),
    Column("direction", Short, nullable=False),
    Column("ethertype", Short, nullable=False),
    Column("protocol", Short),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", Name),
    Column("remote_group_id", Id),
    Column("remote_address_group_id", Id),
    Column("fingerprint", String(64), nullable=False),
    UniqueConstraint("security_group_id", "fingerprint", name="uq_security_group_rules_fingerprint"),
    Index("ix_security_group_rules_project_id", "project_id"),
    Index("ix_security_group_rules_remote_group_id", "remote_group_id"),
    Index("ix_security_group_rules_remote_address_group_id", "remote_address_group_id"),
)

subnet_pools = Table(
    "subnet_pools", metadata,
    *_standard(),
    Column("ip_version", Integer, nullable=False),
    Column("prefixes", Json),
    Column("default_prefixlen", Integer, nullable=False),
    Column("min_prefixlen", Integer, nullable=False),
    Column("max_prefixlen", Integer, nullable=False),
    Column("default_quota", Integer),
    Column("address_scope_id", Id),
    Column("is_default", Boolean, nullable=False, default=False, server_default=false()),
    Index("ix_subnet_pools_project_id", "project_id"),
    Index("ix_subnet_pools_address_scope_id", "address_scope_id"),
)

address_scopes = Table(
    "address_scopes", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("name", Name, nullable=False, default="", server_default=""),
    Column("ip_version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_address_scopes_project_id", "project_id"),
)

address_groups = Table(
    "address_groups", metadata,
    *_standard(), *_desired(),
    Column("addresses", Json),                      # CIDRs
    Index("ix_address_groups_project_id", "project_id"),
)

port_forwardings = Table(
    "port_forwardings", metadata,
    *_standard(name=False), *_desired(),
    Column("floating_ip_id", Id, nullable=False),
    Column("floating_ip_address", Address, nullable=False),
    Column("router_id", Id, nullable=False),
    Column("protocol", Short, nullable=False),
    Column("external_low", Integer, nullable=False),
    Column("external_high", Integer, nullable=False),
    Column("internal_low", Integer, nullable=False),
    Column("internal_high", Integer, nullable=False),
    Column("internal_port_id", Id, nullable=False),
    Column("internal_ip_address", Address, nullable=False),
    Index("ix_port_forwardings_floating_ip_id", "floating_ip_id"),
    Index("ix_port_forwardings_floating_ip_address", "floating_ip_address"),
    Index("ix_port_forwardings_internal_port_id", "internal_port_id"),
    Index("ix_port_forwardings_router_id", "router_id"),
)

trunks = Table(
    "trunks", metadata,
    *_standard(),
    Column("admin_state_up", Boolean, nullable=False, default=True, server_default=true()),
    Column("port_id", Id, nullable=False),
    UniqueConstraint("port_id", name="uq_trunks_port_id"),
    Index("ix_trunks_project_id", "project_id"),
)

default_security_group_rules = Table(
    "default_security_group_rules", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, default="", server_default=""),    # nobody's
    Column("description", Long),
    Column("direction", Short, nullable=False),
    Column("ethertype", Short, nullable=False),
    Column("protocol", Short),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", Name),
    Column("remote_group_id", Id),
    Column("remote_address_group_id", Id),
    Column("used_in_default_sg", Boolean, nullable=False, default=False, server_default=false()),
    Column("used_in_non_default_sg", Boolean, nullable=False, default=True, server_default=true()),
    Column("created_at", Instant, nullable=False),
)

security_groups_default_statefulness = Table(
    "security_groups_default_statefulness", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, default="", server_default="", unique=True),   # empty: everybody's
    Column("stateful", Boolean, nullable=False, default=True, server_default=true()),
    Column("created_at", Instant, nullable=False),
)

network_flavors = Table(
    "network_flavors", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, default="", server_default=""),    # nobody's: always empty
    Column("name", Name, nullable=False, default="", server_default=""),
    Column("description", Long),
    Column("service_type", Short, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("created_at", Instant, nullable=False),
)

network_service_profiles = Table(
    "network_service_profiles", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, default="", server_default=""),    # nobody's: always empty
    Column("description", Long),
    Column("driver", Long),
    Column("metainfo", Long),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("created_at", Instant, nullable=False),
)

network_flavor_profiles = Table(
    "network_flavor_profiles", metadata,
    Column("flavor_id", Id, primary_key=True),
    Column("profile_id", Id, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Index("ix_network_flavor_profiles_profile_id", "profile_id"),
)

qos_policies = Table(
    "qos_policies", metadata,
    *_standard(),
    Column("is_default", Boolean, nullable=False, default=False, server_default=false()),
    Index("ix_qos_policies_project_id", "project_id"),
)

qos_rules = Table(
    "qos_rules", metadata,
    Column("id", Id, primary_key=True),
    Column("qos_policy_id", Id, nullable=False),
    Column("type", Short, nullable=False),
    Column("direction", Short, nullable=False),
    Column("max_kbps", Integer),
    Column("max_burst_kbps", Integer),
    Column("min_kbps", Integer),
    Column("dscp_mark", Integer),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("qos_policy_id", "type", "direction", name="uq_qos_rules_qos_policy_id"),
)

rbac_policies = Table(
    "rbac_policies", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("object_type", Short, nullable=False),
    Column("object_id", Id, nullable=False),
    Column("action", Short, nullable=False),
    Column("target_project", Name, nullable=False),     # as it was written; "*": every project
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("object_type", "object_id", "action", "target_project", name="uq_rbac_policies_object"),
    Index("ix_rbac_policies_target_project", "target_project", "object_type"),
    Index("ix_rbac_policies_project_id", "project_id"),
)

network_tags = Table(
    "network_tags", metadata,
    Column("resource_id", Id, primary_key=True),
    Column("tag", Name, primary_key=True),
    Index("ix_network_tags_tag", "tag"),
)

network_quotas = Table(
    "network_quotas", metadata,
    Column("project_id", Id, primary_key=True),     # "default" for the defaults
    Column("resource", Short, primary_key=True),
    Column("quota", Integer, nullable=False),
)

auto_topologies = Table(
    "auto_topologies", metadata,
    Column("project_id", Id, primary_key=True),
    Column("network_id", Id, nullable=False),
    Column("router_id", Id, nullable=False),
)
