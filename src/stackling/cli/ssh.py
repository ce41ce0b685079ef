"""``stackling ssh``."""

from __future__ import annotations

import os

import click

from stackling.cli import client as clients
from stackling.cli import options, servers
from stackling.cli.problem import Problem
from stackling.deploy.embedded.directory import StateDirectory


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("remote", nargs=-1, metavar="[-- COMMAND]")
@click.option("--user", "-l", metavar="USER", help="The account.  [default: the image's]")
@click.option("--identity", "-i", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
              help="The private key.  [default: the one made by `stackling launch`]")
@options.state_dir
def command(directory: StateDirectory, name: str, remote: tuple[str, ...], user: str | None,
            identity: str | None) -> None:
    """Log in to server NAME on its floating IP, or run COMMAND there."""
    client = clients.connect(directory)
    server = servers.get(client, name)
    if server["status"] != "ACTIVE":
        servers.require_no_fault(server)
        raise Problem(f"{name} is {server['status']}; only an active server can be logged in to")
    door = servers.door(client, directory, server, user, identity)
    argv = [*door.command, *(("--", *remote) if remote else ())]
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        raise Problem(f"{argv[0]} isn't installed; run ./setup") from None
