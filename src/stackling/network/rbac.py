"""RBAC policies: who shares what with whom. Use-cases, one transaction each.

Taking access away is refused while somebody uses the object by it (Neutron's RbacPolicyInUse). Who starts to use it
and who takes the access away meet at the guard ``rbac:<object>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, union
from sqlalchemy.sql.base import Executable

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid
from stackling.network import access, quotas, rules
from stackling.network.errors import conflict, invalid_input, not_found
from stackling.network.resources import (
    ADDRESS_GROUPS,
    ADDRESS_SCOPES,
    NETWORKS,
    QOS_POLICIES,
    RBAC_POLICIES,
    SECURITY_GROUPS,
    SUBNET_POOLS,
)
from stackling.network.rows import Record, Rows, touch
from stackling.network.timeline import announce
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_p, _r, _n = tables.ports, tables.routers, tables.networks


@dataclass(frozen=True, slots=True)
class Shareable:
    """One type of object. ``users`` gives the projects that use an object by its being shared."""

    rows: Rows
    users: Executable
    actions: tuple[str, ...] = (access.SHARED,)


_PORTS_IN = select(_p.c.project_id).distinct().where(
    _p.c.network_id == bindparam("object"), _p.c.deleting.is_(False), _p.c.project_id != "",
    _p.c.device_owner.not_in(rules.AUTO_DELETED))
_ROUTERS_AT = select(_r.c.project_id).distinct().select_from(_r.join(_p, _p.c.device_id == _r.c.id)).where(
    _p.c.network_id == bindparam("object"), _p.c.device_owner == rules.Owner.ROUTER_GATEWAY,
    _p.c.deleting.is_(False), _r.c.deleting.is_(False))
_IN_GROUP = select(_p.c.project_id).distinct().where(
    tables.port_security_groups.c.security_group_id == bindparam("object"),
    tables.port_security_groups.c.port_id == _p.c.id, _p.c.deleting.is_(False))
_OF_POOL = select(tables.subnets.c.project_id).distinct().where(tables.subnets.c.subnetpool_id == bindparam("object"))
_IN_SCOPE = select(tables.subnet_pools.c.project_id).distinct().where(
    tables.subnet_pools.c.address_scope_id == bindparam("object"))
_WITH_ADDRESSES = select(tables.security_group_rules.c.project_id).distinct().where(
    tables.security_group_rules.c.remote_address_group_id == bindparam("object"))
_WITH_QOS = union(*(select(table.c.project_id).where(column == bindparam("object"), table.c.deleting.is_(False))
                    for table, column in ((_n, _n.c.qos_policy_id), (_p, _p.c.qos_policy_id),
                                          (tables.floating_ips, tables.floating_ips.c.qos_policy_id),
                                          (_r, _r.c.gateway_qos_policy_id))))
OBJECTS: Mapping[str, Shareable] = {
    "address_group": Shareable(ADDRESS_GROUPS, _WITH_ADDRESSES),
    "address_scope": Shareable(ADDRESS_SCOPES, _IN_SCOPE),
    "network": Shareable(NETWORKS, _PORTS_IN, (access.EXTERNAL, access.SHARED)),
    "qos_policy": Shareable(QOS_POLICIES, _WITH_QOS),
    "security_group": Shareable(SECURITY_GROUPS, _IN_GROUP),
    "subnetpool": Shareable(SUBNET_POOLS, _OF_POOL),
}


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Share objects, all or none."""
    return [_create(tx, ctx, spec) for spec in specs]


def _create(tx: Tx, ctx: Context, spec: Mapping[str, Any]) -> Record:
    kind, target, action = OBJECTS[spec["object_type"]], spec["target_tenant"], spec["action"]
    if action not in kind.actions:
        raise Invalid(f"Invalid action '{action}' for object type '{spec['object_type']}'. Valid actions: "
                      f"{', '.join(kind.actions)}", type="InvalidActionForType")
    quotas.reserve(tx, spec["project_id"], "rbac_policy")
    tx.guard(f"rbac:{spec['object_id']}")
    shared = _owned(tx, ctx, kind, spec["object_type"], spec["object_id"])
    if target in access.targets(tx, spec["object_type"], shared["id"], action):
        raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
    record: Record = {
        "id": spec["id"], "project_id": spec["project_id"], "object_type": spec["object_type"],
        "object_id": shared["id"], "action": action, "target_project": target, "created_at": tx.now}
    _check_scope(tx, spec, shared)
    RBAC_POLICIES.insert(tx, [record])
    _revise(tx, kind, shared)
    if action == access.EXTERNAL and not shared["external"]:
        NETWORKS.update(tx, shared["id"], {"external": True})
    announce(tx, ctx, "rbac_policy", record, "create", f"{action} to {spec['object_type']} {shared['id']}")
    return record


def _check_scope(tx: Tx, spec: Mapping[str, Any], shared: Record) -> None:
    """Who gets a subnet pool must have its address scope."""
    scope = shared["address_scope_id"] if spec["object_type"] == "subnetpool" else None
    enough = {access.EVERYBODY, spec["target_tenant"]}
    if scope and not access.targets(tx, "address_scope", scope, access.SHARED) & enough:
        raise Invalid(f"Failed to create RBAC policy on object {shared['id']} because of the following reason: target "
                      "project doesn't have access to associated address scope.", type="RbacPolicyInitError")


def _revise(tx: Tx, kind: Shareable, shared: Record | None) -> None:
    """The object, a locked row, is seen by others than before: its revision rises."""
    if shared is not None and "revision_number" in shared:
        kind.rows.update(tx, shared["id"], touch(tx, shared))


def _owned(tx: Tx, ctx: Context, kind: Shareable, object_type: str, id: str) -> Record:
    """The object, which must be the caller's own; as in Neutron, anything else is an invalid input."""
    shared = kind.rows.locked(tx, id)
    if shared is None or not (ctx.is_admin or access.usable(tx, ctx, object_type, shared)):
        raise invalid_input(not_found(object_type, id).message)
    if not ctx.is_admin and shared["project_id"] != ctx.project_id:
        raise invalid_input(f"Only admins can manipulate policies on {object_type}s they do not own")
    return shared


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Share with another project instead."""
    target = changes.get("target_tenant", record["target_project"])
    if target == record["target_project"]:
        return record
    tx.guard(f"rbac:{record['object_id']}")
    _check_unused(tx, record, target)
    if target in access.targets(tx, record["object_type"], record["object_id"], record["action"]):
        raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
    RBAC_POLICIES.update(tx, record["id"], {"target_project": target})
    kind = OBJECTS[record["object_type"]]
    _revise(tx, kind, kind.rows.locked(tx, record["object_id"]))
    announce(tx, ctx, "rbac_policy", record, "update", "target_tenant")
    return {**record, "target_project": target}


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Share no longer; an external network that nobody is let into any more is an ordinary one."""
    tx.guard(f"rbac:{record['object_id']}")
    _check_unused(tx, record, None)
    RBAC_POLICIES.delete(tx, record["id"])
    kind = OBJECTS[record["object_type"]]
    _revise(tx, kind, kind.rows.locked(tx, record["object_id"]))
    announce(tx, ctx, "rbac_policy", record, "delete")
    if record["action"] == access.EXTERNAL and not access.targets(
            tx, "network", record["object_id"], access.EXTERNAL):
        NETWORKS.update(tx, record["object_id"], {"external": False})


# -- in use?

def _check_unused(tx: Tx, record: Record, instead: str | None) -> None:
    """Nobody depends on the access that goes; *instead*: who gets it."""
    kind, target = OBJECTS[record["object_type"]], record["target_project"]
    shared = kind.rows.any(tx, record["object_id"])
    if shared is None:
        return
    if record["object_type"] != "network":
        _check_others(tx, record, shared, instead)
        return
    others = access.targets(tx, record["object_type"], record["object_id"], record["action"]) - {target}
    others |= {instead} if instead is not None else set()
    external = record["action"] == access.EXTERNAL
    if external and target == access.EVERYBODY and shared["is_default"]:
        raise _in_use(record, "Default external networks must be shared to everyone.")
    if access.EVERYBODY in others or (target == shared["project_id"] and not external):
        return
    users = {row.project_id for row in tx.all(_ROUTERS_AT if external else kind.users, object=record["object_id"])}
    users -= others if external else {*others, shared["project_id"]}
    if target != access.EVERYBODY:
        users &= {target}
    if users:
        raise _in_use(record, "There are routers attached to this network that depend on this policy for access."
                      if external else f"Unable to reconfigure sharing settings for network {record['object_id']}. "
                      "Multiple tenants are using it.")


def _check_others(tx: Tx, record: Record, shared: Record, instead: str | None) -> None:
    """As upstream has it for everything but networks: who gets the access instead doesn't count unless that is
    everybody, and with everybody's access goes the owner's as well."""
    target = record["target_project"]
    if instead == access.EVERYBODY or target == shared["project_id"]:
        return
    others = access.targets(tx, record["object_type"], record["object_id"], record["action"]) - {target}
    if target != access.EVERYBODY and access.EVERYBODY in others:
        return
    users = {row.project_id for row in tx.all(OBJECTS[record["object_type"]].users, object=record["object_id"])}
    if (users - others) if target == access.EVERYBODY else target in users:
        raise _in_use(record, f"project_id={target}")


def _in_use(record: Record, details: str) -> Conflict:
    return conflict("RbacPolicyInUse", f"RBAC policy on object {record['object_id']} cannot be removed because other "
                    f"objects depend on it.\nDetails: {details}")
