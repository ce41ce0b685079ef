"""``stackling launch``: a server, with everything that it needs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import click

from stackling.cli import client as clients
from stackling.cli import local, options, output, room, servers
from stackling.cli.client import Client, Refused, escaped
from stackling.cli.problem import FAILED, NOT_FOUND, Problem
from stackling.deploy.embedded.directory import StateDirectory

TIMEOUT = 300.0
_OPEN = ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"})


@click.command()
@click.argument("name")
@click.option("--image", metavar="IMAGE", help="Name or id.  [default: tiny, or the only one there is]")
@click.option("--flavor", metavar="FLAVOR", help="Name or id.  [default: the smallest that the image fits in]")
@click.option("--network", metavar="NETWORK", help="Name or id.  [default: the project's only network, or a new one "
                                                   "with a router]")
@click.option("--key", metavar="KEY", help="Name of a key pair, or a public key file.  [default: one that is made]")
@click.option("--no-ip", is_flag=True, help="No floating IP.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the server runs.")
@options.state_dir
@options.output_format
def command(directory: StateDirectory, name: str, style: str, no_ip: bool, wait: bool, **chosen: str | None) -> None:
    """Make a server called NAME, and what it needs: a key pair, a network with a router, a floating IP, and a rule
    that lets SSH and ping in. A server of that name is shown as it is."""
    steps = output.Steps(quiet=style == "json")
    client = clients.connect(directory)
    server = launch(client, directory, name, steps, floating=not no_ip, wait=wait, **chosen)
    facts = servers.shown(server)
    if facts["floating_ip"] and not servers.are_simulated(directory):
        facts["log_in"] = local.invocation(directory, "ssh", name)
    output.facts(style, facts)


def launch(client: Client, directory: StateDirectory, name: str, steps: output.Steps, *, image: str | None = None,
           flavor: str | None = None, network: str | None = None, key: str | None = None, floating: bool = True,
           wait: bool = True) -> dict[str, Any]:
    """The server *name*, made where there is none."""
    found = servers.find(client, name)
    if found is None:
        with steps.step(f"server {name} is requested"):
            chosen = _image(client, image)
            body: dict[str, Any] = {
                "name": name, "imageRef": chosen["id"], "flavorRef": _flavor(client, flavor, chosen),
                "key_name": _key(client, directory, key),
                "networks": "auto" if network is None else [{"uuid": _network(client, network)}],
                "metadata": {"floating_ip": "auto"} if floating else {}}
            let_in(client)
            made = _made(client, body)
            found = client.get("compute", f"/servers/{made['id']}")["server"]
    if wait:
        found = _until_active(client, directory, found, steps)
    return found


def _made(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return client.post("compute", "/servers", {"server": body})["server"]
    except Refused as refused:
        if refused.status != 409 or not str(refused).startswith("Multiple possible networks"):
            raise
        mine = client.get("network", "/networks", project_id=client.project_id, **{"router:external": "false"})
        names = ", ".join(sorted(network["name"] or network["id"] for network in mine["networks"]))
        raise Problem(f"there are several networks; choose one with --network: {names}") from None


def _until_active(client: Client, directory: StateDirectory, server: dict[str, Any],
                  steps: output.Steps) -> dict[str, Any]:
    watch = room.Watch(client, server, directory)

    def look() -> dict[str, Any] | None:
        found = client.get("compute", f"/servers/{server['id']}")["server"]
        servers.require_no_fault(found)
        steps.note(f"{found['status']} {found.get('OS-EXT-STS:task_state') or ''}")
        if found["status"] != "BUILD":
            return found
        watch.look()
        return None

    if server["status"] != "BUILD":
        servers.require_no_fault(server)
        return server
    with steps.step(f"server {server['name']} runs"):
        return clients.wait(look, TIMEOUT, f"{server['name']} isn't active; `stackling explain {server['name']}` "
                                           "says what it waits for; not done")


def _image(client: Client, wanted: str | None) -> dict[str, Any]:
    if wanted is not None:
        return _named(client, "image", "/images", wanted, "images", "image")
    active = client.get("image", "/images", status="active")["images"]
    tiny = [image for image in active if image["name"] == "tiny"]
    if tiny or len(active) == 1:
        return (tiny or active)[0]
    names = ", ".join(sorted(image["name"] or image["id"] for image in active))
    raise Problem(f"choose an image with --image: {names}" if active else
                  "there is no image; upload one with `openstack image create`, or use `stackling quickstart`")


def _flavor(client: Client, wanted: str | None, image: dict[str, Any]) -> str:
    flavors = client.get("compute", "/flavors/detail")["flavors"]
    if wanted is not None and not any(wanted in (flavor["name"], flavor["id"]) for flavor in flavors):
        raise Problem(f"there is no flavor {wanted}; there are {', '.join(f['name'] for f in flavors)}", NOT_FOUND)
    return room.flavor_that_fits(flavors, wanted, image)["id"]


def _network(client: Client, wanted: str) -> str:
    return _named(client, "network", "/networks", wanted, "networks", "network")["id"]


def _named(client: Client, service: str, path: str, wanted: str, plural: str, single: str) -> dict[str, Any]:
    found = client.get(service, path, name=wanted)[plural]
    if len(found) > 1:
        raise Problem(f"{len(found)} {plural} are called {wanted}; use an id: {', '.join(o['id'] for o in found)}")
    if found:
        return found[0]
    try:
        body = client.get(service, f"{path}/{escaped(wanted)}")
        return body.get(single, body)
    except Refused as refused:
        if refused.status in (400, 404):
            raise Problem(f"there is no {single} {wanted}", NOT_FOUND) from None
        raise


def _key(client: Client, directory: StateDirectory, wanted: str | None) -> str:
    """The name of the key pair; a file's key is imported, and without a wish one is made in the state directory."""
    if wanted is not None and not Path(wanted).is_file():
        try:
            client.get("compute", f"/os-keypairs/{escaped(wanted)}")
        except Refused as refused:
            if refused.status == 404:
                raise Problem(f"{wanted} is neither a key pair nor a public key file", NOT_FOUND) from None
            raise
        return wanted
    public = Path(wanted) if wanted else _own_key(directory)
    name = public.stem if wanted else servers.KEY
    text = public.read_text().strip()
    if not text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise Problem(f"{public} holds no public key; name the file that ends in .pub")
    try:
        there = client.get("compute", f"/os-keypairs/{escaped(name)}")["keypair"]["public_key"].strip()
    except Refused as refused:
        if refused.status != 404:
            raise
        body = {"keypair": {"name": name, "type": "ssh", "public_key": text}}
        client.post("compute", "/os-keypairs", body)
        return name
    if there.split()[:2] != text.split()[:2]:
        raise Problem(f"key pair {name} holds another key; delete it, or choose one with --key", FAILED)
    return name


def _own_key(directory: StateDirectory) -> Path:
    folder = directory.root / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    private, public = folder / servers.KEY, folder / f"{servers.KEY}.pub"
    if not public.exists():
        fresh = folder / f".new-{os.getpid()}"
        try:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "stackling", "-f", str(fresh)],
                           check=True, capture_output=True)
        except FileNotFoundError:
            raise Problem("ssh-keygen isn't installed; run ./setup, or choose a key with --key") from None
        fresh.replace(private)
        fresh.with_name(f"{fresh.name}.pub").replace(public)
    return public


def let_in(client: Client) -> None:
    """Let SSH and ping in by the project's default security group."""
    groups = client.get("network", "/security-groups", name="default", project_id=client.project_id)
    group = groups["security_groups"][0]
    there = {(rule["protocol"], rule["port_range_min"], rule["port_range_max"]) for rule in
             group["security_group_rules"] if rule["direction"] == "ingress" and rule["ethertype"] == "IPv4"
             and not rule["remote_group_id"] and rule["remote_ip_prefix"] in (None, "0.0.0.0/0")}
    for rule in _OPEN:
        if (rule["protocol"], rule.get("port_range_min"), rule.get("port_range_max")) not in there:
            client.post("network", "/security-group-rules", {"security_group_rule": {
                "security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", **rule}})
