"""Security groups and their rules: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, exists, select, update

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.network import access, address_groups, default_rules, default_statefulness, quotas, rules
from stackling.network.errors import conflict, forbidden, not_found
from stackling.network.resources import RULES, SECURITY_GROUPS
from stackling.network.rows import Record, desired, many, moved, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.store.tables.network import port_security_groups, security_group_rules, security_groups
from stackling.store.transaction import Tx

DEFAULT = "default"
_g, _r = security_groups, security_group_rules
_DEFAULT = select(_g.c.id).where(_g.c.default_of == bindparam("project"))
_IN_USE = select(port_security_groups.c.port_id).where(
    port_security_groups.c.security_group_id == bindparam("group")).limit(1)
_RULES_OF = select(_r).where(_r.c.security_group_id.in_(bindparam("groups", expanding=True))).order_by(
    _r.c.created_at, _r.c.id)
_SAME = select(_r.c.id).where(_r.c.security_group_id == bindparam("group"), _r.c.fingerprint == bindparam("print"))
_DROP_RULES = delete(_r).where(_r.c.security_group_id == bindparam("group"))
_REMOTE = select(_r.c.id, _r.c.security_group_id).where(_r.c.remote_group_id == bindparam("group"))
_DROP_REMOTE = delete(_r).where(_r.c.remote_group_id == bindparam("group"))
_FOLLOW = update(_g).where(_g.c.id == bindparam("g")).values(
    generation=_g.c.generation + 1, settled=False, revision_number=_g.c.revision_number + 1,
    updated_at=bindparam("now"))
_BY_NAME = select(_g.c.id, _g.c.name).where(_g.c.project_id == bindparam("project"), _g.c.deleting.is_(False),
                                            _g.c.name.in_(bindparam("names", expanding=True)))
_BY_ID = select(_g.c.id, _g.c.project_id, _g.c.stateful).where(
    _g.c.id.in_(bindparam("ids", expanding=True)), _g.c.deleting.is_(False))
_MANY = select(_g).where(_g.c.id.in_(bindparam("ids", expanding=True)), _g.c.deleting.is_(False))
USED = exists(select(port_security_groups.c.port_id).where(port_security_groups.c.security_group_id == _g.c.id))


def default_group(tx: Tx, project_id: str) -> str:
    """The id of the project's ``default`` group, made when missing (with the default rules)."""
    found = tx.scalar(_DEFAULT, project=project_id)
    if found is not None:
        return str(found)
    tx.guard(f"default-security-group:{project_id}")
    found = tx.scalar(_DEFAULT, project=project_id)
    if found is not None:
        return str(found)
    record = _group(tx, {"id": new_id(), "project_id": project_id, "name": DEFAULT,
                         "description": "Default security group"})
    record["default_of"] = project_id
    SECURITY_GROUPS.insert(tx, [record])
    _start(tx, record, default=True)
    tx.nudge("security_group", record["id"])
    return str(record["id"])


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make groups, each with the default rules (Neutron's: everything outward)."""
    records: list[Record] = []
    for spec in specs:
        default_group(tx, spec["project_id"])
        quotas.reserve(tx, spec["project_id"], "security_group")
        if rules.name_fault_of_group(spec.get("name", "")):
            raise conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
        record = _group(tx, spec)
        SECURITY_GROUPS.insert(tx, [record])
        _start(tx, record, default=False)
        store_tags(tx, record["id"], record["tags"], fresh=True)
        announce(tx, ctx, "security_group", record, "create")
        tx.nudge("security_group", record["id"])
        records.append(record)
    return records


def _group(tx: Tx, spec: Mapping[str, Any]) -> Record:
    return {**standard(tx, spec["id"], spec["project_id"], spec), **desired(), "name": spec.get("name", ""),
            "stateful": spec["stateful"] if "stateful" in spec else default_statefulness.of_new_group(
                tx, spec["project_id"]), "default_of": None, "revision_number": 1}


def _start(tx: Tx, group: Record, *, default: bool) -> None:
    first = default_rules.of_new_group(tx, group["id"], default=default)
    if not default:                             # the project's own group is there, whatever its quota
        quotas.reserve(tx, group["project_id"], "security_group_rule", len(first))
    RULES.insert(tx, [_rule(tx, group, one) for one in first])


def _rule(tx: Tx, group: Mapping[str, Any], spec: Mapping[str, Any]) -> Record:
    record: Record = {
        **standard(tx, spec.get("id") or new_id(), spec.get("project_id") or group["project_id"], spec),
        "security_group_id": group["id"], "direction": spec["direction"], "ethertype": spec.get("ethertype", "IPv4"),
        "protocol": spec.get("protocol"), "port_range_min": spec.get("port_range_min"),
        "port_range_max": spec.get("port_range_max"), "remote_ip_prefix": spec.get("remote_ip_prefix"),
        "remote_group_id": spec.get("remote_group_id"),
        "remote_address_group_id": spec.get("remote_address_group_id"),
    }
    record["fingerprint"] = rules.rule_fingerprint(record)
    return record


def update_group(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change name, description or statefulness (not of a group in use)."""
    values = {name: changes[name] for name in ("name", "description", "stateful") if name in changes}
    values = {key: value for key, value in values.items() if value != record[key]}
    if "name" in values:
        if record["default_of"] is not None:
            raise conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
        if rules.name_fault_of_group(values["name"]):
            raise conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
    if not values:
        return record
    follow = "stateful" in values
    if follow and tx.one(_IN_USE, group=record["id"]) is not None:
        raise conflict("SecurityGroupInUse", f"Security Group {record['id']} in use.")
    changed: Record = {**values, **touch(tx, record), **(moved(record) if follow else {})}
    SECURITY_GROUPS.update(tx, record["id"], changed)
    if follow:
        tx.nudge("security_group", record["id"])
    announce(tx, ctx, "security_group", record, "update", ", ".join(sorted(values)))
    return {**record, **changed}


def delete_group(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a group that no port has; rules elsewhere that name it as remote go with it."""
    if record["default_of"] is not None and not ctx.is_admin:
        raise conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
    tx.guard(f"security-group:{record['id']}")
    if tx.one(_IN_USE, group=record["id"]) is not None:
        raise conflict("SecurityGroupInUse", f"Security Group {record['id']} in use.")
    tx.execute(_DROP_RULES, {"group": record["id"]})
    for group_id in {row.security_group_id for row in tx.all(_REMOTE, group=record["id"])}:
        tx.execute(_FOLLOW, {"g": group_id, "now": tx.now})
        tx.nudge("security_group", group_id)
    tx.execute(_DROP_REMOTE, {"group": record["id"]})
    forget_tags(tx, record)
    access.forget(tx, "security_group", record["id"])
    SECURITY_GROUPS.update(tx, record["id"], {**moved(record), "deleting": True, "default_of": None})
    announce(tx, ctx, "security_group", record, "delete")
    tx.nudge("security_group", record["id"])


# -- rules

def rules_of(tx: Tx, group_ids: Sequence[str]) -> dict[str, list[Record]]:
    """The rules of each group, in one query."""
    found: dict[str, list[Record]] = {id: [] for id in group_ids}
    for start in range(0, len(group_ids), 500):
        for row in tx.all(_RULES_OF, groups=list(group_ids[start:start + 500])):
            found[row.security_group_id].append(dict(row._mapping))    # pyright: ignore[reportPrivateUsage]
    return found


def create_rules(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Add rules, all or none. Raises SecurityGroupRuleExists for one that means the same as another."""
    groups: dict[str, Record] = {}
    records: list[Record] = []
    for spec in specs:
        group = groups.get(spec["security_group_id"])
        if group is None:
            tx.guard(f"security-group:{spec['security_group_id']}")
            group = find(tx, ctx, spec["security_group_id"])
            if not ctx.is_admin and group["project_id"] != ctx.project_id:
                raise forbidden("rule:create_security_group_rule")
        groups[group["id"]] = group
        record = _rule(tx, group, spec)
        _check_rule(tx, ctx, record)
        records.append(record)
    for project_id in {record["project_id"] for record in records}:
        quotas.reserve(tx, project_id, "security_group_rule", sum(r["project_id"] == project_id for r in records))
    for record in records:
        same = tx.scalar(_SAME, group=record["security_group_id"], print=record["fingerprint"])
        if same is not None:
            raise conflict("SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {same}.")
        RULES.insert(tx, [record])
        store_tags(tx, record["id"], record["tags"], fresh=True)
    for group_id in groups:
        tx.execute(_FOLLOW, {"g": group_id, "now": tx.now})
        tx.nudge("security_group", group_id)
    return records


def _check_rule(tx: Tx, ctx: Context, record: Record) -> None:
    fault = rules.rule_fault(record)
    if fault is not None:
        raise Invalid(fault[1], type=fault[0])
    if record["remote_group_id"] is not None:
        find(tx, ctx, record["remote_group_id"])
    if record["remote_address_group_id"] is not None:
        address_groups.find(tx, ctx, record["remote_address_group_id"])


def by_ids(tx: Tx, ids: Sequence[str]) -> dict[str, Record]:
    """Groups by id, whoever owns them; unknown ids are left out."""
    return {group["id"]: group for group in many(tx, _MANY, ids=list(ids))} if ids else {}


def find(tx: Tx, ctx: Context, id: str) -> Record:
    """A group that the caller may use, its own or a shared one; raises SecurityGroupNotFound."""
    group = SECURITY_GROUPS.get(tx, id)
    if group is None or not access.usable(tx, ctx, "security_group", group):
        raise not_found("security_group", id)
    return group


def update_rule(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Only the description can change."""
    changed: Record = {"description": changes.get("description", record["description"]), **touch(tx, record)}
    RULES.update(tx, record["id"], changed)
    return {**record, **changed}


def delete_rule(tx: Tx, ctx: Context, record: Record) -> None:
    """Take a rule away."""
    forget_tags(tx, record)
    RULES.delete(tx, record["id"])
    tx.execute(_FOLLOW, {"g": record["security_group_id"], "now": tx.now})
    tx.nudge("security_group", record["security_group_id"])


# -- by name, as compute names them

def resolve(tx: Tx, project_id: str, wanted: Sequence[str]) -> list[str]:
    """Ids of the project's groups by id or name. Raises ``NotFound``, ``Conflict`` (the name names several)."""
    if not wanted:
        return []
    ids = {row.id for row in tx.all(_BY_ID, ids=list(wanted)) if row.project_id == project_id}
    names: dict[str, list[str]] = {}
    for row in tx.all(_BY_NAME, project=project_id, names=list(wanted)):
        names.setdefault(row.name, []).append(row.id)
    found: list[str] = []
    for one in wanted:
        if one in ids:
            found.append(one)
        elif len(names.get(one, ())) == 1:
            found.append(names[one][0])
        elif one == DEFAULT:
            found.append(default_group(tx, project_id))
        elif names.get(one):
            raise Conflict(f"Multiple security groups found matching '{one}'. Use an ID to be more specific.",
                           type="NoUniqueMatch")
        else:
            raise NotFound(f"Security group {one} not found for project {project_id}.", type="SecurityGroupNotFound")
    return list(dict.fromkeys(found))


def check_usable(tx: Tx, ctx: Context, ids: Sequence[str], present: Sequence[str] = ()) -> None:
    """The caller may put these groups on a port, beside those that it has (*present*); raises SecurityGroupNotFound
    for the first that isn't there, and SecurityGroupConflict for stateful groups together with stateless ones."""
    new = [id for id in ids if id not in present]
    if not new:
        return
    for id in sorted(new):
        tx.guard(f"security-group:{id}")
    rows = tx.all(_BY_ID, ids=list(ids))
    known = {row.id for row in rows if ctx.is_admin or row.project_id == ctx.project_id or row.id in present}
    known |= access.shared_ids(tx, ctx, "security_group", [row.id for row in rows if row.id not in known])
    for id in new:
        if id not in known:
            raise not_found("security_group", id)
    if len({row.stateful for row in rows}) > 1:
        raise conflict("SecurityGroupConflict", "Error Cannot apply both stateful and stateless security groups on the "
                       "same port at the same time while attempting the operation.")
