"""Backups as clients see them: whole ones, chains, what is refused, and what comes back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackling.drivers.local.backups import LocalBackups
from stackling.drivers.local.volumes import LocalVolumes
from stackling.ports.volumes import StoreDown, StoreFull
from tests.api.compute_world import World
from tests.api.compute_world import world as world
from tests.api.volume_world import NEWEST, V, Volumes, backends, begun

MIB = 1 << 20


class FailingBackups(LocalBackups):
    """Fails as often as it is told to."""

    failing: list[Exception]

    def write(self, backup_id: str, disk: Path, parent: str | None = None) -> None:
        if self.failing:
            raise self.failing.pop(0)
        super().write(backup_id, disk, parent)


@dataclass
class Backups(Volumes):
    """Volumes in a directory, backups in another."""

    directory: Path
    place: FailingBackups

    def guest(self, id: str, *commands: str) -> None:
        """What a guest does with a volume that it has."""
        words = [word for command in commands for word in ("-c", command)]
        done = subprocess.run(["qemu-io", "-f", "qcow2", *words, self.directory / f"{id}.qcow2"], capture_output=True,
                              text=True, timeout=60, check=True)
        assert "failed" not in done.stdout, done.stdout

    def try_back_up(self, id: str, **values: Any) -> Any:
        return self.client.post(f"{V}/backups", {"backup": {"volume_id": id, **values}})

    def back_up(self, id: str, **values: Any) -> str:
        answer = self.try_back_up(id, **values)
        assert answer.status_code == 202, answer.text
        self.settle()
        return answer.json()["backup"]["id"]

    def backup(self, id: str) -> dict[str, Any]:
        return self.client.get(f"{V}/backups/{id}", headers=NEWEST).json()["backup"]

    def restored(self, id: str) -> str:
        answer = self.client.post(f"{V}/backups/{id}/restore", {"restore": {}})
        assert answer.status_code == 202, answer.text
        self.settle()
        found = answer.json()["restore"]["volume_id"]
        assert self.show(found)["status"] == "available"
        return found


@pytest.fixture
def backups(world: World, tmp_path: Path) -> Iterator[Backups]:
    directory, place = tmp_path / "volumes", FailingBackups(tmp_path / "backups")
    place.failing = []
    store: Any = LocalVolumes(directory)
    engine = begun(world, backends(world, {"stackling@local": store}, place))
    yield Backups(world, store, engine, world.cloud.actor("demo", "member"), directory, place)
    store.close()


def test_a_chain_is_restored_at_each_of_its_ends(backups: Backups) -> None:
    id = backups.available()
    backups.guest(id, f"write -P 1 0 {MIB}", f"write -P 2 {5 * MIB} {MIB}")
    whole = backups.back_up(id)
    backups.guest(id, f"write -P 3 {5 * MIB} {MIB}")
    first = backups.back_up(id, incremental=True)
    backups.guest(id, f"write -P 4 {900 * MIB} {MIB}", f"write -z 0 {MIB}")
    second = backups.back_up(id, incremental=True)
    shown = [backups.backup(each) for each in (whole, first, second)]
    assert [(one["status"], one["is_incremental"], one["has_dependent_backups"]) for one in shown] == [
        ("available", False, True), ("available", True, True), ("available", True, False)]
    sizes = [backups.place.find(each).size // MIB for each in (whole, first, second)]    # type: ignore[union-attr]
    assert sizes == [2, 1, 1]
    for backup, words in ((whole, ("read -P 1 0 1M", "read -P 2 5M 1M", "read -P 0 900M 1M")),
                          (first, ("read -P 1 0 1M", "read -P 3 5M 1M", "read -P 0 900M 1M")),
                          (second, ("read -P 0 0 1M", "read -P 3 5M 1M", "read -P 4 900M 1M"))):
        backups.guest(backups.restored(backup), *words)
    assert backups.client.get(f"{V}/snapshots").json()["snapshots"] == []


def test_what_others_build_upon_is_kept(backups: Backups) -> None:
    id, client = backups.available(), backups.client
    answer = backups.try_back_up(id, incremental=True)
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == (
        "Invalid backup: No backups available to do an incremental backup.")
    whole = backups.back_up(id)
    after = backups.back_up(id, incremental=True)
    for ask in (lambda: client.delete(f"{V}/backups/{whole}"),
                lambda: backups.world.admin.post(f"{V}/backups/{whole}/action", {"os-force_delete": {}})):
        answer = ask()
        assert answer.status_code == 400
        assert answer.json()["badRequest"]["message"] == "Invalid backup: Incremental backups exist for this backup."
    assert client.delete(f"{V}/backups/{after}").status_code == 202
    backups.settle()
    assert client.get(f"{V}/backups/{after}").status_code == 404
    assert not backups.backup(whole)["has_dependent_backups"]
    assert client.delete(f"{V}/backups/{whole}").status_code == 202
    backups.settle()
    assert list((backups.directory.parent / "backups").iterdir()) == []


def test_a_backup_that_isnt_there_is_no_parent(backups: Backups) -> None:
    id = backups.available()
    backups.back_up(id)
    backups.place.failing.append(StoreFull("there is no room for the backup"))
    bad = backups.back_up(id)
    shown = backups.backup(bad)
    assert (shown["status"], shown["fail_reason"]) == ("error", "there is no room for the backup")
    answer = backups.try_back_up(id, incremental=True)
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == (
        "Invalid backup: The parent backup must be available for incremental backup.")
    assert backups.show(id)["status"] == "available"
    backups.client.delete(f"{V}/backups/{bad}")
    backups.settle()
    assert backups.backup(backups.back_up(id, incremental=True))["is_incremental"]


def test_one_that_is_interrupted_is_gone_on_with(backups: Backups) -> None:
    id = backups.available()
    backups.guest(id, f"write -P 1 0 {MIB}")
    backups.place.failing.append(StoreDown("no answer"))
    made = backups.back_up(id)
    assert backups.backup(made)["status"] == "creating"
    assert backups.show(id)["status"] == "backing-up"
    backups.world.cloud.database.write(lambda tx: tx.nudge("volume_backup", made))
    backups.settle()
    assert backups.backup(made)["status"] == "available"
    backups.guest(backups.restored(made), "read -P 1 0 1M")


def test_a_damaged_backup_is_not_restored_in_silence(backups: Backups) -> None:
    id = backups.available()
    backups.guest(id, f"write -P 1 0 {MIB}")
    made = backups.back_up(id)
    data = backups.directory.parent / "backups" / f"{made}.data"
    data.write_bytes(b"x" + data.read_bytes()[1:])
    answer = backups.client.post(f"{V}/backups/{made}/restore", {"restore": {"volume_id": id}})
    assert answer.status_code == 202
    backups.settle()
    assert backups.show(id)["status"] == "error_restoring"
    assert backups.backup(made)["status"] == "available"
    said = backups.client.get(f"{V}/messages", headers=NEWEST).json()["messages"]
    assert any("damaged" in one["user_message"] for one in said)


def test_of_a_snapshot_the_parent_is_from_before_it(backups: Backups) -> None:
    id = backups.available()
    early = backups.back_up(id)
    snapshot = backups.snapshot(id)
    backups.guest(id, f"write -P 9 0 {MIB}")
    backups.back_up(id)
    made = backups.back_up(id, incremental=True, snapshot_id=snapshot)
    backups.guest(backups.restored(made), "read -P 0 0 1M")
    assert backups.backup(early)["has_dependent_backups"]
    other = backups.available()
    answer = backups.try_back_up(other, snapshot_id=snapshot)
    assert answer.status_code == 400
    assert "does not match with snapshot.volume_id" in answer.text


def test_what_boots_still_does_when_it_is_restored(backups: Backups) -> None:
    id, admin = backups.available(imageRef=backups.world.image), backups.world.admin
    made, other = backups.back_up(id), backups.available()
    image = backups.show(id)["volume_image_metadata"]
    backups.client.post(f"{V}/backups/{made}/restore", {"restore": {"volume_id": other}})
    backups.settle()
    record = admin.get(f"{V}/backups/{made}/export_record").json()["backup-record"]
    kept = {path: path.read_bytes() for path in (backups.directory.parent / "backups").iterdir()}
    again = backups.restored(made)
    backups.client.delete(f"{V}/backups/{made}")
    backups.settle()
    for path, data in kept.items():
        path.write_bytes(data)
    assert admin.post(f"{V}/backups/import_record", {"backup-record": record}).status_code == 201
    backups.settle()
    imported = admin.post(f"{V}/backups/{made}/restore", {"restore": {}}).json()["restore"]["volume_id"]
    shown = [backups.show(other), backups.show(again),
             admin.get(f"{V}/volumes/{imported}", headers=NEWEST).json()["volume"]]
    assert [(one["bootable"], one["volume_image_metadata"]) for one in shown] == [("true", image)] * 3
    assert "volume_image_metadata" not in backups.show(backups.available())


def test_a_chain_is_known_again_by_its_records(backups: Backups) -> None:
    id, admin = backups.available(), backups.world.admin
    backups.guest(id, f"write -P 1 0 {MIB}")
    whole = backups.back_up(id)
    backups.guest(id, f"write -P 2 {MIB} {MIB}")
    after = backups.back_up(id, incremental=True)
    records = [admin.get(f"{V}/backups/{each}/export_record").json()["backup-record"] for each in (whole, after)]
    kept = {path: path.read_bytes() for path in (backups.directory.parent / "backups").iterdir()}
    for each in (after, whole):
        backups.client.delete(f"{V}/backups/{each}")
        backups.settle()
    for path, data in kept.items():
        path.write_bytes(data)
    for record in records:
        assert admin.post(f"{V}/backups/import_record", {"backup-record": record}).status_code == 201
    backups.settle()
    shown = [admin.get(f"{V}/backups/{each}", headers=NEWEST).json()["backup"] for each in (whole, after)]
    assert [(one["status"], one["is_incremental"], one["has_dependent_backups"]) for one in shown] == [
        ("available", False, True), ("available", True, False)]
    assert admin.delete(f"{V}/backups/{whole}").status_code == 400
    restored = admin.post(f"{V}/backups/{after}/restore", {"restore": {}}).json()["restore"]["volume_id"]
    backups.settle()
    backups.guest(restored, "read -P 1 0 1M", "read -P 2 1M 1M")
