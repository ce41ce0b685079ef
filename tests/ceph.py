"""A real Ceph cluster for tests, with the pools and users that Stackling makes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stackling.deploy.ceph.rights import Pools, User, images_user, machine_user, volumes_user
from stackling.drivers.ceph.client import CephAccess
from stackling.lab.ceph import Ceph

CEPHFS = all(map(shutil.which, ("ceph-osd", "ceph-mds", "ceph-fuse"))) and os.access("/dev/fuse", os.W_OK)
INSTALLED = shutil.which("ceph-osd") is not None and shutil.which("rbd") is not None
POOLS = Pools()


@dataclass(frozen=True)
class RealCeph:
    """A running cluster."""

    ceph: Ceph

    def access(self, user: User) -> CephAccess:
        """A user with its keyring, made where it is missing."""
        directory = self.ceph.directory / "clients"
        directory.mkdir(exist_ok=True, mode=0o755)
        keyring, conf = directory / f"{user.entity}.keyring", directory / f"{user.name}.conf"
        keyring.touch(mode=0o600)
        keyring.write_text(self.ceph.command("auth", "get-or-create", user.entity, *user.caps))
        conf.write_text(f"{self.ceph.conf.read_text()}\n[{user.entity}]\nkeyring = {keyring}\n")
        return CephAccess(conf, user.name, keyring)

    @property
    def images(self) -> CephAccess:
        """Control's access."""
        return self.access(images_user(POOLS))

    @property
    def volumes(self) -> CephAccess:
        """Control's access for volumes."""
        return self.access(volumes_user(POOLS))

    def machine(self, name: str = "m1") -> CephAccess:
        """A machine's access."""
        return self.access(machine_user(name, POOLS))

    def rbd(self, *words: str) -> str:
        """``rbd`` as the administrator."""
        return self.run("rbd", "-c", str(self.ceph.conf), "-k", str(self.ceph.admin_keyring), *words).decode()

    def run(self, *words: str) -> bytes:
        """A command where the cluster can be reached; its output."""
        enter = ("nsenter", f"--net=/run/netns/{self.ceph.netns}", "--") if self.ceph.netns else ()
        return subprocess.run([*enter, *words], check=True, capture_output=True, timeout=60).stdout

    def head(self, pool: str, name: str, length: int = 1024) -> bytes:
        """The first bytes of a disk, whoever writes it."""
        access = self.machine("reader")
        with tempfile.NamedTemporaryFile(dir=self.ceph.directory) as file:
            self.run("qemu-img", "dd", "-f", "raw", "-O", "raw", f"bs={length}", "count=1",
                     f"if=rbd:{pool}/{name}:id={access.user}:conf={access.conf}", f"of={file.name}")
            return Path(file.name).read_bytes()

    def left(self) -> list[str]:
        """Every RBD image and object of ours in the pools, trash included; Ceph's own bookkeeping aside."""
        found: list[str] = []
        for pool in POOLS.all:
            found += [f"{pool}/{line}" for line in self.rbd("ls", pool).split()]
            found += [f"{pool} trash {line}" for line in self.rbd("trash", "ls", "--all", pool).splitlines()]
        return found


@contextlib.contextmanager
def bare_ceph(address: str = "127.0.0.1", netns: str | None = None, osds: int = 1, gib: int = 2, monitors: int = 1,
              store: Literal["memstore", "bluestore"] = "memstore") -> Iterator[RealCeph]:
    """A cluster in memory, of which it takes what is written; several at once have ports of their own. An OSD of
    ``bluestore`` has its data again after a death."""
    port = 13000 + os.getpid() % 40 * 400
    directory = Path(tempfile.mkdtemp(prefix="stk-ceph-", dir="/dev/shm"))
    found = RealCeph(Ceph(directory, address, netns, monitors, osds, store, port, gib << 30))
    try:
        found.ceph.start()
        yield found
    finally:
        found.ceph.signal("*", signal.SIGCONT)      # a test may have stopped them
        found.ceph.stop(signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def real_ceph(address: str = "127.0.0.1", netns: str | None = None, osds: int = 1) -> Iterator[RealCeph]:
    """The same, with pools."""
    with bare_ceph(address, netns, osds) as found:
        for pool in POOLS.all:
            found.ceph.command("osd", "pool", "create", pool, "8")
            found.ceph.command("osd", "pool", "application", "enable", pool, "rbd")
        yield found


@dataclass(frozen=True)
class CephFs:
    """A file system in a cluster."""

    ceph: Ceph
    keyring: Path

    def mount(self, at: Path) -> str:
        """The shell command that mounts it, as a client of its own."""
        return (f"ceph-fuse -c {self.ceph.conf} --id shared -k {self.keyring} --log-file=/dev/null "
                f"--admin-socket= {at} </dev/null 2>&1")


@contextlib.contextmanager
def real_cephfs() -> Iterator[CephFs]:
    """A cluster with a metadata server and a file system."""
    with bare_ceph() as found:
        ceph = found.ceph
        for pool in ("fs-metadata", "fs-data"):
            ceph.command("osd", "pool", "create", pool, "8")
        ceph.command("fs", "new", "fs", "fs-metadata", "fs-data")
        (ceph.directory / "mds.a").mkdir()
        own, keyring = ceph.directory / "mds.a/keyring", ceph.directory / "shared.keyring"
        own.touch(mode=0o600)
        own.write_text(ceph.command("auth", "get-or-create", "mds.a", "mon", "allow profile mds", "osd", "allow rwx",
                                    "mds", "allow *", "mgr", "allow profile mds"))
        ceph._daemon("mds", "a", "--keyring", str(own), "--mds-data", str(ceph.directory / "mds.a"),   # pyright: ignore[reportPrivateUsage]
                     "--mds-cache-memory-limit", "67108864")
        keyring.touch(mode=0o600)
        keyring.write_text(ceph.command("fs", "authorize", "fs", "client.shared", "/", "rw"))
        deadline = time.monotonic() + 60
        while "up:active" not in ceph.command("mds", "stat"):
            assert time.monotonic() < deadline, "the metadata server doesn't start"
            time.sleep(0.2)
        yield CephFs(ceph, keyring)
