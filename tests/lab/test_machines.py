"""A machine of the lab is a machine: systemd, identity, networks, power."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from stackling.lab import Lab, LabError, Machine

pytestmark = [pytest.mark.root, pytest.mark.lab]


def answers(asker: Machine, address: str) -> bool:
    """Whether one ping is answered within half a second."""
    return asker.run(["ping", "-c1", "-W0.5", address], check=False).returncode == 0


def until_answers(asker: Machine, address: str) -> None:
    asker.run(["timeout", "20", "sh", "-c", f"until ping -c1 -W1 {address} >/dev/null 2>&1; do :; done"])


@contextlib.contextmanager
def running(machine: Machine, program: str) -> Iterator[IO[str]]:
    """What a Python program in the machine says, which ends with us."""
    with subprocess.Popen(machine.command(["python3", "-c", program]), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def said(machine: Machine, *argv: str) -> str:
    return machine.run(argv).stdout.strip()


def test_systemd_has_started_everything(m1: Machine, m2: Machine) -> None:
    for machine in (m1, m2):
        assert said(machine, "systemctl", "is-system-running") == "running"
        assert said(machine, "cat", "/proc/1/comm") == "systemd"
        assert said(machine, "hostname") == machine.name
        assert said(machine, "systemctl", "is-active", "dbus", "systemd-logind", "systemd-journald") \
            == "active\nactive\nactive"


def test_each_machine_has_its_own_identity_and_state(m1: Machine, m2: Machine) -> None:
    ids = {said(machine, "cat", "/etc/machine-id") for machine in (m1, m2)}
    boots = {said(machine, "cat", "/proc/sys/kernel/random/boot_id") for machine in (m1, m2)}
    boots.add(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    assert len(ids) == 2
    assert len(boots) == 3
    for name in ("/etc/stackling", "/var/lib/stackling", "/var/lib/mysql", "/etc/openvswitch", "/etc/libvirt/qemu"):
        assert said(m1, "ls", "-A", name) == ""
    assert float(said(m1, "cut", "-d.", "-f1", "/proc/uptime")) < 600
    m1.run(["sh", "-c", "echo mine > /var/lib/stackling/x"])
    assert said(m2, "ls", "-A", "/var/lib/stackling") == ""
    assert not Path("/var/lib/stackling/x").exists()


def test_machines_share_our_program_and_see_nothing_of_each_other(lab: Lab, m1: Machine) -> None:
    assert said(m1, "stackling", "--version").startswith("stackling")
    assert said(m1, "ls", "-A", str(lab.directory.root)) == ""
    assert said(m1, "getent", "hosts", "m2").split()[0] == lab.machine("m2").address()
    assert m1.run(["sh", "-c", "ls -A /run/lab/power"]).stdout.split() == ["socket"]
    assert m1.run(["sh", "-c", "echo 0 > /proc/sys/kernel/panic"], check=False).returncode != 0


def test_all_networks_connect_the_machines_and_nothing_else(lab: Lab, m1: Machine, m2: Machine) -> None:
    for network in ("mgmt", "storage", "tenant"):
        assert answers(m1, m2.address(network))
    assert lab.client.run(["ping", "-c1", "-W1", m1.address()]).returncode == 0
    assert lab.client.run(["ping", "-c1", "-W1", m1.address("storage")], check=False).returncode != 0
    assert "default" not in said(m1, "ip", "route")


def test_a_cable_that_was_pulled_out_stays_out_over_a_power_cycle(m1: Machine, m2: Machine) -> None:
    m1.cut("mgmt")
    assert not answers(m2, m1.address("mgmt"))
    assert answers(m2, m1.address("storage"))
    assert "NO-CARRIER" in said(m1, "ip", "link", "show", "mgmt0")
    assert m1.address("mgmt") in said(m1, "ip", "address")
    m1.kill()
    m1.on()
    m1.wait_running()
    assert not answers(m2, m1.address("mgmt"))
    m1.heal("mgmt")
    until_answers(m2, m1.address("mgmt"))
    m1.cut()
    assert not answers(m2, m1.address("storage"))
    m1.heal()
    until_answers(m2, m1.address("storage"))


def test_power_loss_is_sudden_and_silent(lab: Lab, m1: Machine, m2: Machine) -> None:
    """Nobody hears that a connection ends, and nothing answers any more."""
    serve = ("import socket; s = socket.create_server(('', 7)); print('up', flush=True); c, _ = s.accept(); "
             "c.sendall(b'x'); c.recv(1)")
    listen = (f"import socket; s = socket.create_connection(('{m1.address()}', 7)); print(s.recv(1), flush=True); "
              "s.settimeout(2)\ntry: print(s.recv(1))\nexcept TimeoutError: print('silence')")
    until_answers(m2, m1.address())
    with running(m1, serve) as server:
        assert server.readline() == "up\n"
        with running(m2, listen) as client:
            assert client.readline() == "b'x'\n"
            m1.kill()
            assert not m1.is_on()
            assert m1.processes() == []
            assert not answers(m2, m1.address())
            assert client.readline() == "silence\n"
    with pytest.raises(LabError, match="m1 is off; `stackling lab on m1`"):
        m1.run(["true"])
    m1.kill()       # once more does nothing


def test_a_reboot_inside_is_one(m1: Machine) -> None:
    before, boot = m1.life(), said(m1, "cat", "/proc/sys/kernel/random/boot_id")
    m1.run(["sh", "-c", "echo kept > /var/lib/stackling/kept; logger -t lab said-before; journalctl --sync"])
    m1.run(["systemctl", "reboot"], check=False)
    m1.wait_running(after=before)
    assert said(m1, "cat", "/proc/sys/kernel/random/boot_id") != boot
    assert said(m1, "cat", "/var/lib/stackling/kept") == "kept"
    assert "said-before" in said(m1, "journalctl", "-b", "-1", "-t", "lab", "-o", "cat")
    assert float(said(m1, "cut", "-d.", "-f1", "/proc/uptime")) < 30


def test_units_stop_in_good_order_and_by_power_loss_they_do_not(m1: Machine) -> None:
    unit = ("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n"
            "ExecStop=sh -c 'echo stopped >> /var/lib/stackling/stopped'\n[Install]\nWantedBy=multi-user.target\n")
    m1.path("/etc/systemd/system/witness.service").write_text(unit)
    m1.run(["systemctl", "enable", "--now", "witness"])
    m1.kill()
    m1.on()
    m1.wait_running()
    assert said(m1, "systemctl", "is-active", "witness") == "active"
    assert said(m1, "ls", "-A", "/var/lib/stackling").find("stopped") == -1
    m1.off()
    assert not m1.is_on()
    m1.on()
    m1.wait_running()
    assert said(m1, "cat", "/var/lib/stackling/stopped") == "stopped"
    m1.run(["systemctl", "disable", "--now", "witness"])


def test_a_hanging_machine_does_nothing_until_it_goes_on(m1: Machine, m2: Machine) -> None:
    ticks = m1.path("/tmp/ticks")
    with subprocess.Popen(m1.command(["sh", "-c", "while :; do echo >> /tmp/ticks; sleep 0.01; done"])) as ticking:
        _until(lambda: ticks.exists() and ticks.stat().st_size > 3)
        m1.hang()
        stopped = ticks.stat().st_size
        assert m1.hanging
        assert answers(m2, m1.address())        # its kernel is alive, as a hung machine's may be
        assert ticks.stat().st_size == stopped
        m1.resume()
        _until(lambda: ticks.stat().st_size > stopped)
        m1.hang()
        m1.kill()       # a hung machine can be switched off
        ticking.wait(10)
    assert not m1.is_on()


def test_one_unit_hangs_alone(m1: Machine) -> None:
    m1.hang("systemd-logind")
    pid = said(m1, "systemctl", "show", "-p", "MainPID", "--value", "systemd-logind")
    assert said(m1, "ps", "-o", "stat=", pid).startswith("T")
    assert said(m1, "systemctl", "is-system-running") == "running"
    m1.resume("systemd-logind")
    assert not said(m1, "ps", "-o", "stat=", pid).startswith("T")
    with pytest.raises(LabError, match="no active unit and no process 'nobody'"):
        m1.hang("nobody")


def test_without_its_supervisor_a_machine_is_without_power(m1: Machine) -> None:
    life = m1.life()
    assert life is not None
    supervisors = [pid for pid in _lab_processes(m1) if b"stackling.lab.supervisor" in _command(pid)
                   and _command(pid).rstrip(b"\0").endswith(b"m1")]
    assert supervisors
    for pid in supervisors:
        with contextlib.suppress(ProcessLookupError):       # its children die of the first
            os.kill(pid, signal.SIGKILL)
    _until(lambda: not m1.is_on())
    _until(lambda: m1.processes() == [])
    m1.on()
    m1.wait_running()
    assert m1.life() != life


def _lab_processes(machine: Machine) -> list[int]:
    return type(machine.group)(machine.group.path.parent / "lab").processes()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _until(done: object, timeout: float = 20) -> None:
    assert callable(done)
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
