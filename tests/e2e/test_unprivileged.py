"""The command of somebody who isn't root: how soon it answers, what it says as JSON, and what it says when it can't.

As root these tests become another account; then the checkout must be readable by others.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from stackling.deploy.embedded import processes
from stackling.deploy.embedded.directory import StateDirectory
from tests.e2e.clouds import BIN

pytestmark = pytest.mark.e2e
NOBODY = 65534
ROLES = {"supervisor", "control-api", "control-engine", "agent"}
UP, HELP = 2 * 1.5, 0.15    # the budgets, in seconds of processor time: two cores in 1.5 s, and one in 0.15 s
BUSY = 2.0                  # how much more it may be where others use the same cores and caches


@dataclass(frozen=True)
class Person:
    """Somebody with a home."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def account(self) -> int:
        return self.home.stat().st_uid

    @property
    def directory(self) -> StateDirectory:
        """Where this person's cloud is by default."""
        return StateDirectory.at(self.home / ".local" / "state" / "stackling")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """``stackling``, in a session of its own."""
        become = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups") if os.geteuid() == 0 \
            else ()
        return subprocess.Popen([*become, str(BIN / "stackling"), *words], text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", start_new_session=True,
                                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.home),
                                     **self.environment})

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """``stackling``; its exit code must be *code*."""
        program = self.start(*words)
        out, err = program.communicate(timeout=120)
        assert program.returncode == code, f"{words}: {program.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, program.returncode, out, err)

    def json(self, *words: str, code: int = 0) -> Any:
        """What it prints as JSON; nothing else may be said."""
        done = self.run(*words, "--format", "json", code=code)
        assert done.stderr == "", done.stderr
        return json.loads(done.stdout)

    def processes(self) -> list[tuple[int, str]]:
        """Those of this person's cloud."""
        return sorted(processes.everyone(self.directory.digest))


@pytest.fixture(scope="module")
def anybody() -> Iterator[Person]:
    """Somebody new. Whatever clouds are made in the home are taken away again."""
    with tempfile.TemporaryDirectory(prefix="stk-home-", dir="/var/tmp") as folder:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        person = Person(Path(folder))
        if person.start("--version").wait(60) != 0:
            pytest.skip(f"{BIN} can't be read by others")
        yield person
        person.run("purge")
        assert person.processes() == []


@pytest.fixture(scope="module")
def person(anybody: Person) -> Person:
    """Somebody whose cloud is up, with a server ``first``."""
    anybody.run("up", "--simulated", "--hosts", "3")
    anybody.run("quickstart")
    return anybody


# -- how soon


def used() -> float:
    """Seconds of processor time that the commands took so far. It doesn't depend on what else this machine does."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_cloud_answers_within_its_budget(anybody: Person) -> None:
    taken: list[float] = []
    for number in range(3):
        root, began = str(anybody.home / f"quick-{number}"), used()
        made = anybody.json("up", "--simulated", "--hosts", "10", "--state-dir", root)
        own = used() - began
        assert httpx.get(f"{made['api']}/identity/v3").status_code == 200
        rows = anybody.json("status", "--state-dir", root)["processes"]
        taken.append(own + sum(row["cpu_seconds"] for row in rows))
        anybody.run("purge", "--state-dir", root)
        assert not Path(root).exists()
    assert min(taken) < UP * BUSY, taken


def test_help_comes_at_once(anybody: Person) -> None:
    def seconds() -> float:
        began = used()
        anybody.run("--help")
        return used() - began

    assert min(seconds() for _ in range(5)) < HELP * BUSY


# -- what is there


def test_the_state_directory_has_what_clients_and_supervisors_look_for(person: Person) -> None:
    root = person.directory.root
    clouds = root / "clouds.yaml"
    assert clouds.stat().st_mode & 0o777 == 0o600
    cloud = yaml.safe_load(clouds.read_text())["clouds"]["stackling"]
    assert cloud["auth"]["username"] == "admin"
    assert httpx.get(cloud["auth"]["auth_url"]).status_code in (200, 300)
    pids = {path.stem: int(path.read_text()) for path in root.glob("*.pid")}
    assert set(pids) == ROLES
    assert set(pids.values()) <= {pid for pid, _ in person.processes()}
    assert {Path(f"/proc/{pid}").stat().st_uid for pid, _ in person.processes()} == {person.account}


def test_another_shell_finds_the_same_cloud(person: Person) -> None:
    """Without root the sockets' place depends on the environment; that of who started it counts."""
    (person.home / "runtime").mkdir(exist_ok=True)
    os.chown(person.home / "runtime", person.account, -1)
    other = Person(person.home, {"XDG_RUNTIME_DIR": str(person.home / "runtime")})
    before = person.processes()
    assert other.json("status")["up"]
    other.run("up")
    assert person.processes() == before


# -- what is said


def test_every_command_speaks_json(person: Person) -> None:
    said = person.json
    assert said("up")["api"] == said("status")["api"]
    assert {one["name"] for one in said("status")["processes"]} == ROLES
    assert said("quickstart")["server"] == "first"
    assert said("launch", "web", "--no-ip")["status"] == "ACTIVE"
    address = said("ip", "attach", "web")["floating_ip"]
    assert {one["floating_ip"]: one["server"] for one in said("ip", "list")}[address] == "web"
    assert said("explain", "web")[0]["kind"] == "server"
    assert said("ip", "detach", "web", "--release") == [{"floating_ip": address, "released": True}]
    doctor = json.loads(person.start("doctor", "--format", "json").communicate(timeout=60)[0])
    assert {one["check"] for one in doctor} >= {"KVM", "module openvswitch", "port", "disk", "time"}
    assert said("policy", "compute")
    assert said("audit", "storage")
    assert {one["name"] for one in said("ha", "machines")} == {"host-1", "host-2", "host-3"}
    assert said("ha", "stop", "host-3", "--for", "90s")["seconds"] == 90
    assert said("ha", "resume", "host-3")["machine"] == "host-3"
    assert said("ha", "simulate", "device", "host-3", "ok")["behaviour"] == "ok"


@pytest.mark.parametrize(("words", "code", "says"), [
    (("launch", "x", "--image", "nope"), 3, "there is no image nope"),
    (("launch", "x", "--flavor", "nope"), 3, "there is no flavor nope; there are m1"),
    (("launch", "x", "--network", "nope"), 3, "there is no network nope"),
    (("launch", "x", "--key", "nope"), 3, "nope is neither a key pair nor a public key file"),
    (("launch", "x" * 300), 1, "255"),
    (("ssh", "nope"), 3, "`stackling launch nope` makes one"),
    (("ssh", "first"), 1, "simulated: there is nothing to log in to"),
    (("ip", "attach", "nope"), 3, "there is no server nope"),
    (("ip", "attach", "first", "192.0.2.1"), 3, "`stackling ip list` shows them"),
    (("ip", "detach", "nope"), 3, "there is no server nope"),
    (("explain", "nope"), 3, "nothing is known of nope"),
    (("ha", "machines", "nope"), 3, "nope"),
    (("up", "--hosts", "7"), 1, "run `stackling down` before you change it to 7"),
    (("up", "--state-dir", "/proc/x"), 1, "can't be written to; use --state-dir"),
    (("up", "--state-dir", "~new"), 1, "without it, use `stackling up --simulated`"),
    (("status", "--state-dir", "/nowhere"), 4, "`stackling up` makes one"),
    (("up", "--hosts", "0"), 2, "see `stackling up --help`"),
    (("up", "--isolated", "--nat"), 2, "exclude each other (see `stackling up --help`)"),
    (("status", "--format", "xml"), 2, "see `stackling status --help`"),
    (("launch",), 2, "Missing argument 'NAME' (see `stackling launch --help`)"),
    (("status", "--colour"), 2, "No such option"),
    (("lunch", "x"), 2, "there is no command 'lunch'; did you mean launch?"),
], ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "")
def test_what_cant_be_is_one_line_with_the_next_step(person: Person, words: tuple[str, ...], code: int,
                                                      says: str) -> None:
    before = person.processes()
    done = person.run(*(word.replace("~", f"{person.home}/") for word in words), code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("stackling: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert person.processes() == before


# -- interrupted, and all at once


def test_many_ups_at_once_make_one_cloud(anybody: Person) -> None:
    person = Person(anybody.home / "together")
    person.home.mkdir()
    os.chown(person.home, anybody.account, -1)
    ups = [person.start("up", "--simulated") for _ in range(4)]
    said = [up.communicate(timeout=120) for up in ups]
    assert [up.returncode for up in ups] == [0] * 4, said
    assert len({out for out, _ in said}) == 1
    assert [name for _, name in person.processes() if name == "supervisor"] == ["supervisor"]
    person.run("purge")
    assert person.processes() == []
    assert list(person.directory.root.parent.iterdir()) == []


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_start_that_is_cut_short_anywhere_is_resumed(anybody: Person, number: signal.Signals) -> None:
    """``quickstart`` is what ``make cloud`` runs; it is stopped a little later each time until it gets to its end."""
    person = Person(anybody.home / f"resumed-{number}")
    person.home.mkdir()
    os.chown(person.home, anybody.account, -1)
    for tries in range(60):
        program = person.start("quickstart", "--simulated")
        try:
            err = program.communicate(timeout=0.3 + 0.08 * tries)[1]
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, number)
            err = program.communicate(timeout=60)[1]
            assert "Traceback" not in err or "import main" in err       # Python's own, while it still loads
            if number is signal.SIGINT and program.returncode != 0:
                assert program.returncode in (130, -number), err
            continue
        assert program.returncode == 0, err
        break
    else:
        pytest.fail("it never got to its end")
    assert tries, "it was never cut short"
    facts = person.json("quickstart", "--simulated")
    assert facts["server"] == "first"
    assert [one["floating_ip"] for one in person.json("ip", "list")] == [facts["floating_ip"]]
    status = person.json("status")
    assert status["up"]
    assert status["counts"]["servers"] == 1
    person.run("purge")
    assert person.processes() == []
    assert list(person.directory.root.parent.iterdir()) == []
