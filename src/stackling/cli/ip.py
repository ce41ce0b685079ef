"""``stackling ip``: floating IPs in one step each."""

from __future__ import annotations

from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import options, output, servers
from stackling.cli.client import Client, Refused
from stackling.cli.problem import NOT_FOUND, Problem
from stackling.deploy.embedded.directory import StateDirectory


@click.group()
def command() -> None:
    """Attach, detach and list floating IPs."""


@command.command()
@click.argument("server")
@click.argument("address", required=False)
@options.state_dir
@options.output_format
def attach(directory: StateDirectory, server: str, address: str | None, style: str) -> None:
    """Give SERVER a floating IP: ADDRESS, or a free one of the project, or a new one."""
    client = clients.connect(directory)
    found = servers.get(client, server)
    there = servers.addresses(found, "floating")
    if there and address in (None, *there):
        output.facts(style, {"floating_ip": address or there[0], "server": found["name"]})
        return
    floating, new = _choose(client, address)
    try:
        _connect(client, floating["id"], found)
    except Problem:
        if new:
            client.delete("network", f"/floatingips/{floating['id']}")
        raise
    output.facts(style, {"floating_ip": floating["floating_ip_address"], "server": found["name"]})


@command.command()
@click.argument("address_or_server")
@click.option("--release", is_flag=True, help="Give the address back, too.")
@options.state_dir
@options.output_format
def detach(directory: StateDirectory, address_or_server: str, release: bool, style: str) -> None:
    """Take a floating IP off its server; ADDRESS_OR_SERVER is either."""
    client = clients.connect(directory)
    all_ = _mine(client)
    found = [one for one in all_ if one["floating_ip_address"] == address_or_server]
    if not found:
        ports = {port["id"] for port in _ports(client, servers.get(client, address_or_server)["id"])}
        found = [one for one in all_ if one["port_id"] in ports]
    if not found:
        raise Problem(f"{address_or_server} has no floating IP", NOT_FOUND)
    for one in found:
        if release:
            client.delete("network", f"/floatingips/{one['id']}")
        else:
            client.put("network", f"/floatingips/{one['id']}", {"floatingip": {"port_id": None}})
    addresses = [one["floating_ip_address"] for one in found]
    what = "released" if release else "detached"
    output.done(style, [{"floating_ip": one, "released": release} for one in addresses],
                "\n".join(f"{one} is {what}" for one in addresses))


@command.command("list")
@options.state_dir
@options.output_format
def list_(directory: StateDirectory, style: str) -> None:
    """List the project's floating IPs."""
    client = clients.connect(directory)
    floating = _mine(client)
    ports = {port["id"]: port["device_id"] for port in client.get("network", "/ports", project_id=client.project_id)[
        "ports"]} if floating else {}
    names = {server["id"]: server["name"] for server in client.get("compute", "/servers")["servers"]} if ports else {}
    rows = [{"floating_ip": one["floating_ip_address"], "server": names.get(ports.get(one["port_id"], "")),
             "fixed_ip": one["fixed_ip_address"], "status": one["status"], "id": one["id"]} for one in floating]
    output.show(style, rows, (["floating ip", "server", "fixed ip", "status"],
                              [[row["floating_ip"], row["server"], row["fixed_ip"], row["status"]] for row in rows]))


def _mine(client: Client) -> list[dict[str, Any]]:
    return client.get("network", "/floatingips", project_id=client.project_id)["floatingips"]


def _ports(client: Client, server_id: str) -> list[dict[str, Any]]:
    return client.get("network", "/ports", device_id=server_id)["ports"]


def _choose(client: Client, address: str | None) -> tuple[dict[str, Any], bool]:
    """The floating IP to use, and whether it was made now."""
    mine = _mine(client)
    if address is not None:
        found = [one for one in mine if address in (one["floating_ip_address"], one["id"])]
        if not found:
            raise Problem(f"{address} is no floating IP of this project; `stackling ip list` shows them", NOT_FOUND)
        return found[0], False
    free = [one for one in mine if one["port_id"] is None]
    if free:
        return free[0], False
    external = client.get("network", "/networks", **{"router:external": "true"})["networks"]
    if not external:
        raise Problem("there is no external network that could give an address")
    chosen = next((network for network in external if network.get("is_default")), external[0])
    body = {"floatingip": {"floating_network_id": chosen["id"]}}
    return client.post("network", "/floatingips", body)["floatingip"], True


def _connect(client: Client, floating_id: str, server: dict[str, Any]) -> None:
    """Associate with the first port that a router connects."""
    refusal: Refused | None = None
    for port in _ports(client, server["id"]):
        if any("." in fixed["ip_address"] for fixed in port["fixed_ips"]):
            try:
                client.put("network", f"/floatingips/{floating_id}", {"floatingip": {"port_id": port["id"]}})
                return
            except Refused as refused:
                refusal = refused
    raise refusal or Problem(f"{server['name']} has no port with an IPv4 address")
