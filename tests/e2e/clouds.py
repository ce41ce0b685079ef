"""Whole clouds for tests: real processes in a state directory of their own, driven by the commands that people use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stackling.deploy.embedded import processes
from stackling.deploy.embedded.directory import StateDirectory

T = TypeVar("T")
BIN = Path(sys.executable).parent
LIMIT = 120


@dataclass(frozen=True)
class TestCloud:
    """A cloud and the clients of it."""

    __test__ = False
    directory: StateDirectory
    netns: str | None = None
    """The network namespace that stands for the machine; None: the test's own."""

    def run(self, *words: str, check: bool = True, timeout: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """``stackling`` on this cloud."""
        command = {"ip": 2, "ha": 2, "storage": len(words)}.get(words[0], 1)
        return _run([*self._enter, str(BIN / "stackling"), *words[:command], "--state-dir", str(self.directory.root),
                     *words[command:]], check=check, timeout=timeout)

    def stackling(self, *words: str) -> Any:
        """``stackling … --format json``, decoded."""
        return json.loads(self.run(*words, "--format", "json").stdout)

    def openstack(self, *words: str, check: bool = True) -> Any:
        """The unmodified ``openstack`` command as the administrator; its JSON, or its output where there is none."""
        json_ = ("-f", "json") if _shows(words) else ()
        done = _run([*self._enter, str(BIN / "openstack"), "--os-cloud", "stackling", *words, *json_], check=check,
                    env={"OS_CLIENT_CONFIG_FILE": str(self.directory.clouds_yaml)})
        return json.loads(done.stdout) if _shows(words) and done.returncode == 0 else done

    @property
    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self.netns}", "--") if self.netns else ()

    def pid(self, name: str) -> int:
        """The pid in a process's pid file."""
        found = processes.read_pid(self.directory.pid_file(name))
        assert found is not None, f"{name} has no pid file"
        return found

    def processes(self) -> list[tuple[int, str]]:
        """Every living process of the cloud."""
        return sorted(processes.everyone(self.directory.digest))

    def eventually(self, look: Callable[[], T], good: Callable[[T], object], timeout: float = 90) -> T:
        """What *look* gives as soon as it is *good*; fails the test after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while True:
            found = look()
            if good(found):
                return found
            assert time.monotonic() < deadline, f"still {found} after {timeout} s"
            time.sleep(0.1)


def _run(command: list[str], *, check: bool, timeout: float = LIMIT, env: dict[str, str] | None = None,
         ) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "STACKLING_"))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, env={**clean, **(env or {})})
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def _shows(words: tuple[str, ...]) -> bool:
    """Whether the command prints fields, which it can then print as JSON."""
    return not {"list", "show", "create", "issue"}.isdisjoint(words) and words[:2] != ("console", "log")


@contextmanager
def cloud(*options: str, netns: str | None = None) -> Iterator[TestCloud]:
    """A cloud that is up, on the machine *netns*; purged at the end, and checked to have left nothing."""
    with tempfile.TemporaryDirectory(prefix="stk-e2e-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        made = TestCloud(StateDirectory.at(Path(folder) / "state"), netns)
        try:
            made.run("up", *options)
            yield made
        finally:
            made.run("purge")
            left = made.processes()
            assert left == [], f"processes are left: {left}"
            assert not made.directory.run.exists()
