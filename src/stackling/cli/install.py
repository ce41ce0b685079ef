"""``stackling install``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stackling.cli import cluster, options, output
from stackling.cli.problem import Problem
from stackling.deploy.cluster import apply, setup, systemd
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.embedded import unit
from stackling.deploy.embedded.directory import StateDirectory


@click.command()
@options.state_dir
@click.option("--no-start", is_flag=True, help="Only write files and enable units.")
@options.output_format
@cluster.root_option
def command(directory: StateDirectory, no_start: bool, style: str, root: Path) -> None:
    """Have systemd start this machine's cloud at boot.

    On a machine of a cluster this writes the units and the configuration of everything that runs there, and can be
    repeated after the description (cluster.toml) was changed. Otherwise it makes the unit "stackling.service", which
    runs the cloud of the state directory.
    """
    paths = Paths(root)
    if root == Path("/") and os.geteuid() != 0:
        raise Problem("only root can install units")
    with cluster.explained():
        changed = setup.set_up(paths, start=not no_start) if paths.cluster.exists() else _alone(
            directory, paths, start=not no_start)
    output.done(style, {"written": [str(path) for path in changed]},
                "\n".join(f"written: {path}" for path in changed) or "everything is in place", err=False)


def _alone(directory: StateDirectory, paths: Paths, *, start: bool) -> list[Path]:
    name = unit.name(directory)
    changed = apply.apply([ConfigFile(paths.root / "etc/systemd/system" / name, unit.text(directory).encode())])
    if paths.root == Path("/"):
        if not systemd.is_here():
            raise Problem("this machine isn't run by systemd; start the cloud with `stackling up`")
        systemd.reload()
        systemd.enable([name], now=start)
    return changed
