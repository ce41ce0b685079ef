"""The part of OVN's northbound schema that we replicate: what isn't named here isn't fetched (ovn-nb(5))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DATABASE = "OVN_Northbound"

_MANY = {"min": 0, "max": "unlimited"}
_TYPES: Mapping[str, Any] = {
    "string": "string",
    "integer": "integer",
    "string?": {"key": "string", "min": 0, "max": 1},
    "integer?": {"key": "integer", "min": 0, "max": 1},
    "boolean?": {"key": "boolean", "min": 0, "max": 1},
    "uuid?": {"key": "uuid", "min": 0, "max": 1},
    "string*": {"key": "string", **_MANY},
    "uuid*": {"key": "uuid", **_MANY},
    "map": {"key": "string", "value": "string", **_MANY},
    "numbers": {"key": "string", "value": "integer", **_MANY},
}

# Table: (is a root, its columns). Rows of a table that isn't a root vanish when nothing refers to them.
TABLES: Mapping[str, tuple[bool, Mapping[str, str]]] = {
    "Logical_Switch": (True, {
        "name": "string", "ports": "uuid*", "acls": "uuid*", "dns_records": "uuid*", "load_balancer": "uuid*",
        "qos_rules": "uuid*", "other_config": "map", "external_ids": "map"}),
    "Logical_Switch_Port": (False, {
        "name": "string", "type": "string", "options": "map", "parent_name": "string?", "tag": "integer?",
        "addresses": "string*",
        "port_security": "string*", "up": "boolean?", "enabled": "boolean?", "dhcpv4_options": "uuid?",
        "dhcpv6_options": "uuid?", "external_ids": "map"}),
    "Port_Group": (True, {"name": "string", "ports": "uuid*", "acls": "uuid*", "external_ids": "map"}),
    "Address_Set": (True, {"name": "string", "addresses": "string*", "external_ids": "map"}),
    "ACL": (False, {
        "priority": "integer", "direction": "string", "match": "string", "action": "string", "options": "map",
        "external_ids": "map"}),
    "QoS": (False, {
        "priority": "integer", "direction": "string", "match": "string", "bandwidth": "numbers", "action": "numbers",
        "external_ids": "map"}),
    "DHCP_Options": (True, {"cidr": "string", "options": "map", "external_ids": "map"}),
    "DNS": (True, {"records": "map", "external_ids": "map"}),
    "Logical_Router": (True, {
        "name": "string", "ports": "uuid*", "static_routes": "uuid*", "nat": "uuid*", "enabled": "boolean?",
        "load_balancer": "uuid*", "options": "map", "external_ids": "map"}),
    "Logical_Router_Port": (False, {
        "name": "string", "mac": "string", "networks": "string*", "gateway_chassis": "uuid*", "options": "map",
        "ipv6_ra_configs": "map", "external_ids": "map"}),
    "Logical_Router_Static_Route": (False, {
        "ip_prefix": "string", "nexthop": "string", "output_port": "string?", "bfd": "uuid?", "external_ids": "map"}),
    "BFD": (True, {"logical_port": "string", "dst_ip": "string", "external_ids": "map"}),
    "Gateway_Chassis": (False, {
        "name": "string", "chassis_name": "string", "priority": "integer", "external_ids": "map"}),
    "NAT": (False, {
        "type": "string", "external_ip": "string", "logical_ip": "string", "external_mac": "string?",
        "logical_port": "string?", "gateway_port": "uuid?", "external_ids": "map"}),
    "Load_Balancer": (True, {
        "name": "string", "vips": "map", "protocol": "string?", "health_check": "uuid*", "ip_port_mappings": "map",
        "selection_fields": "string*", "options": "map", "external_ids": "map"}),
    "Load_Balancer_Health_Check": (False, {"vip": "string", "options": "map", "external_ids": "map"}),
    # Control-plane protection, which we don't use: its rows are inert, and carry the fences of what was removed.
    "Copp": (True, {"name": "string", "external_ids": "map"}),
}

# Columns that hold members of several objects: their change isn't a change of the row's own object.
SHARED: frozenset[str] = frozenset({"ports", "nat", "dns_records", "load_balancer", "qos_rules"})


def schema_json() -> dict[str, Any]:
    """The schema as ``ovs.db`` reads it."""
    return {"name": DATABASE, "version": "7.0.0", "tables": {
        table: {"isRoot": root, "columns": {name: {"type": _TYPES[kind]} for name, kind in columns.items()}}
        for table, (root, columns) in TABLES.items()}}
