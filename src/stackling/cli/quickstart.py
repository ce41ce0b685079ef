"""``stackling quickstart``: from nothing to a server that can be logged in to. ``make cloud`` calls it."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import launch, local, options, output, room, servers
from stackling.cli.client import Client, Refused
from stackling.cli.images import IMAGE, ensure_image
from stackling.cli.problem import TIMED_OUT, Problem
from stackling.cli.up import cloud_options, start
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.directory import StateDirectory

SSH_WITHIN = 180.0


@click.command()
@click.option("--name", default="first", show_default=True, help="The server's name.")
@options.state_dir
@cloud_options
@options.output_format
def command(directory: StateDirectory, name: str, style: str, **chosen: Any) -> None:
    """Start the cloud, and a first server that can be logged in to on its floating IP. What is there is left alone."""
    steps = output.Steps(quiet=style == "json")
    if not directory.database.exists():
        room.require_disk(directory)
    configuration = start(directory, chosen, steps)
    client = clients.connect(directory)
    with local.one_at_a_time(directory):
        ensure_image(client, steps, simulated=configuration.simulated)
        launch.launch(client, directory, name, steps, image=IMAGE, wait=False)
    server = launch.launch(client, directory, name, steps, image=IMAGE)
    if server["status"] == "SHUTOFF":
        server = _started(client, server, steps)
    if server["status"] != "ACTIVE":
        raise Problem(f"{name} is {server['status']}; `openstack server show {name}` tells more")
    if not configuration.simulated and configuration.access != "uplink":    # then it may be out of this machine's reach
        _until_ssh(servers.door(client, directory, server), steps)
    if style == "table":
        click.echo()
    output.facts(style, _summary(client, directory, configuration, server))


def _summary(client: Client, directory: StateDirectory, configuration: Configuration,
             server: dict[str, Any]) -> dict[str, Any]:
    facts = {"api": configuration.public_url, "credentials": str(directory.clouds_yaml),
             "server": server["name"], "floating_ip": ", ".join(servers.addresses(server, "floating")) or None}
    if not configuration.simulated:
        door = servers.door(client, directory, server)
        facts["log_in"] = local.invocation(directory, "ssh", server["name"])
        facts["or"] = shlex.join(door.plain)
    return {**facts, "stop": local.invocation(directory, "down")}


def _started(client: Client, server: dict[str, Any], steps: output.Steps) -> dict[str, Any]:
    """The server, switched on; its host may be about to do so itself, because the cloud was down."""
    path = f"/servers/{server['id']}"

    def look() -> dict[str, Any] | None:
        found = client.get("compute", path)["server"]
        servers.require_no_fault(found)
        return found if found["status"] == "ACTIVE" else None

    with steps.step(f"server {server['name']} is started"):
        try:
            client.post("compute", f"{path}/action", {"os-start": None})
        except Refused as refused:
            if refused.status != 409:
                raise
        return clients.wait(look, launch.TIMEOUT, f"{server['name']} doesn't start")


def _until_ssh(door: servers.Door, steps: output.Steps) -> None:
    """Wait until the server lets us in."""
    last = ""

    def look() -> bool | None:
        nonlocal last
        done = subprocess.run([*door.quiet, "--", "true"], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=30)
        last = (done.stderr.strip().splitlines() or [""])[-1]
        steps.note(last)
        return True if done.returncode == 0 else None

    with steps.step("server answers SSH on its floating IP"):
        try:
            clients.wait(look, SSH_WITHIN, "no answer by SSH", every=0.2)
        except Problem as problem:
            raise Problem(f"{problem}; ssh's last words: {last}; `stackling explain` and `openstack console log show` "
                          "tell more", TIMED_OUT) from None
