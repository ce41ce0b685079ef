"""How each resource is shown: records to the bodies of Octavia's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackling.loadbalancer.rows import Record
from stackling.loadbalancer.tree import Tree

Body = dict[str, Any]


def _seconds(instant: str | None) -> str | None:
    return None if instant is None else instant[:19]


def _standard(record: Record) -> Body:
    return {
        "id": record["id"], "name": record["name"],
        **({"description": record["description"] or ""} if "description" in record else {}),
        "provisioning_status": record["provisioning_status"], "operating_status": record["operating_status"],
        "admin_state_up": record["admin_state_up"], "project_id": record["project_id"],
        "tenant_id": record["project_id"], "created_at": _seconds(record["created_at"]),
        "updated_at": _seconds(record["updated_at"]), "tags": record["tags"] or []}


def _ids(records: Iterable[Record]) -> list[Body]:
    return [{"id": one["id"]} for one in records]


def load_balancer(one: Record, below: Tree, *, full: bool = False) -> Body:
    """A load balancer; *full*: with everything below it, as the answer to its creation."""
    listeners = [part for part in below.listeners if part["load_balancer_id"] == one["id"]]
    pools = [part for part in below.pools if part["load_balancer_id"] == one["id"]]
    return {
        **_standard(one), "vip_address": one["vip_address"], "vip_port_id": one["vip_port_id"],
        "vip_subnet_id": one["vip_subnet_id"], "vip_network_id": one["vip_network_id"], "vip_sg_ids": [],
        "additional_vips": one["additional_vips"] or [], "provider": one["provider"], "flavor_id": None,
        "vip_qos_policy_id": None, "availability_zone": None, "vip_vnic_type": "normal",
        "listeners": [listener(part, full=True) for part in listeners] if full else _ids(listeners),
        "pools": [pool(part, below, full=True) for part in pools] if full else _ids(pools)}


def listener(one: Record, *, full: bool = False) -> Body:
    """A listener. What only layer 7 has is empty."""
    return {
        **_standard(one), "protocol": one["protocol"], "protocol_port": one["protocol_port"],
        "connection_limit": one["connection_limit"], "default_tls_container_ref": None, "sni_container_refs": [],
        "default_pool_id": one["default_pool_id"], "l7policies": [], "insert_headers": {},
        **({} if full else {"loadbalancers": [{"id": one["load_balancer_id"]}]}),
        "timeout_client_data": one["timeout_client_data"], "timeout_member_connect": one["timeout_member_connect"],
        "timeout_member_data": one["timeout_member_data"], "timeout_tcp_inspect": one["timeout_tcp_inspect"],
        "client_ca_tls_container_ref": None, "client_authentication": "NONE", "client_crl_container_ref": None,
        "allowed_cidrs": None, "tls_ciphers": None, "tls_versions": None, "alpn_protocols": None,
        "hsts_max_age": None, "hsts_include_subdomains": False, "hsts_preload": False}


def pool(one: Record, below: Tree, *, full: bool = False) -> Body:
    """A pool."""
    members, monitor = below.of_pool(one["id"])
    body: Body = {
        **_standard(one), "protocol": one["protocol"], "lb_algorithm": one["lb_algorithm"],
        "session_persistence": one["session_persistence"], "listeners": _ids(below.users(one["id"])),
        "tls_container_ref": None, "ca_tls_container_ref": None, "crl_container_ref": None, "tls_enabled": False,
        "tls_ciphers": None, "tls_versions": None, "alpn_protocols": None}
    if full:
        body["members"] = [member(part) for part in members]
        body["healthmonitor"] = None if monitor is None else health_monitor(monitor, full=True)
        return body
    return {**body, "loadbalancers": [{"id": one["load_balancer_id"]}], "members": _ids(members),
            "healthmonitor_id": None if monitor is None else monitor["id"]}


def member(one: Record) -> Body:
    """A member."""
    return {
        **_standard(one), "address": one["address"], "protocol_port": one["protocol_port"], "weight": one["weight"],
        "backup": one["backup"], "subnet_id": one["subnet_id"], "monitor_address": None, "monitor_port": None,
        "vnic_type": "normal"}


def health_monitor(one: Record, *, full: bool = False) -> Body:
    """A health monitor."""
    return {
        **_standard(one), "type": one["type"], "delay": one["delay"], "timeout": one["timeout"],
        "max_retries": one["max_retries"], "max_retries_down": one["max_retries_down"], "http_method": None,
        "url_path": None, "expected_codes": None, "http_version": None, "domain_name": None,
        **({} if full else {"pools": [{"id": one["pool_id"]}]})}


# -- the tree of statuses

def status(one: Record, below: Tree) -> Body:
    """A load balancer's listeners with their pools, all with their statuses."""
    pools = {part["id"]: _pool_status(part, below) for part in below.pools}
    return {"loadbalancer": {**_statuses(one), "listeners": [
        {**_statuses(part), "pools": [pools[part["default_pool_id"]]] if part["default_pool_id"] in pools else []}
        for part in below.listeners]}}


def _statuses(one: Record) -> Body:
    return {"id": one["id"], "name": one["name"], "operating_status": one["operating_status"],
            "provisioning_status": one["provisioning_status"]}


def _pool_status(one: Record, below: Tree) -> Body:
    members, monitor = below.of_pool(one["id"])
    return {
        **_statuses(one), **({} if monitor is None else {
            "health_monitor": {**_statuses(monitor), "type": monitor["type"]}}),
        "members": [{**_statuses(part), "address": part["address"], "protocol_port": part["protocol_port"]}
                    for part in members]}


STATISTICS: Mapping[str, int] = dict.fromkeys(
    ("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"), 0)
"""A switch counts nothing a load balancer, and the provider says so with zeros."""
