"""Filters, fields, sorting, pages, tags, quotas and the documents around the resources."""

from __future__ import annotations

import pytest

from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import N, Neutron, first_start, ok, refused


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


def names(found: list[dict[str, object]]) -> list[object]:
    return [one["name"] for one in found]


def test_filters(mine: Neutron, member: Client) -> None:
    one, two = mine.network(name="one"), mine.network(name="two", admin_state_up=False, description="")
    assert names(mine.list("networks", name="one")) == ["one"]
    assert sorted(names(mine.list("networks", name=["one", "two", "three"]))) == ["one", "two"]
    assert names(mine.list("networks", admin_state_up="false")) == ["two"]
    assert names(mine.list("networks", id=two["id"])) == ["two"]
    assert len(mine.list("networks", tenant_id=member.project_id)) == 2
    assert mine.list("networks", project_id="nobody") == []
    assert mine.list("networks", name="o%") == []
    assert len(mine.list("networks", shared="False", status="ACTIVE")) == 1
    assert len(mine.list("networks", revision_number=one["revision_number"])) == 2
    refused(member.get(f"{N}/networks", params={"colour": "red"}), 400, "HTTPBadRequest")
    refused(member.get(f"{N}/networks", params={"admin_state_up": "perhaps"}), 400, "HTTPBadRequest")


def test_port_filters(mine: Neutron, member: Client) -> None:
    network = mine.network()
    subnet, second = mine.subnet(network), mine.subnet(network, "2001:db8::/64")
    port, group = mine.port(network, name="p"), mine.group()
    other = mine.port(network, name="q", device_id="d", security_groups=[group["id"]])
    address = port["fixed_ips"][0]["ip_address"]
    assert names(mine.list("ports", fixed_ips=f"ip_address={address}")) == ["p"]
    assert names(mine.list("ports", fixed_ips=[f"subnet_id={subnet['id']}", f"ip_address={address}"])) == ["p"]
    assert mine.list("ports", fixed_ips=[f"subnet_id={second['id']}", f"ip_address={address}"]) == []
    assert len(mine.list("ports", fixed_ips=f"subnet_id={second['id']}")) == 2
    assert names(mine.list("ports", fixed_ips="ip_address_substr=10.0.0.3")) == ["q"]
    assert names(mine.list("ports", security_groups=group["id"])) == ["q"]
    assert names(mine.list("ports", device_id="d")) == ["q"]
    assert names(mine.list("ports", mac_address=other["mac_address"].upper())) == ["q"]
    assert len(mine.list("ports", device_id="")) == 1
    refused(member.get(f"{N}/ports", params={"fixed_ips": "nonsense"}), 400, "InvalidInput")


def test_subnet_filters(mine: Neutron, cloud: CloudUnderTest, admin: Client) -> None:
    external = first_start(cloud, admin.project_id)
    own = mine.subnet(mine.network())
    assert {one["id"] for one in mine.list("subnets", **{"router:external": "False"})} == {own["id"]}
    assert [one["network_id"] for one in mine.list("subnets", **{"router:external": "True"})] == [external]
    assert mine.list("subnets", shared="True") == []
    assert [one["id"] for one in mine.list("subnets", cidr="10.0.0.0/24", ip_version=4)] == [own["id"]]
    assert mine.list("subnets", gateway_ip="10.0.0.2") == []


def test_fields(mine: Neutron, member: Client) -> None:
    network = mine.network(name="n")
    shown = ok(member.get(f"{N}/networks/{network['id']}", params={"fields": ["id", "name"]}), 200).json()["network"]
    assert shown == {"id": network["id"], "name": "n"}
    assert mine.list("networks", fields="name") == [{"name": "n"}]
    assert mine.list("networks", fields=["id", "provider:network_type"]) == [{"id": network["id"]}]


def test_sorting(mine: Neutron, member: Client) -> None:
    for name, up in (("b", True), ("a", False), ("c", True)):
        mine.network(name=name, admin_state_up=up)
    assert names(mine.list("networks", sort_key="name", sort_dir="desc")) == ["c", "b", "a"]
    both = mine.list("networks", sort_key=["admin_state_up", "name"], sort_dir=["asc", "desc"])
    assert names(both) == ["a", "c", "b"]
    refused(member.get(f"{N}/networks", params={"sort_key": "colour", "sort_dir": "asc"}), 400, "HTTPBadRequest")
    refused(member.get(f"{N}/networks", params={"sort_key": "name", "sort_dir": "up"}), 400, "HTTPBadRequest")


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages(mine: Neutron, member: Client, direction: str) -> None:
    for index in range(5):
        mine.network(name=f"n{index // 2}")
    query = {"sort_key": "name", "sort_dir": direction}
    everything = [one["id"] for one in mine.list("networks", **query)]
    found: list[str] = []
    body = ok(member.get(f"{N}/networks", params={**query, "limit": 2}), 200).json()
    while True:
        found += [one["id"] for one in body["networks"]]
        links = {one["rel"]: one["href"] for one in body.get("networks_links", [])}
        if "next" not in links:
            break
        last = body
        body = ok(member.get(links["next"]), 200).json()
    assert found == everything
    previous = {one["rel"]: one["href"] for one in body["networks_links"]}["previous"]
    back = ok(member.get(previous), 200).json()
    assert [one["id"] for one in back["networks"]] == [one["id"] for one in last["networks"]]
    refused(member.get(f"{N}/networks", params={"marker": "nothing"}), 404, "NetworkNotFound")
    refused(member.get(f"{N}/networks", params={"limit": "-1"}), 400, "HTTPBadRequest")


def test_tags(mine: Neutron, member: Client, other: Client) -> None:
    red, blue = mine.network(name="red", tags=["a", "b"]), mine.network(name="blue")
    path = f"{N}/networks/{blue['id']}/tags"
    assert ok(member.put(path, {"tags": ["b", "c"]}), 200).json() == {"tags": ["b", "c"]}
    assert ok(member.get(path), 200).json() == {"tags": ["b", "c"]}
    ok(member.put(path + "/d"), 201)
    ok(member.get(path + "/d"), 204)
    ok(member.delete(path + "/d"), 204)
    refused(member.get(path + "/d"), 404, "TagNotFound")
    refused(member.delete(path + "/d"), 404, "TagNotFound")
    assert mine.show("networks", blue["id"])["tags"] == ["b", "c"]
    assert sorted(names(mine.list("networks", tags="b"))) == ["blue", "red"]
    assert names(mine.list("networks", tags="a,b")) == ["red"]
    assert sorted(names(mine.list("networks", **{"tags-any": "a,c"}))) == ["blue", "red"]
    assert names(mine.list("networks", **{"not-tags": "a,b"})) == ["blue"]
    assert mine.list("networks", **{"not-tags-any": "b,c"}) == []
    refused(other.put(path, {"tags": []}), 404, "NetworkNotFound")
    refused(member.put(path, {"tags": ["x" * 256]}), 400, "HTTPBadRequest")
    refused(member.put(path, {}), 400, "HTTPBadRequest")
    ok(member.delete(path), 204)
    assert ok(member.get(path), 200).json() == {"tags": []}
    assert mine.show("networks", red["id"])["revision_number"] == red["revision_number"]


def test_quotas(mine: Neutron, member: Client, admin: Client, other: Client) -> None:
    path = f"{N}/quotas/{member.project_id}"
    assert ok(member.get(path), 200).json()["quota"]["network"] == 100
    refused(member.put(path, {"quota": {"network": 1}}), 403, "PolicyNotAuthorized")
    refused(other.get(path), 403, "PolicyNotAuthorized")
    assert ok(admin.put(path, {"quota": {"network": 1}}), 200).json()["quota"]["network"] == 1
    refused(admin.put(path, {"quota": {"colours": 1}}), 400, "HTTPBadRequest")
    refused(admin.put(path, {"quota": {"network": -2}}), 400, "HTTPBadRequest")
    mine.network()
    refused(member.post(f"{N}/networks", {"network": {}}), 409, "OverQuota")
    details = ok(member.get(path + "/details.json"), 200).json()["quota"]["network"]
    assert details == {"limit": 1, "used": 1, "reserved": 0}
    lower = {"quota": {"network": 0, "subnet": -1}}
    refused(admin.put(path, {"quota": {**lower["quota"], "force": "perhaps"}}), 400, "HTTPBadRequest")
    for more in ({}, {"check_limit": True}):
        message = refused(admin.put(path, {"quota": {**lower["quota"], **more}}), 400, "HTTPBadRequest")
        assert "already used 1" in message
    assert ok(member.get(path), 200).json()["quota"]["network"] == 1
    assert ok(admin.put(path, {"quota": {**lower["quota"], "force": True}}), 200).json()["quota"]["network"] == 0
    assert ok(admin.get(f"{N}/quotas"), 200).json()["quotas"][0]["project_id"] == member.project_id
    ok(admin.delete(path), 204)
    assert ok(member.get(path + "/default"), 200).json()["quota"]["network"] == 100
    mine.network()


def test_the_documents_around(member: Client, anonymous: Client, admin: Client, cloud: CloudUnderTest) -> None:
    versions = ok(anonymous.get("/network/"), 200).json()["versions"]
    assert versions[0]["id"] == "v2.0"
    assert versions[0]["status"] == "CURRENT"
    assert {"network", "subnet", "port"} <= {
        one["name"] for one in ok(anonymous.get(f"{N}/"), 200).json()["resources"]}
    aliases = {one["alias"] for one in ok(member.get(f"{N}/extensions"), 200).json()["extensions"]}
    assert {"router", "security-group", "external-net", "quotas", "standard-attr-tag"} <= aliases
    assert ok(member.get(f"{N}/extensions/router"), 200).json()["extension"]["alias"] == "router"
    refused(member.get(f"{N}/extensions/teleport"), 404, "HTTPNotFound")
    assert ok(member.get(f"{N}/agents"), 200).json() == {"agents": []}
    zones = ok(member.get(f"{N}/availability_zones"), 200).json()["availability_zones"]
    assert {one["resource"] for one in zones} == {"network", "router"}
    providers = ok(member.get(f"{N}/service-providers"), 200).json()["service_providers"]
    assert [one["service_type"] for one in providers] == ["L3_ROUTER_NAT"]


def test_address_availability(mine: Neutron, admin: Client, member: Client) -> None:
    network = mine.network(name="n")
    subnet = mine.subnet(network, "10.0.0.0/28")
    mine.port(network)
    found = ok(admin.get(f"{N}/network-ip-availabilities/{network['id']}"), 200).json()["network_ip_availability"]
    assert (found["total_ips"], found["used_ips"]) == (13, 2)
    details = {"total_ips_in_subnet": 14, "total_ips_in_allocation_pool": 13, "used_ips_in_subnet": 2,
               "used_ips_in_allocation_pool": 2}
    assert found["ip_availability_details"] == found["subnet_ip_availability"][0]["ip_availability_details"] == details
    mine.add_interface(mine.router(), subnet_id=subnet["id"])    # its address is in no pool
    found = ok(admin.get(f"{N}/network-ip-availabilities?network_name=n"), 200).json()["network_ip_availabilities"]
    assert [one["ip_availability_details"] for one in found] == [{**details, "used_ips_in_subnet": 3}]
    assert ok(member.get(f"{N}/network-ip-availabilities"), 200).json() == {"network_ip_availabilities": []}


@pytest.mark.parametrize("query", [
    {"mtu": "99999999999999999999999"}, {"mtu": "x"}, {"name": "a\0b"}, {"id": "\0"}, {"tags": "\0"},
    {"name": "x" * 10_000}, {"revision_number": "-99999999999999999999"}, {"provider:segmentation_id": "x"},
])
def test_strange_filters_match_nothing(admin: Client, query: dict[str, str]) -> None:
    ok(admin.post(f"{N}/networks", {"network": {"name": "n"}}), 201)
    assert ok(admin.get(f"{N}/networks", params=query), 200).json() == {"networks": []}


@pytest.mark.parametrize("id", ["%00", "..%2F..%2Fetc", "x" * 3000, "%F0%9F%92%A9", "'; drop table networks; --"])
def test_strange_ids_are_unknown(member: Client, id: str) -> None:
    answer = member.get(f"{N}/networks/{id}")
    assert answer.status_code == 404
    assert answer.json()["NeutronError"]["type"] in ("NetworkNotFound", "HTTPNotFound")
    assert member.get(f"{N}/networks/{id}/tags").status_code == 404
