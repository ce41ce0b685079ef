"""glance-download: an image of another region's image service, which the catalog names. All on the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from stackling.api.identity.service import service as identity_service
from stackling.api.image.service import service as image_service
from stackling.api.route import Service
from stackling.core.ids import new_id
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.local.web import CheckedWeb, is_elsewhere
from stackling.engine.worker import Worker
from stackling.image.kinds import ImageKind
from stackling.image.settings import ImageSettings
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest
from tests.api.image_clients import create, image_path, settle
from tests.web import Pages, serving

DATA = b"a disk" * 20_000
REMOTE = new_id()
GOOD: dict[str, Any] = {
    "id": REMOTE, "status": "active", "size": len(DATA), "disk_format": "raw", "container_format": "bare",
    "hw_disk_bus": "scsi", "os_type": "linux", "os_distro": "debian", "owner_specified": "no", "name": "theirs"}


class Region(ThreadingHTTPServer):
    """Another region's image service: what it says of its one image, and who asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.described: Any = GOOD
        self.moved = ""
        self.tokens: list[str | None] = []


class _Handler(Pages):
    def do_GET(self) -> None:
        region = self.server
        assert isinstance(region, Region)
        region.tokens.append(self.headers["X-Auth-Token"])
        if region.moved:
            self.redirect(region.moved)
        elif self.path == f"/image/v2/images/{REMOTE}":
            self.answer(json.dumps(region.described).encode())
        elif self.path == f"/image/v2/images/{REMOTE}/file":
            self.answer(DATA)
        else:
            self.send_error(404)


@pytest.fixture
def region() -> Iterator[Region]:
    with serving(Region()) as found:
        yield found


class World:
    """A cloud whose catalog has an image service in region ``two``."""

    def __init__(self, cloud: CloudUnderTest, admin: Client, store: LocalImageStore, port: int) -> None:
        self.cloud = cloud
        cloud.cloud.regions = CheckedWeb(allowed=lambda address: True, ports=frozenset(), redirects=0)
        self.engine = Worker(SqlWorkQueue(cloud.database), [ImageKind(store, grace=0.0)])
        images: Service = image_service(ImageSettings(import_methods=("glance-direct", "glance-download")))
        route = next(r for r in images.routes if r.path.endswith("/import") and r.method == "POST")
        self.downloads = route.handler.__self__.downloads
        cloud.start([identity_service(cloud.identity), images])
        admin.post("/identity/v3/regions", {"region": {"id": "two"}})
        services = admin.get("/identity/v3/services?type=image").json()["services"]
        self.service = services[0]["id"] if services else admin.post(
            "/identity/v3/services", {"service": {"type": "image", "name": "glance"}}).json()["service"]["id"]
        self.endpoint(admin, "public", f"http://127.0.0.1:{port}/image/v2/")

    def endpoint(self, admin: Client, interface: str, url: str) -> None:
        made = admin.post("/identity/v3/endpoints", {"endpoint": {
            "service_id": self.service, "region_id": "two", "interface": interface, "url": url}})
        assert made.status_code == 201, made.text

    def ask(self, client: Client, image: dict[str, Any], **method: Any) -> Any:
        asked = {"name": "glance-download", "glance_region": "two", "glance_image_id": REMOTE, **method}
        return client.post(f"{image_path(image)}/import", {"method": {
            name: value for name, value in asked.items() if value is not None}})

    def fetch(self, client: Client, **method: Any) -> dict[str, Any]:
        """Ask for an import, and the image after it has ended, one way or the other."""
        image = create(client)
        answer = self.ask(client, image, **method)
        assert answer.status_code == 202, answer.text
        self.cloud.run(self.downloads.wait())
        settle(self.engine)
        return client.get(image_path(image)).json()

    def reason(self, client: Client, image: dict[str, Any]) -> str:
        task, *_ = client.get(f"{image_path(image)}/tasks").json()["tasks"]
        assert task["status"] == "failure"
        return task["message"]


@pytest.fixture
def world(cloud: CloudUnderTest, admin: Client, region: Region, tmp_path: Path) -> Iterator[World]:
    store = LocalImageStore(tmp_path / "glance", reserve=0)
    cloud.cloud.image_store = store
    yield World(cloud, admin, store, region.server_port)
    store.close()


def test_an_image_comes_from_another_region(world: World, member: Client, region: Region) -> None:
    image = world.fetch(member)
    assert (image["status"], image["size"], image["disk_format"]) == ("active", len(DATA), "raw")
    assert (image["hw_disk_bus"], image["os_type"], image["os_distro"]) == ("scsi", "linux", "debian")
    assert "owner_specified" not in image
    assert image["name"] != "theirs"
    assert member.get(f"{image_path(image)}/file").content == DATA
    task = member.get(f"{image_path(image)}/tasks").json()["tasks"][0]
    assert (task["status"], task["message"]) == ("success", "")
    assert task["input"]["import_req"]["method"]["glance_service_interface"] == "public"
    assert region.tokens == [member.token] * 2
    assert member.token is not None
    assert member.token not in json.dumps(task)


@pytest.mark.parametrize(("said", "why"), [
    ({**GOOD, "status": "queued"}, "should be active instead of queued"), ({**GOOD, "size": None}, "Size attribute"),
    ({**GOOD, "size": 7}, "instead of 7"), ({**GOOD, "disk_format": "floppy"}, "aren't taken here"),
    ({**GOOD, "container_format": None}, "no formats"), ([], "no image service"),
    ({**GOOD, **{f"hw_{n}": "x" for n in range(200)}}, "number of allowed image properties"),
    ({**GOOD, "padding": "x" * (1 << 20)}, "too long")])
def test_what_isnt_usable_leaves_the_image_queued(world: World, member: Client, region: Region, said: Any, why: str
                                                  ) -> None:
    region.described = said
    image = world.fetch(member)
    assert image["status"] == "queued"
    assert "hw_disk_bus" not in image
    assert why in world.reason(member, image)


def test_the_token_is_for_nobody_else(world: World, member: Client, region: Region) -> None:
    region.moved = f"http://127.0.0.1:{region.server_port}/image/v2/images/{REMOTE}/file"
    image = world.fetch(member)
    assert image["status"] == "queued"
    assert "it redirects" in world.reason(member, image)
    assert len(region.tokens) == 1


def test_only_the_catalog_says_where(world: World, member: Client, admin: Client, region: Region) -> None:
    assert "no public endpoint of an image service in region three" in world.reason(
        member, world.fetch(member, glance_region="three"))
    assert "no internal endpoint" in world.reason(member, world.fetch(member, glance_service_interface="internal"))
    assert "status 404" in world.reason(member, world.fetch(member, glance_image_id=new_id()))
    world.endpoint(admin, "internal", "http://169.254.169.254/image")
    world.cloud.cloud.regions = CheckedWeb(allowed=is_elsewhere, ports=frozenset(), redirects=0)
    assert "aren't fetched from" in world.reason(member, world.fetch(member, glance_service_interface="internal"))
    assert "aren't fetched from" in world.reason(member, world.fetch(member))       # on the loopback interface


@pytest.mark.parametrize(("method", "says"), [
    ({"glance_region": None}, "'glance_region' needs to be set for glance-download import method"),
    ({"glance_image_id": None}, "'glance_image_id' needs to be set for glance-download import method"),
    ({"glance_image_id": "../file"}, "Remote image id does not look like a UUID: ../file"),
    ({"glance_image_id": 7}, "'glance_image_id' needs"), ({"glance_service_interface": []}, "must be a string")])
def test_what_must_be_said(world: World, member: Client, method: dict[str, Any], says: str) -> None:
    answer = world.ask(member, create(member), **method)
    assert answer.status_code == 400
    assert says in answer.text.replace("&#x27;", "'")


def test_states_and_clouds_that_dont_allow_it(world: World, member: Client, other: Client) -> None:
    image = world.fetch(member)
    assert world.ask(member, image).status_code == 409
    assert world.ask(other, create(member)).status_code == 404
    assert "glance-download" in member.get("/image/v2/info/import").json()["import-methods"]["value"]


@pytest.mark.parametrize(("address", "may"), [
    ("10.0.0.1", True), ("192.0.2.1", True), ("8.8.8.8", True), ("fd00::1", True), ("127.0.0.1", False),
    ("169.254.169.254", False), ("::1", False), ("::ffff:127.0.0.1", False), ("fe80::1", False), ("0.0.0.0", False),
    ("224.0.0.1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False)])
def test_addresses_that_regions_may_have(address: str, may: bool) -> None:
    assert is_elsewhere(ip_address(address)) is may
