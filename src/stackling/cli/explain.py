"""``stackling explain``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import options, output, servers
from stackling.cli.client import Client, Refused, escaped
from stackling.cli.problem import NOT_FOUND, Problem
from stackling.deploy.embedded.directory import StateDirectory

PARTS = (("port", "network", "/ports", "ports"), ("network", "network", "/networks", "networks"),
         ("router", "network", "/routers", "routers"), ("security_group", "network", "/security-groups",
                                                        "security_groups"), ("image", "image", "/images", "images"),
         ("load_balancer", "load-balancer", "/loadbalancers", "loadbalancers"))


@dataclass(frozen=True, slots=True)
class Resource:
    """What is to be explained. ``trouble``: what its own API says is wrong with it."""

    kind: str
    id: str
    name: str
    trouble: str | None = None



@click.command()
@click.argument("resource")
@options.state_dir
@options.output_format
def command(directory: StateDirectory, resource: str, style: str) -> None:
    """Say what happened to RESOURCE, and what it waits for.

    RESOURCE is the name or id of a server, port, network, router, security group, image or load balancer, a floating
    IP, or (for administrators) a machine. A server's timeline contains that of its ports and floating IPs.
    """
    client = clients.connect(directory)
    found = _find(client, resource)
    parts = [part for one in found if (part := _explained(client, one))]
    if not parts:
        raise Problem(f"nothing is known of {resource}", NOT_FOUND)
    if style == "json":
        output.show(style, parts)
        return
    for part in parts:
        click.echo(_standing(part))
    events = sorted(((part["kind"], event) for part in parts for event in part["events"]), key=lambda e: e[1]["at"])
    rows = [[event["at"][11:19], f"{kind}: {event['event']}", event["source"], event["message"]]
            for kind, event in events]
    if rows:
        click.echo(f"\nTimeline from {events[0][1]['at'][:10]} (UTC)")
        output.show(style, None, (["time", "event", "by", "message"], rows))


def _find(client: Client, wanted: str) -> list[Resource]:
    """The resource, first, and what belongs to it."""
    if floating := client.get("network", "/floatingips", floating_ip_address=wanted)["floatingips"]:
        return [Resource("floating_ip", floating[0]["id"], wanted)]
    if server := servers.find(client, wanted):
        ports = client.get("network", "/ports", device_id=server["id"])["ports"]
        ids = {port["id"] for port in ports}
        every = client.get("network", "/floatingips")["floatingips"] if ports else []
        trouble = (server.get("fault") or {}).get("message") if server["status"] == "ERROR" else None
        return [
            Resource("server", server["id"], server["name"], trouble),
            *(Resource("port", port["id"], port["fixed_ips"][0]["ip_address"] if port["fixed_ips"] else port["id"])
              for port in ports),
            *(Resource("floating_ip", one["id"], one["floating_ip_address"]) for one in every if one["port_id"] in ids)]
    for kind, service, path, plural in PARTS:
        named = client.get(service, path, name=wanted)[plural]
        if len(named) > 1:
            raise Problem(f"{len(named)} {plural} are called {wanted}; use an id: {', '.join(o['id'] for o in named)}")
        if named:
            return [Resource(kind, named[0]["id"], wanted)]
    if machine := _machine(client, wanted):
        return [machine]
    return [Resource(kind, wanted, wanted) for kind in ("server", "port", "floating_ip", "network", "router",
                                                "security_group", "image", "load_balancer")]


def _machine(client: Client, wanted: str) -> Resource | None:
    try:
        found = client.get("stackling", f"/machines/{escaped(wanted)}")["machine"]
    except Refused as refused:
        if refused.status in (403, 404):
            return None
        raise
    return Resource("machine", found["id"], found["name"], found["alarm"])


def _explained(client: Client, resource: Resource) -> dict[str, Any] | None:
    try:
        found = client.get("stackling", f"/explain/{resource.kind}/{escaped(resource.id)}")["explanation"]
    except Refused as refused:
        if refused.status == 404:
            return None
        raise
    return {**found, "name": resource.name, "trouble": resource.trouble}


def _standing(part: dict[str, Any]) -> str:
    """One line: how it stands."""
    title = f"{part['kind'].replace('_', ' ')} {part['name']}"
    work = part["work"]
    if part["deleted_at"]:
        return f"{title}: deleted at {part['deleted_at'][:19]}"
    if part["trouble"]:
        return f"{title}: {part['trouble']}"
    if part["why"]:
        return f"{title}: {part['why']}"
    if work is None or (work["settled"] and not work["reason"]):
        return f"{title}: as it should be"
    why = work["reason"] or ("being worked on" if work["under_way"] else "about to be worked on")
    waits = f"; it waits for {work['waits_for'].replace(':', ' ')}" if work["waits_for"] else ""
    next_ = f"; next try in {work['next_try_in']:.0f} s" if work["next_try_in"] else ""
    return f"{title}: {why}{waits}{next_}"
