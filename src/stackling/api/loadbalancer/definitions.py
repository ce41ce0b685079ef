"""The attributes of every request (octavia.api.v2.types)."""

from __future__ import annotations

from stackling.api.loadbalancer import attributes as a
from stackling.api.loadbalancer.attributes import REQUIRED, Attribute, Table, nested, optional
from stackling.core.ids import new_id

_TEXT, _LONG, _UUID, _YES, _NO = (Attribute(a.text()), Attribute(a.text(2048)), Attribute(a.uuid),
                                  Attribute(a.boolean, True), Attribute(a.boolean, False))
_TAGS, _PORT = Attribute(a.tags), a.integer(1, 65535)
_TIMEOUT = Attribute(a.integer(0, 24 * 24 * 60 * 60 * 1000))        # milliseconds: 24 days
_RETRIES = a.integer(1, 10)
_LISTENER_PROTOCOL = a.one_of("TCP", "HTTPS", "HTTP", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS")
_POOL_PROTOCOL = a.one_of("TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP")
_ALGORITHM = a.one_of("LEAST_CONNECTIONS", "ROUND_ROBIN", "SOURCE_IP", "SOURCE_IP_PORT")
_PERSISTENCE = a.one_of("SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE")
_TLS = {"tls_ciphers": _LONG, "tls_versions": Attribute(a.list_of(a.text(32))),
        "alpn_protocols": Attribute(a.list_of(a.one_of("h2", "http/1.1", "http/1.0")))}

_COOKIE: Table = {"cookie_name": Attribute(a.text(255, r"^[^\s,;\\]+$"), None),
                  "persistence_timeout": Attribute(a.integer(), None),
                  "persistence_granularity": Attribute(a.spelled_address, None)}
PERSISTENCE: Table = {"type": Attribute(_PERSISTENCE, REQUIRED), **_COOKIE}
PERSISTENCE_UPDATE: Table = {"type": Attribute(_PERSISTENCE), **_COOKIE}

MEMBER: Table = {
    "name": _TEXT, "admin_state_up": _YES, "address": Attribute(a.spelled_address, REQUIRED),
    "protocol_port": Attribute(_PORT, REQUIRED), "weight": Attribute(a.integer(0, 256), 1), "backup": _NO,
    "subnet_id": _UUID, "monitor_port": Attribute(_PORT), "monitor_address": Attribute(a.address), "tags": _TAGS,
    "request_sriov": _NO,
}
MEMBER_UPDATE: Table = optional({name: one for name, one in MEMBER.items() if name not in (
    "address", "protocol_port", "subnet_id", "request_sriov")})

MONITOR: Table = {
    "name": _TEXT, "type": Attribute(a.one_of("HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP"),
                                     REQUIRED),
    "delay": Attribute(a.integer(0), REQUIRED), "timeout": Attribute(a.integer(0), REQUIRED),
    "max_retries_down": Attribute(_RETRIES, 3), "max_retries": Attribute(_RETRIES, REQUIRED),
    "http_method": Attribute(a.one_of("GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH")),
    "url_path": _TEXT, "expected_codes": Attribute(a.text(64, r"^(\d{3}(\s*,\s*\d{3})*)$|^(\d{3}-\d{3})$")),
    "admin_state_up": _YES, "tags": _TAGS, "http_version": Attribute(a.number), "domain_name": _TEXT,
}
MONITOR_CREATE: Table = {**MONITOR, "project_id": _TEXT, "tenant_id": _TEXT, "pool_id": Attribute(a.uuid, REQUIRED)}
MONITOR_UPDATE: Table = optional({name: one for name, one in MONITOR.items() if name != "type"})

_POOL: Table = {
    "name": _TEXT, "description": _TEXT, "admin_state_up": _YES, "session_persistence": Attribute(nested(
        lambda: PERSISTENCE)), "tags": _TAGS, "tls_container_ref": _TEXT, "ca_tls_container_ref": _TEXT,
    "crl_container_ref": _TEXT, "tls_enabled": _NO, **_TLS,
}
_BELOW_POOL: Table = {"healthmonitor": Attribute(nested(lambda: MONITOR, id=new_id)),
                      "members": Attribute(a.list_of(nested(lambda: MEMBER, id=new_id)))}
POOL: Table = {**_POOL, **_BELOW_POOL, "protocol": Attribute(_POOL_PROTOCOL), "lb_algorithm": Attribute(_ALGORITHM)}
"""As part of a request that makes everything at once, where it may be a name only."""
POOL_CREATE: Table = {
    **_POOL, **_BELOW_POOL, "listener_id": _UUID, "loadbalancer_id": _UUID, "project_id": _TEXT, "tenant_id": _TEXT,
    "protocol": Attribute(_POOL_PROTOCOL, REQUIRED), "lb_algorithm": Attribute(_ALGORITHM, REQUIRED)}
POOL_UPDATE: Table = {**optional(_POOL), "lb_algorithm": Attribute(_ALGORITHM),
                      "session_persistence": Attribute(nested(lambda: PERSISTENCE_UPDATE))}

LISTENER: Table = {
    "name": _TEXT, "description": _TEXT, "admin_state_up": _YES,
    "protocol": Attribute(_LISTENER_PROTOCOL, REQUIRED), "protocol_port": Attribute(_PORT, REQUIRED),
    "connection_limit": Attribute(a.integer(-1), -1), "default_tls_container_ref": _TEXT,
    "sni_container_refs": Attribute(a.list_of(a.text())), "default_pool_id": _UUID,
    "default_pool": Attribute(nested(lambda: POOL, id=new_id)), "l7policies": Attribute(a.list_of(a.mapping)),
    "insert_headers": Attribute(a.mapping), "timeout_client_data": _TIMEOUT, "timeout_member_connect": _TIMEOUT,
    "timeout_member_data": _TIMEOUT, "timeout_tcp_inspect": _TIMEOUT, "tags": _TAGS,
    "client_ca_tls_container_ref": _TEXT,
    "client_authentication": Attribute(a.one_of("NONE", "OPTIONAL", "MANDATORY"), "NONE"),
    "client_crl_container_ref": _TEXT, "allowed_cidrs": Attribute(a.list_of(a.cidr)),
    "hsts_max_age": Attribute(a.integer(0)), "hsts_include_subdomains": _NO, "hsts_preload": _NO, **_TLS,
}
LISTENER_CREATE: Table = {**LISTENER, "project_id": _TEXT, "tenant_id": _TEXT,
                          "loadbalancer_id": Attribute(a.uuid, REQUIRED)}
LISTENER_UPDATE: Table = optional({name: one for name, one in LISTENER.items() if name not in (
    "protocol", "protocol_port", "default_pool", "l7policies")})

_VIP: Table = {"subnet_id": Attribute(a.uuid, REQUIRED), "ip_address": Attribute(a.address), "port_id": _UUID}
BALANCER_CREATE: Table = {
    "name": _TEXT, "description": _TEXT, "admin_state_up": _YES, "vip_address": Attribute(a.address),
    "vip_port_id": _UUID, "vip_subnet_id": _UUID, "vip_network_id": _UUID, "vip_qos_policy_id": _UUID,
    "vip_sg_ids": Attribute(a.list_of(a.uuid)), "additional_vips": Attribute(a.list_of(nested(lambda: _VIP))),
    "project_id": Attribute(a.text(36)), "tenant_id": Attribute(a.text(36)),
    "listeners": Attribute(a.list_of(nested(lambda: LISTENER, id=new_id))),
    "pools": Attribute(a.list_of(nested(lambda: POOL, id=new_id))), "provider": Attribute(a.text(64)), "tags": _TAGS,
    "flavor_id": _UUID, "availability_zone": _TEXT,
}
BALANCER_UPDATE: Table = {
    "name": _TEXT, "description": _TEXT, "vip_qos_policy_id": _UUID, "admin_state_up": Attribute(a.boolean),
    "vip_sg_ids": Attribute(a.list_of(a.uuid)), "tags": _TAGS}

_PROFILE: Table = {"name": Attribute(a.text(), REQUIRED), "provider_name": Attribute(a.text(), REQUIRED)}
FLAVOR_PROFILE: Table = {**_PROFILE, "flavor_data": Attribute(a.text(4096), REQUIRED)}
ZONE_PROFILE: Table = {**_PROFILE, "availability_zone_data": Attribute(a.text(4096), REQUIRED)}
FLAVOR: Table = {"name": Attribute(a.text(), REQUIRED), "description": _TEXT, "enabled": _YES,
                 "flavor_profile_id": Attribute(a.uuid, REQUIRED)}
ZONE: Table = {"name": Attribute(a.text(), REQUIRED), "description": _TEXT, "enabled": _YES,
               "availability_zone_profile_id": Attribute(a.uuid, REQUIRED)}

_QUOTA = Attribute(a.integer(-1, 2_000_000_000))
QUOTA: Table = dict.fromkeys((
    "loadbalancer", "load_balancer", "listener", "member", "pool", "healthmonitor", "health_monitor", "l7policy",
    "l7rule"), _QUOTA)
