"""Disks of simulated servers: only the fact that they are there."""

from __future__ import annotations

import functools
import struct
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from stackling.core.journal import Journal
from stackling.ports.document import RootDisk, ServerDesired
from stackling.ports.hypervisor import GuestDisks, HypervisorError

GIB = 1 << 30
_CLUSTER = 1 << 16
COMPACT = 256           # records in the journal beyond the number of disks before it is rewritten


class SimulatedDisks:
    """``InstanceDisks`` in memory, surviving the process when there is a *state directory*.

    *storage* is where they pretend to lie; of shared ones, all hosts have the same object, and an order that is older
    than the latest one that made, started or removed a server's disks is refused, as real ones do it.
    ``fail`` makes the next ``make`` or ``resize`` raise, as a full disk does.
    """

    def __init__(self, state_dir: Path | None = None, storage: str = "local") -> None:
        self.storage = storage
        self._made: dict[str, int] = {}
        self.rescues: dict[str, int] = {}
        self._orders: dict[str, tuple[int, int]] = {}
        self._failing: list[Exception] = []
        self._journal: Journal | None = None
        self._records = 0
        if state_dir is not None:
            self._journal = Journal(state_dir / "disks.journal", durable=False)
            for record in self._journal.load():
                self._keep(record.decode())
                self._records += 1

    def find(self, server_id: str) -> int | None:
        return self._made.get(server_id)

    def make(self, server: ServerDesired, progress: Callable[[str], None], era: int = 1) -> None:
        if self._failing:
            raise self._failing.pop(0)
        if self._made.get(server.id) != server.rebuilds:
            self._take_order(server.id, era, server.generation)
            self._put(f'"{server.id} {server.rebuilds}"')

    def fetch(self, server: ServerDesired, source: str, progress: Callable[[str], None]) -> None:
        self.make(server, progress)

    def expect(self, server: ServerDesired, own_disks: bool, progress: Callable[[str], None]) -> None:
        self.make(server, progress)

    def resize(self, server: ServerDesired) -> None:
        if self._failing:
            raise self._failing.pop(0)

    def forget_kept(self, server: ServerDesired) -> None:
        pass

    def make_rescue(self, server: ServerDesired, progress: Callable[[str], None]) -> None:
        if self._failing:
            raise self._failing.pop(0)
        if server.rescue is not None:
            self.rescues[server.id] = server.rescue.number

    def drop_rescue(self, server: ServerDesired) -> None:
        self.rescues.pop(server.id, None)

    def export(self, server: ServerDesired) -> None:
        if self._failing:
            raise self._failing.pop(0)
        size = (server.root.size_gib if server.root else 0) * GIB or GIB
        self.exported(server).write_bytes(empty_qcow2(size))

    def exported(self, server: ServerDesired) -> Path:
        return Path(self._exports.name) / f"{server.snapshot}.qcow2"

    def drop_export(self, server: ServerDesired) -> None:
        self.exported(server).unlink(missing_ok=True)

    @functools.cached_property
    def _exports(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="stackling-")

    def paths(self, server: ServerDesired) -> GuestDisks:
        where = Path("/simulated") / server.id
        return GuestDisks(root=where / "root" if isinstance(server.root, RootDisk) else None,
                          rescue=where / "rescue" if server.rescue else None)

    def guard(self, server: ServerDesired, era: int = 1) -> None:
        self._take_order(server.id, era, server.generation)

    def remove(self, server_id: str, era: int = 1, generation: int = 0) -> None:
        self._take_order(server_id, era, generation)
        self._forget(server_id)

    def tidy(self, images: Collection[str]) -> None:
        pass

    def fail(self, message: str = "no space left for the server's disk", *, error: Exception | None = None) -> None:
        """Let the next ``make`` fail."""
        self._failing.append(error or HypervisorError(message))

    def lose(self, server_id: str) -> None:
        """The disk is gone, as after a hardware failure."""
        self._forget(server_id)

    def _forget(self, server_id: str) -> None:
        self.rescues.pop(server_id, None)
        self._orders.pop(server_id, None)
        if server_id in self._made:
            self._put(f'"{server_id} -"')

    def _take_order(self, server_id: str, era: int, generation: int) -> None:
        if self.storage.startswith("local"):
            return
        known = self._orders.get(server_id, (0, 0))
        if known > (era, generation):
            raise HypervisorError(f"another machine has this server's disks by a newer order (generation {known[1]}) "
                                  f"than this machine's ({generation}); nothing is done here")
        self._orders[server_id] = era, generation

    def _put(self, record: str) -> None:
        self._keep(record)
        if self._journal is None:
            return
        if self._records > COMPACT + 4 * len(self._made):
            self._journal.rewrite(f'"{id} {rebuild}"'.encode() for id, rebuild in self._made.items())
            self._records = len(self._made)
        else:
            self._journal.append(record.encode())
            self._records += 1

    def _keep(self, record: str) -> None:
        server_id, rebuild = record.strip('"').split(" ")
        if rebuild == "-":
            self._made.pop(server_id, None)
        else:
            self._made[server_id] = int(rebuild)


def empty_qcow2(size: int) -> bytes:
    """An empty disk of *size* bytes in qcow2 (version 3): header, reference counts, and a table without entries."""
    entries = -(-size // (_CLUSTER * _CLUSTER // 8))
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, size, 0, entries, 3 * _CLUSTER, _CLUSTER, 1,
                         0, 0, 0, 0, 0, 4, 104)
    counted = struct.pack(">4H", 1, 1, 1, 1)
    tables = struct.pack(">Q", 2 * _CLUSTER)
    return b"".join(part.ljust(_CLUSTER, b"\0") for part in (header, tables, counted, bytes(8 * entries)))
