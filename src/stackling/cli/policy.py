"""``stackling policy``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from stackling.api import policies
from stackling.api.policies import Effective
from stackling.api.policy_file import PolicyFileError
from stackling.cli import options, output
from stackling.cli.problem import NOT_FOUND, Problem
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.embedded.directory import SYSTEM_DIRECTORY, StateDirectory


@click.command()
@click.argument("service", required=False)
@click.option("--changed", is_flag=True, help="Only what differs from the defaults.")
@options.state_dir
@options.output_format
def command(directory: StateDirectory, service: str | None, changed: bool, style: str) -> None:
    """Show the access rules in force, those of SERVICE or all, and check the administrator's own.

    Rules and their language are OpenStack's; they are shown as they are written to a file. To change some, write them
    to policy/SERVICE.yaml in the state directory (in a cluster: to /etc/stackling/policy/SERVICE.yaml on each control
    machine); running processes take them within a second.
    """
    place = _place(directory)
    try:
        found = list(policies.effective(place))
    except PolicyFileError as error:
        raise Problem(str(error)) from None
    if service is not None and service not in (known := policies.services()):
        raise Problem(f"there is no service {service}; there are {', '.join(known)}", NOT_FOUND)
    chosen = [one for one in found if service in (None, one.service) and (one.line is not None or not changed)]
    if style == "json":
        output.show(style, [asdict(one) for one in chosen])
        return
    for name in dict.fromkeys(one.service for one in chosen):
        click.echo(f"# policy/{name}.yaml")
        for one in chosen:
            if one.service == name:
                click.echo(f"{json.dumps(one.rule)}: {json.dumps(one.check)}{_source(one)}")


def _place(directory: StateDirectory) -> Path:
    paths = Paths()
    return paths.policies if directory.root == SYSTEM_DIRECTORY and paths.cluster.exists() else directory.policies


def _source(one: Effective) -> str:
    if one.line is None:
        return ""
    return f"    # line {one.line}" if one.used else f"    # line {one.line}; nobody asks for it"
