"""How the storage is, as this machine's own user sees it."""

from __future__ import annotations

from dataclasses import dataclass

from stackling.deploy.ceph.admin import CephRefused
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import Pools
from stackling.drivers.ceph.client import CephAccess, CephClient, CephError


@dataclass(frozen=True, slots=True)
class Usage:
    """``pools``: bytes used and bytes free, by name; ``shut_out``: addresses on the blocklist."""

    cluster: str
    health: str
    problems: list[str]
    pools: dict[str, tuple[int, int]]
    shut_out: list[str]


def _room(client: CephClient, pool: str, pools: Pools) -> dict[str, int] | None:
    """None for a pool of backups that isn't there: storage that was added by a former version has none."""
    try:
        return client.quick("space", pool=pool)
    except CephError as error:
        if pool == pools.backups and error.kind == "missing":
            return None
        raise


def usage(files: CephFiles, pools: Pools, user: str) -> Usage:
    """Ask as *user*. Raises ``CephRefused``, within 5 s."""
    client = CephClient(CephAccess(files.conf, user, files.keyring(user)))
    try:
        health = client.quick("health")
        rooms = {pool: room for pool in pools.all if (room := _room(client, pool, pools)) is not None}
        return Usage(client.fsid, health["status"], health["checks"],
                     {pool: (room["used"], room["free"]) for pool, room in rooms.items()},
                     [entry["addr"] for entry in client.quick("blocklist")])
    except CephError as error:
        raise CephRefused(str(error)) from None
    finally:
        client.close()
