"""Who takes what. Servers' shares are Compute's and are shown beside the rows; all others are written here.

What such a consumer takes of a host's processors, memory or disk is added to the host's own sums, so that the scheduler
leaves it alone. Rows, sums and generations change in one transaction, or none does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, bindparam, delete, insert, select

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.placement import inventories, labels, providers
from stackling.placement.model import PROVIDER_NOT_FOUND, Inventory, World, allowed, changed_meanwhile
from stackling.store.tables.placement import allocations, consumers
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

NOBODY = "00000000-0000-0000-0000-000000000000"
"""Project and user of allocations made before microversion 1.8."""
UNKNOWN = "unknown"
Amounts = Mapping[str, Mapping[str, int]]
"""By provider and class."""

_JOINED = select(
    allocations.c.consumer_id, allocations.c.provider_id, allocations.c.resource_class, allocations.c.used,
    consumers.c.project_id, consumers.c.user_id, consumers.c.type, consumers.c.generation,
).select_from(allocations.join(consumers, consumers.c.id == allocations.c.consumer_id)).order_by(
    allocations.c.consumer_id, allocations.c.provider_id, allocations.c.resource_class)
_OF_CONSUMERS = _JOINED.where(allocations.c.consumer_id.in_(bindparam("ids", expanding=True)))
_OF_PROVIDER = _JOINED.where(allocations.c.provider_id == bindparam("id"))
_OF_PROJECT = _JOINED.where(consumers.c.project_id == bindparam("project"))
_CONSUMERS = select(consumers).where(consumers.c.id.in_(bindparam("ids", expanding=True)))
_DELETE = delete(allocations).where(allocations.c.consumer_id.in_(bindparam("ids", expanding=True)))
_FORGET = delete(consumers).where(consumers.c.id.in_(bindparam("ids", expanding=True)))
_VALUES: dict[str, Any] = {name: bindparam(f"b_{name}") for name in ("project_id", "user_id", "type", "generation")}
_KEEP = upsert(consumers, ["id"], insert=_VALUES, update=_VALUES)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a consumer shall take: exactly this. ``generation`` None: it isn't known yet."""

    consumer_id: str
    project_id: str
    user_id: str
    amounts: Amounts
    generation: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a consumer takes of one provider."""

    consumer_id: str
    provider_id: str
    amounts: Mapping[str, int]
    project_id: str
    user_id: str
    type: str | None
    generation: int


def of_consumer(tx: Tx, id: str) -> list[Taken]:
    """By provider."""
    return [*_rows(tx, _OF_CONSUMERS, ids=[id]), *_servers(compute.taken(tx, consumer_id=id))]


def of_provider(tx: Tx, id: str) -> list[Taken]:
    """By consumer."""
    return [*_servers(compute.taken(tx, host_id=id)), *_rows(tx, _OF_PROVIDER, id=id)]


def of_project(tx: Tx, id: str) -> list[Taken]:
    """Everything that the project's consumers take."""
    return [*_servers(compute.taken(tx, project_id=id)), *_rows(tx, _OF_PROJECT, project=id)]


def _rows(tx: Tx, statement: Executable, **values: Any) -> list[Taken]:
    found: dict[tuple[str, str], Taken] = {}
    for row in tx.all(statement, **values):
        one = found.setdefault((row.consumer_id, row.provider_id), Taken(
            row.consumer_id, row.provider_id, dict[str, int](), row.project_id, row.user_id, row.type, row.generation))
        found[row.consumer_id, row.provider_id] = Taken(
            one.consumer_id, one.provider_id, {**one.amounts, row.resource_class: int(row.used)}, one.project_id,
            one.user_id, one.type, one.generation)
    return list(found.values())


def _servers(found: Iterable[compute.Taken]) -> list[Taken]:
    return [Taken(one.consumer_id, one.host_id, one.amounts, one.project_id, one.user_id, one.type, 1)
            for one in found]


# -- writing

def put(tx: Tx, claims: Sequence[Claim], *, generations: bool) -> None:
    """Give every consumer exactly what its claim says (nothing: forget it).

    With *generations* a claim is refused that was made for another one (since 1.28). Raises ``Invalid`` for a provider
    or class that isn't there, ``Conflict`` where there is no room, or for what Compute keeps.
    """
    tx.guard(compute.RESOURCES_GUARD)
    known = providers.world(tx)
    ids = [claim.consumer_id for claim in claims]
    _check_servers(tx, ids)
    there = {row.id: row for row in tx.all(_CONSUMERS, ids=ids)}
    for claim in claims:
        row = there.get(claim.consumer_id)
        if generations:
            _check_generation(claim, None if row is None else int(row.generation))
    _check_providers(tx, known, claims)
    former = _rows(tx, _OF_CONSUMERS, ids=ids)
    before, after = _sums((one.provider_id, one.amounts) for one in former), _sums(
        item for claim in claims for item in claim.amounts.items())
    for claim in claims:
        for id, amounts in claim.amounts.items():
            for name, amount in amounts.items():
                _check_room(known, id, name, amount, before, after)
    _write(tx, claims, {id: (int(row.generation), row.type) for id, row in there.items()})
    _count(tx, known, before, after)


Sums = Counter[tuple[str, str]]


def _sums(items: Iterable[tuple[str, Mapping[str, int]]]) -> Sums:
    found: Sums = Counter()
    for id, amounts in items:
        for name, amount in amounts.items():
            found[id, name] += amount
    return found


def _check_servers(tx: Tx, ids: Sequence[str]) -> None:
    for id in ids:
        for one in compute.taken(tx, consumer_id=id):
            what = "server" if one.type == "INSTANCE" else f"a migration of server {one.server_id}"
            raise Conflict(f"Consumer {id} is {what}: Compute keeps what it takes, and it changes with the server.")


def _check_generation(claim: Claim, there: int | None) -> None:
    if claim.generation != there:
        given = "null" if claim.generation is None else claim.generation
        shown = "null" if there is None else there
        raise changed_meanwhile(f"consumer generation conflict - expected {shown} but got {given}")


def _check_providers(tx: Tx, known: World, claims: Sequence[Claim]) -> None:
    names: set[str] = set()
    for claim in claims:
        for id, amounts in claim.amounts.items():
            if id not in known.providers:
                raise Invalid(f"Allocation for resource provider '{id}' that does not exist.")
            names |= set(amounts)
    try:
        labels.check_classes(tx, names)
    except Invalid as error:
        consumer = f" for consumer {claims[0].consumer_id}:" if len(claims) == 1 else ""
        raise Invalid(f"Unable to allocate inventory{consumer} {error.message}") from None


def _check_room(known: World, id: str, name: str, amount: int, before: Sums, after: Sums) -> None:
    inventory = known.inventories[id].get(name)
    if inventory is None:
        raise Conflict(f"Unable to allocate inventory: Inventory for '{name}' on resource provider '{id}' invalid.")
    text = f"Unable to allocate inventory: Unable to create allocation for '{name}' on resource provider '{id}'. The "
    if not allowed(inventory, amount):
        raise Conflict(f"{text}requested amount would violate inventory constraints.")
    more = after[id, name] - before[id, name]
    if more > 0 and known.used[id].get(name, 0) + more > inventory.capacity:
        raise Conflict(f"{text}requested amount would exceed the capacity.")


def _write(tx: Tx, claims: Sequence[Claim], there: Mapping[str, tuple[int, str | None]]) -> None:
    tx.execute(_DELETE, {"ids": [claim.consumer_id for claim in claims]})
    rows = [{"consumer_id": claim.consumer_id, "provider_id": id, "resource_class": name, "used": amount}
            for claim in claims for id, amounts in claim.amounts.items() for name, amount in amounts.items()]
    if rows:
        tx.execute(insert(allocations), rows)
    gone = [claim.consumer_id for claim in claims if not claim.amounts]
    if gone:
        tx.execute(_FORGET, {"ids": gone})
    for claim in claims:
        if claim.amounts:
            generation, type = there.get(claim.consumer_id, (0, None))
            tx.execute(_KEEP.on(tx.dialect), {
                "id": claim.consumer_id, "b_project_id": claim.project_id, "b_user_id": claim.user_id,
                "b_type": claim.type or type, "b_generation": generation + 1})


def _count(tx: Tx, known: World, before: Sums, after: Sums, *, gone: bool = False) -> None:
    """Raise the generations of the providers concerned (as upstream not where a consumer is *gone* by DELETE); a
    host's sums change with it."""
    for id in dict.fromkeys(id for id, _ in [*before, *after]):
        one = known.providers.get(id)
        if one is None:
            continue
        if not one.is_host and gone:
            continue
        if not one.is_host:
            providers.raise_generation(tx, one)
            continue
        more = {name: after[id, name] - before[id, name] for name in compute.HOST_CLASSES}
        if not compute.take_of_host(tx, providers.host(tx, id), more):
            raise changed_meanwhile("Inventory and/or allocations changed while attempting to allocate: Another thread "
                                    "concurrently updated the resource provider data. Please retry your update")


def remove(tx: Tx, id: str) -> None:
    """Raises ``NotFound`` for a consumer that takes nothing."""
    tx.guard(compute.RESOURCES_GUARD)
    _check_servers(tx, [id])
    former = _rows(tx, _OF_CONSUMERS, ids=[id])
    if not former:
        raise NotFound(f"No allocations for consumer '{id}'")
    known = providers.world(tx)
    tx.execute(_DELETE, {"ids": [id]})
    tx.execute(_FORGET, {"ids": [id]})
    _count(tx, known, _sums((one.provider_id, one.amounts) for one in former), Counter(), gone=True)


def reshape(tx: Tx, wanted: Mapping[str, tuple[int, Mapping[str, Inventory]]], claims: Sequence[Claim]) -> None:
    """Change inventories and move allocations between them at once: *wanted* is (generation, inventories) by provider.

    Classes that go are taken away last, when nobody takes of them any more.
    """
    known = providers.world(tx)
    for id, (generation, _) in wanted.items():
        one = known.providers.get(id)
        if one is None:
            raise Invalid(f"Resource provider {id} in inventories not found: No resource provider with uuid {id} found",
                          code=PROVIDER_NOT_FOUND)
        if one.generation != generation:
            raise changed_meanwhile(f"resource provider generation conflict for provider {id}: actual: "
                                    f"{one.generation}, given: {generation}")
    for id, (_, found) in wanted.items():
        inventories.replace_all(tx, known, known.providers[id], {**known.inventories[id], **found})
    if claims:
        put(tx, claims, generations=True)
    for id, (_, found) in wanted.items():
        known = providers.world(tx)
        if set(known.inventories[id]) != set(found):
            inventories.replace_all(tx, known, known.providers[id], found)
