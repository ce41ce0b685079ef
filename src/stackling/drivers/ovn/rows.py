"""Rows of the northbound database as values, and the difference between those that should be and those that are.

Every row's UUID follows from what it is for (an object's first row has the object's own id), so that compiling
needs no look-up, rows refer to each other before they exist, and two writers can't make the same row twice: the
server refuses the second UUID. Pure: nothing here talks to a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid5

from stackling.drivers.ovn.schema import TABLES
from stackling.ports.fabric import FabricKind

Scalar = str | int | bool | UUID
Value = Scalar | Sequence[Scalar] | Mapping[str, str] | Mapping[str, int] | None
Plain = frozenset[Scalar] | dict[str, Any]
Operation = dict[str, Any]

_NAMESPACE = UUID("5b0bf3b1-1b0e-5d3f-9a53-0d0e51ac4b1e")
KIND, ID, GENERATION, ERA, PARENTS = (f"stackling:{name}" for name in ("kind", "id", "generation", "era", "in"))

ANCHOR: Mapping[FabricKind, str] = {
    FabricKind.NETWORK: "Logical_Switch",
    FabricKind.PORT: "Logical_Switch_Port",
    FabricKind.ROUTER: "Logical_Router",
    FabricKind.FLOATING_IP: "NAT",
    FabricKind.SECURITY_GROUP: "Port_Group",
    FabricKind.LOAD_BALANCER: "Load_Balancer",
    FabricKind.ADDRESS_GROUP: "Address_Set",
    FabricKind.PORT_FORWARDING: "Load_Balancer",
}


@dataclass(frozen=True, slots=True)
class Member:
    """The row is to be in ``column`` of another object's row. ``owner``: whose, when it may be missing."""

    table: str
    uuid: UUID
    column: str
    owner: tuple[FabricKind, str] | None = None

    def __str__(self) -> str:
        return f"{self.table}.{self.column}:{self.uuid}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the columns that we set (others are left alone), what it says besides, and where it is a member."""

    table: str
    uuid: UUID
    label: str
    columns: Mapping[str, Value]
    says: Mapping[str, str] = field(default_factory=dict[str, str])
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """An object as rows. The first one is its anchor, which carries the fence; ``needs`` must exist already."""

    kind: str
    id: str
    generation: int
    rows: tuple[Row, ...]
    needs: tuple[Member, ...] = ()


class Actual(Protocol):
    """The rows that are there."""

    def has(self, table: str, uuid: UUID) -> bool: ...
    def column(self, table: str, uuid: UUID, column: str) -> Plain: ...
    def member(self, table: str, uuid: UUID, column: str, member: UUID) -> bool: ...
    def owned(self, kind: str, id: str) -> Iterable[tuple[str, UUID]]: ...


@dataclass(slots=True)
class Difference:
    """What differs, for people, and the operations (RFC 7047, section 5.2) that mend it."""

    drift: list[str] = field(default_factory=list[str])
    operations: list[Operation] = field(default_factory=list[Operation])


def row_id(id: str, part: str = "") -> UUID:
    """The UUID of a row: the object's own id, or one derived from it for a *part* of it."""
    if not part:
        try:
            return UUID(id)
        except ValueError:
            pass
    return uuid5(_NAMESPACE, f"{id}/{part}")


def plain(value: Value) -> Plain:
    """*value* in the one form that can be compared: a dictionary or a set."""
    if isinstance(value, Mapping):
        return dict(value)
    if value is None:
        return frozenset()
    return frozenset({value}) if isinstance(value, Scalar) else frozenset(value)


def encode(value: Value | Plain) -> Any:
    """*value* as OVSDB's JSON."""
    if isinstance(value, Mapping):
        return ["map", [[key, one] for key, one in value.items()]]
    if value is None:
        return ["set", []]
    if isinstance(value, Scalar):
        return _atom(value)
    return ["set", [_atom(one) for one in value]]


def same(uuid: UUID) -> list[list[Any]]:
    """A condition on the row's UUID."""
    return [["_uuid", "==", ["uuid", str(uuid)]]]


def wait_for(table: str, uuid: UUID, columns: Mapping[str, Plain] | None) -> Operation:
    """The transaction goes through only if the row is so (None: only if there is no such row)."""
    names = list(columns or {}) or ["_uuid"]
    rows = [] if columns is None else [
        {name: encode(columns[name]) for name in columns} or {"_uuid": ["uuid", str(uuid)]}]
    return {"op": "wait", "timeout": 0, "table": table, "where": same(uuid), "columns": names, "until": "==",
            "rows": rows}


def mutate(member: Member, mutator: str, row: UUID) -> Operation:
    """Put *row* into its parent's column, or take it out."""
    return {"op": "mutate", "table": member.table, "where": same(member.uuid),
            "mutations": [[member.column, mutator, ["set", [["uuid", str(row)]]]]]}


def difference(compiled: Compiled, actual: Actual, era: int | None = None) -> Difference:
    """Compare *compiled* with *actual*. Marks of the era are compared only when *era* is given."""
    found = Difference()
    for row in compiled.rows:
        _compare_row(compiled, row, actual, era, found)
    wanted = {(row.table, row.uuid) for row in compiled.rows}
    for table, uuid in actual.owned(compiled.kind, compiled.id):
        if (table, uuid) not in wanted:
            found.drift.append(f"{table} {uuid} is left over")
            found.operations += detach(table, uuid, actual)
    return found


def detach(table: str, uuid: UUID, actual: Actual) -> list[Operation]:
    """Operations that make a row of ours vanish; one that isn't a root goes when nothing holds it any more."""
    operations = [mutate(member, "delete", uuid) for member in _recorded(table, uuid, actual)]
    if TABLES[table][0]:
        operations.append({"op": "delete", "table": table, "where": same(uuid)})
    return operations


def _compare_row(compiled: Compiled, row: Row, actual: Actual, era: int | None, found: Difference) -> None:
    marks = {KIND: compiled.kind, ID: compiled.id, GENERATION: str(compiled.generation), **row.says}
    if row.members:
        marks[PARENTS] = " ".join(sorted(str(member) for member in row.members))
    if era is not None:
        marks[ERA] = str(era)
    if not actual.has(row.table, row.uuid):
        found.drift.append(f"{row.label} is missing")
        columns = {**row.columns, "external_ids": marks}
        found.operations.append({"op": "insert", "table": row.table, "uuid": str(row.uuid), "row": {
            name: encode(value) for name, value in columns.items() if value is not None and value != ()}})
        found.operations += [mutate(member, "insert", row.uuid) for member in row.members]
        return
    changes = _changed_columns(row, marks, actual)
    if changes:
        names = ", ".join(sorted("marks" if name == "external_ids" else name for name in changes))
        found.drift.append(f"{row.label} differs in {names}")
        found.operations.append({"op": "update", "table": row.table, "where": same(row.uuid), "row": changes})
    for member in row.members:
        if not actual.member(member.table, member.uuid, member.column, row.uuid):
            found.drift.append(f"{row.label} is not in {member.table} {member.uuid}")
            found.operations.append(mutate(member, "insert", row.uuid))
    for member in _recorded(row.table, row.uuid, actual):
        if str(member) not in marks.get(PARENTS, "") and actual.member(
                member.table, member.uuid, member.column, row.uuid):
            found.drift.append(f"{row.label} is still in {member.table} {member.uuid}")
            found.operations.append(mutate(member, "delete", row.uuid))


def _changed_columns(row: Row, marks: Mapping[str, str], actual: Actual) -> dict[str, Any]:
    changes = {name: encode(value) for name, value in row.columns.items()
               if actual.column(row.table, row.uuid, name) != plain(value)}
    there = actual.column(row.table, row.uuid, "external_ids")
    assert isinstance(there, dict)
    ours = {key: value for key, value in there.items() if key.startswith("stackling:")}
    if ERA not in marks:
        ours.pop(ERA, None)
    if ours != marks:
        others = {key: value for key, value in there.items() if not key.startswith("stackling:")}
        changes["external_ids"] = encode({**others, **marks})
    return changes


def _recorded(table: str, uuid: UUID, actual: Actual) -> list[Member]:
    """The parents that the row itself says it was put into, those that still exist."""
    marks = actual.column(table, uuid, "external_ids")
    assert isinstance(marks, dict)
    members: list[Member] = []
    for text in marks.get(PARENTS, "").split():
        where, _, parent = text.partition(":")
        parent_table, _, column = where.partition(".")
        member = Member(parent_table, UUID(parent), column)
        if column in TABLES.get(parent_table, (False, {}))[1] and actual.has(parent_table, member.uuid):
            members.append(member)
    return members


def _atom(value: Scalar) -> Any:
    return ["uuid", str(value)] if isinstance(value, UUID) else value
