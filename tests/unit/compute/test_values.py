"""Host names, key fingerprints, safe patterns, network data."""

from __future__ import annotations

import pytest

from stackling.compute import create, keypairs, listing, metadata
from stackling.core.errors import Invalid
from stackling.network.attachment import PortSubnet, ServerPort


@pytest.mark.parametrize(("name", "host"), [
    ("vm", "vm"), ("My VM_1.example", "my-vm-1-example"), ("--a--", "a"), (".x.", "x"), ("a" * 80, "a" * 63),
    ("日本", "Server-id"), ("ü!", "ü")])
def test_host_names(name: str, host: str) -> None:
    assert create.host_name(name, "id") == host


def test_generated_keys_can_be_imported() -> None:
    for kind in ("rsa", "ed25519"):
        made = keypairs.generate_ssh(kind)
        assert keypairs.import_ssh(made.public).fingerprint == made.fingerprint
        assert made.private is not None
    for wrong in ("", "ssh-rsa", "ssh-rsa AAAA x", "nonsense AAAAC3NzaC1lZDI1NTE5", "\0"):
        with pytest.raises(Invalid):
            keypairs.import_ssh(wrong)


@pytest.mark.parametrize("pattern", [
    "(a+)+$", "(a|aa)*b", "((x*)*)*", r"(.)\1", "(?=a)", "a*b*c*d*e*f*", "[", "x" * 300])
def test_patterns_that_may_take_long_are_refused(pattern: str) -> None:
    with pytest.raises(Invalid):
        listing.safe_pattern(pattern)


@pytest.mark.parametrize("pattern", ["^web-[0-9]+$", ".*", "a.b", "^x", "(a|b)-1"])
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert listing.safe_pattern(pattern)


def test_user_data_is_base64() -> None:
    create.check_user_data(None)
    create.check_user_data("aGk=\naGk=")
    for wrong in ("%", "aGk", "a b!c"):
        with pytest.raises(Invalid):
            create.check_user_data(wrong)


def _port(*subnets: tuple[PortSubnet, str]) -> ServerPort:
    return ServerPort("p1", "s", "n1", "net", "fa:16:3e:00:00:01", 1442,
                      tuple((s.id, ip, s.ip_version) for s, ip in subnets), True, "tagged", (("g", "default"),), "",
                      "h", "ACTIVE", True, (("10.0.0.5", "203.0.113.9"),), tuple(s for s, _ in subnets))


def test_network_data() -> None:
    dhcp = PortSubnet("v4", "10.0.0.0/24", 4, "10.0.0.1", True, ("9.9.9.9",))
    static = PortSubnet("v6", "fd00::/64", 6, "fd00::1", False, ("2620:fe::fe",), (("fd01::/64", "fd00::9"),))
    shown = metadata.network_data([_port((dhcp, "10.0.0.5"), (static, "fd00::5"))])
    assert [link["ethernet_mac_address"] for link in shown["links"]] == ["fa:16:3e:00:00:01"]
    assert [network["type"] for network in shown["networks"]] == ["ipv4_dhcp", "ipv6"]
    assert shown["networks"][1]["routes"] == [
        {"network": "::", "netmask": "::", "gateway": "fd00::1"},
        {"network": "fd01::", "netmask": "ffff:ffff:ffff:ffff::", "gateway": "fd00::9"}]
    assert shown["services"] == [{"type": "dns", "address": "9.9.9.9"}, {"type": "dns", "address": "2620:fe::fe"}]


def test_addresses() -> None:
    dhcp = PortSubnet("v4", "10.0.0.0/24", 4, "10.0.0.1", True)
    shown = metadata.addresses([_port((dhcp, "10.0.0.5"))])
    assert [(a["OS-EXT-IPS:type"], a["addr"], a["version"]) for a in shown["net"]] == [
        ("fixed", "10.0.0.5", 4), ("floating", "203.0.113.9", 4)]
