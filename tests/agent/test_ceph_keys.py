"""A machine's Ceph key is rotated while its servers run, and servers go to a machine that has another key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.deploy.ceph import install, rotate
from stackling.deploy.ceph.admin import Admin
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import machine_user
from stackling.drivers.libvirt.domain import Platform
from stackling.drivers.libvirt.hypervisor import CephSecret, LibvirtHypervisor
from stackling.ports.document import Power, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import GuestDisks, RbdDisk
from tests.agent.conftest import AgentProcess
from tests.agent.test_ceph_agent import IMAGE, ceph, counter, grows, machine, server, storage
from tests.ceph import INSTALLED, POOLS, RealCeph
from tests.fake_control import FakeControl
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import eventually

__all__ = ["ceph", "machine", "storage"]        # fixtures
pytestmark = [pytest.mark.root, pytest.mark.storage,
              pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")]
SECRET = "5f0e1f0c-6f0e-4d29-9f5d-9a4f5c3a7a10"


class Inside(Admin):
    """The administrator, where the cluster can be reached."""

    def __init__(self, ceph: RealCeph) -> None:
        super().__init__(ceph.ceph.conf, ceph.ceph.admin_keyring)
        self.ceph = ceph

    def run(self, *words: str, timeout: float = 30.0) -> str:
        return self.ceph.ceph.command(*words)


@pytest.fixture
def admin(ceph: RealCeph) -> Inside:
    return Inside(ceph)


def keyrings(ceph: RealCeph, admin: Admin, *machines: str) -> CephFiles:
    """Files that QEMU's account can read, with the keys of *machines*."""
    files = CephFiles(ceph.ceph.directory / f"files-{new_id()[:6]}")
    for name in machines:
        ceph.machine(name)
    users = [machine_user(name, POOLS) for name in machines]
    install.write(files, ceph.ceph.conf.read_text(), {user.name: admin.key(user) for user in users})
    return files


@contextmanager
def agent_with(files: CephFiles, directory: Path, control: FakeControl, machine: Libvirtd) -> Iterator[AgentProcess]:
    control.images["i"] = IMAGE
    process = AgentProcess(directory, control, netns=machine.netns, driver="libvirt", libvirt={
        "instances": str(machine.paths.instances), "images": str(machine.directory / f"images-{new_id()[:4]}"),
        "uri": machine.paths.uri, "accelerator": "tcg", "consoles": str(machine.paths.consoles_inside)},
        ceph={"conf": str(files.conf), "user": "stackling-m1", "keyring": str(files.machine_keyring("m1")),
              "disk_pool": POOLS.disks})
    process.start()
    try:
        yield process
    finally:
        process.kill()
        hypervisor = LibvirtHypervisor(machine.paths.uri, machine.paths.instances,
                                       Platform(False, machine.paths.consoles_inside))
        for server_id in hypervisor.guests():
            hypervisor.undefine(server_id)
        hypervisor.close()


def given(admin: Inside, files: CephFiles) -> rotate.Rotation:
    """The first half of a rotation: m1 has another key, and both are good."""
    rotation = rotate.plan([machine_user("m1", POOLS)], admin.known())
    for step in rotate.made(rotation):
        admin.do(step)
    (role, user), = rotation.users.items()
    install.write(files, files.conf.read_text(), {role: admin.key(user)}, {role: user.name})
    return rotation


def refused(ceph: RealCeph, user: str, key: str) -> bool:
    path = ceph.ceph.directory / "former.keyring"
    path.write_text(f"[client.{user}]\n\tkey = {key}\n")
    try:
        ceph.run("ceph", "-c", str(ceph.ceph.conf), "-n", f"client.{user}", "-k", str(path), "--connect-timeout", "4",
                 "status")
    except Exception as error:
        return b"denied" in getattr(error, "stderr", b"") or b"13" in getattr(error, "stderr", b"")
    return False


def proved(agent: AgentProcess) -> list[dict[str, Any]]:
    """What the machine finds of Ceph when control asks it to look."""
    done = subprocess.run(["curl", "-s", "--unix-socket", agent.directory / "agent/agent.sock", "-d", "{}",
                           "http://agent/ceph"], check=True, capture_output=True, timeout=120)
    return json.loads(done.stdout)["proof"]


def watchers(ceph: RealCeph, name: str) -> int:
    return len(json.loads(ceph.rbd("status", "--format", "json", name))["watchers"])


def test_a_running_guest_gets_the_new_key_and_notices_nothing(
        control: FakeControl, machine: Libvirtd, ceph: RealCeph, admin: Inside, tmp_path: Path) -> None:
    files = keyrings(ceph, admin, "m1")
    former = admin.key(machine_user("m1", POOLS))
    data = new_id()
    ceph.rbd("create", "--size", "1G", f"{POOLS.volumes}/{data}")
    volume = VolumeDisk(id=new_id(), volume_id=data, location=f"rbd://{POOLS.volumes}/{data}", size_gib=1,
                        device="/dev/vdc")
    with agent_with(files, tmp_path, control, machine) as agent:
        made = control.put(server(ephemeral_gib=1, volumes=(volume,)))
        slept = control.put(server(power=Power.RUNNING))
        for each in (made, slept):
            control.wait_converged(each, 90, power=Power.RUNNING)
        eventually(lambda: grows(ceph, made), 30)
        control.wait_converged(control.change(slept.id, power=Power.SUSPENDED), 90, power=Power.SUSPENDED)
        pids = machine.pids()
        rotation = given(admin, files)
        assert rotation.former == ("stackling-m1",)
        assert rotate.await_nobody(admin, rotation.former, 60, print) == {}
        for step in rotate.removed(rotation):
            admin.do(step)
        assert refused(ceph, "stackling-m1", former)
        assert machine.pids() == pids
        restart(ceph, "mon.m0")                     # everybody has to prove anew who it is
        eventually(lambda: grows(ceph, made), 60)
        assert set(rotate.connected(admin, ["stackling-m1", "stackling-m1_2"])) == {"stackling-m1_2"}
        key = admin.key(rotation.users["stackling-m1"])
        assert key not in agent.log()
        command = Path(f"/proc/{pids[0]}/cmdline").read_bytes()
        assert key.encode() not in command
        assert control.seen[made.id].power is Power.RUNNING
        # What is asked for afterwards is done by the new key.
        proof = proved(agent)
        assert [one["what"] for one in proof if not one["ok"]] == []
        assert "a wrong key is refused" in [one["what"] for one in proof]
        control.wait_converged(control.change(slept.id, power=Power.RUNNING), 90, power=Power.RUNNING)
        eventually(lambda: grows(ceph, slept), 30)
        control.wait_converged(control.change(made.id, power=Power.STOPPED, volumes=()), 90, power=Power.STOPPED)
        eventually(lambda: watchers(ceph, f"{POOLS.volumes}/{data}") == 0, 10)
        control.wait_converged(control.change(made.id, power=Power.RUNNING), 90, power=Power.RUNNING)
        control.wait_converged(control.change(made.id, volumes=(volume,)), 90)
        assert watchers(ceph, f"{POOLS.volumes}/{data}") == 1
        eventually(lambda: grows(ceph, made), 30)
        for each in (made, slept):
            control.wait_converged(control.change(each.id, present=False), 60, power=Power.ABSENT)
    ceph.rbd("rm", f"{POOLS.volumes}/{data}")


def test_an_agent_that_dies_meanwhile_finishes_when_it_is_back(
        control: FakeControl, machine: Libvirtd, ceph: RealCeph, admin: Inside, tmp_path: Path) -> None:
    for name in admin.known():
        if name.startswith("stackling-m1"):
            admin.run("auth", "rm", f"client.{name}")
    files = keyrings(ceph, admin, "m1")
    with agent_with(files, tmp_path, control, machine) as agent:
        made = control.put(server())
        control.wait_converged(made, 90, power=Power.RUNNING)
        eventually(lambda: grows(ceph, made), 30)
        agent.kill()
        rotation = given(admin, files)
        assert list(rotate.await_nobody(admin, rotation.former, 3, print)) == ["stackling-m1"]
        assert grows(ceph, made)                    # the former key is good for as long as somebody needs it
        agent.start()
        assert rotate.await_nobody(admin, rotation.former, 60, print) == {}
        again = rotate.plan([machine_user("m1", POOLS)], admin.known())
        assert again == rotation                    # what was stopped goes on where it was
        for step in rotate.removed(again):
            admin.do(step)
        assert grows(ceph, made)
        control.wait_converged(control.change(made.id, present=False), 60, power=Power.ABSENT)


def restart(ceph: RealCeph, daemon: str) -> None:
    pid = dict(ceph.ceph.daemons())[daemon]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: daemon not in dict(ceph.ceph.daemons()), 10)
    ceph.ceph.start()


def test_a_guest_reaches_its_disks_by_the_key_of_the_machine_that_it_goes_to(
        machine: Libvirtd, ceph: RealCeph, admin: Inside, storage: tuple[str, str, str], tmp_path: Path) -> None:
    files = keyrings(ceph, admin, "a", "b")
    raw = tmp_path / "raw"
    raw.write_bytes(IMAGE)
    desired = ServerDesired(id=new_id(), generation=3, name="s", memory_mib=32, machine_type="pc")
    name = f"{desired.id}.0-1-3.root"
    ceph.rbd("import", "--no-progress", str(raw), f"{POOLS.disks}/{name}")
    disks = GuestDisks(root=RbdDisk(POOLS.disks, name, files.conf, "stackling-a"))
    with libvirtd(storage[2]) as second:
        here, there = (_hypervisor(each, files, who) for each, who in ((machine, "a"), (second, "b")))
        try:
            for each in (machine, second):
                (each.paths.instances / desired.id).mkdir()
            here.define(desired, disks)
            here.start(desired.id)
            eventually(lambda: grows(ceph, desired), 60)
            there.expect_migration()
            here.migrate(desired.id, there.migration_peer, own_disks=False)
            eventually(lambda: _gone(here, desired.id), 60)
            guest = there.guest(desired.id)
            assert guest is not None
            assert guest.power is Power.RUNNING
            assert set(rotate.connected(admin, ["stackling-a", "stackling-b"])) == {"stackling-b"}
            admin.run("auth", "rm", "client.stackling-a")
            eventually(lambda: grows(ceph, desired), 30)
            there.destroy(desired.id)
            there.start(desired.id)                 # by what the other machine has of its definition
            at = counter(ceph, desired)
            eventually(lambda: counter(ceph, desired) != at, 60)
        finally:
            for each in (here, there):
                each.undefine(desired.id)
                each.close()
    ceph.rbd("rm", f"{POOLS.disks}/{name}")


def _gone(hypervisor: LibvirtHypervisor, id: str) -> bool:
    found = hypervisor.migration(id)
    if found is not None and found.error:
        raise AssertionError(found.error)
    return hypervisor.guest(id) is None


def _hypervisor(daemon: Libvirtd, files: CephFiles, name: str) -> LibvirtHypervisor:
    user = f"stackling-{name}"
    return LibvirtHypervisor(
        daemon.paths.uri, daemon.paths.instances,
        Platform(False, daemon.paths.consoles_inside, secret=SECRET, ceph=(files.conf, user)),
        secret=CephSecret(SECRET, user, files.machine_keyring(name)),
        peer=f"qemu+unix:///system?socket={daemon.paths.socket}")
