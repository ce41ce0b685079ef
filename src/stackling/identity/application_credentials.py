"""Application credentials: a secret of its own for a program, with some of its owner's roles on one project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from stackling.core.errors import Conflict, Forbidden
from stackling.core.ids import new_hex
from stackling.identity import state
from stackling.identity.listing import select_page
from stackling.identity.model import Listing
from stackling.identity.refusals import not_found
from stackling.store.tables.identity import access_rules, application_credentials
from stackling.store.transaction import Tx

_c = application_credentials.c
_COLUMNS = (_c.id, _c.user_id, _c.project_id, _c.name, _c.secret_hash, _c.description, _c.expires_at, _c.unrestricted,
            _c.system, _c.roles, _c.access_rules)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"))
_NAMED = select(*_COLUMNS).where(_c.user_id == bindparam("user_id"), _c.name == bindparam("name"))
_r = access_rules.c
_RULE = (_r.id, _r.user_id, _r.service, _r.path, _r.method)
_RULES = select(*_RULE).where(_r.id.in_(bindparam("ids", expanding=True)))
_RULES_OF = select(*_RULE).where(_r.user_id == bindparam("user_id")).order_by(_r.id)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One kind of request that a restricted credential may make."""

    id: str
    user_id: str
    service: str
    path: str
    method: str

    def show(self) -> dict[str, Any]:
        return {"id": self.id, "service": self.service, "path": self.path, "method": self.method}


@dataclass(frozen=True, slots=True)
class ApplicationCredential:
    """``roles`` are role ids; no ``access_rules`` means no restriction by request."""

    id: str
    user_id: str
    project_id: str
    name: str
    secret_hash: str
    description: str | None
    expires_at: str | None
    unrestricted: bool
    system: str | None
    roles: tuple[str, ...]
    access_rules: tuple[AccessRule, ...]


def _load(tx: Tx, rows: Sequence[Any]) -> list[ApplicationCredential]:
    wanted = {id_ for row in rows for id_ in row.access_rules}
    known = {row.id: AccessRule(*row) for row in tx.all(_RULES, ids=list(wanted))} if wanted else {}
    return [ApplicationCredential(
        *row[:9], roles=tuple(row.roles),
        access_rules=tuple(known[id_] for id_ in row.access_rules if id_ in known)) for row in rows]


def find(tx: Tx, id_: str) -> ApplicationCredential | None:
    return next(iter(_load(tx, tx.all(_ONE, id=id_))), None)


def find_named(tx: Tx, user_id: str, name: str) -> ApplicationCredential | None:
    return next(iter(_load(tx, tx.all(_NAMED, user_id=user_id, name=name))), None)


def get(tx: Tx, id_: str) -> ApplicationCredential:
    """Raises ``NotFound``."""
    found = find(tx, id_)
    if found is None:
        raise not_found("application credential", id_)
    return found


def list_of(tx: Tx, user_id: str, listing: Listing) -> list[ApplicationCredential]:
    page = Listing({**listing.equal, "user_id": user_id}, listing.like, listing.limit, listing.marker)
    return _load(tx, tx.execute(select_page(select(*_COLUMNS), application_credentials, page)).all())


def create(tx: Tx, id_: str, values: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> ApplicationCredential:
    """*values*: ``user_id``, ``project_id``, ``name``, ``secret_hash``, ``description``, ``expires_at``,
    ``unrestricted``, ``roles`` (ids). *rules*: ``{"id": …}`` of the user's rules, or new ones."""
    state.bump(tx)
    if tx.one(_NAMED, user_id=values["user_id"], name=values["name"]) is not None:
        raise Conflict("Conflict occurred attempting to store application_credential - Duplicate entry found with name "
                       f"{values['name']}.")
    rule_ids = [_rule_id(tx, values["user_id"], rule) for rule in rules]
    tx.execute(insert(application_credentials), {
        "description": None, "expires_at": None, "unrestricted": False, "system": None, **values, "id": id_,
        "roles": list(values["roles"]), "access_rules": rule_ids})
    return get(tx, id_)


def _rule_id(tx: Tx, user_id: str, rule: Mapping[str, Any]) -> str:
    own = list_rules(tx, user_id)
    if "id" in rule:
        if not any(one.id == rule["id"] for one in own):
            raise not_found("access rule", rule["id"])
        return rule["id"]
    for one in own:
        if (one.service, one.path, one.method) == (rule["service"], rule["path"], rule["method"]):
            return one.id
    id_ = new_hex()
    tx.execute(insert(access_rules), {"id": id_, "user_id": user_id, "service": rule["service"], "path": rule["path"],
                                      "method": rule["method"]})
    return id_


def delete_one(tx: Tx, credential: ApplicationCredential) -> None:
    """Its tokens end with it."""
    state.bump(tx)
    tx.execute(delete(application_credentials).where(_c.id == credential.id))


def list_rules(tx: Tx, user_id: str) -> list[AccessRule]:
    """Access rules that a user has made."""
    return [AccessRule(*row) for row in tx.all(_RULES_OF, user_id=user_id)]


def get_rule(tx: Tx, user_id: str, rule_id: str) -> AccessRule:
    """Raises ``NotFound``."""
    for rule in list_rules(tx, user_id):
        if rule.id == rule_id:
            return rule
    raise not_found("access rule", rule_id)


def delete_rule(tx: Tx, rule: AccessRule) -> None:
    """Raises ``Forbidden`` while a credential uses it."""
    state.bump(tx)
    for row in tx.all(select(_c.access_rules).where(_c.user_id == rule.user_id)):
        if rule.id in row.access_rules:
            raise Forbidden("Cannot delete access rule that is in use by an application credential.")
    tx.execute(delete(access_rules).where(_r.id == rule.id))
