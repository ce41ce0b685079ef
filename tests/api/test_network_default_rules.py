"""Default security group rules through HTTP."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Client
from tests.api.network_cloud import N, Neutron, ok, refused

PATH = "default-security-group-rules"


def _meaning(rule: dict[str, Any]) -> tuple[Any, ...]:
    return (rule["direction"], rule["ethertype"], rule["protocol"], rule["port_range_min"], rule["remote_group_id"])


def test_what_new_groups_start_with(admin: Client, member: Client) -> None:
    root, mine = Neutron(admin), Neutron(member)
    assert {_meaning(one) for one in root.list(PATH)} == {
        ("egress", "IPv4", None, None, None), ("egress", "IPv6", None, None, None),
        ("ingress", "IPv4", None, None, "PARENT"), ("ingress", "IPv6", None, None, "PARENT")}
    made = root.create(PATH, "default_security_group_rule", direction="ingress", protocol="tcp", port_range_min=22,
                       port_range_max=22, used_in_default_sg=True)
    assert set(made) == {
        "id", "description", "direction", "ethertype", "protocol", "port_range_min", "port_range_max",
        "remote_ip_prefix", "remote_group_id", "remote_address_group_id", "used_in_default_sg",
        "used_in_non_default_sg"}
    group = mine.group()
    assert sorted(map(_meaning, group["security_group_rules"]), key=str) == sorted([
        ("egress", "IPv4", None, None, None), ("egress", "IPv6", None, None, None),
        ("ingress", "IPv4", "tcp", 22, None)], key=str)
    default = next(one for one in mine.list("security-groups") if one["name"] == "default")
    assert ("ingress", "IPv4", None, None, default["id"]) in map(_meaning, default["security_group_rules"])
    assert len(default["security_group_rules"]) == 5
    for rule in root.list(PATH, used_in_non_default_sg="True"):
        root.delete(PATH, rule["id"])
    assert mine.group("bare")["security_group_rules"] == []
    assert len(mine.show("security-groups", group["id"])["security_group_rules"]) == 3
    refused(admin.get(f"{N}/{PATH}/{made['id']}"), 404, "DefaultSecurityGroupRuleNotFound")


def test_bad_rules_and_callers_are_refused(admin: Client, member: Client, reader: Client, anonymous: Client) -> None:
    body = {"default_security_group_rule": {"direction": "egress"}}
    rule = Neutron(reader).list(PATH)[0]
    refused(admin.post(f"{N}/{PATH}", body), 409, "DefaultSecurityGroupRuleExists")
    refused(admin.post(f"{N}/{PATH}", {"default_security_group_rule": {"direction": "up"}}), 400, "HTTPBadRequest")
    refused(admin.post(f"{N}/{PATH}", {"default_security_group_rule": {
        "direction": "ingress", "remote_group_id": "PARENT", "remote_ip_prefix": "10.0.0.0/8"}}), 400,
        "SecurityGroupMultipleRemoteEntitiesInRule")
    refused(member.post(f"{N}/{PATH}", body), 403, "PolicyNotAuthorized")
    refused(member.delete(f"{N}/{PATH}/{rule['id']}"), 403, "PolicyNotAuthorized")
    assert admin.put(f"{N}/{PATH}/{rule['id']}", body).status_code == 405
    assert ok(reader.get(f"{N}/{PATH}/{rule['id']}"), 200)
    assert anonymous.get(f"{N}/{PATH}").status_code == 401
