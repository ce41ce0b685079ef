"""OAuth 1: consumers (programs), request tokens that a user authorizes, access tokens that act for the user.

An access token carries some of its user's roles on one project. Secrets are sealed; they can't be hashed, since both
sides sign with them.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core import clock
from stackling.core.errors import NotFound
from stackling.core.ids import new_hex
from stackling.identity import state
from stackling.identity.keys import Box
from stackling.identity.listing import select_page
from stackling.identity.model import Extra, Listing
from stackling.store.tables.identity import access_tokens, consumers, request_tokens
from stackling.store.transaction import Tx

REQUEST_LIFE, ACCESS_LIFE = 28_800, 86_400
"""Seconds, upstream's defaults."""
_VERIFIER = string.ascii_letters + string.digits
_c, _r, _a = consumers.c, request_tokens.c, access_tokens.c
_CONSUMER = (_c.id, _c.description, _c.extra)
_ONE_CONSUMER = select(*_CONSUMER).where(_c.id == bindparam("id"))
_REQUEST = (_r.id, _r.consumer_id, _r.project_id, _r.user_id, _r.roles, _r.verifier, _r.expires_at)
_ONE_REQUEST = select(*_REQUEST).where(_r.id == bindparam("id"))
_ACCESS = (_a.id, _a.consumer_id, _a.project_id, _a.user_id, _a.roles, _a.expires_at)
_ONE_ACCESS = select(*_ACCESS).where(_a.id == bindparam("id"))
_OF_USER = select(*_ACCESS).where(_a.user_id == bindparam("user_id")).order_by(_a.id)
_SECRETS = {table.name: select(table.c.sealed).where(table.c.id == bindparam("id"))
            for table in (consumers, request_tokens, access_tokens)}


@dataclass(frozen=True, slots=True)
class Consumer:
    id: str
    description: str | None
    extra: Extra


@dataclass(frozen=True, slots=True)
class RequestToken:
    """``user_id``, ``roles`` (ids) and ``verifier`` are there once it is authorized."""

    id: str
    consumer_id: str
    project_id: str
    user_id: str | None
    roles: Sequence[str] | None
    verifier: str | None = field(repr=False)
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """``roles`` are role ids."""

    id: str
    consumer_id: str
    project_id: str
    user_id: str
    roles: Sequence[str]
    expires_at: str | None

    def usable(self, now: str) -> bool:
        return self.expires_at is None or self.expires_at > now


def _secret(tx: Tx, box: Box, table: str, id_: str) -> str:
    sealed = tx.scalar(_SECRETS[table], id=id_)
    return "" if sealed is None else box.open(sealed).decode()


# -- consumers


def get_consumer(tx: Tx, id_: str) -> Consumer:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_CONSUMER, id=id_)
    if row is None:
        raise NotFound("Consumer not found")
    return Consumer(*row)


def consumer_secret(tx: Tx, box: Box, id_: str) -> str:
    """Empty where there is no such consumer."""
    return _secret(tx, box, consumers.name, id_)


def list_consumers(tx: Tx, listing: Listing) -> list[Consumer]:
    return [Consumer(*row) for row in tx.execute(select_page(select(*_CONSUMER), consumers, listing))]


def create_consumer(tx: Tx, box: Box, values: Mapping[str, Any]) -> tuple[Consumer, str]:
    """*values*: ``description``, ``extra``; the consumer and its secret, which is shown only now."""
    state.bump(tx)
    id_, secret = new_hex(), secrets.token_hex(16)
    tx.execute(insert(consumers), {"description": None, **values, "id": id_, "sealed": box.seal(secret.encode())})
    return get_consumer(tx, id_), secret


def update_consumer(tx: Tx, consumer: Consumer, values: Mapping[str, Any]) -> Consumer:
    state.bump(tx)
    tx.execute(update(consumers).where(_c.id == consumer.id).values(dict(values)))
    return get_consumer(tx, consumer.id)


def delete_consumer(tx: Tx, consumer: Consumer) -> None:
    """A consumer with its tokens, which end at once."""
    state.bump(tx)
    tx.execute(delete(request_tokens).where(_r.consumer_id == consumer.id))
    tx.execute(delete(access_tokens).where(_a.consumer_id == consumer.id))
    tx.execute(delete(consumers).where(_c.id == consumer.id))


# -- request tokens


def get_request(tx: Tx, id_: str) -> RequestToken:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_REQUEST, id=id_)
    if row is None:
        raise NotFound("Request token not found")
    return RequestToken(*row)


def request_secret(tx: Tx, box: Box, id_: str) -> str:
    return _secret(tx, box, request_tokens.name, id_)


def create_request(tx: Tx, box: Box, consumer_id: str, project_id: str) -> tuple[str, str, str]:
    """(id, secret, when it expires). Expired ones are forgotten."""
    state.bump(tx)
    tx.execute(delete(request_tokens).where(_r.expires_at < tx.now))
    id_, secret, expires = new_hex(), secrets.token_hex(16), clock.later(tx.now, REQUEST_LIFE)
    tx.execute(insert(request_tokens), {
        "id": id_, "sealed": box.seal(secret.encode()), "consumer_id": consumer_id, "project_id": project_id,
        "user_id": None, "roles": None, "verifier": None, "expires_at": expires})
    return id_, secret, expires


def authorize(tx: Tx, request: RequestToken, user_id: str, roles: Sequence[str]) -> str:
    """The user lends these roles; the verifier that the consumer has to show."""
    state.bump(tx)
    verifier = "".join(secrets.choice(_VERIFIER) for _ in range(8))
    tx.execute(update(request_tokens).where(_r.id == request.id).values(
        user_id=user_id, roles=list(roles), verifier=verifier))
    return verifier


# -- access tokens


def find_access(tx: Tx, id_: str) -> AccessToken | None:
    row = tx.one(_ONE_ACCESS, id=id_)
    return None if row is None else AccessToken(*row)


def get_access(tx: Tx, id_: str) -> AccessToken:
    """Raises ``NotFound``."""
    found = find_access(tx, id_)
    if found is None:
        raise NotFound("Access token not found")
    return found


def access_secret(tx: Tx, box: Box, id_: str) -> str:
    return _secret(tx, box, access_tokens.name, id_)


def list_access(tx: Tx, user_id: str) -> list[AccessToken]:
    return [AccessToken(*row) for row in tx.all(_OF_USER, user_id=user_id)]


def create_access(tx: Tx, box: Box, request: RequestToken) -> tuple[str, str, str]:
    """Exchange an authorized request token, which is used up: (id, secret, when it expires)."""
    state.bump(tx)
    id_, secret, expires = new_hex(), secrets.token_hex(16), clock.later(tx.now, ACCESS_LIFE)
    tx.execute(delete(request_tokens).where(_r.id == request.id))
    tx.execute(insert(access_tokens), {
        "id": id_, "sealed": box.seal(secret.encode()), "consumer_id": request.consumer_id,
        "project_id": request.project_id, "user_id": request.user_id, "roles": list(request.roles or ()),
        "expires_at": expires})
    return id_, secret, expires


def delete_access(tx: Tx, token: AccessToken) -> None:
    """What was issued with it ends at once."""
    state.bump(tx)
    tx.execute(delete(access_tokens).where(_a.id == token.id))
