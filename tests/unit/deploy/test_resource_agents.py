"""What the resource agents conclude of what systemd says; ``systemctl`` is a script."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from stackling.deploy.cluster.paths import Paths
from stackling.deploy.pacemaker import files
from stackling.deploy.pacemaker.agents import attributes, host, machine, services
from stackling.deploy.pacemaker.agents.resource import Call, Code, Failed


def away(_call: Call, _limit: float) -> None:
    """What a service that doesn't run is like."""
    raise ConnectionRefusedError


SERVICE = services.Service(lambda call: ("x.service",), away, limit=1.0, patience=0.3)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A call; ``systemctl show`` prints what is in the file ``said``."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\ncase "$*" in *" show "*) cat {tmp_path}/said;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Call({}, "x", time.monotonic() + 20)


def says(directory: Path, active: str, job: str) -> None:
    (directory / "said").write_text(f"Id=x.service\nLoadState=loaded\nActiveState={active}\nSubState=dead\n{job}\n")


def test_a_unit_that_waits_for_another_one_is_on_its_way(tmp_path: Path, call: Call) -> None:
    says(tmp_path, "inactive", "Job=812")
    assert services.start(SERVICE, call) is Code.SUCCESS
    assert services.monitor(SERVICE, call) is Code.SUCCESS


@pytest.mark.parametrize("job", ["", "Job=0"])
def test_a_unit_that_nothing_starts_has_ended(tmp_path: Path, call: Call, job: str) -> None:
    says(tmp_path, "inactive", job)
    with pytest.raises(Failed, match="inactive"):
        services.start(SERVICE, call)
    assert services.monitor(SERVICE, call) is Code.NOT_RUNNING


def test_who_sends_clients_here_is_told_before_a_failure_is_certain(
        tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    tries: list[bool] = []

    def check(_call: Call, _limit: float) -> None:
        tries.append(True)
        if len(tries) > 1:
            raise Failed("it doesn't answer")

    monkeypatch.setattr(services, "PAUSE", 0.0)
    service = services.Service(lambda call: ("x.service",), check, limit=1.0, patience=0.3,
                               tell=lambda call, works: told.append(works))
    says(tmp_path, "active", "Job=0")
    assert services.monitor(service, call) is Code.SUCCESS
    assert (told, len(tries)) == ([True], 1)        # systemd wasn't asked
    with pytest.raises(Failed, match="doesn't answer"):
        services.monitor(service, call)
    assert (told, len(tries)) == ([True, False], 4)
    says(tmp_path, "activating", "Job=812")
    assert services.monitor(service, call) is Code.SUCCESS
    says(tmp_path, "inactive", "Job=0")
    assert services.monitor(service, call) is Code.NOT_RUNNING
    assert told == [True, False, False, False]


@pytest.mark.parametrize(("works", "value"), [(True, "1"), (False, "0")])
def test_pacemaker_is_told_whether_the_apis_answer_and_may_be_away(
        tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, works: bool, value: str) -> None:
    program = tmp_path / "attrd_updater"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/attribute\necho "Connection refused" >&2\nexit 102\n')
    program.chmod(0o755)
    monkeypatch.setattr(services, "MARKS", str(tmp_path / "marks"))
    attributes.serves(call, works)
    assert (tmp_path / "attribute").read_text() == f"--name stackling-serves --update {value}\n"


def test_pacemaker_is_told_only_news_and_now_and_then_the_same(
        tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "attrd_updater"
    program.write_text(f'#!/bin/sh\necho "$4" >>{tmp_path}/attribute\nexit $(cat {tmp_path}/exit)\n')
    program.chmod(0o755)
    monkeypatch.setattr(services, "MARKS", str(tmp_path / "marks"))
    for code, works in (("1", True), ("0", True), ("0", True), ("0", False), ("0", False), ("0", True)):
        (tmp_path / "exit").write_text(code)
        attributes.serves(call, works)
    assert (tmp_path / "attribute").read_text().split() == ["1", "1", "0", "1"]     # the first was in vain
    monkeypatch.setattr(attributes, "AGAIN", 0.0)
    attributes.serves(call, True)
    assert (tmp_path / "attribute").read_text().split() == ["1", "1", "0", "1", "1"]


def test_what_a_monitor_imports_is_little(tmp_path: Path) -> None:
    """Most of what a monitor costs is what it imports, and each machine runs more than one a second."""
    for file in files.files(Paths(tmp_path)):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(file.content)
    look = (f"import sys; sys.path.insert(0, {str(tmp_path / files.LIBRARY)!r}); "
            f"from stackling_ocf import resource, {', '.join(files.AGENTS)}; print(*sys.modules)")
    loaded = subprocess.run(["/usr/bin/python3", "-IS", "-c", look], capture_output=True, text=True, timeout=60,
                            check=True).stdout.split()
    assert "stackling_ocf.control" in loaded
    assert not {"dataclasses", "enum", "json", "pathlib", "re", "socket", "ssl", "subprocess", "typing"} & {*loaded}


def test_a_host_stays_with_its_machine_when_identities_are_no_longer_taken_over(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MARKS", str(tmp_path))
    monkeypatch.setattr(host, "mode", lambda call: host.HELD)
    asked: list[str] = []
    monkeypatch.setattr(host, "tell", lambda call, verb: (asked.append(verb), ({"released": True}, ""))[1])
    call = Call({"host": "m1"}, "x", time.monotonic() + 20)
    monkeypatch.setattr(machine, "cluster", dict)
    assert host.stop(call) is Code.SUCCESS
    assert asked == []
    monkeypatch.setattr(machine, "cluster", lambda: {"take_over": "identity"})
    assert host.stop(call) is Code.SUCCESS
    assert asked == ["release"]


def test_the_stop_of_a_resource_that_was_removed_succeeds(tmp_path: Path) -> None:
    """Pacemaker gives it no parameters, and would fence the machine for a failure."""
    for file in files.files(Paths(tmp_path)):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(file.content)
        file.path.chmod(file.mode)
    program = tmp_path / "usr/lib/ocf/resource.d/stackling/host"
    for action, code in (("stop", Code.SUCCESS), ("start", Code.CONFIGURED)):
        done = subprocess.run([program, action], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
