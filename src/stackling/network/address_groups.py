"""Address groups: CIDRs that rules of security groups name together. Use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.network import access
from stackling.network.errors import conflict, not_found
from stackling.network.resources import ADDRESS_GROUPS
from stackling.network.rows import Record, desired, moved, standard, touch
from stackling.network.timeline import announce
from stackling.store.tables.network import security_group_rules
from stackling.store.transaction import Tx

_USED = select(security_group_rules.c.id).where(
    security_group_rules.c.remote_address_group_id == bindparam("group")).limit(1)


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make address groups, all or none."""
    records: list[Record] = []
    for spec in specs:
        record: Record = {**standard(tx, spec["id"], spec["project_id"], spec), **desired(),
                          "name": spec.get("name", ""), "addresses": spec.get("addresses", [])}
        ADDRESS_GROUPS.insert(tx, [record])
        announce(tx, ctx, "address_group", record, "create")
        tx.nudge("address_group", record["id"])
        records.append(record)
    return records


def find(tx: Tx, ctx: Context, id: str) -> Record:
    """A group that the caller may name in a rule, which it is about to; raises AddressGroupNotFound."""
    tx.guard(f"address-group:{id}")
    record = ADDRESS_GROUPS.get(tx, id)
    if record is None or not access.usable(tx, ctx, "address_group", record):
        raise not_found("address_group", id)
    return record


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change name or description."""
    values = {name: changes[name] or "" for name in ("name", "description") if name in changes}
    return _save(tx, ctx, record, {key: value for key, value in values.items() if value != record[key]})


def add(tx: Tx, ctx: Context, record: Record, addresses: Sequence[str]) -> Record:
    """Add addresses, none of which is there."""
    present = [one for one in addresses if one in record["addresses"]]
    if present:
        raise Invalid(f"Addresses {present} already exist in the address group {record['id']}.",
                      type="AddressesAlreadyExist")
    return _save(tx, ctx, record, {"addresses": [*record["addresses"], *addresses]} if addresses else {})


def remove(tx: Tx, ctx: Context, record: Record, addresses: Sequence[str]) -> Record:
    """Take addresses away, all of which are there."""
    missing = [one for one in addresses if one not in record["addresses"]]
    if missing:
        raise NotFound(f"Addresses {missing} not found in the address group {record['id']}.", type="AddressesNotFound")
    left = [one for one in record["addresses"] if one not in addresses]
    return _save(tx, ctx, record, {"addresses": left} if addresses else {})


def _save(tx: Tx, ctx: Context, record: Record, values: Mapping[str, Any]) -> Record:
    if not values:
        return record
    changed: Record = {**values, **touch(tx, record), **(moved(record) if "addresses" in values else {})}
    ADDRESS_GROUPS.update(tx, record["id"], changed)
    if "addresses" in values:
        tx.nudge("address_group", record["id"])
    announce(tx, ctx, "address_group", record, "update", ", ".join(sorted(values)))
    return {**record, **changed}


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a group that no rule names."""
    tx.guard(f"address-group:{record['id']}")
    if tx.one(_USED, group=record["id"]) is not None:
        raise conflict("AddressGroupInUse", f"Address group {record['id']} is in use on one or more security group "
                       "rules.")
    access.forget(tx, "address_group", record["id"])
    ADDRESS_GROUPS.update(tx, record["id"], {**moved(record), "deleting": True})
    announce(tx, ctx, "address_group", record, "delete")
    tx.nudge("address_group", record["id"])
