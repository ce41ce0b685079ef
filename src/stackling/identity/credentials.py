"""Credentials: secrets that Identity keeps for others (ec2, totp, cert …), sealed under the cluster key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.errors import Conflict
from stackling.identity import state
from stackling.identity.keys import Box
from stackling.identity.listing import select_page
from stackling.identity.model import Extra, Listing
from stackling.identity.refusals import not_found
from stackling.store.tables.identity import credentials
from stackling.store.transaction import Tx

_c = credentials.c
_COLUMNS = (_c.id, _c.user_id, _c.project_id, _c.type, _c.sealed, _c.extra)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class Credential:
    """``blob`` is the secret itself, opened."""

    id: str
    user_id: str
    project_id: str | None
    type: str
    blob: str
    extra: Extra


def _opened(row: Any, box: Box) -> Credential:
    return Credential(row.id, row.user_id, row.project_id, row.type, box.open(row.sealed).decode(), row.extra)


def get(tx: Tx, box: Box, id_: str) -> Credential:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=id_)
    if row is None:
        raise not_found("credential", id_)
    return _opened(row, box)


def list_credentials(tx: Tx, box: Box, listing: Listing) -> list[Credential]:
    return [_opened(row, box) for row in tx.execute(select_page(select(*_COLUMNS), credentials, listing))]


def create(tx: Tx, box: Box, new: Credential) -> Credential:
    """Raises ``Conflict`` where the id (an EC2 access key's hash) is taken."""
    state.bump(tx)
    if tx.one(_ONE, id=new.id) is not None:
        raise Conflict("Conflict occurred attempting to store credential - Duplicate entry found with ID "
                       f"{new.id}.")
    tx.execute(insert(credentials), {
        "id": new.id, "user_id": new.user_id, "project_id": new.project_id, "type": new.type,
        "sealed": box.seal(new.blob.encode()), "extra": dict(new.extra)})
    return new


def change(tx: Tx, box: Box, old: Credential, values: Mapping[str, Any]) -> Credential:
    """*values*: any of ``user_id``, ``project_id``, ``type``, ``blob``, ``extra``."""
    state.bump(tx)
    row = dict(values)
    if "blob" in row:
        row["sealed"] = box.seal(row.pop("blob").encode())
    if row:
        tx.execute(update(credentials).where(_c.id == old.id).values(row))
    return get(tx, box, old.id)


def remove(tx: Tx, credential: Credential) -> None:
    state.bump(tx)
    tx.execute(delete(credentials).where(_c.id == credential.id))
