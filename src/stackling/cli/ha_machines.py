"""``stackling ha machines``, ``stop``, ``resume`` and ``confirm-off``: what the cloud concludes about its machines."""

from __future__ import annotations

import re
from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import options, output
from stackling.cli.client import Client, escaped
from stackling.cli.problem import Problem
from stackling.deploy.embedded.directory import StateDirectory

_COLORS = {"up": output.GREEN, "lost": output.RED, "fenced": output.RED}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def register(group: click.Group) -> None:
    """Add the commands."""
    for command in (machines, stop, resume, confirm_off):
        group.add_command(command)


@click.command()
@click.argument("machine", required=False)
@options.state_dir
@options.output_format
def machines(directory: StateDirectory, machine: str | None, style: str) -> None:
    """Show which machines are alive, and why nothing more is done about one that isn't.

    With MACHINE: its proofs of fencing, and each of its servers that is moved or has to stay.
    """
    client = clients.connect(directory)
    if machine is None:
        found = client.get("stackling", "/machines")["machines"]
        output.show(style, found, (["machine", "state", "cluster", "heartbeat", "hosts", "servers moved", "why"],
                                   [_row(one) for one in found]))
        return
    one = client.get("stackling", f"/machines/{escaped(machine)}")["machine"]
    if style == "json":
        output.show(style, one)
        return
    for line in _standing(one):
        click.echo(line)
    if one["evacuations"]:
        rows = [[move["server"] or move["server_id"], move["state"], move["target"], move["disk"], move["reason"]]
                for move in one["evacuations"]]
        output.show(style, None, (["server", "state", "to", "disk", "why"], rows))


@click.command()
@click.argument("machine")
@click.option("--for", "duration", default="1h", show_default=True, metavar="TIME",
              help="How long it may be away, as 90s, 30m, 2h.")
@click.option("--reason", metavar="TEXT", help="For the timeline.")
@options.state_dir
@options.output_format
def stop(directory: StateDirectory, machine: str, duration: str, reason: str | None, style: str) -> None:
    """Announce that MACHINE will be stopped: no fail-over, and no new servers there.

    It ends when the machine is back, with `stackling ha resume`, or at its time; a machine that is away then is
    treated as lost.
    """
    seconds = _seconds(duration)
    _act(clients.connect(directory), machine, {"stop": {"seconds": seconds, "reason": reason}})
    output.done(style, {"machine": machine, "action": "stop", "seconds": seconds, "reason": reason},
                f"{machine} may be stopped now; it is expected back within {duration}", err=False)


@click.command()
@click.argument("machine")
@options.state_dir
@options.output_format
def resume(directory: StateDirectory, machine: str, style: str) -> None:
    """End a planned stop of MACHINE, or trust it again after its fence device has lied."""
    _act(clients.connect(directory), machine, {"resume": None})
    output.done(style, {"machine": machine, "action": "resume"}, f"{machine} is watched as usual", err=False)


@click.command("confirm-off")
@click.argument("machine")
@click.option("--i-have-seen-that-it-is-off", "seen", is_flag=True,
              help="Needed. If it isn't off, servers run twice and destroy their disks.")
@options.state_dir
@options.output_format
def confirm_off(directory: StateDirectory, machine: str, seen: bool, style: str) -> None:
    """Say that a lost MACHINE is off, where no fence device can: its servers are moved then."""
    if not seen:
        raise click.UsageError("look at the machine first, then repeat this with --i-have-seen-that-it-is-off")
    _act(clients.connect(directory), machine, {"confirm_off": {"confirm": machine}})
    output.done(style, {"machine": machine, "action": "confirm_off"},
                f"{machine} counts as fenced; its servers are moved", err=False)


def _act(client: Client, machine: str, action: dict[str, Any]) -> None:
    client.post("stackling", f"/machines/{escaped(machine)}/action", action)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None:
        raise Problem(f"{text!r} is no time; write it as 90s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _row(one: dict[str, Any]) -> list[Any]:
    counts = one["evacuation_counts"]
    moved = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    age = one["heartbeat_age"]
    hosts = ", ".join(host["name"] for host in one["hosts"])
    return [one["name"], output.colored(one["state"], _COLORS.get(one["state"], output.YELLOW)), one["standing"],
            None if age is None else f"{age:.0f} s ago", hosts, moved or None, one["alarm"] or one["reason"]]


def _standing(one: dict[str, Any]) -> list[str]:
    lines = [f"machine {one['name']}: {one['state']}" + (f"; {one['reason']}" if one["reason"] else "")]
    if one["alarm"]:
        lines.append(f"ALARM: {one['alarm']}")
    lines.append(f"cluster: {one['standing'] or 'unknown'}; last heartbeat {one['heartbeat_at'] or 'never'}; "
                 f"holds {', '.join(host['name'] for host in one['hosts']) or 'no host'}")
    lines += [f"proof of fencing at {proof['proven_at']}: {proof['summary']}"
              + (f" (over since {proof['ended_at']})" if proof["ended_at"] else "") for proof in one["proofs"][:5]]
    if plan := one["planned_stop"]:
        lines.append(f"planned stop until {plan['until']}" + (f": {plan['reason']}" if plan["reason"] else ""))
    return lines
