"""Volumes of memory only: sizes and what was made from what, no data. Files that are asked for are empty disks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stackling.core.journal import Journal
from stackling.drivers.simulated.disks import empty_qcow2
from stackling.ports.volumes import GIB, Capacity, Luks, Origin, StoreRefused, Stray

COMPACT = 256               # records in the journal beyond the number of volumes before it is rewritten


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume's record. ``stray``: it lies there and is nobody's, ``id`` is its name; ``strays``: such snapshots."""

    id: str
    size_gib: int
    snapshots: tuple[str, ...] = ()
    stray: bool = False
    strays: tuple[str, ...] = ()
    gone: bool = False


class SimulatedVolumes:
    """``VolumeStore`` in memory, surviving the process when there is a *state directory*. All hosts reach it.

    ``fail`` makes the next call of that name raise.
    """

    driver = "simulated"
    live = True
    encrypts = True         # it keeps no data that could be read

    def __init__(self, state_dir: Path | None = None, *, total_gib: float = 100_000.0, live: bool = True) -> None:
        self._total, self.live = total_gib, live
        self._volumes: dict[str, State] = {}
        self._failing: dict[str, list[Exception]] = {}
        self._journal: Journal | None = None
        self._records = 0
        if state_dir is not None:
            self._journal = Journal(state_dir / "volumes.journal", durable=False)
            for record in self._journal.load():
                self._keep(msgspec.json.decode(record, type=State))
                self._records += 1

    def capacity(self) -> Capacity:
        self._may_fail("capacity")
        return Capacity(self._total, self._total - sum(state.size_gib for state in self._volumes.values()))

    def size(self, volume_id: str) -> int | None:
        self._may_fail("size")
        state = self._volumes.get(volume_id)
        return None if state is None or state.stray else state.size_gib

    def create(self, volume_id: str, size_gib: int, origin: Origin | None, luks: Luks | None = None) -> None:
        self._may_fail("create")
        if volume_id not in self._volumes:
            self._put(State(volume_id, size_gib))

    def replace(self, volume_id: str, size_gib: int, origin: Origin, luks: Luks | None = None) -> None:
        self._may_fail("replace")

    def grow(self, volume_id: str, size_gib: int) -> None:
        self._may_fail("grow")
        state = self._state(volume_id)
        self._put(msgspec.structs.replace(state, size_gib=max(size_gib, state.size_gib)))

    def delete(self, volume_id: str) -> None:
        self._may_fail("delete")
        if state := self._volumes.get(volume_id):
            self._put(msgspec.structs.replace(state, gone=True))

    def location(self, volume_id: str) -> str:
        return f"file:///simulated/{volume_id}?format=raw"

    def snapshots(self, volume_id: str) -> Sequence[str]:
        self._may_fail("snapshots")
        state = self._volumes.get(volume_id)
        return state.snapshots if state is not None else ()

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        self._may_fail("snapshot")
        state = self._state(volume_id)
        if snapshot_id not in state.snapshots:
            self._put(msgspec.structs.replace(state, snapshots=(*state.snapshots, snapshot_id)))

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        self._may_fail("delete_snapshot")
        if (state := self._volumes.get(volume_id)) and snapshot_id in state.snapshots:
            self._put(msgspec.structs.replace(state, snapshots=tuple(s for s in state.snapshots if s != snapshot_id)))

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        self._may_fail("revert")
        if snapshot_id not in self._state(volume_id).snapshots:
            raise StoreRefused("the snapshot isn't there")

    @contextmanager
    def read(self, volume_id: str, format: str, snapshot_id: str | None = None) -> Iterator[Path]:
        self._may_fail("read")
        size = self._state(volume_id).size_gib * GIB
        if format not in ("raw", "qcow2"):
            raise StoreRefused(f"simulated volumes can't be written as {format}")
        with tempfile.TemporaryDirectory(prefix="stackling-") as directory:
            path = Path(directory) / "disk"
            path.write_bytes(empty_qcow2(size) if format == "qcow2" else bytes(1 << 20))
            yield path

    def inventory(self) -> Mapping[str, int]:
        return {id: 0 for id, state in self._volumes.items() if not state.stray}

    def strays(self) -> Sequence[Stray]:
        return [Stray(id, state.size_gib) for id, state in sorted(self._volumes.items()) if state.stray]

    def adopt(self, name: str, volume_id: str) -> int:
        if volume_id not in self._volumes:
            state = self._volumes.get(name)
            if state is None or not state.stray:
                raise StoreRefused(f"there is no volume {name}")
            self._put(msgspec.structs.replace(state, id=volume_id, stray=False))
            self._put(msgspec.structs.replace(state, gone=True))
        return self._volumes[volume_id].size_gib

    def release(self, volume_id: str, name: str) -> None:
        if state := self._volumes.get(volume_id):
            self._put(msgspec.structs.replace(state, id=name, stray=True))
            self._put(msgspec.structs.replace(state, gone=True))

    def adopt_snapshot(self, volume_id: str, name: str, snapshot_id: str) -> int:
        self._may_fail("adopt_snapshot")
        state = self._state(volume_id)
        if snapshot_id not in state.snapshots:
            if name not in state.strays:
                raise StoreRefused(f"the volume has no snapshot {name}")
            self._put(msgspec.structs.replace(state, snapshots=(*state.snapshots, snapshot_id),
                                              strays=tuple(each for each in state.strays if each != name)))
        return state.size_gib

    def release_snapshot(self, volume_id: str, snapshot_id: str, name: str) -> None:
        if (state := self._volumes.get(volume_id)) and snapshot_id in state.snapshots:
            self._put(msgspec.structs.replace(state, strays=(*state.strays, name), snapshots=tuple(
                each for each in state.snapshots if each != snapshot_id)))

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    # -- failing

    def fail(self, call: str, error: Exception, *, times: int = 1) -> None:
        """Let the next *times* calls of *call* raise *error*."""
        self._failing.setdefault(call, []).extend([error] * times)

    def lose(self, volume_id: str) -> None:
        """The data is gone, as after a hardware failure."""
        self.delete(volume_id)

    # -- how

    def _may_fail(self, call: str) -> None:
        if failing := self._failing.get(call):
            raise failing.pop(0)

    def _state(self, volume_id: str) -> State:
        state = self._volumes.get(volume_id)
        if state is None:
            raise StoreRefused(f"there is no volume {volume_id}")
        return state

    def _put(self, state: State) -> None:
        self._keep(state)
        if self._journal is None:
            return
        if self._records > COMPACT + 4 * len(self._volumes):
            self._journal.rewrite(msgspec.json.encode(each) for each in self._volumes.values())
            self._records = len(self._volumes)
        else:
            self._journal.append(msgspec.json.encode(state))
            self._records += 1

    def _keep(self, state: State) -> None:
        if state.gone:
            self._volumes.pop(state.id, None)
        else:
            self._volumes[state.id] = state
