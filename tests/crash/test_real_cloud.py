"""Every process of a real cloud is killed, paused or robbed of its data, while servers run and are built."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from stackling.cli import output, quickstart
from stackling.deploy.embedded import configuration, engines, ovn
from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.directory import StateDirectory
from tests.crash import zombie
from tests.crash.engine_pause import sleep_past_the_lease
from tests.crash.real_cloud import KEPT, OFF, Broken, boot_id, until
from tests.crash.test_restore import back_up, era, put_back, waiting
from tests.e2e.clouds import BIN, TestCloud, cloud

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.root, pytest.mark.slow]
ENGINES = ("ovn-controller", "ovn-northd", "ovn-nb", "ovn-sb", "ovs-db", "ovs-vswitchd", "ovn-guard")
NOTHING_STARTS = 3.0        # seconds that an agent without control is watched


@pytest.fixture(scope="module")
def whole() -> Iterator[Broken]:
    with cloud("--isolated") as made:
        made.run("quickstart", "--name", KEPT, timeout=300)
        made.run("launch", OFF, "--no-ip")
        broken = Broken(made)
        broken.act(OFF, "os-stop")
        broken.is_whole()
        yield broken


@pytest.fixture
def broken(whole: Broken) -> Iterator[Broken]:
    """The cloud; whole again after each test."""
    yield whole
    whole.is_whole()


# -- one process


@pytest.mark.parametrize("name", ["control-api", "control-engine", "agent", "libvirtd", "ovn-nb", "ovs-db",
                                  "ovs-vswitchd", "ovn-controller"])
def test_a_server_that_is_built_while_a_process_is_killed_becomes_active(broken: Broken, name: str) -> None:
    life = broken.life()
    id = broken.build(f"killed-{name}")
    pid = broken.kill(name)
    broken.back(name, pid)
    broken.cloud.eventually(broken.answers, bool, 15)
    broken.cloud.eventually(lambda: broken.server(id), lambda found: found["status"] == "ACTIVE", 90)
    actions = broken.client.get("compute", f"/servers/{id}/os-instance-actions")["instanceActions"]
    assert [action["action"] for action in actions] == ["create"]
    assert broken.life() == life


@pytest.mark.parametrize("name", ["control-api", "control-engine", "agent"])
def test_a_deletion_under_way_is_finished(broken: Broken, name: str) -> None:
    id = broken.build(f"deleted-{name}")
    broken.cloud.eventually(lambda: broken.server(id), lambda found: found["status"] == "ACTIVE", 90)
    broken.client.delete("compute", f"/servers/{id}")
    broken.back(name, broken.kill(name))
    broken.cloud.eventually(lambda: [server["id"] for server in broken.servers()], lambda ids: id not in ids, 60)
    broken.cloud.eventually(lambda: [path.name for path in broken.cloud.directory.instances.iterdir()],
                            lambda names: id not in names)


@pytest.mark.parametrize("name", ["agent", "libvirtd"])
def test_running_guests_are_adopted(broken: Broken, name: str) -> None:
    """The same QEMU, the same boot, a longer uptime; and it is really theirs again: it can be told to pause."""
    def uptime() -> float:
        return float(broken.login()("cut -d' ' -f1 /proc/uptime"))

    life, before = broken.life(), uptime()
    broken.back(name, broken.kill(name))
    assert broken.life() == life
    assert uptime() > before
    for action, status in (("pause", "PAUSED"), ("unpause", "ACTIVE")):
        broken.act(KEPT, action)
        broken.cloud.eventually(lambda: broken.server(KEPT)["status"], lambda found, want=status: found == want, 60)
    assert broken.life() == life


@pytest.mark.parametrize("name", ENGINES)
def test_traffic_is_back_after_the_network_lost_a_process(broken: Broken, name: str) -> None:
    life = broken.life()
    broken.back(name, broken.kill(name))
    broken.cloud.eventually(lambda: broken.login().answers, bool, 30)
    assert broken.life() == life
    broken.cloud.eventually(lambda: _guarded(broken), bool)


def _guarded(broken: Broken) -> bool:
    """Whether the flow that keeps guests from advertising routers is there."""
    bridge = broken.cloud.directory.run / "ovn" / "br-int.mgmt"
    done = subprocess.run(["ovs-ofctl", "dump-flows", f"unix:{bridge}", f"table={ovn.ND_TABLE}"], capture_output=True,
                          text=True, timeout=15, check=False)
    return "icmp_type=134" in done.stdout and "priority=65000" in done.stdout


def test_the_supervisor_is_replaceable(broken: Broken) -> None:
    life = broken.life()
    gone = broken.kill("supervisor")
    others = [one for one in broken.cloud.processes() if one[0] != gone]
    assert broken.life() == life
    broken.cloud.run("up")
    found = broken.cloud.processes()
    assert [one for one in found if one in others] == others
    assert {name for _, name in found} == {name for _, name in others} | {"supervisor"}
    assert broken.life() == life
    broken.back("agent", broken.kill("agent"))


def test_guests_keep_their_network_when_everything_but_them_is_killed(broken: Broken) -> None:
    """Nobody starts anything again, then ``up``: it finds the guests and leaves the network under them alone."""
    life, before = broken.life(), boot_id(broken.cloud)
    os.kill(broken.cloud.pid("supervisor"), signal.SIGKILL)
    for pid, _ in broken.cloud.processes():
        os.kill(pid, signal.SIGKILL)
    broken.cloud.eventually(broken.cloud.processes, lambda left: not left)
    assert len(broken.qemus()) == 1
    broken.cloud.run("up")
    broken.cloud.eventually(lambda: broken.login().answers, bool, 60)
    assert broken.life() == life
    assert boot_id(broken.cloud) == before


# -- everything


def test_after_a_power_cut_nothing_starts_before_control_has_spoken(broken: Broken) -> None:
    """An agent that finds a new boot and no control starts no guest, not even those that its ledger names."""
    life, before, directory = broken.life(), boot_id(broken.cloud), broken.cloud.directory
    broken.kill_everything()
    log = directory.log_file("agent")
    log.write_text("")
    with (directory.run / "first-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)        # control waits for it before it serves
        up = subprocess.Popen([str(BIN / "stackling"), "up", "--state-dir", str(directory.root)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            broken.cloud.eventually(lambda: engines.libvirt_paths(directory).socket.exists(), bool)
            broken.cloud.eventually(lambda: boot_id(broken.cloud), lambda now: now != before)
            alone(broken, log)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            said = up.communicate(timeout=90)[1]
    assert up.returncode == 0, said
    assert boot_id(broken.cloud) != before
    broken.cloud.eventually(lambda: broken.login().answers, bool, 90)
    now = broken.life()
    assert now[0] != life[0]
    assert now[1] != life[1]
    assert len(broken.qemus()) == 1, "the stopped server stays stopped"


def alone(broken: Broken, log: Path) -> None:
    """Watch an agent that nobody answers."""
    config = broken.cloud.directory.root / "agent.toml"
    broken.cloud.eventually(lambda: virsh(broken, check=False), lambda names: len(names) == 2)
    agent = subprocess.Popen([sys.executable, "-I", "-m", "stackling.main.agent", "--config", str(config)])
    try:
        until(log, "agent of", 30)
        until(log, "no document for", 30)
        deadline = time.monotonic() + NOTHING_STARTS
        while time.monotonic() < deadline:
            assert broken.qemus() == {}
            time.sleep(0.1)
        assert len(virsh(broken)) == 2
    finally:
        agent.terminate()
        assert agent.wait(20) == 0


def virsh(broken: Broken, *, check: bool = True) -> list[str]:
    """The domains that libvirt knows."""
    done = subprocess.run(["virsh", "--connect", engines.libvirt_paths(broken.cloud.directory).uri, "list", "--all",
                           "--name"], capture_output=True, text=True, check=check, timeout=60)
    return done.stdout.split()


def test_a_cloud_that_was_down_comes_back_without_its_ovn_databases(broken: Broken) -> None:
    broken.cloud.run("down")
    for name in ("nb", "sb"):
        (broken.cloud.directory.ovn / f"{name}.db").unlink()
    broken.cloud.run("up")
    broken.cloud.eventually(lambda: broken.login().answers, bool, 90)


def test_ovn_databases_that_are_lost_under_way_are_rebuilt(broken: Broken) -> None:
    """Both databases start again empty; guests run on, and all that was asked for is put there again."""
    life, directory = broken.life(), broken.cloud.directory
    before = set(broken.generations())
    with broken.stopped("supervisor"):
        pids = {name: broken.kill(name) for name in ("ovn-nb", "ovn-sb")}
        for name in ("nb", "sb"):
            file = directory.ovn / f"{name}.db"
            file.unlink()
            run("ovsdb-tool", "create", str(file), f"/usr/share/ovn/ovn-{name}.ovsschema")
    for name, pid in pids.items():
        broken.back(name, pid)
    lost = {row for row in before if not row.startswith("Copp")}
    broken.cloud.eventually(lambda: lost - set(broken.generations()), lambda missing: not missing, 150)
    broken.cloud.eventually(lambda: broken.login().answers, bool, 60)
    assert broken.life() == life


def test_an_older_database_is_put_back_alone(broken: Broken, tmp_path: Path) -> None:
    """OVN, the agent's ledger and libvirt hold younger generations of everything; none of them refuses it."""
    cloud, copy = broken.cloud, tmp_path / "copy"
    client, server = broken.client, broken.server(KEPT)["id"]
    network = client.get("network", "/ports", device_id=server)["ports"][0]["network_id"]
    path, name = f"/networks/{network}", client.get("network", f"/networks/{network}")["network"]["name"]
    back_up(cloud, copy)
    for number in range(5):
        client.put("network", path, {"network": {"name": f"younger-{number}"}})
        client.put("compute", f"/servers/{server}/metadata", {"metadata": {"younger": str(number)}})
    added = client.post("network", "/ports", {"port": {"network_id": network}})["port"]["id"]
    client.post("compute", f"/servers/{server}/os-interface", {"interfaceAttachment": {"port_id": added}})
    cloud.eventually(lambda: client.get("compute", f"/servers/{server}/os-interface")["interfaceAttachments"],
                     lambda found: [one["port_state"] for one in found] == ["ACTIVE", "ACTIVE"])
    broken.act(KEPT, "os-stop")
    cloud.eventually(lambda: broken.server(KEPT)["status"], lambda status: status == "SHUTOFF")
    cloud.eventually(lambda: switches(broken)[network], lambda found: found == "younger-4")
    put_back(cloud, copy)
    cloud.eventually(lambda: switches(broken)[network], lambda found: found == name, 30)
    cloud.eventually(lambda: broken.login().answers, bool, 90)
    cloud.eventually(lambda: waiting(cloud), lambda left: not left)
    assert era(cloud) == 2
    client = broken.client
    client.put("network", path, {"network": {"name": "goes on"}})
    cloud.eventually(lambda: switches(broken)[network], lambda found: found == "goes on", 30)
    client.put("network", path, {"network": {"name": name}})
    broken.act(KEPT, "pause")
    cloud.eventually(lambda: broken.server(KEPT)["status"], lambda status: status == "PAUSED", 30)
    broken.act(KEPT, "unpause")


# -- libvirt


def why(broken: Broken, name: str) -> str:
    """What ``explain`` says that the server waits for."""
    return str((broken.cloud.stackling("explain", name)[0]["work"] or {}).get("reason"))


def test_without_libvirt_a_server_says_what_it_waits_for(broken: Broken) -> None:
    with broken.stopped("supervisor"):          # nobody starts it again
        pid = broken.kill("libvirtd")
        broken.act(OFF, "os-start")
        broken.cloud.eventually(lambda: why(broken, OFF), lambda text: "libvirt" in text, 45)
        assert broken.server(OFF)["OS-EXT-STS:task_state"] == "powering-on"
        id = broken.build("without-libvirt")
        broken.cloud.eventually(lambda: why(broken, id), lambda text: "libvirt" in text, 45)
        assert broken.login().answers, "guests don't need libvirt"
    broken.back("libvirtd", pid)
    broken.cloud.eventually(lambda: {broken.server(name)["status"] for name in (OFF, "without-libvirt")},
                            lambda statuses: statuses == {"ACTIVE"}, 90)
    broken.act(OFF, "os-stop")


def test_a_libvirt_that_hangs_is_noticed(broken: Broken) -> None:
    with broken.stopped("libvirtd"):
        broken.act(OFF, "os-start")
        broken.cloud.eventually(lambda: why(broken, OFF), lambda text: "libvirt" in text, 75)
    broken.cloud.eventually(lambda: broken.server(OFF)["status"], lambda status: status == "ACTIVE", 90)
    broken.act(OFF, "os-stop")


# -- a full disk


def test_a_full_disk_under_the_image_cache_holds_a_server_up_with_a_reason(broken: Broken) -> None:
    cache = broken.cloud.directory.root / "libvirt" / "images"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=711", "full", str(cache)], check=True, timeout=10)
    try:
        id = broken.build("cramped")
        broken.cloud.eventually(lambda: why(broken, id), lambda text: "image cache of this host is full" in text, 45)
        assert broken.server(id)["status"] == "BUILD"
        assert broken.answers()
        assert broken.login().answers
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True, timeout=10)
    broken.cloud.eventually(lambda: broken.server(id)["status"], lambda status: status == "ACTIVE", 90)


def test_a_full_disk_under_the_servers_holds_them_up_with_a_reason() -> None:
    with tempfile.TemporaryDirectory(prefix="stk-e2e-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        made = TestCloud(StateDirectory.at(Path(folder) / "state"))
        small, disk = made.directory.instances, Path(folder) / "disk"
        small.mkdir(parents=True)
        with disk.open("wb") as file:
            file.truncate(3 << 30)
        run("mkfs.ext4", "-q", "-m", "0", str(disk))
        run("mount", "-o", "loop", str(disk), str(small))
        try:
            made.run("up", "--isolated")
            broken = Broken(made)
            quickstart.ensure_image(broken.client, output.Steps(quiet=True), simulated=False)
            filler = small / "filler"
            with filler.open("wb") as file:
                free = os.statvfs(small)
                os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (16 << 20))
            made.run("launch", KEPT, "--no-ip", "--no-wait")
            made.eventually(lambda: why(broken, KEPT), lambda text: "instance directory of this host is full" in text,
                            45)
            assert broken.server(KEPT)["status"] == "BUILD"
            assert broken.qemus() == {}
            said = made.run("launch", KEPT, "--no-ip", check=False)
            assert said.returncode == 1
            assert f"MiB are free in {small}: make room there and it goes on by itself" in said.stderr.splitlines()[-1]
            filler.unlink()
            made.eventually(lambda: broken.server(KEPT)["status"], lambda status: status == "ACTIVE", 90)
        finally:
            made.run("down", check=False)
            run("umount", str(small))
            made.run("purge")
        assert made.processes() == []


# -- a worker that slept


@pytest.mark.parametrize("then", ["changed", "deleted"])
def test_a_worker_that_slept_past_its_lease_changes_nothing(broken: Broken, then: str) -> None:
    """It stopped just before its change of OVN; meanwhile another worker has done a newer one."""
    client = broken.client
    id = client.post("network", "/networks", {"network": {"name": "slept"}})["network"]["id"]
    broken.cloud.eventually(lambda: marks(broken, id), lambda found: found and not removed(found))
    with Sleeper(broken.cloud, "network") as sleeper:
        with broken.stopped("control-engine"):
            client.post("network", "/subnets", {"subnet": {
                "network_id": id, "ip_version": 4, "cidr": "192.0.2.0/24"}})
            sleeper.fall_asleep(broken, id)
        if then == "deleted":
            client.delete("network", f"/networks/{id}")
            broken.cloud.eventually(lambda: marks(broken, id), removed, 60)
        else:
            client.post("network", "/subnets", {"subnet": {
                "network_id": id, "ip_version": 4, "cidr": "198.51.100.0/24"}})
            broken.cloud.eventually(lambda: client.get("network", f"/networks/{id}")["network"]["status"],
                                    lambda status: status == "ACTIVE", 60)
            broken.cloud.eventually(lambda: broken.ovn("ovn-nbctl", "list", "DHCP_Options"),
                                    lambda text: "198.51.100.0/24" in text, 60)
        rows = broken.generations()
        assert sleeper.wake_up() == "refused"
    assert broken.generations() == rows
    if then == "changed":
        client.delete("network", f"/networks/{id}")
        broken.cloud.eventually(lambda: marks(broken, id), removed, 60)


def test_what_a_sleeper_makes_after_its_deletion_is_found_and_removed(broken: Broken) -> None:
    """Nothing of the network had ever been in OVN when it was deleted, so nothing could refuse the sleeper."""
    client = broken.client
    with Sleeper(broken.cloud, "network") as sleeper:
        with broken.stopped("control-engine"):
            id = client.post("network", "/networks", {"network": {"name": "late"}})["network"]["id"]
            sleeper.fall_asleep(broken, id)
        client.delete("network", f"/networks/{id}")
        broken.cloud.eventually(lambda: work(broken, id), lambda left: left == 0, 60)
        assert sleeper.wake_up() in ("written", "refused")
    broken.cloud.eventually(lambda: marks(broken, id), lambda found: not found or removed(found), 100)


def test_the_engine_itself_sleeps_past_its_lease_while_another_works(broken: Broken) -> None:
    """The process that is shipped, with the lease that it has; what it had begun is taken over."""
    lease = configuration.read(broken.cloud.directory.configuration).engine_lease
    assert lease == 60
    life = broken.life()
    sleep_past_the_lease(broken.cloud, lease, lambda: switches(broken))
    assert broken.life() == life


def switches(broken: Broken) -> dict[str, str]:
    """The name of each network in OVN, by its id."""
    text = broken.ovn("ovn-nbctl", "--format=json", "--columns=external_ids", "list", "Logical_Switch")
    found = [dict(row[0][1]) for row in json.loads(text)["data"]]
    return {marks["stackling:id"]: marks.get("stackling:name", "") for marks in found if "stackling:id" in marks}


def marks(broken: Broken, id: str) -> list[dict[str, str]]:
    """Our marks on every row of OVN that names *id*."""
    return [found for found in broken.generations().values() if id in found.values()]


def removed(found: list[dict[str, str]]) -> bool:
    """Whether nothing but a fence is left."""
    return bool(found) and all("stackling:removed" in mark for mark in found)


def work(broken: Broken, id: str) -> int:
    """How many rows of the engine's queue there are for *id*: none once it is deleted for good."""
    database = sqlite3.connect(f"file:{broken.cloud.directory.database}?mode=ro", uri=True)
    with contextlib.closing(database):
        return database.execute("SELECT count(*) FROM work WHERE id = ?", (id,)).fetchone()[0]


class Sleeper:
    """``zombie.py`` as a process that is ready to claim."""

    def __init__(self, cloud: TestCloud, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", zombie.__name__, str(cloud.directory.root), kind], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])

    def __enter__(self) -> Self:
        assert self._says() == "ready"
        return self

    def fall_asleep(self, broken: Broken, id: str) -> None:
        """Let it work until it has stopped itself, holding the claim of *id*."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        assert self._says().split()[1] == id
        stat = Path(f"/proc/{self._process.pid}/stat")
        broken.cloud.eventually(lambda: stat.read_text().rpartition(")")[2].split()[0], lambda state: state == "T")

    def wake_up(self) -> str:
        """Let it go on; what became of its change."""
        os.kill(self._process.pid, signal.SIGCONT)
        said = self._says()
        assert self._process.wait(30) == 0
        return said

    def _says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


# -- the end


def test_down_after_all_that_leaves_nothing(whole: Broken) -> None:
    os.kill(whole.cloud.pid("supervisor"), signal.SIGKILL)
    whole.cloud.run("down")
    assert whole.cloud.processes() == []
    assert whole.qemus() == {}
    assert not list(Path("/run/netns").glob(f"{whole.cloud.directory.instance}*"))
