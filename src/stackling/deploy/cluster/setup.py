"""A machine of a cluster set up: its files in place, systemd told, what systemd starts itself enabled and started."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.ceph import install
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.cluster import description, layout, member, remote, systemd
from stackling.deploy.cluster.description import PUBLIC_PORT, Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.cluster.remote import Described

FOLLOW_WITHIN = 120.0
"""Seconds within which every machine that is on has followed: it looks once a minute or so, and when it is asked to."""
ASK_AGAIN = 5.0
PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Ready:
    """What a control plane says of itself; None: it has none."""

    ready: bool | None
    problem: str | None = None


def set_up(paths: Paths, *, start: bool) -> list[Path]:
    """Bring this machine to what its description says; the files that were altered. Can be repeated.

    Under another root than ``/`` only files are written. Raises ``ClusterError`` and ``CommandFailed``.
    """
    changed = member.install(paths)
    if paths.root != Path("/") or not systemd.is_here():
        return changed
    for tmpfiles in sorted((paths.root / "etc/tmpfiles.d").glob("stackling*.conf")):
        systemd.make_directories(tmpfiles)
    systemd.reload()
    cluster = description.read(paths.cluster)
    systemd.enable(layout.started_by_systemd(cluster, cluster.machine(paths.name)), now=start)
    return changed


def sync(paths: Paths) -> list[Path]:
    """Take the newest description from the cluster; the files that were altered because of it.

    Raises ``ClusterError`` and ``CommandFailed``.
    """
    newest = remote.described(paths)
    changed = _take(newest, paths) if newest.generation > member.generation(paths) else []
    if newest.followed.get(paths.name, 0) < newest.generation:
        remote.follow(paths, newest.generation)
    return changed


def await_followers(paths: Paths, seconds: float, say: Callable[[str], None]) -> tuple[str, ...]:
    """Wait until every machine is at the newest description; those that aren't after *seconds*.

    They are asked to look now. *say* is told who is waited for, whenever that changes. Raises ``ClusterError`` when
    nobody answers to the end.
    """
    deadline, said, ask_at = time.monotonic() + seconds, None, 0.0
    while True:
        try:
            newest = remote.described(paths)
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
            continue
        behind = [machine for machine in newest.cluster.machines
                  if newest.followed.get(machine.name, 0) < newest.generation]
        missing = tuple(machine.name for machine in behind)
        if not missing or time.monotonic() > deadline:
            return missing
        if time.monotonic() >= ask_at:      # again: one that looked already may have seen the description before
            remote.ask_to_look(paths, behind)
            ask_at = time.monotonic() + ASK_AGAIN
        if missing != said:
            say(", ".join(missing))
            said = missing
        time.sleep(0.5)


def _take(newest: Described, paths: Paths) -> list[Path]:
    """Follow the description *newest*, with whatever has to be started again because of it."""
    changed = _take_ceph(newest.cluster, paths) + member.take(newest.generation, newest.cluster, paths)
    changed += set_up(paths, start=True)
    if paths.root == Path("/") and systemd.is_here():
        machine = newest.cluster.machine(paths.name)
        systemd.restart(layout.restarted_for(changed, machine, paths))
    return changed


def _take_ceph(cluster: Cluster, paths: Paths) -> list[Path]:
    """This machine's keys, before anything is told to use them."""
    if "rbd" not in (cluster.storage.images, cluster.storage.disks, cluster.storage.volumes):
        return []
    return install.write(CephFiles(paths.ceph), *remote.ceph(paths))


def healths(cluster: Cluster, paths: Paths) -> dict[str, Ready]:
    """What each control plane says, by machine; all are asked at once."""
    context = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
    with ThreadPoolExecutor(len(cluster.machines)) as pool:
        return dict(zip((machine.name for machine in cluster.machines),
                        pool.map(lambda machine: _health(machine, context), cluster.machines), strict=True))


def _health(machine: Machine, context: ssl.SSLContext) -> Ready:
    if not machine.control:
        return Ready(None)
    connection = http.client.HTTPSConnection(machine.address, PUBLIC_PORT, timeout=PATIENCE, context=context)
    try:
        connection.request("GET", "/healthz")
        said = json.loads(connection.getresponse().read())
        return Ready(bool(said.get("ready")), "; ".join(said.get("missing", ())) or None)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Ready(False, str(error) or type(error).__name__)
    finally:
        connection.close()
