"""What a server takes on its host, and on a second one while it is between two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.compute import hosts, migrations
from stackling.compute.migrations import Type
from stackling.compute.model import ON_VOLUME, ServerRow, is_volume_backed
from stackling.store.transaction import Tx

Share = tuple[int, int, int]
"""(vCPUs, MiB of memory, GiB of disk)."""


def of_flavor(flavor: Mapping[str, Any]) -> Share:
    """That of a flavor as a server remembers it."""
    disk = (0 if flavor.get(ON_VOLUME) else flavor["disk"]) + flavor["ephemeral"] + (flavor["swap"] + 1023) // 1024
    return int(flavor["vcpus"]), int(flavor["ram"]), int(disk)


def between_hosts(server: ServerRow) -> bool:
    """Whether a second host keeps room for the server: it migrates, or its migration isn't confirmed yet."""
    return server["migration_id"] is not None and server["move"] != Type.EVACUATION


def has_local_disk(server: Mapping[str, Any]) -> bool:
    """Whether something of it lies where its host keeps disks."""
    return not is_volume_backed(server) or bool(server["ephemeral_gib"] or server["swap_mib"])


def here(server: ServerRow) -> Share:
    """On its host: its flavor's, or the larger of both flavors until a resize on that host is confirmed."""
    one = of_flavor(server["flavor"])
    if server["old_flavor"] is None or between_hosts(server):
        return one
    other = of_flavor(server["old_flavor"])
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])


def release_here(tx: Tx, server: ServerRow) -> None:
    """It leaves its host."""
    if server["host_id"] is not None:
        hosts.release(tx, server["host_id"], *here(server))


def release_elsewhere(tx: Tx, server: ServerRow) -> str | None:
    """The second host needn't keep room any more; its id."""
    row = migrations.get(tx, server["migration_id"]) if between_hosts(server) else None
    if row is None or row.dest_id is None:
        return None
    other = str(row.source_id if server["host_id"] == row.dest_id else row.dest_id)
    hosts.release(tx, other, *of_flavor(server["old_flavor"] or server["flavor"]))
    return other
