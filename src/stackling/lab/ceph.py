"""A real Ceph cluster for labs and tests: monitors, a manager and OSDs, in one directory and one network namespace.

It stands outside of the machines, on the storage network, so that a machine's power loss is none of Ceph's. Every
daemon is found again by its pid file; ``stop`` ends them all, also after a crash of whoever started them, and
``start`` goes on with the data that is there.

Facts that the configuration rests on: a ``keyring`` in ``[global]`` silently breaks cephx between monitors, so each
section has its own; each OSD is a CRUSH host of its own, so that one machine can hold several copies; the manager
runs without its modules (they cost memory), which is a warning that is muted; ``mon osd min down reporters`` is one,
or two OSDs would never find each other dead; a lone OSD that slept longer than its read lease may stay "laggy" for
ever, since only another copy's answer has it look again, so that its lease is a long one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stackling.lab import units

READY_WITHIN = 60.0
STOP_WITHIN = 15.0
_MODULES = (
    "alerts,balancer,cephadm,crash,dashboard,devicehealth,diskprediction_local,influx,insights,iostat,k8sevents,"
    "localpool,mds_autoscaler,mirroring,nfs,orchestrator,osd_perf_query,osd_support,pg_autoscaler,progress,prometheus,"
    "rbd_support,restful,rook,selftest,snap_schedule,stats,status,telegraf,telemetry,test_orchestrator,volumes,zabbix")
_CONF = """\
[global]
fsid = {fsid}
mon host = {monitors}
public addr = {address}
cluster addr = {address}
ms bind msgr1 = false
ms bind msgr2 = true
ms bind port min = {port_min}
ms bind port max = {port_max}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
run dir = {run}
admin socket = {run}/$cluster-$name.$pid.asok
crash dir = {directory}/crash
osd pool default size = {copies}
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
osd memory target = 939524096
mgr initial modules =
mgr disabled modules = {modules}
paxos propose interval = 0.05
paxos min wait = 0.02
mgr stats period = 1
mgr tick period = 1
mon data avail warn = 5
mon data avail crit = 2
[mon]
mon data = {directory}/mon.$id
keyring = {directory}/mon.$id/keyring
log file = {directory}/log/$name.log
mon allow pool delete = true
mon osd min down reporters = 1
mon osd down out interval = 30
[mgr]
mgr data = {directory}/mgr.$id
keyring = {directory}/mgr.$id/keyring
log file = {directory}/log/$name.log
[osd]
osd data = {directory}/osd.$id
keyring = {directory}/osd.$id/keyring
log file = {directory}/log/$name.log
osd objectstore = {store}
memstore device bytes = {memory}
bluestore block size = 10737418240
bluestore cache autotune = false
bluestore cache size = 67108864
osd heartbeat interval = 2
osd heartbeat grace = 8
osd op num shards = 2
osd op num threads per shard = 1
osd max pg log entries = 500
osd min pg log entries = 100
osd class update on start = false
osd pool default read lease ratio = {lease}
"""


class CephFailed(Exception):
    """A daemon or a command of the cluster failed; the message holds its words."""


@dataclass(frozen=True, slots=True)
class Ceph:
    """A cluster. *address*, in *netns* (None: ours), is where every daemon listens, on ports from *port* on.

    *store*: ``memstore`` keeps data in memory and loses it with the OSD's process; ``bluestore`` keeps it in files.
    """

    directory: Path
    address: str = "127.0.0.1"
    netns: str | None = None
    monitors: int = 1
    osds: int = 1
    store: Literal["memstore", "bluestore"] = "memstore"
    port: int = 13300
    memory: int = 2 << 30

    @property
    def conf(self) -> Path:
        """``ceph.conf`` of daemons and clients."""
        return self.directory / "ceph.conf"

    @property
    def admin_keyring(self) -> Path:
        """Of ``client.admin`` (0600)."""
        return self.directory / "ceph.client.admin.keyring"

    def command(self, *words: str, timeout: float = 30.0, input: str | None = None) -> str:
        """``ceph WORDS`` as the administrator. Raises ``CephFailed``."""
        return _run(("ceph", "-c", str(self.conf), "-k", str(self.admin_keyring), "--connect-timeout",
                     str(int(timeout)), *words), netns=self.netns, timeout=timeout + 5.0, input=input)

    def start(self) -> None:
        """Bring it up and wait until its OSDs serve. Nothing happens for daemons that run. Raises ``CephFailed``."""
        new = not self.conf.exists()
        if new:
            self._create()
        (self.directory / "run").mkdir(exist_ok=True)
        for name in self._monitors():
            self._daemon("mon", name, "--public-addr", self._address_of(name))
        self._daemon("mgr", "x")
        for number in range(self.osds):
            if new:
                self.command("osd", "new", (self.directory / f"osd.{number}" / "uuid").read_text(), str(number))
            self._daemon("osd", str(number), "--crush-location", f"root=default host=osd-{number}")
        if new:
            self.command("health", "mute", "MGR_MODULE_ERROR", "--sticky")
        self._wait()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End every daemon, with SIGKILL where the signal isn't enough. May be called at any time."""
        running = dict(self.daemons())
        for pid in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_WITHIN
        while living := [pid for pid in running.values() if units.state(pid) not in "ZX"]:
            if time.monotonic() > deadline:
                for pid in living:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for path in self.directory.glob("pid/*"):
            path.unlink(missing_ok=True)

    def daemons(self) -> Iterator[tuple[str, int]]:
        """(``osd.0``, pid) of each daemon that runs."""
        for path in sorted(self.directory.glob("pid/*")):
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                if self._is_ours(pid):
                    yield path.name, pid

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a daemon (``osd.0``), or to all (``*``). After SIGSTOP they have stopped."""
        for each, pid in self.daemons():
            if name in (each, "*"):
                with contextlib.suppress(ProcessLookupError):
                    units.halt(pid) if number == signal.SIGSTOP else os.kill(pid, number)

    # -- how

    def _monitors(self) -> list[str]:
        return [f"m{number}" for number in range(self.monitors)]

    def _address_of(self, monitor: str) -> str:
        return f"v2:{self.address}:{self.port + int(monitor[1:])}"

    def _is_ours(self, pid: int) -> bool:
        try:
            return os.fsencode(str(self.conf)) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def _create(self) -> None:
        """Keys, configuration and empty stores. The configuration is written last: with it, the cluster exists."""
        for name in ("log", "run", "pid", "crash", "mgr.x", *(f"osd.{number}" for number in range(self.osds))):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        fsid = str(uuid.uuid4())
        conf = self.directory / "ceph.conf.new"
        conf.write_text(_CONF.format(
            fsid=fsid, address=self.address, directory=self.directory, run=self.directory / "run", store=self.store,
            monitors=",".join(f"[{self._address_of(name)}]" for name in self._monitors()), memory=self.memory,
            port_min=self.port + 100, port_max=self.port + 300, copies=min(2, self.osds), modules=_MODULES,
            lease=0.8 if self.osds > 1 else 100))
        keys = self._keys()
        monmap = self.directory / "monmap"
        addresses = [word for name in self._monitors() for word in ("--addv", name, f"[{self._address_of(name)}]")]
        _run(("monmaptool", "--create", "--clobber", "--fsid", fsid, *addresses, str(monmap)))
        for name in self._monitors():
            _run(("ceph-mon", "-c", str(conf), "--no-mon-config", "--mkfs", "-i", name, "--monmap", str(monmap),
                  "--keyring", str(keys)))
            _copy_secret(keys, self.directory / f"mon.{name}" / "keyring")
        makers = [subprocess.Popen(
            ("ceph-osd", "-c", str(conf), "-i", str(number), "--mkfs", "--osd-uuid", self._osd_uuid(number),
             "--monmap", str(monmap), "--no-mon-config"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for number in range(self.osds)]
        failed = [maker.wait(READY_WITHIN) for maker in makers]
        if any(failed):
            raise CephFailed(f"an OSD's store can't be made; see {self.directory}/log")
        conf.rename(self.conf)

    def _keys(self) -> Path:
        """The monitors' keyring, with every daemon's and the administrator's key in it."""
        keys = self.directory / "mon.keyring"
        entities = [("mon.", keys, {"mon": "allow *"}),
                    ("client.admin", self.admin_keyring, dict.fromkeys(("mon", "osd", "mds", "mgr"), "allow *")),
                    ("mgr.x", self.directory / "mgr.x" / "keyring",
                     {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"})]
        entities += [(f"osd.{number}", self.directory / f"osd.{number}" / "keyring",
                      {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"})
                     for number in range(self.osds)]
        for name, path, caps in entities:
            words = [word for service, cap in caps.items() for word in ("--cap", service, cap)]
            _run(("ceph-authtool", "--create-keyring", str(path), "--gen-key", "-n", name, *words))
            path.chmod(0o600)
            if path != keys:
                _run(("ceph-authtool", str(keys), "--import-keyring", str(path)))
        return keys

    def _osd_uuid(self, number: int) -> str:
        path = self.directory / f"osd.{number}" / "uuid"
        if not path.exists():
            path.write_text(str(uuid.uuid4()))
        return path.read_text()

    def _daemon(self, kind: str, name: str, *more: str) -> None:
        path = self.directory / "pid" / f"{kind}.{name}"
        with contextlib.suppress(OSError, ValueError):
            if self._is_ours(int(path.read_text())):
                return
        path.parent.mkdir(exist_ok=True)
        enter = ("nsenter", f"--net=/run/netns/{self.netns}", "--") if self.netns else ()
        with (self.directory / "log" / f"{kind}.{name}.out").open("ab") as output:
            child = subprocess.Popen(
                (*enter, f"ceph-{kind}", "-c", str(self.conf), "-i", name, *more, "-f"), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True)
        path.write_text(f"{child.pid}\n")
        child.returncode = 0        # it outlives us: nobody waits for it

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while True:
            with contextlib.suppress(CephFailed, ValueError):
                found = json.loads(self.command("osd", "stat", "-f", "json", timeout=10.0))
                if found.get("osdmap", found)["num_up_osds"] == self.osds:
                    return
            if time.monotonic() > deadline:
                raise CephFailed(f"the cluster isn't ready after {READY_WITHIN:g} s; see {self.directory}/log")
            time.sleep(0.1)


def _run(command: Sequence[str], *, netns: str | None = None, timeout: float = 60.0, input: str | None = None) -> str:
    enter = ("nsenter", f"--net=/run/netns/{netns}", "--") if netns else ()
    try:
        done = subprocess.run((*enter, *command), capture_output=True, text=True, timeout=timeout, check=False,
                              input=input, stdin=None if input is not None else subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise CephFailed(f"{command[0]} took longer than {timeout:g} s") from None
    except FileNotFoundError:
        raise CephFailed(f"{command[0]} isn't installed: run ./setup test") from None
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise CephFailed(f"{' '.join(command[:6])}: {words[-1] if words else done.returncode}")
    return done.stdout


def _copy_secret(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
