"""Several image stores: which there are, data in more than one of them, and stores that don't work."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.api.image.service import service
from stackling.core.context import Context
from stackling.core.errors import Unavailable
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.several import Several
from stackling.engine.worker import Worker
from stackling.image import facade, images, rows
from stackling.image.kinds import ImageKind
from stackling.image.settings import ImageSettings, StoreFacts
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest
from tests.api.image_clients import create, image_path, settle

SETTINGS = ImageSettings(
    stores=(StoreFacts("local", weight=10, properties={"data_dir": "/images"}),
            StoreFacts("cheap", description="Slow and large"), StoreFacts("fast", weight=30)),
    import_methods=("glance-direct", "copy-image"))
OCTETS = {"Content-Type": "application/octet-stream"}
DATA = b"what is in the image" * 5000
DIRECT, COPY = {"method": {"name": "glance-direct"}}, {"method": {"name": "copy-image"}}
WEIGHTS = {"fast": 30, "local": 10}


class Store(LocalImageStore):
    """One of the stores, which can hang, or fail in the middle of a file."""

    hangs: threading.Event | None = None
    breaks_after: int | None = None

    def size(self, location: str) -> int | None:
        if self.hangs is not None:
            self.hangs.wait(30)
        return super().size(location)

    async def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]:
        sent = 0
        async for chunk in super().read(location, start, length):
            if self.breaks_after is not None:
                yield chunk[:self.breaks_after]
                raise Unavailable("the store has gone away")
            sent += len(chunk)
            yield chunk


class World:
    """A cloud with three stores: local (the default), cheap, and fast."""

    def __init__(self, cloud: CloudUnderTest, directory: Path) -> None:
        self.cloud = cloud
        self.members: dict[str, Store] = {
            name: Store(directory / name, name=name, reserve=0, prefix="" if name == "local" else f"{name}:",
                        foreign=name != "local") for name in ("local", "cheap", "fast")}
        for name in ("cheap", "fast"):
            (directory / name).mkdir()
        self.store = Several("local", self.members, WEIGHTS)     # type: ignore[arg-type]
        cloud.cloud.image_store = self.store
        self.engine = self.new_engine()
        cloud.start([service(SETTINGS)])

    def new_engine(self, **options: Any) -> Worker:
        kind = ImageKind(self.store, grace=0.0, **{"patience": 60.0, **options})
        return Worker(SqlWorkQueue(self.cloud.database), [kind], lease=0.0)

    def break_(self, name: str) -> None:
        """Its directory isn't mounted any more."""
        self.members[name].directory.rename(self.members[name].directory.with_name(f"{name}-away"))

    def mend(self, name: str) -> None:
        away = self.members[name].directory.with_name(f"{name}-away")
        if self.members[name].directory.exists():
            shutil.rmtree(self.members[name].directory)
        away.rename(self.members[name].directory)

    def holders(self, image: dict[str, Any]) -> list[str]:
        """The stores that have files of the image."""
        return sorted(name for name, store in self.members.items()
                      if any(piece.image_id == image["id"] for piece in store.inventory()))

    def sweep(self) -> None:
        """Look at everything again, as the engine does every minute."""
        queue = SqlWorkQueue(self.cloud.database)
        queue.sweep(["image"], -1.0, 100)
        settle(self.engine)


@pytest.fixture
def world(cloud: CloudUnderTest, admin: Client, member: Client, other: Client, tmp_path: Path) -> Iterator[World]:
    found = World(cloud, tmp_path)
    yield found
    for store in found.members.values():
        if store.hangs is not None:
            store.hangs.set()
    found.store.close()


def put(client: Client, image: dict[str, Any], what: str = "file", data: bytes = DATA, **headers: str) -> Any:
    return client.put(f"{image_path(image)}/{what}", content=data, headers={**OCTETS, **headers})


def shown(client: Client, image: dict[str, Any]) -> dict[str, Any]:
    return client.get(image_path(image)).json()


def staged(client: Client) -> dict[str, Any]:
    image = create(client)
    assert put(client, image, "stage").status_code == 204
    return image


def active(client: Client, store: str = "local") -> dict[str, Any]:
    image = create(client)
    assert put(client, image, **{"X-Image-Meta-Store": store}).status_code == 204
    return image


def imported(world: World, client: Client, image: dict[str, Any], **how: Any) -> dict[str, Any]:
    answer = client.post(f"{image_path(image)}/import", {**DIRECT, **how})
    assert answer.status_code == 202, answer.text
    settle(world.engine)
    return shown(client, image)


def copied(world: World, admin: Client, image: dict[str, Any], **how: Any) -> dict[str, Any]:
    answer = admin.post(f"{image_path(image)}/import", {**COPY, **how})
    assert answer.status_code == 202, answer.text
    settle(world.engine)
    return shown(admin, image)


def test_which_stores_there_are(world: World, member: Client, admin: Client) -> None:
    assert member.get("/image/v2/info/stores").json() == {"stores": [
        {"id": "local", "default": "true"}, {"id": "cheap", "description": "Slow and large"}, {"id": "fast"}]}
    assert member.get("/image/v2/info/stores/detail").status_code == 403
    found = admin.get("/image/v2/info/stores/detail").json()["stores"]
    assert found[0] == {"id": "local", "default": "true", "type": "file", "weight": 10,
                        "properties": {"data_dir": "/images"}}
    assert [one["weight"] for one in found] == [10, 0, 30]
    answer = member.post("/image/v2/images", {"name": "x"})
    assert answer.headers["OpenStack-image-store-ids"] == "local,cheap,fast"
    assert answer.headers["OpenStack-image-import-methods"] == "glance-direct,copy-image"


@pytest.mark.parametrize(("headers", "store"), [({}, "local"), ({"X-Image-Meta-Store": "cheap"}, "cheap")])
def test_uploads_go_where_they_are_sent(world: World, member: Client, headers: dict[str, str], store: str) -> None:
    image = create(member)
    assert "stores" not in shown(member, image)
    assert put(member, image, **{"X-Image-Meta-Store": "mars"}).status_code == 400
    assert put(member, image, **headers).status_code == 204
    assert shown(member, image)["stores"] == store
    assert world.holders(image) == [store]
    assert member.get(f"{image_path(image)}/file").content == DATA
    part = member.get(f"{image_path(image)}/file", headers={"Range": "bytes=5-9"})
    assert part.content == DATA[5:10]


def test_import_into_all_stores(world: World, member: Client) -> None:
    image = staged(member)
    assert member.post(f"{image_path(image)}/import", {**DIRECT, "all_stores": True}).status_code == 202
    assert shown(member, image)["os_glance_importing_to_stores"] == "cheap,fast,local"
    assert world.engine.step() == 1
    assert shown(member, image)["os_glance_importing_to_stores"] == "cheap,fast"
    assert shown(member, image)["status"] == "importing"
    settle(world.engine)
    found = shown(member, image)
    assert (found["status"], found["stores"]) == ("active", "fast,local,cheap")
    assert found["os_glance_importing_to_stores"] == found["os_glance_failed_import"] == ""
    assert found["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert world.holders(image) == ["cheap", "fast", "local"]
    assert all(not piece.staged for piece in world.store.inventory())
    assert member.get("/image/v2/info/usage").json()["usage"]["image_size_total"]["usage"] == 1
    project = member.project_id
    assert world.cloud.database.read(images.usage, project) == (1, 3 * len(DATA))
    (task,) = member.get(f"{image_path(image)}/tasks").json()["tasks"]
    assert (task["status"], task["input"]["backend"]) == ("success", ["local", "cheap", "fast"])


@pytest.mark.parametrize(("how", "headers", "where"), [
    ({"stores": ["cheap", "fast"]}, {}, "fast,cheap"), ({"stores": ["fast"]}, {}, "fast"), ({}, {}, "local"),
    ({}, {"X-Image-Meta-Store": "cheap"}, "cheap")])
def test_import_into_chosen_stores(world: World, member: Client, how: dict[str, Any], headers: dict[str, str],
                                   where: str) -> None:
    image = staged(member)
    assert member.post(f"{image_path(image)}/import", {**DIRECT, **how}, headers=headers).status_code == 202
    settle(world.engine)
    assert shown(member, image)["stores"] == where
    assert world.holders(image) == sorted(where.split(","))
    assert all(not piece.staged for piece in world.store.inventory())
    assert member.get(f"{image_path(image)}/file").content == DATA


@pytest.mark.parametrize(("how", "headers", "status"), [
    ({"stores": ["mars"]}, {}, 409), ({"stores": "local"}, {}, 400), ({"stores": []}, {}, 400),
    ({"stores": ["local"]}, {"X-Image-Meta-Store": "local"}, 400), ({"all_stores": True, "stores": ["local"]}, {}, 400),
    ({"all_stores": True}, {"X-Image-Meta-Store": "local"}, 400), ({}, {"X-Image-Meta-Store": "mars"}, 409),
    ({"all_stores": "yes"}, {}, 400), ({"all_stores_must_succeed": 1}, {}, 400), ({"stores": [{}]}, {}, 409)])
def test_stores_that_cannot_be_meant(world: World, member: Client, how: dict[str, Any], headers: dict[str, str],
                                     status: int) -> None:
    image = staged(member)
    assert member.post(f"{image_path(image)}/import", {**DIRECT, **how}, headers=headers).status_code == status
    assert shown(member, image)["status"] == "uploading"


def test_where_every_store_must_have_it_one_that_fails_undoes_all(world: World, member: Client) -> None:
    world.break_("fast")
    image = staged(member)
    found = imported(world, member, image, stores=["cheap", "local", "fast"])
    assert (found["status"], found["size"], "stores" in found) == ("queued", None, False)
    assert (found["os_glance_importing_to_stores"], found["os_glance_failed_import"]) == ("", "fast")
    (task,) = member.get(f"{image_path(image)}/tasks").json()["tasks"]
    assert task["status"] == "failure"
    assert "fast" in task["message"]
    world.mend("fast")
    world.sweep()
    assert world.holders(image) == []
    assert put(member, image).status_code == 204


def test_where_not_every_store_must_have_it_the_others_do(world: World, member: Client, admin: Client) -> None:
    world.break_("fast")
    found = imported(world, member, staged(member), all_stores=True, all_stores_must_succeed=False)
    assert (found["status"], found["stores"], found["os_glance_failed_import"]) == ("active", "local,cheap", "fast")
    world.mend("fast")
    found = copied(world, admin, found, all_stores=True)
    assert (found["stores"], found["os_glance_failed_import"]) == ("fast,local,cheap", "")


def test_nowhere_is_a_failure(world: World, member: Client) -> None:
    world.break_("fast")
    world.break_("cheap")
    image = staged(member)
    found = imported(world, member, image, stores=["cheap", "fast"], all_stores_must_succeed=False)
    assert (found["status"], found["os_glance_failed_import"]) == ("queued", "cheap,fast")
    world.mend("fast")
    world.mend("cheap")
    world.sweep()
    assert world.holders(image) == []


def test_copies_of_an_image(world: World, member: Client, other: Client, admin: Client) -> None:
    image = active(member, "cheap")
    path = f"{image_path(image)}/import"
    assert member.post(path, {**COPY, "stores": ["fast"]}).status_code == 403
    assert other.post(path, {**COPY, "stores": ["fast"]}).status_code == 404
    assert admin.post(path, {**COPY, "stores": ["cheap", "fast"]}).status_code == 400
    assert admin.post(path, {**COPY, "stores": ["mars"]}).status_code == 409
    assert admin.post(f"{image_path(create(member))}/import", {**COPY, "stores": ["fast"]}).status_code == 409
    assert admin.post(path, {**COPY, "stores": ["fast"]}).status_code == 202
    found = shown(member, image)
    assert (found["status"], found["os_glance_importing_to_stores"]) == ("active", "fast")
    assert member.get(f"{image_path(image)}/file").content == DATA
    assert admin.post(path, {**COPY, "stores": ["local"]}).status_code == 409
    settle(world.engine)
    assert shown(member, image)["stores"] == "fast,cheap"
    assert copied(world, admin, image, all_stores=True)["stores"] == "fast,local,cheap"
    tasks = len(admin.get(f"{image_path(image)}/tasks").json()["tasks"])
    assert admin.post(path, {**COPY, "all_stores": True}).status_code == 202      # it is everywhere already
    assert len(admin.get(f"{image_path(image)}/tasks").json()["tasks"]) == tasks
    assert world.holders(image) == ["cheap", "fast", "local"]
    assert member.delete(image_path(image)).status_code == 204
    settle(world.engine)
    assert world.holders(image) == []
    assert world.cloud.database.read(rows.get, image["id"]) is None


@pytest.mark.parametrize("must", [True, False])
def test_a_copy_that_fails_harms_nothing(world: World, member: Client, admin: Client, must: bool) -> None:
    image = active(member)
    world.break_("fast")
    found = copied(world, admin, image, stores=["cheap", "fast"], all_stores_must_succeed=must)
    assert found["status"] == "active"
    assert found["stores"] == ("local" if must else "local,cheap")
    assert (found["os_glance_importing_to_stores"], found["os_glance_failed_import"]) == ("", "fast")
    assert member.get(f"{image_path(image)}/file").content == DATA
    world.mend("fast")
    world.sweep()
    assert world.holders(image) == (["local"] if must else ["cheap", "local"])


def test_a_damaged_source_is_not_copied(world: World, member: Client, admin: Client) -> None:
    image = active(member)
    (piece,) = world.members["local"].inventory()
    path = world.members["local"].path(piece.location)
    assert path is not None
    path.write_bytes(b"x" * len(DATA))
    found = copied(world, admin, image, stores=["fast"])
    assert (found["stores"], found["os_glance_failed_import"]) == ("local", "fast")
    assert world.holders(image) == ["local"]


def test_leaving_a_store(world: World, member: Client, admin: Client) -> None:
    image = active(member)
    there = f"/image/v2/stores/local/{image['id']}"
    assert admin.delete(f"/image/v2/stores/mars/{image['id']}").status_code == 409
    assert admin.delete("/image/v2/stores/local/00000000-0000-4000-8000-000000000009").status_code == 404
    assert admin.delete(there).status_code == 403
    assert admin.delete(f"/image/v2/stores/local/{create(member)['id']}").status_code == 409
    copied(world, admin, image, stores=["fast"])
    assert member.delete(there).status_code == 403
    assert admin.delete(f"/image/v2/stores/cheap/{image['id']}").status_code == 404
    assert admin.delete(there).status_code == 204
    assert shown(member, image)["stores"] == "fast"
    settle(world.engine)
    assert world.holders(image) == ["fast"]
    assert member.get(f"{image_path(image)}/file").content == DATA
    assert admin.delete(f"/image/v2/stores/fast/{image['id']}").status_code == 403
    assert copied(world, admin, image, stores=["local"])["stores"] == "fast,local"


def test_a_store_that_is_away_holds_nobody_up_who_has_another(world: World, member: Client, admin: Client) -> None:
    image, alone = active(member, "fast"), active(member, "fast")
    copied(world, admin, image, stores=["cheap"])
    world.break_("fast")
    assert member.get(f"{image_path(image)}/file").content == DATA
    assert member.get(f"{image_path(alone)}/file").status_code == 503
    assert put(member, create(member), **{"X-Image-Meta-Store": "fast"}).status_code == 503
    assert put(member, create(member)).status_code == 204
    world.sweep()
    assert shown(member, image)["stores"] == "fast,cheap"
    assert member.delete(image_path(image)).status_code == 204
    settle(world.engine)
    assert member.get(image_path(image)).status_code == 404
    world.mend("fast")
    world.sweep()
    assert world.holders(image) == []
    assert world.cloud.database.read(rows.get, image["id"]) is None
    assert member.get(f"{image_path(alone)}/file").content == DATA


def test_a_store_that_hangs_is_given_up_within_five_seconds(world: World, member: Client, admin: Client) -> None:
    image, alone = active(member, "fast"), active(member, "fast")
    copied(world, admin, image, stores=["cheap"])
    world.members["fast"].hangs = threading.Event()
    for path, status in ((image, 200), (alone, 503), (image, 200)):
        began = time.monotonic()
        assert member.get(f"{image_path(path)}/file").status_code == status
        assert time.monotonic() - began < 5.5
    began = time.monotonic()
    assert member.get(f"{image_path(image)}/file").content == DATA
    assert time.monotonic() - began < 1.0           # the store isn't asked first for a while


def test_a_store_that_fails_in_the_middle_is_followed_by_the_next(world: World, member: Client, admin: Client) -> None:
    image = active(member, "fast")
    copied(world, admin, image, stores=["cheap"])
    world.members["fast"].breaks_after = 777
    assert member.get(f"{image_path(image)}/file").content == DATA
    part = member.get(f"{image_path(image)}/file", headers={"Range": "bytes=100-2099"})
    assert part.content == DATA[100:2100]
    assert copied(world, admin, image, stores=["local"])["stores"] == "fast,local,cheap"


def test_who_reads_may_prefer_a_store(world: World, member: Client, admin: Client) -> None:
    image = active(member, "fast")
    copied(world, admin, image, stores=["cheap"])
    path = f"{image_path(image)}/file"
    world.members["cheap"].hangs = threading.Event()            # only who asks for it waits
    began = time.monotonic()
    for asked in ("", "?prefer=", "?prefer=fast", "?prefer=local,fast", "?prefer= fast ,cheap"):
        assert member.get(f"{path}{asked}").content == DATA
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert member.get(f"{path}?prefer=cheap").content == DATA
    assert time.monotonic() - began > 1
    assert member.get(f"{path}?prefer=mars").status_code == 400


def test_lost_in_one_store_only(world: World, cloud: CloudUnderTest, member: Client, admin: Client) -> None:
    image = active(member, "fast")
    copied(world, admin, image, stores=["cheap"])
    for piece in world.members["fast"].inventory():
        world.members["fast"].delete(piece.location)
    world.sweep()
    assert member.get(f"{image_path(image)}/file").content == DATA
    ctx = Context("req-1", project_id=member.project_id, roles=frozenset({"member"}))
    assert cloud.database.read(facade.image_for_boot, ctx, image["id"]).format == "raw"
    row = cloud.database.read(rows.get, image["id"])
    assert row is not None
    assert row.last_error == "the image's data is missing from the store fast"
    assert admin.delete(f"/image/v2/stores/fast/{image['id']}").status_code == 204
    world.sweep()
    found = cloud.database.read(rows.get, image["id"])
    assert found is not None
    assert (found.last_error, found.dropped) == (None, ())


def test_a_process_that_died_while_it_copied(world: World, member: Client, admin: Client) -> None:
    image = active(member)
    assert admin.post(f"{image_path(image)}/import", {**COPY, "stores": ["fast"]}).status_code == 202
    row = world.cloud.database.read(rows.get, image["id"])
    assert row is not None
    assert row.copying is not None
    held = world.members["fast"].open(image["id"], row.copying.number)       # what a dead process leaves behind
    world.members["fast"].at("staging", image["id"], row.copying.number).write_bytes(b"half of it")
    world.engine.step()
    assert shown(member, image)["os_glance_importing_to_stores"] == "fast"   # somebody writes: nobody interferes
    held.keep()
    held.close()
    world.cloud.database.write(lambda tx: tx.nudge("image", image["id"]))
    settle(world.engine)
    assert shown(member, image)["stores"] == "fast,local"
    assert [piece.staged for piece in world.members["fast"].inventory()] == [False]


def test_a_slow_copy_goes_on_beside_the_engine(world: World, member: Client, admin: Client) -> None:
    image = active(member)
    ended, done = list[str](), threading.Event()

    def end(image_id: str) -> None:
        ended.append(image_id)
        done.set()

    world.engine = world.new_engine(patience=0.0, ended=end)
    assert admin.post(f"{image_path(image)}/import", {**COPY, "stores": ["fast"]}).status_code == 202
    until = time.monotonic() + 10
    while "fast" not in shown(member, image)["stores"] and time.monotonic() < until:
        world.cloud.database.write(lambda tx: tx.nudge("image", image["id"]))
        world.engine.step()
    assert shown(member, image)["stores"] == "fast,local"
    assert done.wait(5)
    assert ended == [image["id"]]


def test_an_image_that_is_deleted_while_it_is_copied(world: World, member: Client, admin: Client) -> None:
    image = active(member)
    assert admin.post(f"{image_path(image)}/import", {**COPY, "stores": ["cheap", "fast"]}).status_code == 202
    assert world.engine.step() == 1
    assert world.holders(image) == ["cheap", "local"]
    assert member.delete(image_path(image)).status_code == 204
    settle(world.engine)
    assert world.holders(image) == []
    (task,) = admin.get("/image/v2/tasks").json()["tasks"]
    assert task["status"] == "failure"


def test_a_copy_that_takes_too_long_is_given_up(world: World, member: Client, admin: Client,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackling.image.imports.DEADLINE", -1e6)
    image = active(member)
    assert admin.post(f"{image_path(image)}/import", {**COPY, "stores": ["fast"]}).status_code == 202
    row = world.cloud.database.read(rows.get, image["id"])
    assert row is not None
    assert row.copying is not None
    held = world.members["fast"].open(image["id"], row.copying.number)       # a writer that hangs
    settle(world.engine)
    held.keep()
    held.close()
    found = shown(member, image)
    assert (found["status"], found["stores"], found["os_glance_failed_import"]) == ("active", "local", "fast")
    world.sweep()
    assert world.holders(image) == ["local"]


def test_other_weights(world: World, member: Client, admin: Client) -> None:
    image = active(member)
    copied(world, admin, image, all_stores=True)
    world.store.weights = {"cheap": 5}      # type: ignore[misc]
    world.cloud.database.write(facade.order_copies, world.store)
    assert shown(member, image)["stores"] == "cheap,fast,local"


def test_servers_are_cloned_where_that_can_be(world: World, cloud: CloudUnderTest, member: Client, admin: Client,
                                              tmp_path: Path) -> None:
    (tmp_path / "rbd").mkdir()
    rbd = Store(tmp_path / "rbd", name="fast", reserve=0, prefix="rbd://cluster/", foreign=True)
    world.store.members = {**world.members, "fast": rbd}        # type: ignore[misc, dict-item]
    world.store.weights = {"local": 99}                         # type: ignore[misc]
    world.engine = world.new_engine()
    image = active(member)
    found = copied(world, admin, image, stores=["fast", "cheap"])
    assert found["stores"] == "local,fast,cheap"
    ctx = Context("req-1", project_id=member.project_id, roles=frozenset({"member"}))
    boot = cloud.database.read(facade.image_for_boot, ctx, image["id"])
    assert boot.location.startswith("rbd://")
    assert len(boot.locations) == 3
    rbd.close()


def test_one_reader_after_another(world: World, member: Client, admin: Client) -> None:
    """What agents fetch goes the same way."""
    from stackling.image import stores

    image = active(member, "fast")
    copied(world, admin, image, stores=["cheap"])
    world.break_("fast")
    places, size, _ = world.cloud.database.read(facade.image_file, image["id"])
    assert ([store for store, _ in places], size) == (["fast", "cheap"], len(DATA))

    async def everything() -> bytes:
        found = await stores.find(world.store, places)
        return b"".join([bytes(chunk) async for chunk in stores.read(world.store, found)])

    assert asyncio.run(everything()) == DATA


def test_volumes_are_made_of_a_copy_that_their_backend_can_use(world: World, tmp_path: Path) -> None:
    from stackling.volume.tasks import from_image

    there = [store.location(store.directory / "images" / "x.1") for store in world.members.values()]
    origin = from_image(world.store, {"location": there[2], "locations": there, "format": "raw"})
    assert (origin.location, origin.file) == (there[2], world.members["fast"].directory / "images" / "x.1")

    class InCeph(Store):
        def path(self, location: str) -> Path | None:
            super().path(location)
            return None

    world.store.members = {**world.members, "fast": InCeph(tmp_path / "rbd", name="fast", prefix="rbd://")}  # type: ignore[misc, dict-item]
    both = ("rbd://images/x.1", there[1])
    origin = from_image(world.store, {"location": both[0], "locations": both, "format": "raw"})
    assert (origin.location, origin.file) == (both[0], world.members["cheap"].directory / "images" / "x.1")
