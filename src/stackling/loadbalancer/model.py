"""The words of the API for what a load balancer is and how it is."""

from __future__ import annotations

from enum import StrEnum


class Provisioning(StrEnum):
    """Whether the fabric has what the API says (``provisioning_status``)."""

    ACTIVE = "ACTIVE"
    ERROR = "ERROR"
    PENDING_CREATE = "PENDING_CREATE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"


class Operating(StrEnum):
    """Whether it works (``operating_status``)."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DEGRADED = "DEGRADED"
    ERROR = "ERROR"
    NO_MONITOR = "NO_MONITOR"


KIND = "load_balancer"
DEADLINE = 60.0
"""Seconds after which a change that isn't there yet is shown as ERROR (and tried on)."""

PROTOCOLS = ("TCP", "UDP", "SCTP")
ALGORITHMS = {"SOURCE_IP_PORT": ("ip_src", "ip_dst", "tp_src", "tp_dst"), "SOURCE_IP": ("ip_src", "ip_dst")}
"""What of a connection chooses the member, in OVN's names."""
MONITOR_TYPES = ("UDP-CONNECT", "TCP")
POOLS_OF_LISTENERS = {
    "TCP": ("HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"), "HTTP": ("HTTP", "PROXY", "PROXYV2"),
    "HTTPS": ("HTTPS", "PROXY", "PROXYV2", "TCP"), "TERMINATED_HTTPS": ("HTTP", "PROXY", "PROXYV2"),
    "UDP": ("UDP",), "SCTP": ("SCTP",), "PROMETHEUS": (),
}
LEAST_HTTP_WITH_NAMES = 1.1
LEAST_UDP_DELAY = 3             # seconds
RESERVED = ("169.254.169.254",)
"""No member may have it: it is the metadata service's."""
