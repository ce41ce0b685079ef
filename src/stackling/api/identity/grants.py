"""Roles given to users and groups on projects, domains and the system, inherited ones included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.operation import operation
from stackling.api.identity.people import group_target, user_target
from stackling.api.identity.projects import project_target
from stackling.api.identity.roles import role_target, show_role
from stackling.api.identity.view import collection
from stackling.api.route import Route
from stackling.core.errors import Forbidden
from stackling.identity import assignments, groups, projects, roles, users
from stackling.identity.assignments import SYSTEM, Assignment

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


class Grants:
    """Handlers of one kind of grant: *actor* "user" or "group", *target* "project", "domain" or "system"."""

    def __init__(self, actor: str, target: str, *, inherited: bool) -> None:
        self.actor, self.target_kind, self.inherited = actor, target, inherited

    def _target_id(self, call: Call) -> str:
        return SYSTEM if self.target_kind == SYSTEM else call.params[f"{self.target_kind}_id"]

    def target(self, tx: Tx, call: Call) -> Mapping[str, Any]:
        """Everything that a rule may compare with. Except for inherited grants, everyone is told what is missing."""
        if not self.inherited:
            self._must_exist(tx, call)
        found: dict[str, Any] = {}
        if self.actor == "user":
            found["user"] = user_target(tx, call.params["user_id"])
        else:
            found["group"] = group_target(tx, call.params["group_id"])
        if self.target_kind == "project":
            found["project"] = project_target(tx, call.params["project_id"])
        elif self.target_kind == "domain":
            found["domain"] = project_target(tx, call.params["domain_id"])
        if "role_id" in call.params:
            found["role"] = role_target(tx, call.params["role_id"])
        return {"target": {key: value for key, value in found.items() if value}}

    def _must_exist(self, tx: Tx, call: Call) -> None:
        """Raises ``NotFound``. A role may be taken from whoever is gone."""
        if "role_id" in call.params:
            roles.get_role(tx, call.params["role_id"])
        if self.target_kind == "project":
            projects.get_project(tx, call.params["project_id"])
        elif self.target_kind == "domain":
            projects.get_domain(tx, call.params["domain_id"])
        if call.request.method != "DELETE":
            if self.actor == "user":
                users.get_user(tx, call.params["user_id"])
            else:
                groups.get_group(tx, call.params["group_id"])

    def _check(self, tx: Tx, call: Call) -> None:
        if self.inherited:
            self._must_exist(tx, call)

    def _assignment(self, call: Call) -> Assignment:
        return Assignment(self.actor, call.params[f"{self.actor}_id"], self.target_kind, self._target_id(call),
                          call.params["role_id"], self.inherited)

    def list(self, tx: Tx, call: Call) -> Any:
        self._check(tx, call)
        ids = assignments.granted(tx, call.params[f"{self.actor}_id"], self._target_id(call), inherited=self.inherited)
        return collection(call, "roles", [show_role(call, one) for one in roles.some(tx, ids)])

    def check(self, tx: Tx, call: Call) -> None:
        self._check(tx, call)
        wanted = self._assignment(call)
        if wanted.role_id not in assignments.granted(tx, wanted.actor_id, wanted.target_id, inherited=self.inherited):
            raise assignments.missing(wanted)

    def grant(self, tx: Tx, call: Call) -> None:
        self._check(tx, call)
        role = roles.get_role(tx, call.params["role_id"])
        if role.domain_id:
            target_id = self._target_id(call)
            if self.target_kind == SYSTEM:
                raise Forbidden(f"Role {role.id} is a domain-specific role. Unable to use a domain-specific role in a "
                                "system assignment.")
            if self.target_kind == "project" and projects.get_project(tx, target_id).domain_id != role.domain_id:
                raise Forbidden(f"Project {target_id} must be in the same domain as the role {role.id} being assigned.")
        assignments.grant(tx, self._assignment(call))

    def revoke(self, tx: Tx, call: Call) -> None:
        self._check(tx, call)
        assignments.revoke(tx, self._assignment(call))


def _routes() -> list[Route]:
    found: list[Route] = []
    for actor in ("user", "group"):
        for target in ("project", "domain", SYSTEM):
            base = "/system" if target == SYSTEM else f"/{target}s/{{{target}_id}}"
            path = f"{base}/{actor}s/{{{actor}_id}}/roles"
            found += _kind(Grants(actor, target, inherited=False), path, "")
            if target != SYSTEM:
                found += _kind(Grants(actor, target, inherited=True), f"/OS-INHERIT{path}", "/inherited_to_projects")
    return found


def _kind(grants: Grants, path: str, suffix: str) -> list[Route]:
    system = grants.target_kind == SYSTEM
    one = f"{path}/{{role_id}}{suffix}"

    def rule(verb: str, many: bool = False) -> str:
        if system:
            return f"{verb}_system_grant{'s' if many else ''}_for_{grants.actor}"
        return f"{verb}_grant{'s' if many else ''}"

    def route(method: str, path: str, handler: Callable[..., Any], name: str, status: int) -> Route:
        return operation(method, path, handler, name, target=grants.target, status=status)

    return [
        route("GET", path + suffix, grants.list, rule("list", many=True), 200),
        route("GET", one, grants.check, rule("check"), 204),
        route("PUT", one, grants.grant, rule("create"), 204),
        route("DELETE", one, grants.revoke, rule("revoke"), 204),
    ]


ROUTES = tuple(_routes())
