"""``stackling down``."""

from __future__ import annotations

import click

from stackling.cli import local, options, output
from stackling.deploy.embedded import cloud
from stackling.deploy.embedded.directory import StateDirectory


@click.command()
@options.state_dir
@click.option("--purge", is_flag=True, help="Delete the cloud's data, too.")
@options.output_format
def command(directory: StateDirectory, purge: bool, style: str) -> None:
    """Stop the cloud. No process, namespace, mount, route or interface of it is left; its data stays."""
    stop(directory, style, purge=purge)


def stop(directory: StateDirectory, style: str, *, purge: bool) -> None:
    """Stop the cloud, and delete its data when *purge* is set."""
    there = directory.root.exists()
    value = {"state_dir": str(directory.root), "there_was_one": there, "data": "deleted" if purge else "kept"}
    if not there:
        output.done(style, {**value, "data": "none"}, f"there is no cloud in {directory.root}")
        return
    steps = output.Steps(quiet=style == "json")
    with local.explained(), steps.step("cloud is purged" if purge else "cloud is down"):
        (cloud.purge if purge else cloud.down)(directory, lambda name, _what: steps.note(f"stopping {name}"))
    if style == "json":
        output.facts(style, value)
