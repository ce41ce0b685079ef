"""The command line itself: help, exit codes, one-line errors, and how little it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stackling.cli import output
from stackling.cli.main import COMMANDS, stackling

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


def leaves(group: click.Group = stackling, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *above, name)
        else:
            yield (*above, name), command


BECOME_ANOTHER_PROGRAM = {("ssh",), ("lab", "ssh"), ("lab", "exec"), ("lab", "run")}


def test_every_command_can_answer_in_json() -> None:
    without = {words for words, command in leaves() if not any("--format" in one.opts for one in command.params)}
    assert without == BECOME_ANOTHER_PROGRAM


def test_help_loads_nothing_heavy() -> None:
    script = ("import sys; from stackling.cli.main import run; run(['--help']); "
              f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_wrong_usage_is_2() -> None:
    assert call("nonsense").returncode == 2
    assert call("up", "--hosts", "0").returncode == 2
    assert call("up", "--isolated", "--nat").returncode == 2


@pytest.mark.parametrize(("words", "says"), [
    (("nonsense",), "there is no command 'nonsense' (see `stackling --help`)"),
    (("exlpain", "x"), "there is no command 'exlpain'; did you mean explain? (see `stackling --help`)"),
    (("launch",), "Missing argument 'NAME' (see `stackling launch --help`)"),
    (("ip", "attach"), "Missing argument 'SERVER' (see `stackling ip attach --help`)"),
    (("ip", "nonsense"), "No such command 'nonsense' (see `stackling ip --help`)"),
    (("ha", "simulate", "nonsense", "m1"), "(see `stackling ha simulate --help`)"),
    (("status", "--format", "xml"), "(see `stackling status --help`)"),
    (("up", "--isolated", "--nat"), "--isolated and --nat exclude each other (see `stackling up --help`)"),
])
def test_wrong_usage_is_one_line_with_the_next_step(words: tuple[str, ...], says: str) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("stackling: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.rstrip().endswith(says)


@pytest.mark.parametrize("words", [("status",), ("launch", "x"), ("ssh", "x"), ("ip", "list"), ("explain", "x")])
def test_without_a_cloud_each_command_says_how_to_make_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = call(*words, env={"STACKLING_STATE_DIR": str(tmp_path / "none")})
    assert done.returncode == 4
    assert "stackling up" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_one_is_no_plural() -> None:
    assert [output.number(count, "server") for count in (0, 1, 2)] == ["0 servers", "1 server", "2 servers"]


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
