"""``stackling up``."""

from __future__ import annotations

import os
from typing import Any

import click

from stackling.cli import local, options, output
from stackling.cli.problem import Problem
from stackling.deploy.embedded import cloud
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.directory import StateDirectory

ISOLATED = "STACKLING_ISOLATED"


def cloud_options(command: Any) -> Any:
    """The options by which a cloud is made."""
    for option in reversed((
        click.option("--simulated", is_flag=True, help="Servers are simulated: no root, nothing on this machine is "
                                                       "touched."),
        click.option("--hosts", type=click.IntRange(1, 10_000), metavar="N", help="How many simulated hosts."),
        click.option("--isolated", is_flag=True, help=f"Floating IPs can't be reached from this machine.  "
                                                      f"[env: {ISOLATED}=1]"),
        click.option("--nat", is_flag=True, help="Servers reach the world through this machine's address."),
        click.option("--uplink", metavar="DEV", help="Hand the interface DEV over to the cloud: floating IPs are on "
                                                     "its network."),
        click.option("--floating-range", metavar="CIDR", help="Addresses of the external network.  "
                                                              "[default: 172.24.4.0/24]"),
        click.option("--floating-gateway", metavar="IP", help="Its gateway.  [default: its first address]"),
        click.option("--floating-pool", metavar="FIRST-LAST", help="Its floating IPs.  [default: all of it]"),
        click.option("--port", type=click.IntRange(1, 65535), metavar="PORT",
                     help="Where the APIs listen.  [default: the first free one from 8700]"),
        click.option("--listen", metavar="ADDRESS", help="On which address they listen.  [default: 127.0.0.1]"),
    )):
        command = option(command)
    return command


def wanted(chosen: dict[str, Any]) -> cloud.Wanted:
    """What ``cloud_options`` gathered."""
    isolated = chosen["isolated"] or (os.environ.get(ISOLATED, "") not in ("", "0")
                                      and not chosen["nat"] and not chosen["uplink"])
    ways = [name for name, given in (("isolated", isolated), ("nat", chosen["nat"]), ("uplink", chosen["uplink"]))
            if given]
    if len(ways) > 1:
        raise click.UsageError(f"--{ways[0]} and --{ways[1]} exclude each other")
    return cloud.Wanted(
        driver="simulated" if chosen["simulated"] else None, hosts=chosen["hosts"], port=chosen["port"],
        listen=chosen["listen"], access=ways[0] if ways else None, uplink=chosen["uplink"],
        floating_range=chosen["floating_range"], floating_gateway=chosen["floating_gateway"],
        floating_pool=chosen["floating_pool"])


def start(directory: StateDirectory, chosen: dict[str, Any], steps: output.Steps) -> Configuration:
    """Bring the cloud up, showing progress."""
    local.refuse_cluster(directory)
    local.check_policies(directory.policies)
    waiting: set[str] = set()

    def progress(name: str, what: str) -> None:
        (waiting.discard if what == "ready" else waiting.add)(name)
        steps.note("waiting for " + ", ".join(sorted(waiting)) if waiting else "")

    with local.explained(), steps.step("cloud is up"):
        return cloud.up(directory, wanted(chosen), progress)


@click.command()
@options.state_dir
@cloud_options
@options.output_format
def command(directory: StateDirectory, style: str, **chosen: Any) -> None:
    """Start the cloud on this machine, or do nothing where it is up.

    The first time, this makes the state directory with the configuration (stackling.toml) and the administrator's
    credentials (clouds.yaml, cloud "stackling").
    """
    steps = output.Steps(quiet=style == "json")
    configuration = start(directory, chosen, steps)
    if configuration.simulated:     # what it boots doesn't matter, but there must be something
        from stackling.cli import client, images
        with local.one_at_a_time(directory):
            images.ensure_image(client.connect(directory), steps, simulated=True)
    output.facts(style, summary(directory, configuration))


def summary(directory: StateDirectory, configuration: Configuration) -> dict[str, Any]:
    """Where the cloud is."""
    return {"api": configuration.public_url, "credentials": str(directory.clouds_yaml),
            "use": f"OS_CLIENT_CONFIG_FILE={directory.clouds_yaml} openstack --os-cloud stackling …"}


def require_root(configuration: Configuration) -> None:
    """Real clouds belong to root."""
    if not configuration.simulated and os.geteuid() != 0:
        raise Problem("this cloud belongs to root; use sudo")
