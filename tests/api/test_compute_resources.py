"""Flavors, key pairs, quotas, hosts, aggregates, server groups, usage, old security groups, versions, what is gone."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization

from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client, CloudUnderTest

__all__ = ["world"]
SSH = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGE7VtkOIHmcVHDPzxEdQqp5bdyiNkZOoAjzHqW2+bKo me@home")


def test_versions(cloud: CloudUnderTest, world: World, anonymous: Client) -> None:
    shown = anonymous.get("/compute").json()["versions"]
    assert [(v["id"], v["version"], v["min_version"]) for v in shown] == [("v2.0", "", ""), ("v2.1", "2.104", "2.1")]
    assert anonymous.get("/compute/v2.1/").json()["version"]["links"][0]["href"] == "http://cloud.test/compute/v2.1/"
    assert anonymous.get(f"{V}/servers").status_code == 401
    answer = world.admin.get(f"{V}/servers", headers=LATEST)
    assert answer.headers["OpenStack-API-Version"] == "compute 2.104"
    assert answer.headers["X-OpenStack-Nova-API-Version"] == "2.104"
    assert world.admin.get(f"{V}/servers", headers=version(105)).status_code == 406
    for path in ("servers/", "os-simple-tenant-usage/", "flavors/detail/"):
        assert world.admin.get(f"{V}/{path}").status_code == 404


def test_flavors(world: World, member: Client) -> None:
    admin = world.admin
    names = [f["name"] for f in member.get(f"{V}/flavors/detail").json()["flavors"]]
    assert "m1.nano" in names
    made = admin.post(f"{V}/flavors", {"flavor": {"name": "big", "ram": 128, "vcpus": 1, "disk": 1, "id": "auto",
                                                  "os-flavor-access:is_public": False}})
    assert made.status_code == 200, made.text
    id = made.json()["flavor"]["id"]
    assert len(id) == 36
    assert member.get(f"{V}/flavors/{id}").status_code == 404
    assert world.try_create(member, flavorRef=id).status_code == 400
    granted = admin.post(f"{V}/flavors/{id}/action", {"addTenantAccess": {"tenant": member.project_id}})
    assert granted.status_code == 200
    assert admin.post(f"{V}/flavors/{id}/action", {"addTenantAccess": {"tenant": member.project_id}}).status_code == 409
    assert {"flavor_id": id, "tenant_id": member.project_id} in admin.get(
        f"{V}/flavors/{id}/os-flavor-access").json()["flavor_access"]
    assert member.get(f"{V}/flavors/{id}").status_code == 200
    assert member.post(f"{V}/flavors/{id}/action", {"removeTenantAccess": {"tenant": "x"}}).status_code == 403
    assert admin.post(f"{V}/flavors/{id}/action", {
        "removeTenantAccess": {"tenant": member.project_id}}).status_code == 200
    specs = f"{V}/flavors/{id}/os-extra_specs"
    assert admin.post(specs, {"extra_specs": {"hw:x": "1"}}).json() == {"extra_specs": {"hw:x": "1"}}
    assert admin.put(f"{specs}/hw:y", {"hw:y": "2"}).json() == {"hw:y": "2"}
    assert admin.put(f"{specs}/hw:y", {"hw:z": "2"}).status_code == 400
    assert admin.get(f"{specs}/hw:y").json() == {"hw:y": "2"}
    assert admin.delete(f"{specs}/hw:x").status_code == 200
    assert admin.delete(f"{specs}/hw:x").status_code == 404
    described = admin.put(f"{V}/flavors/{id}", {"flavor": {"description": "d"}}, headers=LATEST)
    assert described.json()["flavor"]["description"] == "d"
    assert described.json()["flavor"]["extra_specs"] == {"hw:y": "2"}
    assert admin.put(f"{V}/flavors/{id}", {"flavor": {"description": "d"}}, headers=version(54)).status_code == 404
    again = {"flavor": {"name": "big", "ram": 1, "vcpus": 1, "disk": 1}}
    assert admin.post(f"{V}/flavors", again).status_code == 409
    assert member.post(f"{V}/flavors", again).status_code == 403
    for wrong in ({"ram": 0}, {"vcpus": "x"}, {"name": " "}, {"disk": -1}, {"ram": 1 << 40}, {"id": " a"}):
        body = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, **wrong}}
        assert admin.post(f"{V}/flavors", body).status_code == 400, wrong
    assert admin.delete(f"{V}/flavors/{id}").status_code == 202
    assert admin.get(f"{V}/flavors/{id}").status_code == 404
    page = member.get(f"{V}/flavors?limit=1").json()
    assert len(page["flavors"]) == 1
    assert "marker=" in page["flavors_links"][0]["href"]
    assert member.get(f"{V}/flavors?marker=nope").status_code == 400
    assert {f["name"] for f in member.get(f"{V}/flavors?minRam=4096").json()["flavors"]} == {
        "m1.medium", "m1.large", "m1.xlarge"}


def test_keypairs(world: World, member: Client, other: Client) -> None:
    imported = member.post(f"{V}/os-keypairs", {"keypair": {"name": "mine", "public_key": SSH}})
    assert imported.status_code == 200
    fingerprint = imported.json()["keypair"]["fingerprint"]
    assert len(fingerprint.split(":")) == 16
    assert "private_key" not in imported.json()["keypair"]
    made = member.post(f"{V}/os-keypairs", {"keypair": {"name": "new", "type": "ssh"}}, headers=version(2))
    assert made.status_code == 201
    private = made.json()["keypair"]["private_key"]
    assert serialization.load_pem_private_key(private.encode(), None)
    assert member.post(f"{V}/os-keypairs", {"keypair": {"name": "late"}}, headers=version(92)).status_code == 400
    assert member.post(f"{V}/os-keypairs", {"keypair": {"name": "mine", "public_key": SSH}}).status_code == 409
    for wrong in ({"name": "a/b"}, {"name": "x", "public_key": "ssh-rsa AAAA"}, {"name": ""}, {"name": "k" * 256}):
        assert member.post(f"{V}/os-keypairs", {"keypair": wrong}).status_code == 400, wrong
    listed = member.get(f"{V}/os-keypairs", headers=LATEST).json()["keypairs"]
    assert [(k["keypair"]["name"], k["keypair"]["type"]) for k in listed] == [("mine", "ssh"), ("new", "ssh")]
    assert other.get(f"{V}/os-keypairs").json() == {"keypairs": []}
    assert other.get(f"{V}/os-keypairs/mine").status_code == 404
    user = member.user_id
    assert other.get(f"{V}/os-keypairs?user_id={user}", headers=version(10)).status_code == 403
    assert len(world.admin.get(f"{V}/os-keypairs?user_id={user}", headers=version(10)).json()["keypairs"]) == 2
    page = member.get(f"{V}/os-keypairs?limit=1", headers=version(35)).json()
    assert [k["keypair"]["name"] for k in page["keypairs"]] == ["mine"]
    assert page["keypairs_links"][0]["rel"] == "next"
    id = world.active(member, key_name="mine")["id"]
    assert world.agents[0].wanted[id].metadata.meta_data["public_keys"] == {"mine": SSH}
    assert member.delete(f"{V}/os-keypairs/mine").status_code == 202
    assert member.delete(f"{V}/os-keypairs/mine").status_code == 404


def test_quotas_and_limits(world: World, member: Client, reader: Client, other: Client) -> None:
    project = member.project_id
    shown = member.get(f"{V}/os-quota-sets/{project}").json()["quota_set"]
    assert (shown["instances"], shown["cores"], shown["ram"], shown["id"]) == (10, 20, 51200, project)
    assert "floating_ips" in shown
    assert "floating_ips" not in member.get(f"{V}/os-quota-sets/{project}", headers=version(36)).json()["quota_set"]
    assert other.get(f"{V}/os-quota-sets/{project}").status_code == 403
    assert member.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"cores": 1}}).status_code == 403
    world.create(member)
    world.create(member)
    refused = world.admin.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"cores": 1}})
    assert refused.status_code == 400
    forced = world.admin.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"cores": 1, "force": True}})
    assert forced.json()["quota_set"]["cores"] == 1
    assert world.try_create(member).status_code == 403
    detail = member.get(f"{V}/os-quota-sets/{project}/detail").json()["quota_set"]
    assert detail["cores"] == {"limit": 1, "in_use": 2, "reserved": 0}
    assert world.admin.delete(f"{V}/os-quota-sets/{project}").status_code == 202
    assert member.get(f"{V}/os-quota-sets/{project}/defaults").json()["quota_set"]["cores"] == 20
    limits = reader.get(f"{V}/limits").json()["limits"]["absolute"]
    assert (limits["totalInstancesUsed"], limits["maxTotalInstances"], limits["totalRAMUsed"]) == (2, 10, 384)
    assert world.admin.put(f"{V}/os-quota-class-sets/default", {
        "quota_class_set": {"cores": 33}}).json()["quota_class_set"]["cores"] == 33
    assert member.get(f"{V}/os-quota-sets/{project}").json()["quota_set"]["cores"] == 33
    assert world.admin.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"nonsense": 1}}).status_code == 400


def test_hosts(world: World, member: Client) -> None:
    admin = world.admin
    world.active(member)
    [service] = admin.get(f"{V}/os-services", headers=LATEST).json()["services"]
    assert (service["binary"], service["host"], service["state"], service["status"]) == (
        "nova-compute", "h1", "up", "enabled")
    assert member.get(f"{V}/os-services").status_code == 403
    [hypervisor] = admin.get(f"{V}/os-hypervisors/detail", headers=version(53)).json()["hypervisors"]
    assert (hypervisor["vcpus_used"], hypervisor["running_vms"]) == (1, 1)
    assert admin.get(f"{V}/os-hypervisors/{hypervisor['id']}?with_servers=true", headers=LATEST).json()[
        "hypervisor"]["servers"][0]["name"] == "vm"
    assert "vcpus" not in admin.get(f"{V}/os-hypervisors/detail", headers=LATEST).json()["hypervisors"][0]
    assert admin.get(f"{V}/os-hypervisors/nope", headers=LATEST).status_code == 400
    assert admin.get(f"{V}/os-hypervisors/1").status_code == 200
    assert admin.get(f"{V}/os-hypervisors/h1/search").json()["hypervisors"][0]["id"] == 1
    assert admin.get(f"{V}/os-hypervisors/statistics").json()["hypervisor_statistics"]["vcpus"] == 4
    assert admin.get(f"{V}/os-hypervisors/statistics", headers=version(88)).status_code == 404
    zones = member.get(f"{V}/os-availability-zone").json()["availabilityZoneInfo"]
    assert zones == [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]
    assert member.get(f"{V}/os-availability-zone/detail").status_code == 403
    named = {"host": "h1", "binary": "nova-compute", "disabled_reason": "x"}
    done = admin.put(f"{V}/os-services/disable-log-reason", named)
    assert done.json()["service"] == {**named, "status": "disabled"}
    assert admin.get(f"{V}/os-availability-zone/detail").json()["availabilityZoneInfo"] == [
        {"zoneName": "nova", "zoneState": {"available": False}, "hosts": None}]
    shown = world.show(member, world.create(member)["id"])
    assert shown["fault"]["message"] == "No valid host was found. 0 of 1 host: 1 is disabled."
    done = admin.put(f"{V}/os-services/{service['id']}", {"status": "enabled", "forced_down": True}, headers=LATEST)
    assert (done.json()["service"]["status"], done.json()["service"]["state"]) == ("enabled", "down")
    assert world.show(member, world.create(member)["id"])["fault"]["message"].endswith("1 is down.")
    assert admin.put(f"{V}/os-services/{service['id']}", {}, headers=LATEST).status_code == 400
    assert admin.delete(f"{V}/os-services/{service['id']}", headers=LATEST).status_code == 409
    assert admin.get(f"{V}/os-hosts").json()["hosts"][0]["host_name"] == "h1"
    assert admin.get(f"{V}/os-hosts/h1").json()["host"][0]["resource"]["cpu"] == 4
    assert admin.put(f"{V}/os-hosts/h1", {"maintenance_mode": "enable"}).status_code == 501
    assert admin.put(f"{V}/os-hosts/h1", {}).status_code == 400
    assert admin.get(f"{V}/os-hosts/h9/reboot").status_code == 404
    assert admin.get(f"{V}/os-hosts/h1/reboot", headers=version(43)).status_code == 404


def test_extensions(member: Client) -> None:
    shown = member.get(f"{V}/extensions").json()["extensions"]
    assert {one["alias"]: one["name"] for one in shown}["OS-EXT-IMG-SIZE"] == "ImageSize"
    assert len(shown) == 99
    assert member.get(f"{V}/extensions/os-cells").json()["extension"]["name"] == "Cells"
    assert member.get(f"{V}/extensions/os-nothing").status_code == 404


def test_aggregates_and_zones(world: World, member: Client) -> None:
    world.add_host("h2")
    admin = world.admin
    made = admin.post(f"{V}/os-aggregates", {"aggregate": {"name": "east", "availability_zone": "east"}})
    assert made.status_code == 200
    id = made.json()["aggregate"]["id"]
    assert "hosts" not in made.json()["aggregate"]
    assert admin.post(f"{V}/os-aggregates", {"aggregate": {"name": "east"}}).status_code == 409
    assert admin.post(f"{V}/os-aggregates/{id}/action", {"add_host": {"host": "h9"}}).status_code == 404
    added = admin.post(f"{V}/os-aggregates/{id}/action", {"add_host": {"host": "h2"}})
    assert added.json()["aggregate"]["hosts"] == ["h2"]
    assert admin.post(f"{V}/os-aggregates/{id}/action", {"add_host": {"host": "h2"}}).status_code == 409
    for _ in range(2):
        shown = world.show(admin, world.create(member, availability_zone="east")["id"])
        assert (shown["OS-EXT-SRV-ATTR:host"], shown["OS-EXT-AZ:availability_zone"]) == ("h2", "east")
        assert shown["pinned_availability_zone"] == "east"
    meta = admin.post(f"{V}/os-aggregates/{id}/action", {"set_metadata": {"metadata": {"ssd": "yes"}}})
    assert meta.json()["aggregate"]["metadata"] == {"availability_zone": "east", "ssd": "yes"}
    assert admin.delete(f"{V}/os-aggregates/{id}").status_code == 400
    assert admin.post(f"{V}/os-aggregates/{id}/action", {"remove_host": {"host": "h2"}}).status_code == 409
    for server in member.get(f"{V}/servers").json()["servers"]:
        member.delete(f"{V}/servers/{server['id']}")
    world.settle()
    assert admin.post(f"{V}/os-aggregates/{id}/action", {"remove_host": {"host": "h2"}}).status_code == 200
    assert admin.delete(f"{V}/os-aggregates/{id}").status_code == 200
    assert admin.get(f"{V}/os-aggregates/{id}").status_code == 404
    assert member.get(f"{V}/os-aggregates").status_code == 403


def test_server_groups_are_honoured(world: World, member: Client, other: Client) -> None:
    world.add_host("h2")
    made = member.post(f"{V}/os-server-groups", {"server_group": {"name": "g", "policies": ["anti-affinity"]}})
    assert made.status_code == 200, made.text
    group = made.json()["server_group"]["id"]
    hosts = [world.show(world.admin, world.create(member, hints={"group": group})["id"])["OS-EXT-SRV-ATTR:host"]
             for _ in range(2)]
    assert sorted(hosts) == ["h1", "h2"]
    third = world.show(member, world.create(member, hints={"group": group})["id"])
    assert third["status"] == "ERROR"
    assert "server group" in third["fault"]["message"]
    together = member.post(f"{V}/os-server-groups", {"server_group": {"name": "t", "policy": "affinity"}},
                           headers=LATEST)
    id = together.json()["server_group"]["id"]
    hosts = [world.show(world.admin, world.create(member, hints={"group": id})["id"])["OS-EXT-SRV-ATTR:host"]
             for _ in range(3)]
    assert len(set(hosts)) == 1
    assert len(member.get(f"{V}/os-server-groups/{id}").json()["server_group"]["members"]) == 3
    assert other.get(f"{V}/os-server-groups/{id}").status_code == 404
    assert world.try_create(other, hints={"group": id}).status_code == 400
    assert member.delete(f"{V}/os-server-groups/{id}").status_code == 204
    assert member.post(f"{V}/os-server-groups", {"server_group": {"name": "g", "policies": ["x"]}}).status_code == 400


def test_usage(world: World, member: Client) -> None:
    world.active(member)
    query = "start=2020-01-01T00:00:00&end=2100-01-01T00:00:00&detailed=1"
    shown = member.get(f"{V}/os-simple-tenant-usage/{member.project_id}?{query}").json()["tenant_usage"]
    assert shown["server_usages"][0]["name"] == "vm"
    listed = world.admin.get(f"{V}/os-simple-tenant-usage?{query}").json()["tenant_usages"]
    assert [u["tenant_id"] for u in listed] == [member.project_id]
    assert member.get(f"{V}/os-simple-tenant-usage").status_code == 403
    assert world.admin.get(f"{V}/os-simple-tenant-usage?start=x").status_code == 400


def test_old_security_groups(world: World, member: Client) -> None:
    made = member.post(f"{V}/os-security-groups", {"security_group": {"name": "web", "description": "d"}})
    assert made.status_code == 200, made.text
    id = made.json()["security_group"]["id"]
    rule = member.post(f"{V}/os-security-group-rules", {"security_group_rule": {
        "parent_group_id": id, "ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr": "10.0.0.0/8"}})
    assert rule.status_code == 200, rule.text
    shown = member.get(f"{V}/os-security-groups/{id}").json()["security_group"]
    assert [(r["ip_protocol"], r["from_port"], r["to_port"], r["ip_range"]) for r in shown["rules"]] == [
        ("tcp", 22, 22, {"cidr": "10.0.0.0/8"})]
    assert {g["name"] for g in member.get(f"{V}/os-security-groups").json()["security_groups"]} == {"default", "web"}
    assert member.put(f"{V}/os-security-groups/{id}", {
        "security_group": {"name": "www", "description": ""}}).json()["security_group"]["name"] == "www"
    assert member.delete(f"{V}/os-security-group-rules/{rule.json()['security_group_rule']['id']}").status_code == 202
    assert member.delete(f"{V}/os-security-groups/{id}").status_code == 202
    assert member.get(f"{V}/os-security-groups/{id}").status_code == 404
    assert member.get(f"{V}/os-security-groups", headers=version(36)).status_code == 404
    default = next(g for g in member.get(f"{V}/os-security-groups").json()["security_groups"] if g["name"] == "default")
    assert member.delete(f"{V}/os-security-groups/{default['id']}").status_code == 400


@pytest.mark.parametrize("path", ["/os-agents", "/os-cells", "/os-fping", "/os-floating-ip-dns", "/os-cloudpipe"])
def test_what_is_retired_is_gone(world: World, path: str) -> None:
    assert world.admin.get(f"{V}{path}").status_code == 410


def test_external_events_make_us_look(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    event = {"name": "network-changed", "server_uuid": id}
    answer = world.admin.post(f"{V}/os-server-external-events", {"events": [event]})
    assert (answer.status_code, answer.json()["events"][0]["code"]) == (200, 200)
    assert member.post(f"{V}/os-server-external-events", {"events": [event]}).status_code == 403
    missing = {**event, "server_uuid": "00000000-0000-4000-8000-000000000000"}
    assert world.admin.post(f"{V}/os-server-external-events", {"events": [missing]}).status_code == 404
    assert world.admin.post(f"{V}/os-server-external-events", {"events": [event, missing]}).status_code == 207


def test_images_in_the_old_form(world: World, member: Client) -> None:
    path = f"{V}/images/{world.image}"
    assert [image["id"] for image in member.get(f"{V}/images").json()["images"]] == [world.image]
    [shown] = member.get(f"{V}/images/detail?name=tiny&status=ACTIVE").json()["images"]
    assert (shown["status"], shown["progress"], shown["OS-EXT-IMG-SIZE:size"]) == ("ACTIVE", 100, 1024 * 1024)
    assert member.get(f"{V}/images?name=other").json() == {"images": []}
    assert member.get(path).json()["image"]["name"] == "tiny"
    assert member.delete(path).status_code == 403
    admin = world.admin
    assert admin.post(f"{path}/metadata", {"metadata": {"a": "1"}}).json()["metadata"] == {"a": "1"}
    assert admin.put(f"{path}/metadata/b", {"meta": {"b": "2"}}).json() == {"meta": {"b": "2"}}
    assert member.get(f"{path}/metadata").json()["metadata"] == {"a": "1", "b": "2"}
    assert admin.delete(f"{path}/metadata/a").status_code == 204
    assert admin.delete(f"{path}/metadata/a").status_code == 404
    assert member.put(f"{path}/metadata", {"metadata": {}}).status_code == 403
    assert member.get(path, headers=version(36)).status_code == 404
    assert admin.delete(path).status_code == 204
    assert member.get(path).status_code == 404
