"""``GET /v3/role_assignments``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.projects import project_target
from stackling.api.identity.view import collection, flag, root
from stackling.core.errors import Invalid
from stackling.identity import groups, projects, role_assignments, roles, users
from stackling.identity.role_assignments import Effective, Wanted

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_INHERITED = "scope.OS-INHERIT:inherited_to"


def list_assignments(tx: Tx, call: Call) -> Any:
    """With every filter of upstream; combinations that can only be empty are refused, as there."""
    first = call.query.last
    wanted = Wanted(
        first("user.id"), first("group.id"), first("role.id"), first("scope.project.id"), first("scope.domain.id"),
        flag(call, "scope.system") or "scope.system" in call.query,
        first(_INHERITED) == "projects" if _INHERITED in call.query else None,
        flag(call, "effective"), flag(call, "include_subtree"))
    _authorize(tx, call, wanted)
    _check(wanted)
    found = role_assignments.list_assignments(tx, wanted)
    if call.ctx.domain_id is not None:
        found = _within(tx, found, call.ctx.domain_id)
    names = _Names(tx, found) if flag(call, "include_names") else None
    return collection(call, "role_assignments", [_show(call, one, names) for one in found])


def _authorize(tx: Tx, call: Call, wanted: Wanted) -> None:
    target: dict[str, Any] = {"domain_id": call.ctx.domain_id}
    if wanted.subtree:
        if wanted.project_id:
            target["project"] = project_target(tx, wanted.project_id)
            target["domain_id"] = target["project"].get("domain_id")
        call.authorize({"target": target}, "identity:list_role_assignments_for_tree")
        if not wanted.project_id:
            raise Invalid("scope.project.id must be specified if include_subtree is also specified")
    else:
        call.authorize({"target": target}, "identity:list_role_assignments")


def _check(wanted: Wanted) -> None:
    if wanted.domain_id and wanted.project_id:
        raise Invalid("Specify a domain or project, not both")
    if wanted.domain_id and wanted.system:
        raise Invalid("Specify system or domain, not both")
    if wanted.project_id and wanted.system:
        raise Invalid("Specify system or project, not both")
    if wanted.user_id and wanted.group_id:
        raise Invalid("Specify a user or group, not both")
    if wanted.effective and wanted.group_id:
        raise Invalid("Combining effective and group filter will always result in an empty list.")
    if wanted.effective and wanted.inherited and wanted.domain_id:
        raise Invalid("Combining effective, domain and inherited filters will always result in an empty list.")


def _within(tx: Tx, found: list[Effective], domain_id: str) -> list[Effective]:
    """Only what concerns one domain: itself and its projects."""
    known = {one.id: one for one in projects.some(tx, {e.assignment.target_id for e in found})}
    return [e for e in found if (place := known.get(e.assignment.target_id)) is not None
            and domain_id in (place.id, place.domain_id)]


class _Names:
    """Names of everything that a list shows, in one query a kind."""

    def __init__(self, tx: Tx, found: list[Effective]) -> None:
        all_ = [one.assignment for one in found]
        self.users = {u.id: u for u in users.some(tx, {a.actor_id for a in all_ if a.actor == "user"})}
        self.groups = {g.id: g for g in groups.some(tx, {a.actor_id for a in all_ if a.actor == "group"})}
        self.roles = {r.id: r for r in roles.some(tx, {a.role_id for a in all_})}
        self.places = {p.id: p for p in projects.some(tx, {a.target_id for a in all_})}
        homes = {one.domain_id for table in (self.users, self.groups, self.roles, self.places)
                 for one in table.values()}
        self.domains = projects.names(tx, homes - {""})

    def domain(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "name": self.domains.get(id_)}


def _show(call: Call, one: Effective, names: _Names | None) -> dict[str, Any]:
    a = one.assignment
    shown: dict[str, Any] = {"links": {}, "scope": _scope(one, names), a.actor: {"id": a.actor_id},
                             "role": {"id": a.role_id}}
    if names is not None:
        actor = (names.users if a.actor == "user" else names.groups).get(a.actor_id)
        if actor is not None:
            shown[a.actor].update(name=actor.name, domain=names.domain(actor.domain_id))
        role = names.roles.get(a.role_id)
        if role is not None:
            shown["role"]["name"] = role.name
            if role.domain_id:
                shown["role"]["domain"] = names.domain(role.domain_id)
    _links(call, one, shown["links"])
    return shown


def _scope(one: Effective, names: _Names | None) -> dict[str, Any]:
    a = one.assignment
    if a.target == "system":
        return {"system": {"all": True}}
    scope: dict[str, Any] = {a.target: {"id": a.target_id}}
    place = names.places.get(a.target_id) if names is not None else None
    if place is not None and names is not None:
        scope[a.target]["name"] = place.name
        if a.target == "project":
            scope[a.target]["domain"] = names.domain(place.domain_id)
    if a.inherited or one.from_target is not None:
        scope["OS-INHERIT:inherited_to"] = "projects"
    return scope


def _links(call: Call, one: Effective, links: dict[str, str]) -> None:
    a, base = one.assignment, root(call)
    kind, id_ = one.from_target or (a.target, a.target_id)
    actor = f"groups/{one.by_group}" if one.by_group else f"{a.actor}s/{a.actor_id}"
    place = "system" if kind == "system" else f"{kind}s/{id_}"
    path = f"{place}/{actor}/roles/{one.from_role or a.role_id}"
    inherited = a.inherited or one.from_target is not None
    links["assignment"] = f"{base}/OS-INHERIT/{path}/inherited_to_projects" if inherited else f"{base}/{path}"
    if one.by_group:
        links["membership"] = f"{base}/groups/{one.by_group}/users/{a.actor_id}"
    if one.from_role:
        links["prior_role"] = f"{base}/prior_role/{a.role_id}/implies/{one.from_role}"


ROUTES = (operation("GET", "/role_assignments", list_assignments, ANY_TOKEN.partition(":")[2]),)
