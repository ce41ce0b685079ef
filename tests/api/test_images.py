"""Image v2: what clients see of images, apart from their data."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.worker import Worker
from stackling.image.kinds import ImageKind
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest

V20, V21 = "application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"
RAW = {"name": "disk", "disk_format": "raw", "container_format": "bare"}


@pytest.fixture
def store(cloud: CloudUnderTest, tmp_path: Path) -> Iterator[LocalImageStore]:
    found = LocalImageStore(tmp_path / "glance", reserve=0)
    cloud.cloud.image_store = found
    yield found
    found.close()


@pytest.fixture
def engine(cloud: CloudUnderTest, store: LocalImageStore) -> Worker:
    return Worker(SqlWorkQueue(cloud.database), [ImageKind(store, grace=0.0)])


def create(client: Client, **attributes: Any) -> dict[str, Any]:
    answer = client.post("/image/v2/images", {**RAW, **attributes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(client: Client, image_id: str, data: bytes) -> None:
    answer = client.put(f"/image/v2/images/{image_id}/file", content=data,
                        headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 204, answer.text


def patch(client: Client, image_id: str, *operations: dict[str, Any], media: str = V21) -> Any:
    return client.patch(f"/image/v2/images/{image_id}", list(operations), headers={"Content-Type": media})


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
    while engine.step():
        pass
    assert store.inventory() == []


def image_path(image: dict[str, Any]) -> str:
    return f"/image/v2/images/{image['id']}"


def test_list(member: Client, store: LocalImageStore) -> None:
    ids = {create(member)["id"] for _ in range(3)}
    answer = member.get("/image/v2/images").json()
    assert {image["id"] for image in answer["images"]} == ids
    assert answer["first"] == "/v2/images"
