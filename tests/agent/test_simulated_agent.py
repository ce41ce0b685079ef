"""The agent's process with a simulated hypervisor, seen from control: documents in, reports out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackling.core.ids import new_id
from stackling.ports.document import Nic, Power, RootDisk, ServerDesired
from tests.agent.conftest import AgentProcess
from tests.fake_control import FakeControl

ROOT = RootDisk(image_id="i", image_format="qcow2", image_size=1, image_checksum="0" * 128)


def server(**values: object) -> ServerDesired:
    return ServerDesired(id=new_id(), generation=0, root=ROOT, **values)  # pyright: ignore[reportArgumentType]


def nic() -> Nic:
    return Nic(port_id=new_id(), mac="fa:16:3e:00:00:01", network_id="n")


def test_a_server_is_made_changed_and_removed(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    one, two = nic(), nic()
    made = control.put(server(nics=(one,)))
    report = control.wait_converged(made, power=Power.RUNNING)
    assert report.nics == (one.port_id,)
    assert report.started_at
    assert control.wait_converged(control.change(made.id, nics=(one, two))).nics == (one.port_id, two.port_id)
    assert control.wait_converged(control.change(made.id, nics=(two,))).nics == (two.port_id,)
    for power in (Power.PAUSED, Power.RUNNING, Power.SUSPENDED, Power.RUNNING, Power.STOPPED, Power.RUNNING):
        control.wait_converged(control.change(made.id, power=power), power=power)
    control.wait_converged(control.change(made.id, soft_reboots=1, hard_reboots=1), power=Power.RUNNING,
                           soft_reboots=1, hard_reboots=1)
    control.wait_converged(control.change(made.id, rebuilds=2), power=Power.RUNNING, rebuilds=2)
    control.wait_converged(control.change(made.id, present=False), power=Power.ABSENT)


def test_the_first_report_is_complete_with_the_inventory(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    control.wait(lambda: control.reports)
    first = control.reports[0]
    assert first.complete
    assert first.inventory is not None
    assert first.inventory.vcpus == 64
    assert (first.machine, first.host, first.boot_id, first.epoch) == ("m1", "h1", "boot-1", 1)
    control.wait(lambda: len(control.reports) >= 3)         # heartbeats
    assert [report.sequence for report in control.reports] == sorted({report.sequence for report in control.reports})


def test_resend_brings_a_complete_report(control: FakeControl, agent: AgentProcess) -> None:
    made = control.put(server())
    agent.start()
    control.wait_converged(made)
    control.resend = True
    number = len(control.reports)
    control.wait(lambda: any(report.complete and report.guests for report in control.reports[number:]))


def test_a_killed_agent_adopts_what_runs(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    made = control.put(server())
    started = control.wait_converged(made, power=Power.RUNNING).started_at
    sequence = control.reports[-1].sequence
    agent.kill()
    number = len(control.reports)
    agent.start()
    control.wait(lambda: len(control.reports) > number)
    report = control.reports[number]
    assert report.complete
    assert report.sequence > sequence
    assert [(guest.id, guest.power, guest.started_at) for guest in report.guests] == [(made.id, Power.RUNNING, started)]
    control.wait_converged(made, power=Power.RUNNING, started_at=started)


def test_requests_from_while_the_agent_was_dead_are_done_once(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    made = control.put(server())
    first = control.wait_converged(made).started_at
    agent.kill()
    changed = control.change(made.id, hard_reboots=1)
    agent.start()
    second = control.wait_converged(changed, hard_reboots=1, power=Power.RUNNING).started_at
    assert first != second
    agent.kill()
    agent.start()
    number = len(control.reports)
    control.wait(lambda: len(control.reports) > number + 1)
    assert control.seen[made.id].started_at == second


@pytest.mark.parametrize("settings", [{}, {"resume_guests_state_on_host_boot": False}], ids=["resumed", "left off"])
def test_after_a_boot_only_a_fresh_document_starts_servers(
        tmp_path: Path, control: FakeControl, settings: dict[str, bool]) -> None:
    agent, resume = AgentProcess(tmp_path, control, **settings), not settings
    try:
        _boots(control, agent, resume)
    finally:
        agent.kill()


def _boots(control: FakeControl, agent: AgentProcess, resume: bool) -> None:
    agent.start()
    made = control.put(server())
    first = control.wait_converged(made, power=Power.RUNNING).started_at
    agent.kill()
    control.stop()
    control.seen.clear()
    cut_power(agent.directory)
    agent.boot_id.write_text("boot-2\n")
    agent.start()
    with pytest.raises(AssertionError):                     # nobody is there to ask
        control.wait(lambda: b'"running"' in newest_guest_record(agent.directory), timeout=1.0)
    control.start()
    report = control.wait_guest(made.id, power=Power.RUNNING if resume else Power.STOPPED, converged=True,
                                generation=made.generation)
    assert (report.started_at != first) is resume
    assert control.reports[-1].boot_id == "boot-2"
    again = control.change(made.id, power=Power.RUNNING)
    control.wait_converged(again, power=Power.RUNNING)      # asked for anew


def test_two_agents_never_act_for_one_machine(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    control.wait(lambda: control.reports)
    first, agent.process = agent.process, None
    second = agent.start().process
    assert first
    assert second
    assert second.wait(15) != 0
    assert first.poll() is None
    agent.process = first


def test_an_older_document_changes_nothing(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    control.epoch = 3
    made = control.put(server())
    control.wait_converged(made, power=Power.RUNNING)
    control.epoch = 2                                       # a control node that is behind
    control.change(made.id, power=Power.STOPPED)
    number = len(control.polls)
    control.wait(lambda: len(control.polls) > number + 2)
    assert control.seen[made.id].power is Power.RUNNING
    control.epoch = 4
    control.wait_converged(control.change(made.id, power=Power.STOPPED), power=Power.STOPPED)


def test_an_unknown_guest_is_reported_and_left_alone(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    made = control.put(server())
    control.wait_converged(made)
    agent.kill()
    del control.servers[made.id]
    control.generation += 1
    agent.start()
    control.wait_guest(made.id, unknown=True, power=Power.RUNNING)


def test_it_ends_in_order(control: FakeControl, agent: AgentProcess) -> None:
    agent.start()
    control.wait(lambda: control.reports)
    assert agent.stop() == 0
    assert not (agent.directory / "agent" / "agent.pid").exists()


def newest_guest_record(directory: Path) -> bytes:
    return (directory / "agent/hosts/h1/guests.journal").read_bytes().splitlines()[-1]


def cut_power(directory: Path) -> None:
    """What a power cut does to simulated guests."""
    from stackling.drivers.simulated.hypervisor import SimulatedHypervisor

    hypervisor = SimulatedHypervisor(directory / "agent/hosts/h1")
    hypervisor.reboot_machine()
    hypervisor.close()
