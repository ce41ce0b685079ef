"""Prefixes of subnet pools, onboarding, and pools of floating IPs, through HTTP."""

from __future__ import annotations

from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import N, Neutron, first_start, ok, refused


def test_prefixes_come_and_go(member: Client, other: Client, reader: Client, anonymous: Client) -> None:
    mine = Neutron(member)
    pool = mine.create("subnetpools", "subnetpool", name="p", prefixes=["10.1.0.0/16"], default_prefixlen=24)
    path = f"{N}/subnetpools/{pool['id']}"
    assert ok(member.put(f"{path}/add_prefixes", {"prefixes": ["10.2.0.0/16"]}), 200).json() == {
        "prefixes": ["10.1.0.0/16", "10.2.0.0/16"]}
    subnet = mine.create("subnets", "subnet", network_id=mine.network()["id"], ip_version=4, subnetpool_id=pool["id"])
    assert subnet["cidr"] == "10.1.0.0/24"
    refused(member.put(f"{path}/remove_prefixes", {"prefixes": ["10.1.0.0/20"]}), 400, "IllegalSubnetPoolPrefixUpdate")
    assert ok(member.put(f"{path}/remove_prefixes", {"prefixes": ["10.2.0.0/17", "10.9.0.0/16"]}), 200).json() == {
        "prefixes": ["10.1.0.0/16", "10.2.128.0/17"]}
    refused(member.put(f"{path}/add_prefixes", {"prefixes": ["fd00::/48"]}), 400, "PrefixVersionMismatch")
    refused(member.put(f"{path}/add_prefixes", {}), 400, "HTTPBadRequest")
    refused(other.put(f"{path}/add_prefixes", {"prefixes": []}), 404, "SubnetPoolNotFound")
    refused(reader.put(f"{path}/remove_prefixes", {"prefixes": []}), 403, "PolicyNotAuthorized")
    assert anonymous.put(f"{path}/add_prefixes", {"prefixes": []}).status_code == 401


def test_subnets_are_taken_into_a_pool(member: Client, other: Client) -> None:
    mine = Neutron(member)
    pool = mine.create("subnetpools", "subnetpool", name="p", prefixes=["10.1.0.0/16"], default_prefixlen=24)
    network = mine.network()
    subnet = mine.subnet(network, "10.5.0.0/24")
    path = f"{N}/subnetpools/{pool['id']}/onboard_network_subnets"
    assert ok(member.put(path, {"network_id": network["id"]}), 200).json() == [
        {"id": subnet["id"], "cidr": "10.5.0.0/24"}]
    assert mine.show("subnets", subnet["id"])["subnetpool_id"] == pool["id"]
    assert "10.5.0.0/24" in mine.show("subnetpools", pool["id"])["prefixes"]
    refused(member.put(path, {"network_id": network["id"]}), 400, "IllegalSubnetPoolUpdate")
    refused(member.put(path, {}), 400, "InvalidInput")
    theirs = Neutron(other).network()
    refused(member.put(path, {"network_id": theirs["id"]}), 404, "NetworkNotFound")


def test_pools_of_floating_ips(cloud: CloudUnderTest, admin: Client, reader: Client) -> None:
    external = first_start(cloud, admin.project_id)
    (pool,) = Neutron(reader).list("floatingip_pools")
    assert pool["network_id"] == external
    assert pool["cidr"] == "203.0.113.0/24"
    assert set(pool) == {"subnet_id", "subnet_name", "tenant_id", "project_id", "network_id", "cidr"}
