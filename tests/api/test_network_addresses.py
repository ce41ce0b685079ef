"""Address groups and address scopes through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.ports.fabric import FabricAddressGroup, FabricKind, FabricSecurityGroup
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, ok, refused

NOBODY = "7b0ac4ba-8e0f-4c06-9a0f-1d41a6ca1f8f"


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


def group(by: Neutron, *addresses: str, **body: Any) -> dict[str, Any]:
    return by.create("address-groups", "address_group", name="g", addresses=list(addresses), **body)


def test_an_address_group_lives_and_dies(cloud: CloudUnderTest, mine: Neutron, member: Client) -> None:
    engine = Engine(cloud)
    made = group(mine, "10.0.0.0/24", "fd00::/64", description="d")
    assert set(made) == {"id", "name", "description", "project_id", "tenant_id", "addresses", "created_at",
                         "updated_at", "revision_number"}
    path = f"{N}/address-groups/{made['id']}"
    changed = ok(member.put(f"{path}/add_addresses", {"addresses": ["192.0.2.1/32"]}), 200).json()["address_group"]
    assert sorted(changed["addresses"]) == ["10.0.0.0/24", "192.0.2.1/32", "fd00::/64"]
    refused(member.put(f"{path}/add_addresses", {"addresses": ["192.0.2.1/32"]}), 400, "AddressesAlreadyExist")
    refused(member.put(f"{path}/remove_addresses", {"addresses": ["192.0.2.2/32"]}), 404, "AddressesNotFound")
    ok(member.put(f"{path}/remove_addresses", {"addresses": ["10.0.0.0/24"]}), 200)
    refused(member.put(f"{path}/add_addresses", {"addresses": ["nonsense"]}), 400, "HTTPBadRequest")
    refused(member.put(path, {"address_group": {"addresses": []}}), 400, "HTTPBadRequest")
    assert mine.update("address-groups", "address_group", made["id"], name="h")["name"] == "h"
    assert [one["id"] for one in mine.list("address-groups", name="h")] == [made["id"]]
    engine.settle()
    held = engine.fabric.holds(FabricKind.ADDRESS_GROUP, made["id"])
    assert isinstance(held, FabricAddressGroup)
    assert set(held.addresses) == {"fd00::/64", "192.0.2.1/32"}
    mine.delete("address-groups", made["id"])
    refused(member.get(path), 404, "AddressGroupNotFound")
    engine.settle()
    assert engine.holds()["address_group"] == set()


def test_a_rule_names_an_address_group(cloud: CloudUnderTest, mine: Neutron, member: Client) -> None:
    engine = Engine(cloud)
    made, security = group(mine, "10.0.0.0/24"), mine.group()
    rule = mine.rule(security, remote_address_group_id=made["id"])
    assert rule["remote_address_group_id"] == made["id"]
    body = {"security_group_id": security["id"], "direction": "ingress"}
    refused(member.post(f"{N}/security-group-rules", {"security_group_rule": {
        **body, "remote_address_group_id": made["id"], "remote_ip_prefix": "10.0.0.0/8"}}), 400,
        "SecurityGroupMultipleRemoteEntitiesInRule")
    refused(member.post(f"{N}/security-group-rules", {"security_group_rule": {
        **body, "remote_address_group_id": NOBODY}}), 404, "AddressGroupNotFound")
    refused(member.post(f"{N}/security-group-rules", {"security_group_rule": {
        **body, "remote_address_group_id": made["id"]}}), 409, "SecurityGroupRuleExists")
    refused(member.delete(f"{N}/address-groups/{made['id']}"), 409, "AddressGroupInUse")
    engine.settle()
    held = engine.fabric.holds(FabricKind.SECURITY_GROUP, security["id"])
    assert isinstance(held, FabricSecurityGroup)
    assert made["id"] in [one.remote_address_group_id for one in held.rules]
    assert len(mine.list("security-group-rules", remote_address_group_id=made["id"])) == 1
    mine.delete("security-group-rules", rule["id"])
    mine.delete("address-groups", made["id"])
    engine.settle()


def test_who_sees_an_address_group(mine: Neutron, member: Client, other: Client, reader: Client,
                                   anonymous: Client) -> None:
    made = group(mine, "10.0.0.0/24")
    path = f"{N}/address-groups/{made['id']}"
    assert anonymous.get(path).status_code == 401
    refused(other.get(path), 404, "AddressGroupNotFound")
    refused(other.put(f"{path}/add_addresses", {"addresses": []}), 404, "AddressGroupNotFound")
    ok(reader.get(path), 200)
    refused(reader.put(f"{path}/add_addresses", {"addresses": []}), 403, "PolicyNotAuthorized")
    refused(reader.post(f"{N}/address-groups", {"address_group": {}}), 403, "PolicyNotAuthorized")
    policy = mine.create("rbac-policies", "rbac_policy", object_type="address_group", object_id=made["id"],
                         action="access_as_shared", target_tenant=other.project_id)
    theirs = Neutron(other)
    assert theirs.show("address-groups", made["id"])["addresses"] == ["10.0.0.0/24"]
    refused(other.put(f"{path}/add_addresses", {"addresses": []}), 403, "PolicyNotAuthorized")
    rule = theirs.rule(theirs.group(), remote_address_group_id=made["id"])
    refused(member.delete(f"{N}/rbac-policies/{policy['id']}"), 409, "RbacPolicyInUse")
    theirs.delete("security-group-rules", rule["id"])
    mine.delete("rbac-policies", policy["id"])


def pool(by: Neutron, scope: str | None, prefix: str, **body: Any) -> dict[str, Any]:
    return by.create("subnetpools", "subnetpool", name="p", prefixes=[prefix], default_prefixlen=26,
                     address_scope_id=scope, **body)


def test_an_address_scope(mine: Neutron, member: Client, other: Client, root: Neutron) -> None:
    scope = mine.create("address-scopes", "address_scope", name="s", ip_version=4)
    assert scope == {"id": scope["id"], "name": "s", "ip_version": 4, "shared": False,
                     "project_id": member.project_id, "tenant_id": member.project_id}
    path = f"{N}/address-scopes/{scope['id']}"
    refused(other.get(path), 404, "AddressScopeNotFound")
    refused(member.put(path, {"address_scope": {"shared": True}}), 403, "PolicyNotAuthorized")
    refused(member.put(path, {"address_scope": {"ip_version": 6}}), 400, "HTTPBadRequest")
    first = pool(mine, scope["id"], "10.3.0.0/16")
    body = {"name": "q", "prefixes": ["10.3.4.0/24"], "address_scope_id": scope["id"]}
    refused(member.post(f"{N}/subnetpools", {"subnetpool": body}), 409, "AddressScopePrefixConflict")
    refused(member.post(f"{N}/subnetpools", {"subnetpool": {**body, "prefixes": ["fd00::/48"]}}), 400,
            "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    refused(member.delete(path), 409, "AddressScopeInUse")
    network = mine.network()
    mine.create("subnets", "subnet", network_id=network["id"], ip_version=4, subnetpool_id=first["id"])
    assert mine.show("networks", network["id"])["ipv4_address_scope"] == scope["id"]
    outside = pool(mine, None, "10.9.0.0/16")
    refused(member.post(f"{N}/subnets", {"subnet": {
        "network_id": network["id"], "ip_version": 4, "subnetpool_id": outside["id"]}}), 400,
        "NetworkAddressScopeAffinityError")
    assert root.update("address-scopes", "address_scope", scope["id"], shared=True)["shared"] is True
    assert ok(other.get(path), 200).json()["address_scope"]["shared"] is True
    refused(root.client.put(path, {"address_scope": {"shared": False}}), 400, "AddressScopeUpdateError")
    theirs = ok(other.post(f"{N}/subnetpools", {"subnetpool": {**body, "prefixes": ["10.7.0.0/16"]}}), 201).json()
    ok(other.delete(f"{N}/subnetpools/{theirs['subnetpool']['id']}"), 204)
    assert mine.update("subnetpools", "subnetpool", outside["id"], address_scope_id=scope["id"])[
        "address_scope_id"] == scope["id"]
