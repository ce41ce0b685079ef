"""QoS specs: limits that types of volumes carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, insert, or_, select, update

from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.volume import volume_qos_specs, volume_types
from stackling.store.transaction import Tx
from stackling.volume import lists
from stackling.volume.lists import Listing
from stackling.volume.rows import AnyRow, mapping

_ONE = select(volume_qos_specs).where(volume_qos_specs.c.id == bindparam("id"))
_NAMED = select(volume_qos_specs.c.id).where(or_(volume_qos_specs.c.name == bindparam("name")))
_TYPES = select(volume_types.c.id, volume_types.c.name).where(volume_types.c.qos_specs_id == bindparam("id"))


def get_specs(tx: Tx, id: str) -> AnyRow:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=id)
    if row is None:
        raise NotFound(f"No such QoS spec {id}.", type="QoSSpecsNotFound")
    return mapping(row)


def list_specs(tx: Tx, asked: Listing) -> Sequence[AnyRow]:
    """One page of them. Raises ``NotFound`` for an unknown marker."""
    return lists.page(tx, volume_qos_specs, asked)


def create_specs(tx: Tx, name: str, consumer: str, specs: Mapping[str, str]) -> AnyRow:
    """Raises ``Conflict`` for a name that is taken."""
    tx.guard("volume.qos")
    if tx.one(_NAMED, name=name) is not None:
        raise Conflict(f"QoS Specs {name} already exists.", type="QoSSpecsExists")
    row = {"id": new_id(), "name": name, "consumer": consumer, "specs": dict(specs), "created_at": tx.now}
    tx.execute(insert(volume_qos_specs), row)
    return row


def set_keys(tx: Tx, specs: AnyRow, consumer: str | None, items: Mapping[str, str]) -> None:
    """Add or replace keys."""
    tx.execute(update(volume_qos_specs).where(volume_qos_specs.c.id == specs["id"]).values(
        consumer=consumer or specs["consumer"], specs={**specs["specs"], **items}))


def delete_keys(tx: Tx, specs: AnyRow, keys: Sequence[str]) -> None:
    """Raises ``NotFound`` for a key that isn't there."""
    for key in keys:
        if key not in specs["specs"]:
            raise NotFound(f"QoS spec {specs['id']} has no spec with key {key}.", type="QoSSpecsKeyNotFound")
    tx.execute(update(volume_qos_specs).where(volume_qos_specs.c.id == specs["id"]).values(
        specs={key: value for key, value in specs["specs"].items() if key not in keys}))


def associations(tx: Tx, id: str) -> list[tuple[str, str]]:
    """(id, name) of the types that carry it."""
    return [(row.id, row.name) for row in tx.all(_TYPES, id=id)]


def associate(tx: Tx, specs: AnyRow, type_id: str) -> None:
    """Raises ``Invalid`` where the type has other ones, ``NotFound``."""
    row = tx.one(select(volume_types.c.qos_specs_id).where(volume_types.c.id == type_id))
    if row is None:
        raise NotFound(f"Volume type {type_id} could not be found.")
    if row.qos_specs_id is not None and row.qos_specs_id != specs["id"]:
        raise Invalid(f"Type {type_id} is already associated with another qos specs: {row.qos_specs_id}")
    tx.execute(update(volume_types).where(volume_types.c.id == type_id).values(qos_specs_id=specs["id"]))


def disassociate(tx: Tx, specs: AnyRow, type_id: str | None) -> None:
    """From one type, or (None) from all."""
    statement = update(volume_types).where(volume_types.c.qos_specs_id == specs["id"])
    if type_id is not None:
        statement = statement.where(volume_types.c.id == type_id)
    tx.execute(statement.values(qos_specs_id=None))


def delete_specs(tx: Tx, specs: AnyRow, *, force: bool) -> None:
    """Raises ``Invalid`` while a type carries them, unless *force*."""
    if associations(tx, specs["id"]):
        if not force:
            raise Invalid(f"QoS Specs {specs['id']} is still associated with entities.", type="QoSSpecsInUse")
        disassociate(tx, specs, None)
    tx.execute(delete(volume_qos_specs).where(volume_qos_specs.c.id == specs["id"]))
