"""A lab as a whole: made again, beside another, broken, and gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackling.lab import Lab, LabError
from stackling.lab import lab as labs
from stackling.lab import record as records
from tests.lab import traces
from tests.lab.conftest import new_name

pytestmark = [pytest.mark.root, pytest.mark.lab]
STACKLING = (sys.executable, "-m", "stackling.cli.main", "lab")


@pytest.fixture
def name() -> Iterator[str]:
    """A lab's name; the lab is taken away."""
    name = new_name()
    yield name
    if (records.base() / name).exists():
        labs.down(name)


def stackling(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STACKLING, *arguments], capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "STACKLING_ISOLATED": "1"})


def test_up_may_be_repeated_and_grows(name: str) -> None:
    lab = labs.up(name, machines=1)
    life = lab.machine("m1").life()
    grown = labs.up(name, machines=3, compute_only=1)
    assert grown.machine("m1").life() == life
    assert [(one.name, one.member.control) for one in grown.machines] == [("m1", True), ("m2", True), ("m3", False)]
    assert grown.machine("m1").run(["ping", "-c1", "-W2", "m3"]).returncode == 0
    assert grown.machine("m3").run(["ping", "-c1", "-W2", "m1"]).returncode == 0


def test_two_labs_know_nothing_of_each_other(name: str) -> None:
    other = new_name()
    try:
        one, two = labs.up(name, machines=1), labs.up(other, machines=1)
        assert one.topology.whole != two.topology.whole
        assert one.client.run(["ping", "-c1", "-W0.5", two.machine("m1").address()], check=False).returncode != 0
        one.machine("m1").kill()
        assert two.machine("m1").is_on()
    finally:
        labs.down(other)


def test_nothing_is_left(name: str) -> None:
    run = traces.run_directories()
    lab = labs.up(name, machines=2, in_memory=True)
    assert set(traces.of(name)) == {"processes", "namespaces", "mounts", "groups", "files"}
    lab.machine("m1").hang()
    lab.machine("m2").run(["systemd-run", "--quiet", "sleep", "1000"])
    lab.down()
    assert traces.of(name) == {}
    assert traces.run_directories() <= run
    with pytest.raises(LabError, match="there is no lab"):
        Lab.open(name)


def test_nothing_is_left_of_a_lab_that_died(name: str) -> None:
    lab = labs.up(name, machines=2)
    records.group(lab.record, "lab").signal_all(signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", lab.topology.switches], check=True)
    lab.down()
    assert traces.of(name) == {}


def test_a_lab_that_died_comes_back_with_its_disks(name: str) -> None:
    lab = labs.up(name, machines=1)
    lab.machine("m1").run(["sh", "-c", "echo kept > /var/lib/stackling/kept"])
    records.group(lab.record, "lab").signal_all(signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", lab.topology.switches], check=True)
    again = labs.up(name, machines=1)
    assert again.machine("m1").run(["cat", "/var/lib/stackling/kept"]).stdout == "kept\n"
    assert again.machine("m1").run(["fence_lab", "-o", "status", "-n", "m1"]).returncode == 0
    assert again.client.run(["ping", "-c1", "-W2", again.machine("m1").address()]).returncode == 0


def test_the_commands(name: str) -> None:
    """Each failure is one line that says what to do next."""
    missing = stackling("status", "--name", name)
    assert (missing.returncode, missing.stderr) == (
        3, f"stackling: there is no lab '{name}'; `stackling lab up` makes one\n")
    assert stackling("up", "--name", name, "--machines", "1").returncode == 0
    assert stackling("ssh", "--name", name, "m1", "sh", "-c", "hostname; exit 7").stdout == "m1\n"
    assert stackling("ssh", "--name", name, "m1", "sh", "-c", "exit 7").returncode == 7
    assert "m1" in stackling("status", "--name", name).stdout
    assert stackling("cut", "--name", name, "m1", "--network", "storage").returncode == 0
    assert "storage" in stackling("status", "--name", name).stdout
    assert stackling("heal", "--name", name).returncode == 0
    assert stackling("kill", "--name", name, "m1").returncode == 0
    off = stackling("ssh", "--name", name, "m1", "true")
    assert (off.returncode, off.stderr) == (
        1, "stackling: m1 is off; `stackling lab on m1` switches it on\n")
    assert stackling("on", "--name", name, "m1").returncode == 0
    m1 = Lab.open(name).machine("m1")
    m1.wait_running()
    assert stackling("run", "--name", name, "ping", "-c1", "-W2", m1.address()).returncode == 0
    assert stackling("down", "--name", name).returncode == 0
    assert traces.of(name) == {}


@pytest.mark.parametrize("bad", ["", "Lab", "my-lab", "averylongname", "../x", "1lab"])
def test_names_that_no_lab_can_have(bad: str) -> None:
    with pytest.raises(LabError, match="can't be a lab's name"):
        labs.up(bad)
    assert not (Path("/run/netns") / f"{bad}-net").exists()

OUTSIDE = """
import subprocess, sys
from stackling.lab import lab as labs
def shown(*words): return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout
lab = labs.up(sys.argv[1], machines=1, access=True)
address = lab.machine("m1").address()
reached = subprocess.run(["ping", "-c1", "-W2", address], capture_output=True).returncode == 0
storage = shown("route", "get", lab.machine("m1").address("mgmt"))
try: beyond = shown("route", "get", lab.machine("m1").address("tenant"))
except subprocess.CalledProcessError: beyond = "nowhere"
lab.down()
print(reached, f"lab-{sys.argv[1]}" in storage, beyond, repr(shown("route")), repr(shown("-o", "link").count("\\n")))
"""


def test_this_machine_may_reach_a_lab_and_nothing_of_it_remains(name: str) -> None:
    """Tried in a network namespace in place of the machine's own."""
    done = subprocess.run(["unshare", "--net", sys.executable, "-c", OUTSIDE, name], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.stdout.split() == ["True", "True", "nowhere", "''", "1"], done.stderr
