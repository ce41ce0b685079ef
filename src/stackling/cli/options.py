"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from stackling.deploy.embedded.directory import ENVIRONMENT, StateDirectory

Command = Callable[..., Any]


def _directory(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> StateDirectory:
    return StateDirectory.at(value)


state_dir = click.option(
    "--state-dir", "directory", type=click.Path(file_okay=False), callback=_directory, envvar=ENVIRONMENT,
    metavar="DIR", help=f"Where the cloud's data is.  [env: {ENVIRONMENT}; default: /var/lib/stackling for root, "
                        f"else ~/.local/state/stackling]")
"""``directory``: a ``StateDirectory``."""

output_format = click.option(
    "--format", "-f", "style", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="How to show the result.")
"""``style``: ``table`` or ``json``."""
