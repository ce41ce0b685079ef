"""``stackling purge``."""

from __future__ import annotations

import click

from stackling.cli import options
from stackling.cli.down import stop
from stackling.deploy.embedded.directory import StateDirectory


@click.command()
@options.state_dir
@options.output_format
def command(directory: StateDirectory, style: str) -> None:
    """Stop the cloud and delete its data: servers, images, networks, credentials."""
    stop(directory, style, purge=True)
