"""Networks, subnets and subnet pools through HTTP."""

from __future__ import annotations

import pytest

from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, first_start, ok, refused


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


@pytest.fixture
def external(cloud: CloudUnderTest, admin: Client) -> str:
    return first_start(cloud, admin.project_id)


def test_a_network_lives_and_dies(mine: Neutron, member: Client) -> None:
    network = mine.network(name="blue", description="d")
    assert network["status"] == "ACTIVE"
    assert network["mtu"] == 1442
    assert network["project_id"] == network["tenant_id"] == member.project_id
    assert network["subnets"] == []
    assert network["shared"] is False
    assert network["router:external"] is False
    assert "provider:network_type" not in network
    assert "is_default" not in network
    changed = mine.update("networks", "network", network["id"], name="green")
    assert changed["name"] == "green"
    assert changed["revision_number"] == network["revision_number"] + 1
    mine.delete("networks", network["id"])
    refused(member.get(f"{N}/networks/{network['id']}"), 404, "NetworkNotFound")


def test_only_its_project_and_admins_see_a_network(mine: Neutron, other: Client, admin: Client, reader: Client) -> None:
    network = mine.network()
    refused(other.get(f"{N}/networks/{network['id']}"), 404, "NetworkNotFound")
    refused(other.put(f"{N}/networks/{network['id']}", {"network": {"name": "x"}}), 404, "NetworkNotFound")
    refused(other.delete(f"{N}/networks/{network['id']}"), 404, "NetworkNotFound")
    assert ok(reader.get(f"{N}/networks/{network['id']}"), 200)
    refused(reader.put(f"{N}/networks/{network['id']}", {"network": {"name": "x"}}), 403, "PolicyNotAuthorized")
    refused(reader.post(f"{N}/networks", {"network": {}}), 403, "PolicyNotAuthorized")
    shown = ok(admin.get(f"{N}/networks/{network['id']}"), 200).json()["network"]
    assert shown["provider:network_type"] == "geneve"
    assert shown["provider:segmentation_id"] >= 1


def test_a_token_is_needed(anonymous: Client) -> None:
    answer = anonymous.get(f"{N}/networks")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401


@pytest.mark.parametrize(("body", "type_"), [
    ({"network": {"colour": "red"}}, "HTTPBadRequest"),
    ({"network": {"name": "x" * 256}}, "HTTPBadRequest"),
    ({"network": {"name": 3}}, "HTTPBadRequest"),
    ({"network": {"admin_state_up": "perhaps"}}, "HTTPBadRequest"),
    ({"network": {"id": "7b0ac4ba-8e0f-4c06-9a0f-1d41a6ca1f8f"}}, "HTTPBadRequest"),
    ({"network": {"status": "ACTIVE"}}, "HTTPBadRequest"),
    ({"network": {"mtu": 9000}}, "InvalidInput"),
    ({"network": {"tenant_id": "somebody"}}, "HTTPBadRequest"),
    ({"network": {"dns_domain": "no-dot"}}, "HTTPBadRequest"),
    ({"network": []}, "HTTPBadRequest"),
    ({"networks": []}, "HTTPBadRequest"),
    ({"port": {}}, "HTTPBadRequest"),
])
def test_bad_networks_are_refused(member: Client, body: object, type_: str) -> None:
    refused(member.post(f"{N}/networks", body), 400, type_)
    assert member.get(f"{N}/networks").json() == {"networks": []}


@pytest.mark.parametrize("attribute", ["shared", "router:external", "is_default"])
def test_what_only_admins_may_set(member: Client, attribute: str) -> None:
    refused(member.post(f"{N}/networks", {"network": {attribute: True}}), 403, "PolicyNotAuthorized")
    ok(member.post(f"{N}/networks", {"network": {attribute: False}}), 201)


def test_networks_in_bulk_all_or_none(member: Client, admin: Client) -> None:
    ok(admin.put(f"{N}/quotas/{member.project_id}", {"quota": {"network": 3}}), 200)
    made = ok(member.post(f"{N}/networks", {"networks": [{"name": "a"}, {"name": "b"}]}), 201).json()["networks"]
    assert [one["name"] for one in made] == ["a", "b"]
    message = refused(member.post(f"{N}/networks", {"networks": [{"name": "c"}, {"name": "d"}]}), 409, "OverQuota")
    assert message == "Quota exceeded for resources: ['network']."
    assert len(member.get(f"{N}/networks").json()["networks"]) == 2


def test_if_match_refuses_an_older_revision(mine: Neutron, member: Client) -> None:
    network = mine.network()
    path, revision = f"{N}/networks/{network['id']}", network["revision_number"]
    ok(member.put(path, {"network": {"name": "a"}}, headers={"If-Match": f"revision_number={revision}"}), 200)
    refused(member.put(path, {"network": {"name": "b"}}, headers={"If-Match": f"revision_number={revision}"}), 412,
            "RevisionNumberConstraintFailed")
    refused(member.delete(path, headers={"If-Match": f"revision_number={revision}"}), 412,
            "RevisionNumberConstraintFailed")
    assert mine.show("networks", network["id"])["name"] == "a"


def test_provider_networks(root: Neutron, admin: Client, external: str) -> None:
    shown = root.show("networks", external)
    assert shown["router:external"]
    assert shown["is_default"]
    assert not shown["shared"]
    assert shown["provider:network_type"] == "flat"
    flat = {"provider:network_type": "flat", "provider:physical_network": "external"}
    refused(admin.post(f"{N}/networks", {"network": flat}), 409, "FlatNetworkInUse")
    refused(admin.post(f"{N}/networks", {"network": {**flat, "provider:physical_network": "nowhere"}}), 400,
            "InvalidInput")
    vlan = {"provider:network_type": "vlan", "provider:physical_network": "external", "provider:segmentation_id": 7}
    root.network(**vlan)
    refused(admin.post(f"{N}/networks", {"network": vlan}), 409, "VlanIdInUse")
    refused(admin.post(f"{N}/networks", {"network": {"router:external": True, "is_default": True}}), 409,
            "DefaultExternalNetworkExists")


def test_external_networks_are_seen_by_all_and_not_theirs(member: Client, external: str) -> None:
    shown = ok(member.get(f"{N}/networks", params={"router:external": "True"}), 200).json()["networks"]
    assert [one["id"] for one in shown] == [external]
    assert member.get(f"{N}/subnets", params={"network_id": external}).json()["subnets"]
    refused(member.put(f"{N}/networks/{external}", {"network": {"name": "x"}}), 403, "PolicyNotAuthorized")
    refused(member.post(f"{N}/subnets", {"subnet": {"network_id": external, "ip_version": 4, "cidr": "10.9.0.0/24"}}),
            403, "PolicyNotAuthorized")
    refused(member.post(f"{N}/ports", {"port": {"network_id": external}}), 403, "PolicyNotAuthorized")


def test_shared_networks(root: Neutron, admin: Client, mine: Neutron, other: Client) -> None:
    network = root.network(shared=True)
    root.subnet(network)
    port = mine.port(network)
    assert port["fixed_ips"]
    refused(other.get(f"{N}/ports/{port['id']}"), 404, "PortNotFound")
    refused(mine.client.post(f"{N}/ports", {"port": {"network_id": network["id"], "mac_address": "fa:16:3e:00:00:01"}}),
            403, "PolicyNotAuthorized")
    refused(admin.put(f"{N}/networks/{network['id']}", {"network": {"shared": False}}), 409, "InvalidSharedSetting")


def test_a_subnet_has_neutrons_defaults(mine: Neutron) -> None:
    network = mine.network()
    subnet = mine.subnet(network, "10.0.0.9/24")
    assert subnet["cidr"] == "10.0.0.0/24"
    assert subnet["gateway_ip"] == "10.0.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert subnet["enable_dhcp"] is True
    assert subnet["ipv6_ra_mode"] is None
    assert mine.show("networks", network["id"])["subnets"] == [subnet["id"]]
    six = mine.subnet(network, "2001:db8::/64")
    assert six["gateway_ip"] == "2001:db8::1"
    assert six["allocation_pools"] == [{"start": "2001:db8::2", "end": "2001:db8::ffff:ffff:ffff:ffff"}]


def test_a_subnet_without_gateway(mine: Neutron) -> None:
    subnet = mine.subnet(mine.network(), gateway_ip=None)
    assert subnet["gateway_ip"] is None
    assert subnet["allocation_pools"] == [{"start": "10.0.0.1", "end": "10.0.0.254"}]


def test_a_subnet_changes(mine: Neutron, member: Client) -> None:
    subnet = mine.subnet(mine.network(), allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}],
                         dns_nameservers=["192.0.2.1"])
    changed = mine.update("subnets", "subnet", subnet["id"], gateway_ip="10.0.0.254", enable_dhcp=False,
                          dns_nameservers=["192.0.2.3", "192.0.2.2"],
                          host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.5"}])
    assert changed["gateway_ip"] == "10.0.0.254"
    assert changed["dns_nameservers"] == ["192.0.2.3", "192.0.2.2"]
    assert changed["host_routes"] == [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.5"}]
    refused(member.put(f"{N}/subnets/{subnet['id']}", {"subnet": {"cidr": "10.1.0.0/24"}}), 400, "HTTPBadRequest")
    refused(member.put(f"{N}/subnets/{subnet['id']}", {"subnet": {"gateway_ip": "10.0.0.15"}}), 409,
            "GatewayConflictWithAllocationPools")


@pytest.mark.parametrize(("body", "status", "type_"), [
    ({"cidr": "10.0.0.128/25"}, 400, "InvalidInput"),
    ({"cidr": "nonsense"}, 400, "HTTPBadRequest"),
    ({"cidr": "2001:db8::/64"}, 400, "InvalidInput"),
    ({"cidr": "10.5.0.0/31"}, 400, "InvalidInput"),
    ({"cidr": "224.0.0.0/24"}, 400, "InvalidInput"),
    ({"cidr": None}, 400, "BadRequest"),
    ({"cidr": "10.5.0.0/24", "gateway_ip": "10.5.0.0"}, 400, "InvalidInput"),
    ({"cidr": "10.5.0.0/24", "gateway_ip": "2001:db8::1"}, 400, "InvalidInput"),
    ({"cidr": "10.5.0.0/24", "allocation_pools": [{"start": "10.6.0.1", "end": "10.6.0.2"}]}, 400,
     "OutOfBoundsAllocationPool"),
    ({"cidr": "10.5.0.0/24", "allocation_pools": [{"start": "10.5.0.9", "end": "10.5.0.2"}]}, 400,
     "InvalidAllocationPool"),
    ({"cidr": "10.5.0.0/24", "allocation_pools": [{"start": "10.5.0.2", "end": "10.5.0.9"},
                                                  {"start": "10.5.0.5", "end": "10.5.0.20"}]}, 409,
     "OverlappingAllocationPools"),
    ({"cidr": "10.5.0.0/24", "gateway_ip": "10.5.0.5",
      "allocation_pools": [{"start": "10.5.0.2", "end": "10.5.0.9"}]}, 409, "GatewayConflictWithAllocationPools"),
    ({"cidr": "10.5.0.0/24", "dns_nameservers": ["x"]}, 400, "HTTPBadRequest"),
    ({"cidr": "10.5.0.0/24", "dns_nameservers": [f"192.0.2.{i}" for i in range(6)]}, 400, "DNSNameServersExhausted"),
    ({"cidr": "10.5.0.0/24", "host_routes": [{"destination": "x", "nexthop": "10.5.0.1"}]}, 400, "HTTPBadRequest"),
    ({"cidr": "10.5.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "InvalidInput"),
    ({"ip_version": 5, "cidr": "10.5.0.0/24"}, 400, "HTTPBadRequest"),
    ({"ip_version": 6, "cidr": "2001:db8:1::/48", "ipv6_address_mode": "slaac"}, 400, "InvalidInput"),
    ({"ip_version": 6, "cidr": "2001:db8:1::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, 400,
     "InvalidInput"),
    ({"ip_version": 6, "cidr": "2001:db8:1::/64", "ipv6_ra_mode": "slaac", "enable_dhcp": False}, 400, "InvalidInput"),
])
def test_bad_subnets_are_refused(mine: Neutron, member: Client, body: dict[str, object], status: int,
                                 type_: str) -> None:
    network = mine.network()
    mine.subnet(network)
    given = {"network_id": network["id"], "ip_version": 4, **body}
    refused(member.post(f"{N}/subnets", {"subnet": given}), status, type_)
    assert len(mine.list("subnets")) == 1


def test_a_subnet_in_use_stays(mine: Neutron, member: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    port = mine.port(network)
    refused(member.delete(f"{N}/subnets/{subnet['id']}"), 409, "SubnetInUse")
    message = refused(member.delete(f"{N}/networks/{network['id']}"), 409, "NetworkInUse")
    assert port["id"] in message
    mine.delete("ports", port["id"])
    mine.delete("subnets", subnet["id"])
    again = mine.subnet(network)
    assert mine.port(network)["fixed_ips"][0]["subnet_id"] == again["id"]


def test_a_network_goes_with_its_subnets(mine: Neutron, member: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    mine.delete("networks", network["id"])
    refused(member.get(f"{N}/subnets/{subnet['id']}"), 404, "SubnetNotFound")
    assert mine.list("ports") == []


def test_the_networks_own_port(mine: Neutron, admin: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    own = ok(admin.get(f"{N}/ports", params={"network_id": network["id"]}), 200).json()["ports"]
    assert [one["device_owner"] for one in own] == ["network:distributed"]
    assert own[0]["device_id"] == f"ovnmeta-{network['id']}"
    assert own[0]["fixed_ips"][0]["subnet_id"] == subnet["id"]
    ok(admin.delete(f"{N}/ports/{own[0]['id']}"), 204)
    refused(admin.get(f"{N}/ports/{own[0]['id']}"), 404, "PortNotFound")
    [anew] = ok(admin.get(f"{N}/ports", params={"network_id": network["id"]}), 200).json()["ports"]
    assert anew["id"] != own[0]["id"]
    assert anew["fixed_ips"] == own[0]["fixed_ips"]
    mine.update("subnets", "subnet", subnet["id"], enable_dhcp=False)
    assert ok(admin.get(f"{N}/ports/{anew['id']}"), 200).json()["port"]["fixed_ips"] == []
    ok(admin.delete(f"{N}/ports/{anew['id']}"), 204)
    mine.update("subnets", "subnet", subnet["id"], enable_dhcp=True)
    [third] = ok(admin.get(f"{N}/ports", params={"network_id": network["id"]}), 200).json()["ports"]
    assert third["fixed_ips"][0]["subnet_id"] == subnet["id"]


def test_subnet_pools(mine: Neutron, member: Client, other: Client) -> None:
    pool = mine.create("subnetpools", "subnetpool", name="p", prefixes=["10.20.0.0/16"], default_prefixlen=24,
                       min_prefixlen=20)
    assert pool["ip_version"] == 4
    assert (pool["min_prefixlen"], pool["max_prefixlen"]) == ("20", "32")
    assert pool["shared"] is False
    network = mine.network()
    first = mine.create("subnets", "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])
    second = mine.create("subnets", "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"],
                         prefixlen=25)
    assert (first["cidr"], second["cidr"]) == ("10.20.0.0/24", "10.20.1.0/25")
    third = mine.create("subnets", "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])
    assert third["cidr"] == "10.20.2.0/24"
    body = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}
    refused(member.post(f"{N}/subnets", {"subnet": {**body, "prefixlen": 8}}), 400, "MinPrefixSubnetAllocationError")
    refused(other.get(f"{N}/subnetpools/{pool['id']}"), 404, "SubnetPoolNotFound")
    refused(member.delete(f"{N}/subnetpools/{pool['id']}"), 409, "SubnetPoolDeleteError")
    refused(member.post(f"{N}/subnetpools", {"subnetpool": {"name": "x", "prefixes": []}}), 400,
            "EmptySubnetPoolPrefixList")
    refused(member.post(f"{N}/subnetpools", {"subnetpool": {"prefixes": ["10.0.0.0/8"]}}), 400, "HTTPBadRequest")


def test_the_default_pool(mine: Neutron, external: str) -> None:
    network = mine.network()
    subnet = mine.create("subnets", "subnet", network_id=network["id"], ip_version=4, use_default_subnetpool=True)
    assert subnet["cidr"] == "10.64.0.0/26"


def test_the_fabric_follows(cloud: CloudUnderTest, mine: Neutron) -> None:
    engine = Engine(cloud)
    network = mine.network()
    mine.subnet(network)
    engine.settle()
    assert network["id"] in engine.holds()["network"]
    mine.delete("networks", network["id"])
    engine.settle()
    assert network["id"] not in engine.holds()["network"]


def test_what_is_asked_for_is_looked_at_before_who_asks(mine: Neutron, other: Client) -> None:
    path = f"{N}/networks/{mine.network()['id']}"
    refused(other.put(path, {"network": {"name": 5}}), 400, "HTTPBadRequest")
    refused(other.put(path, {"network": {"name": "x"}}), 404, "NetworkNotFound")


def test_the_mtu_that_subnets_need(mine: Neutron, member: Client) -> None:
    narrow, wide = mine.network(mtu=67), mine.network(mtu=1300)
    body = {"network_id": narrow["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}
    refused(member.post(f"{N}/subnets", {"subnet": body}), 409, "NetworkMTUSubnetConflict")
    assert mine.update("networks", "network", narrow["id"], mtu=68)["mtu"] == 68
    mine.subnet(narrow, "10.9.0.0/24")
    refused(member.put(f"{N}/networks/{narrow['id']}", {"network": {"mtu": 60}}), 409, "NetworkMTUSubnetConflict")
    mine.subnet(wide, "2001:db8:9::/64")
    refused(member.put(f"{N}/networks/{wide['id']}", {"network": {"mtu": 1279}}), 409, "NetworkMTUSubnetConflict")
    assert mine.show("networks", wide["id"])["mtu"] == 1300


def test_service_types_are_a_members_to_set(mine: Neutron, member: Client) -> None:
    subnet = mine.subnet(mine.network())
    changed = mine.update("subnets", "subnet", subnet["id"], service_types=["compute:", "test:one"])
    assert changed["service_types"] == ["compute:", "test:one"]
    assert changed["revision_number"] > subnet["revision_number"]
    refused(member.put(f"{N}/subnets/{subnet['id']}", {"subnet": {"service_types": ["strange"]}}), 400,
            "HTTPBadRequest")
