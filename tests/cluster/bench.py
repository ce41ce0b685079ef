"""Three machines made of network namespaces; each has a root directory, and interfaces eth0 (management), eth1 (tenant)
and eth2 (external), whose bridges are in a namespace of their own.

For the engines that listen on addresses only; what needs a whole machine is tested in the lab.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from stackling.deploy.cluster import apply, pki
from stackling.deploy.cluster import secrets as cluster_secrets
from stackling.deploy.cluster.description import Cluster, External, Machine, write
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.unit import directory as unit_directory
from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.namespaces import ip

HARD_LIMIT = 180.0


def eventually(check: Callable[[], object], timeout: float = HARD_LIMIT, every: float = 0.1) -> None:
    """Wait until *check* is true; fail the test after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"still not true after {timeout} s"
        time.sleep(every)


class Bench:
    """A context manager: the network, the files that every engine needs, and the processes started."""

    def __init__(self, machines: int = 3) -> None:
        self.tag = f"stk-c{secrets.token_hex(2)}"
        self.names = [f"m{number}" for number in range(1, machines + 1)]
        self.cluster = Cluster(name="bench", virtual_ip="10.79.0.100/24", machines=tuple(
            Machine(name=name, address=f"10.79.0.{number}", tenant=f"10.79.1.{number}")
            for number, name in enumerate(self.names, 1)), external=External(device="eth2"))
        self.directory = Path(tempfile.mkdtemp(prefix=self.tag, dir="/var/tmp"))
        self.directory.chmod(0o755)
        self.secrets = cluster_secrets.make(self.cluster)
        self.authority = pki.make_authority(self.cluster.name)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Bench:
        try:
            self._wire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wire(self) -> None:
        namespaces.make(self.switch)
        for number in range(3):
            ip(self.switch, "link", "add", "name", f"bridge{number}", "type", "bridge")
            ip(self.switch, "link", "set", f"bridge{number}", "up")
        for name in self.names:
            self._machine(name)

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)
        for name in (*self.names, "switch"):
            namespaces.delete(self.netns(name))
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def switch(self) -> str:
        return self.netns("switch")

    def netns(self, name: str) -> str:
        return f"{self.tag}-{name}"

    def paths(self, name: str) -> Paths:
        return Paths(self.directory / name)

    def put(self, files: list[ConfigFile]) -> None:
        apply.apply(files)

    def end(self, name: str, network: int) -> str:
        """The far end of a machine's interface."""
        return f"to-{name}-{network}"

    def cut(self, name: str, *networks: int) -> None:
        """Nothing goes in or out any more, by any network or by *networks*."""
        for network in networks or range(3):
            ip(self.switch, "link", "set", self.end(name, network), "down")

    def heal(self, name: str) -> None:
        for network in range(3):
            ip(self.switch, "link", "set", self.end(name, network), "up")

    def start(self, key: str, machine: str, *argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Run *argv* on *machine* in a process group of its own; its output goes to ``<machine>/<key>.log``."""
        log = self.directory / machine / f"{key}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(("nsenter", f"--net=/run/netns/{self.netns(machine)}", "--", *argv), stdout=out,
                                       stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                                       env={**os.environ, **(env or {})})
        self.processes[key] = process
        return process

    def start_unit(self, name: str, machine: str) -> None:
        """What systemd does for the unit *name*, which must be of a simple type."""
        entries = self._entries(name, machine)
        env = dict(word.split("=", 1) for one in entries.get("Environment", ()) for word in shlex.split(one))
        for command in entries.get("ExecStartPre", ()):
            self.run(machine, *shlex.split(command.lstrip("+-")), env=env)
        for path in entries.get("EnvironmentFile", ()):
            env |= dict(line.split("=", 1) for line in Path(path).read_text().splitlines())
        argv = [word for one in shlex.split(entries["ExecStart"][0])
                for word in (env[one[1:]].split() if one.startswith("$") else [one])]
        if user := entries.get("User"):
            argv = ["setpriv", f"--reuid={user[0]}", f"--regid={user[0]}", "--init-groups", "--", *argv]
        self.start(self.key(name, machine), machine, *argv, env=env)
        for command in entries.get("ExecStartPost", ()):
            self.run(machine, *shlex.split(command), env=env)

    def key(self, unit: str, machine: str) -> str:
        """The name of a unit's process."""
        return f"{unit.removesuffix('.service').removeprefix('stackling-')}-{machine}"

    def run(self, machine: str, *argv: str, env: dict[str, str] | None = None, timeout: float = 60.0) -> str:
        """Run a command on *machine* to its end."""
        done = subprocess.run(("nsenter", f"--net=/run/netns/{self.netns(machine)}", "--", *argv), check=False,
                              capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})
        assert done.returncode == 0, f"{argv}: {done.stderr or done.stdout}"
        return done.stdout

    def _entries(self, name: str, machine: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in (unit_directory(self.paths(machine)) / name).read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                found.setdefault(key, []).append(value)
        return found

    def log(self, key: str, machine: str) -> str:
        return (self.directory / machine / f"{key}.log").read_text(errors="replace")

    def kill(self, key: str) -> None:
        """SIGKILL the whole group, as the loss of power would."""
        process = self.processes.pop(key)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def terminate(self, key: str, timeout: float = 90.0) -> None:
        process = self.processes.pop(key)
        process.terminate()
        process.wait(timeout)

    def _machine(self, name: str) -> None:
        machine = self.cluster.machine(name)
        namespaces.make(self.netns(name))
        for number in range(3):
            end, device = self.end(name, number), f"eth{number}"
            ip(self.netns(name), "link", "add", device, "type", "veth", "peer", "name", end, "netns", self.switch)
            ip(self.switch, "link", "set", end, "master", f"bridge{number}", "up")
            namespaces.checksums_in_software(self.netns(name), device)
            if number < 2:
                address = machine.tenant_address if number else machine.address
                ip(self.netns(name), "addr", "add", f"{address}/24", "dev", device)
            ip(self.netns(name), "link", "set", device, "up")
        paths = self.paths(name)
        for directory in (paths.etc, paths.state, paths.run, paths.log):
            directory.mkdir(parents=True)
        paths.cluster.write_text(write(self.cluster))
        (paths.etc / "machine").write_text(f"{name}\n")
        self.put(cluster_secrets.files(self.secrets[name], paths))
        self.put(pki.files(pki.for_machine(self.authority, self.cluster, machine), paths))


@contextlib.contextmanager
def machines(number: int = 3) -> Iterator[Bench]:
    """A bench of *number* machines."""
    with Bench(number) as bench:
        yield bench
