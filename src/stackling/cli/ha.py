"""``stackling ha``: Pacemaker's configuration and state."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from stackling.cli import ha_machines, ha_simulate, options, output
from stackling.cli.problem import NOT_UP, Problem

if TYPE_CHECKING:
    from stackling.deploy.pacemaker.difference import Change
    from stackling.deploy.pacemaker.live import Plan
    from stackling.deploy.pacemaker.model import Configuration
    from stackling.drivers.pacemaker.status import Instance, Node, Status

LATEST = 10
_COLORS = {"+": output.GREEN, "-": output.RED, "@": "cyan"}
_STATES = {"started": output.GREEN, "failed": output.RED, "blocked": output.RED, "lost": output.RED,
           "member": output.GREEN, "success": output.GREEN}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Pacemaker, which keeps the cluster going when a machine is lost."""


# -- plan and apply

@command.command()
@click.option("--crm", is_flag=True, help="Only the configuration, as `crm configure load update` takes it; Pacemaker "
                                          "needn't run.")
@click.option("--changes", is_flag=True, help="Only what differs.")
@options.output_format
def plan(crm: bool, changes: bool, style: str) -> None:
    """Print the configuration and how it differs from what runs.

    Lines with + are added by `stackling ha apply`, lines with - go.
    """
    from stackling.deploy.pacemaker import crm as syntax
    from stackling.deploy.pacemaker import live

    with _explained():
        wanted = _wanted()
        if crm:
            click.echo(syntax.text(wanted), nl=False)
            return
        found = live.plan(wanted)
    if style == "json":
        output.facts(style, {"changes": [_as_value(one) for one in found.changes], "configuration": syntax.text(wanted),
                             "others": found.found.others, "by_hand": found.found.by_hand})
        return
    _print(wanted, found, only_changes=changes)


@command.command()
@options.output_format
def apply(style: str) -> None:
    """Put the configuration in place.

    It is checked first, and comes into effect whole or not at all. What others configured is left alone, also what
    they change in the meantime. The second time nothing changes.
    """
    from stackling.deploy.pacemaker import live

    began = time.monotonic()
    with _explained():
        done = live.apply(_wanted())
    if style == "json":
        output.facts(style, {"changes": [_as_value(one) for one in done]})
        return
    for one in done:
        click.echo(f"{one.verb:<7} {one.id}")
    took = f"{time.monotonic() - began:.1f} s"
    click.echo(f"applied {len(done)} changes in {took}" if done else "nothing to change: Pacemaker runs this already")


def _wanted() -> Configuration:
    from stackling.deploy.cluster import description, secrets
    from stackling.deploy.cluster.paths import Paths
    from stackling.deploy.pacemaker.configuration import configuration

    paths = Paths()
    cluster = description.read(paths.cluster)
    return configuration(cluster, secrets.read(paths).fence)


@contextmanager
def _explained() -> Iterator[None]:
    from stackling.deploy.cluster.description import ClusterError
    from stackling.deploy.pacemaker.live import PacemakerError
    from stackling.ports.membership import MembershipUnknown

    try:
        yield
    except ClusterError as error:
        raise Problem(str(error)) from None
    except PacemakerError as error:
        raise Problem(str(error), NOT_UP) from None
    except MembershipUnknown as error:
        raise Problem(f"{error}; is Pacemaker running here? (`systemctl status pacemaker`)", NOT_UP) from None


def _as_value(change: Change) -> dict[str, str]:
    return {"id": change.id, "verb": change.verb, "before": change.before, "after": change.after}


def _print(wanted: Configuration, found: Plan, *, only_changes: bool) -> None:
    from stackling.deploy.pacemaker import crm as syntax

    differing = {change.id: change for change in found.changes}
    same = {} if only_changes else syntax.blocks(wanted)
    for name in [*same, *(name for name in differing if name not in same)]:
        if change := differing.get(name):
            for line in _marked(change):
                click.echo(click.style(line, fg=_COLORS.get(line[:1])))
        else:
            click.echo("\n".join(f"  {line}" for line in same[name].splitlines()))
    for text in found.found.by_hand:
        click.echo(click.style(f"# set by hand, kept: {text}", fg=output.YELLOW))
    if found.found.others:
        click.echo(f"# not Stackling's, left alone: {', '.join(found.found.others)}")
    if not differing:
        click.echo("# nothing to change: Pacemaker runs this already")
    else:
        verbs = [change.verb for change in found.changes]
        counts = ", ".join(f"{verbs.count(verb)} to {verb}" for verb in ("add", "change", "remove") if verb in verbs)
        click.echo(f"# {counts}; `stackling ha apply` does it")


def _marked(change: Change) -> list[str]:
    """The whole object with its differing lines marked."""
    import difflib

    lines = difflib.ndiff(change.before.splitlines(), change.after.splitlines())
    return [line for line in lines if not line.startswith("?")]


# -- show

@command.command()
@options.output_format
def show(style: str) -> int:
    """Show machines, what runs on them, failures, fencing.

    Exit code 4 without quorum.
    """
    from dataclasses import asdict

    from stackling.drivers.pacemaker.status import status

    with _explained():
        found = status()
    if style == "json":
        output.facts(style, asdict(found))
    else:
        _draw(found)
    return 0 if found.quorum else NOT_UP


def _draw(found: Status) -> None:
    fencing = "on" if found.options.get("stonith-enabled") == "true" else "OFF: nothing is ever moved by itself"
    controller = f"controller {found.controller}" if found.controller else "no controller"
    click.echo(f"{'quorum' if found.quorum else click.style('NO QUORUM', fg=output.RED)}; {controller}; fencing "
               f"{fencing}")
    on: defaultdict[str, list[Instance]] = defaultdict(list)
    for one in found.instances:
        on[one.node].append(one)
    rows = [[node.name, output.colored(_standing(node), _STATES.get(node.standing, output.YELLOW)),
             _resources(on.pop(node.name, []))] for node in found.nodes]
    output.show("table", None, (["machine", "state", "runs"], rows))
    stopped = sorted({one.resource for one in on.pop("", []) if one.resource not in _running(found)})
    if stopped:
        click.echo(click.style(f"runs nowhere: {', '.join(map(_short, stopped))}", fg=output.YELLOW))
    if found.failures:
        output.show("table", None, (["failed", "machine", "operation", "when", "why"], [
            [_short(one.resource), one.node, one.operation, one.at, one.reason] for one in found.failures]))
    if found.fencing:
        output.show("table", None, (["fenced", "action", "result", "when", "details"], [
            [event.machine, event.action, output.colored(event.status, _STATES.get(event.status, output.RED)),
             _when(event.completed_at), event.detail] for event in found.fencing[:LATEST]]))
        if len(found.fencing) > LATEST:
            click.echo(f"and {len(found.fencing) - LATEST} earlier (--format json shows all)")


def _running(found: Status) -> set[str]:
    return {one.resource for one in found.instances if one.node}


def _standing(node: Node) -> str:
    more = [word for word, holds in (("controller", node.is_controller), ("standby", node.standby),
                                     ("maintenance", node.maintenance), ("remote", node.kind == "remote")) if holds]
    return f"{node.standing} ({', '.join(more)})" if more else str(node.standing)


def _resources(instances: list[Instance]) -> Any:
    from rich.text import Text

    text = Text()
    for number, one in enumerate(sorted(instances, key=lambda one: (not one.resource.endswith("vip"), one.resource))):
        if number:
            text.append("  ")
        bold = " bold" if one.resource.endswith("-vip") else ""
        text.append(_short(one.resource), style=_STATES.get(one.state, output.YELLOW) + bold)
        if one.state != "started":
            text.append(f" {one.state}", style=_STATES.get(one.state, output.YELLOW))
        if not one.managed:
            text.append(" unmanaged", style=output.YELLOW)
    return text


def _short(resource: str) -> str:
    return resource.removeprefix("stackling-")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"


ha_machines.register(command)
command.add_command(ha_simulate.simulate)
