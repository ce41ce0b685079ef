"""Endpoint filters, policies, domain configuration, federation's resources, revocation events, JSON home."""

from __future__ import annotations

import pytest

from tests.api.conftest import Client, CloudUnderTest

V3 = "/identity/v3"
EP, FED = f"{V3}/OS-EP-FILTER", f"{V3}/OS-FEDERATION"


def _types(client: Client) -> set[str]:
    return {entry["type"] for entry in client.body["catalog"]}


def _image_endpoint(admin: Client, interface: str = "public") -> str:
    service = admin.get(f"{V3}/services?type=image").json()["services"][0]["id"]
    found = admin.get(f"{V3}/endpoints?service_id={service}&interface={interface}").json()["endpoints"]
    return found[0]["id"]


def test_an_associated_endpoint_is_all_that_a_project_sees(
        cloud: CloudUnderTest, admin: Client, member: Client) -> None:
    endpoint, project = _image_endpoint(admin), member.project_id
    assert {"image", "compute"} <= _types(member)
    path = f"{EP}/projects/{project}/endpoints/{endpoint}"
    assert admin.get(path).status_code == 404
    assert admin.put(path).status_code == 204
    assert admin.put(path).status_code == 409
    assert admin.get(path).status_code == admin.request("HEAD", path).status_code == 204
    listed = admin.get(f"{EP}/projects/{project}/endpoints").json()["endpoints"]
    assert [one["id"] for one in listed] == [endpoint]
    assert [one["id"] for one in admin.get(f"{EP}/endpoints/{endpoint}/projects").json()["projects"]] == [project]
    shown = member.get(f"{V3}/auth/catalog").json()["catalog"]
    assert [(one["type"], [e["id"] for e in one["endpoints"]]) for one in shown] == [("image", [endpoint])]
    assert {"image", "compute"} <= _types(cloud.admin())
    assert admin.delete(path).status_code == 204
    assert admin.delete(path).status_code == 404
    assert len(member.get(f"{V3}/auth/catalog").json()["catalog"]) > 1


def test_endpoint_groups(cloud: CloudUnderTest, admin: Client, member: Client) -> None:
    made = admin.post(f"{EP}/endpoint_groups", {"endpoint_group": {
        "name": "inner", "filters": {"interface": "internal"}}})
    assert made.status_code == 201, made.text
    group = made.json()["endpoint_group"]
    assert group["description"] is None
    path = f"{EP}/endpoint_groups/{group['id']}"
    assert admin.get(path).json()["endpoint_group"] == group
    assert admin.get(f"{EP}/endpoint_groups?name=inner").json()["endpoint_groups"] == [group]
    own = f"{path}/projects/{member.project_id}"
    assert admin.get(own).status_code == 404
    assert admin.put(own).status_code == 204
    assert admin.get(own).json()["project_endpoint_group"]["endpoint_group_id"] == group["id"]
    assert [p["id"] for p in admin.get(f"{path}/projects").json()["projects"]] == [member.project_id]
    groups = admin.get(f"{EP}/projects/{member.project_id}/endpoint_groups").json()["endpoint_groups"]
    assert groups == [group]
    shown = member.get(f"{V3}/auth/catalog").json()["catalog"]
    assert {e["interface"] for one in shown for e in one["endpoints"]} == {"internal"}
    patched = admin.patch(path, {"endpoint_group": {"filters": {"interface": "admin"}}})
    assert patched.json()["endpoint_group"]["filters"] == {"interface": "admin"}
    assert {e["interface"] for e in admin.get(f"{path}/endpoints").json()["endpoints"]} == {"admin"}
    shown = member.get(f"{V3}/auth/catalog").json()["catalog"]
    assert {e["interface"] for one in shown for e in one["endpoints"]} == {"admin"}
    assert admin.delete(path).status_code == 204
    assert len(member.get(f"{V3}/auth/catalog").json()["catalog"]) > 1


@pytest.mark.parametrize("filters", [{}, {"url": "x"}, {"interface": "side"}, 3])
def test_bad_endpoint_groups(admin: Client, filters: object) -> None:
    answer = admin.post(f"{EP}/endpoint_groups", {"endpoint_group": {"name": "g", "filters": filters}})
    assert answer.status_code == 400


def test_policies_and_their_endpoints(admin: Client) -> None:
    made = admin.post(f"{V3}/policies", {"policy": {"type": "application/json", "blob": "{}", "note": "x"}})
    assert made.status_code == 201, made.text
    policy = made.json()["policy"]
    assert policy["note"] == "x"
    path, endpoint = f"{V3}/policies/{policy['id']}", _image_endpoint(admin)
    service = admin.get(f"{V3}/endpoints/{endpoint}").json()["endpoint"]["service_id"]
    of_endpoint = f"{V3}/endpoints/{endpoint}/OS-ENDPOINT-POLICY/policy"
    assert admin.get(of_endpoint).status_code == 404
    by_region = f"{path}/OS-ENDPOINT-POLICY/services/{service}/regions/RegionOne"
    assert admin.get(by_region).status_code == 404
    assert admin.put(by_region).status_code == 204
    assert admin.get(by_region).status_code == 204
    assert admin.get(of_endpoint).json()["policy"]["id"] == policy["id"]
    other = admin.post(f"{V3}/policies", {"policy": {"type": "text", "blob": "b"}}).json()["policy"]
    assert admin.put(f"{V3}/policies/{other['id']}/OS-ENDPOINT-POLICY/endpoints/{endpoint}").status_code == 204
    assert admin.get(of_endpoint).json()["policy"]["id"] == other["id"]
    covered = admin.get(f"{path}/OS-ENDPOINT-POLICY/endpoints").json()["endpoints"]
    assert {one["service_id"] for one in covered} == {service}
    assert len(covered) == 3
    assert [p["id"] for p in admin.get(f"{V3}/policies?type=text").json()["policies"]] == [other["id"]]
    assert admin.patch(path, {"policy": {"blob": "new"}}).json()["policy"]["blob"] == "new"
    assert admin.delete(by_region).status_code == 204
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_domain_configuration(admin: Client) -> None:
    domain = admin.post(f"{V3}/domains", {"domain": {"name": "apart"}}).json()["domain"]["id"]
    path = f"{V3}/domains/{domain}/config"
    assert admin.get(path).status_code == 404
    config = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://there", "password": "hush"}}
    made = admin.put(path, {"config": config})
    assert made.status_code == 201
    assert "hush" not in made.text
    shown = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://there"}}
    assert made.json()["config"] == admin.get(path).json()["config"] == shown
    assert admin.put(path, {"config": config}).status_code == 200
    assert admin.get(f"{path}/ldap/url").json() == {"config": {"url": "ldap://there"}}
    changed = admin.patch(f"{path}/identity", {"config": {"identity": {"list_limit": 5}}})
    assert changed.json()["config"]["identity"] == {"driver": "ldap", "list_limit": 5}
    assert admin.patch(f"{path}/identity/driver", {"config": {"driver": "sql"}}).json()["config"]["identity"][
        "driver"] == "sql"
    assert admin.delete(f"{path}/identity/driver").status_code == 204
    assert admin.get(f"{path}/identity/driver").status_code == 404
    assert admin.delete(f"{path}/identity").status_code == 204
    assert admin.get(f"{path}/identity").status_code == 404
    assert admin.delete(path).status_code == 204
    for bad in ({}, {"ldap": {}}, {"ldap": {"colour": "blue"}}, {"assignment": {"driver": "sql"}}):
        assert admin.put(path, {"config": bad}).status_code == 403
    assert admin.get(f"{V3}/domains/nowhere/config").status_code == 404


def test_default_domain_configuration(admin: Client, reader: Client) -> None:
    whole = admin.get(f"{V3}/domains/config/default").json()["config"]
    assert whole["identity"] == {"driver": "sql", "list_limit": None}
    assert admin.get(f"{V3}/domains/config/ldap/default").json()["config"] == {"ldap": whole["ldap"]}
    assert admin.get(f"{V3}/domains/config/ldap/url/default").json()["config"] == {"url": "ldap://localhost"}
    assert admin.get(f"{V3}/domains/config/ldap/password/default").status_code == 403
    assert reader.get(f"{V3}/domains/config/default").status_code == 403
    rule = reader.get(f"{V3}/domains/default/config/security_compliance").json()["config"]
    assert rule == {"security_compliance": {"password_regex": None, "password_regex_description": None}}


def test_registered_limits_outlive_their_service_and_region(admin: Client) -> None:
    service = admin.post(f"{V3}/services", {"service": {"type": "weaving"}}).json()["service"]["id"]
    admin.put(f"{V3}/regions/east", {"region": {}})
    limits = [{"service_id": service, "resource_name": "loom", "default_limit": 3},
              {"service_id": service, "resource_name": "loom", "default_limit": 2, "region_id": "east"}]
    made = admin.post(f"{V3}/registered_limits", {"registered_limits": limits})
    assert made.status_code == 201
    found = f"{V3}/registered_limits?service_id={service}"
    assert admin.delete(f"{V3}/regions/east").status_code == 204
    assert admin.delete(f"{V3}/services/{service}").status_code == 204
    assert len(admin.get(found).json()["registered_limits"]) == 2
    path = f"{V3}/registered_limits/{made.json()['registered_limits'][1]['id']}"
    assert admin.patch(path, {"registered_limit": {"default_limit": 4, "resource_name": "shuttle"}}).status_code == 200
    refused = admin.patch(path, {"registered_limit": {"service_id": service}})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("Expecting to find service_id in registered_limit. The server")
    assert [admin.delete(f"{V3}/registered_limits/{one['id']}").status_code
            for one in made.json()["registered_limits"]] == [204, 204]


def test_federation_resources(admin: Client) -> None:
    provider = admin.put(f"{FED}/identity_providers/acme", {"identity_provider": {"remote_ids": ["b", "a"]}})
    assert provider.status_code == 201, provider.text
    shown = provider.json()["identity_provider"]
    assert (shown["enabled"], shown["remote_ids"]) == (False, ["b", "a"])
    assert admin.get(f"{V3}/domains/{shown['domain_id']}").status_code == 200
    assert admin.put(f"{FED}/identity_providers/acme", {"identity_provider": {}}).status_code == 409
    taken = admin.put(f"{FED}/identity_providers/other", {"identity_provider": {"remote_ids": ["a"]}})
    assert taken.status_code == 409
    assert admin.get(f"{FED}/identity_providers/other").status_code == 404
    rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}]
    assert admin.put(f"{FED}/mappings/m", {"mapping": {"rules": rules}}).json()["mapping"]["schema_version"] == "1.0"
    assert admin.put(f"{FED}/mappings/n", {"mapping": {"rules": [{"local": []}]}}).status_code == 400
    unversioned = {"mapping": {"rules": rules, "schema_version": None}}       # what `openstack mapping create` sends
    assert admin.put(f"{FED}/mappings/n", unversioned).json()["mapping"]["schema_version"] == "1.0"
    protocol = f"{FED}/identity_providers/acme/protocols/openid"
    assert admin.put(protocol, {"protocol": {"mapping_id": "none"}}).status_code == 400
    assert admin.put(protocol, {"protocol": {"mapping_id": "m", "remote_id_attribute": None}}).status_code == 201
    listed = admin.get(f"{FED}/identity_providers/acme/protocols").json()["protocols"]
    assert [(one["id"], one["mapping_id"]) for one in listed] == [("openid", "m")]
    sp = {"auth_url": "https://sp.test/auth", "sp_url": "https://sp.test/sp"}
    made = admin.put(f"{FED}/service_providers/far", {"service_provider": sp})
    assert made.json()["service_provider"]["relay_state_prefix"] == "ss:mem:"
    assert admin.patch(f"{FED}/service_providers/far", {"service_provider": {"enabled": True}}).json()[
        "service_provider"]["enabled"] is True
    for path in (protocol, f"{FED}/identity_providers/acme", f"{FED}/mappings/m", f"{FED}/service_providers/far"):
        assert admin.delete(path).status_code == 204
        assert admin.get(path).status_code == 404


def test_revocation_events(admin: Client, member: Client) -> None:
    token = member.token
    assert admin.delete(f"{V3}/auth/tokens", headers={"X-Subject-Token": token}).status_code == 204
    events = admin.get(f"{V3}/OS-REVOKE/events").json()["events"]
    assert [event["audit_id"] for event in events] == member.body["audit_ids"]
    assert admin.get(f"{V3}/OS-REVOKE/events?since=2100-01-01T00:00:00Z").json()["events"] == []
    assert admin.get(f"{V3}/OS-REVOKE/events?since=never").status_code == 400


def test_what_is_gone_says_so(anonymous: Client) -> None:
    assert anonymous.get(f"{V3}/OS-SIMPLE-CERT/ca").status_code == 410
    assert anonymous.get(f"{V3}/OS-SIMPLE-CERT/certificates").status_code == 410


def test_json_home(anonymous: Client) -> None:
    assert "version" in anonymous.get(V3).json()
    answer = anonymous.get(V3, headers={"Accept": "application/json-home"})
    assert answer.headers["content-type"].startswith("application/json-home")
    resources = answer.json()["resources"]
    base = "https://docs.openstack.org/api/openstack-identity/3/rel"
    assert resources[f"{base}/users"] == {"href": "/users"}
    assert resources[f"{base}/user"]["href-template"] == "/users/{user_id}"
    assert f"{base}/auth_tokens" in resources


@pytest.mark.parametrize("path", [
    "policies", "OS-EP-FILTER/endpoint_groups", "OS-OAUTH1/consumers", "OS-FEDERATION/identity_providers",
    "OS-FEDERATION/mappings", "OS-FEDERATION/service_providers", "domains/default/config", "OS-REVOKE/events"])
def test_only_administrators_read_these(anonymous: Client, reader: Client, path: str) -> None:
    assert anonymous.get(f"{V3}/{path}").status_code == 401
    assert reader.get(f"{V3}/{path}").status_code == 403
