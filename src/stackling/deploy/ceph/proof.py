"""The proof that a machine can do with a Ceph cluster what Stackling needs, and nothing that it mustn't.

Everything is done as the users that the cloud has, by the drivers that it uses, with names of its own that are
removed again. It changes nothing else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import IMAGES_USER, VOLUMES_USER, Pools, machine_user_name
from stackling.drivers.ceph import keyring
from stackling.drivers.ceph.client import CephAccess, CephClient, CephError
from stackling.drivers.ceph.keyring import Login

SIZE = 4 << 20
WRITTEN = b"\xab" * 65_536          # 171
REFUSED = "as it must be"
NOBODY = "192.0.2.1:0/0"            # an address of the range for documentation


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried."""

    what: str
    ok: bool
    detail: str
    seconds: float


class ProofFailed(Exception):
    """What was tried didn't work, in words."""


def prove(files: CephFiles, pools: Pools, machine: str, *, control: bool = True) -> list[Check]:
    """Try everything, in order; what follows a failure may fail because of it. *control*: it may write images here."""
    with contextlib.ExitStack() as stack:
        proof = _Proof(files, pools, machine, control, stack)
        steps: list[tuple[str, Callable[[], str]]] = [("the cluster answers", proof.answers)]
        if control:
            steps += [("an image is written", proof.write_image), ("machines are shut out and let in", proof.shut_out),
                      ("control can't write disks", proof.control_writes_no_disk),
                      ("a volume is made", proof.make_volume),
                      ("who makes volumes can't write images", proof.volumes_write_no_image)]
        steps += [("a disk is made", proof.make_disk), ("QEMU writes it and reads it back", proof.qemu),
                  ("what QEMU wrote is read back", proof.read_back)]
        if control:
            steps += [("QEMU writes the volume", proof.qemu_volume), ("a snapshot of it is kept", proof.snapshot)]
        steps += [("machines can't write images", proof.no_image), ("machines can't make volumes", proof.no_volume),
                  ("a wrong key is refused", proof.wrong_key), ("nothing is left", proof.clean)]
        found: list[Check] = []
        for what, step in steps:
            found.append(_tried(what, step))
            if not found[0].ok:         # nothing else could work
                break
        return found


def refused(conf: Path, login: Login) -> Check:
    """Whether the cluster lets somebody in no more."""
    def attempt() -> str:
        if _lets_in(conf, login):
            raise ProofFailed(f"the cluster lets client.{login.user} in")
        return REFUSED

    return _tried(f"the former key of client.{login.user} is refused", attempt)


def _lets_in(conf: Path, login: Login) -> bool:
    with tempfile.NamedTemporaryFile("w", prefix="stackling-", suffix=".keyring") as file:
        file.write(keyring.text(login))
        file.flush()
        client = CephClient(CephAccess(conf, login.user, Path(file.name)))
        try:
            client.quick("cluster")
        except CephError as error:
            if error.kind == "refused":
                return False
            raise
        finally:
            client.close()
    return True


def _tried(what: str, step: Callable[[], str]) -> Check:
    began = time.monotonic()
    try:
        detail, ok = step(), True
    except (CephError, ProofFailed, OSError) as error:
        detail, ok = str(error), False
    return Check(what, ok, detail, time.monotonic() - began)


class _Proof:
    def __init__(self, files: CephFiles, pools: Pools, machine: str, control: bool,
                 stack: contextlib.ExitStack) -> None:
        self.control = control
        self.files, self.pools, self.machine = files, pools, machine
        self.name = f"stackling-proof-{secrets.token_hex(4)}"
        self.data = os.urandom(SIZE)
        self.images = self._client(IMAGES_USER, stack)
        self.disks = self._client(machine_user_name(machine), stack)
        self.volumes = self._client(VOLUMES_USER, stack)
        self.began = self.cloned = False
        stack.callback(self._remove)

    def answers(self) -> str:
        self.disks.quick("names", pool=self.pools.disks)
        return f"cluster {self.disks.fsid}, seen from {self.disks.address}"

    def write_image(self) -> str:
        self.began = True
        handle = self.images.data("open_new", pool=self.pools.images, name=self.name)
        self.images.data("write", self.data, handle=handle, offset=0)
        self.images.data("finish", handle=handle, size=SIZE)
        self.images.data("close", handle=handle)
        self.images.quick("snapshot", pool=self.pools.images, name=self.name, snapshot="snap", protect=True)
        self.cloned = True
        return f"{SIZE >> 20} MiB in pool {self.pools.images} as client.{IMAGES_USER}"

    def shut_out(self) -> str:
        self.images.quick("blocklist_add", address=NOBODY, seconds=60)
        listed = any(entry["addr"] == NOBODY for entry in self.images.quick("blocklist"))
        self.images.quick("blocklist_remove", address=NOBODY)
        if not listed or any(entry["addr"] == NOBODY for entry in self.images.quick("blocklist")):
            raise ProofFailed("the blocklist doesn't show what was done")
        return f"as client.{IMAGES_USER}"

    def control_writes_no_disk(self) -> str:
        return self._refused(self.images, self.pools.disks)

    def make_volume(self) -> str:
        self.began = True
        if self.cloned:
            self.volumes.quick("clone", pool=self.pools.images, name=self.name, snapshot="snap",
                               to_pool=self.pools.volumes, to_name=self.name, size=2 * SIZE)
        else:
            self.volumes.quick("create", pool=self.pools.volumes, name=self.name, size=2 * SIZE)
        return f"in pool {self.pools.volumes} as client.{VOLUMES_USER}"

    def volumes_write_no_image(self) -> str:
        self._refused(self.volumes, self.pools.images)
        return self._refused(self.volumes, self.pools.disks)

    def make_disk(self) -> str:
        self.began = True
        if self.cloned:
            self.disks.quick("clone", pool=self.pools.images, name=self.name, snapshot="snap",
                             to_pool=self.pools.disks, to_name=self.name, size=2 * SIZE)
            handle = self.disks.data("open_old", pool=self.pools.disks, name=self.name)["handle"]
            found = self.disks.data("read", handle=handle, offset=0, length=SIZE)
            self.disks.data("close", handle=handle)
            if found != self.data:
                raise ProofFailed("a clone of the image doesn't hold what was written")
            return f"a clone of the image in pool {self.pools.disks} as {self._machine}"
        self.disks.quick("create", pool=self.pools.disks, name=self.name, size=2 * SIZE)
        return f"in pool {self.pools.disks} as {self._machine}"

    def qemu(self) -> str:
        return self._qemu(self.pools.disks)

    def qemu_volume(self) -> str:
        return f"{self._qemu(self.pools.volumes)} as {self._machine}"

    def snapshot(self) -> str:
        self.volumes.quick("snapshot", pool=self.pools.volumes, name=self.name, snapshot="kept")
        handle = self.volumes.data("open_old", pool=self.pools.volumes, name=self.name, snapshot="kept")["handle"]
        found = self.volumes.data("read", handle=handle, offset=SIZE, length=65_536)
        self.volumes.data("close", handle=handle)
        if found != WRITTEN:
            raise ProofFailed("the snapshot doesn't hold what QEMU wrote")
        return "with what QEMU wrote"

    def _qemu(self, pool: str) -> str:
        source = self.disks.access.source(pool, self.name)
        commands = ["-c", f"write -P 171 {SIZE} 65536", "-c", "flush", "-c", f"read -P 171 {SIZE} 65536"]
        try:
            done = subprocess.run(["qemu-io", "--image-opts", *commands, f"driver=raw,{source}"], capture_output=True,
                                  text=True, timeout=20.0, check=False, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise ProofFailed("QEMU took longer than 20 s") from None
        if done.returncode or "failed" in done.stdout:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise ProofFailed(f"{words[-1] if words else 'qemu-io failed'} (is qemu-block-extra installed?)")
        return "64 KiB through librbd"

    def read_back(self) -> str:
        handle = self.disks.data("open_old", pool=self.pools.disks, name=self.name)["handle"]
        found = self.disks.data("read", handle=handle, offset=SIZE, length=65_536)
        self.disks.data("close", handle=handle)
        if found != WRITTEN:
            raise ProofFailed("the disk doesn't hold what QEMU wrote")
        return "the same"

    def no_image(self) -> str:
        return self._refused(self.disks, self.pools.images)

    def no_volume(self) -> str:
        return self._refused(self.disks, self.pools.volumes)

    def wrong_key(self) -> str:
        if _lets_in(self.files.conf, Login(self.disks.access.now, "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==")):
            raise ProofFailed("the cluster lets anybody in: it doesn't use cephx")
        return REFUSED

    def clean(self) -> str:
        self._remove()
        for client, pool in self._made():
            if self.name in client.quick("names", pool=pool, prefix=self.name):
                raise ProofFailed(f"{pool}/{self.name} can't be removed")
        return "nothing of it is in the pools"

    # -- how

    @property
    def _machine(self) -> str:
        return f"client.{machine_user_name(self.machine)}"

    def _client(self, user: str, stack: contextlib.ExitStack) -> CephClient:
        client = CephClient(CephAccess(self.files.conf, user, self.files.keyring(user)))
        stack.callback(client.close)
        return client

    def _refused(self, client: CephClient, pool: str) -> str:
        try:
            client.quick("create", pool=pool, name=f"{self.name}-x", size=1)
        except CephError as error:
            if error.kind == "refused":
                return REFUSED
            raise
        client.quick("discard", pool=pool, name=f"{self.name}-x", delay=0)
        raise ProofFailed(f"it could write into pool {pool}: its rights are too wide")

    def _made(self) -> list[tuple[CephClient, str]]:
        """Who may remove what was made, and where; clones before what they were made of."""
        control = [(self.volumes, self.pools.volumes), (self.images, self.pools.images)] if self.control else []
        return [(self.disks, self.pools.disks), *control]

    def _remove(self) -> None:
        if not self.began:
            return
        self.began = False
        for client, pool in self._made():
            with _quiet():
                client.quick("discard", pool=pool, name=self.name, delay=0)
                client.long("purge", 30.0, pool=pool, prefixes=[self.name])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.suppress(CephError):
        yield
