"""One machine's cloud that keeps everything in a real Ceph cluster, which stands beside the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded import libvirt, namespaces
from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.engines import libvirt_paths
from stackling.deploy.embedded.namespaces import ip
from tests.ceph import POOLS, RealCeph, bare_ceph
from tests.e2e import reachable
from tests.e2e.clouds import TestCloud, cloud
from tests.e2e.outside import Login

CEPH, MACHINE = "10.98.0.1", "10.98.0.2"
BOOTS = 120


@dataclass(frozen=True)
class World:
    """A cloud whose images and disks are in Ceph, with a server ``web`` that answers."""

    cloud: TestCloud
    ceph: RealCeph
    web: Login
    server: str

    def guests(self) -> list[int]:
        return [guest.pid for guest in libvirt.guest_processes(libvirt_paths(self.cloud.directory))]

    def show(self, what: str, name: str) -> Any:
        return self.cloud.openstack(what, "show", name)

    def become(self, id: str, status: str) -> None:
        """Wait until a volume's status is that."""
        self.cloud.eventually(lambda: self.show("volume", id)["status"], lambda now: now == status, BOOTS)

    def volume(self, name: str, *words: str) -> str:
        """Make a volume; its id."""
        id = self.cloud.openstack("volume", "create", "--size", "1", *words, name)["id"]
        self.become(id, "available")
        return id

    def snapshot(self, id: str, name: str) -> None:
        """Make a snapshot of a volume in use. (By itself the client asks for 3.65 without ``force``, as if that were
        3.66.)"""
        self.cloud.openstack("--os-volume-api-version", "3.65", "volume", "snapshot", "create", "--force", "--volume",
                             id, name)
        self.cloud.eventually(lambda: self.cloud.openstack("volume", "snapshot", "show", name)["status"],
                              lambda status: status == "available")

    def plugged(self, id: str, wanted: bool) -> None:
        """Let ``web`` have a volume, or take it away."""
        self.cloud.openstack("server", *(("add", "volume") if wanted else ("remove", "volume")), "web", id)
        self.become(id, "in-use" if wanted else "available")
        self.cloud.eventually(lambda: self.web("ls /dev"), lambda names: ("vdb" in names.split()) == wanted)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the volume service, and its answer."""
        url = f"http://127.0.0.1:{configurations.read(self.cloud.directory.configuration).port}/volume/v3{path}"
        token = self.cloud.openstack("token", "issue")["id"]
        words = ("curl", "-sf", "-X", method, url, "-H", f"X-Auth-Token: {token}", "-H",
                 "Content-Type: application/json", *(("-d", json.dumps(body)) if body else ()))
        return json.loads(run(*words, netns=self.cloud.netns, timeout=30) or "null")

    def write_numbers(self, *devices: str) -> None:
        """Let ``web`` write numbered sectors, one after the other, to each of the devices in turn."""
        each = " && ".join(f"printf '%-511s\\n' $i | dd of={device} bs=512 seek=$i conv=fsync" for device in devices)
        self.web(f"rm -f /tmp/acked; (i=0; while [ ! -e /tmp/enough ]; do i=$((i+1)); {each} && "
                 "echo $i >/tmp/acked; done) >/dev/null 2>&1 </dev/null &")
        self.cloud.eventually(lambda: self.acked, lambda found: found > 10)

    @property
    def acked(self) -> int:
        """The last number of which ``web`` knows that it is written."""
        return int(self.web("cat /tmp/acked || true") or 0)

    def writes_on(self) -> None:
        """Wait until it has written some more."""
        before = self.acked
        self.cloud.eventually(lambda: self.acked, lambda now: now > before + 10, BOOTS)

    def stop_writing(self) -> int:
        """The last number."""
        self.web("touch /tmp/enough; sleep 2; rm /tmp/enough")
        return self.acked

    def numbers(self, id: str, most: int) -> int:
        """How far the numbered sectors of a volume go, of which none may be missing."""
        found = self.ceph.head(POOLS.volumes, id, (most + 1) * 512)
        there = [found[at * 512:(at + 1) * 512].split() == [str(at).encode()] for at in range(1, most + 1)]
        assert there == sorted(there, reverse=True)
        return sum(there)

    def read(self) -> str:
        """The digest of what ``web`` reads of its volume."""
        return self.web("echo 3 >/proc/sys/vm/drop_caches; head -c 4194304 /dev/vdb | sha256sum").split()[0]


def live(ceph: RealCeph) -> list[str]:
    """What there is in the pools beside the trash."""
    return [f"{pool}/{name}" for pool in POOLS.all for name in ceph.rbd("ls", pool).split()]


@contextmanager
def world(folder: Path, *properties: str, **of_ceph: Any) -> Iterator[World]:
    """Such a cloud with a server that answers, of an image with these properties; its key is kept in *folder*. In the
    end everything is deleted, and nothing may be left in the pools."""
    with running(**of_ceph) as (made, ceph):
        client = made.openstack
        web = reachable.web(made, folder, *properties)
        yield World(made, ceph, web, client("server", "show", "web")["id"])
        for each in client("server", "list"):
            client("server", "delete", "--wait", each["Name"])
        for each in client("image", "list"):
            client("image", "delete", each["ID"])
        made.eventually(lambda: live(ceph), lambda left: left == [], 180)


@contextmanager
def running(**of_ceph: Any) -> Iterator[tuple[TestCloud, RealCeph]]:
    """The cloud and the cluster, each in a namespace of its own with a cable between them."""
    with (_cable() as (here, there), bare_ceph(CEPH, there, **{"gib": 8, **of_ceph}) as ceph,
          cloud("--isolated", netns=here) as made):
        made.run("down")
        made.run("storage", "add", "ceph", "--conf", str(ceph.ceph.conf), "--keyring", str(ceph.ceph.admin_keyring))
        made.run("up")
        yield made, ceph


@contextmanager
def _cable() -> Iterator[tuple[str, str]]:
    names = f"stk-e-{os.getpid()}-m", f"stk-e-{os.getpid()}-ceph"
    try:
        for name in names:
            namespaces.make(name)
        ip(names[0], "link", "add", "storage", "type", "veth", "peer", "name", "storage", "netns", names[1])
        for name, address in zip(names, (MACHINE, CEPH), strict=True):
            ip(name, "address", "add", f"{address}/24", "dev", "storage")
            ip(name, "link", "set", "storage", "up")
        yield names
    finally:
        for name in names:
            namespaces.delete(name)
