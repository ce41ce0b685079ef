"""Image data: uploads that go well and that don't, downloads, imports, and what is left after a crash."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stackling.api.image.service import service
from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.worker import Worker
from stackling.image import images, uploads
from stackling.image.facade import image_file, image_for_boot
from stackling.image.settings import ImageSettings
from tests.api.conftest import Client, CloudUnderTest
from tests.api.image_clients import create, engine, image_path, patch, settle, store, upload
from tests.unit.test_image_inspector import qcow2_header

__all__ = ["engine", "store"]
OCTETS = {"Content-Type": "application/octet-stream"}


def put(client: Client, image: dict[str, Any], data: Any, where: str = "file", **headers: str) -> Any:
    return client.put(f"{image_path(image)}/{where}", content=data, headers={**OCTETS, **headers})


def status(client: Client, image: dict[str, Any]) -> str:
    return client.get(image_path(image)).json()["status"]


def is_queued_and_clean(client: Client, image: dict[str, Any], store: LocalImageStore, engine: Worker) -> bool:
    shown = client.get(image_path(image)).json()
    settle(engine)
    return (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None) and store.inventory() == []


def test_digests_and_ranges(member: Client, store: LocalImageStore) -> None:
    image, data = create(member), os.urandom(3_000_001)
    upload(member, image["id"], data)
    shown = member.get(image_path(image)).json()
    assert shown["checksum"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    file = f"{image_path(image)}/file"
    for asked, start, end in (("0-0", 0, 1), ("1048570-2097160", 1048570, 2097161), ("-5", len(data) - 5, len(data)),
                              ("3000000-", 3_000_000, len(data)), ("5000-9999999", 5000, len(data))):
        answer = member.get(file, headers={"Range": f"bytes={asked}"})
        assert answer.status_code == 206
        assert answer.content == data[start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
    answer = member.get(file, headers={"Range": f"bytes={len(data)}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(data)}"
    assert member.get(file, headers={"Range": "bytes=0-1,5-6"}).status_code == 400


def test_an_empty_image(member: Client, store: LocalImageStore) -> None:
    image = create(member)
    upload(member, image["id"], b"")
    answer = member.get(f"{image_path(image)}/file")
    assert (answer.status_code, answer.content) == (200, b"")


def test_only_a_queued_image_takes_data(member: Client, store: LocalImageStore) -> None:
    image = create(member)
    upload(member, image["id"], b"one")
    assert put(member, image, b"two").status_code == 409
    assert member.get(f"{image_path(image)}/file").content == b"one"
    formless = member.post("/image/v2/images", {"name": "x"}).json()
    assert put(member, formless, b"x").status_code == 400
    assert status(member, formless) == "queued"
    assert member.put(f"{image_path(image)}/file", {}).status_code == 415


def test_who_may_download(member: Client, reader: Client, other: Client, store: LocalImageStore) -> None:
    image = create(member, visibility="private")
    upload(member, image["id"], b"secret")
    assert reader.get(f"{image_path(image)}/file").status_code == 403
    assert other.get(f"{image_path(image)}/file").status_code == 404
    patch(member, image["id"], {"op": "replace", "path": "/visibility", "value": "community"})
    assert other.get(f"{image_path(image)}/file").content == b"secret"


@pytest.mark.parametrize(("declared", "data", "word"), [
    ("raw", qcow2_header(), "is qcow2"), ("qcow2", b"\0" * 200_000, "isn't"),
    ("qcow2", qcow2_header(backing=512), "backing file"), ("qcow2", qcow2_header(incompatible=4), "external"),
    ("qcow2", qcow2_header(size=1 << 50, cluster_bits=21, l1_entries=2048), "at most"),
    ("qcow2", qcow2_header()[:100], "cut off"), ("vmdk", b"# Disk DescriptorFile\n".ljust(2048), "names other files")])
def test_malicious_data(member: Client, store: LocalImageStore, engine: Worker, declared: str, data: bytes,
                        word: str) -> None:
    image = create(member, disk_format=declared)
    answer = put(member, image, data)
    assert answer.status_code == 415
    assert word in answer.json()["error"]["message"]
    assert is_queued_and_clean(member, image, store, engine)
    staged = create(member, disk_format=declared)
    assert put(member, staged, data, "stage").status_code == 204
    assert member.post(f"{image_path(staged)}/import", {"method": {"name": "glance-direct"}}).status_code == 202
    settle(engine)
    shown = member.get(image_path(staged)).json()
    assert (shown["status"], shown["os_glance_failed_import"]) == ("queued", "local")
    task = member.get(f"{image_path(staged)}/tasks").json()["tasks"][0]
    assert task["status"] == "failure"
    assert word in task["message"]
    settle(engine)
    assert store.inventory() == []
    good = qcow2_header() if declared == "qcow2" else b"raw"
    patch(member, image["id"], {"op": "replace", "path": "/disk_format", "value": "qcow2" if declared == "qcow2"
                                else "raw"})
    assert put(member, image, good).status_code == 204


def test_what_length_says(cloud: CloudUnderTest, member: Client, store: LocalImageStore, engine: Worker) -> None:
    async def short() -> AsyncIterator[bytes]:
        yield b"12345"

    image = create(member)
    for headers in ({"Content-Length": "9"}, {"X-OpenStack-Image-Size": "9"}):
        assert put(member, image, short(), **headers).status_code == 400
        assert is_queued_and_clean(member, image, store, engine)
    assert put(member, image, b"x", **{"X-OpenStack-Image-Size": "big"}).status_code == 400
    assert put(member, image, short()).status_code == 204


def scope(client: Client, image: dict[str, Any], method: str) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": f"{image_path(image)}/file", "raw_path": b"", "query_string": b"", "server": ("cloud.test", 80),
        "headers": [(b"x-auth-token", (client.token or "").encode()), (b"content-type", b"application/octet-stream"),
                    *([(b"transfer-encoding", b"chunked")] if method == "PUT" else [])]}


def test_a_client_that_stops_listening(cloud: CloudUnderTest, member: Client, store: LocalImageStore) -> None:
    image = create(member)
    upload(member, image["id"], b"x" * 20_000_000)
    events = [{"type": "http.request", "body": b"", "more_body": True},
              {"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    cloud.run(cloud._app(scope(member, image, "GET"), receive, send))
    assert sent[0]["status"] == 200
    assert sum(len(message.get("body", b"")) for message in sent) < 10_000_000


def test_a_store_that_fails(member: Client, store: LocalImageStore, engine: Worker) -> None:
    image = create(member)
    (store.directory / "staging").rename(store.directory / "elsewhere")
    assert put(member, image, b"x").status_code == 503
    (store.directory / "elsewhere").rename(store.directory / "staging")
    assert is_queued_and_clean(member, image, store, engine)


def test_a_client_that_goes_away(cloud: CloudUnderTest, member: Client, store: LocalImageStore, engine: Worker) -> None:
    image = create(member)
    events = [{"type": "http.request", "body": b"part", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    cloud.run(cloud._app(scope(member, image, "PUT"), receive, send))
    assert sent[0]["status"] == 400
    assert is_queued_and_clean(member, image, store, engine)


def test_a_client_that_stalls(cloud: CloudUnderTest, member: Client, store: LocalImageStore, engine: Worker) -> None:
    cloud.start([service(ImageSettings(upload_stall_timeout=0.05))])

    async def stalling() -> AsyncIterator[bytes]:
        yield b"12345"
        await asyncio.sleep(5)

    image = create(member)
    assert put(member, image, stalling()).status_code == 400
    assert is_queued_and_clean(member, image, store, engine)


def test_limits(cloud: CloudUnderTest, member: Client, store: LocalImageStore, engine: Worker) -> None:
    cloud.start([service(ImageSettings(image_size_cap=10, image_count_total=2, image_size_total=1))])

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"123456"

    image = create(member)
    for data in (b"12345678901", endless()):
        assert put(member, image, data).status_code == 413
        assert is_queued_and_clean(member, image, store, engine)
    assert put(member, image, b"1234567890").status_code == 204
    create(member)
    assert member.post("/image/v2/images", {}).status_code == 413
    cloud.start([service(ImageSettings(image_size_total=0))])
    assert put(member, create(member), b"x").status_code == 413


def test_a_full_disk(cloud: CloudUnderTest, member: Client, store: LocalImageStore, engine: Worker,
                     monkeypatch: pytest.MonkeyPatch) -> None:
    image = create(member)
    store.reserve = 1 << 62
    answer = put(member, image, b"x" * 5_000_000)
    assert answer.status_code == 413
    assert "full" in answer.json()["error"]["message"]
    assert is_queued_and_clean(member, image, store, engine)
    store.reserve = 0

    def full(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("stackling.drivers.local.image_store.os.write", full)
        assert put(member, image, b"x" * 5_000_000).status_code == 413
    assert is_queued_and_clean(member, image, store, engine)
    assert put(member, image, b"x").status_code == 204


def test_deleted_while_data_comes_in(cloud: CloudUnderTest, member: Client, store: LocalImageStore,
                                     engine: Worker) -> None:
    image = create(member)

    async def data() -> AsyncIterator[bytes]:
        yield b"12345"
        assert (await cloud.http.get(image_path(image), headers=token)).json()["status"] == "saving"
        assert (await cloud.http.delete(image_path(image), headers=token)).status_code == 204
        yield b"67890"

    token = {"X-Auth-Token": member.token or ""}
    assert put(member, image, data()).status_code == 410
    settle(engine)
    assert store.inventory() == []
    assert member.get(image_path(image)).status_code == 404


def begin_and_die(cloud: CloudUnderTest, store: LocalImageStore, member: Client, image_id: str) -> None:
    """What a process leaves that is killed while it receives data: a row and a file, and nobody who holds it."""
    ctx = Context("req-1", project_id=member.project_id, roles=frozenset({"member"}))
    image = cloud.database.read(images.visible, ctx, image_id)
    begun = cloud.database.write(uploads.begin, ctx, image, "file", None, ImageSettings())
    held = store.open(image_id, begun.upload or 0)
    held.keep()
    held.close()


def test_the_process_that_received_died(cloud: CloudUnderTest, member: Client, store: LocalImageStore,
                                        engine: Worker) -> None:
    image = create(member)
    begin_and_die(cloud, store, member, image["id"])
    assert status(member, image) == "saving"
    assert len(store.inventory()) == 1
    settle(engine)
    assert is_queued_and_clean(member, image, store, engine)
    upload(member, image["id"], b"again")
    assert member.get(f"{image_path(image)}/file").content == b"again"


def test_a_living_upload_is_left_alone(cloud: CloudUnderTest, member: Client, store: LocalImageStore,
                                       engine: Worker) -> None:
    image = create(member)

    async def data() -> AsyncIterator[bytes]:
        yield b"12345"
        for _ in range(3):
            await asyncio.get_running_loop().run_in_executor(None, engine.step)
        yield b"67890"

    assert put(member, image, data()).status_code == 204
    settle(engine)
    assert member.get(f"{image_path(image)}/file").content == b"1234567890"


def test_lost_data_is_reported(cloud: CloudUnderTest, member: Client, store: LocalImageStore, engine: Worker) -> None:
    image = create(member)
    upload(member, image["id"], b"data")
    settle(engine)
    (piece,) = store.inventory()
    store.delete(piece.location)
    cloud.database.write(lambda tx: tx.nudge("image", image["id"]))
    settle(engine)
    assert member.get(f"{image_path(image)}/file").status_code == 503
    ctx = Context("req-1", project_id=member.project_id, roles=frozenset({"member"}))
    with pytest.raises(Invalid, match="lost its data"):
        cloud.database.read(image_for_boot, ctx, image["id"])


def test_stage_and_import(cloud: CloudUnderTest, member: Client, admin: Client, store: LocalImageStore,
                          engine: Worker) -> None:
    image = create(member)
    start = {"method": {"name": "glance-direct"}}
    path = f"{image_path(image)}/import"
    assert member.post(path, start).status_code == 409
    assert put(member, image, b"staged data", "stage").status_code == 204
    assert (status(member, image), member.get(image_path(image)).json()["size"]) == ("uploading", 11)
    assert put(member, image, b"x").status_code == 409
    assert put(member, image, b"x", "stage").status_code == 409
    assert member.get(f"{image_path(image)}/file").status_code == 204
    download = {"method": {"name": "web-download", "uri": "http://x"}}
    for body, refusal in (({}, 400), ({"method": {}}, 400), (download, 400), ({**start, "stores": ["mars"]}, 409),
                          ({**start, "all_stores": "x"}, 400)):
        assert member.post(path, body).status_code == refusal
    answer = member.post(path, {**start, "stores": ["local"]})
    assert answer.status_code == 202
    assert status(member, image) == "importing"
    assert member.post(path, start).status_code == 409
    settle(engine)
    shown = member.get(image_path(image)).json()
    assert (shown["status"], shown["stores"], shown["os_glance_failed_import"]) == ("active", "local", "")
    assert shown["checksum"] == hashlib.md5(b"staged data", usedforsecurity=False).hexdigest()
    assert member.get(f"{image_path(image)}/file").content == b"staged data"
    (task,) = member.get(f"{image_path(image)}/tasks").json()["tasks"]
    assert (task["status"], task["type"]) == ("success", "api_image_import")
    assert task["request_id"] == answer.headers["X-Openstack-Request-Id"]
    assert task["input"]["import_req"]["method"]["name"] == "glance-direct"
    assert member.get("/image/v2/tasks").status_code == 403
    assert [t["id"] for t in admin.get("/image/v2/tasks").json()["tasks"]] == [task["id"]]
    assert admin.get(f"/image/v2/tasks/{task['id']}").json()["status"] == "success"
    assert admin.delete(f"/image/v2/tasks/{task['id']}").status_code == 405


def test_deleting_a_staged_image(member: Client, store: LocalImageStore, engine: Worker) -> None:
    image = create(member)
    put(member, image, b"staged", "stage")
    assert member.delete(image_path(image)).status_code == 204
    settle(engine)
    assert store.inventory() == []


def test_data_that_needs_no_match(cloud: CloudUnderTest, member: Client, store: LocalImageStore) -> None:
    """Glance's option of the same name: such data is stored, and nothing boots from it."""
    cloud.start([service(ImageSettings(require_image_format_match=False))])
    image = create(member, disk_format="vdi")
    assert put(member, image, b"no vdi").status_code == 204
    dangerous = create(member, disk_format="qcow2")
    assert put(member, dangerous, qcow2_header(backing=512)).status_code == 415
    ctx = Context("req-1", project_id=member.project_id, roles=frozenset({"member"}))
    with pytest.raises(Invalid, match="isn't vdi, as its disk_format says"):
        cloud.database.read(image_for_boot, ctx, image["id"])


def test_what_compute_gets(cloud: CloudUnderTest, member: Client, other: Client, store: LocalImageStore,
                           tmp_path: Path) -> None:
    image, data = create(member, disk_format="qcow2", min_disk=1, hw_disk_bus="virtio"), qcow2_header()
    ctx = Context("req-1", project_id=member.project_id, roles=frozenset({"member"}))
    with pytest.raises(Invalid, match="queued"):
        cloud.database.read(image_for_boot, ctx, image["id"])
    upload(member, image["id"], data)
    found = cloud.database.read(image_for_boot, ctx, image["id"])
    assert (found.format, found.size, found.virtual_size, found.min_disk_gib) == ("qcow2", len(data), 1 << 20, 1)
    assert found.properties == {"hw_disk_bus": "virtio"}
    ((name, location),), size, sha512 = cloud.database.read(image_file, image["id"])
    assert name == "local"
    path = store.path(location)
    assert path is not None
    assert (path.read_bytes(), size, sha512) == (data, len(data), hashlib.sha512(data).hexdigest())
    assert path.stat().st_mode & 0o777 == 0o640
    stranger = Context("req-1", project_id=other.project_id, roles=frozenset({"member"}))
    with pytest.raises(NotFound):
        cloud.database.read(image_for_boot, stranger, image["id"])
    member.post(f"{image_path(image)}/actions/deactivate")
    with pytest.raises(Invalid, match="deactivated"):
        cloud.database.read(image_for_boot, ctx, image["id"])


@pytest.mark.parametrize("location", ["../s.db", "images/../../x", "/etc/passwd", "images/x", "staging/a.0", ""])
def test_locations_are_the_stores_own(store: LocalImageStore, location: str) -> None:
    with pytest.raises(NotFound):
        store.delete(location)
