"""One machine's cloud on a real Ceph cluster that stands beside it, as its users and Ceph's administrator meet it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded import libvirt, namespaces
from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.engines import libvirt_paths
from stackling.deploy.embedded.namespaces import ip
from stackling.deploy.guest import build
from tests.ceph import INSTALLED, POOLS, RealCeph
from tests.e2e.clouds import TestCloud, cloud
from tests.e2e.outside import Login

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow,
              pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")]
BOOTS = 120
CEPH, MACHINE = "10.98.0.1", "10.98.0.2"


@dataclass(frozen=True)
class World:
    """A cloud whose images and disks are in Ceph, with a server ``web`` that answers."""

    cloud: TestCloud
    ceph: RealCeph
    key: Path
    floating_ip: str
    server: str

    @property
    def web(self) -> Login:
        return Login(self.floating_ip, self.key, f"{self.cloud.directory.instance}-outside")

    def guests(self) -> list[int]:
        return [guest.pid for guest in libvirt.guest_processes(libvirt_paths(self.cloud.directory))]

    def show(self, what: str, name: str) -> Any:
        return self.cloud.openstack(what, "show", name)


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[str, str]]:
    """Namespaces that stand for the machine and for Ceph's, with a cable between them."""
    names = tuple(f"stk-e-{os.getpid()}-{name}" for name in ("m", "ceph"))
    for name in names:
        namespaces.make(name)
    ip(names[0], "link", "add", "storage", "type", "veth", "peer", "name", "storage", "netns", names[1])
    for name, address in zip(names, (MACHINE, CEPH), strict=True):
        ip(name, "address", "add", f"{address}/24", "dev", "storage")
        ip(name, "link", "set", "storage", "up")
    yield names
    for name in names:
        namespaces.delete(name)


@pytest.fixture(scope="module")
def world(machine: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from tests.ceph import bare_ceph

    folder = tmp_path_factory.mktemp("user")
    key, image = folder / "key", folder / "tiny.qcow2"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    build.build(image)
    with bare_ceph(CEPH, machine[1], gib=8) as ceph, cloud("--isolated", netns=machine[0]) as made:
        made.run("down")
        made.run("storage", "add", "ceph", "--conf", str(ceph.ceph.conf), "--keyring", str(ceph.ceph.admin_keyring))
        made.run("up")
        client = made.openstack
        client("image", "create", "--file", str(image), "--disk-format", "qcow2", "tiny")
        client("network", "create", "net")
        client("subnet", "create", "--network", "net", "--subnet-range", "10.7.0.0/24", "subnet")
        client("router", "create", "--external-gateway", "public", "router")
        client("router", "add", "subnet", "router", "subnet")
        client("keypair", "create", "--public-key", f"{key}.pub", "mine")
        client("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
        client("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine",
               "web")
        floating = client("floating", "ip", "create", "public")["floating_ip_address"]
        port, = client("port", "list", "--server", "web")
        client("floating", "ip", "set", "--port", port["ID"], floating)
        found = World(made, ceph, key, floating, client("server", "show", "web")["id"])
        made.eventually(lambda: found.web.answers, bool, BOOTS)
        yield found
        for each in client("server", "list"):
            client("server", "delete", "--wait", each["Name"])
        for each in client("image", "list"):
            client("image", "delete", each["ID"])
        made.eventually(lambda: live(ceph), lambda left: left == [], 60)


def live(ceph: RealCeph) -> list[str]:
    """What there is in the pools beside the trash."""
    return [f"{pool}/{name}" for pool in (POOLS.images, POOLS.disks) for name in ceph.rbd("ls", pool).split()]


def test_the_server_lies_on_a_clone_of_its_image(world: World) -> None:
    disk, = (name for name in live(world.ceph) if world.server in name and name.endswith(".root"))
    shown = json.loads(world.ceph.rbd("info", "--format", "json", disk))
    assert shown["parent"]["pool"] == POOLS.images
    assert shown["parent"]["image"].endswith(".raw")
    image = world.show("image", "tiny")
    assert (image["disk_format"], image["status"]) == ("qcow2", "active")
    assert "rbd://" not in json.dumps(image)


def test_what_it_writes_survives_a_hard_reboot_and_a_killed_agent(world: World) -> None:
    world.web("echo kept >/root/file; sync")
    pids = world.guests()
    os.kill(world.cloud.pid("agent"), signal.SIGKILL)
    assert world.web("cat /root/file") == "kept"
    assert world.guests() == pids
    world.cloud.openstack("server", "reboot", "--hard", "web")
    world.cloud.eventually(lambda: world.guests(), lambda now: now and now != pids)
    world.cloud.eventually(lambda: world.web.answers and world.web("cat /root/file"), lambda text: text == "kept",
                           BOOTS)


def test_a_snapshot_is_made_within_ceph_and_boots(world: World) -> None:
    world.web("echo saved >/root/saved; sync")
    client = world.cloud.openstack
    client("server", "image", "create", "--name", "copy", "web")
    copy = world.cloud.eventually(lambda: world.show("image", "copy"), lambda image: image["status"] == "active")
    assert copy["disk_format"] == "raw"
    assert copy.get("checksum") is None
    assert copy["size"] == world.show("flavor", "m1.nano")["disk"] << 30
    name, = (name for name in live(world.ceph) if copy["id"] in name)
    assert "parent" not in json.loads(world.ceph.rbd("info", "--format", "json", name))
    client("server", "create", "--image", "copy", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine",
           "--wait", "second")
    floating = client("floating", "ip", "create", "public")["floating_ip_address"]
    port, = client("port", "list", "--server", "second")
    client("floating", "ip", "set", "--port", port["ID"], floating)
    second = Login(floating, world.key, f"{world.cloud.directory.instance}-outside")
    world.cloud.eventually(lambda: second.answers and second("cat /root/saved"), lambda text: text == "saved", BOOTS)
    client("image", "delete", "copy")               # its clone lives on
    assert second("cat /root/saved") == "saved"
    client("server", "delete", "--wait", "second")
    client("floating", "ip", "delete", floating)


def test_a_cluster_that_hangs_holds_up_nothing_else(world: World) -> None:
    token = world.cloud.openstack("token", "issue")["id"]
    url = f"http://127.0.0.1:{configurations.read(world.cloud.directory.configuration).port}"

    def ask(method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes, float]:
        began = time.monotonic()
        words = ("curl", "-s", "-w", "\n%{http_code}", "-X", method, f"{url}{path}", "-H", f"X-Auth-Token: {token}",
                 "-H", f"Content-Type: {kind}", *(("--data-binary", body.decode()) if body else ()))
        answer, _, status = run(*words, netns=world.cloud.netns, timeout=30).rpartition("\n")
        return int(status), answer.encode(), time.monotonic() - began

    _, made, _ = ask("POST", "/image/v2/images", b'{"name": "late", "disk_format": "raw", "container_format": "bare"}',
                     "application/json")
    image = json.loads(made)["id"]
    world.ceph.ceph.signal("*", signal.SIGSTOP)
    try:
        status, words, seconds = ask("PUT", f"/image/v2/images/{image}/file", b"x" * 100, "application/octet-stream")
        assert (status, b"doesn't answer" in words) == (503, True)
        assert seconds < 8
        status, shown, seconds = ask("GET", f"/compute/v2.1/servers/{world.server}", b"", "application/json")
        assert (status, json.loads(shown)["server"]["status"]) == (200, "ACTIVE")
        assert seconds < 3
    finally:
        world.ceph.ceph.signal("*", signal.SIGCONT)
    world.cloud.eventually(lambda: world.web.answers, bool, BOOTS)
    assert ask("PUT", f"/image/v2/images/{image}/file", b"x" * 100, "application/octet-stream")[0] == 204


def test_the_storage_is_checked_and_shown(world: World) -> None:
    found = world.cloud.stackling("storage", "check")
    assert [check["what"] for check in found["proof"] if not check["ok"]] == []
    shown = world.cloud.stackling("storage", "show")
    assert (shown["images"], shown["disks"], shown["health"]) == ("rbd", "rbd", "HEALTH_OK")
