"""Snapshots that a simulated host makes of volumes: names only."""

from __future__ import annotations

from pathlib import Path

from stackling.ports.document import VolumeDisk


class SimulatedVolumeCopies:
    """``VolumeCopies`` in memory. ``made`` has (volume, snapshot); ``fail`` makes the next call of that name raise."""

    def __init__(self) -> None:
        self.made: set[tuple[str, str]] = set()
        self.begun: set[tuple[str, str]] = set()
        self._failing: dict[str, Exception] = {}

    def prepare(self, volume: VolumeDisk, snapshot_id: str) -> Path:
        self._may_fail("prepare")
        self.begun.add((volume.volume_id, snapshot_id))
        return self.target(volume, snapshot_id)

    def copy(self, volume: VolumeDisk, snapshot_id: str) -> None:
        self._may_fail("copy")
        self.made.add((volume.volume_id, snapshot_id))

    def keep(self, volume: VolumeDisk, snapshot_id: str) -> None:
        self._may_fail("keep")
        self.made.add((volume.volume_id, snapshot_id))

    def finish(self, volume: VolumeDisk, snapshot_id: str) -> None:
        self._may_fail("finish")
        self.begun.discard((volume.volume_id, snapshot_id))
        self.made.add((volume.volume_id, snapshot_id))

    def drop(self, volume: VolumeDisk, snapshot_id: str) -> None:
        self._may_fail("drop")
        self.begun.discard((volume.volume_id, snapshot_id))

    def target(self, volume: VolumeDisk, snapshot_id: str) -> Path:
        return Path(f"/simulated/{volume.volume_id}.{snapshot_id}")

    def fail(self, call: str, error: Exception) -> None:
        """Let the next call of *call* raise *error*."""
        self._failing[call] = error

    def _may_fail(self, call: str) -> None:
        if call in self._failing:
            raise self._failing.pop(call)
