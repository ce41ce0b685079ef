"""Rules that every new security group starts with (Neutron's default security group rules). One set for the cloud.

``PARENT`` as the remote group means the new group itself. Neutron's own four are there from the first use on.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import address_groups, rules
from stackling.network.errors import conflict
from stackling.network.resources import DEFAULT_RULES, SECURITY_GROUPS
from stackling.network.rows import Record
from stackling.network.timeline import announce
from stackling.store.transaction import Tx

PARENT = "PARENT"
_MADE = "network.default_rules"
_NAMESPACE = uuid.UUID("0ac7c5b3-67a7-5e0e-9f0b-7f2f0f0f6a55")
_MEANING = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix",
            "remote_group_id", "remote_address_group_id")
_BUILT_IN = [
    *({"direction": "egress", "ethertype": kind, "used_in_default_sg": True, "used_in_non_default_sg": True,
       "description": "Legacy default SG rule for egress traffic"} for kind in ("IPv4", "IPv6")),
    *({"direction": "ingress", "ethertype": kind, "remote_group_id": PARENT, "used_in_default_sg": True,
       "used_in_non_default_sg": False, "description": "Legacy default SG rule for ingress traffic"}
      for kind in ("IPv4", "IPv6")),
]


def ensure(tx: Tx) -> None:
    """Neutron's rules, made once; an administrator may take them away."""
    if tx.setting(_MADE):
        return
    tx.guard("default-security-group-rules")
    if tx.setting(_MADE):
        return
    DEFAULT_RULES.insert(tx, [_record(tx, {**one, "id": str(uuid.uuid5(
        _NAMESPACE, f"{one['direction']} {one['ethertype']}"))}) for one in _BUILT_IN])
    tx.set_setting(_MADE, True)


def _record(tx: Tx, spec: Mapping[str, Any]) -> Record:
    return {"id": spec["id"], "project_id": "", "description": spec.get("description", ""), "created_at": tx.now,
            **{name: spec.get(name) for name in _MEANING},
            "used_in_default_sg": spec.get("used_in_default_sg", False),
            "used_in_non_default_sg": spec.get("used_in_non_default_sg", True)}


def of_new_group(tx: Tx, group_id: str, *, default: bool) -> list[Record]:
    """What a new group's rules say; *default*: it is its project's default group."""
    ensure(tx)
    wanted = "used_in_default_sg" if default else "used_in_non_default_sg"
    return [{**{name: one[name] for name in _MEANING},
             "remote_group_id": group_id if one["remote_group_id"] == PARENT else one["remote_group_id"]}
            for one in DEFAULT_RULES.where(tx) if one[wanted]]


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Add rules to the set, all or none."""
    ensure(tx)
    tx.guard("default-security-group-rules")
    records: list[Record] = []
    for spec in specs:
        record = _record(tx, spec)
        _check(tx, ctx, record)
        DEFAULT_RULES.insert(tx, [record])
        announce(tx, ctx, "default_security_group_rule", record, "create")
        records.append(record)
    return records


def _check(tx: Tx, ctx: Context, record: Record) -> None:
    fault = rules.rule_fault(record)
    if fault is not None:
        raise Invalid(fault[1], type=fault[0])
    group = record["remote_group_id"]
    if group not in (None, PARENT) and SECURITY_GROUPS.get(tx, group) is None:
        raise Invalid(f"Security group {group} does not exist; a group's own members are {PARENT}.",
                      type="SecurityGroupNotFound")
    if record["remote_address_group_id"] is not None:
        address_groups.find(tx, ctx, record["remote_address_group_id"])
    print_ = rules.rule_fingerprint(record)
    for other in DEFAULT_RULES.where(tx):
        if rules.rule_fingerprint(other) == print_ and any(
                other[name] and record[name] for name in ("used_in_default_sg", "used_in_non_default_sg")):
            raise conflict("DefaultSecurityGroupRuleExists", "Default security group rule already exists. Rule id is "
                           f"{other['id']}.")


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Nothing of a rule changes."""
    return record


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Take a rule out of the set; groups that are there keep theirs."""
    DEFAULT_RULES.delete(tx, record["id"])
    announce(tx, ctx, "default_security_group_rule", record, "delete")
