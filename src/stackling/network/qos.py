"""QoS policies and their rules: use-cases, one transaction each.

What follows a policy (ports, floating IPs, routers' gateways) keeps its id; ports and floating IPs keep their network's
beside their own, which counts where they have none. A changed rule makes all of them move on by one generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, or_, select
from sqlalchemy import update as update_rows

from stackling.core.context import Context
from stackling.core.errors import Forbidden
from stackling.core.ids import new_id
from stackling.network import access
from stackling.network.errors import conflict, not_found
from stackling.network.resources import QOS_POLICIES, QOS_RULES
from stackling.network.rows import Record, many, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx
from stackling.store.types import Id

BANDWIDTH, DSCP, MINIMUM = "bandwidth_limit", "dscp_marking", "minimum_bandwidth"
_q, _r = tables.qos_policies, tables.qos_rules
_n, _p, _f, _ro = tables.networks, tables.ports, tables.floating_ips, tables.routers
_RULES_OF = select(_r).where(_r.c.qos_policy_id.in_(bindparam("policies", expanding=True))).order_by(
    _r.c.created_at, _r.c.id)
_DROP_RULES = delete(_r).where(_r.c.qos_policy_id == bindparam("policy"))
_DEFAULT = select(_q.c.id).where(_q.c.project_id == bindparam("project"), _q.c.is_default.is_(True))
_this: ColumnElement[Any] = bindparam("policy", type_=Id)
_USERS = (
    ("network", select(_n.c.id).where(_n.c.qos_policy_id == _this, _n.c.deleting.is_(False)).limit(1)),
    ("port", select(_p.c.id).where(_p.c.qos_policy_id == _this, _p.c.deleting.is_(False)).limit(1)),
    ("floating IP", select(_f.c.id).where(_f.c.qos_policy_id == _this, _f.c.deleting.is_(False)).limit(1)),
    ("router", select(_ro.c.id).where(_ro.c.gateway_qos_policy_id == _this, _ro.c.deleting.is_(False)).limit(1)),
)


def _effective(table: Any) -> Any:
    return and_(table.c.deleting.is_(False), or_(table.c.qos_policy_id == _this, and_(
        table.c.qos_policy_id.is_(None), table.c.qos_network_policy_id == _this)))


_FOLLOWERS = (
    ("port", _p, and_(_effective(_p), _p.c.role == PortRole.INTERFACE)),
    ("floating_ip", _f, and_(_effective(_f), _f.c.port_id.is_not(None))),
    ("router", _ro, and_(_ro.c.deleting.is_(False), _ro.c.gateway_qos_policy_id == _this)),
)
_FOLLOW = tuple((kind, select(table.c.id).where(which), update_rows(table).where(which).values(
    generation=table.c.generation + 1, settled=False)) for kind, table, which in _FOLLOWERS)
_IN_NETWORK = tuple((kind, select(table.c.id).where(which), update_rows(table).where(which).values(
    qos_network_policy_id=bindparam("new"), generation=table.c.generation + 1, settled=False))
    for kind, table, which in (
        ("port", _p, and_(_p.c.network_id == bindparam("network"), _p.c.deleting.is_(False),
                          _p.c.role == PortRole.INTERFACE)),
        ("floating_ip", _f, and_(_f.c.floating_network_id == bindparam("network"), _f.c.deleting.is_(False),
                                 _f.c.port_id.is_not(None)))))
_FREE_IN_NETWORK = update_rows(_f).where(
    _f.c.floating_network_id == bindparam("network"), _f.c.port_id.is_(None)).values(
    qos_network_policy_id=bindparam("new"))


# -- policies

def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make policies, all or none."""
    records: list[Record] = []
    for spec in specs:
        record: Record = {**standard(tx, spec["id"], spec["project_id"], spec), "name": spec.get("name", ""),
                          "is_default": spec.get("is_default", False)}
        _check_default(tx, record)
        QOS_POLICIES.insert(tx, [record])
        store_tags(tx, record["id"], record["tags"], fresh=True)
        if spec.get("shared"):
            access.grant(tx, "qos_policy", record)
        announce(tx, ctx, "qos_policy", record, "create")
        records.append(record)
    return records


def _check_default(tx: Tx, record: Record) -> None:
    if not record["is_default"]:
        return
    tx.guard(f"default-qos-policy:{record['project_id']}")
    if default_id(tx, record["project_id"]) not in (None, record["id"]):
        raise conflict("QoSPolicyDefaultAlreadyExists",
                       f"A default QoS policy exists for project {record['project_id']}.")


def default_id(tx: Tx, project_id: str) -> str | None:
    """The policy that the project's new networks get."""
    return tx.scalar(_DEFAULT, project=project_id)


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a policy; share it with everybody, or no longer where only its own project uses it."""
    if "shared" in changes:
        _share(tx, record, changes["shared"])
    values = {name: changes[name] for name in ("name", "description", "is_default") if name in changes}
    values = {key: value for key, value in values.items() if value != record[key]}
    new: Record = {**record, **values, **touch(tx, record)}
    _check_default(tx, new)
    QOS_POLICIES.update(tx, record["id"], {**values, **touch(tx, record)})
    announce(tx, ctx, "qos_policy", record, "update", ", ".join(sorted(changes)))
    return new


def _share(tx: Tx, record: Record, shared: bool) -> None:
    targets = access.targets(tx, "qos_policy", record["id"], access.SHARED)
    if shared:
        access.grant(tx, "qos_policy", record)
    elif access.EVERYBODY in targets:
        if users(tx, record["id"]) - targets:
            raise conflict("RbacPolicyInUse", f"RBAC policy on object {record['id']} cannot be removed because other "
                           f"objects depend on it.\nDetails: project_id={access.EVERYBODY}")
        access.revoke(tx, "qos_policy", record["id"], access.SHARED, access.EVERYBODY)


_PROJECTS = tuple(select(table.c.project_id).distinct().where(column == _this, table.c.deleting.is_(False))
                  for table, column in ((_n, _n.c.qos_policy_id), (_p, _p.c.qos_policy_id), (_f, _f.c.qos_policy_id),
                                        (_ro, _ro.c.gateway_qos_policy_id)))


def users(tx: Tx, policy_id: str) -> set[str]:
    """The projects of whatever the policy is bound to."""
    return {row.project_id for statement in _PROJECTS for row in tx.all(statement, policy=policy_id)}


def delete_policy(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a policy that nothing uses."""
    tx.guard(f"qos-policy:{record['id']}")
    for kind, statement in _USERS:
        user = tx.scalar(statement, policy=record["id"])
        if user is not None:
            raise conflict("QosPolicyInUse", f"QoS Policy {record['id']} is used by {kind} {user}.")
    tx.execute(_DROP_RULES, {"policy": record["id"]})
    forget_tags(tx, record)
    access.forget(tx, "qos_policy", record["id"])
    QOS_POLICIES.delete(tx, record["id"])
    announce(tx, ctx, "qos_policy", record, "delete")


# -- where it is bound

def check_binding(tx: Tx, ctx: Context, policy_id: str | None, former: str | None = None) -> None:
    """The caller may bind this policy in place of the *former* one; raises QosPolicyNotFound, or
    PolicyRemoveAuthorizationError for a policy that somebody else has imposed."""
    if former is not None and former != policy_id and not ctx.is_admin:
        old = QOS_POLICIES.get(tx, former)
        if old is not None and not access.usable(tx, ctx, "qos_policy", old):
            raise Forbidden(f"Failed to remove provided policy {former} because you are not authorized.",
                            type="PolicyRemoveAuthorizationError")
    if policy_id is None or policy_id == former:
        return
    tx.guard(f"qos-policy:{policy_id}")
    record = QOS_POLICIES.get(tx, policy_id)
    if record is None or not access.usable(tx, ctx, "qos_policy", record):
        raise not_found("policy", policy_id)


def network_changed(tx: Tx, network_id: str, policy_id: str | None) -> None:
    """The network has another policy: so have its ports and floating IPs."""
    given = {"network": network_id, "new": policy_id}
    for kind, find, change in _IN_NETWORK:
        ids = [row.id for row in tx.all(find, network=network_id)]
        tx.execute(change, given)
        for id in ids:
            tx.nudge(kind, id)
    tx.execute(_FREE_IN_NETWORK, given)


def _changed(tx: Tx, ctx: Context, policy: Record, message: str) -> None:
    QOS_POLICIES.update(tx, policy["id"], touch(tx, policy))
    for kind, find, change in _FOLLOW:
        ids = [row.id for row in tx.all(find, policy=policy["id"])]
        if ids:
            tx.execute(change, {"policy": policy["id"]})
        for id in ids:
            tx.nudge(kind, id)
    announce(tx, ctx, "qos_policy", policy, "update", message)


# -- rules

def rules_of(tx: Tx, policy_ids: Sequence[str]) -> dict[str, list[Record]]:
    """The rules of each policy, in one query."""
    found: dict[str, list[Record]] = {id: [] for id in policy_ids}
    for start in range(0, len(policy_ids), 500):
        for rule in many(tx, _RULES_OF, policies=list(policy_ids[start:start + 500])):
            found[rule["qos_policy_id"]].append(rule)
    return found


def rule(tx: Tx, kind: str, policy_id: str, id: str) -> Record:
    """A rule of that kind; raises QosRuleNotFound."""
    record = QOS_RULES.get(tx, id)
    if record is None or record["type"] != kind or record["qos_policy_id"] != policy_id:
        raise not_found("qos_rule", f"{id} for policy {policy_id}")
    return record


def create_rule(tx: Tx, ctx: Context, policy: Record, kind: str, spec: Mapping[str, Any]) -> Record:
    """Add a rule: one of a kind and direction."""
    tx.guard(f"qos-policy:{policy['id']}")
    record: Record = {
        "id": new_id(), "qos_policy_id": policy["id"], "type": kind, "created_at": tx.now,
        "direction": spec.get("direction", "egress"), "max_kbps": spec.get("max_kbps"),
        "max_burst_kbps": spec.get("max_burst_kbps"), "dscp_mark": spec.get("dscp_mark"),
        "min_kbps": spec.get("min_kbps")}
    _check_rule(tx, policy, record)
    QOS_RULES.insert(tx, [record])
    _changed(tx, ctx, policy, f"{kind} rule added")
    return record


def update_rule(tx: Tx, ctx: Context, policy: Record, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a rule."""
    tx.guard(f"qos-policy:{policy['id']}")
    new: Record = {**record, **changes}
    if new == record:
        return record
    _check_rule(tx, policy, new)
    QOS_RULES.update(tx, record["id"], changes)
    _changed(tx, ctx, policy, f"{record['type']} rule changed")
    return new


def delete_rule(tx: Tx, ctx: Context, policy: Record, record: Record) -> None:
    """Take a rule away."""
    QOS_RULES.delete(tx, record["id"])
    _changed(tx, ctx, policy, f"{record['type']} rule removed")


def _check_rule(tx: Tx, policy: Record, new: Record) -> None:
    for other in rules_of(tx, [policy["id"]])[policy["id"]]:
        if other["id"] == new["id"] or other["direction"] != new["direction"]:
            continue
        if other["type"] == new["type"]:
            raise conflict("QoSRulesConflict", f"Rule {new['type']} conflicts with rule {other['id']} which already "
                           f"exists in QoS Policy {policy['id']}.")
        if {other["type"], new["type"]} == {BANDWIDTH, MINIMUM}:
            most, least = (one for kind in (BANDWIDTH, MINIMUM) for one in (other, new) if one["type"] == kind)
            if most["max_kbps"] < least["min_kbps"]:
                value = new["max_kbps"] if new is most else new["min_kbps"]
                existing = other["max_kbps"] if other is most else other["min_kbps"]
                raise conflict("QoSRuleParameterConflict", f"Unable to add the rule with value {value} to the policy "
                               f"{policy['id']} as the existing rule of type {other['type']} has value {existing}.")
