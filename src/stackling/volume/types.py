"""Volume types: their names, extra specs, who may use them, and which one is used where none is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, exists, insert, or_, select, true, update
from sqlalchemy.engine import Row

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.volume import (
    volume_default_types,
    volume_groups,
    volume_type_access,
    volume_types,
    volumes,
)
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert
from stackling.volume import quotas
from stackling.volume.model import VolumeType

DEFAULT = "__DEFAULT__"
"""The type of volumes for which nobody named one, as Cinder calls it; it can't be deleted while it is the default."""
_BY_ID = select(volume_types).where(or_(volume_types.c.id == bindparam("ref"), volume_types.c.name == bindparam("ref")))
_BY_IDS = select(volume_types).where(volume_types.c.id.in_(bindparam("ids", expanding=True)))
_ACCESS = select(volume_type_access.c.project_id).where(volume_type_access.c.type_id == bindparam("type"))
_DEFAULT_OF = select(volume_default_types.c.type_id).where(volume_default_types.c.project_id == bindparam("project"))
_SET_DEFAULT = upsert(volume_default_types, ["project_id"], insert={"type_id": bindparam("p_type")},
                      update={"type_id": bindparam("p_type")})


def _type(row: Row[Any]) -> VolumeType:
    return VolumeType(row.id, row.name, row.description, bool(row.is_public), row.extra_specs, row.qos_specs_id,
                      row.encryption)


def missing(ref: str) -> NotFound:
    """What everybody reads of a type that isn't there or isn't theirs to see."""
    return NotFound(f"Volume type {ref} could not be found.", type="VolumeTypeNotFound")


def _may_see(ctx: Context) -> list[ColumnElement[bool]]:
    if ctx.is_admin:
        return []
    return [or_(volume_types.c.is_public == true(), exists().where(
        volume_type_access.c.type_id == volume_types.c.id, volume_type_access.c.project_id == ctx.project_id))]


def get_type(tx: Tx, ctx: Context, ref: str) -> VolumeType:
    """The type with that id, or that name, if *ctx* may use it. Raises ``NotFound``."""
    rows = tx.all(_BY_ID.where(*_may_see(ctx)), ref=ref)
    if not rows:
        raise missing(ref)
    return _type(next((row for row in rows if row.id == ref), rows[0]))


def by_id(tx: Tx, ctx: Context, id: str) -> VolumeType:
    """The type with that id. Raises ``NotFound``."""
    found = get_type(tx, ctx, id)
    if found.id != id:
        raise missing(id)
    return found


def names(tx: Tx, ids: Sequence[str]) -> dict[str, VolumeType]:
    """Types by id, whoever asks."""
    wanted = sorted(set(ids))
    return {row.id: _type(row) for row in tx.all(_BY_IDS, ids=wanted)} if wanted else {}


def list_types(tx: Tx, ctx: Context, *, is_public: bool | None = True) -> list[VolumeType]:
    """All that *ctx* may see, the newest first; *is_public* None: whether public or not."""
    statement = select(volume_types).where(*_may_see(ctx)).order_by(
        volume_types.c.created_at.desc(), volume_types.c.id.desc())
    if is_public is not None and ctx.is_admin:
        statement = statement.where(volume_types.c.is_public == is_public)
    return [_type(row) for row in tx.all(statement)]


def all_types(tx: Tx) -> list[VolumeType]:
    """Every type, whoever asks."""
    return [_type(row) for row in tx.all(select(volume_types))]


def default_type(tx: Tx, ctx: Context) -> VolumeType:
    """The project's default, or the cloud's. Raises ``NotFound`` where there is none."""
    chosen = tx.scalar(_DEFAULT_OF, project=ctx.project_id) if ctx.project_id else None
    if chosen is not None and (own := names(tx, [chosen]).get(chosen)) is not None:
        return own
    return get_type(tx, ctx, DEFAULT)


def create_type(tx: Tx, name: str, description: str | None, is_public: bool, extra_specs: Mapping[str, str],
                id: str | None = None) -> VolumeType:
    """Raises ``Conflict`` for a name that is taken."""
    tx.guard("volume.types")
    if tx.one(_BY_ID, ref=name) is not None:
        raise Conflict(f"Volume Type {name} already exists.", type="VolumeTypeExists")
    made = VolumeType(id or new_id(), name, description, is_public, dict(extra_specs))
    tx.execute(insert(volume_types), {
        "id": made.id, "name": name, "description": description, "is_public": is_public,
        "extra_specs": made.extra_specs, "created_at": tx.now})
    return made


def update_type(tx: Tx, type: VolumeType, values: Mapping[str, Any]) -> VolumeType:
    """Change columns. Raises ``Conflict`` for a name that is taken."""
    if (name := values.get("name", type.name)) != type.name:
        tx.guard("volume.types")
        if tx.one(_BY_ID, ref=name) is not None:
            raise Conflict(f"Volume Type {name} already exists.", type="VolumeTypeExists")
        quotas.rename_type(tx, type.name, name)
    if values:
        tx.execute(update(volume_types).where(volume_types.c.id == type.id).values(**values, updated_at=tx.now))
    return names(tx, [type.id])[type.id]


def delete_type(tx: Tx, type: VolumeType) -> None:
    """Raises ``Invalid`` while it is used or the default."""
    if type.name == DEFAULT:
        raise Invalid("Cannot delete the default volume type; make another one the default first.")
    if tx.scalar(select(volume_default_types.c.project_id).where(volume_default_types.c.type_id == type.id)):
        raise Invalid(f"Volume type {type.id} deletion is not allowed while it is set as a default type of a project.")
    if in_use(tx, type.id):
        raise Invalid(f"Volume Type {type.id} deletion is not allowed with volumes present with the type.")
    tx.execute(delete(volume_types).where(volume_types.c.id == type.id))
    tx.execute(delete(volume_type_access).where(volume_type_access.c.type_id == type.id))


def in_use(tx: Tx, type_id: str) -> bool:
    """Whether there are volumes of this type, or groups for it."""
    if tx.scalar(select(volumes.c.id).where(volumes.c.type_id == type_id).limit(1)) is not None:
        return True
    return any(type_id in row.volume_types for row in tx.all(select(volume_groups.c.volume_types)))


# -- access

def access(tx: Tx, type: VolumeType) -> list[str]:
    """The projects that may use a private type."""
    return sorted(row.project_id for row in tx.all(_ACCESS, type=type.id))


def allow(tx: Tx, type: VolumeType, project_id: str) -> None:
    """Raises ``Conflict`` where that is so already, ``Conflict`` for a public type."""
    if type.is_public:
        raise Conflict("Volume type access modification is not applicable to public volume type.")
    if project_id in access(tx, type):
        raise Conflict(f"Volume type access for {type.id} / {project_id} combination already exists.")
    tx.execute(insert(volume_type_access), {"type_id": type.id, "project_id": project_id})


def disallow(tx: Tx, type: VolumeType, project_id: str) -> None:
    """Raises ``NotFound`` where it wasn't allowed, ``Conflict`` for a public type."""
    if type.is_public:
        raise Conflict("Volume type access modification is not applicable to public volume type.")
    if project_id not in access(tx, type):
        raise NotFound(f"Volume type access not found for {type.id} / {project_id} combination.")
    tx.execute(delete(volume_type_access).where(
        volume_type_access.c.type_id == type.id, volume_type_access.c.project_id == project_id))


# -- defaults of projects

def set_default(tx: Tx, ctx: Context, project_id: str, ref: str) -> VolumeType:
    """Let a project use *ref* where it names none. Raises ``NotFound``."""
    found = get_type(tx, ctx, ref)
    tx.execute(_SET_DEFAULT.on(tx.dialect), {"project_id": project_id, "p_type": found.id})
    return found


def get_default(tx: Tx, project_id: str) -> str:
    """The id of what was set for the project. Raises ``NotFound``."""
    found = tx.scalar(_DEFAULT_OF, project=project_id)
    if found is None:
        raise NotFound(f"Default type for project {project_id} could not be found.")
    return str(found)


def list_defaults(tx: Tx) -> list[tuple[str, str]]:
    """(project, type) of all that were set."""
    return [(row.project_id, row.type_id) for row in tx.all(
        select(volume_default_types).order_by(volume_default_types.c.project_id))]


def unset_default(tx: Tx, project_id: str) -> None:
    """The cloud's default is the project's again."""
    tx.execute(delete(volume_default_types).where(volume_default_types.c.project_id == project_id))
