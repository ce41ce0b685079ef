"""A real cloud by one command: a server that answers SSH on its floating IP, what it survives, and what is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from stackling.deploy.embedded import engines, libvirt
from tests.e2e.clouds import BIN, TestCloud, cloud

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.slow]
CUT_SHORT = ((0.8, signal.SIGINT), (1.5, signal.SIGKILL), (3.0, signal.SIGINT), (5.0, signal.SIGKILL),
             (8.0, signal.SIGINT), (12.0, signal.SIGKILL))
"""When the first tries are ended, in seconds, and how: while the image is made, the server asked for, and booting."""


@pytest.fixture(scope="module")
def real() -> Iterator[TestCloud]:
    with cloud("--isolated") as made:
        for after, number in CUT_SHORT:
            cut_short(made, after, number)
        made.run("quickstart", timeout=300)
        names = [made.directory.instance, str(made.directory.root), str(made.directory.run)]
        yield made
    assert [line for line in footprint() if any(name in line for name in names)] == []


def cut_short(cloud: TestCloud, after: float, number: signal.Signals) -> None:
    """``quickstart``, as somebody leaves it who stops it after so many seconds."""
    program = subprocess.Popen([str(BIN / "stackling"), "quickstart", "--state-dir", str(cloud.directory.root)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True)
    try:
        said = program.communicate(timeout=after)[0]
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, number)
        said = program.communicate(timeout=30)[0]
    assert "Traceback" not in said
    if number is signal.SIGINT and program.returncode:
        assert "the same command goes on where this one stopped" in said


def footprint() -> list[str]:
    """Where a cloud may leave something on the machine: interfaces, routes, namespaces, mounts, firewall tables."""
    return [line for command in ("ip link", "ip route show table all", "ip netns", "cat /proc/self/mounts",
                                 "nft list ruleset")
            for line in subprocess.run(command.split(), capture_output=True, text=True, check=True, timeout=30
                                       ).stdout.splitlines()]


def ssh(cloud: TestCloud, *words: str, check: bool = True) -> str:
    return cloud.run("ssh", "first", "--", *words, check=check).stdout.strip()


def answers_again(cloud: TestCloud) -> None:
    cloud.eventually(lambda: cloud.run("ssh", "first", "--", "true", check=False).returncode, lambda code: code == 0,
                     timeout=120)


def boot(cloud: TestCloud) -> str:
    return ssh(cloud, "cat", "/proc/sys/kernel/random/boot_id")


def guests(cloud: TestCloud) -> list[int]:
    return [guest.pid for guest in libvirt.guest_processes(engines.libvirt_paths(cloud.directory))]


def test_the_server_is_who_it_should_be(real: TestCloud) -> None:
    assert ssh(real, "hostname") == "first"


def test_tries_that_were_cut_short_left_nothing_twice(real: TestCloud) -> None:
    for words in (("image", "list", "--name", "tiny"), ("server", "list"), ("floating", "ip", "list"),
                  ("keypair", "list"), ("router", "list"), ("port", "list", "--server", "first")):
        assert len(real.openstack(*words)) == 1, words
    assert len(guests(real)) == 1


def test_a_second_run_changes_nothing(real: TestCloud) -> None:
    processes, booted = real.processes(), boot(real)
    shown = real.stackling("quickstart")
    assert shown["server"] == "first"
    assert real.processes() == processes
    assert boot(real) == booted
    assert len(real.openstack("server", "list")) == 1


def test_the_password_is_shown_nowhere(real: TestCloud) -> None:
    done = real.run("quickstart")
    assert real.directory.clouds_yaml.read_text().split('password: "')[1].split('"')[0] not in done.stdout + done.stderr


@pytest.mark.crash
def test_the_server_does_not_notice_when_every_process_of_the_cloud_is_killed(real: TestCloud) -> None:
    booted = boot(real)
    names = sorted({name for _, name in real.processes()} - {"supervisor"})
    before = {name: real.pid(name) for name in names}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    real.eventually(lambda: {name: real.pid(name) for name in names},
                    lambda now: all(now[name] != before[name] for name in names))
    real.eventually(lambda: real.run("status", check=False).returncode, lambda code: code == 0)
    answers_again(real)
    assert boot(real) == booted


@pytest.mark.crash
def test_after_everything_is_killed_up_resumes_the_server(real: TestCloud) -> None:
    booted = boot(real)
    os.kill(real.pid("supervisor"), signal.SIGKILL)
    for pid in [pid for pid, _ in real.processes()] + guests(real):
        with contextlib.suppress(ProcessLookupError):       # some end by themselves without the supervisor
            os.kill(pid, signal.SIGKILL)
    real.eventually(lambda: real.processes() + guests(real), lambda left: not left)
    real.run("up")
    answers_again(real)
    assert boot(real) != booted


def test_down_stops_the_server_and_leaves_no_namespace(real: TestCloud) -> None:
    real.run("down")
    assert real.processes() == []
    assert guests(real) == []
    assert not any(real.directory.instance in line for line in footprint())
    assert not real.directory.run.exists()
    real.run("up")
    answers_again(real)


def test_servers_stay_off_after_a_boot_where_the_administrator_says_so(real: TestCloud) -> None:
    real.run("down")
    toml = real.directory.configuration
    toml.write_text(toml.read_text().replace("resume_guests_state_on_host_boot = true",
                                             "resume_guests_state_on_host_boot = false"))
    real.run("up")
    real.eventually(lambda: real.openstack("server", "show", "first")["status"], lambda status: status == "SHUTOFF")
    assert guests(real) == []
    real.run("quickstart")          # asked for by somebody
    assert ssh(real, "hostname") == "first"
