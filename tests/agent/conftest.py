"""A real agent process against a scripted control node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_control import CREDENTIAL, FakeControl


class AgentProcess:
    """``python -m stackling.main.agent`` with its own state directory, in the network namespace *netns*."""

    def __init__(self, directory: Path, control: FakeControl, /, netns: str | None = None, **settings: Any) -> None:
        self.directory = directory
        self._enter = ("nsenter", f"--net=/run/netns/{netns}", "--") if netns else ()
        self.boot_id = directory / "boot-id"
        self.boot_id.write_text("boot-1\n")
        (directory / "credential").write_text(CREDENTIAL + "\n")
        tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
        values: dict[str, Any] = {
            "state_dir": str(directory / "agent"), "machine": control.machine, "host": control.host,
            "credential_file": str(directory / "credential"), "control": [control.url], "driver": "simulated",
            "boot_id_file": str(self.boot_id), "wait": 5, "heartbeat": 1.0, "sweep": 1.0,
            "log_file": str(directory / "agent.log")}
        values |= {name: value for name, value in settings.items() if name not in tables}
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        for table, content in tables.items():
            lines += [f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in content.items())]
        self.config = directory / "agent.toml"
        self.config.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> AgentProcess:
        self.process = subprocess.Popen([*self._enter, sys.executable, "-m", "stackling.main.agent", "--config",
                                         str(self.config)])
        return self

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def log(self) -> str:
        path = self.directory / "agent.log"
        return path.read_text() if path.exists() else ""

    def _end(self, number: int) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        status = self.process.wait(15)
        self.process = None
        return status


@pytest.fixture
def control(tmp_path: Path) -> Iterator[FakeControl]:
    server = FakeControl(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def agent(tmp_path: Path, control: FakeControl) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path, control)
    yield process
    process.kill()
