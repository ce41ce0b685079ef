"""``stackling purge``."""

from __future__ import annotations

import click

from stackling.cli import options
from stackling.cli.down import stop
from stackling.deploy.embedded.directory import StateDirectory


@click.command()
@options.state_dir
def command(directory: StateDirectory) -> None:
    """Stop the cloud and delete its data: servers, images, networks, credentials."""
    stop(directory, purge=True)
