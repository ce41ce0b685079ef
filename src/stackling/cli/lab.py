"""``stackling lab``: machines made of namespaces on this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from stackling.cli import options, output
from stackling.cli.problem import FAILED, NOT_FOUND, Problem
from stackling.cli.up import ISOLATED
from stackling.lab import Lab, LabError, Machine
from stackling.lab import lab as labs
from stackling.lab.topology import Network

ENVIRONMENT = "STACKLING_LAB"
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@contextmanager
def explained() -> Iterator[None]:
    """Show what goes wrong as one line."""
    from stackling.deploy.embedded.command import CommandFailed

    try:
        yield
    except LabError as error:
        raise Problem(str(error), NOT_FOUND if "there is no lab" in str(error) else FAILED) from None
    except (CommandFailed, OSError) as error:
        raise Problem(str(error)) from None


class Group(click.Group):
    """A group of commands whose failures are explained."""

    def invoke(self, ctx: click.Context) -> object:
        with explained():
            return super().invoke(ctx)


named = click.option("--name", "-l", default="lab", envvar=ENVIRONMENT, show_default=True, metavar="LAB",
                     help=f"Which lab.  [env: {ENVIRONMENT}]")
machine_argument = click.argument("machine", metavar="M")
network_option = click.option("--network", "-n", "links", multiple=True,
                              type=click.Choice([network.value for network in Network]),
                              help="Only this network's cable; may be repeated.  [default: all]")


@click.group(cls=Group)
def command() -> None:
    """Several machines on this one, each with a systemd of its own: a cluster to play with, and to break.

    Machines are called m1, m2, … They share this machine's programs; what they write is their own. Networks: mgmt,
    storage, tenant and ext.
    """


@command.command()
@named
@click.option("--machines", "-m", type=click.IntRange(1, 99), default=3, show_default=True, help="How many in all.")
@click.option("--compute-only", type=click.IntRange(0, 98), default=0, show_default=True, metavar="N",
              help="So many of them (the last) only run servers.")
@click.option("--memory", "in_memory", is_flag=True, help="Keep the machines' disks in memory.")
@click.option("--isolated", is_flag=True, help=f"This machine can't reach the lab; `lab run` can.  [env: {ISOLATED}=1]")
@click.option("--ceph", is_flag=True, help="With a Ceph beside the machines, on the storage network.")
@click.option("--cloud/--bare", default=False, help="Make them one cloud, or leave them as they are.  [default: bare]")
@options.output_format
def up(name: str, machines: int, compute_only: int, in_memory: bool, isolated: bool, ceph: bool, cloud: bool,
       style: str) -> None:
    """Make a lab, or what is missing of it, and switch on what is off."""
    from stackling.lab import cluster, storage

    steps = output.Steps(quiet=style == "json")
    access = not isolated and os.environ.get(ISOLATED, "") in ("", "0")
    with steps.step(f"lab {name} has {machines} running machine{'s' if machines > 1 else ''}"):
        lab = labs.up(name, machines=machines, compute_only=compute_only, in_memory=in_memory, access=access,
                      progress=steps.note)
    if ceph:
        with steps.step("Ceph is running"):
            storage.start(lab)
    if cloud:
        with steps.step("the cloud answers"):
            cluster.bootstrap(lab, ceph=ceph, progress=steps.note)
    api = f"https://{lab.topology.virtual_ip.partition('/')[0]}:8700" if cloud else None
    if style == "json":
        output.facts(style, {"lab": name, "machines": [machine.name for machine in lab.machines], "api": api})
    elif api:
        click.echo(f"{api} · credentials: stackling lab ssh m1 cat /etc/stackling/clouds.yaml")


@command.command()
@named
@options.output_format
def down(name: str, style: str) -> None:
    """Take the lab away. No process, namespace, mount, control group, interface or file of it is left."""
    with _step(style, f"lab {name} is gone", lab=name) as steps:
        labs.down(name, steps.note)


@command.command()
@named
@click.option("--watch", "-w", is_flag=True, help="Show it live, until ^C.")
@options.output_format
def status(name: str, watch: bool, style: str) -> None:
    """Show the machines, and who runs what: services, the virtual IP, host identities and their leases, servers."""
    from stackling.cli import lab_status

    lab = Lab.open(name)
    if watch:
        lab_status.watch(lab)
    else:
        lab_status.show(lab, style)


@command.command(context_settings=PASS_ON)
@named
@machine_argument
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND…]")
def ssh(name: str, machine: str, argv: tuple[str, ...]) -> NoReturn:
    """A shell on machine M, or COMMAND there. (It needs no SSH: it works while the networks are cut.)"""
    chosen = Lab.open(name).machine(machine)
    if not argv:
        argv = ("script", "-q", "-c", "exec bash -l", "/dev/null") if sys.stdin.isatty() else ("bash", "-l")
    _become(chosen.command(argv))


command.add_command(click.Command("exec", params=ssh.params, callback=ssh.callback, help=ssh.help,
                                  context_settings=PASS_ON, hidden=True))


@command.command(context_settings=PASS_ON)
@named
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND…")
def run(name: str, argv: tuple[str, ...]) -> NoReturn:
    """Run COMMAND as the lab's client: on its management and external network, as users are.

    From there the cluster's virtual IP and floating IPs answer, also of an isolated lab.
    """
    _become(Lab.open(name).client.command(argv))


@command.command()
@named
@machine_argument
@options.output_format
def kill(name: str, machine: str, style: str) -> None:
    """Power loss: M is dead at once, and doesn't say goodbye."""
    with _step(style, f"{machine} has lost its power", lab=name, machine=machine):
        Lab.open(name).machine(machine).kill()


@command.command()
@named
@machine_argument
@options.output_format
def on(name: str, machine: str, style: str) -> None:
    """Switch M on and wait until it runs."""
    with _step(style, f"{machine} is running", lab=name, machine=machine):
        chosen = Lab.open(name).machine(machine)
        chosen.on()
        chosen.wait_running()


@command.command()
@named
@machine_argument
@options.output_format
def off(name: str, machine: str, style: str) -> None:
    """Shut M down in good order."""
    with _step(style, f"{machine} is off", lab=name, machine=machine):
        Lab.open(name).machine(machine).off()


@command.command()
@named
@machine_argument
@options.output_format
def reboot(name: str, machine: str, style: str) -> None:
    """Reboot M in good order and wait until it runs again."""
    with _step(style, f"{machine} has rebooted", lab=name, machine=machine):
        chosen = Lab.open(name).machine(machine)
        before = chosen.life()
        chosen.reboot()
        chosen.wait_running(180, after=before)


@command.command()
@named
@machine_argument
@network_option
@options.output_format
def cut(name: str, machine: str, links: tuple[str, ...], style: str) -> None:
    """Pull M's network cables out. They stay out until `heal`."""
    Lab.open(name).machine(machine).cut(*links)
    output.done(style, {"lab": name, "machine": machine, "networks": _all(links), "cut": True},
                f"{machine} is cut off from {', '.join(links) or 'all networks'}")


@command.command()
@named
@click.argument("machine", required=False, metavar="[M]")
@network_option
@options.output_format
def heal(name: str, machine: str | None, links: tuple[str, ...], style: str) -> None:
    """Plug the cables of M, or of all machines, in again."""
    lab = Lab.open(name)
    for one in [lab.machine(machine)] if machine else lab.machines:
        one.heal(*links)
    output.done(style, {"lab": name, "machine": machine, "networks": _all(links), "cut": False},
                f"{machine or 'all machines'}: {', '.join(links) or 'all networks'} plugged in")


@command.command()
@named
@click.argument("what", metavar="M|M:UNIT")
@options.output_format
def hang(name: str, what: str, style: str) -> None:
    """Stop all that runs on M, or the main process of a unit there, where it stands; `resume` lets it go on."""
    machine, unit = _parts(name, what)
    machine.hang(unit)
    output.done(style, {"lab": name, "what": what, "hangs": True},
                f"{what} hangs; `stackling lab resume {what}` lets it go on")


@command.command()
@named
@click.argument("what", metavar="M|M:UNIT")
@options.output_format
def resume(name: str, what: str, style: str) -> None:
    """Let go on what `hang` stopped."""
    machine, unit = _parts(name, what)
    machine.resume(unit)
    output.done(style, {"lab": name, "what": what, "hangs": False}, f"{what} goes on")


@command.command("fence-mode")
@named
@click.argument("mode", type=click.Choice(["ok", "absent", "hang", "lie"]))
@click.argument("machine", required=False, metavar="[M]")
@options.output_format
def fence_mode(name: str, mode: str, machine: str | None, style: str) -> None:
    """How the power switch treats fencers of M, or of any machine.

    absent: it hangs up; hang: it never answers; lie: it does nothing and says that it did.
    """
    from stackling.lab import power

    power.set_mode(Lab.open(name).directory, power.Mode(mode), machine)
    output.done(style, {"lab": name, "machine": machine, "mode": mode},
                f"the power switch is set to {mode} for {machine or 'all machines'}")


@contextmanager
def _step(style: str, title: str, **value: str) -> Iterator[output.Steps]:
    """The one step of a command, with the progress of it; at its end *value* as JSON where that is asked for."""
    steps = output.Steps(quiet=style == "json")
    with steps.step(title):
        yield steps
    if style == "json":
        output.facts(style, value)


def _all(links: tuple[str, ...]) -> list[str]:
    """The networks that are meant: all of them where none is named."""
    return list(links) or [network.value for network in Network]


def _parts(name: str, what: str) -> tuple[Machine, str | None]:
    machine, _, unit = what.partition(":")
    return Lab.open(name).machine(machine), unit or None


def _become(argv: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(argv[0], argv)
