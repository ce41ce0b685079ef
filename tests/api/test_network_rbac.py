"""RBAC policies through HTTP: what is shared, who sees it, and when it can't be taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import N, Neutron, first_start, ok, refused


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def theirs(other: Client) -> Neutron:
    return Neutron(other)


def share(by: Neutron, kind: str, id: str, target: str, action: str = "access_as_shared") -> dict[str, Any]:
    return by.create("rbac-policies", "rbac_policy", object_type=kind, object_id=id, target_tenant=target,
                     action=action)


def test_a_network_shared_with_one_project(mine: Neutron, theirs: Neutron, other: Client, reader: Client) -> None:
    network = mine.network()
    mine.subnet(network)
    policy = share(mine, "network", network["id"], other.project_id)
    assert set(policy) == {"id", "project_id", "tenant_id", "object_type", "object_id", "action", "target_tenant"}
    assert theirs.show("networks", network["id"])["shared"] is True
    assert mine.show("networks", network["id"])["shared"] is False
    assert [one["id"] for one in theirs.list("networks", shared="True")] == [network["id"]]
    assert mine.list("networks", shared="True") == []
    assert len(theirs.list("subnets", network_id=network["id"])) == 1
    refused(other.put(f"{N}/networks/{network['id']}", {"network": {"name": "x"}}), 403, "PolicyNotAuthorized")
    port = theirs.port(network)
    refused(mine.client.delete(f"{N}/rbac-policies/{policy['id']}"), 409, "RbacPolicyInUse")
    refused(mine.client.put(f"{N}/rbac-policies/{policy['id']}", {"rbac_policy": {"target_tenant": "else"}}), 409,
            "RbacPolicyInUse")
    theirs.delete("ports", port["id"])
    refused(reader.delete(f"{N}/rbac-policies/{policy['id']}"), 403, "PolicyNotAuthorized")
    mine.delete("rbac-policies", policy["id"])
    refused(other.get(f"{N}/networks/{network['id']}"), 404, "NetworkNotFound")


def test_policies_are_their_owners(mine: Neutron, member: Client, other: Client, reader: Client,
                                   anonymous: Client) -> None:
    network = mine.network()
    policy = share(mine, "network", network["id"], other.project_id)
    path = f"{N}/rbac-policies/{policy['id']}"
    assert anonymous.get(path).status_code == 401
    refused(other.get(path), 404, "RbacPolicyNotFound")
    refused(other.delete(path), 404, "RbacPolicyNotFound")
    assert ok(reader.get(path), 200).json()["rbac_policy"] == policy
    refused(reader.put(path, {"rbac_policy": {"target_tenant": "x"}}), 403, "PolicyNotAuthorized")
    body = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared", "target_tenant": "x"}
    refused(reader.post(f"{N}/rbac-policies", {"rbac_policy": body}), 403, "PolicyNotAuthorized")
    refused(other.post(f"{N}/rbac-policies", {"rbac_policy": body}), 400, "InvalidInput")
    assert mine.update("rbac-policies", "rbac_policy", policy["id"], target_tenant="x")["target_tenant"] == "x"
    refused(member.post(f"{N}/rbac-policies", {"rbac_policy": body}), 409, "DuplicateRbacPolicy")
    refused(member.put(path, {"rbac_policy": {"target_tenant": "*"}}), 403, "PolicyNotAuthorized")
    refused(member.put(path, {"rbac_policy": {"action": "access_as_external"}}), 400, "HTTPBadRequest")
    assert len(mine.list("rbac-policies", object_type="network", target_tenant="x")) == 1
    assert mine.list("rbac-policies", action="access_as_external") == []


@pytest.mark.parametrize(("change", "status", "type_"), [
    ({"target_tenant": "*"}, 403, "PolicyNotAuthorized"),
    ({"object_type": "server"}, 400, "HTTPBadRequest"),
    ({"object_type": "security_group"}, 400, "InvalidInput"),
    ({"object_id": "x"}, 400, "HTTPBadRequest"),
    ({"action": "access_as_spy"}, 400, "InvalidActionForType"),
    ({"object_id": "7b0ac4ba-8e0f-4c06-9a0f-1d41a6ca1f8f"}, 400, "InvalidInput"),
    ({"colour": "red"}, 400, "HTTPBadRequest"),
])
def test_bad_policies_are_refused(mine: Neutron, member: Client, change: dict[str, str], status: int,
                                  type_: str) -> None:
    body = {"object_type": "network", "object_id": mine.network()["id"], "action": "access_as_shared",
            "target_tenant": "somebody"}
    refused(member.post(f"{N}/rbac-policies", {"rbac_policy": {**body, **change}}), status, type_)
    assert mine.list("rbac-policies") == []


def test_the_shared_attribute_is_a_policy(admin: Client, other: Client, theirs: Neutron) -> None:
    root = Neutron(admin)
    network = root.network(shared=True)
    policy = root.list("rbac-policies", object_id=network["id"])[0]
    assert (policy["target_tenant"], policy["action"]) == ("*", "access_as_shared")
    own = share(root, "network", network["id"], other.project_id)
    port = theirs.port(network)
    root.delete("rbac-policies", policy["id"])              # the project has a policy of its own
    assert root.show("networks", network["id"])["shared"] is False
    refused(admin.delete(f"{N}/rbac-policies/{own['id']}"), 409, "RbacPolicyInUse")
    theirs.delete("ports", port["id"])
    root.delete("rbac-policies", own["id"])
    assert root.update("networks", "network", network["id"], shared=True)["shared"] is True
    assert theirs.show("networks", network["id"])["shared"] is True
    root.delete("networks", network["id"])
    assert root.list("rbac-policies") == []


def test_external_for_one_project_only(cloud: CloudUnderTest, admin: Client, mine: Neutron, theirs: Neutron,
                                       other: Client, member: Client) -> None:
    root = Neutron(admin)
    network = root.network()
    root.subnet(network, "203.0.114.0/24")
    policy = share(root, "network", network["id"], member.project_id, "access_as_external")
    assert root.show("networks", network["id"])["router:external"] is True
    assert mine.show("networks", network["id"])["router:external"] is True
    refused(other.get(f"{N}/networks/{network['id']}"), 404, "NetworkNotFound")
    refused(other.post(f"{N}/routers", {"router": {"external_gateway_info": {"network_id": network["id"]}}}), 404,
            "NetworkNotFound")
    router = mine.router(external_gateway_info={"network_id": network["id"]})
    refused(admin.delete(f"{N}/rbac-policies/{policy['id']}"), 409, "RbacPolicyInUse")
    mine.delete("routers", router["id"])
    root.delete("rbac-policies", policy["id"])
    assert root.show("networks", network["id"])["router:external"] is False
    default = first_start(cloud, admin.project_id)
    wildcard = root.list("rbac-policies", object_id=default)[0]
    refused(admin.delete(f"{N}/rbac-policies/{wildcard['id']}"), 409, "RbacPolicyInUse")


def test_a_shared_security_group(mine: Neutron, theirs: Neutron, other: Client) -> None:
    group = mine.group("open")
    network = theirs.network()
    body = {"port": {"network_id": network["id"], "security_groups": [group["id"]]}}
    refused(other.post(f"{N}/ports", body), 404, "SecurityGroupNotFound")
    policy = share(mine, "security_group", group["id"], other.project_id)
    assert theirs.show("security-groups", group["id"])["shared"] is True
    assert [one["id"] for one in theirs.list("security-groups", shared="True")] == [group["id"]]
    rule = {"security_group_id": group["id"], "direction": "ingress"}
    refused(other.post(f"{N}/security-group-rules", {"security_group_rule": rule}), 403, "PolicyNotAuthorized")
    refused(other.delete(f"{N}/security-groups/{group['id']}"), 403, "PolicyNotAuthorized")
    port = ok(other.post(f"{N}/ports", body), 201).json()["port"]
    refused(mine.client.delete(f"{N}/rbac-policies/{policy['id']}"), 409, "RbacPolicyInUse")
    theirs.delete("ports", port["id"])
    mine.delete("rbac-policies", policy["id"])
    assert theirs.list("security-groups", shared="True") == []


def test_a_shared_subnet_pool(admin: Client, theirs: Neutron, other: Client) -> None:
    root = Neutron(admin)
    pool = root.create("subnetpools", "subnetpool", name="p", prefixes=["10.9.0.0/16"], default_prefixlen=24)
    policy = share(root, "subnetpool", pool["id"], other.project_id)
    assert theirs.show("subnetpools", pool["id"])["shared"] is True
    subnet = theirs.create("subnets", "subnet", network_id=theirs.network()["id"], ip_version=4,
                           subnetpool_id=pool["id"])
    refused(admin.delete(f"{N}/rbac-policies/{policy['id']}"), 409, "RbacPolicyInUse")
    theirs.delete("subnets", subnet["id"])
    root.delete("rbac-policies", policy["id"])
    refused(other.get(f"{N}/subnetpools/{pool['id']}"), 404, "SubnetPoolNotFound")


def test_sharing_revises_what_is_shared(mine: Neutron, other: Client) -> None:
    network = mine.network()
    policy = share(mine, "network", network["id"], other.project_id)
    shared = mine.show("networks", network["id"])["revision_number"]
    assert shared > network["revision_number"]
    mine.delete("rbac-policies", policy["id"])
    assert mine.show("networks", network["id"])["revision_number"] > shared


def test_a_shared_group_of_addresses_is_unknown_to_who_would_change_it(mine: Neutron, other: Client) -> None:
    group = mine.create("address-groups", "address_group", addresses=["192.0.2.0/24"])
    share(mine, "address_group", group["id"], other.project_id)
    path = f"{N}/address-groups/{group['id']}"
    ok(other.get(path), 200)
    refused(other.put(path, {"address_group": {"name": "x"}}), 404, "AddressGroupNotFound")


def test_a_pool_is_shared_with_who_has_its_scope(mine: Neutron, member: Client, other: Client) -> None:
    scope = mine.create("address-scopes", "address_scope", name="s", ip_version=4)
    pool = mine.create("subnetpools", "subnetpool", name="p", prefixes=["10.20.0.0/16"], address_scope_id=scope["id"])
    body = {"object_type": "subnetpool", "object_id": pool["id"], "action": "access_as_shared",
            "target_tenant": other.project_id}
    refused(member.post(f"{N}/rbac-policies", {"rbac_policy": body}), 400, "RbacPolicyInitError")
    share(mine, "address_scope", scope["id"], other.project_id)
    ok(member.post(f"{N}/rbac-policies", {"rbac_policy": body}), 201)
