"""``/stackling/v1/storage_audit``: what lies where nobody knows of it, and what doesn't lie where it should."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackling.api.stackling.service import service as own_service
from stackling.api.volume.service import service as volume_service
from stackling.core.ids import new_id
from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.worker import Worker
from stackling.image.kinds import kinds
from stackling.ports.volumes import StoreDown
from stackling.store import timeline
from stackling.store.work import SqlWorkQueue
from stackling.volume import facade as volume
from tests.api.compute_world import world as world
from tests.api.test_volume_backups import Backups
from tests.api.test_volume_backups import backups as backups
from tests.api.volume_world import V, backends

PATH = "/stackling/v1/storage_audit"
HOST = "stackling@local"


@dataclass
class Storage:
    """Volumes in a directory, backups in another, and an administrator who looks after them."""

    found: Backups
    engine: Worker
    places: tuple[Path, Path]

    def audit(self, **body: Any) -> dict[tuple[str, str], str]:
        """What was found: (what, id) → state."""
        admin = self.found.world.admin
        answer = admin.post(PATH, body)
        assert answer.status_code == 202, answer.text
        number = answer.json()["storage_audit"]["number"]
        self.engine.step(10)
        shown = admin.get(PATH).json()["storage_audit"]
        assert (shown["number"], shown["done"], shown["fix"]) == (number, True, body.get("fix", False))
        return {(one["what"], one["id"]): one["state"] for one in shown["findings"]}

    def delete(self, what: str, id: str) -> None:
        assert self.found.client.delete(f"{V}/{what}/{id}").status_code == 202
        self.found.settle()


@pytest.fixture
def storage(backups: Backups, tmp_path: Path) -> Storage:
    world, store = backups.world, backups.store
    places = backends(world, {HOST: store}, backups.place)
    world.cloud.start([*world.services, volume_service(), own_service(timeline.explain, timeline.owner)])
    kind = volume.AuditKind(places, world.cloud.database.read)
    return Storage(backups, Worker(SqlWorkQueue(world.cloud.database), [kind]),
                   (backups.directory, tmp_path / "backups"))


def test_all_is_where_it_should_be(storage: Storage) -> None:
    id = storage.found.available()
    storage.found.snapshot(id)
    storage.found.back_up(id)
    assert storage.audit() == {}
    assert storage.audit(fix=True) == {}


def test_what_comes_back_after_its_deletion_is_removed_and_nothing_else(storage: Storage) -> None:
    volumes, kept = storage.places
    alive, dead = storage.found.available(), storage.found.available()
    living, gone = storage.found.snapshot(alive), storage.found.snapshot(alive)
    backup = storage.found.back_up(alive)
    storage.delete("snapshots", gone)
    storage.delete("volumes", dead)
    storage.delete("backups", backup)
    stranger, picture = new_id(), new_id()
    shutil.copy(volumes / f"{alive}.qcow2", volumes / f"{dead}.qcow2")
    shutil.copy(volumes / f"{alive}.qcow2", volumes / f"{alive}.qcow2.{gone}")
    shutil.copy(volumes / f"{alive}.qcow2", volumes / f"{stranger}.qcow2")
    shutil.copy(volumes / f"{alive}.qcow2", volumes / f"{alive}.qcow2.{picture}")
    (kept / f"{backup}.data").write_bytes(b"half of it")
    (kept / f"{stranger}.index").write_bytes(b"somebody's")
    unknown = {("volume", stranger): "unknown", ("snapshot", picture): "unknown", ("backup", stranger): "unknown"}
    left = {("volume", dead): "left over", ("snapshot", gone): "left over", ("backup", backup): "left over"}
    before = sorted(path.name for directory in storage.places for path in directory.iterdir())
    assert storage.audit() == {**unknown, **left}
    assert sorted(path.name for directory in storage.places for path in directory.iterdir()) == before
    assert storage.audit(fix=True) == {**unknown, **dict.fromkeys(left, "removed")}
    assert sorted(path.name for path in volumes.iterdir()) == sorted([
        f"{alive}.qcow2", f"{alive}.qcow2.{living}", f"{alive}.qcow2.{picture}", f"{stranger}.qcow2"])
    assert [path.name for path in kept.iterdir()] == [f"{stranger}.index"]
    assert storage.audit() == unknown


def test_what_is_missing_is_told(storage: Storage) -> None:
    volumes, kept = storage.places
    id, lost = storage.found.available(), storage.found.available()
    snapshot, backup = storage.found.snapshot(id), storage.found.back_up(id)
    (volumes / f"{lost}.qcow2").unlink()
    (volumes / f"{id}.qcow2.{snapshot}").unlink()
    for path in kept.glob(f"{backup}.*"):
        path.unlink()
    assert storage.audit(fix=True) == {
        ("volume", lost): "missing", ("snapshot", snapshot): "missing", ("backup", backup): "missing"}


def test_images_are_compared_with_their_stores(storage: Storage) -> None:
    world = storage.found.world
    store = world.cloud.cloud.image_store
    assert isinstance(store, LocalImageStore)
    images = Worker(SqlWorkQueue(world.cloud.database), kinds(store))

    def files() -> dict[str, Path]:
        return {piece.image_id: store.file(piece.location) for piece in store.inventory()}

    dead, lost, alive, stranger = world.make_image("dead"), world.make_image("lost"), world.make_image(), new_id()
    there = files()
    assert world.admin.delete(f"/image/v2/images/{dead}").status_code == 204
    images.step(10)
    assert dead not in files()
    there[lost].unlink()
    older = there[alive].with_name(f"{alive}.1")
    for path in (there[dead], older, there[dead].with_name(f"{stranger}.1")):
        path.write_bytes(b"data")
    wanted = {("image", dead): "left over", ("image", alive): "left over", ("image", stranger): "unknown",
              ("image", lost): "missing"}
    assert storage.audit() == wanted
    assert storage.audit(fix=True) == {**wanted, ("image", dead): "removed", ("image", alive): "removed"}
    assert files() == {id: there[id] for id in (alive, world.image)} | {
        stranger: there[dead].with_name(f"{stranger}.1")}


def test_a_backend_that_is_silent_is_told_and_nothing_of_it_is_missing(
        storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.found.available()

    def down() -> Any:
        raise StoreDown("no answer")

    monkeypatch.setattr(storage.found.store, "inventory", down)
    assert storage.audit() == {("backend", HOST): "silent"}


def test_administrators_alone_may_ask(storage: Storage) -> None:
    member = storage.found.client
    assert member.post(PATH, {}).status_code == 403
    assert member.get(PATH).status_code == 403
    admin = storage.found.world.admin
    assert admin.get(PATH).json() == {"storage_audit": None}
    assert admin.post(PATH, {"fix": "yes"}).status_code == 400
