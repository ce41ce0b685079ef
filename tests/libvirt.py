"""A libvirtd of a test's own: in a network namespace and a mount namespace, everything under a temporary directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stackling.deploy.embedded import guests, libvirt, namespaces
from stackling.deploy.embedded.libvirt import LibvirtPaths


class Libvirtd:
    """Started and killed at will, below a process that collects orphans as the supervisor does."""

    def __init__(self, directory: Path, netns: str) -> None:
        self.directory, self.netns = directory, netns
        self.paths = LibvirtPaths(directory / "libvirt", directory / "run", directory / "instances")
        self.pid = 0
        self._nursery = subprocess.Popen([sys.executable, "-m", "tests.nursery"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def start(self, ovs_socket: Path | None = None) -> Libvirtd:
        libvirt.prepare(self.paths, ovs_socket)
        self.paths.socket.unlink(missing_ok=True)
        spec = libvirt.process(self.paths, self.netns, kvm=False)
        output = self.directory / "libvirtd.out"
        assert self._nursery.stdin
        assert self._nursery.stdout
        request = {"argv": spec.command(), "env": dict(spec.env), "output": str(output)}
        self._nursery.stdin.write(json.dumps(request) + "\n")
        self._nursery.stdin.flush()
        self.pid = int(self._nursery.stdout.readline())
        deadline = time.monotonic() + 30
        while not self.paths.socket.exists():
            if not Path(f"/proc/{self.pid}").exists() or time.monotonic() > deadline:
                raise AssertionError(output.read_text())
            time.sleep(0.02)
        return self

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.pid:
            self.signal(signal.SIGKILL)
            while Path(f"/proc/{self.pid}").exists():
                time.sleep(0.01)
            self.pid = 0

    def pids(self) -> list[int]:
        """The guests' processes."""
        return sorted(guest.pid for guest in libvirt.guest_processes(self.paths))

    def end(self) -> None:
        guests.end_guests(self.paths, 0.0)
        self.kill()
        assert self._nursery.stdin
        self._nursery.stdin.close()
        self._nursery.wait(10)


@contextlib.contextmanager
def libvirtd(netns: str | None = None, ovs_socket: Path | None = None) -> Iterator[Libvirtd]:
    """A running one. The directory is short (sockets) and may be entered by QEMU's account.

    In a network namespace of its own, or in *netns*, which then is the caller's.
    """
    directory = Path(tempfile.mkdtemp(prefix="stk", dir="/var/tmp"))
    directory.chmod(0o755)
    own = netns or f"stk-t-{os.getpid()}"
    namespaces.make(own)
    server = Libvirtd(directory, own)
    try:
        yield server.start(ovs_socket)
    finally:
        server.end()
        if netns is None:
            namespaces.delete(own)
        shutil.rmtree(directory)
