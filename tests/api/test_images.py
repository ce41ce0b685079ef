"""Image v2: what clients see of images, apart from their data."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.worker import Worker
from tests.api.conftest import Client
from tests.api.image_clients import V20, create, engine, image_path, patch, settle, store, upload

__all__ = ["engine", "store"]


def test_create_upload_show_download_delete(member: Client, store: LocalImageStore, engine: Worker) -> None:
    image = create(member, visibility="private", ramdisk_id="x")
    assert image["status"] == "queued"
    assert image["owner"] == member.project_id
    assert image["ramdisk_id"] == "x"
    assert (image["size"], image["checksum"]) == (None, None)
    assert member.get(f"{image_path(image)}/file").status_code == 204
    data = uuid.uuid4().bytes * 10_000
    upload(member, image["id"], data)
    shown = member.get(image_path(image)).json()
    assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", len(data), len(data))
    assert shown["os_hash_algo"] == "sha512"
    answer = member.get(f"{image_path(image)}/file")
    assert answer.status_code == 200
    assert answer.content == data
    assert answer.headers["Content-MD5"] == shown["checksum"]
    assert member.delete(image_path(image)).status_code == 204
    assert member.get(image_path(image)).status_code == 404
    settle(engine)
    assert store.inventory() == []


def test_list(member: Client, store: LocalImageStore) -> None:
    ids = {create(member)["id"] for _ in range(3)}
    answer = member.get("/image/v2/images").json()
    assert {image["id"] for image in answer["images"]} == ids
    assert answer["first"] == "/v2/images"


# -- create


@pytest.mark.parametrize(("attributes", "status"), [
    ({"disk_format": "wrong"}, 400), ({"container_format": "wrong", "disk_format": "vhd"}, 400), ({"id": "x"}, 400),
    ({"name": "x" * 256}, 400), ({"name": 5}, 400), ({"min_disk": -1}, 400), ({"min_ram": 2**40}, 400),
    ({"min_ram": "1"}, 400), ({"visibility": "secret"}, 400), ({"foo": 1}, 400), ({"foo": None}, 400),
    ({"tags": ["x" * 256]}, 400), ({"x" * 256: "y"}, 400), ({"status": "active"}, 403), ({"checksum": "x"}, 403),
    ({"size": 5}, 403), ({"self": "x"}, 403), ({"os_glance_foo": "bar"}, 403), ({"deleted": "x"}, 403),
    ({"location": "file:///etc/shadow"}, 403), ({"locations": []}, 403), ({"owner": "somebody"}, 403),
    ({"visibility": "public"}, 403), ({f"p{i}": "x" for i in range(200)}, 413),
    ({"tags": [str(i) for i in range(200)]}, 413)])
def test_create_refused(member: Client, attributes: dict[str, Any], status: int) -> None:
    answer = member.post("/image/v2/images", {"name": "x", **attributes})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert member.get("/image/v2/images").json()["images"] == []


def test_create_with_an_id(member: Client, other: Client) -> None:
    image_id = str(uuid.uuid4())
    assert create(member, id=image_id)["id"] == image_id
    for client in (member, other):
        assert client.post("/image/v2/images", {"id": image_id}).status_code == 409
    assert member.delete(f"/image/v2/images/{image_id}").status_code == 204
    assert member.post("/image/v2/images", {"id": image_id}).status_code == 409


def test_create_headers_and_defaults(member: Client) -> None:
    answer = member.post("/image/v2/images", {})
    image = answer.json()
    assert answer.headers["Location"].endswith(f"/image/v2/images/{image['id']}")
    assert answer.headers["OpenStack-image-import-methods"] == "glance-direct"
    assert answer.headers["OpenStack-image-store-ids"] == "local"
    expected = {"name": None, "visibility": "shared", "protected": False, "os_hidden": False, "min_disk": 0,
                "min_ram": 0, "tags": [], "disk_format": None, "container_format": None, "os_hash_algo": None,
                "virtual_size": None, "schema": "/v2/schemas/image", "self": f"/v2/images/{image['id']}",
                "file": f"/v2/images/{image['id']}/file"}
    assert {key: image[key] for key in expected} == expected
    assert image["created_at"].endswith("Z")


def test_who_may_create(reader: Client, anonymous: Client, admin: Client) -> None:
    assert reader.post("/image/v2/images", {}).status_code == 403
    assert anonymous.post("/image/v2/images", {}).status_code == 401
    assert admin.post("/image/v2/images", {"owner": "somebody", "visibility": "public"}).json()["owner"] == "somebody"


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff", b""])
def test_malformed_bodies(member: Client, body: bytes) -> None:
    answer = member.request("POST", "/image/v2/images", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


# -- visibility


def test_whose_images_are_seen(member: Client, reader: Client, other: Client, admin: Client) -> None:
    made = {v: create(member, visibility=v)["id"] for v in ("private", "shared", "community")}
    made["public"] = create(admin, visibility="public")["id"]
    everybody = {made["public"], made["community"]}
    for client, seen in ((member, set(made.values())), (reader, set(made.values())), (other, everybody),
                         (admin, set(made.values()))):
        assert {i for i in made.values() if client.get(f"/image/v2/images/{i}").status_code == 200} == seen
    listed = {image["id"] for image in other.get("/image/v2/images").json()["images"]}
    assert listed == {made["public"]}
    listed = {image["id"] for image in other.get("/image/v2/images?visibility=community").json()["images"]}
    assert listed == {made["community"]}
    assert {image["id"] for image in other.get("/image/v2/images?visibility=all").json()["images"]} == everybody


def test_what_others_may_do(member: Client, reader: Client, other: Client, store: LocalImageStore) -> None:
    hidden, seen = create(member, visibility="private"), create(member, visibility="community")
    for image, status in ((hidden, 404), (seen, 403)):
        path = image_path(image)
        assert other.delete(path).status_code == status
        assert patch(other, image["id"], {"op": "replace", "path": "/name", "value": "mine"}).status_code == status
        assert other.put(f"{path}/tags/x").status_code == status
        assert other.post(f"{path}/actions/deactivate").status_code == status
        answer = other.put(f"{path}/file", content=b"x", headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code == status
    assert reader.delete(image_path(hidden)).status_code == 403
    assert member.get(image_path(hidden)).json()["status"] == "queued"


# -- list


def test_pages(member: Client) -> None:
    ids = [create(member, name=f"n{i}")["id"] for i in range(5)]
    seen: list[str] = []
    link = "/v2/images?limit=2&sort=name:asc"
    while link:
        page = member.get(f"/image{link}").json()
        seen += [image["id"] for image in page["images"]]
        assert page["first"] == "/v2/images?limit=2&sort=name%3Aasc"
        link = page.get("next")
    assert seen == ids
    assert [i["id"] for i in member.get("/image/v2/images").json()["images"]] == ids[::-1]
    assert member.get("/image/v2/images?limit=0").json()["images"] == []
    for bad in ("marker=x", "limit=-1", "sort=x", f"marker={uuid.uuid4()}"):
        assert member.get(f"/image/v2/images?{bad}").status_code == 400


def test_sorting_with_nothing_in_the_column(member: Client, store: LocalImageStore) -> None:
    ids = [create(member)["id"] for _ in range(4)]
    upload(member, ids[1], b"12")
    upload(member, ids[2], b"1")
    for direction, sizes in (("asc", [None, None, 1, 2]), ("desc", [2, 1, None, None])):
        found, marker = [], ""
        for _ in range(4):
            page = member.get(f"/image/v2/images?sort_key=size&sort_dir={direction}&limit=1{marker}").json()
            found.append(page["images"][0]["size"])
            marker = f"&marker={page['images'][0]['id']}"
        assert found == sizes


def test_filters(member: Client, store: LocalImageStore) -> None:
    small = create(member, name="small", tags=["a", "b"], os_distro="debian")
    large = create(member, name="large, very", disk_format="qcow2", protected=True, min_ram=5, tags=["a"])
    hidden = create(member, name="hidden", os_hidden=True)
    upload(member, small["id"], b"0123456789")
    both = {"small", "large, very"}
    at = small["created_at"]
    for query, names in {
        "": both, "os_hidden=true": {"hidden"}, "name=small": {"small"}, 'name=in:small,"large, very"': both,
        f"id=in:{small['id']},{hidden['id']}": {"small"}, "status=active": {"small"}, "status=in:active,queued": both,
        "disk_format=qcow2": {"large, very"}, "tag=a": both, "tag=a&tag=b": {"small"}, "tag=c": set(),
        "size_min=5": {"small"}, "size_max=5": set(), "size=10": {"small"}, "protected=true": {"large, very"},
        "os_distro=debian": {"small"}, "os_distro=arch": set(), "min_ram=5": {"large, very"},
        f"owner={member.project_id}": both, "owner=x": set(), "visibility=shared": both, "visibility=private": set(),
        "created_at=gt:2100-01-01T00:00:00Z": set(), "created_at=lt:2100-01-01T00:00:00Z": both,
        f"created_at=gte:{at}": both, f"created_at=lt:{at}": set(), f"updated_at=neq:{at[:17]}00Z": both,
    }.items():
        answer = member.get(f"/image/v2/images?{query}")
        assert answer.status_code == 200, query
        assert {image["name"] for image in answer.json()["images"]} == names, query
    assert patch(member, large["id"], {"op": "replace", "path": "/protected", "value": False}).status_code == 200


def test_no_id_is_no_list(member: Client) -> None:
    assert member.get("/image/v2/images/").status_code == 404
    assert member.delete("/image/v2/images/").status_code == 404
    assert member.delete("/image/v2/images").status_code == 405


# -- update, tags


def test_update(member: Client) -> None:
    image = create(member, os_distro="debian")
    answer = patch(member, image["id"], {"op": "replace", "path": "/name", "value": "new"},
                   {"op": "add", "path": "/tags", "value": ["x"]}, {"op": "remove", "path": "/os_distro"},
                   {"op": "add", "path": "/hw_disk_bus", "value": "virtio"})
    assert answer.status_code == 200
    found = member.get(image_path(image)).json()
    assert found == answer.json()
    assert (found["name"], found["tags"], found["hw_disk_bus"]) == ("new", ["x"], "virtio")
    assert "os_distro" not in found
    assert patch(member, image["id"], {"replace": "/name", "value": "newer"}, media=V20).json()["name"] == "newer"
    assert member.get("/image/v2/images?hw_disk_bus=virtio").json()["images"][0]["id"] == image["id"]
    assert member.get("/image/v2/images?os_distro=debian").json()["images"] == []


@pytest.mark.parametrize(("operation", "status"), [
    ({"op": "replace", "path": "/status", "value": "active"}, 403), ({"op": "remove", "path": "/name"}, 403),
    ({"op": "remove", "path": "/nothing"}, 409), ({"op": "replace", "path": "/nothing", "value": "x"}, 409),
    ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
    ({"op": "replace", "path": "/visibility", "value": "x"}, 400),
    ({"op": "add", "path": "/os_glance_x", "value": ""}, 403), ({"op": "replace", "path": "/owner", "value": "x"}, 403),
    ({"op": "replace", "path": "/min_disk", "value": -5}, 400),
    ({"op": "jump", "path": "/name"}, 400), ({"op": "add", "path": "name", "value": "x"}, 400)])
def test_update_refused_changes_nothing(member: Client, operation: dict[str, Any], status: int) -> None:
    image = create(member)
    answer = patch(member, image["id"], {"op": "replace", "path": "/name", "value": "new"}, operation)
    assert answer.status_code == status
    assert member.get(image_path(image)).json() == image


def test_update_needs_its_media_type(member: Client) -> None:
    image = create(member)
    answer = member.patch(image_path(image), [{"op": "replace", "path": "/name", "value": "x"}])
    assert answer.status_code == 415


def test_formats_are_fixed_once_there_is_data(member: Client, store: LocalImageStore) -> None:
    image = create(member)
    change = {"op": "replace", "path": "/disk_format", "value": "ami"}
    assert patch(member, image["id"], change).status_code == 200
    upload(member, image["id"], b"x")
    assert patch(member, image["id"], change).status_code == 403


def test_protected(member: Client) -> None:
    image = create(member, protected=True)
    assert member.delete(image_path(image)).status_code == 403
    patch(member, image["id"], {"op": "replace", "path": "/protected", "value": False})
    assert member.delete(image_path(image)).status_code == 204
    assert member.delete(image_path(image)).status_code == 404


def test_tags(member: Client) -> None:
    image = create(member)
    path = image_path(image)
    for _ in range(2):
        assert member.put(f"{path}/tags/blue").status_code == 204
    assert member.get(path).json()["tags"] == ["blue"]
    assert member.put(f"{path}/tags/{'x' * 256}").status_code == 400
    assert member.delete(f"{path}/tags/blue").status_code == 204
    assert member.delete(f"{path}/tags/blue").status_code == 404
    assert member.put(f"/image/v2/images/{uuid.uuid4()}/tags/x").status_code == 404


def test_deactivate(member: Client, admin: Client, store: LocalImageStore) -> None:
    image = create(member)
    path = image_path(image)
    assert member.post(f"{path}/actions/deactivate").status_code == 403
    upload(member, image["id"], b"data")
    for _ in range(2):
        assert member.post(f"{path}/actions/deactivate").status_code == 204
    assert member.get(path).json()["status"] == "deactivated"
    assert member.get(f"{path}/file").status_code == 403
    assert admin.get(f"{path}/file").content == b"data"
    for _ in range(2):
        assert member.post(f"{path}/actions/reactivate").status_code == 204
    assert member.get(f"{path}/file").content == b"data"


# -- discovery


def test_versions(anonymous: Client) -> None:
    for path, status in (("/image", 300), ("/image/", 300), ("/image/versions", 200)):
        answer = anonymous.get(path)
        assert answer.status_code == status
        found = {version["id"]: version for version in answer.json()["versions"]}
        assert found["v2.17"]["status"] == "CURRENT"
        assert found["v2.0"] == {"id": "v2.0", "status": "SUPPORTED", "links": [
            {"rel": "self", "href": "http://cloud.test/image/v2/"}]}


def test_schemas_and_info(member: Client, admin: Client) -> None:
    for name in ("image", "images", "member", "members", "task", "tasks"):
        assert member.get(f"/image/v2/schemas/{name}").json()["name"] == name
    assert member.get("/image/v2/schemas/house").status_code == 404
    assert member.get("/image/v2/info/import").json()["import-methods"]["value"] == ["glance-direct"]
    assert member.get("/image/v2/info/stores").json() == {"stores": [{"id": "local", "default": "true"}]}
    assert member.get("/image/v2/info/stores/detail").status_code == 403
    assert admin.get("/image/v2/info/stores/detail").json()["stores"][0]["type"] == "file"
    create(member)
    assert member.get("/image/v2/info/usage").json()["usage"]["image_count_total"] == {"usage": 1, "limit": -1}
