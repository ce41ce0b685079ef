"""Two agents with a libvirtd each, whose servers' disks lie in one directory: what moves, what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.core.ids import new_id
from stackling.drivers.directory.place import Place
from stackling.ports.document import LiveMove, MetadataDocument, MoveState, Power, ServerDesired
from tests.agent.conftest import AgentProcess
from tests.agent.test_ceph_agent import COUNTER, IMAGE, server
from tests.contract.test_hypervisor import Real
from tests.fake_control import FakeControl
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import eventually

pytestmark = pytest.mark.root


class Machine:
    """A machine with its control node, which says what another machine's doesn't."""

    def __init__(self, directory: Path, name: str, daemon: Libvirtd, shared: Path) -> None:
        directory.mkdir()
        self.control, self.daemon = FakeControl(directory, f"h-{name}", name).start(), daemon
        self.control.images["i"] = IMAGE
        place = Place(shared, "d1", name)
        place.prepare()
        place.note_proof()
        self.agent = AgentProcess(directory, self.control, netns=daemon.netns, driver="libvirt", libvirt={
            "instances": str(daemon.paths.instances), "images": str(daemon.directory / f"images-{new_id()[:4]}"),
            "uri": daemon.paths.uri, "accelerator": "tcg", "consoles": str(daemon.paths.consoles_inside),
            "migrate_uri": f"qemu+unix:///system?socket={daemon.paths.socket}"},
            directory={"path": str(shared), "id": "d1"}).start()

    def end(self) -> None:
        self.agent.kill()
        self.control.stop()
        hypervisor = Real(self.daemon).hypervisor
        for server_id in hypervisor.guests():
            hypervisor.undefine(server_id)
        hypervisor.close()

    def takes(self, desired: ServerDesired, **values: Any) -> ServerDesired:
        """The server is this machine's by a newer order than any before."""
        self.control.generation = max(self.control.generation, desired.generation) + 10
        return self.control.put(msgspec.structs.replace(desired, **values))

    def error(self, made: ServerDesired) -> str:
        return self.control.wait(lambda: (seen := self.control.seen.get(made.id)) and seen.error, 60)


@pytest.fixture(scope="module")
def daemons() -> Iterator[tuple[Libvirtd, Libvirtd]]:
    with libvirtd() as first, libvirtd(first.netns) as second:
        yield first, second


@pytest.fixture
def shared() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="stk", dir="/var/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def machines(tmp_path: Path, daemons: tuple[Libvirtd, Libvirtd], shared: Path) -> Iterator[tuple[Machine, Machine]]:
    with ExitStack() as stack:
        found: list[Machine] = []
        for name, daemon in zip(("m1", "m2"), daemons, strict=True):
            found.append(Machine(tmp_path / name, name, daemon, shared))
            stack.callback(found[-1].end)
        yield found[0], found[1]


def root_of(shared: Path, made: ServerDesired) -> Path:
    found, = (shared / "instances" / made.id).glob("*/root.*.qcow2")
    return found


def counter(shared: Path, made: ServerDesired) -> int:
    """What the guest has counted to, on its disk."""
    raw = subprocess.run(["qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", "bs=1024", "count=1",
                          f"if={root_of(shared, made)}", f"of={shared}/head"], check=False, capture_output=True)
    if raw.returncode:
        return -1
    data = (shared / "head").read_bytes()
    (shared / "head").unlink()
    return int.from_bytes(data[COUNTER:COUNTER + 2], "little")


def grows(shared: Path, made: ServerDesired) -> bool:
    before = counter(shared, made)
    time.sleep(0.5)
    return counter(shared, made) > before


def test_a_server_starts_elsewhere_once_its_machine_is_off_and_the_old_owner_is_refused(
        machines: tuple[Machine, Machine], shared: Path) -> None:
    one, two = machines
    made = one.control.put(server(swap_mib=16, config_drive=True,
                                  metadata=MetadataDocument(meta_data={"uuid": "u"})))
    one.control.wait_converged(made, 60, power=Power.RUNNING)
    eventually(lambda: grows(shared, made), 30)
    found = next(report.inventory for report in one.control.reports if report.inventory)
    assert (found.storage, found.disk_gib > 0) == ("shared:d1", True)
    assert one.agent.process
    os.kill(one.agent.process.pid, signal.SIGSTOP)
    moved = two.takes(made)
    assert "still open in a QEMU" in two.error(made)
    assert two.daemon.pids() == []
    for pid in one.daemon.pids():
        os.kill(pid, signal.SIGKILL)            # the machine loses its power
    two.control.wait_converged(moved, 60, power=Power.RUNNING)
    eventually(lambda: grows(shared, made), 30)
    os.kill(one.agent.process.pid, signal.SIGCONT)
    one.control.change(made.id, hard_reboots=1)
    said = one.control.wait(lambda: (seen := one.control.seen.get(made.id)) and "newer order" in (seen.error or "")
                            and seen.error, 60)
    assert "machine m2 has this server's disks" in said
    one.control.change(made.id, present=False)
    assert "newer state" in one.control.wait(
        lambda: (seen := one.control.seen.get(made.id)) and "left alone" in (seen.error or "") and seen.error, 60)
    assert grows(shared, made)
    two.control.wait_converged(two.takes(two.control.servers[made.id][1], present=False), 60, power=Power.ABSENT)
    assert list((shared / "instances").iterdir()) == []
    assert two.daemon.pids() == []


def test_a_running_server_goes_to_another_machine_and_no_disk_is_copied(
        machines: tuple[Machine, Machine], shared: Path) -> None:
    one, two = machines
    made = one.control.put(server(ephemeral_gib=1))
    one.control.wait_converged(made, 60, power=Power.RUNNING)
    eventually(lambda: grows(shared, made), 30)
    inode = root_of(shared, made).stat().st_ino
    there = two.takes(made, live=LiveMove(number=1, target=True))
    ready = two.control.wait(lambda: (seen := two.control.seen.get(made.id)) and seen.move
                             and seen.move.state is MoveState.READY and seen.move, 60)
    one.control.change(made.id, live=LiveMove(number=1, target=False, peer=ready.peer))
    one.control.wait(lambda: (seen := one.control.seen.get(made.id)) and seen.move
                     and seen.move.state is MoveState.LEFT, 90)
    there = two.takes(there, live=None)
    two.control.wait_converged(there, 60, power=Power.RUNNING)
    assert (len(one.daemon.pids()), len(two.daemon.pids())) == (0, 1)
    eventually(lambda: grows(shared, made), 30)
    assert root_of(shared, made).stat().st_ino == inode
    assert root_of(shared, made).owner() == "libvirt-qemu"
    one.control.wait_converged(one.control.change(made.id, present=False, keep_disks=True, live=None), 60,
                               power=Power.ABSENT)
    there = two.control.change(made.id, hard_reboots=1)
    two.control.wait_converged(there, 60, power=Power.RUNNING, hard_reboots=1)
    eventually(lambda: grows(shared, made), 30)


def test_everything_that_is_done_with_a_disk(machines: tuple[Machine, Machine], shared: Path) -> None:
    one, two = machines
    made = one.control.put(server())
    one.control.wait_converged(made, 60, power=Power.RUNNING)
    for power in (Power.PAUSED, Power.RUNNING, Power.SUSPENDED, Power.RUNNING, Power.STOPPED, Power.RUNNING):
        one.control.wait_converged(one.control.change(made.id, power=power), 60, power=power)
    one.control.wait_converged(one.control.change(made.id, snapshot="copy"), 60, snapshot="copy")
    assert one.control.images["copy"][:4] == b"QFI\xfb"
    assert made.root is not None
    larger = msgspec.structs.replace(made.root, size_gib=2)
    one.control.wait_converged(one.control.change(made.id, root=larger, resizes=1, kept_resize=1), 60,
                               power=Power.RUNNING, resizes=1)
    again = one.control.change(made.id, rebuilds=1, kept_resize=0)
    one.control.wait_converged(again, 60, power=Power.RUNNING, rebuilds=1)
    eventually(lambda: grows(shared, made), 30)
    assert two.control.images["i"]
    one.control.wait_converged(one.control.change(made.id, present=False), 60, power=Power.ABSENT)
    assert list((shared / "instances").iterdir()) == []


def test_a_mount_that_is_missing_is_said_and_waited_for(machines: tuple[Machine, Machine], shared: Path) -> None:
    one, _ = machines
    identity, away = shared / "stackling.json", shared / "away"

    def room() -> int:
        found = [report.inventory for report in one.control.reports if report.inventory]
        return found[-1].disk_gib if found else -1

    one.control.wait(lambda: room() > 0, 60)
    identity.rename(away)
    one.control.wait(lambda: room() == 0, 60)
    made = one.control.put(server())
    assert "isn't mounted" in one.error(made)
    away.rename(identity)
    one.control.wait_converged(made, 90, power=Power.RUNNING)
    one.control.wait(lambda: room() > 0, 60)
    one.control.wait_converged(one.control.change(made.id, present=False), 60, power=Power.ABSENT)
