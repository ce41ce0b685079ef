"""Network's default rules, as neutron/conf/policies has them: what a role, a network's owner, a service may."""

from __future__ import annotations

import pytest

from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import N, Neutron, ok, refused

Q = f"{N}/qos"


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


@pytest.fixture
def nova(cloud: CloudUnderTest) -> Client:
    """A service's own user."""
    return cloud.actor("service", "service")


@pytest.fixture
def manager(cloud: CloudUnderTest, member: Client) -> Client:
    return cloud.actor("demo", "manager")


# -- quotas

def test_everybody_reads_the_limits_of_the_project_in_the_token(cloud: CloudUnderTest, member: Client, nova: Client,
                                                                manager: Client, admin: Client) -> None:
    for one in (member, nova, manager):
        for path in ("", "/default", "/details"):
            ok(one.get(f"{N}/quotas/{one.project_id}{path}"), 200)
        assert ok(one.get(f"{N}/quotas/project"), 200).json() == {"project": {"project_id": one.project_id}}
        assert ok(one.get(f"{N}/quotas/tenant"), 200).json() == {"tenant": {"tenant_id": one.project_id}}
        for path in (f"/{admin.project_id}", f"/{admin.project_id}/default", ""):
            refused(one.get(f"{N}/quotas{path}"), 403, "PolicyNotAuthorized")
        message = refused(one.get(f"{N}/quotas/{admin.project_id}/details"), 403, "AdminRequired")
        assert message == ("User does not have admin privileges: Only admin is authorized to access quotas for another "
                           "project.")
        refused(one.put(f"{N}/quotas/{one.project_id}", {"quota": {"port": 1}}), 403, "PolicyNotAuthorized")
        refused(one.delete(f"{N}/quotas/{one.project_id}"), 403, "PolicyNotAuthorized")
    for path in ("", f"/{member.project_id}", f"/{member.project_id}/default", f"/{member.project_id}/details"):
        ok(admin.get(f"{N}/quotas{path}"), 200)


# -- what is for services

def test_only_services_write_the_profile_of_a_binding(root: Neutron, mine: Neutron, nova: Client, admin: Client,
                                                      member: Client) -> None:
    network = mine.network()
    port = mine.port(network)
    profile = {"binding:profile": {"pci_slot": "0000:81:00.2"}}
    for one in (admin, member):
        message = refused(one.put(f"{N}/ports/{port['id']}", {"port": profile}), 403, "PolicyNotAuthorized")
        assert message == "(rule:update_port and rule:update_port:binding:profile) is disallowed by policy"
        message = refused(one.post(f"{N}/ports", {"port": {"network_id": network["id"], **profile}}), 403,
                          "PolicyNotAuthorized")
        assert message == "(rule:create_port and rule:create_port:binding:profile) is disallowed by policy"
    changed = Neutron(nova).update("ports", "port", port["id"], **profile, **{"binding:host_id": "host-1"})
    assert (changed["binding:profile"], changed["binding:host_id"]) == (profile["binding:profile"], "host-1")
    assert root.show("ports", port["id"])["binding:profile"] == profile["binding:profile"]
    assert "binding:profile" not in mine.show("ports", port["id"])
    made = Neutron(nova).port(network, project_id=member.project_id, **profile)
    assert (made["binding:profile"], made["project_id"]) == (profile["binding:profile"], member.project_id)


def test_a_service_sees_networks_and_their_subnets(mine: Neutron, nova: Client, other: Client) -> None:
    network = mine.network()
    subnet = mine.subnet(network)
    for path in (f"networks/{network['id']}", f"subnets/{subnet['id']}", f"network-ip-availabilities/{network['id']}"):
        ok(nova.get(f"{N}/{path}"), 200)
        assert other.get(f"{N}/{path}").status_code == 404
    port = mine.port(network)
    for path, made in (("networks", network), ("subnets", subnet), ("ports", port)):
        assert made["id"] in {one["id"] for one in Neutron(nova).list(path)}
        assert Neutron(other).list(path) == []
    refused(nova.get(f"{N}/routers"), 403, "PolicyNotAuthorized")
    refused(nova.put(f"{N}/networks/{network['id']}", {"network": {"name": "n"}}), 403, "PolicyNotAuthorized")
    refused(nova.delete(f"{N}/subnets/{subnet['id']}"), 403, "PolicyNotAuthorized")


# -- whose network it is

def test_a_networks_owner_sees_and_removes_others_ports_and_changes_none(mine: Neutron, root: Neutron, other: Client,
                                                                         member: Client) -> None:
    network = mine.network()
    mine.create("rbac-policies", "rbac_policy", object_type="network", object_id=network["id"],
                action="access_as_shared", target_tenant=other.project_id)
    theirs = Neutron(other).port(network)
    path = f"{N}/ports/{theirs['id']}"
    assert mine.show("ports", theirs["id"])["project_id"] == other.project_id
    for change in ({"name": "n"}, {"device_id": "d"}, {"port_security_enabled": False}):
        message = refused(member.put(path, {"port": change}), 403, "PolicyNotAuthorized")
        assert message == "rule:update_port is disallowed by policy"
    refused(member.put(f"{path}/tags/red"), 403, "PolicyNotAuthorized")
    refused(member.post(f"{path}/tags", {"tags": ["red"]}), 403, "PolicyNotAuthorized")
    ok(other.put(f"{path}/tags/red"), 201)
    assert ok(member.get(f"{path}/tags"), 200).json() == {"tags": ["red"]}
    ok(member.delete(f"{path}/tags/red"), 204)
    ok(member.delete(path), 204)


def test_ports_in_somebody_elses_network(root: Neutron, mine: Neutron, member: Client, reader: Client) -> None:
    shared = root.network(shared=True)
    subnet = root.subnet(shared)
    port = mine.port(shared, fixed_ips=[{"subnet_id": subnet["id"]}], device_id="d", device_owner="compute:nova")
    for name, value in (("fixed_ips", [{"ip_address": "10.0.0.9"}]), ("mac_address", "fa:16:3e:00:00:07"),
                        ("port_security_enabled", False), ("allowed_address_pairs", [{"ip_address": "10.0.0.9"}]),
                        ("device_owner", "network:dhcp")):
        message = refused(member.post(f"{N}/ports", {"port": {"network_id": shared["id"], name: value}}), 403,
                          "PolicyNotAuthorized")
        assert f"rule:create_port:{name}" in message
        message = refused(member.put(f"{N}/ports/{port['id']}", {"port": {name: value}}), 403, "PolicyNotAuthorized")
        assert f"rule:update_port:{name}" in message
    refused(reader.post(f"{N}/ports", {"port": {"network_id": shared["id"]}}), 403, "PolicyNotAuthorized")
    one, two = {"network_id": shared["id"]}, {"network_id": shared["id"], "mac_address": "fa:16:3e:00:00:08"}
    refused(member.post(f"{N}/ports", {"ports": [one, two]}), 403, "PolicyNotAuthorized")
    assert [one["id"] for one in mine.list("ports")] == [port["id"]]
    body = {"subnet": {"network_id": shared["id"], "cidr": "10.7.0.0/24", "ip_version": 4}}
    refused(member.post(f"{N}/subnets", body), 403, "PolicyNotAuthorized")


def test_nobody_makes_anything_in_a_network_that_isnt_seen(root: Neutron, member: Client) -> None:
    hidden = root.network()["id"]
    for path, body in (("ports", {"port": {}}), ("subnets", {"subnet": {"cidr": "10.7.0.0/24", "ip_version": 4}})):
        refused(member.post(f"{N}/{path}", {name: {"network_id": hidden, **more} for name, more in body.items()}), 404,
                "NetworkNotFound")


# -- QoS

def test_rules_of_a_shared_policy_are_seen_in_the_policy_only(root: Neutron, member: Client, manager: Client) -> None:
    made = root.create("qos/policies", "policy", name="q", shared=True)
    path = f"{Q}/policies/{made['id']}"
    rule = root.create(f"qos/policies/{made['id']}/bandwidth_limit_rules", "bandwidth_limit_rule", max_kbps=1)
    for one in (member, manager):
        assert ok(one.get(path), 200).json()["policy"]["rules"][0]["id"] == rule["id"]
        assert ok(one.get(f"{path}/bandwidth_limit_rules"), 200).json() == {"bandwidth_limit_rules": []}
        refused(one.get(f"{path}/bandwidth_limit_rules/{rule['id']}"), 404, "QosRuleNotFound")
        refused(one.get(f"{Q}/alias_bandwidth_limit_rules/{rule['id']}"), 404, "QosRuleNotFound")
        refused(one.delete(f"{path}/bandwidth_limit_rules/{rule['id']}"), 403, "PolicyNotAuthorized")


def test_a_projects_manager_shares_and_prefers_its_policies(manager: Client, member: Client, other: Client) -> None:
    made = Neutron(manager).create("qos/policies", "policy", name="q", shared=True, is_default=True)
    ok(other.get(f"{Q}/policies/{made['id']}"), 200)
    assert Neutron(member).network()["qos_policy_id"] == made["id"]
    refused(member.put(f"{Q}/policies/{made['id']}", {"policy": {"shared": False}}), 403, "PolicyNotAuthorized")
