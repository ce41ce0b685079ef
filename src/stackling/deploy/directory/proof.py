"""The proof that a directory is shared by machines: each writes and sees what the others write, and a lock that one
holds is refused to every other one. Each machine does its steps itself (``ports.disks.DirectoryTrial``), by its agent.

A mount may be quite well without sharing locks (NFS with ``nolock`` or ``local_lock``, an overlay, many FUSE file
systems): then two machines could write the same disk, and nothing would say so. So every pair is tried, both ways.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.deploy.ceph.proof import Check, ProofFailed

Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Have a machine do a step: its answer. Raises ``NotDone``."""
LOCKS = ("With NFS, mount with vers=4.1 or newer, and without nolock and local_lock; CephFS shares locks by itself; "
         "overlays, bind mounts of local disks, sshfs, 9p and most other FUSE file systems don't")


class NotDone(Exception):
    """A machine couldn't do a step, in words."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What each machine sees at the path, by name."""

    found: Mapping[str, Mapping[str, Any]]

    @property
    def id(self) -> str:
        """The directory's id; empty where it has none yet."""
        return str(next(iter(self.found.values()))["id"])

    @property
    def free_gib(self) -> int:
        return int(next(iter(self.found.values()))["free_gib"])

    def mounts(self, *machines: str) -> str:
        """What it is there."""
        return "; ".join(f"{name}: {self.found[name]['mount']}" for name in machines or self.found)


def prove(ask: Ask, machines: Sequence[str], path: Path, id: str = "", *, fresh: bool = False) -> list[Check]:
    """Try everything, in order, up to the first failure. *id*: the directory's, to be noted with the proof on each
    machine ("": nothing is noted). *fresh*: it isn't used yet, so no machine may have servers with disks of its own.
    """
    proof = _Proof(ask, tuple(machines), path, id, fresh)
    steps: list[tuple[str, Callable[[], str]]] = [
        ("every machine has it", proof.look), ("every machine writes", proof.write),
        ("each sees what the others write", proof.see), ("each writes the others' disks", proof.join),
        ("a lock is refused to the others", proof.lock), ("one of all makes a name", proof.link),
        ("a file is replaced", proof.replace), ("nothing is left", proof.end)]
    if id:
        steps.append(("the proof is noted", proof.note))
    found: list[Check] = []
    try:
        for what, step in steps:
            began = time.monotonic()
            try:
                detail, ok = step(), True
            except (NotDone, ProofFailed) as error:
                detail, ok = str(error), False
            found.append(Check(what, ok, detail, time.monotonic() - began))
            if not ok:
                break
    finally:
        proof.clear()
    return found


class _Proof:
    def __init__(self, ask: Ask, machines: tuple[str, ...], path: Path, id: str, fresh: bool) -> None:
        self.ask, self.machines, self.path, self.id, self.fresh = ask, machines, path, id, fresh
        self.trial = secrets.token_hex(8)
        self.looked = Looked({})
        self.wrote = False

    def look(self) -> str:
        self.looked = Looked(self._all("look"))
        accounts = {name: found["account"] for name, found in self.looked.found.items()}
        if len(set(accounts.values())) > 1:
            raise ProofFailed(f"QEMU's account hasn't the same number everywhere ({_listed(accounts)}): give it "
                              "one, as Debian's package libvirt-daemon-system does")
        old = [name for name, found in self.looked.found.items() if found["type"] == "nfs"]
        if old:
            raise ProofFailed(f"NFS version 3 on {', '.join(old)}: its locks stay with a machine that is lost until it "
                              "is back, so its servers couldn't be started elsewhere. Mount with vers=4.1 or newer")
        own = {name: found["own"] for name, found in self.looked.found.items() if found["own"]}
        if self.fresh and own:
            raise ProofFailed(f"there are servers whose disks are on their machine alone, which would be lost to them "
                              f"({_listed(own)}): delete them first")
        other = {name: found["id"] for name, found in self.looked.found.items() if found["id"] not in ("", self.id)}
        if other and self.id:
            raise ProofFailed(f"it is the shared directory of another cloud ({_listed(other)})")
        return self.looked.mounts()

    def write(self) -> str:
        self.wrote = True
        self._all("write")
        return "as root, and as QEMU's account"

    def see(self) -> str:
        for name, found in self._all("see", machines=self.machines).items():
            if found["missing"]:
                other = found["missing"][0]
                raise ProofFailed(f"{name} doesn't see what {other} wrote: {self.path} isn't the same directory there. "
                                  f"Mount it on both ({self.looked.mounts(name, other)})")
        return f"{len(self.machines)} machines" + self._alone

    def join(self) -> str:
        for number, name in enumerate(self.machines):
            self.ask(name, self._asked("join", machines=self.machines, number=number))
        for name, found in self._all("joined", machines=self.machines).items():
            if found["missing"]:
                raise ProofFailed(f"{name} doesn't read what {found['missing'][0]} wrote into its disk: the mounts "
                                  f"keep caches of their own ({self.looked.mounts(name, found['missing'][0])})")
        return "past the page cache, and each reads all of it"

    def lock(self) -> str:
        for holder in self.machines:
            others = tuple(name for name in self.machines if name != holder)
            self.ask(holder, self._asked("lock"))
            for name, found in self._all("locked", others, machines=(holder,)).items():
                if not found["seen"] or not found["refused"]:
                    raise ProofFailed(
                        f"{name} {'got the lock' if not found['refused'] else 'does not see the lock'} that {holder} "
                        f"holds: locks don't reach other machines, and two could write the same disk "
                        f"({self.looked.mounts(holder, name)}). {LOCKS}")
            self.ask(holder, self._asked("unlock"))
            for name, found in self._all("unlocked", others[:1], machines=(holder,)).items():
                if not found["free"]:
                    raise ProofFailed(f"{name} doesn't get the lock that {holder} has given up: locks get stuck "
                                      f"({self.looked.mounts(holder, name)}). {LOCKS}")
        return "as QEMU takes it, held by each in turn" + self._alone

    def link(self) -> str:
        first = [name for name, found in self._all("link").items() if found["first"]]
        if len(first) != 1:
            raise ProofFailed(f"of all machines exactly one may make a name, and {', '.join(first) or 'none'} did: the "
                              f"file system's link() can't be relied on ({self.looked.mounts(*first)})")
        return f"{first[0]} was first"

    def replace(self) -> str:
        for holder in self.machines:
            self.ask(holder, self._asked("replace"))
            for name, found in self._all("replaced", machines=(holder,)).items():
                if not found["seen"]:
                    raise ProofFailed(f"{name} still sees the file that {holder} has replaced "
                                      f"({self.looked.mounts(holder, name)})")
        return "and every machine sees the new one"

    def end(self) -> str:
        self._all("end")
        self.wrote = False
        return f"{self.looked.free_gib} GiB are free"

    def note(self) -> str:
        self._all("note", id=self.id)
        return "machines mounted otherwise later on start nothing there"

    def clear(self) -> None:
        """Leave nothing, also after a failure."""
        if self.wrote:
            for name in self.machines:
                try:
                    self.ask(name, self._asked("end"))
                except NotDone:
                    continue

    # -- how

    @property
    def _alone(self) -> str:
        return "; there is one machine: run `stackling storage check` when there are more" if len(
            self.machines) == 1 else ""

    def _asked(self, step: str, **more: Any) -> dict[str, Any]:
        return {"step": step, "path": str(self.path), "trial": self.trial, **more}

    def _all(self, step: str, by: Sequence[str] | None = None, **more: Any) -> dict[str, Mapping[str, Any]]:
        """The answers of the machines *by* (all of them), which are asked at once."""
        names, asked = self.machines if by is None else tuple(by), self._asked(step, **more)
        if not names:
            return {}
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(lambda name: self.ask(name, asked), names), strict=True))


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())
