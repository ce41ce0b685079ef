"""Users and their passwords. Hashing and verifying happen outside; here only hashes arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core import clock
from stackling.core.errors import Forbidden, Invalid
from stackling.identity import cleanup, rules, state
from stackling.identity.listing import select_page
from stackling.identity.model import Extra, Listing, SecurityCompliance, User
from stackling.identity.refusals import not_found, taken
from stackling.store.tables.identity import federated_users, memberships, old_passwords, projects, users
from stackling.store.transaction import Tx

_c = users.c
_COLUMNS = (_c.id, _c.name, _c.domain_id, _c.enabled, _c.default_project_id, _c.options, _c.extra,
            _c.password_expires_at)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"))
_NAMED = select(_c.id).where(_c.domain_id == bindparam("domain_id"), _c.name == bindparam("name"), _c.shadow == "")
_SOME = select(*_COLUMNS).where(_c.id.in_(bindparam("ids", expanding=True))).order_by(_c.id)
_NAMES = select(_c.id, _c.name).where(_c.id.in_(bindparam("ids", expanding=True)))
_d = projects.alias("d")
_LOGIN = select(
    _c.id, _c.name, _c.domain_id, _c.enabled, _c.default_project_id, _c.options, _c.password_hash,
    _c.password_created_at, _c.password_expires_at, _c.password_own, _c.failed_logins, _c.failed_login_at, _c.active_at,
    _c.tokens_valid_from, _d.c.name, _d.c.enabled,
).select_from(users.join(_d, _d.c.id == _c.domain_id))
_LOGIN_BY_ID = _LOGIN.where(_c.id == bindparam("id"))
_LOGIN_BY_NAME = _LOGIN.where(
    _c.name == bindparam("name"), _c.domain_id == bindparam("domain_id"), _c.shadow == "")
_LOGIN_BY_DOMAIN_NAME = _LOGIN.where(
    _c.name == bindparam("name"), _d.c.name == bindparam("domain"), _d.c.is_domain.is_(True), _c.shadow == "")
_FAILED = update(users).where(_c.id == bindparam("b_id")).values(
    failed_logins=bindparam("failures"), failed_login_at=bindparam("at"))
_ACTIVE = update(users).where(_c.id == bindparam("b_id")).values(active_at=bindparam("day"))
_OLD = select(old_passwords.c.id, old_passwords.c.password_hash).where(
    old_passwords.c.user_id == bindparam("user_id")).order_by(old_passwords.c.created_at.desc())


@dataclass(frozen=True, slots=True)
class Login:
    """A user as authentication needs it, with the domain's name and state."""

    id: str
    name: str
    domain_id: str
    enabled: bool
    default_project_id: str | None
    options: Extra
    password_hash: str | None
    password_created_at: str | None
    password_expires_at: str | None
    password_own: bool
    failed_logins: int
    failed_login_at: str | None
    active_at: str | None
    tokens_valid_from: str | None
    domain_name: str
    domain_enabled: bool


def login_by_id(tx: Tx, user_id: str) -> Login | None:
    row = tx.one(_LOGIN_BY_ID, id=user_id)
    return None if row is None else Login(*row)


def login_by_name(tx: Tx, name: str, *, domain_id: str | None = None, domain_name: str | None = None) -> Login | None:
    """By name within a domain that is given by id or else by name."""
    if domain_id is not None:
        row = tx.one(_LOGIN_BY_NAME, name=name, domain_id=domain_id)
    else:
        row = tx.one(_LOGIN_BY_DOMAIN_NAME, name=name, domain=domain_name)
    return None if row is None else Login(*row)


def record_failure(tx: Tx, login: Login, rules_: SecurityCompliance) -> None:
    """Count a wrong password; a lock that has run out starts the count anew."""
    current = login_by_id(tx, login.id)
    if current is None:
        return
    failures = current.failed_logins + 1
    if current.failed_login_at and clock.later(current.failed_login_at, rules_.lockout_duration) < tx.now:
        failures = 1
    tx.execute(_FAILED, {"b_id": login.id, "failures": failures, "at": tx.now})


def record_success(tx: Tx, login: Login) -> None:
    """A right password ends the count and renews the day of activity."""
    tx.execute(_FAILED, {"b_id": login.id, "failures": 0, "at": None})
    tx.execute(_ACTIVE, {"b_id": login.id, "day": tx.now[:10]})


def get_user(tx: Tx, user_id: str) -> User:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=user_id)
    if row is None:
        raise not_found("user", user_id)
    return User(*row)


def some(tx: Tx, ids: Iterable[str]) -> list[User]:
    wanted = list(set(ids))
    return [User(*row) for row in tx.all(_SOME, ids=wanted)] if wanted else []


def names(tx: Tx, ids: Iterable[str]) -> dict[str, str]:
    """Names by id."""
    wanted = list(set(ids))
    return {row.id: row.name for row in tx.all(_NAMES, ids=wanted)} if wanted else {}


def list_users(tx: Tx, listing: Listing, *, group_id: str | None = None,
               expires: tuple[str, str] | None = None, known_as: Mapping[str, str] | None = None) -> list[User]:
    """Users in order of id; *group_id* only its members; *expires* is ``(operator, instant)`` on the password;
    *known_as*: only those whom providers know by these of ``idp_id``, ``protocol_id`` and ``unique_id``."""
    statement = select_page(select(*_COLUMNS), users, listing)
    if known_as:
        statement = statement.where(_c.id.in_(select(federated_users.c.user_id).where(
            *(federated_users.c[name] == value for name, value in known_as.items()))))
    if group_id is not None:
        statement = statement.where(_c.id.in_(select(memberships.c.user_id).where(memberships.c.group_id == group_id)))
    if expires is not None:
        operator, instant = expires
        column = _c.password_expires_at
        statement = statement.where({
            "eq": column == instant, "neq": column != instant, "lt": column < instant, "lte": column <= instant,
            "gt": column > instant, "gte": column >= instant}[operator])
    return [User(*row) for row in tx.execute(statement)]


def create_user(tx: Tx, id_: str, values: Mapping[str, Any], password_hash: str | None,
                security: SecurityCompliance) -> User:
    """*values*: ``name``, ``domain_id``, ``enabled``, ``default_project_id``, ``options``, ``extra``.

    Raises ``NotFound``, ``Conflict``, ``Invalid``.
    """
    state.bump(tx)
    row: dict[str, Any] = {"enabled": True, "default_project_id": None, "options": {}, "extra": {}, **values,
                           "id": id_, "created_at": tx.now, "active_at": tx.now[:10]}
    _check_domain(tx, row["domain_id"])
    _check_default_project(tx, row["default_project_id"])
    _check_name(tx, row["name"], row["domain_id"])
    row.update(_password(tx, password_hash, row["options"], security, reset=True))
    tx.execute(insert(users), row)
    return get_user(tx, id_)


def update_user(tx: Tx, user: User, values: Mapping[str, Any], password_hash: str | None,
                security: SecurityCompliance) -> User:
    """An administrator's change; a new password or disabling revokes the user's tokens."""
    state.bump(tx)
    if user.options.get("immutable") and values.get("options", {}).get("immutable", True):
        raise Forbidden(f"Cannot update user: {user.id} because it is immutable. Set the resource option 'immutable' "
                        "to false first.", type="ResourceUpdateForbidden")
    if values.get("domain_id", user.domain_id) != user.domain_id:
        raise Invalid("Cannot change Domain ID")
    row = {k: v for k, v in values.items() if k != "domain_id"}
    if "name" in row or password_hash is not None:      # that makes a federated user a local one as well
        _check_name(tx, row.get("name", user.name), user.domain_id, but=user.id)
        row["shadow"] = ""
    if row.get("default_project_id", user.default_project_id) != user.default_project_id:
        _check_default_project(tx, row["default_project_id"])
    if password_hash is not None:
        _keep_old_password(tx, user.id, security)
        row.update(_password(tx, password_hash, row.get("options", user.options), security, reset=True))
    if password_hash is not None or (row.get("enabled") is False and user.enabled):
        row["tokens_valid_from"] = tx.now
    if row.get("enabled") is True and not user.enabled:
        row.update(failed_logins=0, failed_login_at=None, active_at=tx.now[:10])
    if row:
        tx.execute(update(users).where(_c.id == user.id).values(row))
    return get_user(tx, user.id)


def change_password(tx: Tx, login: Login, password_hash: str, security: SecurityCompliance) -> bool:
    """A user's own change. False where the password has changed since *login* was read."""
    state.bump(tx)
    current = login_by_id(tx, login.id)
    if current is None or current.password_hash != login.password_hash:
        return False
    _keep_old_password(tx, login.id, security)
    tx.execute(update(users).where(_c.id == login.id).values(
        tokens_valid_from=tx.now, **_password(tx, password_hash, login.options, security, reset=False)))
    return True


def former_hashes(tx: Tx, login: Login, security: SecurityCompliance) -> list[str]:
    """Hashes that a new password must not match, the present one first."""
    count = security.unique_last_password_count
    if count <= 0:
        return []
    found = [login.password_hash] if login.password_hash else []
    return (found + [row.password_hash for row in tx.all(_OLD, user_id=login.id)])[:count]


def _keep_old_password(tx: Tx, user_id: str, security: SecurityCompliance) -> None:
    keep = security.unique_last_password_count - 1          # the present password isn't in the history table
    login = login_by_id(tx, user_id)
    if login is not None and login.password_hash and keep > 0:
        tx.execute(insert(old_passwords), {
            "id": f"{user_id[:32]}-{tx.now}"[:64], "user_id": user_id, "password_hash": login.password_hash,
            "created_at": tx.now})
    stale = [row.id for row in tx.all(_OLD, user_id=user_id)][max(0, keep):]
    if stale:
        tx.execute(delete(old_passwords).where(old_passwords.c.id.in_(stale)))


def _password(tx: Tx, password_hash: str | None, options: Extra, security: SecurityCompliance, *,
              reset: bool) -> dict[str, Any]:
    if password_hash is None:
        return {}
    expires = rules.password_expiry(security, options, tx.now)
    if (reset and security.change_password_upon_first_use
            and not options.get("ignore_change_password_upon_first_use")):
        expires = tx.now
    return {"password_hash": password_hash, "password_created_at": tx.now, "password_expires_at": expires,
            "password_own": not reset,
            "failed_logins": 0, "failed_login_at": None}


def delete_user(tx: Tx, user: User) -> None:
    """Delete a user and what belongs to it."""
    state.bump(tx)
    if user.options.get("immutable"):
        raise Forbidden(f"Cannot delete user: {user.id} because it is immutable. Set the resource option 'immutable' "
                        "to false first.", type="ResourceDeleteForbidden")
    cleanup.user_references(tx, user.id)
    tx.execute(delete(users).where(_c.id == user.id))


def _check_domain(tx: Tx, domain_id: str) -> None:
    if tx.one(select(projects.c.id).where(projects.c.id == domain_id, projects.c.is_domain.is_(True))) is None:
        raise not_found("domain", domain_id)


def _check_default_project(tx: Tx, project_id: str | None) -> None:
    if project_id is not None and tx.one(select(projects.c.id).where(
            projects.c.id == project_id, projects.c.is_domain.is_(True))) is not None:
        raise Invalid(f"User's default project ID cannot be a domain ID: {project_id}")


def _check_name(tx: Tx, name: str, domain_id: str, *, but: str = "") -> None:
    if tx.scalar(_NAMED, name=name, domain_id=domain_id) not in (None, but):
        raise taken("user", "name", f"{name} at domain ID {domain_id}")


def inactive(login: Login, security: SecurityCompliance, today: str) -> bool:
    """Whether the account has slept longer than the rule allows."""
    days = security.disable_user_account_days_inactive
    if not days or login.active_at is None or login.options.get("ignore_user_inactivity"):
        return False
    return clock.later(login.active_at + "T00:00:00.000000", days * rules.DAY)[:10] <= today


