"""One machine's cloud with volumes in its directory: all that is made of a volume while a real guest writes to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stackling.deploy.embedded.command import run
from tests.e2e import reachable
from tests.e2e.clouds import TestCloud, cloud
from tests.e2e.outside import Login
from tests.e2e.reachable import BOOTS

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow, pytest.mark.storage]
BLOCK = 512


@dataclass(frozen=True)
class World:
    """A cloud with a server ``web``, whose guest writes numbered sectors to its volume for ever, each after the one
    before it is on the disk."""

    cloud: TestCloud
    web: Login
    volume: str

    def show(self, what: str, id: str) -> Any:
        return self.cloud.openstack(*what.split(), "show", id)

    def become(self, what: str, id: str, status: str) -> Any:
        return self.cloud.eventually(lambda: self.show(what, id), lambda now: now["status"] == status, BOOTS)

    def snapshot(self, name: str) -> str:
        """Begin one; its id. (By itself the client asks for 3.65 without ``force``, as if that were 3.66.)"""
        return self.cloud.openstack("--os-volume-api-version", "3.65", "volume", "snapshot", "create", "--force",
                                    "--volume", self.volume, name)["id"]

    @property
    def written(self) -> int:
        return int(self.web("cat /tmp/acked"))

    def goes_on(self) -> None:
        """The guest writes."""
        before = self.written
        self.cloud.eventually(lambda: self.written, lambda now: now > before + 5, BOOTS)

    def holds(self, id: str, before: int, after: int) -> None:
        """A volume has every sector up to *before*, then perhaps more, and none from *after* on: one moment."""
        path = self.cloud.directory.volumes / f"{id}.qcow2"
        raw = self.cloud.directory.root / "raw"
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(path), str(raw), timeout=300)
        with raw.open("rb") as file:
            file.seek(BLOCK)
            found = [file.read(BLOCK).split() for _ in range(after + 1)]
        raw.unlink()
        there = [at for at, words in enumerate(found, 1) if words == [str(at).encode()]]
        assert there == list(range(1, len(there) + 1))
        assert before <= len(there) <= after, (before, len(there), after)

    def files(self) -> list[str]:
        """What lies in the directory beside the volume."""
        names = {path.name for path in self.cloud.directory.volumes.iterdir()}
        return sorted(names - {f"{self.volume}.qcow2"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cloud("--isolated") as made:
        client = made.openstack
        web = reachable.web(made, tmp_path_factory.mktemp("user"), "hw_qemu_guest_agent=yes", "os_require_quiesce=yes")
        volume = client("volume", "create", "--size", "1", "data")["id"]
        found = World(made, web, volume)
        client("server", "add", "volume", "web", volume)
        found.become("volume", volume, "in-use")
        made.eventually(lambda: web("ls /dev"), lambda names: "vdb" in names.split())
        web("(i=0; while :; do i=$((i+1)); printf '%-511s\\n' $i | dd of=/dev/vdb bs=512 seek=$i conv=fsync && "
            "echo $i >/tmp/acked; done) >/dev/null 2>&1 </dev/null &")
        made.eventually(lambda: web("cat /tmp/acked || true"), lambda text: text and int(text) > 10)
        yield found
        for each in client("server", "list"):
            client("server", "delete", "--wait", each["Name"])


@pytest.mark.parametrize("killed", [False, True])
def test_a_snapshot_is_of_one_moment(world: World, killed: bool) -> None:
    """Also when the agent is killed while it makes it."""
    client, before = world.cloud.openstack, world.written
    id = world.snapshot("one")
    if killed:
        os.kill(world.cloud.pid("agent"), signal.SIGKILL)
    world.become("volume snapshot", id, "available")
    after = world.written + 1
    world.goes_on()             # its file systems are thawed, and it writes
    copy = client("volume", "create", "--snapshot", id, "copy")["id"]
    world.become("volume", copy, "available")
    world.holds(copy, before, after)
    client("volume", "snapshot", "delete", id)
    client("volume", "delete", copy)
    world.cloud.eventually(world.files, lambda left: left == [])


def test_a_backup_a_clone_and_an_image_are_made_beneath_the_guest(world: World) -> None:
    client, before = world.cloud.openstack, world.written
    backup = client("volume", "backup", "create", "--force", "--name", "kept", world.volume)["id"]
    clone = client("volume", "create", "--source", world.volume, "clone")["id"]
    world.become("volume backup", backup, "available")
    world.become("volume", clone, "available")
    client("image", "create", "--volume", world.volume, "--force", "--disk-format", "qcow2", "of-volume")
    world.become("image", "of-volume", "active")
    after = world.written + 1
    world.goes_on()
    world.become("volume", world.volume, "in-use")
    restored = client("volume", "create", "--backup", backup, "--size", "1", "restored")
    of_image = client("volume", "create", "--image", "of-volume", "--size", "1", "of-image")
    for id in (clone, restored["id"], of_image["id"]):
        world.become("volume", id, "available")
        world.holds(id, before, after)
        client("volume", "delete", id)
    client("volume", "backup", "delete", backup)
    client("image", "delete", "of-volume")
    world.cloud.eventually(world.files, lambda left: left == [])


def test_it_grows_beneath_the_guest(world: World) -> None:
    world.cloud.openstack("--os-volume-api-version", "3.42", "volume", "set", "--size", "2", world.volume)
    world.cloud.eventually(lambda: world.web("cat /sys/block/vdb/size"), lambda sectors: sectors == str(2 << 21))
    world.become("volume", world.volume, "in-use")
    world.goes_on()


def test_a_guest_boots_from_what_was_saved_of_one(world: World) -> None:
    """A server that boots from a volume is saved as an image while it runs, and another one boots from that."""
    client = world.cloud.openstack
    client("server", "create", "--image", "tiny", "--boot-from-volume", "1", "--flavor", "m1.nano", "--network", "net",
           "--key-name", "mine", "root")
    floating = client("floating", "ip", "create", "public")["floating_ip_address"]

    def reach(name: str) -> Login:
        port, = world.cloud.eventually(lambda: client("port", "list", "--server", name), bool)
        client("floating", "ip", "set", "--port", port["ID"], floating)
        login = Login(floating, world.web.key, world.web.netns)
        world.cloud.eventually(lambda: login.answers, bool, BOOTS)
        return login

    root = reach("root")
    root("echo saved >/root/saved; sync")
    client("server", "image", "create", "--name", "saved", "root")
    world.become("image", "saved", "active")
    snapshot, = client("volume", "snapshot", "list")
    world.become("volume snapshot", snapshot["ID"], "available")
    assert root("cat /root/saved") == "saved"
    client("server", "delete", "--wait", "root")
    client("server", "create", "--image", "saved", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine",
           "again")
    assert reach("again")("cat /root/saved") == "saved"
