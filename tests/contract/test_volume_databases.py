"""What may be done with a volume is decided by what others have done to it, on every database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stackling.core.context import Context
from stackling.core.errors import StacklingError
from stackling.core.ids import new_id
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.simulated.volumes import SimulatedVolumes
from stackling.engine.worker import Worker
from stackling.store.database import Database
from stackling.store.tables.engine import guards
from stackling.store.transaction import Tx
from stackling.store.work import SqlWorkQueue
from stackling.volume import attachments, facade, rows, snapshots, transfers, volumes
from stackling.volume.model import NewVolume, VolumeRow

MEMBER = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member", "reader"}))


class Backend:
    """A cloud with nothing but volumes."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.database = database
        self.store, self.images = SimulatedVolumes(total_gib=100), LocalImageStore(directory / "images", reserve=0)
        backends = facade.Backends({"stackling@simulated": self.store}, None, self.images)
        database.write(facade.bootstrap)
        database.write(facade.start, backends)
        self.engine = Worker(SqlWorkQueue(database), facade.kinds(backends))
        self.work()

    def work(self) -> None:
        for _ in range(20):
            if not self.engine.step(10):
                return
        raise AssertionError("the engine finds no end")

    def volume(self) -> str:
        id = new_id()
        self.database.write(volumes.create_volume, MEMBER, NewVolume(id, 1))
        self.work()
        found = self.database.read(rows.volume, id)
        assert found is not None
        assert found["status"] == "available"
        return id


@pytest.fixture
def backend(database: Database, tmp_path: Path) -> Iterator[Backend]:
    made = Backend(database, tmp_path)
    yield made
    made.store.close()
    made.images.close()


def _attach(tx: Tx, volume: VolumeRow) -> None:
    attachments.reserve(tx, volume, new_id())


def _snapshot(tx: Tx, volume: VolumeRow) -> None:
    snapshots.create_snapshot(tx, MEMBER, new_id(), volume)


def _transfer(tx: Tx, volume: VolumeRow) -> None:
    transfers.create_transfer(tx, MEMBER, volume, None)


@pytest.mark.parametrize("use", [_attach, _snapshot, _transfer])
def test_a_volume_is_used_or_deleted_but_not_both(backend: Backend, use: Callable[[Tx, VolumeRow], None]) -> None:
    """One client has looked at the volume and takes its time; another deletes it meanwhile."""
    id = backend.volume()
    looked, deleted = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        volume = volumes.get_volume(tx, MEMBER, id)
        looked.set()
        deleted.wait(0.5)               # no longer: the deletion may have to wait for this transaction
        use(tx, volume)

    def delete(tx: Tx) -> None:
        volumes.delete_volume(tx, MEMBER, volumes.get_volume(tx, MEMBER, id))

    with ThreadPoolExecutor(2) as pool:
        using = pool.submit(_outcome, backend.database, slowly)
        assert looked.wait(10)
        deleting = pool.submit(_outcome, backend.database, delete)
        deleting.add_done_callback(lambda _: deleted.set())
        outcomes = [using.result(30), deleting.result(30)]
    assert sum(isinstance(one, StacklingError) for one in outcomes) == 1, outcomes


def test_nothing_of_a_volume_stays(backend: Backend) -> None:
    id = backend.volume()
    backend.database.write(lambda tx: volumes.delete_volume(tx, MEMBER, volumes.get_volume(tx, MEMBER, id)))
    backend.work()
    assert backend.database.read(rows.volume, id) is None
    assert backend.database.read(lambda tx: tx.count(guards, guards.c.name == f"volume:{id}")) == 0


def _outcome(database: Database, use_case: Callable[[Tx], Any]) -> Any:
    try:
        return database.write(use_case)
    except StacklingError as error:
        return error
