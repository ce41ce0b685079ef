"""One machine's cloud that keeps everything in a real Ceph cluster, which stands beside the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.namespaces import ip
from tests.ceph import RealCeph, bare_ceph
from tests.e2e.clouds import TestCloud, cloud

CEPH, MACHINE = "10.98.0.1", "10.98.0.2"


@contextmanager
def running() -> Iterator[tuple[TestCloud, RealCeph]]:
    """The cloud and the cluster, each in a namespace of its own with a cable between them."""
    with (_cable() as (here, there), bare_ceph(CEPH, there, gib=8) as ceph,
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
