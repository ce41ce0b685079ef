"""Servers that have left a host: until that host has let go, and until their local disks there are gone.

Theory of operation. A server that moves gets its new host in the same transaction that makes its row here, so no two
documents ever ask for it to be present. The former host's document names it as not present, with its disks kept. Where
that host may still act (``awaited``) the new host's document holds the server back until the former host has reported
it absent, or is fenced. A disk that only the former host can reach is kept until the server has come to rest elsewhere
or is deleted, and while a resize isn't confirmed; only then a second order, of a higher generation, removes it. A disk
in shared storage is never removed from here: it is the server's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Row

from stackling.compute import hosts
from stackling.compute.model import ServerRow
from stackling.ports.document import ServerDesired
from stackling.store.tables.compute import departures, servers
from stackling.store.transaction import Tx

_d = departures
_ONE = select(_d).where(_d.c.host_id == bindparam("host"), _d.c.server_id == bindparam("server"))
_OF_SERVER = select(_d).where(_d.c.server_id == bindparam("server"))
_CHANGED = select(_d).where(_d.c.host_id == bindparam("host"), _d.c.host_generation > bindparam("since"))
_AWAITED = select(_d.c.server_id).where(_d.c.host_id == bindparam("host"), _d.c.awaited == 1)
_NOT_GONE = select(_d.c.server_id).where(_d.c.host_id == bindparam("host"), _d.c.absent == 0, _d.c.wipe == 0)
_DROP = delete(_d).where(_d.c.host_id == bindparam("host"), _d.c.server_id == bindparam("server"))
_SET = update(_d).where(_d.c.host_id == bindparam("host"), _d.c.server_id == bindparam("server")).values(
    generation=bindparam("new_generation"), host_generation=bindparam("new_host_generation"),
    awaited=bindparam("new_awaited"), kept=bindparam("new_kept"), wipe=bindparam("new_wipe"),
    absent=bindparam("new_absent"))
_WRITTEN = ("generation", "host_generation", "awaited", "kept", "wipe", "absent")
_STANDS = select(servers.c.id, servers.c.deleted, servers.c.move, servers.c.observed_converged,
                 servers.c.observed_generation, servers.c.generation).where(servers.c.id == bindparam("server"))


def is_local(storage: str) -> bool:
    """Whether disks there are one host's alone (``ports.document.Inventory.storage``)."""
    return storage.partition(":")[0] == "local"


def add(tx: Tx, server: ServerRow, host_id: str, generation: int, storage: str, *, awaited: bool, kept: bool = False,
        politely: bool = False) -> None:
    """*server* leaves the host with *generation*. *awaited*: it is held until the host has let go; *kept*: its local
    disks stay there until ``release``; *politely*: its guest may shut down first."""
    tx.changed(_DROP, host=host_id, server=server["id"])
    tx.execute(insert(_d), {
        "host_id": host_id, "server_id": server["id"], "generation": generation,
        "host_generation": hosts.bump(tx, host_id), "storage": storage, "name": server["name"],
        "project_id": server["project_id"], "politely": int(politely), "awaited": int(awaited), "kept": int(kept),
        "wipe": 0, "absent": 0, "since": tx.now})
    tx.nudged.append(("host", host_id))


def withdraw(tx: Tx, server_id: str, host_id: str) -> None:
    """The server is that host's again (or the host is asked for nothing more)."""
    tx.changed(_DROP, host=host_id, server=server_id)


def changed(tx: Tx, host_id: str, since: int) -> list[ServerDesired]:
    """What the host's document says of servers that have left it."""
    return [ServerDesired(id=row.server_id, generation=row.generation, present=False, keep_disks=not row.wipe,
                          politely=bool(row.politely), name=row.name, project_id=row.project_id)
            for row in tx.all(_CHANGED, host=host_id, since=since)]


def outstanding(tx: Tx, host_id: str) -> list[str]:
    """The servers that the host's machine has yet to let go of."""
    return [str(row.server_id) for row in tx.all(_NOT_GONE, host=host_id)]


def with_old_disks(tx: Tx, server_id: str) -> frozenset[str]:
    """Hosts that still have former disks of the server: it can't come there before they are gone."""
    return frozenset(str(row.host_id) for row in tx.all(_OF_SERVER, server=server_id) if is_local(row.storage))


def is_outstanding(tx: Tx, server_id: str) -> bool:
    """Whether a former host hasn't reported the server absent yet."""
    return any(not row.absent and not row.wipe for row in tx.all(_OF_SERVER, server=server_id))


def is_held(tx: Tx, server_id: str) -> bool:
    """Whether a former host is still awaited."""
    return any(row.awaited for row in tx.all(_OF_SERVER, server=server_id))


def reported_absent(tx: Tx, host_id: str, server_id: str, generation: int) -> bool:
    """The host says that nothing runs there any more, as the order of *generation* wants; whether it was awaited."""
    row = tx.one(_ONE, host=host_id, server=server_id)
    if row is None or generation < row.generation or row.absent:
        return False
    if row.wipe or not is_local(row.storage):
        tx.changed(_DROP, host=host_id, server=server_id)
    else:
        _set(tx, row, awaited=0, absent=1)
        stands = tx.one(_STANDS, server=server_id)
        if stands is None or stands.deleted or (stands.move is None and stands.observed_converged
                                                and stands.observed_generation >= stands.generation):
            settled(tx, server_id)
    return bool(row.awaited)


def fenced(tx: Tx, host_id: str) -> list[str]:
    """The host can't act any more: nobody waits for it. The servers that did."""
    found = [str(row.server_id) for row in tx.all(_AWAITED, host=host_id)]
    for server_id in found:
        row = tx.one(_ONE, host=host_id, server=server_id)
        if row is not None:
            _set(tx, row, awaited=0)
    return found


def awaited_of(tx: Tx, server_id: str) -> list[str]:
    """The hosts that the server is held for."""
    return [str(row.host_id) for row in tx.all(_OF_SERVER, server=server_id) if row.awaited]


def waive(tx: Tx, server_id: str, host_id: str) -> None:
    """The server isn't held for that host any more."""
    row = tx.one(_ONE, host=host_id, server=server_id)
    if row is not None:
        _set(tx, row, awaited=0)


def release(tx: Tx, server_id: str) -> None:
    """The server won't come back: its disks on former hosts needn't be kept for that."""
    for row in tx.all(_OF_SERVER, server=server_id):
        if row.kept:
            _set(tx, row, kept=0)


def settled(tx: Tx, server_id: str) -> None:
    """The server has come to rest where it is now, or is deleted: local disks on former hosts may go."""
    for row in tx.all(_OF_SERVER, server=server_id):
        if is_local(row.storage) and not row.wipe and not row.kept:
            _set(tx, row, generation=row.generation + 1, wipe=1, absent=0, new_order=True)


def _set(tx: Tx, row: Row[Any], *, new_order: bool = False, **values: int) -> None:
    after = {**{name: getattr(row, name) for name in _WRITTEN}, **values}
    if new_order:
        after["host_generation"] = hosts.bump(tx, row.host_id)
        tx.nudged.append(("host", row.host_id))
    tx.changed(_SET, host=row.host_id, server=row.server_id, **{f"new_{name}": value for name, value in after.items()})
