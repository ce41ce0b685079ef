"""An agent whose servers' disks lie in a real Ceph cluster, with a real libvirtd: what the guest and Ceph see."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.namespaces import ip
from stackling.ports.document import MetadataDocument, Power, RootDisk, ServerDesired
from tests.agent.conftest import AgentProcess
from tests.ceph import INSTALLED, POOLS, RealCeph, real_ceph
from tests.fake_control import FakeControl
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")]
# A boot sector that writes a counter to its own disk's second sector for ever, through the BIOS.
BOOT = bytes.fromhex(
    "31c08ed88ec0bc007c"      # xor ax,ax; mov ds,ax; mov es,ax; mov sp,0x7c00
    "88160d7e"                # mov [0x7e0d],dl
    "c706107e0000"            # mov word [0x7e10],0
    "ff06107e"                # again: inc word [0x7e10]
    "b80103bb007eb90200"      # mov ax,0x0301; mov bx,0x7e00; mov cx,2
    "8a160d7e30f6"            # mov dl,[0x7e0d]; xor dh,dh
    "cd13"                    # int 0x13
    "b486b90100ba0000cd15"    # mov ah,0x86; mov cx,1; mov dx,0; int 0x15: 65 ms
    "ebdf")                   # jmp again
IMAGE = BOOT.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512)
COUNTER = 512 + 0x10


ADDRESS = "10.99.0.{}"


@pytest.fixture(scope="module")
def storage() -> Iterator[tuple[str, str, str]]:
    """Network namespaces: Ceph's (10.99.0.1), and two machines' (.11, .12)."""
    ceph, *machines = names = tuple(f"stk-t-{os.getpid()}-{name}" for name in ("s", "m1", "m2"))
    for name in names:
        namespaces.make(name)
    ip(ceph, "link", "add", "name", "storage", "type", "bridge")
    ip(ceph, "address", "add", ADDRESS.format(1) + "/24", "dev", "storage")
    ip(ceph, "link", "set", "storage", "up")
    for number, name in enumerate(machines, 1):
        ip(ceph, "link", "add", f"to-m{number}", "type", "veth", "peer", "name", "storage", "netns", name)
        ip(ceph, "link", "set", f"to-m{number}", "master", "storage", "up")
        ip(name, "address", "add", ADDRESS.format(10 + number) + "/24", "dev", "storage")
        ip(name, "link", "set", "storage", "up")
    yield names
    for name in names:
        namespaces.delete(name)


@pytest.fixture(scope="module")
def ceph(storage: tuple[str, str, str]) -> Iterator[RealCeph]:
    with real_ceph(ADDRESS.format(1), storage[0]) as found:
        yield found


@pytest.fixture(scope="module")
def machine(storage: tuple[str, str, str], ceph: RealCeph) -> Iterator[Libvirtd]:
    with libvirtd(storage[1]) as server:
        yield server


@pytest.fixture
def agent(tmp_path: Path, control: FakeControl, machine: Libvirtd, ceph: RealCeph) -> Iterator[AgentProcess]:
    with agent_of(tmp_path, control, machine, ceph) as process:
        yield process


@contextmanager
def agent_of(directory: Path, control: FakeControl, machine: Libvirtd, ceph: RealCeph) -> Iterator[AgentProcess]:
    control.images["i"] = IMAGE
    access = ceph.machine(control.machine)
    process = AgentProcess(directory, control, netns=machine.netns, driver="libvirt", libvirt={
        "instances": str(machine.paths.instances), "images": str(machine.directory / f"images-{new_id()[:4]}"),
        "uri": machine.paths.uri, "accelerator": "tcg", "consoles": str(machine.paths.consoles_inside)},
        ceph={"conf": str(access.conf), "user": access.user, "keyring": str(access.keyring), "disk_pool": POOLS.disks})
    yield process
    process.kill()
    from tests.contract.test_hypervisor import Real
    hypervisor = Real(machine).hypervisor
    for server_id in hypervisor.guests():
        hypervisor.undefine(server_id)
    hypervisor.close()


def server(**values: Any) -> ServerDesired:
    root = RootDisk(image_id="i", image_format="raw", image_size=len(IMAGE), size_gib=1, bus="virtio",
                    image_checksum=hashlib.sha512(IMAGE).hexdigest())
    return ServerDesired(**{"id": new_id(), "generation": 0, "root": root, "memory_mib": 32, "stop_timeout": 1,
                            "machine_type": "pc", **values})


def counter(ceph: RealCeph, made: ServerDesired, rebuilds: int = 0) -> int:
    name = next(name for name in ceph.rbd("ls", POOLS.disks).split() if name.startswith(f"{made.id}.{rebuilds}-")
                and name.endswith(".root"))
    return int.from_bytes(ceph.head(POOLS.disks, name)[COUNTER:COUNTER + 2], "little")


def grows(ceph: RealCeph, made: ServerDesired) -> bool:
    before = counter(ceph, made)
    time.sleep(0.3)
    return counter(ceph, made) > before


def says(control: FakeControl, made: ServerDesired, words: str, timeout: float = 60) -> str:
    """What the agent's report of *made* says once it has *words*; a loaded Ceph may be slow to answer before."""
    return control.wait(lambda: (report := control.seen.get(made.id)) and words in (report.error or "")
                        and report.error, timeout)


def test_a_guest_boots_from_a_clone_writes_and_is_gone(
        control: FakeControl, agent: AgentProcess, machine: Libvirtd, ceph: RealCeph) -> None:
    agent.start()
    made = control.put(server(ephemeral_gib=1, swap_mib=16, config_drive=True,
                              metadata=MetadataDocument(meta_data={"uuid": "u"})))
    control.wait_converged(made, 60, power=Power.RUNNING)
    eventually(lambda: grows(ceph, made), 30)
    pid, = machine.pids()
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b'"driver":"rbd"' in command
    key = ceph.machine().keyring.read_text().split("key = ")[1].split()[0].encode()
    assert key not in command
    assert key.decode() not in agent.log()
    shown = json.loads(ceph.rbd("status", "--format", "json", next(
        f"{POOLS.disks}/{name}" for name in ceph.rbd("ls", POOLS.disks).split() if name.endswith(".root"))))
    assert len(shown["watchers"]) == 1
    for power in (Power.PAUSED, Power.RUNNING, Power.SUSPENDED, Power.RUNNING, Power.STOPPED, Power.RUNNING):
        control.wait_converged(control.change(made.id, power=power), 60, power=power)
    agent.kill()
    agent.start()
    control.wait_converged(control.change(made.id, hard_reboots=1), 60, power=Power.RUNNING, hard_reboots=1)
    eventually(lambda: grows(ceph, made), 30)
    control.wait_converged(control.change(made.id, rebuilds=1), 60, power=Power.RUNNING, rebuilds=1)
    control.wait_converged(control.change(made.id, present=False), 60, power=Power.ABSENT)
    assert machine.pids() == []
    assert not (machine.paths.instances / made.id).exists()
    live = [name for name in ceph.rbd("ls", POOLS.disks).split() if not name.startswith("base.")]
    assert live == []


def test_a_cluster_that_hangs_is_said_and_waited_for(
        control: FakeControl, agent: AgentProcess, machine: Libvirtd, ceph: RealCeph) -> None:
    agent.start()
    first = control.put(server())
    control.wait_converged(first, 60, power=Power.RUNNING)
    ceph.ceph.signal("*", signal.SIGSTOP)
    try:
        begun = time.monotonic()
        second = control.put(server())
        said = control.wait(lambda: (report := control.seen.get(second.id)) and report.error, 10)
        assert "doesn't answer" in said
        assert time.monotonic() - begun < 6
        assert control.seen[first.id].power is Power.RUNNING
    finally:
        ceph.ceph.signal("*", signal.SIGCONT)
    control.wait_converged(second, 60, power=Power.RUNNING)
    eventually(lambda: grows(ceph, first), 30)


def test_a_server_moves_when_its_machine_is_shut_out_and_runs_once(
        control: FakeControl, agent: AgentProcess, machine: Libvirtd, ceph: RealCeph, storage: tuple[str, str, str],
        tmp_path: Path) -> None:
    agent.start()
    made = control.put(server())
    control.wait_converged(made, 60, power=Power.RUNNING)
    eventually(lambda: grows(ceph, made), 30)
    (tmp_path / "m2").mkdir()
    other = FakeControl(tmp_path / "m2", "h1", "m2").start()
    other.generation = control.generation + 10      # evacuation raises it
    assert agent.process
    os.kill(agent.process.pid, signal.SIGSTOP)
    with libvirtd(storage[2]) as second, agent_of(tmp_path / "m2", other, second, ceph) as heir:
        heir.start()
        moved = other.put(made)
        says(other, made, "still open on another machine (10.99.0.11)")
        assert second.pids() == []
        ceph_fence(ceph, "add", "10.99.0.11")
        other.wait_converged(moved, 60, power=Power.RUNNING)
        eventually(lambda: grows(ceph, made), 30)
        at = counter(ceph, made)
        os.kill(agent.process.pid, signal.SIGCONT)
        control.change(made.id, hard_reboots=1)
        says(control, made, "shut this machine out")
        ceph_fence(ceph, "rm", "10.99.0.11")
        assert "machine m2" in says(control, made, "newer order")
        assert counter(ceph, made) >= at
        eventually(lambda: grows(ceph, made), 30)
        other.wait_converged(other.change(made.id, present=False), 60, power=Power.ABSENT)
    other.stop()
    control.wait_converged(control.change(made.id, present=False), 60, power=Power.ABSENT)


def ceph_fence(ceph: RealCeph, operation: str, address: str) -> None:
    """By the driver's own worker, where the cluster can be reached."""
    script = ("import sys; from pathlib import Path; from stackling.drivers.ceph.client import CephAccess; "
              "from stackling.drivers.ceph.fence import CephFence; "
              "fence = CephFence(CephAccess(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))); "
              "fence.shut_out(sys.argv[5], 600) if sys.argv[4] == 'add' else fence.let_in(sys.argv[5]); "
              "print(fence.shut_out_until()); fence.close()")
    access = ceph.images
    shown = ceph.run(sys.executable, "-c", script, str(access.conf), access.user, str(access.keyring), operation,
                     address).decode()
    assert (address in shown) is (operation == "add")
