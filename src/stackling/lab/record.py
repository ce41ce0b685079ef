"""What is written down about a lab: enough to take it away, whatever became of its processes.

The record is written before the first namespace is made and deleted after the last is gone.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stackling.lab import cgroups
from stackling.lab.cgroups import Group
from stackling.lab.problem import LabError
from stackling.lab.topology import LABS, Network, Topology, valid_name

BASE, ENVIRONMENT = Path("/var/lib/stackling-lab"), "STACKLING_LAB_DIR"
RUN = Path("/run/stackling-lab")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A machine: ``number`` makes its addresses; one that isn't ``control`` only runs servers."""

    name: str
    number: int
    control: bool = True


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``uid`` is in the names of control groups; ``in_memory``: the machines' disks are in memory, because nothing
    on disk will serve; ``host_access``: this machine reaches the lab's addresses."""

    name: str
    uid: str
    index: int
    machines: tuple[Member, ...] = ()
    in_memory: bool = False
    host_access: bool = False

    def member(self, name: str) -> Member:
        """The machine of this name. Raises ``LabError``."""
        for one in self.machines:
            if one.name == name:
                return one
        raise LabError(f"lab {self.name} has no machine {name!r}; it has "
                       f"{', '.join(one.name for one in self.machines) or 'none'}")


def base() -> Path:
    """Where labs are."""
    return Path(os.environ.get(ENVIRONMENT) or BASE).absolute()


@dataclass(frozen=True, slots=True)
class LabDirectory:
    """The files of one lab."""

    root: Path

    @classmethod
    def of(cls, name: str) -> LabDirectory:
        """The lab's, existing or not. Raises ``LabError`` for a name that no lab can have."""
        if not valid_name(name):
            raise LabError(f"{name!r} can't be a lab's name: a letter and up to seven letters or digits, lower case")
        return cls(base() / name)

    @property
    def record_file(self) -> Path:
        return self.root / "lab.json"

    @property
    def machines(self) -> Path:
        """A directory a machine; also a mount point when disks are in memory."""
        return self.root / "machines"

    def machine(self, name: str) -> Path:
        return self.machines / name

    @property
    def run(self) -> Path:
        """What dies with the outer machine."""
        return RUN / self.read().uid

    @property
    def power(self) -> Path:
        """The directory with the power switch's socket; all that machines see of the lab."""
        return self.run / "power"

    @property
    def power_modes(self) -> Path:
        """How the power switch behaves; machines don't see it."""
        return self.root / "power-modes.json"

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def exists(self) -> bool:
        return self.record_file.exists()

    def read(self) -> Record:
        """The record. Raises ``LabError`` when there is no such lab."""
        try:
            return msgspec.json.decode(self.record_file.read_bytes(), type=Record)
        except FileNotFoundError:
            raise LabError(f"there is no lab {self.root.name!r}; `stackling lab up` makes one") from None
        except msgspec.DecodeError as error:
            raise LabError(f"{self.record_file}: {error}; `stackling lab down` can't help; remove the file") from None

    def write(self, record: Record) -> None:
        replace(self.record_file, msgspec.json.format(msgspec.json.encode(record)))

    def make(self) -> Record:
        """The record, made with the first free number when there is none."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(base()):
            if self.exists():
                return self.read()
            record = Record(name=self.root.name, uid=uuid.uuid4().hex[:8], index=_free_index())
            self.write(record)
            return record


def topology(record: Record) -> Topology:
    """Names and addresses of the lab."""
    return Topology(record.name, record.index)


def group(record: Record, name: str) -> Group:
    """The control group of a machine, or of the lab's own processes (``lab``)."""
    return Group(whole_group(record).path / name)


def whole_group(record: Record) -> Group:
    """The control group that holds everything of the lab."""
    return Group(cgroups.mount_point() / f"stackling-lab-{record.name}-{record.uid}")


def cut_links(directory: LabDirectory, machine: str) -> frozenset[Network]:
    """The networks whose cable was pulled out of the machine by `cut`; it stays so over power cycles."""
    try:
        return msgspec.json.decode((directory.machine(machine) / "cut.json").read_bytes(), type=frozenset[Network])
    except FileNotFoundError:
        return frozenset()


def write_cut_links(directory: LabDirectory, machine: str, links: frozenset[Network]) -> None:
    """Remember which cables are pulled out."""
    replace(directory.machine(machine) / "cut.json", msgspec.json.encode(sorted(links)))


def replace(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(content)
    new.rename(path)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """One at a time, among all processes, for the existing *path*; it ends with its holder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _free_index() -> int:
    taken = {LabDirectory(path).read().index for path in base().iterdir() if (path / "lab.json").exists()}
    for index in range(LABS):
        if index not in taken:
            return index
    raise LabError(f"there are {LABS} labs already; end one by `stackling lab down --name …`")
