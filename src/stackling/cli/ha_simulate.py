"""``stackling ha simulate``: what happens to simulated machines, so that fail-over can be tried."""

from __future__ import annotations

import click

from stackling.cli import local, options, output
from stackling.cli.problem import NOT_FOUND, Problem
from stackling.deploy.embedded.directory import StateDirectory
from stackling.drivers.simulated.membership import Device, SimulatedCluster


def _change(cluster: SimulatedCluster, what: str, machine: str) -> None:
    {"off": cluster.lose_power, "on": cluster.give_power, "cut": cluster.cut, "heal": cluster.heal,
     "leave": cluster.leave, "join": cluster.join}[what](machine)


@click.command()
@click.argument("what", type=click.Choice(["off", "on", "cut", "heal", "leave", "join", "device"]))
@click.argument("machine")
@click.argument("behaviour", type=click.Choice([device.value for device in Device]), required=False)
@options.state_dir
@options.output_format
def simulate(directory: StateDirectory, what: str, machine: str, behaviour: str | None, style: str) -> None:
    """Let something happen to a simulated MACHINE.

    \b
    off, on      its power goes and comes
    cut, heal    its network does; its servers run on
    leave, join  its cluster engine stops in order, and starts
    device       its fence device behaves like BEHAVIOUR from now on:
                 ok, absent, hang, fail, lie, blind-lie, blind

    Needs `stackling up --simulated` with at least three hosts; see `stackling ha machines`.
    """
    configuration = local.configuration(directory)
    if not configuration.fails_over:
        raise Problem("there is no fail-over in this cloud: it takes `stackling up --simulated --hosts 3`, or more")
    if (what == "device") != (behaviour is not None):
        raise click.UsageError("`device` needs a BEHAVIOUR, and nothing else takes one")
    cluster = SimulatedCluster(directory.simulated_cluster, configuration.host_names)
    if machine not in cluster.names():
        raise Problem(f"there is no machine {machine}; there are {', '.join(cluster.names())}", NOT_FOUND)
    if behaviour is not None:
        cluster.set_device(machine, Device(behaviour))
    else:
        _change(cluster, what, machine)
    if style == "json":
        output.facts(style, {"machine": machine, "what": what, "behaviour": behaviour})
