"""Metadata definitions."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.api.image.metadef_schemas import check
from stackling.drivers.libvirt.hardware import choose
from stackling.image import facade as images
from stackling.image.metadef_defaults import DEFAULTS
from stackling.ports.document import ServerDesired
from tests.api.conftest import Client, CloudUnderTest

NS = "/image/v2/metadefs/namespaces"
SIZE = {"title": "Size", "type": "integer", "minimum": 1}


def _create(client: Client, name: str = "OS::Test", **more: Any) -> dict[str, Any]:
    answer = client.post(NS, {"namespace": name, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_namespace_with_all_it_defines(admin: Client, member: Client) -> None:
    given = {"visibility": "public", "display_name": "Test", "tags": [{"name": "a"}], "properties": {"size": SIZE},
             "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
             "objects": [{"name": "thing", "required": ["size"], "properties": {"size": SIZE}}]}
    made = _create(admin, **given)
    assert {name: made[name] for name in given} == given
    assert made["self"] == "/v2/metadefs/namespaces/OS::Test"
    assert "description" not in made
    shown = member.get(f"{NS}/OS::Test").json()
    assert shown["properties"] == {"size": SIZE}
    assert shown["tags"] == [{"name": "a"}]
    assert shown["objects"][0]["schema"] == "/v2/schemas/metadefs/object"
    prefixed = member.get(f"{NS}/OS::Test?resource_type=OS::Glance::Image").json()
    assert list(prefixed["properties"]) == list(prefixed["objects"][0]["properties"]) == ["hw_size"]
    assert prefixed["objects"][0]["required"] == ["hw_size"]
    by_prefix = f"{NS}/OS::Test/properties/hw_size?resource_type=OS::Glance::Image"
    assert member.get(by_prefix).json() == {**SIZE, "name": "size"}
    assert admin.post(NS, {"namespace": "OS::Test"}).status_code == 409


def test_who_sees_and_changes(admin: Client, member: Client, other: Client) -> None:
    _create(admin, "open", visibility="public")
    _create(admin, "mine", owner=member.project_id)
    _create(admin, "secret")
    assert {n["namespace"] for n in member.get(NS).json()["namespaces"]} == {"open", "mine"}
    assert {n["namespace"] for n in other.get(NS).json()["namespaces"]} == {"open"}
    assert {n["namespace"] for n in admin.get(NS).json()["namespaces"]} == {"open", "mine", "secret"}
    assert other.get(f"{NS}/mine").status_code == other.put(f"{NS}/mine", {"namespace": "x"}).status_code == 404
    assert other.delete(f"{NS}/open").status_code == member.delete(f"{NS}/mine").status_code == 403
    assert member.post(NS, {"namespace": "new"}).status_code == 403
    assert member.post(f"{NS}/mine/tags/x").status_code == 403
    assert other.get(f"{NS}/mine/objects").status_code == 404


def test_a_protected_namespace(admin: Client) -> None:
    _create(admin, "kept", protected=True, tags=[{"name": "t"}])
    for path in ("", "/tags", "/tags/t", "/objects", "/properties"):
        assert admin.delete(f"{NS}/kept{path}").status_code == 403
    changed = admin.put(f"{NS}/kept", {"namespace": "freed"}).json()
    assert (changed["protected"], changed["visibility"]) == (False, "private")
    assert admin.get(f"{NS}/kept").status_code == 404
    assert admin.get(f"{NS}/freed/tags/t").status_code == 200
    assert admin.delete(f"{NS}/freed").status_code == 204
    assert admin.get(f"{NS}/freed").status_code == 404


def test_pages_and_filters(admin: Client) -> None:
    for name in ("c", "a", "b"):
        _create(admin, name, resource_type_associations=[{"name": f"type-{name}"}])
    first = admin.get(f"{NS}?limit=2&sort_key=namespace&sort_dir=asc").json()
    assert [n["namespace"] for n in first["namespaces"]] == ["a", "b"]
    assert [n["namespace"] for n in admin.get("/image" + first["next"]).json()["namespaces"]] == ["c"]
    assert first["namespaces"][0]["resource_type_associations"][0]["name"] == "type-a"
    some = admin.get(f"{NS}?resource_types=type-a,type-c").json()["namespaces"]
    assert {n["namespace"] for n in some} == {"a", "c"}
    assert admin.get(f"{NS}?visibility=public").json()["namespaces"] == []
    for bad in ("limit=x", "limit=-1", "limit=" + "9" * 30, "sort_dir=up", "sort_key=colour", "visibility=odd"):
        assert admin.get(f"{NS}?{bad}").status_code == 400, bad
    assert admin.get(f"{NS}?marker=none").status_code == 404


def test_resource_types(admin: Client, reader: Client) -> None:
    _create(admin, "n", visibility="public")
    known = {one["name"] for one in reader.get("/image/v2/metadefs/resource_types").json()["resource_types"]}
    assert {"OS::Glance::Image", "OS::Nova::Flavor", "OS::Nova::Server"} <= known
    made = admin.post(f"{NS}/n/resource_types", {"name": "My::Type", "prefix": "my:"})
    assert made.status_code == 201
    assert (made.json()["name"], made.json()["prefix"]) == ("My::Type", "my:")
    assert admin.post(f"{NS}/n/resource_types", {"name": "My::Type"}).status_code == 409
    assert "My::Type" in {one["name"] for one in reader.get("/image/v2/metadefs/resource_types").json()[
        "resource_types"]}
    assert len(reader.get(f"{NS}/n/resource_types").json()["resource_type_associations"]) == 1
    assert admin.delete(f"{NS}/n/resource_types/My::Type").status_code == 204
    assert admin.delete(f"{NS}/n/resource_types/My::Type").status_code == 404


def test_objects_and_properties(admin: Client) -> None:
    _create(admin, "n")
    for word, body in (("objects", {"name": "one", "description": "d", "properties": {"size": SIZE}}),
                       ("properties", {"name": "one", **SIZE})):
        path = f"{NS}/n/{word}"
        made = admin.post(path, body)
        assert made.status_code == 201, made.text
        assert admin.post(path, body).status_code == 409
        assert admin.get(f"{path}/one").json() == made.json()
        assert admin.put(f"{path}/one", {**body, "name": "two"}).json()["name"] == "two"
        assert admin.get(f"{path}/one").status_code == 404
        assert len(admin.get(path).json()[word]) == 1
        assert admin.delete(f"{path}/two").status_code == 204
        admin.post(path, body)
        assert admin.delete(path).status_code == 204
        assert not admin.get(path).json()[word]


def test_tags(admin: Client) -> None:
    _create(admin, "n")
    path = f"{NS}/n/tags"
    made = admin.post(path, {"tags": [{"name": "a"}, {"name": "b"}]})
    assert (made.status_code, made.json()) == (201, {"tags": [{"name": "a"}, {"name": "b"}]})
    assert admin.post(f"{path}/A").status_code == 409
    assert admin.post(f"{path}/c").json()["name"] == "c"
    assert admin.post(path, {"tags": [{"name": "d"}]}, headers={"X-Openstack-Append": "true"}).status_code == 201
    shown = admin.get(f"{path}?sort_key=name&sort_dir=asc&limit=2&marker=a").json()["tags"]
    assert shown == [{"name": "b"}, {"name": "c"}]
    assert admin.put(f"{path}/c", {"name": "e"}).json()["name"] == "e"
    assert admin.put(f"{path}/e", {"name": "a"}).status_code == 409
    assert admin.post(path, {"tags": [{"name": "only"}]}).status_code == 201
    assert admin.get(path).json()["tags"] == [{"name": "only"}]
    assert admin.post(path, {"tags": [{"name": "x"}, {"name": "X"}]}).status_code == 409
    assert admin.get(path).json()["tags"] == [{"name": "only"}]


@pytest.mark.parametrize(("path", "body", "status"), [
    ("", {}, 400), ("", [], 400), ("", {"namespace": "x" * 81}, 400), ("", {"namespace": "x", "colour": 1}, 400),
    ("", {"namespace": "x", "visibility": "shared"}, 400), ("", {"namespace": "x", "self": "me"}, 403),
    ("", {"namespace": "x", "properties": {"p": {}}}, 400), ("", {"namespace": "x", "tags": [{}]}, 400),
    ("/n/objects", {"name": "o", "properties": {"p": {"title": "t", "type": "colour"}}}, 400),
    ("/n/objects", {"name": "o", "properties": {"p": 3}}, 400),
    ("/n/properties", {"name": "p", "title": "t"}, 400), ("/n/tags", {"tags": [{"name": 3}]}, 400),
    ("/n/tags", {}, 400), ("/n/resource_types", {"prefix": "x"}, 400), ("/none/objects", {"name": "o"}, 404)])
def test_bad_bodies(admin: Client, path: str, body: Any, status: int) -> None:
    _create(admin, "n")
    assert admin.post(f"{NS}{path}", body).status_code == status
    assert len(admin.get(NS).json()["namespaces"]) == 1


@pytest.mark.parametrize(("name", "title"), [
    ("namespace", "namespace"), ("namespaces", "namespaces"), ("object", "object"), ("objects", "objects"),
    ("property", "property"), ("properties", "properties"), ("tag", "tag"), ("tags", "tags"),
    ("resource_type", "resource_type_association"), ("resource_types", "resource_type_associations")])
def test_schemas(reader: Client, name: str, title: str) -> None:
    assert reader.get(f"/image/v2/schemas/metadefs/{name}").json()["name"] == title


def test_no_cache(admin: Client) -> None:
    assert admin.get("/image/v2/cache").status_code == 404
    assert admin.delete("/image/v2/cache").status_code == 404
    assert admin.put(f"/image/v2/cache/{'0' * 8}-0000-0000-0000-{'0' * 12}").status_code == 404


def test_what_a_cloud_starts_with(cloud: CloudUnderTest, admin: Client, member: Client) -> None:
    _create(admin, "OS::OperatingSystem", visibility="private")
    cloud.database.write(images.bootstrap)
    cloud.database.write(images.bootstrap)
    shown = {one["namespace"]: one for one in member.get(f"{NS}?limit=100").json()["namespaces"]}
    assert set(shown) == {one.namespace for one in DEFAULTS} - {"OS::OperatingSystem"}
    for kind in ("Glance::Image", "Nova::Flavor", "Nova::Server", "Nova::Aggregate", "Cinder::Volume",
                 "Cinder::VolumeType"):
        assert member.get(f"{NS}?resource_types=OS::{kind}").json()["namespaces"], kind
    assert {"name": "OS::Nova::Server", "properties_target": "scheduler_hints"}.items() <= shown[
        "OS::Compute::SchedulerHints"]["resource_type_associations"][0].items()
    flavors = member.get(f"{NS}/OS::Compute::Watchdog?resource_type=OS::Nova::Flavor").json()["properties"]
    assert flavors["hw:watchdog_action"]["enum"] == ["reset", "poweroff", "pause", "none"]
    assert member.delete(f"{NS}/OS::Compute::Watchdog").status_code == 403
    assert admin.delete(f"{NS}/OS::Compute::Watchdog").status_code == 204


@pytest.mark.parametrize("one", DEFAULTS, ids=lambda one: one.namespace)
def test_the_first_definitions_fit_the_schemas(one: Any) -> None:
    check("namespace", {"namespace": one.namespace, "display_name": one.display_name, "description": one.description})
    for name, property in one.properties.items():
        check("property", {"name": name, **property})
        assert "enum" not in property or property["default"] in property["enum"]


def _offered() -> dict[str, list[str]]:
    """The values that are offered for what ``hardware`` reads; integers have some of many."""
    found: dict[str, list[str]] = {}
    for one in DEFAULTS:
        for kind, prefix, _ in one.applies:
            if one.namespace.startswith("OS::Compute::") and kind in ("OS::Glance::Image", "OS::Nova::Flavor"):
                for name, about in one.properties.items():
                    found[prefix + name] = about.get("enum") or {
                        "boolean": ["true", "false"], "integer": ["1", "2", "4"]}[about["type"]]
    return {name: values for name, values in found.items() if not name.startswith("hw_rescue_")}


@pytest.mark.parametrize(("name", "values"), _offered().items())
def test_the_driver_takes_what_is_offered_and_each_makes_a_difference(name: str, values: list[str]) -> None:
    made: list[Any] = []
    for value in values:
        machine = {"sata": "q35", "ide": "pc"}.get(value)
        usual = {"hw_machine_type": machine} if machine else {}
        made.append(choose(ServerDesired(id="s", generation=1, name="s", project_id="p", vcpus=4,
                                         hardware={**usual, name: value})))
    assert all(one != other for at, one in enumerate(made) for other in made[:at])
