"""What the tests of images share: a store, an engine for it, and short ways to ask."""

from __future__ import annotations

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


def image_path(image: dict[str, Any]) -> str:
    return f"/image/v2/images/{image['id']}"


def settle(engine: Worker) -> None:
    """Run the engine until nothing is due."""
    for _ in range(20):
        if not engine.step():
            return
    raise AssertionError("the engine finds no end")
