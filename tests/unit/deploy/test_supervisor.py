"""The supervisor with trivial processes: order, restart, adoption, stopping."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stackling.deploy.embedded import processes, stop
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.process import ProcessSpec
from stackling.deploy.embedded.supervisor import pause

RUNNER = """
import pickle, socket, sys
from pathlib import Path
from stackling.deploy.embedded.supervisor import Supervisor
specs, digest, root, fd = pickle.loads(bytes.fromhex(sys.argv[1]))
Supervisor(specs, digest, Path(root), Path(root), socket.socket(fileno=fd)).run()
"""
SLEEPER = "import signal, sys, pathlib; {before}; pathlib.Path(sys.argv[1]).touch(); signal.pause()"


@dataclass
class Lab:
    """A state directory with a supervisor in it."""

    directory: StateDirectory
    specs: list[ProcessSpec] = field(default_factory=list)
    supervisors: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def sleeper(self, name: str, *, before: str = "pass", **options: object) -> ProcessSpec:
        ready = self.directory.root / f"{name}.ready"
        argv = (sys.executable, "-c", SLEEPER.format(before=before), str(ready))
        spec = ProcessSpec(name, argv, ready=ready, **options)      # type: ignore[arg-type]
        self.specs.append(spec)
        return spec

    def start(self) -> None:
        import pickle

        path = self.directory.root / "socket"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(8)
        setup = pickle.dumps((self.specs, self.directory.digest, str(self.directory.root), listener.fileno())).hex()
        self.supervisors.append(subprocess.Popen(
            [sys.executable, "-c", RUNNER, setup], pass_fds=(listener.fileno(),), start_new_session=True,
            env={**os.environ, **processes.mark(self.directory.digest, "supervisor")}))
        self.directory.pid_file("supervisor").write_text(str(self.supervisors[-1].pid))
        listener.close()

    def until(self, condition) -> dict[str, dict]:
        """The first snapshot in which *condition* holds, by process name."""
        import json

        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(self.directory.root / "socket"))
            for line in client.makefile():
                found = {process["name"]: process for process in json.loads(line)["processes"]}
                if condition(found):
                    return found
        raise AssertionError("the supervisor left")

    def until_ready(self) -> dict[str, dict]:
        return self.until(lambda found: all(process["state"] == "ready" for process in found.values()))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(StateDirectory.at(tmp_path))
    yield lab
    for supervisor in lab.supervisors:
        supervisor.kill()
        supervisor.wait()
    processes_left = list(processes.everyone(lab.directory.digest))
    stop.kill_strays(lab.directory.digest)
    for pid, _ in processes_left:       # ours by adoption, if we are a subreaper; otherwise init's
        assert ended(pid, 5)


def ended(pid: int, timeout: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], timeout)[0])
    finally:
        os.close(fd)


def test_processes_start_after_those_that_they_need(lab: Lab) -> None:
    first = lab.directory.root / "first.ready"
    lab.sleeper("second", before=f"assert pathlib.Path({str(first)!r}).exists(), 'too early'", after=("first",))
    lab.sleeper("first", before="import time; time.sleep(0.2)")
    lab.start()
    found = lab.until_ready()
    assert [found[name]["failures"] for name in ("first", "second")] == [0, 0]
    for name in found:
        assert int(lab.directory.pid_file(name).read_text()) == found[name]["pid"]
        assert os.getsid(found[name]["pid"]) == found[name]["pid"]


def test_a_killed_process_comes_back_and_the_others_stay(lab: Lab) -> None:
    lab.sleeper("one")
    lab.sleeper("two")
    lab.start()
    before = lab.until_ready()
    os.kill(before["one"]["pid"], signal.SIGKILL)
    after = lab.until(lambda found: found["one"]["state"] == "ready" and found["one"]["restarts"] == 1)
    assert after["one"]["pid"] != before["one"]["pid"]
    assert after["two"]["pid"] == before["two"]["pid"]


def test_what_a_killed_process_leaves_in_its_group_is_killed(lab: Lab) -> None:
    child = lab.directory.root / "child"
    lab.sleeper("one", before="import subprocess; "
                f"p = subprocess.Popen(['sleep', '60']); pathlib.Path({str(child)!r}).write_text(str(p.pid))")
    lab.start()
    pid = lab.until_ready()["one"]["pid"]
    orphan = int(child.read_text())
    os.kill(pid, signal.SIGKILL)
    assert ended(orphan, 5)


def test_a_process_that_keeps_failing_is_tried_with_growing_pauses_and_says_why(lab: Lab) -> None:
    lab.specs.append(ProcessSpec("bad", ("/bin/sh", "-c", "echo no luck; exit 3"), ready=lab.directory.root / "never"))
    lab.start()
    found = lab.until(lambda found: found["bad"]["failures"] >= 3)
    assert found["bad"]["error"] == "ended with exit code 3"
    assert "no luck" in (lab.directory.root / "bad.out").read_text()
    pauses = [pause(failures) for failures in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0
    assert pauses[-1] <= 10


def test_a_program_that_does_not_exist_is_a_failure_like_any_other(lab: Lab) -> None:
    lab.specs.append(ProcessSpec("none", ("/nonexistent/program",)))
    lab.sleeper("one")
    lab.start()
    found = lab.until(lambda found: found["none"]["failures"] >= 2 and found["one"]["state"] == "ready")
    assert "No such file" in found["none"]["error"]


def test_processes_outlive_the_supervisor_and_its_successor_watches_them(lab: Lab) -> None:
    lab.sleeper("one")
    lab.sleeper("two")
    lab.start()
    before = lab.until_ready()
    lab.supervisors[-1].kill()
    lab.supervisors[-1].wait()
    os.kill(before["two"]["pid"], signal.SIGKILL)
    assert ended(before["two"]["pid"], 5)
    lab.start()
    after = lab.until_ready()
    assert after["one"]["pid"] == before["one"]["pid"]
    assert after["two"]["pid"] != before["two"]["pid"]
    os.kill(after["one"]["pid"], signal.SIGKILL)
    lab.until(lambda found: found["one"]["state"] == "ready" and found["one"]["restarts"] == 1)


def test_a_process_whose_pid_was_never_written_is_found(lab: Lab) -> None:
    lab.sleeper("one")
    lab.start()
    before = lab.until_ready()
    lab.supervisors[-1].kill()
    lab.supervisors[-1].wait()
    lab.directory.pid_file("one").unlink()
    lab.start()
    assert lab.until_ready()["one"]["pid"] == before["one"]["pid"]
    assert int(lab.directory.pid_file("one").read_text()) == before["one"]["pid"]


def test_a_pid_that_belongs_to_somebody_else_is_not_believed(lab: Lab) -> None:
    lab.sleeper("one")
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        lab.directory.pid_file("one").write_text(str(stranger.pid))
        lab.start()
        assert lab.until_ready()["one"]["pid"] != stranger.pid
        stop.stop(lab.directory, lab.specs)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_ends_in_reverse_order_and_leaves_nothing(lab: Lab) -> None:
    lab.sleeper("base")
    lab.sleeper("middle", after=("base",))
    lab.sleeper("top", after=("middle", "base"))
    lab.start()
    pids = {name: process["pid"] for name, process in lab.until_ready().items()}
    order: list[str] = []
    stop.stop(lab.directory, lab.specs, order.append)
    assert order == ["top", "middle", "base"]
    assert all(ended(pid, 0) for pid in pids.values())
    assert not list(lab.directory.root.glob("*.pid"))
    assert lab.supervisors[-1].wait(5) == 0


def test_stop_works_without_a_supervisor_and_forces_who_does_not_listen(lab: Lab) -> None:
    lab.sleeper("deaf", before="signal.signal(signal.SIGTERM, signal.SIG_IGN)", stop_timeout=0.2)
    lab.start()
    pid = lab.until_ready()["deaf"]["pid"]
    lab.supervisors[-1].kill()
    lab.supervisors[-1].wait()
    stop.stop(lab.directory, lab.specs)
    assert ended(pid, 0)
    stop.stop(lab.directory, lab.specs)


def test_clients_of_a_restarted_listener_wait_instead_of_being_refused(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = ("import os, pathlib, socket, sys, time; s = socket.socket(fileno=int(os.environ['STACKLING_LISTEN_FD']));"
              "{}; pathlib.Path(sys.argv[1]).touch()\nwhile True: c, _ = s.accept(); c.sendall(b'hello'); c.close()")
    ready = lab.directory.root / "web.ready"
    lab.specs.append(ProcessSpec("web", (sys.executable, "-c", server.format("time.sleep(0.2)"), str(ready)),
                                 ready=ready, listen=("127.0.0.1", port)))
    lab.start()
    pid = lab.until_ready()["web"]["pid"]
    for restarts in range(1, 4):
        os.kill(pid, signal.SIGKILL)
        assert ended(pid, 5)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.recv(10) == b"hello"
        found = lab.until(lambda found, n=restarts: found["web"]["restarts"] == n and found["web"]["state"] == "ready")
        pid = found["web"]["pid"]


def test_a_step_that_is_done_once_is_ready_when_it_has_ended_well(lab: Lab) -> None:
    tries = lab.directory.root / "tries"
    script = 'echo x >> "$0"; [ $(wc -l < "$0") -ge 2 ]'
    lab.specs.append(ProcessSpec("step", ("/bin/sh", "-c", script, str(tries)), once=True))
    lab.sleeper("later", after=("step",), before=f"assert pathlib.Path({str(tries)!r}).read_text() == 'x\\nx\\n'")
    lab.start()
    found = lab.until_ready()
    assert found["step"]["pid"] is None
    assert found["step"]["restarts"] == 1
    assert found["later"]["failures"] == 0
