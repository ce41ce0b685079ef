"""``stackling audit``: whether what is there is what is known."""

from __future__ import annotations

import time
from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import options, output
from stackling.cli.problem import FAILED, TIMED_OUT, Problem
from stackling.deploy.embedded.directory import StateDirectory

LOOK = 0.2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Compare what is there with what the cloud knows."""


@command.command()
@click.option("--fix", is_flag=True, help="Remove what is left of what was deleted.")
@click.option("--timeout", type=click.FloatRange(min=1), default=300.0, show_default=True, metavar="SECONDS",
              help="How long to wait for it.")
@options.state_dir
@options.output_format
def storage(directory: StateDirectory, fix: bool, timeout: float, style: str) -> int:
    """Compare volumes, their snapshots and backups with where they lie.

    "left over" is of something that was deleted: --fix removes it. "unknown" is nobody's that the cloud knows of: it is
    never touched. "missing" is what should be there and isn't. Exit code 1 where something is left.
    """
    client = clients.connect(directory)
    number = client.post("stackling", "/storage_audit", {"fix": fix})["storage_audit"]["number"]
    deadline = time.monotonic() + timeout
    while (found := client.get("stackling", "/storage_audit")["storage_audit"]) is None or found["number"] < number:
        if time.monotonic() > deadline:
            raise Problem(f"the audit isn't done after {timeout:g} s; `stackling status` says whether the engine runs",
                          TIMED_OUT)
        time.sleep(LOOK)
    return _show(style, found)


def _show(style: str, found: dict[str, Any]) -> int:
    rows = [[one["what"], one["id"], one["where"], one["state"], one["detail"]] for one in found["findings"]]
    output.show(style, found, *([(["what", "id", "where", "state", ""], rows)] if rows else []))
    if style != "json" and not rows:
        click.echo("Everything is where it should be.")
    if style != "json" and found["more"]:
        click.echo(f"… and {found['more']} more")
    return FAILED if any(one["state"] != "removed" for one in found["findings"]) else 0
