"""Projects with a user, a network and servers of their own in a cloud made for tests."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackling.cli import client as clients
from stackling.cli.client import Client, Login
from tests.e2e import outside
from tests.e2e.clouds import TestCloud

BOOT = 180


def administrator(cloud: TestCloud) -> Client:
    """A client of the administrator."""
    return clients.connect(cloud.directory)


@dataclass(frozen=True)
class Guest:
    """A running server: how to get in, and its one interface."""

    id: str
    name: str
    login: outside.Login
    mac: str
    addresses: tuple[str, ...]

    def __call__(self, command: str) -> str:
        """What *command* prints in it."""
        return self.login(command)


@dataclass
class Tenant:
    """A project with a network 10.0.0.0/24 and fd00:0:0:1::/64, and a router to the outside."""

    cloud: TestCloud
    name: str
    client: Client
    key: Path
    network: str
    subnets: tuple[str, str]
    flavor: str
    image: str
    _made: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def request(self, name: str, address: str) -> tuple[str, str, str]:
        """Ask for a server at *address*: the ids of server and port, and the floating IP."""
        post = self.client.post
        port = post("network", "/ports", {"port": {
            "network_id": self.network,
            "fixed_ips": [{"subnet_id": self.subnets[0], "ip_address": address}, {"subnet_id": self.subnets[1]}]}})
        external = self.client.get("network", "/networks", **{"router:external": "true"})["networks"][0]["id"]
        server = post("compute", "/servers", {"server": {
            "name": name, "imageRef": self.image, "flavorRef": self.flavor, "key_name": "test",
            "networks": [{"port": port["port"]["id"]}]}})["server"]
        floating = post("network", "/floatingips", {"floatingip": {
            "floating_network_id": external, "port_id": port["port"]["id"]}})["floatingip"]
        return server["id"], port["port"]["id"], floating["floating_ip_address"]

    def guest(self, asked: tuple[str, str, str]) -> Guest:
        """The server that was asked for, once it lets us in."""
        server, port, floating = asked
        login = outside.Login(floating, self.key, f"{self.cloud.directory.instance}-outside")
        shown = self.client.get("compute", f"/servers/{server}")["server"]
        self.cloud.eventually(lambda: login.answers, bool, BOOT)
        found = self.client.get("network", f"/ports/{port}")["port"]
        return Guest(server, shown["name"], login, found["mac_address"],
                     tuple(one["ip_address"] for one in found["fixed_ips"]))


def tenant(cloud: TestCloud, name: str, folder: Path, image: str) -> Tenant:
    """A new project; its security group lets everything in, so that nothing else is to thank for a refusal."""
    admin = administrator(cloud)
    password = secrets.token_urlsafe()
    project = admin.post("identity", "/v3/projects", {"project": {"name": name}})["project"]["id"]
    user = admin.post("identity", "/v3/users", {"user": {"name": name, "password": password}})["user"]["id"]
    role = admin.get("identity", "/v3/roles", name="member")["roles"][0]["id"]
    admin.put("identity", f"/v3/projects/{project}/users/{user}/roles/{role}", None)
    client = Client(Login(_auth_url(cloud), name, password, name))
    network = client.post("network", "/networks", {"network": {"name": name}})["network"]["id"]
    router = client.post("network", "/routers", {"router": {"name": name, "external_gateway_info": {
        "network_id": admin.get("network", "/networks", **{"router:external": "true"})["networks"][0]["id"]}}})
    subnets: list[str] = []
    for version, cidr in ((4, "10.0.0.0/24"), (6, "fd00:0:0:1::/64")):
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}
        subnet = client.post("network", "/subnets", {"subnet": {
            "network_id": network, "ip_version": version, "cidr": cidr, **modes}})["subnet"]["id"]
        client.put("network", f"/routers/{router['router']['id']}/add_router_interface", {"subnet_id": subnet})
        subnets.append(subnet)
    group = client.get("network", "/security-groups", name="default")["security_groups"][0]["id"]
    for kind in ("IPv4", "IPv6"):
        client.post("network", "/security-group-rules", {"security_group_rule": {
            "security_group_id": group, "direction": "ingress", "ethertype": kind}})
    client.post("compute", "/os-keypairs", {"keypair": {"name": "test", "public_key": _key(folder).read_text()}})
    return Tenant(cloud, name, client, folder / "key", network, (subnets[0], subnets[1]), _smallest(client, image),
                  image)


def _auth_url(cloud: TestCloud) -> str:
    text = cloud.directory.clouds_yaml.read_text()
    return next(line.split()[1] for line in text.splitlines() if line.strip().startswith("auth_url:"))


def _key(folder: Path) -> Path:
    public = folder / "key.pub"
    if not public.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True,
                       capture_output=True, timeout=30)
    return public


def _smallest(client: Client, image: str) -> str:
    least = client.get("image", f"/images/{image}")["min_ram"]
    flavors: list[dict[str, Any]] = client.get("compute", "/flavors/detail")["flavors"]
    return min((flavor for flavor in flavors if flavor["ram"] >= least), key=lambda flavor: flavor["ram"])["id"]
