"""``/v3/projects`` with their tags, and ``/v3/domains``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.operation import operation
from stackling.api.identity.schema import (
    BOOLEAN,
    DESCRIPTION,
    ID,
    IMMUTABLE,
    SHORT_NAME,
    TAG,
    TAGS,
    Body,
    member,
    nullable,
)
from stackling.api.identity.view import collection, listing, merged, own_id, root, split, with_links
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_hex
from stackling.identity import projects, reach
from stackling.identity.model import Listing, Project
from stackling.identity.refusals import not_found

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_DOMAIN = {"description": DESCRIPTION, "enabled": BOOLEAN, "name": SHORT_NAME, "options": IMMUTABLE, "tags": TAGS}
_PROJECT = {**_DOMAIN, "domain_id": nullable(ID), "is_domain": BOOLEAN, "parent_id": nullable(ID)}
_EXPLICIT = {"explicit_domain_id": {"type": "string"}}
TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")


def show_project(call: Call, project: Project) -> dict[str, Any]:
    """A project as the API shows it."""
    return with_links(call, "projects", {
        **project.extra, "id": project.id, "name": project.name, "domain_id": project.domain_id or None,
        "description": project.description, "enabled": project.enabled, "parent_id": project.parent_id,
        "is_domain": project.is_domain, "tags": list(project.tags), "options": dict(project.options)})


def show_domain(call: Call, domain: Project) -> dict[str, Any]:
    """A domain as the API shows it."""
    return with_links(call, "domains", {
        **domain.extra, "id": domain.id, "name": domain.name, "description": domain.description,
        "enabled": domain.enabled, "tags": list(domain.tags), "options": dict(domain.options)})


def project_target(tx: Tx, project_id: str) -> dict[str, Any]:
    """What rules say of a project; empty where there is none."""
    try:
        found = projects.get_project(tx, project_id)
    except NotFound:
        return {}
    return {"id": found.id, "name": found.name, "domain_id": found.domain_id or None}


def _one(tx: Tx, call: Call) -> Mapping[str, Any]:
    found = project_target(tx, call.params["project_id"])
    return {"target": {"project": found}} if found else {"target": {}}


def _new(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"project": named_domain(call.body["project"])}}


def _list_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"domain_id": call.ctx.domain_id}}


def _domain_for(call: Call, body: Mapping[str, Any]) -> str | None:
    """The domain of something new: named, or the token's, or the default one."""
    if body.get("is_domain"):
        return None
    return body.get("domain_id") or home_domain(call)


def named_domain(body: Mapping[str, Any]) -> dict[str, Any]:
    """What rules say of something new: only the domain that its body names, so a domain's manager has to name it."""
    return {"domain_id": body["domain_id"]} if body.get("domain_id") else {}


def home_domain(call: Call) -> str:
    """The domain in which a caller makes things who doesn't say."""
    return call.ctx.domain_id or call.ctx.project_domain_id or "default"


# -- projects


def list_projects(tx: Tx, call: Call) -> Any:
    page = listing(call, ("name", "domain_id", "parent_id"), ("enabled", "is_domain"))
    equal = {"is_domain": False, **page.equal}
    if call.ctx.domain_id is not None and not equal["is_domain"]:
        equal["domain_id"] = call.ctx.domain_id
    tags = {name: call.query[name][-1].split(",") for name in TAG_FILTERS if name in call.query}
    found = projects.list_projects(tx, Listing(equal, page.like, page.limit, page.marker), tags)
    return collection(call, "projects", [show_project(call, one) for one in found], page)


def show(tx: Tx, call: Call) -> Any:
    if ("parents_as_list" in call.query and "parents_as_ids" in call.query) or (
            "subtree_as_list" in call.query and "subtree_as_ids" in call.query):
        which = "parents" if "parents_as_list" in call.query and "parents_as_ids" in call.query else "subtree"
        raise Invalid(f"Cannot use {which}_as_list and {which}_as_ids query params at the same time.")
    project = projects.get_project(tx, call.params["project_id"])
    shown = show_project(call, project)
    _add_hierarchy(tx, call, project, shown)
    return {"project": shown}


def _add_hierarchy(tx: Tx, call: Call, project: Project, shown: dict[str, Any]) -> None:
    above = [one for one in projects.ancestors(tx, project) if not one.is_domain] if any(
        key.startswith("parents_as") for key in call.query) else []
    below = projects.subtree(tx, project.id) if any(key.startswith("subtree_as") for key in call.query) else []
    if "parents_as_list" in call.query or "subtree_as_list" in call.query:
        mine = {one.id for one in reach.projects_of(tx, call.ctx.user_id or "")}
        for key, found in (("parents", above), ("subtree", below)):
            if f"{key}_as_list" in call.query:
                shown[key] = [{"project": show_project(call, one)} for one in found if one.id in mine]
    if "parents_as_ids" in call.query:
        nested: dict[str, Any] | None = None
        if project.parent_id is not None and not project.is_domain:
            for one in reversed(projects.ancestors(tx, project)):
                nested = {one.id: nested}
        shown["parents"] = nested
    if "subtree_as_ids" in call.query:
        shown["subtree"] = _nested(project.id, below)


def _nested(parent_id: str, below: list[Project]) -> dict[str, Any] | None:
    found = {one.id: _nested(one.id, below) for one in below if one.parent_id == parent_id}
    return found or None


def create(tx: Tx, call: Call) -> Any:
    body = call.body["project"]
    values, extra = split(body, _PROJECT)
    domain_id = _domain_for(call, body)
    if values.get("is_domain"):
        if values.get("domain_id"):
            raise Invalid("only root projects are allowed to act as domains.")
        domain_id = ""
    elif not values.get("domain_id") and values.get("parent_id"):
        parent = projects.get_project(tx, values["parent_id"])
        domain_id = parent.id if parent.is_domain else parent.domain_id
    project = projects.create_project(tx, new_hex(), {**values, "domain_id": domain_id, "extra": extra})
    return {"project": show_project(call, project)}


def update(tx: Tx, call: Call) -> Any:
    project = projects.get_project(tx, call.params["project_id"])
    return {"project": show_project(call, _change(tx, call.body["project"], project, _PROJECT, "project"))}


def _change(tx: Tx, body: Mapping[str, Any], project: Project, known: Mapping[str, Any], kind: str) -> Project:
    own_id(body, project.id, kind)
    values, extra = split(body, known)
    return projects.update_project(tx, project, merged(values, extra, project.extra, project.options))


def delete(tx: Tx, call: Call) -> None:
    projects.delete_project(tx, projects.get_project(tx, call.params["project_id"]))


# -- tags


def list_tags(tx: Tx, call: Call) -> Any:
    project = projects.get_project(tx, call.params["project_id"])
    return {"tags": list(project.tags), "links": {"self": f"{root(call)}/projects/{project.id}/tags", "next": None,
                                                  "previous": None}}


def replace_tags(tx: Tx, call: Call) -> Any:
    projects.set_tags(tx, projects.get_project(tx, call.params["project_id"]), call.body["tags"])
    return list_tags(tx, call)


def remove_tags(tx: Tx, call: Call) -> None:
    projects.set_tags(tx, projects.get_project(tx, call.params["project_id"]), ())


def check_tag(tx: Tx, call: Call) -> None:
    if call.params["tag"] not in projects.get_project(tx, call.params["project_id"]).tags:
        raise not_found("project tag", call.params["tag"])


def add_tag(tx: Tx, call: Call) -> Any:
    tag = call.params["tag"]
    if len(tag) > TAG["maxLength"] or not re.match(TAG["pattern"], tag):
        raise Invalid(f"Invalid input for field 'name': {tag[:300]!r} is not a tag")
    project = projects.get_project(tx, call.params["project_id"])
    projects.add_tag(tx, project, tag)
    return Reply(None, 201, {"Location": f"{root(call)}/projects/{project.id}/tags/{tag}"})


def remove_tag(tx: Tx, call: Call) -> None:
    projects.remove_tag(tx, projects.get_project(tx, call.params["project_id"]), call.params["tag"])


# -- domains


def _domain_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    try:
        return {"target": {"domain": {"id": projects.get_domain(tx, call.params["domain_id"]).id}}}
    except NotFound:
        return {"target": {}}


def _existing_domain(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"domain": {"id": projects.get_domain(tx, call.params["domain_id"]).id}}}


def _domains_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"domain": {"id": call.ctx.domain_id}}}


def list_domains(tx: Tx, call: Call) -> Any:
    page = listing(call, ("name",), ("enabled",))
    equal = {**page.equal, "is_domain": True}
    if call.ctx.domain_id is not None:
        equal["id"] = call.ctx.domain_id
    found = projects.list_projects(tx, Listing(equal, page.like, page.limit, page.marker))
    return collection(call, "domains", [show_domain(call, one) for one in found], page)


def show_one_domain(tx: Tx, call: Call) -> Any:
    return {"domain": show_domain(call, projects.get_domain(tx, call.params["domain_id"]))}


def create_domain(tx: Tx, call: Call) -> Any:
    body = dict(call.body["domain"])
    id_ = body.pop("explicit_domain_id", None) or new_hex()
    if id_ != "default" and not re.match(r"[0-9a-f]{32}\Z", id_):
        raise Invalid("Domain ID does not conform to required UUID format.", type="DomainIdInvalid")
    values, extra = split(body, _DOMAIN)
    found = projects.create_project(tx, id_, {**values, "domain_id": "", "is_domain": True, "extra": extra})
    return {"domain": show_domain(call, found)}


def update_domain(tx: Tx, call: Call) -> Any:
    domain = projects.get_domain(tx, call.params["domain_id"])
    return {"domain": show_domain(call, _change(tx, call.body["domain"], domain, _DOMAIN, "domain"))}


def delete_domain(tx: Tx, call: Call) -> None:
    projects.delete_project(tx, projects.get_domain(tx, call.params["domain_id"]))


_TAGS_BODY = Body({"type": "object", "properties": {"tags": TAGS}, "required": ["tags"],
                   "additionalProperties": False})
_P, _D = "/projects/{project_id}", "/domains/{domain_id}"
ROUTES = (
    operation("GET", "/projects", list_projects, "list_projects", target=_list_target),
    operation("POST", "/projects", create, "create_project", target=_new, status=201,
              body=member("project", _PROJECT, ("name",))),
    operation("GET", _P, show, "get_project", target=_one),
    operation("PATCH", _P, update, "update_project", target=_one, body=member("project", _PROJECT)),
    operation("DELETE", _P, delete, "delete_project", target=_one, status=204),
    operation("GET", f"{_P}/tags", list_tags, "list_project_tags", target=_one),
    operation("PUT", f"{_P}/tags", replace_tags, "update_project_tags", target=_one, body=_TAGS_BODY),
    operation("DELETE", f"{_P}/tags", remove_tags, "delete_project_tags", target=_one, status=204),
    operation("GET", f"{_P}/tags/{{tag}}", check_tag, "get_project_tag", target=_one, status=204),
    operation("PUT", f"{_P}/tags/{{tag}}", add_tag, "create_project_tag", target=_one, status=201),
    operation("DELETE", f"{_P}/tags/{{tag}}", remove_tag, "delete_project_tag", target=_one, status=204),
    operation("GET", "/domains", list_domains, "list_domains", target=_domains_target),
    operation("POST", "/domains", create_domain, "create_domain", status=201,
              body=member("domain", {**_DOMAIN, **_EXPLICIT}, ("name",))),
    operation("GET", _D, show_one_domain, "get_domain", target=_domain_target),
    operation("PATCH", _D, update_domain, "update_domain", target=_existing_domain,
              body=member("domain", _DOMAIN, at_least=1)),
    operation("DELETE", _D, delete_domain, "delete_domain", target=_existing_domain, status=204),
)
