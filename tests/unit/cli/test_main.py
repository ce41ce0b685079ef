"""The command line itself: help, exit codes, one-line errors, and how little it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stackling.cli.main import COMMANDS

HEAVY = ("asyncio", "falcon", "httpx", "msgspec", "rich", "sqlalchemy", "urllib.request", "uvicorn", "yaml", "ssl")


def call(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stackling.cli.main", *words], capture_output=True, text=True,
                          timeout=60, check=False, env={**os.environ, **(env or {})})


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = call("--help")
    assert done.returncode == 0
    for name in (*COMMANDS, "Exit codes"):
        assert name in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_that_fits_the_terminal(name: str) -> None:
    done = call(name, "--help")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_loads_nothing_heavy() -> None:
    script = ("import sys; from stackling.cli.main import run; run(['--help']); "
              f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_wrong_usage_is_2() -> None:
    assert call("nonsense").returncode == 2
    assert call("up", "--hosts", "0").returncode == 2
    assert call("up", "--isolated", "--nat").returncode == 2


@pytest.mark.parametrize("words", [("status",), ("launch", "x"), ("ssh", "x"), ("ip", "list"), ("explain", "x")])
def test_without_a_cloud_each_command_says_how_to_make_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = call(*words, env={"STACKLING_STATE_DIR": str(tmp_path / "none")})
    assert done.returncode == 4
    assert "stackling up" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_down_without_a_cloud_is_fine(tmp_path: Path) -> None:
    assert call("down", env={"STACKLING_STATE_DIR": str(tmp_path / "none")}).returncode == 0


def test_an_unreadable_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "stackling.toml").write_text("colour = 1\n")
    done = call("status", "--state-dir", str(tmp_path))
    assert done.returncode == 1
    assert "unknown key 'colour'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cloud_that_does_not_answer_is_4(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").write_text(
        'clouds:\n  stackling:\n    auth:\n      auth_url: http://127.0.0.1:9/identity/v3\n      password: "x"\n')
    done = call("launch", "x", "--state-dir", str(tmp_path))
    assert done.returncode == 4
    assert "no cloud answers at 127.0.0.1:9" in done.stderr
