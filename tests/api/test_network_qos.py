"""QoS policies through HTTP, and what of them reaches the fabric."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.ports.fabric import FabricFloatingIP, FabricKind, FabricLimit, FabricPort, FabricRouter
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, first_start, ok, refused

Q = f"{N}/qos"


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


def policy(root: Neutron, **body: Any) -> dict[str, Any]:
    return root.create("qos/policies", "policy", **{"name": "slow", **body})


def limit(by: Neutron, of: dict[str, Any], **body: Any) -> dict[str, Any]:
    return by.create(f"qos/policies/{of['id']}/bandwidth_limit_rules", "bandwidth_limit_rule", **body)


def test_tags_of_policies_are_kept_without_the_prefix(root: Neutron) -> None:
    """As with Neutron, whose tags know collections by their names only."""
    made = policy(root)
    ok(root.client.put(f"{N}/policies/{made['id']}/tags", {"tags": ["blue"]}), 200)
    assert root.show("qos/policies", made["id"])["tags"] == ["blue"]
    ok(root.client.get(f"{N}/policies/{made['id']}/tags/blue"), 204)
    assert root.client.get(f"{Q}/policies/{made['id']}/tags").status_code == 404


def test_a_policy_and_its_rules(root: Neutron, admin: Client) -> None:
    made = policy(root, description="d")
    assert made["rules"] == []
    assert made["shared"] is False
    rule = limit(root, made, max_kbps=1000)
    assert rule == {"id": rule["id"], "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    path = f"{Q}/policies/{made['id']}"
    refused(admin.post(f"{path}/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 5}}), 409,
            "QoSRulesConflict")
    mark = root.create(f"qos/policies/{made['id']}/dscp_marking_rules", "dscp_marking_rule", dscp_mark=26)
    refused(admin.post(f"{path}/minimum_bandwidth_rules", {"minimum_bandwidth_rule": {"min_kbps": 2000}}), 409,
            "QoSRuleParameterConflict")
    least = root.create(f"qos/policies/{made['id']}/minimum_bandwidth_rules", "minimum_bandwidth_rule", min_kbps=10)
    shown = root.show("qos/policies", made["id"])["rules"]
    assert {"id": rule["id"], "qos_policy_id": made["id"], "type": "bandwidth_limit", "max_kbps": 1000,
            "max_burst_kbps": 0, "direction": "egress"} in shown
    assert [one["type"] for one in shown] == ["bandwidth_limit", "dscp_marking", "minimum_bandwidth"]
    body = {"bandwidth_limit_rule": {"max_kbps": 2000}}
    assert ok(admin.put(f"{path}/bandwidth_limit_rules/{rule['id']}", body), 200).json()[
        "bandwidth_limit_rule"]["max_kbps"] == 2000
    alias = f"{Q}/alias_dscp_marking_rules/{mark['id']}"
    assert ok(admin.get(alias), 200).json() == {"alias_dscp_marking_rule": {"id": mark["id"], "dscp_mark": 26}}
    changed = ok(admin.put(alias, {"alias_dscp_marking_rule": {"dscp_mark": 16}}), 200).json()
    assert changed["alias_dscp_marking_rule"]["dscp_mark"] == 16
    refused(admin.get(f"{path}/dscp_marking_rules/{rule['id']}"), 404, "QosRuleNotFound")
    assert ok(admin.get(f"{path}/bandwidth_limit_rules?max_kbps=2000"), 200).json()["bandwidth_limit_rules"]
    assert ok(admin.get(f"{path}/bandwidth_limit_rules?max_kbps=1"), 200).json() == {"bandwidth_limit_rules": []}
    ok(admin.delete(f"{Q}/alias_minimum_bandwidth_rules/{least['id']}"), 204)
    root.delete("qos/policies", made["id"])
    refused(admin.get(path), 404, "QosPolicyNotFound")
    refused(admin.get(alias), 404, "QosRuleNotFound")


@pytest.mark.parametrize(("kind", "body"), [
    ("bandwidth_limit", {}), ("bandwidth_limit", {"max_kbps": -1}), ("bandwidth_limit", {"max_kbps": 2**31}),
    ("bandwidth_limit", {"max_kbps": 1, "direction": "up"}), ("dscp_marking", {"dscp_mark": 1}),
    ("dscp_marking", {"dscp_mark": 8, "direction": "egress"}), ("minimum_bandwidth", {"min_kbps": "x"}),
    ("minimum_bandwidth", {"min_kbps": 1, "colour": "red"})])
def test_bad_rules_are_refused(root: Neutron, admin: Client, kind: str, body: dict[str, Any]) -> None:
    path = f"{Q}/policies/{policy(root)['id']}/{kind}_rules"
    refused(admin.post(path, {f"{kind}_rule": body}), 400, "HTTPBadRequest")
    assert ok(admin.get(path), 200).json() == {f"{kind}_rules": []}


def test_types_of_rules(admin: Client, reader: Client, anonymous: Client) -> None:
    types = ok(reader.get(f"{Q}/rule-types"), 200).json()["rule_types"]
    assert {one["type"] for one in types} == {"bandwidth_limit", "dscp_marking", "minimum_bandwidth"}
    assert len(ok(reader.get(f"{Q}/rule-types?all_rules=True"), 200).json()["rule_types"]) == 5
    one = ok(admin.get(f"{Q}/rule-types/dscp_marking"), 200).json()["rule_type"]
    assert one["drivers"][0]["supported_parameters"][0]["parameter_name"] == "dscp_mark"
    refused(reader.get(f"{Q}/rule-types/dscp_marking"), 403, "NotAuthorized")
    refused(admin.get(f"{Q}/rule-types/colour"), 404, "QosRuleTypeNotFound")
    assert anonymous.get(f"{Q}/rule-types").status_code == 401


def test_who_may_do_what(root: Neutron, mine: Neutron, member: Client, reader: Client, anonymous: Client) -> None:
    made = policy(root)
    limit(root, made, max_kbps=1)
    path = f"{Q}/policies/{made['id']}"
    assert anonymous.get(path).status_code == 401
    refused(member.post(f"{Q}/policies", {"policy": {"name": "x"}}), 403, "PolicyNotAuthorized")
    refused(member.get(path), 404, "QosPolicyNotFound")
    refused(member.post(f"{path}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 8}}), 403,
            "PolicyNotAuthorized")
    refused(member.get(f"{path}/dscp_marking_rules"), 404, "QosPolicyNotFound")
    body = {"network": {"qos_policy_id": made["id"]}}
    refused(member.post(f"{N}/networks", body), 404, "QosPolicyNotFound")
    root.update("qos/policies", "policy", made["id"], shared=True)
    assert ok(reader.get(path), 200).json()["policy"]["shared"] is True
    refused(member.post(f"{path}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 8}}), 403,
            "PolicyNotAuthorized")
    network = ok(member.post(f"{N}/networks", body), 201).json()["network"]
    assert network["qos_policy_id"] == made["id"]
    refused(root.client.delete(path), 409, "QosPolicyInUse")
    refused(root.client.put(path, {"policy": {"shared": False}}), 409, "RbacPolicyInUse")
    secret = policy(root, name="imposed")
    root.update("networks", "network", network["id"], qos_policy_id=secret["id"])
    refused(member.put(f"{N}/networks/{network['id']}", {"network": {"qos_policy_id": None}}), 403,
            "PolicyRemoveAuthorizationError")
    root.update("qos/policies", "policy", made["id"], shared=False)


def test_a_default_policy(root: Neutron, admin: Client, mine: Neutron, member: Client) -> None:
    made = policy(root, project_id=member.project_id, is_default=True)
    refused(admin.post(f"{Q}/policies", {"policy": {"name": "x", "project_id": member.project_id,
                                                    "is_default": True}}), 409, "QoSPolicyDefaultAlreadyExists")
    assert mine.network()["qos_policy_id"] == made["id"]


def test_what_the_fabric_gets(cloud: CloudUnderTest, admin: Client, root: Neutron) -> None:
    engine = Engine(cloud)
    external = first_start(cloud, admin.project_id)
    made, other = policy(root), policy(root, name="other")
    rule = limit(root, made, max_kbps=1000, max_burst_kbps=100)
    limit(root, made, max_kbps=500, direction="ingress")
    root.create(f"qos/policies/{made['id']}/dscp_marking_rules", "dscp_marking_rule", dscp_mark=26)
    network = root.network()
    subnet = root.subnet(network)
    router = root.router(external_gateway_info={"network_id": external, "qos_policy_id": made["id"]})
    assert router["external_gateway_info"]["qos_policy_id"] == made["id"]
    root.add_interface(router, subnet_id=subnet["id"])
    port = root.port(network, qos_policy_id=other["id"])
    floating = root.floating_ip(external, port_id=port["id"], qos_policy_id=made["id"])
    root.update("networks", "network", network["id"], qos_policy_id=made["id"])
    assert root.show("ports", port["id"])["qos_network_policy_id"] == made["id"]
    engine.settle()
    wanted = (FabricLimit("egress", 1000, 100, 26), FabricLimit("ingress", 500))

    def held(kind: FabricKind, id: str, of: type) -> Any:
        found = engine.fabric.holds(kind, id)
        assert isinstance(found, of)
        return found

    assert held(FabricKind.PORT, port["id"], FabricPort).qos == ()
    assert held(FabricKind.ROUTER, router["id"], FabricRouter).gateway.qos == wanted
    assert held(FabricKind.FLOATING_IP, floating["id"], FabricFloatingIP).qos == wanted
    root.update("ports", "port", port["id"], qos_policy_id=None)
    engine.settle()
    assert held(FabricKind.PORT, port["id"], FabricPort).qos == wanted
    root.client.delete(f"{Q}/policies/{made['id']}/bandwidth_limit_rules/{rule['id']}")
    engine.settle()
    less = (FabricLimit("egress", None, None, 26), FabricLimit("ingress", 500))
    assert held(FabricKind.PORT, port["id"], FabricPort).qos == less
    assert held(FabricKind.ROUTER, router["id"], FabricRouter).gateway.qos == less
    assert held(FabricKind.FLOATING_IP, floating["id"], FabricFloatingIP).qos == less
    assert root.list("ports", id=port["id"])[0]["qos_policy_id"] is None
    root.update("networks", "network", network["id"], qos_policy_id=None)
    engine.settle()
    assert held(FabricKind.PORT, port["id"], FabricPort).qos == ()
