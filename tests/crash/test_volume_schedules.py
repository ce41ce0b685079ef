"""Volumes, snapshots and backups with a storage that fails, or an engine that dies, at every call in turn.

A whole life is lived once for each call: volumes made empty, from an image, from a snapshot, from another volume and
from a backup; one grows; all go. Each time it must end as if nothing had happened, and leave nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.drivers.local.backups import LocalBackups
from stackling.drivers.simulated.volumes import SimulatedVolumes
from stackling.ports.volumes import StoreDown
from stackling.store.work import SqlWorkQueue
from tests.api.compute_world import World
from tests.api.compute_world import world as world
from tests.api.conftest import cloud as cloud
from tests.api.conftest import identity_config as identity_config
from tests.api.conftest import service_arguments as service_arguments
from tests.api.volume_world import V, Volumes, backends, begun

CALLS = ("size", "create", "replace", "grow", "delete", "snapshots", "snapshot", "delete_snapshot", "read")
LIMIT = 30.0


class Killed(BaseException):
    """The process dies here."""


class Failing:
    """A storage whose *at*-th call fails before it is done (``early``), after it (``late``), or is the last thing that
    the engine lives to see (``killed``)."""

    def __init__(self, store: Any) -> None:
        self._store, self.at, self.how, self.calls = store, 0, "", 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name not in CALLS:
            return call

        def run(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls != self.at:
                return call(*arguments)
            if self.how == "early":
                raise StoreDown("as ordered")
            call(*arguments)
            raise StoreDown("as ordered") if self.how == "late" else Killed

        return run


@pytest.fixture
def life(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    monkeypatch.setattr("stackling.engine.turn.delay", lambda attempts: 0.005)
    real = SimulatedVolumes(total_gib=100)
    store: Any = Failing(real)
    places = backends(world, {"stackling@simulated": store}, LocalBackups(tmp_path / "backups"))
    engine = begun(world, places)
    yield Life(world, store, engine, world.cloud.actor("demo", "member"))
    real.close()


class Life(Volumes):
    """What is asked for, and what must have come of it."""

    def settle(self) -> None:
        queue, until = SqlWorkQueue(self.world.cloud.database), time.monotonic() + LIMIT
        while True:
            assert time.monotonic() < until, "it finds no end"
            try:
                self.world.settle()
                if self.engine.step(20):
                    continue
            except Killed:
                queue.release(self.engine.owner)        # as the next engine does at its start
                continue
            due = queue.next_due(["volume", "volume_snapshot", "volume_backup"])
            if due is None:
                return
            time.sleep(min(due, 0.01))

    def make(self, plural: str, single: str, **values: Any) -> str:
        answer = self.client.post(f"{V}/{plural}", {single: values})
        assert answer.status_code == 202, answer.text
        self.settle()
        return answer.json()[single]["id"]

    def statuses(self, plural: str) -> list[str]:
        return [one["status"] for one in self.client.get(f"{V}/{plural}/detail").json()[plural]]

    def begin(self) -> None:
        """Make everything."""
        first = self.make("volumes", "volume", size=1)
        self.make("volumes", "volume", size=1, imageRef=self.world.image)
        snapshot = self.make("snapshots", "snapshot", volume_id=first)
        self.make("volumes", "volume", snapshot_id=snapshot)
        copy = self.make("volumes", "volume", source_volid=first, size=1)
        assert self.client.post(f"{V}/volumes/{first}/action", {"os-extend": {"new_size": 2}}).status_code == 202
        backup = self.make("backups", "backup", volume_id=copy)
        assert self.client.post(f"{V}/backups/{backup}/restore", {"restore": {}}).status_code == 202
        self.settle()

    def end(self) -> None:
        """Delete everything, as soon as it may go."""
        for plural in ("backups", "snapshots", "volumes"):
            for one in self.client.get(f"{V}/{plural}").json()[plural]:
                assert self.client.delete(f"{V}/{plural}/{one['id']}").status_code == 202
            self.settle()


@pytest.mark.parametrize("how", ["early", "late", "killed"])
def test_every_call_of_the_storage_may_be_the_last(life: Life, how: str, tmp_path: Path) -> None:
    store: Any = life.store
    at, reached = 0, True
    while reached:
        at += 1
        store.at, store.how, store.calls = at, how, 0
        life.begin()
        assert life.statuses("volumes") == ["available"] * 5, at
        assert life.statuses("snapshots") == ["available"], at
        assert life.statuses("backups") == ["available"], at
        made = life.client.get(f"{V}/volumes/detail").json()["volumes"]
        assert sorted(one["size"] for one in made) == [1, 1, 1, 1, 2], at
        assert len(store.inventory()) == 5, at
        life.end()
        assert life.statuses("volumes") == life.statuses("snapshots") == life.statuses("backups") == [], at
        assert not store.inventory(), at
        assert [path for path in (tmp_path / "backups").rglob("*") if path.is_file()] == [], at
        reached = store.calls >= at
    assert at > 20
