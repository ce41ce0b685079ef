"""The rows of each resource."""

from __future__ import annotations

from stackling.network.rows import Rows
from stackling.store.tables import network as tables

NETWORKS = Rows(tables.networks)
SEGMENTS = Rows(tables.network_segments)
SUBNETS = Rows(tables.subnets)
PORTS = Rows(tables.ports)
ROUTERS = Rows(tables.routers)
FLOATING_IPS = Rows(tables.floating_ips)
SECURITY_GROUPS = Rows(tables.security_groups)
RULES = Rows(tables.security_group_rules)
SUBNET_POOLS = Rows(tables.subnet_pools)
ADDRESS_SCOPES = Rows(tables.address_scopes)
ADDRESS_GROUPS = Rows(tables.address_groups)
PORT_FORWARDINGS = Rows(tables.port_forwardings)
DEFAULT_RULES = Rows(tables.default_security_group_rules)
DEFAULT_STATEFULNESS = Rows(tables.security_groups_default_statefulness)
FLAVORS = Rows(tables.network_flavors)
SERVICE_PROFILES = Rows(tables.network_service_profiles)
TRUNKS = Rows(tables.trunks)
QOS_POLICIES = Rows(tables.qos_policies)
QOS_RULES = Rows(tables.qos_rules)
RBAC_POLICIES = Rows(tables.rbac_policies)
