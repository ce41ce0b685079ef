"""Host identities that move: who holds a host, taking one over, giving one up.

Theory of operation. A lease moves only when its holder can't act on it any more: it has let go itself, after its last
guest was off (``releasing`` asks it to, ``released`` is its own word), or it is fenced by a proof that is enough for
every disk of the host's servers. The move raises the lease's epoch, so that documents and reports of the former holder
are refused, and the host's ports move with it. A host that is taken back before it was let go gets another epoch, too:
the holder's word that its guests are off names the epoch, and one that was held up on its way doesn't count for guests
that have been started since. Everything about one host is serialised by its lock, and by its
holder's, which a machine that is heard of again takes as well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Row

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, NotFound
from stackling.ha import rows
from stackling.ha.model import State, Strength
from stackling.ha.rules import may_evacuate
from stackling.network import facade as network
from stackling.store.tables.fleet import hosts
from stackling.store.tables.ha import ha_leases
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

_HELD = select(hosts.c.id, hosts.c.name, hosts.c.lease_epoch, ha_leases.c.releasing_at, ha_leases.c.released_at,
               ).select_from(hosts.outerjoin(ha_leases, ha_leases.c.host_id == hosts.c.id)).where(
    hosts.c.machine_id == bindparam("machine")).order_by(hosts.c.name)
_LEASE = select(ha_leases).where(ha_leases.c.host_id == bindparam("host"))
_NEW = upsert(ha_leases, ["host_id"], insert={"changes": 1}, update={"changes": ha_leases.c.changes + 1})
_SET = update(ha_leases).where(ha_leases.c.host_id == bindparam("host")).values(
    releasing_at=bindparam("releasing"), released_at=bindparam("released"), released_by=bindparam("machine"))


@dataclass(frozen=True, slots=True)
class Held:
    """A host that a machine holds. ``releasing``: it shall stop its guests and let go."""

    host: str
    epoch: int
    releasing: bool


def held(tx: Tx, machine_id: str) -> list[Held]:
    """The hosts of a machine, without those that it has let go."""
    return [Held(row.name, row.lease_epoch, row.releasing_at is not None) for row in tx.all(_HELD, machine=machine_id)
            if row.released_at is None]


def digest(found: list[Held]) -> str:
    """A short text that changes whenever *found* does."""
    return hashlib.sha256(repr([(one.host, one.epoch, one.releasing) for one in found]).encode()).hexdigest()[:16]


def take_over(tx: Tx, host: str, machine_id: str) -> int:
    """Let the machine hold *host*; the lease's epoch. Nothing when it does already. Raises ``NotFound``, and
    ``Conflict`` with the reason when the present holder may still act."""
    found, lease = _locked(tx, host)
    if found.machine_id == machine_id and (lease is None or lease.released_at is None):
        if lease is None or lease.releasing_at is None:
            return int(found.lease_epoch)
        _set(tx, found.id, None, None, None)
        _wake(tx, found.id, machine_id)
        return compute.move_lease(tx, found.id, machine_id)
    if found.machine_id is not None and (lease is None or lease.released_at is None):
        _require_fenced(tx, found)
    epoch = compute.move_lease(tx, found.id, machine_id)
    network.host_moved(tx, found.name)
    if found.fenced:
        compute.host_back(tx, found.id)
    rows.set_suspect(tx, machine_id, rows.state(tx, machine_id) not in (State.UP, State.UNMANAGED))
    _set(tx, found.id, None, None, None)
    names = {row.id: row.name for row in rows.every(tx)}
    former, holder = names.get(found.machine_id or "", "nobody"), names.get(machine_id, machine_id)
    tx.event(None, "host", found.id, "taken_over", f"from {former} by {holder}, epoch {epoch}", source="ha")
    _wake(tx, found.id, machine_id, found.machine_id)
    return epoch


def release(tx: Tx, host: str, machine_id: str, *, stopped: int | None = None) -> bool:
    """The machine shall give *host* up, or says that no guest of the epoch *stopped* runs any more; whether it is free.
    Idempotent; a host that another machine holds counts as free. Raises ``NotFound``."""
    found, lease = _locked(tx, host)
    if found.machine_id != machine_id:
        return True
    if lease is not None and lease.released_at is not None:
        return True
    if stopped is not None and stopped != found.lease_epoch:
        return False
    if stopped is not None:
        _set(tx, found.id, tx.time, tx.time, machine_id)
        tx.event(None, "host", found.id, "released", "its machine has stopped its guests and let go", source="ha")
    elif lease is None or lease.releasing_at is None:
        _set(tx, found.id, tx.time, None, None)
        tx.event(None, "host", found.id, "releasing", "its machine is asked to stop its guests and let go", source="ha")
    _wake(tx, found.id, machine_id)
    return stopped is not None


# -- how

def _locked(tx: Tx, host: str) -> tuple[Row[Any], Row[Any] | None]:
    tx.guard(f"ha.lease:{host[:120]}")
    found = rows.host_named(tx, host)
    if found is None:
        raise NotFound(f"Host {host} could not be found.")
    if found.machine_id is not None:
        rows.lock(tx, found.machine_id)
    return found, tx.one(_LEASE, host=found.id)


def _require_fenced(tx: Tx, host: Row[Any]) -> None:
    holder = rows.machine(tx, host.machine_id)
    name = holder.name if holder is not None else host.machine_id
    state = State.UP if holder is None or holder.state is None else State(holder.state)
    if holder is None or state is not State.FENCED or holder.strength is None:
        why = f" ({holder.reason})" if holder is not None and holder.reason else ""
        raise Conflict(f"Host {host.name} is held by machine {name}, which is {state}{why}: it has neither let go nor "
                       "is it fenced.")
    strength = Strength(holder.strength)
    stuck = [(moving.id, why) for moving in compute.servers_to_move(tx, host.id)
             if (why := may_evacuate(state, strength, moving.disk))]
    if stuck:
        raise Conflict(f"Host {host.name} can't be taken from machine {name}: server {stuck[0][0]}: {stuck[0][1]}"
                       + (f" (and {len(stuck) - 1} more)" if len(stuck) > 1 else ""))


def _set(tx: Tx, host_id: str, releasing: float | None, released: float | None, machine: str | None) -> None:
    tx.execute(_NEW.on(tx.dialect), {"host_id": host_id})
    tx.execute(_SET, {"host": host_id, "releasing": releasing, "released": released, "machine": machine})


def _wake(tx: Tx, host_id: str, *machine_ids: str | None) -> None:
    tx.nudged.append(("host", host_id))
    tx.nudged.extend((rows.MACHINE, id) for id in machine_ids if id is not None)
