"""Who besides its owner may see and use a resource: Neutron's RBAC policies.

``shared`` and the visibility of external networks follow from the rows of ``rbac_policies`` alone; creating a network
with ``shared`` makes the row that shares it with everybody. (An external network is one whose column says so; the
rows say who sees it.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, select

from stackling.core.context import Context
from stackling.core.ids import new_id
from stackling.network.rows import Record
from stackling.store.tables.network import rbac_policies
from stackling.store.transaction import Tx
from stackling.store.types import Id

SHARED, EXTERNAL = "access_as_shared", "access_as_external"
EVERYBODY = "*"
_r = rbac_policies
_GRANTED = select(_r.c.object_id).where(
    _r.c.object_type == bindparam("type"), _r.c.action == SHARED,
    _r.c.target_project.in_([EVERYBODY, bindparam("project", type_=Id)]))
_ACTIONS = select(_r.c.action).where(
    _r.c.object_type == bindparam("type"), _r.c.object_id == bindparam("object"),
    _r.c.target_project.in_([EVERYBODY, bindparam("project", type_=Id)]))
_TARGETS = select(_r.c.target_project).where(
    _r.c.object_type == bindparam("type"), _r.c.object_id == bindparam("object"), _r.c.action == bindparam("action"))
_INSERT = insert(_r)
_REVOKE = delete(_r).where(_r.c.object_type == bindparam("type"), _r.c.object_id == bindparam("object"),
                           _r.c.action == bindparam("action"))
_REVOKE_ONE = _REVOKE.where(_r.c.target_project == bindparam("target"))
_FORGET = delete(_r).where(_r.c.object_type == bindparam("type"), _r.c.object_id == bindparam("object"))


def granted(object_type: str, column: ColumnElement[Any], project: Any,
            actions: Sequence[str] = (SHARED,)) -> ColumnElement[bool]:
    """The condition that *column* names an object to which *project* (an id, or a parameter) has access."""
    return column.in_(select(_r.c.object_id).where(
        _r.c.object_type == object_type, _r.c.action.in_(actions), _r.c.target_project.in_([EVERYBODY, project])))


def actions(tx: Tx, ctx: Context, object_type: str, id: str) -> set[str]:
    """What the caller's project was granted on the object."""
    return {row.action for row in tx.all(_ACTIONS, type=object_type, object=id, project=ctx.project_id or EVERYBODY)}


def is_shared(tx: Tx, ctx: Context, object_type: str, id: str) -> bool:
    """Whether the object is shared with the caller's project (what ``shared`` says)."""
    return SHARED in actions(tx, ctx, object_type, id)


def usable(tx: Tx, ctx: Context, object_type: str, record: Record) -> bool:
    """Whether the caller may see and use it: own, shared with it, or anything for an administrator."""
    return ctx.is_admin or record["project_id"] == ctx.project_id or is_shared(tx, ctx, object_type, record["id"])


def shared_ids(tx: Tx, ctx: Context, object_type: str, ids: Sequence[str]) -> set[str]:
    """Which of these are shared with the caller's project; one query."""
    if len(ids) == 1:
        return set(ids) if is_shared(tx, ctx, object_type, ids[0]) else set()
    if not ids:
        return set()
    return {row.object_id for row in tx.all(_GRANTED, type=object_type, project=ctx.project_id or EVERYBODY)} & set(ids)


def targets(tx: Tx, object_type: str, id: str, action: str) -> set[str]:
    """The projects (or ``*``) that have this access."""
    return {row.target_project for row in tx.all(_TARGETS, type=object_type, object=id, action=action)}


def grant(tx: Tx, object_type: str, record: Record, action: str = SHARED, target: str = EVERYBODY) -> None:
    """Give access, unless it is given already."""
    if target not in targets(tx, object_type, record["id"], action):
        tx.execute(_INSERT, {
            "id": new_id(), "project_id": record["project_id"], "object_type": object_type, "object_id": record["id"],
            "action": action, "target_project": target, "created_at": tx.now})


def revoke(tx: Tx, object_type: str, id: str, action: str, target: str | None = None) -> None:
    """Take access away from *target*, or from all."""
    given = {"type": object_type, "object": id, "action": action}
    tx.execute(*((_REVOKE, given) if target is None else (_REVOKE_ONE, {**given, "target": target})))


def forget(tx: Tx, object_type: str, id: str) -> None:
    """The object is going."""
    tx.execute(_FORGET, {"type": object_type, "object": id})
