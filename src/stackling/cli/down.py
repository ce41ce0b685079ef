"""``stackling down``."""

from __future__ import annotations

import click

from stackling.cli import local, options, output
from stackling.deploy.embedded import cloud
from stackling.deploy.embedded.directory import StateDirectory


@click.command()
@options.state_dir
@click.option("--purge", is_flag=True, help="Delete the cloud's data, too.")
def command(directory: StateDirectory, purge: bool) -> None:
    """Stop the cloud. No process, namespace, mount, route or interface of it is left; its data stays."""
    stop(directory, purge)


def stop(directory: StateDirectory, purge: bool) -> None:
    """Stop the cloud, and delete its data when *purge* is set."""
    if not directory.root.exists():
        click.echo(f"there is no cloud in {directory.root}", err=True)
        return
    steps = output.Steps()
    with local.explained(), steps.step("cloud is purged" if purge else "cloud is down"):
        (cloud.purge if purge else cloud.down)(directory, lambda name, _what: steps.note(f"stopping {name}"))
