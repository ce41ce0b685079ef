"""Whether new security groups are stateful where nobody says it: by project, or for all (Neutron's
``security-groups-default-statefulness``). A setting of no project (``project_id`` empty here) is everybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackling.core.context import Context
from stackling.network.errors import conflict
from stackling.network.resources import DEFAULT_STATEFULNESS
from stackling.network.rows import Record
from stackling.network.timeline import announce
from stackling.store.transaction import Tx

_KIND = "default_statefulness"


def of_new_group(tx: Tx, project_id: str) -> bool:
    """What the project's setting says, or else everybody's, or else that it is."""
    for owner in (project_id, ""):
        for one in DEFAULT_STATEFULNESS.where(tx, project_id=owner):
            return bool(one["stateful"])
    return True


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Set it for projects that have no setting. Raises ``Conflict`` for others."""
    tx.guard(_KIND)
    records: list[Record] = []
    for spec in specs:
        if DEFAULT_STATEFULNESS.where(tx, project_id=spec["project_id"]):
            raise conflict("SecurityGroupDefaultStatefulnessAlreadyExists",
                           "A security group default statefulness setting already exists for project "
                           f"'{spec['project_id'] or 'system-wide'}'.")
        record = {"id": spec["id"], "project_id": spec["project_id"], "stateful": spec["stateful"],
                  "created_at": tx.now}
        DEFAULT_STATEFULNESS.insert(tx, [record])
        announce(tx, ctx, _KIND, record, "create")
        records.append(record)
    return records


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Groups that are there stay as they are."""
    if "stateful" in changes:
        DEFAULT_STATEFULNESS.update(tx, record["id"], {"stateful": changes["stateful"]})
        announce(tx, ctx, _KIND, record, "update")
    return {**record, **changes}


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """From now on everybody's setting counts."""
    DEFAULT_STATEFULNESS.delete(tx, record["id"])
    announce(tx, ctx, _KIND, record, "delete")
