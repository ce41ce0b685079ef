"""``stackling lab status``: a drawing of the machines, and of who runs what."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from stackling.cli import output
from stackling.lab import Lab
from stackling.lab.facts import Asking, Facts, MachineFacts, gather
from stackling.lab.topology import Network

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

WIDTH = 39
GOOD = {"on", "running", "member", "started", "ACTIVE", "up", "ok"}
BAD = {"off", "lost", "failed", "blocked", "ERROR", "fenced", "hanging", "absent", "lie", "hang", "unclean"}


def show(lab: Lab, style: str) -> None:
    """Once."""
    facts = gather(lab, Asking(lab).once())
    if style == "json":
        output.facts("json", facts.plain())
        return
    _console().print(draw(facts))


def watch(lab: Lab, every: float = 1.0) -> None:
    """Again and again, until interrupted."""
    from rich.live import Live

    asking = Asking(lab, every=max(1.0, every))
    try:
        with Live(draw(gather(lab)), console=_console(), screen=True, auto_refresh=False) as live:
            while True:
                began = time.monotonic()
                asking.begin()
                live.update(draw(gather(lab, asking.answer)), refresh=True)
                time.sleep(max(0.1, every - (time.monotonic() - began)))
    except KeyboardInterrupt:
        pass
    finally:
        asking.end()


def draw(facts: Facts) -> RenderableType:
    """The drawing."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    panels = [Panel(_inside(facts, one), title=_title(one), title_align="left", width=WIDTH,
                    border_style="red" if one.power == "off" or one.hanging else "dim") for one in facts.machines]
    head = Text.assemble(("lab ", "bold"), (facts.name, "bold"), "  virtual IP ", facts.virtual_ip, "  power switch ",
                         _word("ok" if facts.power_switch else "absent"))
    if facts.pacemaker is not None:
        head.append("  quorum ")
        head.append_text(_word("ok") if facts.pacemaker.quorum else _word("lost"))
    parts: list[RenderableType] = [head, Columns(panels, padding=(0, 0), expand=False)]
    parts += [Text(line, "yellow") for line in _notes(facts)]
    return Group(*parts)


def _title(one: MachineFacts) -> Text:
    from rich.text import Text

    since = f" {output.duration(one.uptime)}" if one.uptime else ""
    return Text.assemble((one.name, "bold"), " ", _word(one.power), since, "" if one.control else "  compute only")


def _inside(facts: Facts, one: MachineFacts) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    cables = Text(" ").join(Text(network.value, "red strike" if network.value in one.cut else "green")
                            for network in Network)
    if one.power == "on":
        table.add_row("systemd", Text.assemble(_word(one.state), f"  {output.size(one.memory)}"))
    table.add_row("cables", cables)
    if one.switch != "ok":
        table.add_row("switch", _word(one.switch))
    if one.virtual_ip:
        table.add_row("address", Text(facts.virtual_ip, "cyan"))
    _from_pacemaker(table, facts, one.name)
    _from_api(table, facts, one.name)
    return table


def _from_pacemaker(table: Any, facts: Facts, name: str) -> None:
    from rich.text import Text

    if facts.pacemaker is None:
        return
    for node in facts.pacemaker.nodes:
        if node.name == name:
            more = [word for word, is_so in (("controller", node.is_controller), ("standby", node.standby),
                                             ("maintenance", node.maintenance)) if is_so]
            table.add_row("member", Text.assemble(_word(node.standing.value), f"  {' '.join(more)}"))
    by_state: dict[str, set[str]] = defaultdict(set)
    for instance in facts.pacemaker.instances:
        if instance.node == name:
            by_state[instance.state].add(instance.resource.removeprefix("stackling-"))
    for state, names in sorted(by_state.items(), key=lambda item: item[0] != "started"):
        table.add_row("runs" if state == "started" else state,
                      Text(" ".join(sorted(names)), "" if state == "started" else "red"))


def _from_api(table: Any, facts: Facts, name: str) -> None:
    from rich.text import Text

    if facts.api is None or "machines" not in facts.api:
        return
    machine = next((one for one in facts.api["machines"] if one["name"] == name), None)
    if machine is None:
        return
    proof = machine.get("proof")
    table.add_row("cloud", Text.assemble(_word(machine["state"]), f"  {proof['summary']}" if proof else ""))
    for host in machine["hosts"]:
        table.add_row("host", Text.assemble(host["name"], (f"  lease {host['epoch']}", "dim"),
                                            ("  fenced", "red") if host["fenced"] else "",
                                            ("  disabled", "yellow") if host["disabled"] else ""))
        for server in facts.api["servers"]:
            if server["host"] == host["name"]:
                table.add_row("", Text.assemble("▪ ", server["name"], " ", _word(server["status"]),
                                                f" {server['task']}" if server["task"] else ""))


def _notes(facts: Facts) -> list[str]:
    """What isn't in its place."""
    notes: list[str] = []
    if facts.api is not None:
        if problem := facts.api.get("problem"):
            notes.append(f"the API doesn't answer: {problem}")
        held = {host["name"] for machine in facts.api.get("machines", ()) for host in machine["hosts"]}
        notes += [f"{one['name']} {one['status']} is on no machine" for one in facts.api.get("servers", ())
                  if one["host"] not in held]
        notes += [f"{one['name']}: {one['reason']}" for one in facts.api.get("machines", ()) if one["reason"]]
    if facts.pacemaker is not None:
        notes += [f"{one.resource} on {one.node}: {one.operation} failed: {one.reason}"
                  for one in facts.pacemaker.failures[:5]]
        notes += [f"fencing of {one.machine}: {one.action} {one.status} {one.detail}".rstrip()
                  for one in facts.pacemaker.fencing[:3]]
    return notes


def _word(word: str) -> Text:
    return output.colored(word, output.GREEN if word in GOOD else output.RED if word in BAD else output.YELLOW)


def _console() -> Any:
    import shutil
    import sys

    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else max(
        output.WIDTH * 3 // 2, shutil.get_terminal_size((output.WIDTH, 24)).columns))
