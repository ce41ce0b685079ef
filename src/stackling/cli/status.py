"""``stackling status``."""

from __future__ import annotations

from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import local, options, output
from stackling.cli.problem import NOT_UP, Problem
from stackling.deploy.embedded import cloud, processes
from stackling.deploy.embedded.directory import StateDirectory

COLORS = {"ready": output.GREEN, "paused": output.RED, "ended": output.RED}


@click.command()
@options.state_dir
@options.output_format
def command(directory: StateDirectory, style: str) -> int:
    """Show the cloud's processes and what it holds. Exit code 4 when it isn't up."""
    configuration = local.configuration(directory)
    snapshot = cloud.state(directory)
    rows = [_process(process) for process in _listed(snapshot)]
    up = bool(rows) and all(row["state"] == "ready" for row in rows)
    value: dict[str, Any] = {
        "up": up, "api": configuration.public_url, "driver": configuration.driver, "state_dir": str(directory.root),
        "memory": sum(row["memory"] or 0 for row in rows), "processes": rows,
        "counts": _counts(directory) if up else None}
    if style == "table":
        how = "up" if up else "not up"
        click.echo(f"{how}: {configuration.public_url}  ({configuration.driver}, {directory.root})")
        if counts := value["counts"]:
            click.echo(f"{output.number(counts['servers'], 'server')} on {output.number(counts['hosts'], 'host')}; "
                       f"given out: {counts['vcpus_used']} of "
                       f"{counts['vcpus']} VCPUs, {counts['memory_mib_used']} of {counts['memory_mib']} MiB")
    shown = [[row["name"], row["pid"], output.colored(row["state"], COLORS.get(row["state"], output.YELLOW)),
              None if row["uptime"] is None else output.duration(row["uptime"]),
              None if row["memory"] is None else output.size(row["memory"]), row["restarts"], row["error"]]
             for row in rows]
    output.show(style, value, *([(["process", "pid", "state", "uptime", "memory", "restarts", "last problem"], shown)]
                                if rows else []))
    return 0 if up else NOT_UP


def _listed(snapshot: dict[str, Any] | None) -> list[dict[str, Any]]:
    if snapshot is None:
        return []
    supervisor = {"name": "supervisor", "state": "ready", "pid": snapshot["supervisor"], "restarts": 0, "error": None}
    return [supervisor, *snapshot["processes"]]


def _process(process: dict[str, Any]) -> dict[str, Any]:
    used = processes.usage(process["pid"]) if process["pid"] else None
    return {"name": process["name"], "pid": process["pid"], "state": process["state"],
            "uptime": round(used.uptime, 1) if used else None, "cpu_seconds": used.cpu if used else None,
            "memory": used.memory if used else None, "restarts": process["restarts"], "error": process["error"]}


def _counts(directory: StateDirectory) -> dict[str, int] | None:
    """What the cloud holds; None when we mustn't ask, or nobody answers."""
    try:
        client = clients.connect(directory)
        found = client.call("GET", "compute", "/os-hypervisors/statistics", version="2.1")["hypervisor_statistics"]
    except Problem:
        return None
    return {"hosts": found["count"], "servers": found["running_vms"], "vcpus": found["vcpus"],
            "vcpus_used": found["vcpus_used"], "memory_mib": found["memory_mb"],
            "memory_mib_used": found["memory_mb_used"]}
