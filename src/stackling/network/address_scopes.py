"""Address scopes: subnet pools whose addresses don't overlap. Use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import access
from stackling.network.errors import conflict, not_found
from stackling.network.resources import ADDRESS_SCOPES
from stackling.network.rows import Record
from stackling.network.timeline import announce
from stackling.store.tables.network import subnet_pools
from stackling.store.transaction import Tx

_USED = select(subnet_pools.c.id).where(subnet_pools.c.address_scope_id == bindparam("scope")).limit(1)


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make address scopes, all or none."""
    records: list[Record] = []
    for spec in specs:
        record: Record = {"id": spec["id"], "project_id": spec["project_id"], "name": spec.get("name", ""),
                          "ip_version": spec["ip_version"], "created_at": tx.now}
        ADDRESS_SCOPES.insert(tx, [record])
        if spec.get("shared"):
            access.grant(tx, "address_scope", record)
        announce(tx, ctx, "address_scope", record, "create")
        records.append(record)
    return records


def find(tx: Tx, ctx: Context, id: str) -> Record:
    """A scope that the caller may use; raises AddressScopeNotFound."""
    record = ADDRESS_SCOPES.get(tx, id)
    if record is None or not access.usable(tx, ctx, "address_scope", record):
        raise not_found("address_scope", id)
    return record


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change the name; share with everybody, which isn't taken back."""
    if "shared" in changes:
        everybody = access.EVERYBODY in access.targets(tx, "address_scope", record["id"], access.SHARED)
        if everybody and not changes["shared"]:
            raise Invalid(f"Unable to update address scope {record['id']} : Shared address scope can't be unshared.",
                          type="AddressScopeUpdateError")
        if changes["shared"]:
            access.grant(tx, "address_scope", record)
    name = changes.get("name", record["name"])
    if name != record["name"]:
        ADDRESS_SCOPES.update(tx, record["id"], {"name": name})
    announce(tx, ctx, "address_scope", record, "update", ", ".join(sorted(changes)))
    return {**record, "name": name}


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a scope that no subnet pool is in."""
    tx.guard(f"address-scope:{record['id']}")
    if tx.one(_USED, scope=record["id"]) is not None:
        raise conflict("AddressScopeInUse", f"Unable to complete operation on address scope {record['id']}. There are "
                       "one or more subnet pools in use on the address scope.")
    access.forget(tx, "address_scope", record["id"])
    ADDRESS_SCOPES.delete(tx, record["id"])
    announce(tx, ctx, "address_scope", record, "delete")
