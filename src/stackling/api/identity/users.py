"""``/v3/users``: users, their passwords, groups and projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.people import expiry_filter, show_group, show_user, user_target, with_federated
from stackling.api.identity.projects import home_domain, named_domain, show_project
from stackling.api.identity.schema import BOOLEAN, DESCRIPTION, ID, NAME, TEXT, Body, member, nullable
from stackling.api.identity.view import collection, listing, merged, own_id, split
from stackling.api.route import Route
from stackling.core.errors import Invalid, MethodNotAllowed
from stackling.core.ids import new_hex
from stackling.identity import federated, groups, passwords, reach, rules, users
from stackling.identity.federated import FederatedObject
from stackling.identity.model import Listing, User
from stackling.identity.refusals import unauthorized
from stackling.identity.service import Identity
from stackling.identity.users import Login

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FLAG = {"type": ["boolean", "null"]}
_OPTIONS = {
    "type": "object",
    "properties": {
        **dict.fromkeys((
            "ignore_change_password_upon_first_use", "ignore_password_expiry", "ignore_lockout_failure_attempts",
            "lock_password", "ignore_user_inactivity", "multi_factor_auth_enabled", "immutable"), _FLAG),
        "multi_factor_auth_rules": {"type": ["array", "null"], "items": {
            "type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}, "uniqueItems": True},
    },
    "additionalProperties": False,
}
_USER = {"default_project_id": {"type": ["string", "null"], "maxLength": 64}, "description": DESCRIPTION,
         "domain_id": ID, "enabled": BOOLEAN, "name": NAME, "password": nullable(TEXT), "options": _OPTIONS,
         "federated": {"type": "array", "items": {
             "type": "object", "required": ["idp_id", "protocols"], "properties": {
                 "idp_id": TEXT, "protocols": {"type": "array", "minItems": 1, "items": {
                     "type": "object", "required": ["protocol_id", "unique_id"], "properties": {
                         "protocol_id": TEXT, "unique_id": {**TEXT, "maxLength": 255}}}}}}}}
_KNOWN = ("default_project_id", "domain_id", "enabled", "name", "password", "options", "federated")
_KNOWN_AS = ("idp_id", "protocol_id", "unique_id")


def path_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    """The user in the path."""
    found = user_target(tx, call.params["user_id"])
    return {"user_id": call.params["user_id"], "target": {"user": found} if found else {}}


def _list_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"domain_id": call.ctx.domain_id}}


def list_users(tx: Tx, call: Call) -> Any:
    page = listing(call, ("name", "domain_id"), ("enabled",))
    equal = dict(page.equal)
    if call.ctx.domain_id is not None:
        equal["domain_id"] = call.ctx.domain_id
    known_as = {name: call.query[name][-1] for name in _KNOWN_AS if name in call.query}
    found = users.list_users(tx, Listing(equal, page.like, page.limit, page.marker), expires=expiry_filter(call),
                             known_as=known_as)
    return collection(call, "users", [show_user(call, one) for one in found], page)


def show(tx: Tx, call: Call) -> Any:
    return {"user": with_federated(tx, show_user(call, users.get_user(tx, call.params["user_id"])))}


def delete(tx: Tx, call: Call) -> None:
    users.delete_user(tx, users.get_user(tx, call.params["user_id"]))


def list_groups(tx: Tx, call: Call) -> Any:
    users.get_user(tx, call.params["user_id"])
    page = listing(call, ("name",))
    found = groups.list_groups(tx, page, user_id=call.params["user_id"])
    if call.ctx.domain_id is not None:
        found = [one for one in found if one.domain_id == call.ctx.domain_id]
    ends = federated.membership_expiries(tx, call.params["user_id"])
    return collection(call, "groups", [
        {**show_group(call, one), "membership_expires_at": ends.get(one.id)} for one in found], page)


def list_projects(tx: Tx, call: Call) -> Any:
    users.get_user(tx, call.params["user_id"])
    page = listing(call, ("name", "domain_id"), ("enabled",))
    found = reach.projects_of(tx, call.params["user_id"])
    for attribute, value in page.equal.items():
        found = [one for one in found if getattr(one, attribute) == value]
    return collection(call, "projects", [show_project(call, one) for one in found])


def _links(asked: Sequence[Mapping[str, Any]]) -> list[FederatedObject]:
    return [FederatedObject("", one["idp_id"], protocol["protocol_id"], protocol["unique_id"])
            for one in asked for protocol in one["protocols"]]


class Users:
    """The handlers that hash or verify passwords, which happens outside of transactions."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    async def create(self, call: Call) -> Reply:
        """POST /v3/users."""
        body = call.body["user"]
        domain_id = body.get("domain_id") or home_domain(call)
        call.authorize({"target": {"user": named_domain(body)}}, "identity:create_user")
        values, extra = split(body, _KNOWN)
        hashed = await self._hash(call, values.pop("password", None))
        values = {**values, "domain_id": domain_id, "extra": extra,
                  "options": {k: v for k, v in values.get("options", {}).items() if v is not None}}
        return Reply({"user": await call.cloud.transact(self._create, call, values, hashed)}, 201)

    def _create(self, tx: Tx, call: Call, values: dict[str, Any], hashed: str | None) -> dict[str, Any]:
        links = values.pop("federated", ())
        user = users.create_user(tx, new_hex(), values, hashed, self.identity.config.security)
        federated.relink(tx, user.id, _links(links), user.name)
        return with_federated(tx, show_user(call, user))

    async def update(self, call: Call) -> Reply:
        """PATCH /v3/users/{user_id}."""
        user = await call.cloud.read(self._for_update, call)
        values, extra = split(call.body["user"], _KNOWN)
        hashed = await self._hash(call, values.pop("password", None))
        return Reply({"user": await call.cloud.transact(self._update, call, user.id, values, extra, hashed)})

    def _for_update(self, tx: Tx, call: Call) -> User:
        call.authorize(path_target(tx, call), "identity:update_user")
        own_id(call.body["user"], call.params["user_id"], "user")
        return users.get_user(tx, call.params["user_id"])

    def _update(self, tx: Tx, call: Call, user_id: str, values: dict[str, Any], extra: Mapping[str, Any],
                hashed: str | None) -> dict[str, Any]:
        user, values = users.get_user(tx, user_id), dict(values)
        links = values.pop("federated", None)
        changed = users.update_user(tx, user, merged(values, extra, user.extra, user.options), hashed,
                                    self.identity.config.security)
        if links:
            federated.relink(tx, user_id, _links(links), changed.name)
        return with_federated(tx, show_user(call, changed))

    async def _hash(self, call: Call, password: str | None) -> str | None:
        if password is None:
            return None
        rules.check_password(self.identity.config.security, password, self.identity.config.max_password_length)
        return await call.cloud.blocking(passwords.hash_password, password)

    async def change_password(self, call: Call) -> Reply:
        """POST /v3/users/{user_id}/password: no token, the old password is the credential."""
        old, new = call.body["user"]["original_password"], call.body["user"]["password"]
        security = self.identity.config.security
        login: Login | None = await call.cloud.read(users.login_by_id, call.params["user_id"])
        usable = login is not None and not await call.cloud.read(self._locked, login)
        if not await call.cloud.blocking(passwords.verify, login.password_hash if login and usable else None, old):
            if login is not None and usable and security.lockout_failure_attempts:
                await call.cloud.transact(users.record_failure, login, security)
            raise unauthorized()
        assert login is not None
        if not login.enabled or not login.domain_enabled:
            raise unauthorized()
        if login.options.get("lock_password"):
            raise Invalid("You cannot change your password at this time due to password policy disallowing password "
                          "changes. Please contact your administrator to reset your password.")
        await self._check_new(call, login, new)
        hashed = await call.cloud.blocking(passwords.hash_password, new)
        if not await call.cloud.transact(users.change_password, login, hashed, security):
            raise unauthorized()
        return Reply(None, 204)

    def _locked(self, tx: Tx, login: Login) -> bool:
        until = rules.locked_until(self.identity.config.security, login.options, login.failed_logins,
                                   login.failed_login_at)
        return until is not None and until > tx.now

    async def _check_new(self, call: Call, login: Login, new: str) -> None:
        security = self.identity.config.security
        rules.check_password(security, new, self.identity.config.max_password_length)
        if login.password_own:                  # one that an administrator chose may be changed at once
            now = await call.cloud.read(lambda tx: tx.now)
            rules.check_password_age(security, login.password_created_at, now)
        for former in await call.cloud.read(users.former_hashes, login, security):
            if await call.cloud.blocking(passwords.verify, former, new):
                raise Invalid("The new password cannot be identical to a previous password. The total number which "
                              f"includes the new password must be unique is {security.unique_last_password_count}.",
                              type="PasswordHistoryValidationError")


def no_password_to_see(tx: Tx, call: Call) -> None:
    """GET /v3/users/{user_id}/password: upstream says so too."""
    raise MethodNotAllowed("The method is not allowed for the requested URL.", headers={"Allow": "POST"})


_PASSWORD = Body({"type": "object", "properties": {"user": {
    "type": "object", "properties": {"original_password": TEXT, "password": TEXT},
    "required": ["original_password", "password"], "additionalProperties": False}}, "required": ["user"]})


def routes(identity: Identity) -> list[Route]:
    handlers = Users(identity)
    one = "/users/{user_id}"
    return [
        operation("GET", "/users", list_users, "list_users", target=_list_target),
        Route("POST", "/v3/users", handlers.create, ANY_TOKEN, "stream", member("user", _USER, ("name",)), status=201,
              unscoped=True),
        operation("GET", one, show, "get_user", target=path_target),
        Route("PATCH", f"/v3{one}", handlers.update, ANY_TOKEN, "stream", member("user", _USER, at_least=1),
              unscoped=True),
        operation("DELETE", one, delete, "delete_user", target=path_target, status=204),
        Route("GET", f"/v3{one}/password", no_password_to_see, None),
        Route("POST", f"/v3{one}/password", handlers.change_password, None, "stream", _PASSWORD, status=204),
        operation("GET", f"{one}/groups", list_groups, "list_groups_for_user", target=path_target),
        operation("GET", f"{one}/projects", list_projects, "list_user_projects", target=path_target),
    ]
