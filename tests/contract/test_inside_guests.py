"""What every hypervisor tells of a running guest, and what it has the guest's agent do."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from stackling.core.ids import new_id
from stackling.deploy.guest import build
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.ports.document import Nic, ServerDesired
from stackling.ports.hypervisor import ConsoleKind, GuestDisks, GuestRefused, GuestSilent, HypervisorError
from tests.contract.test_hypervisor import Place, Real, defined, place, real, real_libvirtd, server
from tests.ovn import eventually

__all__ = ["place", "real", "real_libvirtd"]
AGENT = {"hw_qemu_guest_agent": "yes"}


def test_what_a_running_guest_uses(place: Place) -> None:
    desired = defined(place, vcpus=2)
    with pytest.raises(HypervisorError):
        place.hypervisor.diagnostics(desired.id)
    place.hypervisor.start(desired.id)
    eventually(lambda: place.hypervisor.diagnostics(desired.id).cpus[0].time)
    found = place.hypervisor.diagnostics(desired.id)
    assert (found.memory_most, [cpu.id for cpu in found.cpus]) == (32 * 1024, [0, 1])
    assert 0 < found.memory_used <= found.memory_most
    assert found.memory["actual"] == found.memory_most
    assert [disk.device for disk in found.disks] == ["vda"]
    assert found.disks[0].read_requests >= 0
    assert found.nics == ()
    before = found.cpus[0].time or 0
    eventually(lambda: (place.hypervisor.diagnostics(desired.id).cpus[0].time or 0) > before)
    place.hypervisor.pause(desired.id)
    with pytest.raises(HypervisorError):
        place.hypervisor.diagnostics(desired.id)
    with pytest.raises(HypervisorError):
        place.hypervisor.diagnostics(new_id())


def test_an_nmi_needs_a_guest_that_is_on(place: Place) -> None:
    desired = defined(place)
    with pytest.raises(HypervisorError):
        place.hypervisor.inject_nmi(desired.id)
    place.hypervisor.start(desired.id)
    place.hypervisor.inject_nmi(desired.id)
    with pytest.raises(HypervisorError):
        place.hypervisor.inject_nmi(new_id())


def test_interfaces_are_counted_by_their_address() -> None:
    here = SimulatedHypervisor()
    nic = Nic(port_id=new_id(), mac="fa:16:3e:11:22:33", network_id=new_id())
    desired = server(nics=(nic,))
    here.define(desired, GuestDisks(root=Path("/nowhere"), swap=Path("/nowhere"), config_drive=Path("/nowhere")))
    here.start(desired.id)
    found = here.diagnostics(desired.id)
    assert [(one.mac, one.name) for one in found.nics] == [(nic.mac, f"tap{nic.port_id[:11]}")]
    assert [disk.device for disk in found.disks] == ["vda", "vdb", "vdz"]


def test_a_password_needs_an_agent(place: Place) -> None:
    desired = defined(place)
    with pytest.raises(HypervisorError):
        place.hypervisor.set_password(desired.id, "root", "secret")
    place.hypervisor.start(desired.id)
    with pytest.raises((GuestRefused, HypervisorError)) as refused:
        place.hypervisor.set_password(desired.id, "root", "a secret of ours")
    assert not isinstance(refused.value, GuestSilent)
    assert "secret of ours" not in str(refused.value)


def test_an_agent_that_is_silent_is_given_up_soon(place: Place) -> None:
    """The real guest's disk is empty: there is a channel, and nobody listens."""
    desired = defined(place, hardware=AGENT)
    place.hypervisor.start(desired.id)
    if isinstance(place.hypervisor, SimulatedHypervisor):
        place.hypervisor.stubborn.add(desired.id)
    began = time.monotonic()
    with pytest.raises(GuestSilent):
        place.hypervisor.set_password(desired.id, "root", "secret")
    assert time.monotonic() - began < 20


def test_a_simulated_guest_takes_its_password() -> None:
    here = SimulatedHypervisor()
    desired = server(hardware=AGENT)
    here.define(desired, GuestDisks(root=Path("/nowhere")))
    here.start(desired.id)
    here.set_password(desired.id, "root", "first")
    here.set_password(desired.id, "root", "second")
    assert [here.takes_password(desired.id, "root", each) for each in ("first", "second")] == [False, True]
    assert not here.takes_password(desired.id, "tiny", "second")
    assert "second" not in here.console_log(desired.id, None)
    here.undefine(desired.id)
    assert not here.takes_password(desired.id, "root", "second")


# -- the real one

@pytest.mark.root
@pytest.mark.slow
def test_a_guests_agent_changes_a_password(real: Real, tmp_path: Path) -> None:
    desired = booted(real, tmp_path)
    password = "n&w \"secret\" 'of' $HOME `ours` \\"
    eventually(lambda: changed(real, desired, "tiny", password), 120)
    with pytest.raises(HypervisorError) as refused:
        real.hypervisor.set_password(desired.id, "nobody-here", password)
    assert not isinstance(refused.value, GuestSilent)
    with real.hypervisor.open_console(desired.id, ConsoleKind.SERIAL) as terminal:
        assert not logs_in(terminal, "tiny")
        assert logs_in(terminal, password)
    cpu = real.hypervisor.diagnostics(desired.id).cpus[0].time
    assert cpu
    assert cpu > 1e8
    assert real.hypervisor.diagnostics(desired.id).disks[0].read_bytes > 1 << 20
    words = password.encode()
    for file in (real.server.directory / "libvirtd.out", *real.server.paths.instances.glob("*/console.log")):
        assert words not in file.read_bytes()


@pytest.mark.root
@pytest.mark.slow
def test_an_agent_that_hangs_holds_nobody_up_for_long(real: Real, tmp_path: Path) -> None:
    """It has answered before, so libvirt believes in it."""
    desired = booted(real, tmp_path)
    eventually(lambda: changed(real, desired, "root", "boss"), 120)
    with real.hypervisor.open_console(desired.id, ConsoleKind.SERIAL) as terminal:
        assert logs_in(terminal, "boss", user="root")
        terminal.sendall(b"killall -STOP agent && echo it is sto''pped\r")
        wait_for(terminal, b"it is stopped", 60)
    began = time.monotonic()
    with pytest.raises(GuestSilent):
        real.hypervisor.set_password(desired.id, "tiny", "secret")
    assert time.monotonic() - began < 25
    assert real.hypervisor.guest(desired.id)


def booted(real: Real, tmp_path: Path) -> ServerDesired:
    """Our own small guest, until its agent could run."""
    build.build(tmp_path / "tiny.qcow2")
    desired = ServerDesired(id=new_id(), generation=1, number=42, memory_mib=192, hardware=AGENT)
    disks = real.disks(desired)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", tmp_path / "tiny.qcow2", str(disks.root)], check=True)
    real.hypervisor.define(desired, disks)
    real.hypervisor.start(desired.id)
    eventually(lambda: "login:" in real.hypervisor.console_log(desired.id, None), 150)
    return desired


def changed(real: Real, desired: ServerDesired, user: str, password: str) -> bool:
    try:
        real.hypervisor.set_password(desired.id, user, password)
    except GuestSilent:
        return False
    return True


def logs_in(terminal: socket.socket, password: str, *, user: str = "tiny") -> bool:
    """Whether *user* may log in on the serial console."""
    terminal.sendall(b"\r")
    wait_for(terminal, b"login: ", 90)
    terminal.sendall(user.encode() + b"\r")
    wait_for(terminal, b"assword: ", 90)
    terminal.sendall(password.encode() + b"\r")
    said = wait_for(terminal, (b"$ ", b"# ", b"incorrect"), 90)
    return b"incorrect" not in said


def wait_for(terminal: socket.socket, words: bytes | tuple[bytes, ...], seconds: float) -> bytes:
    """What is said until one of *words* is."""
    until, said = time.monotonic() + seconds, b""
    wanted = (words,) if isinstance(words, bytes) else words
    while not any(word in said for word in wanted):
        terminal.settimeout(max(0.1, until - time.monotonic()))
        data = terminal.recv(4096)
        assert data, said
        said += data
        assert time.monotonic() < until, said
    return said
