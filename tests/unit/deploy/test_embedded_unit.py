"""The unit that brings one machine's cloud back after a reboot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stackling.cli.main import run
from stackling.deploy.embedded import unit
from stackling.deploy.embedded.directory import StateDirectory


def test_the_system_s_cloud_and_others_have_units_of_their_own(tmp_path: Path) -> None:
    assert unit.name(StateDirectory.at("/var/lib/stackling")) == "stackling.service"
    assert unit.name(StateDirectory.at(tmp_path)) == f"stackling-{StateDirectory.at(tmp_path).digest}.service"


def test_the_unit_runs_up_and_down_and_kills_nothing_else(tmp_path: Path) -> None:
    text = unit.text(StateDirectory.at("/var/lib/stackling"))
    lines = text.splitlines()
    assert any(line.startswith("ExecStart=/") and line.endswith("up --state-dir /var/lib/stackling") for line in lines)
    assert any(line.startswith("ExecStop=/") and line.endswith("down --state-dir /var/lib/stackling") for line in lines)
    assert {"Type=forking", "KillMode=process", "PIDFile=/var/lib/stackling/supervisor.pid",
            "WantedBy=multi-user.target"} <= set(lines)
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    file = tmp_path / "stackling.service"
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_install_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, cloud = tmp_path / "root", tmp_path / "cloud"
    assert run(["install", "--root", str(root), "--state-dir", str(cloud)]) == 0
    name = unit.name(StateDirectory.at(cloud))
    assert (root / "etc/systemd/system" / name).read_text() == unit.text(StateDirectory.at(cloud))
    assert name in capsys.readouterr().out
