"""A simulated cloud with what tempest expects to find in one: two images, two flavors, a public network."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from stackling.deploy.embedded.configuration import read, write

STACKLING = [sys.executable, "-m", "stackling.cli.main"]
SECURITY = {"lockout_failure_attempts": 2, "lockout_duration": 2, "unique_last_password_count": 2}
UNLIKE_USUAL = {
    "simulated_disks": "local",  # tempest migrates disks as well
    "require_image_format_match": False,  # its image lists are of random data in every format
}
IMAGE_BYTES = 1 << 20
IMAGES = ("tempest-1", "tempest-2")
SHARED_TYPE = "tempest-shared"
FLAVORS = (("tempest-1", 64, 1), ("tempest-2", 128, 2))  # name, MiB of memory, GiB of disk


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the tests use; empty where the service isn't there."""

    images: tuple[str, ...] = ("", "")
    flavors: tuple[str, ...] = ("", "")
    public_network: str = ""
    public_network_name: str = ""
    shared_type: str = ""
    """Of volumes that several servers may have."""


@contextmanager
def running(state: Path, hosts: int) -> Iterator[Client]:
    """A simulated cloud in *state*, stopped at the end."""
    try:
        if not (state / "stackling.toml").exists():
            _stackling("up", state, "--simulated", "--hosts", str(hosts), "--port", free_port())
            _stackling("down", state)
            (second := state.resolve() / "images-second").mkdir(exist_ok=True)
            # of falling weight in the order of their names: one of tempest's waiters expects them sorted
            stores = {"local": {"weight": 20}, "second": {"type": "file", "path": str(second), "weight": 10}}
            configured = read(state / "stackling.toml").changed(**SECURITY, **UNLIKE_USUAL, image_stores=stores)
            write(state / "stackling.toml", configured)
        _stackling("up", state, "--port", free_port())
        yield Client(state / "clouds.yaml")
    finally:
        _stackling("down", state)


def _stackling(command: str, state: Path, *options: str) -> None:
    subprocess.run([*STACKLING, command, "--state-dir", str(state), *options], check=True, stdout=subprocess.DEVNULL)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


class Client:
    """The administrator's requests, by the service's type in the catalog."""

    def __init__(self, clouds: Path) -> None:
        cloud = yaml.safe_load(clouds.read_text())["clouds"]["stackling"]
        self.auth: dict[str, str] = cloud["auth"]
        self.region: str = cloud["region_name"]
        self._http = httpx.Client(timeout=60)
        answer = self._http.post(f"{self.auth['auth_url']}/auth/tokens", json={"auth": self._password()})
        answer.raise_for_status()
        self.catalog: list[dict[str, Any]] = answer.json()["token"]["catalog"]
        self._http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]

    def _password(self) -> dict[str, Any]:
        user = {
            "name": self.auth["username"],
            "domain": {"name": self.auth["user_domain_name"]},
            "password": self.auth["password"],
        }
        project = {"name": self.auth["project_name"], "domain": {"name": self.auth["project_domain_name"]}}
        return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}

    def url(self, service: str, path: str) -> str:
        """*path* at the public endpoint of *service*; a version that stands in both is written once."""
        endpoints = next(entry["endpoints"] for entry in self.catalog if entry["type"] == service)
        base = next(entry["url"] for entry in endpoints if entry["interface"] == "public").rstrip("/")
        version = "/" + path.split("/")[1]
        return base.removesuffix(version) + path

    def has(self, service: str) -> bool:
        """Whether *service* is in the catalog and answers."""
        entries = [entry for entry in self.catalog if entry["type"] == service]
        return bool(entries) and self._http.get(entries[0]["endpoints"][0]["url"]).status_code != 404

    def get(self, service: str, path: str) -> Any:
        """The decoded answer."""
        return self.request("GET", service, path).json()

    def request(self, method: str, service: str, path: str, **body: Any) -> httpx.Response:
        """One request; raises httpx.HTTPStatusError on a refusal."""
        answer = self._http.request(method, self.url(service, path), **body)
        answer.raise_for_status()
        return answer


def prepare(client: Client) -> Prepared:
    """Make what isn't there yet, so that a state directory can be used again."""
    found = Prepared()
    if client.has("image"):
        found = replace(found, images=tuple(_image(client, name) for name in IMAGES))
    if client.has("compute"):
        found = replace(found, flavors=tuple(_flavor(client, *flavor) for flavor in FLAVORS))
    if client.has("network"):
        network = _public_network(client)
        # a class of tests makes more than ten before it removes them; upstream's own jobs allow a hundred
        client.request("PUT", "network", "/v2.0/quotas/default", json={"quota": {"router": 100}})
        found = replace(found, public_network=network["id"], public_network_name=network["name"])
    if client.has("volumev3"):
        found = replace(found, shared_type=shared_type(client))
    return found


def _image(client: Client, name: str) -> str:
    for image in client.get("image", f"/v2/images?name={name}&status=active")["images"]:
        return image["id"]
    wanted = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public",
              "hw_qemu_guest_agent": "yes"}
    made = client.request("POST", "image", "/v2/images", json=wanted).json()
    client.request(
        "PUT",
        "image",
        f"/v2/images/{made['id']}/file",
        content=bytes(IMAGE_BYTES),
        headers={"Content-Type": "application/octet-stream"},
    )
    return made["id"]


def _flavor(client: Client, name: str, memory: int, disk: int) -> str:
    for flavor in client.get("compute", "/v2.1/flavors?is_public=None")["flavors"]:
        if flavor["name"] == name:
            return flavor["id"]
    wanted = {"name": name, "vcpus": 1, "ram": memory, "disk": disk}
    return client.request("POST", "compute", "/v2.1/flavors", json={"flavor": wanted}).json()["flavor"]["id"]


def _public_network(client: Client) -> dict[str, Any]:
    for network in client.get("network", "/v2.0/networks?router:external=true")["networks"]:
        return network
    wanted = {"name": "public", "router:external": True}
    network = client.request("POST", "network", "/v2.0/networks", json={"network": wanted}).json()["network"]
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "172.24.4.0/24", "enable_dhcp": False}
    client.request("POST", "network", "/v2.0/subnets", json={"subnet": subnet})
    return network


def shared_type(client: Client) -> str:
    """The type of volumes that several servers may have, made where it is missing."""
    for type in client.get("volumev3", "/v3/types")["volume_types"]:
        if type["name"] == SHARED_TYPE:
            return SHARED_TYPE
    wanted = {"name": SHARED_TYPE, "extra_specs": {"multiattach": "<is> True"}}
    client.request("POST", "volumev3", "/v3/types", json={"volume_type": wanted})
    return SHARED_TYPE
