"""``stackling ha simulate``: what happens to simulated machines, so that fail-over can be tried."""

from __future__ import annotations

import click

from stackling.cli import local, options
from stackling.cli.problem import NOT_FOUND, Problem
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.simulated import BEHAVIOURS, HAPPENINGS, NoSuchMachine, happen


@click.command()
@click.argument("what", type=click.Choice(HAPPENINGS))
@click.argument("machine")
@click.argument("behaviour", type=click.Choice(BEHAVIOURS), required=False)
@options.state_dir
def simulate(directory: StateDirectory, what: str, machine: str, behaviour: str | None) -> None:
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
    try:
        happen(directory, configuration, what, machine, behaviour)
    except NoSuchMachine as error:
        raise Problem(str(error), NOT_FOUND) from None
