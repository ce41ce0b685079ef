"""The tables of ``store.tables.ha`` in SQL, and what is read of the fleet. Prepared statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import Row

from stackling.ha.model import Evacuation, Proof, Record, State, Strength
from stackling.store.tables.compute import servers
from stackling.store.tables.fleet import hosts, machines
from stackling.store.tables.ha import ha_evacuations, ha_machines, ha_proofs
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

MACHINE, EVACUATION = "machine", "evacuation"
_h, _e = ha_machines.c, ha_evacuations.c
_RECORD = select(
    machines.c.id, machines.c.name, machines.c.boot_id, machines.c.last_seen, machines.c.address,
    *(column for column in ha_machines.c if column.name != "machine_id"),
    ha_proofs.c.strength, ha_proofs.c.summary, ha_proofs.c.source, ha_proofs.c.evidence, ha_proofs.c.proven_at,
).select_from(machines.outerjoin(ha_machines, _h.machine_id == machines.c.id).outerjoin(
    ha_proofs, and_(ha_proofs.c.id == _h.proof_id)))
_ONE = _RECORD.where(machines.c.id == bindparam("id"))
_NAMED = _RECORD.where(or_(machines.c.name == bindparam("ref"), machines.c.id == bindparam("ref")))
_ALL = _RECORD.order_by(machines.c.name)
_PULSE = select(machines.c.id, machines.c.name, machines.c.last_seen, machines.c.boot_id, _h.state).select_from(
    machines.outerjoin(ha_machines, _h.machine_id == machines.c.id))
_STATE = select(_h.state, _h.generation).where(_h.machine_id == bindparam("id"))
_SEEN = update(machines).where(machines.c.id == bindparam("machine")).values(
    last_seen=bindparam("at"), boot_id=bindparam("boot"))
_GENERATION = select(_h.generation).where(_h.machine_id == bindparam("id"))
_KNOWN = select(machines.c.id).where(machines.c.id == bindparam("id"))
_PUT = upsert(
    ha_machines, ["machine_id"],
    insert={"generation": 1, "state": bindparam("p_state"), "updated_at": bindparam("p_now")},
    update={"updated_at": bindparam("p_now")})
_RAISE = update(ha_machines).where(_h.machine_id == bindparam("id")).values(generation=_h.generation + 1)
_HOSTS = select(
    hosts.c.id, hosts.c.name, hosts.c.machine_id, hosts.c.lease_epoch, hosts.c.generation, hosts.c.fenced,
    hosts.c.unknown_guests, hosts.c.disabled, hosts.c.disabled_reason, hosts.c.forced_down,
).order_by(hosts.c.number)
_HOSTS_OF = _HOSTS.where(hosts.c.machine_id == bindparam("id"))
_HOST_NAMED = _HOSTS.where(hosts.c.name == bindparam("name"))
_HOLDER = select(hosts.c.machine_id).where(hosts.c.id == bindparam("id"))
_DISABLE = update(hosts).where(hosts.c.id == bindparam("id_")).values(
    disabled=bindparam("off"), disabled_reason=bindparam("why"))
_SUSPECT = update(hosts).where(hosts.c.machine_id == bindparam("machine")).values(suspect=bindparam("off"))
_EVACUATION = select(ha_evacuations).where(_e.server_id == bindparam("id"))
_EVACUATIONS_OF = select(ha_evacuations, servers.c.name.label("server")).select_from(
    ha_evacuations.outerjoin(servers, servers.c.id == _e.server_id)).where(
    _e.machine_id == bindparam("machine")).order_by(_e.priority.desc(), _e.since, _e.position)
_COUNTS = select(_e.machine_id, _e.state, func.count().label("number")).group_by(_e.machine_id, _e.state)
_FORGET_EVACUATIONS = delete(ha_evacuations).where(_e.machine_id == bindparam("machine"))
_OPEN = (Evacuation.QUEUED.value, Evacuation.WAITING.value, Evacuation.HELD.value)
_VOID = update(ha_evacuations).where(_e.machine_id == bindparam("machine"), _e.state.in_(_OPEN)).values(
    state=Evacuation.VOID.value, reason=bindparam("why"), generation=_e.generation + 1, updated_at=bindparam("now"))
_AHEAD = select(_e.server_id).where(
    _e.state == Evacuation.QUEUED.value, or_(
        _e.priority > bindparam("priority"),
        and_(_e.priority == bindparam("priority"), or_(
            _e.since < bindparam("since"),
            and_(_e.since == bindparam("since"), _e.position < bindparam("position")))))).limit(1)
_STARTING = select(func.count()).select_from(ha_evacuations).where(
    _e.state == Evacuation.MOVING.value, _e.target_id == bindparam("target"), _e.moved_at > bindparam("since"),
    _e.server_id != bindparam("server"))
_SERVER = select(
    servers.c.id, servers.c.name, servers.c.project_id, servers.c.host_id, servers.c.host, servers.c.status,
    servers.c.deleted, servers.c.deleting, servers.c.generation, servers.c.observed_generation,
    servers.c.observed_converged, servers.c.observed_error, servers.c.observed_terminal, servers.c.task_state,
).where(servers.c.id == bindparam("id"))
_ON_MACHINE = select(servers.c.id, servers.c.project_id).select_from(
    servers.join(hosts, hosts.c.id == servers.c.host_id)).where(
    hosts.c.machine_id == bindparam("machine"), servers.c.deleted == 0)
_updates: dict[tuple[str, ...], Any] = {}


def mapping(row: Row[Any]) -> Mapping[str, Any]:
    """The row as a mapping by column name."""
    return cast("Mapping[str, Any]", row._mapping)    # pyright: ignore[reportPrivateUsage]


# -- machines

def record(row: Row[Any], strangers: Sequence[str] = (), caught_up: bool = True) -> Record:
    """The row of ``_RECORD`` as a value; a machine that the service hasn't looked at yet counts as up."""
    if row.state is None:
        return Record(row.id, row.name, boot_id=row.boot_id, last_seen=row.last_seen)
    return Record(
        row.id, row.name, row.generation, State(row.state), row.reason, row.alarm, row.boot_id, row.last_seen,
        row.lost_at, row.lost_boot_id, row.asked_at, row.returned_at, bool(row.distrusted), row.planned_at,
        row.planned_until, row.planned_reason, bool(row.planned_gone),
        None if row.proof_id is None or row.strength is None else Strength(row.strength), tuple(strangers), caught_up)


def machine(tx: Tx, id: str) -> Row[Any] | None:
    """A machine with its state and proof, by id."""
    return tx.one(_ONE, id=id)


def named(tx: Tx, ref: str) -> Row[Any] | None:
    """The same, by name or id."""
    return tx.one(_NAMED, ref=ref)


def every(tx: Tx) -> Sequence[Row[Any]]:
    """All of them, by name."""
    return tx.all(_ALL)


def pulse(tx: Tx) -> Sequence[Row[Any]]:
    """(id, name, last_seen, boot_id, state) of every machine."""
    return tx.all(_PULSE)


def state(tx: Tx, machine_id: str) -> State:
    """What the machine is taken for."""
    found = tx.one(_STATE, id=machine_id)
    return State.UP if found is None else State(found.state)


def generation(tx: Tx, machine_id: str) -> int | None:
    """Of the machine's row; 1 for one that has none yet, None for no machine."""
    found = tx.scalar(_GENERATION, id=machine_id)
    if found is not None:
        return int(found)
    return None if tx.one(_KNOWN, id=machine_id) is None else 1


def seen(tx: Tx, machine_id: str, boot_id: str) -> None:
    """The machine's agent is alive, in this boot."""
    tx.execute(_SEEN, {"machine": machine_id, "at": tx.time, "boot": boot_id})


def lock(tx: Tx, machine_id: str) -> None:
    """Serialise with every other transaction that decides about this machine."""
    tx.guard(f"ha.machine:{machine_id}")


def put(tx: Tx, machine_id: str, values: Mapping[str, Any], *, desired: bool = False) -> None:
    """Write columns, making the row where there is none; *desired*: turns under way shall look again."""
    tx.execute(_PUT.on(tx.dialect), {
        "machine_id": machine_id, "p_state": values.get("state", State.UP.value), "p_now": tx.now})
    if values:
        names = tuple(sorted(values))
        statement = _updates.get(names)
        if statement is None:
            statement = _updates[names] = update(ha_machines).where(_h.machine_id == bindparam("id_")).values(
                {name: bindparam(f"v_{name}", type_=ha_machines.c[name].type) for name in names})
        tx.execute(statement, {"id_": machine_id, **{f"v_{name}": values[name] for name in names}})
    if desired:
        tx.execute(_RAISE, {"id": machine_id})


def add_proof(tx: Tx, id: str, machine_id: str, proof: Proof, lost_at: float | None) -> None:
    """Store a proof with its evidence."""
    tx.execute(insert(ha_proofs), {
        "id": id, "machine_id": machine_id, "source": proof.source, "strength": proof.strength.value,
        "summary": proof.summary, "evidence": proof.evidence, "lost_at": lost_at, "proven_at": proof.proven_at})


def end_proof(tx: Tx, proof_id: str | None) -> None:
    """The proof is over: its machine was heard of."""
    if proof_id is not None:
        tx.execute(update(ha_proofs).where(ha_proofs.c.id == proof_id, ha_proofs.c.ended_at.is_(None)).values(
            ended_at=tx.time))


def proofs(tx: Tx, machine_id: str, most: int = 20) -> Sequence[Row[Any]]:
    """Its proofs, latest first."""
    return tx.all(select(ha_proofs).where(ha_proofs.c.machine_id == machine_id).order_by(
        ha_proofs.c.proven_at.desc()).limit(most))


# -- hosts and servers

def hosts_of(tx: Tx, machine_id: str) -> Sequence[Row[Any]]:
    """The hosts that a machine holds."""
    return tx.all(_HOSTS_OF, id=machine_id)


def all_hosts(tx: Tx) -> Sequence[Row[Any]]:
    """Every host."""
    return tx.all(_HOSTS)


def host_named(tx: Tx, name: str) -> Row[Any] | None:
    """By name."""
    return tx.one(_HOST_NAMED, name=name)


def holder(tx: Tx, host_id: str) -> str | None:
    """The machine that holds a host."""
    return tx.scalar(_HOLDER, id=host_id)


def set_disabled(tx: Tx, host_id: str, reason: str | None) -> None:
    """Keep new servers away (a reason), or let them come again (None)."""
    tx.execute(_DISABLE, {"id_": host_id, "off": reason is not None, "why": reason})


def set_suspect(tx: Tx, machine_id: str, suspect: bool) -> None:
    """Whether the machine's hosts get no new servers, because it isn't well."""
    tx.execute(_SUSPECT, {"machine": machine_id, "off": suspect})


def server(tx: Tx, id: str) -> Row[Any] | None:
    """Where a server is, and whether its host has it as it shall be."""
    return tx.one(_SERVER, id=id)


def servers_on(tx: Tx, machine_id: str) -> Sequence[Row[Any]]:
    """(id, project_id) of the servers on a machine's hosts."""
    return tx.all(_ON_MACHINE, machine=machine_id)


# -- evacuations

def evacuation(tx: Tx, server_id: str) -> Row[Any] | None:
    """A server's evacuation."""
    return tx.one(_EVACUATION, id=server_id)


def evacuations(tx: Tx, machine_id: str) -> Sequence[Row[Any]]:
    """Those off a machine, in order, with the servers' names."""
    return tx.all(_EVACUATIONS_OF, machine=machine_id)


def evacuation_counts(tx: Tx) -> dict[str, dict[str, int]]:
    """How many there are, by machine and state."""
    found: dict[str, dict[str, int]] = {}
    for row in tx.all(_COUNTS):
        found.setdefault(row.machine_id, {})[row.state] = int(row.number)
    return found


def add_evacuation(tx: Tx, values: Mapping[str, Any]) -> None:
    """Insert one."""
    tx.execute(insert(ha_evacuations), [dict(values)])


def set_evacuation(tx: Tx, server_id: str, **values: Any) -> None:
    """Write columns."""
    tx.execute(update(ha_evacuations).where(_e.server_id == server_id).values(**values, updated_at=tx.now))


def forget_evacuations(tx: Tx, machine_id: str) -> None:
    """Those off a machine that is at home again are history."""
    tx.execute(_FORGET_EVACUATIONS, {"machine": machine_id})


def void_evacuations(tx: Tx, machine_id: str, reason: str) -> int:
    """End those that haven't moved yet."""
    return tx.changed(_VOID, machine=machine_id, why=reason, now=tx.now)


def ahead(tx: Tx, row: Row[Any]) -> str | None:
    """An evacuation of higher priority that hasn't been tried yet."""
    return tx.scalar(_AHEAD, priority=row.priority, since=row.since, position=row.position)


def starting(tx: Tx, target_id: str, server_id: str, since: float) -> int:
    """How many other evacuated servers have been starting on a host since then."""
    return int(tx.scalar(_STARTING, target=target_id, server=server_id, since=since) or 0)
