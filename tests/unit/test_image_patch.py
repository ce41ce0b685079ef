"""JSON patches of images and what they do."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.api.image.patch import V20, V21, changes, pointer
from stackling.api.image.schemas import ImageSchema
from stackling.core.errors import Conflict, Forbidden, Invalid
from stackling.image.model import Change, Image
from stackling.image.rules import apply
from stackling.image.settings import ImageSettings

check = ImageSchema(ImageSettings()).check
IMAGE = Image("i", "old", "p", "shared", "raw", "bare", "2026-01-01T00:00:00.000000", "2026-01-01T00:00:00.000000",
              properties={"os_distro": "debian"})


def parse(*operations: Any, media: str = V21) -> list[Change]:
    return changes(list(operations), media, check)


@pytest.mark.parametrize(("text", "parts"), [
    ("/name", ["name"]), ("/a~1b~0c", ["a/b~c"]), ("/locations/-", ["locations", "-"]), ("/ x ", ["x"])])
def test_pointers(text: str, parts: list[str]) -> None:
    assert pointer(text) == parts


@pytest.mark.parametrize("text", ["name", "/a//b", "/a/", "/", "/a~2", "/a~", "", 7, None])
def test_pointers_refused(text: Any) -> None:
    with pytest.raises(Invalid):
        pointer(text)


@pytest.mark.parametrize("body", [
    {}, "x", [1], [{"op": "move", "path": "/a", "from": "/b"}], [{"path": "/a", "value": 1}],
    [{"op": "add", "path": "/a"}], [{"op": "add", "path": "/a/b", "value": "x"}], [{"op": "replace", "value": "x"}],
    [{"op": "add", "path": "/min_disk", "value": "x"}], [{"op": "add", "path": "/x", "value": 1}],
    [{"op": "replace", "path": "/disk_format", "value": "floppy"}], [{"op": "add", "path": "/tags/-", "value": "x"}],
    [{"op": "replace", "path": "/tags", "value": ["x" * 256]}], [{"op": "add", "path": "/" + "x" * 256, "value": "y"}],
])
def test_malformed(body: Any) -> None:
    with pytest.raises(Invalid):
        changes(body, V21, check)


@pytest.mark.parametrize("name", ["status", "checksum", "size", "id", "created_at", "deleted", "location", "schema",
                                  "os_glance_foo", "os_hash_value", "stores"])
@pytest.mark.parametrize("op", ["add", "replace", "remove"])
def test_only_the_cloud_sets_these(name: str, op: str) -> None:
    with pytest.raises(Forbidden):
        parse({"op": op, "path": f"/{name}", "value": "x"})


def test_locations_are_invisible() -> None:
    with pytest.raises(Forbidden):
        parse({"op": "add", "path": "/locations/-", "value": {"url": "file:///etc/shadow", "metadata": {}}})


def test_old_media_type() -> None:
    assert parse({"replace": "/name", "value": "new"}, media=V20) == [Change("replace", "name", "new", strict=True)]
    for wrong in ({"add": "/a", "replace": "/a", "value": "x"}, {"op": "add", "path": "/a", "value": "x"}):
        with pytest.raises(Invalid):
            parse(wrong, media=V20)
    with pytest.raises(Conflict):
        apply(IMAGE, parse({"add": "/os_distro", "value": "x"}, media=V20), is_admin=False)


def test_changes_in_order() -> None:
    found = apply(IMAGE, parse(
        {"op": "replace", "path": "/name", "value": "new"}, {"op": "add", "path": "/os_distro", "value": "arch"},
        {"op": "add", "path": "/x~1y", "value": "1"}, {"op": "remove", "path": "/os_distro"},
        {"op": "replace", "path": "/tags", "value": ["b", "a", "b"]}), is_admin=False)
    assert (found.name, found.properties, found.tags) == ("new", {"x/y": "1"}, ("b", "a"))


@pytest.mark.parametrize(("change", "refusal"), [
    (Change("remove", "name"), Forbidden), (Change("remove", "nothing"), Conflict),
    (Change("replace", "nothing", "x"), Conflict), (Change("replace", "owner", "me"), Forbidden),
    (Change("add", "owner", "me"), Forbidden), (Change("replace", "min_disk", -1), Invalid),
    (Change("replace", "min_ram", 2**31), Invalid)])
def test_changes_refused(change: Change, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        apply(IMAGE, [change], is_admin=False)


def test_an_administrator_gives_images_away() -> None:
    assert apply(IMAGE, [Change("replace", "owner", "q")], is_admin=True).owner == "q"
