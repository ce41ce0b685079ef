"""Ports and security groups through HTTP."""

from __future__ import annotations

import ipaddress

import pytest

from stackling.network import facade
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, ok, refused


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


def eui64(prefix: str, mac: str) -> str:
    parts = [int(part, 16) for part in mac.split(":")]
    host = bytes([parts[0] ^ 2, *parts[1:3], 0xff, 0xfe, *parts[3:]])
    return str(ipaddress.IPv6Network(prefix)[int.from_bytes(host, "big")])


def test_a_port_lives_and_dies(mine: Neutron, member: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    port = mine.port(network, name="p")
    assert port["status"] == "DOWN"
    assert port["admin_state_up"] is True
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.2"}]
    assert port["mac_address"].startswith("fa:16:3e:")
    assert len(port["security_groups"]) == 1
    assert port["device_id"] == port["device_owner"] == ""
    assert "binding:host_id" not in port
    assert port["binding:vnic_type"] == "normal"
    changed = mine.update("ports", "port", port["id"], name="q", admin_state_up=False, device_id="d", device_owner="o")
    assert (changed["name"], changed["admin_state_up"], changed["device_id"]) == ("q", False, "d")
    mine.delete("ports", port["id"])
    refused(member.get(f"{N}/ports/{port['id']}"), 404, "PortNotFound")


def test_a_port_without_a_subnet_has_no_address(mine: Neutron) -> None:
    port = mine.port(mine.network())
    assert port["fixed_ips"] == []
    assert port["ip_allocation"] == "none"


def test_one_address_of_each_version(mine: Neutron) -> None:
    network = mine.network()
    subnets = [mine.subnet(network, cidr)["id"] for cidr in ("10.0.0.0/24", "10.1.0.0/24", "2001:db8::/64")]
    port = mine.port(network)
    assert [one["subnet_id"] for one in port["fixed_ips"]] == [subnets[0], subnets[2]]


@pytest.mark.parametrize("modes", [("slaac", "slaac"), ("dhcpv6-stateless", "dhcpv6-stateless"), (None, "slaac")])
def test_slaac_addresses_come_from_the_mac(mine: Neutron, modes: tuple[str | None, str]) -> None:
    network = mine.network()
    mine.subnet(network)
    given = {"ipv6_address_mode": modes[1], **({"ipv6_ra_mode": modes[0]} if modes[0] else {})}
    six = mine.subnet(network, "2001:db8::/64", **given)
    port = mine.port(network, mac_address="fa:16:3e:12:34:56")
    wanted = eui64("2001:db8::/64", "fa:16:3e:12:34:56")
    assert {"subnet_id": six["id"], "ip_address": wanted} in port["fixed_ips"]
    mine.delete("subnets", six["id"])       # no obstacle: such addresses go with the subnet
    assert len(mine.show("ports", port["id"])["fixed_ips"]) == 1
    later = mine.subnet(network, "2001:db8::/64", **given)
    assert {"subnet_id": later["id"], "ip_address": wanted} in mine.show("ports", port["id"])["fixed_ips"]


def test_exact_addresses(mine: Neutron, member: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    port = mine.port(network, fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.77"}]
    outside = mine.port(network, fixed_ips=[{"subnet_id": subnet["id"]}, {"ip_address": "10.0.0.1"}])
    assert len(outside["fixed_ips"]) == 2
    body = {"network_id": network["id"]}
    for fixed, status, type_ in (
            ({"ip_address": "10.0.0.77"}, 409, "IpAddressAlreadyAllocated"),
            ({"ip_address": "10.9.0.1"}, 400, "InvalidIpForNetwork"),
            ({"ip_address": "10.9.0.1", "subnet_id": subnet["id"]}, 400, "InvalidIpForSubnet"),
            ({"ip_address": "10.0.0.255"}, 400, "InvalidIpForSubnet"),
            ({"ip_address": "x"}, 400, "HTTPBadRequest"),
            ({"subnet_id": network["id"]}, 400, "InvalidInput"),
            ({"subnet": subnet["id"]}, 400, "HTTPBadRequest"),
            ({}, 400, "InvalidInput")):
        refused(member.post(f"{N}/ports", {"port": {**body, "fixed_ips": [fixed]}}), status, type_)
    assert len(mine.list("ports", device_owner="")) == 2


def test_addresses_change(mine: Neutron, member: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    port = mine.port(network)
    first = port["fixed_ips"][0]["ip_address"]
    kept = mine.update("ports", "port", port["id"], fixed_ips=[{"subnet_id": subnet["id"]}])
    assert kept["fixed_ips"] == port["fixed_ips"]
    moved = mine.update("ports", "port", port["id"], fixed_ips=[{"ip_address": "10.0.0.50"}])
    assert [one["ip_address"] for one in moved["fixed_ips"]] == ["10.0.0.50"]
    assert mine.port(network, fixed_ips=[{"ip_address": first}])
    refused(member.put(f"{N}/ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": first}]}}), 409,
            "IpAddressAlreadyAllocated")
    assert mine.update("ports", "port", port["id"], fixed_ips=[])["fixed_ips"] == []


def test_a_small_pool_runs_dry_and_recovers_at_once(mine: Neutron, member: Client) -> None:
    network = mine.network()
    mine.subnet(network, allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.11"}])
    first, second = mine.port(network), mine.port(network)
    assert {p["fixed_ips"][0]["ip_address"] for p in (first, second)} == {"10.0.0.10", "10.0.0.11"}
    message = refused(member.post(f"{N}/ports", {"port": {"network_id": network["id"]}}), 409,
                      "IpAddressGenerationFailure")
    assert message == f"No more IP addresses available on network {network['id']}."
    mine.delete("ports", first["id"])
    assert mine.port(network)["fixed_ips"] == first["fixed_ips"]


def test_a_manager_changes_macs_in_the_projects_networks(cloud: CloudUnderTest, mine: Neutron, member: Client,
                                                         admin: Client) -> None:
    manager = cloud.actor(member.body["project"]["name"], "manager")
    port, foreign = mine.port(mine.network()), mine.port(Neutron(admin).network(shared=True))
    for one, status in ((port, 200), (foreign, 403)):
        change = {"port": {"mac_address": "fa:16:3e:00:00:09"}}
        assert manager.put(f"{N}/ports/{one['id']}", change).status_code == status


def test_macs_are_unique_in_a_network(mine: Neutron, member: Client, admin: Client) -> None:
    network = mine.network()
    port = mine.port(network, mac_address="FA-16-3E-00-00-01")
    assert port["mac_address"] == "fa:16:3e:00:00:01"
    body = {"port": {"network_id": network["id"], "mac_address": "fa:16:3e:00:00:01"}}
    refused(member.post(f"{N}/ports", body), 409, "MacAddressInUse")
    mine.port(mine.network(), mac_address="fa:16:3e:00:00:01")
    refused(member.put(f"{N}/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:00:00:02"}}), 403,
            "PolicyNotAuthorized")
    ok(admin.put(f"{N}/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:00:00:02"}}), 200)
    many = ok(admin.put(f"{N}/ports/{port['id']}", {"port": {"mac_address": "11:22:33:44:55:66"}}), 200)
    assert many.json()["port"]["mac_address"] == "11:22:33:44:55:66"    # upstream lets a multicast address be
    ok(admin.put(f"{N}/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:00:00:02"}}), 200)
    ok(member.post(f"{N}/ports", body), 201)
    mine.delete("ports", port["id"])
    mine.port(network, mac_address="fa:16:3e:00:00:02")


@pytest.mark.parametrize("body", [
    {"mac_address": "ff:ff:ff:ff:ff:ff"}, {"mac_address": "x"}, {"security_groups": "x"}, {"security_groups": ["x"]},
    {"fixed_ips": "x"}, {"allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:01"}]},
    {"allowed_address_pairs": [{"ip_address": "192.0.2.9", "mac_address": "01:00:5e:00:00:01"}]},
    {"extra_dhcp_opts": [{"opt_name": "x"}]}, {"dns_name": "-x"}, {"device_id": None}, {"network_id": None},
    {"allowed_address_pairs": [{"ip_address": "10.0.0.0/33"}]}, {"status": "ACTIVE"}, {"admin_state_up": None},
])
def test_bad_ports_are_refused(mine: Neutron, member: Client, body: dict[str, object]) -> None:
    network = mine.network()
    refused(member.post(f"{N}/ports", {"port": {"network_id": network["id"], **body}}), 400, "HTTPBadRequest")
    assert mine.list("ports") == []


def test_ports_in_bulk_all_or_none(mine: Neutron, member: Client) -> None:
    network = mine.network()
    mine.subnet(network)
    body = {"network_id": network["id"]}
    made = ok(member.post(f"{N}/ports", {"ports": [{**body, "tags": ["a"]}, body]}), 201).json()["ports"]
    assert len(made) == 2
    assert made[0]["tags"] == ["a"]
    wrong = {**body, "fixed_ips": [{"ip_address": "10.99.0.1"}]}
    refused(member.post(f"{N}/ports", {"ports": [body, wrong]}), 400, "InvalidIpForNetwork")
    assert len(mine.list("ports", device_owner="")) == 2


def test_port_security_and_pairs(mine: Neutron, member: Client) -> None:
    network = mine.network()
    mine.subnet(network)
    pair = {"ip_address": "10.5.0.0/24"}
    port = mine.port(network, allowed_address_pairs=[pair])
    assert port["allowed_address_pairs"] == [{**pair, "mac_address": port["mac_address"]}]
    path = f"{N}/ports/{port['id']}"
    refused(member.put(path, {"port": {"port_security_enabled": False}}), 409, "PortSecurityPortHasSecurityGroup")
    refused(member.put(path, {"port": {"port_security_enabled": False, "security_groups": []}}), 409,
            "AddressPairAndPortSecurityRequired")
    opened = mine.update("ports", "port", port["id"], port_security_enabled=False, security_groups=[],
                         allowed_address_pairs=[])
    assert opened["port_security_enabled"] is False
    assert opened["security_groups"] == []
    body = {"network_id": network["id"], "port_security_enabled": False, "allowed_address_pairs": [pair]}
    refused(member.post(f"{N}/ports", {"port": body}), 409, "AddressPairAndPortSecurityRequired")
    assert mine.port(mine.network(port_security_enabled=False))["security_groups"] == []


def test_extra_dhcp_options(mine: Neutron) -> None:
    port = mine.port(mine.network(), extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": "pxe"},
                                                      {"opt_name": "tftp-server", "opt_value": "192.0.2.1"}])
    assert {one["opt_name"]: one["opt_value"] for one in port["extra_dhcp_opts"]} == {
        "bootfile-name": "pxe", "tftp-server": "192.0.2.1"}
    changed = mine.update("ports", "port", port["id"], extra_dhcp_opts=[
        {"opt_name": "bootfile-name", "opt_value": None}, {"opt_name": "tftp-server", "opt_value": "192.0.2.2"}])
    assert changed["extra_dhcp_opts"] == [{"opt_name": "tftp-server", "opt_value": "192.0.2.2", "ip_version": 4}]


def test_only_admins_bind(mine: Neutron, member: Client, admin: Client, cloud: CloudUnderTest) -> None:
    engine = Engine(cloud)
    network = mine.network()
    mine.subnet(network)
    port = mine.port(network)
    refused(member.put(f"{N}/ports/{port['id']}", {"port": {"binding:host_id": "h"}}), 403, "PolicyNotAuthorized")
    bound = ok(admin.put(f"{N}/ports/{port['id']}", {"port": {"binding:host_id": "h"}}), 200).json()["port"]
    assert bound["binding:host_id"] == "h"
    assert bound["binding:vif_type"] == "ovs"
    assert mine.show("ports", port["id"])["status"] == "DOWN"
    engine.settle()
    assert mine.show("ports", port["id"])["status"] == "ACTIVE"
    assert mine.update("ports", "port", port["id"], admin_state_up=False)["status"] == "DOWN"


# -- security groups

def test_the_default_group_is_there(mine: Neutron, member: Client, admin: Client) -> None:
    groups = mine.list("security-groups")
    assert [one["name"] for one in groups] == ["default"]
    found = {(one["direction"], one["ethertype"], one["remote_group_id"]) for one in groups[0]["security_group_rules"]}
    assert found == {("egress", "IPv4", None), ("egress", "IPv6", None), ("ingress", "IPv4", groups[0]["id"]),
                     ("ingress", "IPv6", groups[0]["id"])}
    refused(member.post(f"{N}/security-groups", {"security_group": {"name": "default"}}), 409,
            "SecurityGroupDefaultAlreadyExists")
    refused(member.delete(f"{N}/security-groups/{groups[0]['id']}"), 409, "SecurityGroupCannotRemoveDefault")
    refused(member.put(f"{N}/security-groups/{groups[0]['id']}", {"security_group": {"name": "x"}}), 409,
            "SecurityGroupCannotUpdateDefault")
    own = mine.group()
    refused(member.put(f"{N}/security-groups/{own['id']}", {"security_group": {"name": "default"}}), 409,
            "SecurityGroupDefaultAlreadyExists")


def test_a_group_lives_and_dies(mine: Neutron, member: Client) -> None:
    group = mine.group("web", description="d")
    assert {(one["direction"], one["ethertype"]) for one in group["security_group_rules"]} == {
        ("egress", "IPv4"), ("egress", "IPv6")}
    assert mine.update("security-groups", "security_group", group["id"], name="www")["name"] == "www"
    port = mine.port(mine.network(), security_groups=[group["id"]])
    refused(member.delete(f"{N}/security-groups/{group['id']}"), 409, "SecurityGroupInUse")
    mine.update("ports", "port", port["id"], security_groups=[])
    mine.delete("security-groups", group["id"])
    refused(member.get(f"{N}/security-groups/{group['id']}"), 404, "SecurityGroupNotFound")


@pytest.mark.parametrize(("body", "shown"), [
    ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "tcp", "ethertype": "IPv4"}),
    ({"protocol": 17}, {"protocol": "17", "port_range_min": None}),
    ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, {"port_range_min": 8, "port_range_max": 0}),
    ({"protocol": "ipv6-icmp", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
    ({"remote_ip_prefix": "10.0.0.5"}, {"remote_ip_prefix": "10.0.0.5/32", "normalized_cidr": "10.0.0.5/32"}),
    ({"remote_ip_prefix": "10.0.0.9/24"}, {"remote_ip_prefix": "10.0.0.9/24", "normalized_cidr": "10.0.0.0/24"}),
    ({"direction": "egress", "protocol": "vrrp"}, {"protocol": "vrrp", "direction": "egress"}),
    ({"protocol": "any", "ethertype": "ipv6"}, {"protocol": None, "ethertype": "IPv6"}),
])
def test_rules(mine: Neutron, member: Client, body: dict[str, object], shown: dict[str, object]) -> None:
    group = mine.group()
    rule = mine.rule(group, **body)
    assert {key: rule[key] for key in shown} == shown
    again = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **body}}
    refused(member.post(f"{N}/security-group-rules", again), 409, "SecurityGroupRuleExists")
    mine.delete("security-group-rules", rule["id"])
    refused(member.get(f"{N}/security-group-rules/{rule['id']}"), 404, "SecurityGroupRuleNotFound")
    ok(member.post(f"{N}/security-group-rules", again), 201)


@pytest.mark.parametrize(("body", "status", "type_"), [
    ({"protocol": "bad"}, 400, "SecurityGroupRuleInvalidProtocol"),
    ({"protocol": 256}, 400, "SecurityGroupRuleInvalidProtocol"),
    ({"ethertype": "bad"}, 400, "SecurityGroupRuleInvalidEtherType"),
    ({"direction": "sideways"}, 400, "HTTPBadRequest"),
    ({"remote_ip_prefix": "192.168.1./24"}, 400, "HTTPBadRequest"),
    ({"remote_ip_prefix": "2001:db8::/64"}, 400, "SecurityGroupRuleParameterConflict"),
    ({"port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupProtocolRequiredWithPorts"),
    ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 79}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "tcp", "port_range_min": 80}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 65536}, 400, "SecurityGroupInvalidPortValue"),
    ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 5}, 400, "SecurityGroupInvalidPortValue"),
    ({"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue"),
    ({"protocol": "icmp", "port_range_max": 1}, 400, "SecurityGroupMissingIcmpType"),
    ({"protocol": "icmpv6", "ethertype": "IPv4"}, 400, "SecurityGroupEthertypeConflictWithProtocol"),
    ({"remote_group_id": "0d5b0a1c-5a9b-4e0b-8a7e-0d5ee6e2f8ce"}, 404, "SecurityGroupNotFound"),
    ({"security_group_id": "0d5b0a1c-5a9b-4e0b-8a7e-0d5ee6e2f8ce"}, 404, "SecurityGroupNotFound"),
])
def test_bad_rules_are_refused(mine: Neutron, member: Client, body: dict[str, object], status: int, type_: str) -> None:
    group = mine.group()
    given = {"security_group_id": group["id"], "direction": "ingress", **body}
    refused(member.post(f"{N}/security-group-rules", {"security_group_rule": given}), status, type_)
    assert len(mine.show("security-groups", group["id"])["security_group_rules"]) == 2


def test_rules_that_mean_the_same_are_the_same(mine: Neutron, member: Client) -> None:
    group = mine.group()
    mine.rule(group, protocol="tcp", remote_ip_prefix="0.0.0.0/0")
    for same in ({"protocol": "6"}, {"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}):
        body = {"security_group_id": group["id"], "direction": "ingress", **same}
        refused(member.post(f"{N}/security-group-rules", {"security_group_rule": body}), 409, "SecurityGroupRuleExists")
    refused(member.post(f"{N}/security-group-rules", {"security_group_rules": [
        {"security_group_id": group["id"], "direction": "ingress", "protocol": "udp"},
        {"security_group_id": group["id"], "direction": "ingress", "protocol": "17"}]}), 409, "SecurityGroupRuleExists")
    assert len(mine.show("security-groups", group["id"])["security_group_rules"]) == 3


def test_a_remote_group_that_goes_takes_its_rules(mine: Neutron, cloud: CloudUnderTest) -> None:
    engine = Engine(cloud)
    group, remote = mine.group("a"), mine.group("b")
    mine.rule(group, remote_group_id=remote["id"])
    mine.delete("security-groups", remote["id"])
    assert len(mine.show("security-groups", group["id"])["security_group_rules"]) == 2
    engine.settle()
    assert remote["id"] not in engine.holds()["security_group"]


def test_groups_of_others(mine: Neutron, other: Client) -> None:
    group = mine.group()
    refused(other.get(f"{N}/security-groups/{group['id']}"), 404, "SecurityGroupNotFound")
    theirs = Neutron(other)
    given = {"network_id": theirs.network()["id"], "security_groups": [group["id"]]}
    refused(other.post(f"{N}/ports", {"port": given}), 404, "SecurityGroupNotFound")
    body = {"security_group_id": group["id"], "direction": "ingress"}
    refused(other.post(f"{N}/security-group-rules", {"security_group_rule": body}), 404, "SecurityGroupNotFound")


def test_nobody_slips_a_port_under_a_router_or_server(mine: Neutron, member: Client, other: Client,
                                                       cloud: CloudUnderTest) -> None:
    network = mine.network()
    subnet, router = mine.subnet(network), mine.router()
    leg = mine.add_interface(router, subnet_id=subnet["id"])["port_id"]
    theirs = Neutron(other).router()
    for body in ({"device_id": theirs["id"]}, {"device_owner": "compute:nova"}):
        refused(member.put(f"{N}/ports/{leg}", {"port": body}), 409, "PortInUse")
    mine.port(network, device_id="victim", device_owner="compute:nova")
    assert cloud.database.read(facade.ports_of_servers, ["victim"]) == {"victim": []}


def test_what_is_hidden_is_no_filter(member: Client) -> None:
    refused(member.get(f"{N}/ports", params={"binding:host_id": "h"}), 400, "HTTPBadRequest")


def test_groups_of_a_port_are_of_one_kind_and_named_once(mine: Neutron, member: Client) -> None:
    network, stateful, stateless = mine.network(), mine.group(stateful=True), mine.group(stateful=False)
    both = [stateful["id"], stateless["id"]]
    refused(member.post(f"{N}/ports", {"port": {"network_id": network["id"], "security_groups": both}}), 409,
            "SecurityGroupConflict")
    for one in both:
        path = f"{N}/ports/{mine.port(network, security_groups=[one])['id']}"
        refused(member.put(path, {"port": {"security_groups": both}}), 409, "SecurityGroupConflict")
        refused(member.put(path, {"port": {"security_groups": [one, one]}}), 400, "HTTPBadRequest")
        assert member.get(path).json()["port"]["security_groups"] == [one]


def test_a_project_has_its_group_once_an_administrator_looks(admin: Client, other: Client, member: Client) -> None:
    found = Neutron(admin).list("security-groups", project_id=other.project_id)
    assert [one["name"] for one in found] == ["default"]
    assert Neutron(member).list("security-groups", project_id=other.project_id) == []


def test_a_new_group_needs_room_for_its_rules(mine: Neutron, member: Client, admin: Client) -> None:
    mine.group()
    ok(admin.put(f"{N}/quotas/{member.project_id}", {"quota": {"security_group_rule": 7}}), 200)
    refused(member.post(f"{N}/security-groups", {"security_group": {"name": "x"}}), 409, "OverQuota")
    assert len(mine.list("security-groups")) == 2
