"""The agent's process with a real libvirtd, seen from control and from the machine."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.ports.document import MetadataDocument, Power, RootDisk, ServerDesired
from tests.agent.conftest import AgentProcess
from tests.fake_control import FakeControl
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import eventually

pytestmark = pytest.mark.root
IMAGE = b"\xeb\xfe" + bytes(508) + b"\x55\xaa" + bytes((1 << 20) - 512)      # boots, and stays where it is


@pytest.fixture(scope="module")
def machine() -> Iterator[Libvirtd]:
    with libvirtd() as server:
        yield server


@pytest.fixture
def agent(tmp_path: Path, control: FakeControl, machine: Libvirtd) -> Iterator[AgentProcess]:
    control.images["i"] = IMAGE
    process = AgentProcess(tmp_path, control, driver="libvirt", libvirt={
        "instances": str(machine.paths.instances), "images": str(machine.directory / f"images-{new_id()[:4]}"),
        "uri": machine.paths.uri, "accelerator": "tcg", "consoles": str(machine.paths.consoles_inside)})
    yield process
    process.kill()
    if not machine.pid:
        machine.start()
    from tests.contract.test_hypervisor import Real
    hypervisor = Real(machine).hypervisor
    for server_id in hypervisor.guests():
        hypervisor.undefine(server_id)
    hypervisor.close()


def server(**values: Any) -> ServerDesired:
    root = RootDisk(image_id="i", image_format="raw", image_size=len(IMAGE),
                    image_checksum=hashlib.sha512(IMAGE).hexdigest(), size_gib=1)
    return ServerDesired(**{"id": new_id(), "generation": 0, "root": root, "memory_mib": 32, "stop_timeout": 1,
                            **values})


def files(machine: Libvirtd, made: ServerDesired) -> list[str]:
    return sorted(path.name for path in (machine.paths.instances / made.id).iterdir())


def test_the_life_of_a_server(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    agent.start()
    made = control.put(server(ephemeral_gib=1, swap_mib=16, config_drive=True,
                              metadata=MetadataDocument(meta_data={"uuid": "u"})))
    control.wait_converged(made, 60, power=Power.RUNNING)
    assert files(machine, made) == ["config.0.iso", "console.log", "disks.0.json", "ephemeral.0.raw", "root.0.qcow2",
                                    "swap.0.raw"]
    shown = json.loads(subprocess.check_output(
        ["qemu-img", "info", "-U", "--output=json", machine.paths.instances / made.id / "root.0.qcow2"]))
    assert (shown["format"], shown["backing-filename-format"], shown["virtual-size"]) == ("qcow2", "raw", 1 << 30)
    assert len(machine.pids()) == 1
    pids = machine.pids()
    control.wait_converged(control.change(made.id, hard_reboots=1), 30, power=Power.RUNNING, hard_reboots=1)
    assert machine.pids() != pids
    for power in (Power.PAUSED, Power.RUNNING, Power.SUSPENDED, Power.RUNNING, Power.STOPPED):
        control.wait_converged(control.change(made.id, power=power), 60, power=power)
    rebuilt = control.change(made.id, rebuilds=1, power=Power.RUNNING)
    control.wait_converged(rebuilt, 60, power=Power.RUNNING, rebuilds=1)
    assert "root.1.qcow2" in files(machine, made)
    assert "root.0.qcow2" not in files(machine, made)
    control.wait_converged(control.change(made.id, present=False), 30, power=Power.ABSENT)
    assert not (machine.paths.instances / made.id).exists()
    assert machine.pids() == []


def test_a_killed_agent_adopts_its_guests(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    agent.start()
    made = control.put(server())
    started = control.wait_converged(made, 60, power=Power.RUNNING).started_at
    pids = machine.pids()
    agent.kill()
    assert machine.pids() == pids
    number = len(control.reports)
    agent.start()
    control.wait(lambda: any(report.complete for report in control.reports[number:]))
    control.wait_converged(made, power=Power.RUNNING, started_at=started)
    assert machine.pids() == pids
    assert agent.stop() == 0
    assert machine.pids() == pids


def test_libvirtd_killed_and_back(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    agent.start()
    first = control.put(server())
    control.wait_converged(first, 60, power=Power.RUNNING)
    pids = machine.pids()
    machine.kill()
    second = control.put(server())
    said = control.wait(lambda: (report := control.seen.get(second.id)) and report.error, 20)
    assert "the server starts when it is back" in said
    assert control.seen[first.id].power is Power.RUNNING
    machine.start()
    control.wait_converged(second, 30, power=Power.RUNNING)
    assert set(pids) < set(machine.pids())


def test_a_guest_that_dies_is_told_and_left_off(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    import os

    agent.start()
    made = control.put(server())
    control.wait_converged(made, 60, power=Power.RUNNING)
    pid, = machine.pids()
    os.kill(pid, signal.SIGKILL)
    control.wait_guest(made.id, power=Power.CRASHED, converged=True)
    assert machine.pids() == []
    control.wait_converged(control.change(made.id), 30, power=Power.RUNNING)


def test_a_full_disk_is_said_and_waited_for(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    agent.start()
    control.wait(lambda: control.reports)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", machine.paths.instances], check=True)
    try:
        made = control.put(server())
        said = control.wait(lambda: (report := control.seen.get(made.id)) and report.error, 20)
        assert "full" in said
        assert not control.seen[made.id].terminal
    finally:
        subprocess.run(["umount", "-l", machine.paths.instances], check=True)
    control.wait_converged(made, 60, power=Power.RUNNING)


def test_a_damaged_image_is_refused_and_fetched_again(control: FakeControl, agent: AgentProcess) -> None:
    control.images["i"] = IMAGE[:-1] + b"x"
    agent.start()
    made = control.put(server())
    said = control.wait(lambda: (report := control.seen.get(made.id)) and report.error, 20)
    assert "checksum" in said
    control.images["i"] = IMAGE
    control.wait_converged(made, 60, power=Power.RUNNING)


def test_a_lost_disk_is_never_made_anew_by_itself(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    import shutil

    agent.start()
    made = control.put(server())
    control.wait_converged(made, 60, power=Power.RUNNING)
    control.wait_converged(control.change(made.id, power=Power.STOPPED), 30, power=Power.STOPPED)
    shutil.rmtree(machine.paths.instances / made.id)
    control.change(made.id, power=Power.RUNNING)
    assert "missing" in (control.wait_guest(made.id, terminal=True).error or "")
    control.wait_converged(control.change(made.id, rebuilds=1), 60, power=Power.RUNNING)


def test_the_console_is_read_through_the_agents_socket(control: FakeControl, agent: AgentProcess,
                                                        machine: Libvirtd) -> None:
    agent.start()
    made = control.put(server())
    control.wait_converged(made, 60)
    with (machine.paths.instances / made.id / "console.log").open("a") as log:
        log.write("one\ntwo\nthree\n")
    socket = agent.directory / "agent" / "agent.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    url = f"http://agent/servers/{made.id}/console-output"
    command = ["curl", "-s", "--unix-socket", str(socket)]
    assert json.loads(subprocess.check_output([*command, f"{url}?lines=2"])) == {"output": "two\nthree\n"}
    assert "one\n" in json.loads(subprocess.check_output([*command, url]))["output"]
    assert "isn't on this machine" in subprocess.check_output([*command, url.replace(made.id, new_id())]).decode()
    eventually(lambda: machine.pids())
