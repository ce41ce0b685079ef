"""What is refused, and how things are: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stackling.loadbalancer.errors import invalid_option, unsupported, validation
from stackling.loadbalancer.model import (
    ALGORITHMS,
    LEAST_HTTP_WITH_NAMES,
    LEAST_UDP_DELAY,
    MONITOR_TYPES,
    POOLS_OF_LISTENERS,
    PROTOCOLS,
    RESERVED,
    Operating,
)

Row = Mapping[str, Any]
_DATAGRAMS = ("UDP", "SCTP")


# -- what the provider has

def check_protocol(protocol: str) -> None:
    """Layer 4 only."""
    if protocol not in PROTOCOLS:
        raise unsupported(f"OVN provider does not support {protocol} protocol")


def check_algorithm(algorithm: str) -> None:
    """What a switch can do without counting connections."""
    if algorithm not in ALGORITHMS:
        raise unsupported(f"OVN provider does not support {algorithm} algorithm")


def check_pair(listener_protocol: str, pool_protocol: str) -> None:
    """A pool must speak what its listener does."""
    if pool_protocol not in POOLS_OF_LISTENERS[listener_protocol]:
        raise validation(f"The pool protocol '{pool_protocol}' is invalid while the listener protocol is "
                         f"'{listener_protocol}'.")
    check_protocol(pool_protocol)


def check_persistence(protocol: str, persistence: Row | None) -> None:
    """Session persistence: by the client's address."""
    if not persistence:
        return
    kind, cookie = persistence.get("type"), persistence.get("cookie_name")
    timed = persistence.get("persistence_timeout") or persistence.get("persistence_granularity")
    if protocol in _DATAGRAMS:
        if kind == "SOURCE_IP" and cookie:
            raise validation("session_persistence SOURCE_IP type for UDP and SCTP protocols only accepts: type, "
                             "persistence_timeout, persistence_granularity.")
        if cookie:
            raise validation("Cookie names are not supported for UDP/SCTP pools.")
        if kind in ("HTTP_COOKIE", "APP_COOKIE"):
            raise validation(f"Session persistence of type {kind} is not supported for UDP/SCTP protocol pools.")
    elif timed:
        raise validation("persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.")
    if cookie and kind != "APP_COOKIE":
        raise validation('Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".')
    if kind == "APP_COOKIE" and not cookie:
        raise validation('Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.')
    if kind != "SOURCE_IP":
        raise unsupported(f"OVN provider does not support {kind} session persistence. Only SOURCE_IP type is "
                          "supported.")


def check_tls(protocol: str, spec: Row) -> None:
    """A listener's certificates and HTTP headers, which only listeners of layer 7 have."""
    refs = [name for name in ("default_tls_container_ref", "sni_container_refs", "client_ca_tls_container_ref",
                              "client_crl_container_ref") if spec.get(name)]
    if protocol in _DATAGRAMS and (refs or spec.get("insert_headers")):
        raise validation(f"{protocol} protocol listener does not support TLS.")
    if spec.get("insert_headers") and protocol == "TCP":
        raise invalid_option("insert-headers", f"a {protocol} protocol listener.")
    if refs and protocol == "TCP":
        raise validation(f"Certificate container references are not allowed on {protocol} protocol listeners.")
    mode = spec.get("client_authentication") or "NONE"
    if mode != "NONE" and not spec.get("client_ca_tls_container_ref"):
        raise validation(f"Client authentication setting {mode} requires a client CA container reference.")
    if spec.get("hsts_max_age") or spec.get("hsts_include_subdomains") or spec.get("hsts_preload"):
        raise validation("The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol.")


def check_allowed_cidrs(cidrs: Sequence[str] | None) -> None:
    """The fabric can't keep clients off an address; nobody must believe that it does."""
    if cidrs:
        raise unsupported("OVN provider does not support allowed_cidrs option")


def check_monitor(pool_protocol: str, kind: str, delay: int | None, *, new: bool = True) -> None:
    """Health monitors: TCP, and datagrams that nobody refuses."""
    if pool_protocol in _DATAGRAMS:
        if kind not in ("UDP-CONNECT", "SCTP", "TCP", "HTTP"):
            raise validation(f"The associated pool protocol is {pool_protocol}, so only a UDP-CONNECT/SCTP/TCP/HTTP "
                             "health monitor is supported.")
        if kind == "UDP-CONNECT" and delay is not None and delay < LEAST_UDP_DELAY:
            raise validation(f"The request delay value {delay} should be larger than {LEAST_UDP_DELAY} for UDP-CONNECT "
                             "health monitor type.")
    elif kind in ("UDP-CONNECT", "SCTP"):
        raise validation(f"The {kind} type is only supported for pools of type UDP/SCTP.")
    if new and kind not in MONITOR_TYPES:
        raise unsupported(f"OVN provider does not support {kind} health monitor type. Supported types: "
                          f"{', '.join(MONITOR_TYPES)}")
    if new and pool_protocol == "SCTP":
        raise unsupported("OVN provider does not support health monitors of SCTP pools")


def check_http_of_monitor(kind: str, spec: Row) -> None:
    """What only monitors of layer 7 have."""
    for name in ("http_method", "url_path", "expected_codes"):
        if spec.get(name) is not None and kind not in ("HTTP", "HTTPS"):
            raise invalid_option(name, f"health monitors of type {kind}")
    if spec.get("domain_name") and not spec.get("http_version"):
        raise validation("'http_version' must be specified when 'domain_name' is provided.")
    if spec.get("domain_name") and spec["http_version"] < LEAST_HTTP_WITH_NAMES:
        raise invalid_option(f"http_version {spec['http_version']}",
                             "health monitors HTTP 1.1 domain name health check")


def check_member(spec: Row, vips: Iterable[str], *, several: bool = False) -> None:
    """What a member may be."""
    if spec.get("monitor_address") or spec.get("monitor_port"):
        raise unsupported("OVN provider does not support monitor options" if several else
                          "OVN Load Balancer does not support different member monitor address or port.")
    address = spec.get("address")
    if address is None:
        return
    if address in RESERVED:
        raise invalid_option(address, "member address")
    versions = {ipaddress.ip_address(vip).version for vip in vips}
    if len(versions) == 1 and ipaddress.ip_address(address).version not in versions:
        raise unsupported("OVN provider does not support mixing IPv4/IPv6 configuration within the same Load Balancer.")


def subnet_required(doing: str) -> Exception:
    """A member elsewhere must say where."""
    return unsupported("Subnet is required, or Loadbalancer associated with Pool must have a subnet, for Member "
                       f"{doing} with OVN Provider Driver if it is not the same as LB VIP subnet")


def canonical(address: str) -> str:
    """The shortest form of an address: members are shown as they were given, and one address has many spellings."""
    return str(ipaddress.ip_address(address))


def is_inside(address: str, cidr: str) -> bool:
    """Whether the address belongs to the subnet."""
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


# -- how things are (ovn_octavia_provider.helper, _get_current_operating_statuses)

def member_status(member: Row, monitored: bool, reachable: bool, answers: bool | None) -> Operating:
    """*reachable*: its address is known to the fabric, so that it can be asked; one not asked yet is believed well."""
    if not member["admin_state_up"]:
        return Operating.OFFLINE
    if not monitored:
        return Operating.NO_MONITOR
    return Operating.ERROR if not reachable or answers is False else Operating.ONLINE


def pool_status(pool: Row, members: Sequence[str], used: bool) -> Operating:
    """*members* are their statuses; *used*: it is some listener's."""
    if not pool["admin_state_up"] or not (members or used):
        return Operating.OFFLINE
    failed = [one == Operating.ERROR for one in members]
    if failed and all(failed):
        return Operating.ERROR
    return Operating.DEGRADED if any(failed) else Operating.ONLINE


def above_status(record: Row, below: Iterable[str]) -> Operating:
    """A listener over its pool, or a load balancer over its listeners."""
    if not record["admin_state_up"]:
        return Operating.OFFLINE
    found = set(below)
    return next((one for one in (Operating.ERROR, Operating.DEGRADED) if one in found), Operating.ONLINE)
