"""The network service's pure decisions."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackling.network import addresses, rules
from stackling.ports.fabric import PortRole


@pytest.mark.parametrize(("cidr", "mac", "wanted"), [
    ("2001:db8::/64", "fa:16:3e:12:34:56", "2001:db8::f816:3eff:fe12:3456"),
    ("fd00:1::/64", "00:16:3e:00:00:01", "fd00:1::216:3eff:fe00:1"),
])
def test_eui64(cidr: str, mac: str, wanted: str) -> None:
    assert rules.eui64(cidr, mac) == wanted


@pytest.mark.parametrize(("cidr", "gateway", "pools"), [
    ("10.0.0.0/24", "10.0.0.1", [("10.0.0.2", "10.0.0.254")]),
    ("10.0.0.0/24", "10.0.0.254", [("10.0.0.1", "10.0.0.253")]),
    ("10.0.0.0/24", "10.0.0.100", [("10.0.0.1", "10.0.0.99"), ("10.0.0.101", "10.0.0.254")]),
    ("10.0.0.0/24", None, [("10.0.0.1", "10.0.0.254")]),
    ("10.0.0.0/24", "192.0.2.1", [("10.0.0.1", "10.0.0.254")]),
    ("10.0.0.0/30", "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
    ("10.0.0.0/31", "10.0.0.0", [("10.0.0.1", "10.0.0.1")]),
    ("10.0.0.0/32", "10.0.0.0", []),
    ("2001:db8::/64", "2001:db8::1", [("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff")]),
])
def test_default_pools(cidr: str, gateway: str | None, pools: list[tuple[str, str]]) -> None:
    found = rules.default_pools(ipaddress.ip_network(cidr), gateway)
    assert [(pool["start"], pool["end"]) for pool in found] == pools


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_keys_sort_as_addresses_do(one: int, two: int) -> None:
    assert (addresses.key(one, 4) < addresses.key(two, 4)) == (one < two)
    assert addresses.of_key(addresses.key(one, 4)) == str(ipaddress.IPv4Address(one))


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_keys_of_ipv6_too(one: int, two: int) -> None:
    assert (addresses.key(one, 6) < addresses.key(two, 6)) == (one < two)
    assert addresses.key(addresses.of_key(addresses.key(one, 6))) == addresses.key(one, 6)


def rule(**given: object) -> dict[str, object]:
    return {"direction": "ingress", "ethertype": "IPv4", "protocol": None, "port_range_min": None,
            "port_range_max": None, "remote_ip_prefix": None, "remote_group_id": None,
            "remote_address_group_id": None, **given}


@pytest.mark.parametrize(("one", "two", "same"), [
    ({"protocol": "tcp"}, {"protocol": "6"}, True),
    ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "58", "ethertype": "IPv6"}, True),
    ({"remote_ip_prefix": "0.0.0.0/0"}, {}, True),
    ({"remote_ip_prefix": "10.0.0.1/8"}, {"remote_ip_prefix": "10.0.0.0/8"}, True),
    ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, {"protocol": "tcp"}, True),
    ({"protocol": "tcp"}, {"protocol": "udp"}, False),
    ({"direction": "egress"}, {}, False),
    ({"ethertype": "IPv6"}, {}, False),
    ({"remote_group_id": "a"}, {"remote_group_id": "b"}, False),
    ({"protocol": "icmp", "port_range_min": 1, "port_range_max": 65535}, {"protocol": "icmp"}, False),
])
def test_which_rules_are_the_same(one: dict[str, object], two: dict[str, object], same: bool) -> None:
    assert (rules.rule_fingerprint(rule(**one)) == rules.rule_fingerprint(rule(**two))) is same


@pytest.mark.parametrize(("given", "status"), [
    ({"role": PortRole.INTERFACE, "binding_host": "", "admin_state_up": True, "up": True}, "DOWN"),
    ({"role": PortRole.INTERFACE, "binding_host": "h", "admin_state_up": True, "up": True}, "ACTIVE"),
    ({"role": PortRole.INTERFACE, "binding_host": "h", "admin_state_up": True, "up": False}, "DOWN"),
    ({"role": PortRole.INTERFACE, "binding_host": "h", "admin_state_up": False, "up": True}, "DOWN"),
    ({"role": PortRole.ROUTER, "binding_host": "", "admin_state_up": True, "up": True}, "ACTIVE"),
    ({"role": PortRole.FLOATING, "binding_host": "", "admin_state_up": True, "up": False}, "N/A"),
])
def test_port_status(given: dict[str, object], status: str) -> None:
    assert rules.port_status(given) == status


@pytest.mark.parametrize(("port", "router", "settled", "status"), [
    (None, None, True, "DOWN"), ("p", "r", False, "DOWN"), ("p", "r", True, "ACTIVE"), (None, "r", True, "ACTIVE"),
])
def test_floating_ip_status(port: str | None, router: str | None, settled: bool, status: str) -> None:
    """With a router and no port its ports are forwarded."""
    assert rules.floating_ip_status({"port_id": port, "router_id": router, "settled": settled}) == status
