"""A server that can be reached from outside of its cloud, with all that it needs."""

from __future__ import annotations

from pathlib import Path

from stackling.deploy.embedded.command import run
from stackling.deploy.guest import build
from tests.e2e.clouds import TestCloud
from tests.e2e.outside import Login

BOOTS = 300


def web(cloud: TestCloud, folder: Path, *properties: str) -> Login:
    """``web``, of the image ``tiny`` with these properties, at a floating IP, once it answers; its key is kept in
    *folder*."""
    key, image = folder / "key", folder / "tiny.qcow2"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    build.build(image)
    client = cloud.openstack
    client("image", "create", "--file", str(image), "--disk-format", "qcow2",
           *(word for each in properties for word in ("--property", each)), "tiny")
    client("network", "create", "net")
    client("subnet", "create", "--network", "net", "--subnet-range", "10.7.0.0/24", "subnet")
    client("router", "create", "--external-gateway", "public", "router")
    client("router", "add", "subnet", "router", "subnet")
    client("keypair", "create", "--public-key", f"{key}.pub", "mine")
    client("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
    client("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine",
           "web")
    floating = client("floating", "ip", "create", "public")["floating_ip_address"]
    port, = cloud.eventually(lambda: client("port", "list", "--server", "web"), bool)
    client("floating", "ip", "set", "--port", port["ID"], floating)
    found = Login(floating, key, f"{cloud.directory.instance}-outside")
    cloud.eventually(lambda: found.answers, bool, BOOTS)
    return found
