"""web-download: what is fetched, what isn't, and what becomes of the image. All on the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from stackling.api.identity.service import service as identity_service
from stackling.api.image.service import service as image_service
from stackling.api.route import Service
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.local.web import Address, CheckedWeb, is_public
from stackling.engine.worker import Worker
from stackling.image.kinds import ImageKind
from stackling.image.settings import ImageSettings
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest
from tests.api.image_clients import RAW, create, image_path, settle
from tests.web import Pages, serving

DATA = b"a disk" * 20_000
LIMIT = 1 << 18
LOOPBACK = ip_address("127.0.0.1")


class _Handler(Pages):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/disk":
            self.answer(DATA)
        elif path == "/big":
            self.answer(bytes(LIMIT + 1))
        elif path == "/empty":
            self.answer(b"")
        elif path == "/again":
            self.redirect(f"http://files.test:{self.server.server_port}/disk")
        elif path == "/round":
            self.redirect("/round")
        elif path == "/inside":
            self.redirect(f"http://inside.test:{self.server.server_port}/disk")
        elif path == "/file":
            self.redirect("file:///etc/passwd")
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA[:100])
        else:
            self.send_error(404)


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Handler)) as found:
        yield found


class World:
    """A cloud that may fetch from ``files.test``, which is the loopback server, and from nothing else."""

    def __init__(self, cloud: CloudUnderTest, store: LocalImageStore, port: int) -> None:
        self.cloud, self.port = cloud, port
        self.resolved: list[str] = []
        cloud.cloud.web = CheckedWeb(allowed=self._allowed, resolve=self._resolve, ports=frozenset({port}))
        self.engine = Worker(SqlWorkQueue(cloud.database), [ImageKind(store, grace=0.0)])
        settings = ImageSettings(import_methods=("glance-direct", "web-download"), image_size_cap=LIMIT)
        images: Service = image_service(settings)
        route = next(r for r in images.routes if r.path.endswith("/import") and r.method == "POST")
        self.downloads = route.handler.__self__.downloads
        cloud.start([identity_service(cloud.identity), images])

    def _allowed(self, address: Address) -> bool:
        return address == LOOPBACK or is_public(address)

    async def _resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        known = {"files.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"], "both.test": ["127.0.0.1", "10.0.0.1"]}
        if host not in known:
            raise OSError("no such name")
        return known[host]

    def ask(self, client: Client, image: dict[str, Any], url: Any) -> Any:
        return client.post(f"{image_path(image)}/import", {"method": {"name": "web-download", "uri": url}})

    def fetch(self, client: Client, path: str, host: str = "files.test") -> dict[str, Any]:
        """Ask for an import, and the image after it has ended, one way or the other."""
        image = create(client)
        answer = self.ask(client, image, f"http://{host}:{self.port}{path}")
        assert answer.status_code == 202, answer.text
        assert client.get(image_path(image)).json()["status"] == "importing"
        self.cloud.run(self.downloads.wait())
        settle(self.engine)
        return client.get(image_path(image)).json()


@pytest.fixture
def world(cloud: CloudUnderTest, server: ThreadingHTTPServer, tmp_path: Path) -> Iterator[World]:
    store = LocalImageStore(tmp_path / "glance", reserve=0)
    cloud.cloud.image_store = store
    yield World(cloud, store, server.server_port)
    store.close()


@pytest.mark.parametrize("path", ["/disk", "/again"])
def test_an_image_comes_from_the_web(world: World, member: Client, path: str) -> None:
    image = world.fetch(member, path)
    assert (image["status"], image["size"]) == ("active", len(DATA))
    assert image["os_glance_failed_import"] == image["os_glance_importing_to_stores"] == ""
    assert member.get(f"{image_path(image)}/file").content == DATA
    task = member.get(f"{image_path(image)}/tasks").json()["tasks"][0]
    assert (task["status"], task["message"]) == ("success", "")


@pytest.mark.parametrize(("path", "host", "why"), [
    ("/none", "files.test", "404"), ("/big", "files.test", "bytes"), ("/empty", "files.test", "empty"),
    ("/round", "files.test", "redirects"), ("/cut", "files.test", "fetched"), ("/file", "files.test", "http"),
    ("/inside", "files.test", "address"), ("/disk", "inside.test", "address"), ("/disk", "both.test", "address"),
    ("/disk", "unknown.test", "resolved")])
def test_a_failed_download_leaves_the_image_queued(world: World, member: Client, path: str, host: str, why: str
                                                   ) -> None:
    image = world.fetch(member, path, host)
    assert (image["status"], image["size"]) == ("queued", None)
    assert image["os_glance_failed_import"] == "local"
    task = member.get(f"{image_path(image)}/tasks").json()["tasks"][0]
    assert task["status"] == "failure"
    assert why in task["message"]
    assert list((world.cloud.directory / "glance" / "staging").iterdir()) == []
    again = world.ask(member, image, f"http://files.test:{world.port}/disk")
    assert again.status_code == 202
    world.cloud.run(world.downloads.wait())
    settle(world.engine)
    assert member.get(image_path(image)).json()["status"] == "active"


@pytest.mark.parametrize("url", [
    None, 3, "", "nonsense", "file:///etc/passwd", "ftp://files.test/x", "http://", "http://user:secret@files.test/x",
    "http://files.test:22/x", "http://files.test:99999/x", "http://10.0.0.1/x", "http://169.254.169.254/latest",
    "http://[::1]/x", "http://[::ffff:10.0.0.1]/x", "http://[fe80::1]/x"])
def test_urls_that_are_refused_at_once(world: World, member: Client, url: Any) -> None:
    image = create(member)
    refused = world.ask(member, image, url)
    assert refused.status_code == 400, refused.text
    assert member.get(image_path(image)).json()["status"] == "queued"
    assert world.resolved == []


def test_only_a_queued_image_of_known_formats(world: World, member: Client, other: Client) -> None:
    url = f"http://files.test:{world.port}/disk"
    plain = member.post("/image/v2/images", {"name": "plain"}).json()
    assert world.ask(member, plain, url).status_code == 409
    image = world.fetch(member, "/disk")
    assert world.ask(member, image, url).status_code == 409
    assert world.ask(other, image, url).status_code == 404


def test_it_is_off_by_default(cloud: CloudUnderTest, member: Client) -> None:
    methods = member.get("/image/v2/info/import").json()["import-methods"]["value"]
    assert methods == ["glance-direct"]
    image = member.post("/image/v2/images", RAW).json()
    body = {"method": {"name": "web-download", "uri": "http://files.test/disk"}}
    assert member.post(f"{image_path(image)}/import", body).status_code == 400


def test_a_download_whose_process_died_is_given_up(world: World, member: Client, monkeypatch: pytest.MonkeyPatch
                                                   ) -> None:
    async def dies(*_: object) -> None:
        return None

    monkeypatch.setattr(world.downloads, "_download", dies)
    image = world.fetch(member, "/disk")
    assert (image["status"], image["os_glance_failed_import"]) == ("queued", "local")


@pytest.mark.parametrize(("text", "public"), [
    ("1.1.1.1", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("0.0.0.0", False), ("10.1.2.3", False),
    ("172.31.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False), ("169.254.169.254", False),
    ("224.0.0.1", False), ("240.0.0.1", False), ("255.255.255.255", False), ("::", False), ("::1", False),
    ("fe80::1", False), ("fc00::1", False), ("fec0::1", False), ("ff02::1", False), ("::ffff:127.0.0.1", False),
    ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False), ("192.0.2.1", False)])
def test_addresses(text: str, public: bool) -> None:
    assert is_public(ip_address(text)) is public
