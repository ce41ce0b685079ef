"""Projects, and domains, which are projects at the root of a hierarchy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update

from stackling.core.errors import Forbidden, Invalid
from stackling.identity import assignments, cleanup, state
from stackling.identity.listing import select_page
from stackling.identity.model import Listing, Project
from stackling.identity.refusals import not_found, taken
from stackling.store.tables.identity import project_tags, projects, users
from stackling.store.transaction import Tx

MAX_DEPTH = 5
"""Upstream's ``max_project_tree_depth``: how many projects a branch may hold below its domain."""

_c = projects.c
_COLUMNS = (_c.id, _c.name, _c.domain_id, _c.parent_id, _c.is_domain, _c.enabled, _c.description, _c.options, _c.extra)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"))
_NAMED = select(*_COLUMNS).where(_c.domain_id == bindparam("domain_id"), _c.name == bindparam("name"))
_SOME = select(*_COLUMNS).where(_c.id.in_(bindparam("ids", expanding=True))).order_by(_c.id)
_CHILDREN = select(*_COLUMNS).where(_c.parent_id.in_(bindparam("ids", expanding=True))).order_by(_c.id)
_TAGS = select(project_tags.c.project_id, project_tags.c.name).where(
    project_tags.c.project_id.in_(bindparam("ids", expanding=True))).order_by(project_tags.c.name)
_NAMES = select(_c.id, _c.name).where(_c.id.in_(bindparam("ids", expanding=True)))
_EXISTS = select(_c.id).where(_c.id == bindparam("id"), _c.is_domain.is_(False))
_UPDATE = update(projects).where(_c.id == bindparam("b_id"))
_DROP_TAGS = delete(project_tags).where(project_tags.c.project_id == bindparam("id"))


def exists_project(tx: Tx, project_id: str) -> bool:
    """Whether there is such a project (a domain isn't one)."""
    return tx.one(_EXISTS, id=project_id) is not None


def names(tx: Tx, ids: Iterable[str]) -> dict[str, str]:
    """Names of projects and domains by id."""
    wanted = list(set(ids))
    return {row.id: row.name for row in tx.all(_NAMES, ids=wanted)} if wanted else {}


def get_project(tx: Tx, project_id: str) -> Project:
    """A project, or a domain as a project. Raises ``NotFound``."""
    row = tx.one(_ONE, id=project_id)
    if row is None:
        raise not_found("project", project_id)
    return _with_tags(tx, [Project(*row)])[0]


def get_domain(tx: Tx, domain_id: str) -> Project:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=domain_id)
    if row is None or not row.is_domain:
        raise not_found("domain", domain_id)
    return _with_tags(tx, [Project(*row)])[0]


def find_named(tx: Tx, name: str, domain_id: str) -> Project | None:
    """The project of that name in the domain; a domain by its name with *domain_id* empty."""
    row = tx.one(_NAMED, name=name, domain_id=domain_id)
    return None if row is None else Project(*row)


def some(tx: Tx, ids: Iterable[str]) -> list[Project]:
    """Projects and domains by id, in order of id; without those that don't exist."""
    wanted = list(set(ids))
    return _with_tags(tx, [Project(*row) for row in tx.all(_SOME, ids=wanted)]) if wanted else []


def list_projects(tx: Tx, listing: Listing, tags: Mapping[str, Sequence[str]] | None = None,
                  ids: Iterable[str] | None = None) -> list[Project]:
    """Projects in order of id, within *ids* where given.

    *tags* are the four tag filters (``tags``, ``tags-any``, ``not-tags``, ``not-tags-any``) with their values.
    """
    statement = select_page(select(*_COLUMNS), projects, listing)
    for comparison, wanted in (tags or {}).items():
        statement = statement.where(_tagged(comparison, wanted))
    if ids is not None:
        statement = statement.where(_c.id.in_(list(ids)))
    return _with_tags(tx, [Project(*row) for row in tx.execute(statement)])


def _tagged(comparison: str, wanted: Sequence[str]) -> Any:
    has = [exists().where(project_tags.c.project_id == _c.id, project_tags.c.name == name) for name in wanted]
    if comparison == "tags":
        return func.coalesce(True) if not has else ~or_(*[~h for h in has])
    if comparison == "tags-any":
        return or_(*has)
    if comparison == "not-tags":
        return or_(*[~h for h in has])
    return ~or_(*has)


def _with_tags(tx: Tx, found: list[Project]) -> list[Project]:
    if not found:
        return found
    tags: dict[str, list[str]] = defaultdict(list)
    for row in tx.all(_TAGS, ids=[p.id for p in found]):
        tags[row.project_id].append(row.name)
    if not tags:
        return found
    return [Project(p.id, p.name, p.domain_id, p.parent_id, p.is_domain, p.enabled, p.description, p.options, p.extra,
                    tuple(tags[p.id])) for p in found]


def ancestors(tx: Tx, project: Project) -> list[Project]:
    """Parents from the nearest to the domain (included)."""
    found: list[Project] = []
    parent = project.parent_id
    while parent is not None and len(found) <= MAX_DEPTH + 1:
        row = tx.one(_ONE, id=parent)
        if row is None:
            break
        found.append(Project(*row))
        parent = row.parent_id
    return _with_tags(tx, found)


def subtree(tx: Tx, project_id: str) -> list[Project]:
    """Every descendant, level by level."""
    found: list[Project] = []
    level = [project_id]
    while level:
        rows = [Project(*row) for row in tx.all(_CHILDREN, ids=level)]
        found += rows
        level = [row.id for row in rows]
    return _with_tags(tx, found)


def create_project(tx: Tx, id_: str, values: Mapping[str, Any]) -> Project:
    """Make a project or domain.

    *values*: ``name``, ``domain_id`` (empty for a domain), ``parent_id``, ``is_domain``, ``enabled``, ``description``,
    ``options``, ``tags``, ``extra``. Raises ``NotFound``, ``Invalid``, ``Conflict``, ``Forbidden``.
    """
    state.bump(tx)
    row: dict[str, Any] = {"parent_id": None, "is_domain": False, "enabled": True, "options": {}, "extra": {},
                           **values, "description": values.get("description") or "", "id": id_}
    tags = row.pop("tags", ())
    if row["is_domain"]:
        _check_domain(row)
    else:
        _check_parents(tx, row)
    if find_named(tx, row["name"], row["domain_id"]) is not None:
        raise _name_taken(row)
    if tx.one(_ONE, id=id_) is not None:
        raise taken("domain" if row["is_domain"] else "project", "ID", id_)
    tx.execute(insert(projects), row)
    _set_tags(tx, id_, tags)
    return get_project(tx, id_)


def _check_domain(row: Mapping[str, Any]) -> None:
    if row["parent_id"]:
        raise Invalid("only root projects are allowed to act as domains.")
    if row["name"].lower() == "federated":
        raise Invalid(f"Domain cannot be named {row['name']}")


def _check_parents(tx: Tx, row: dict[str, Any]) -> None:
    domain = get_domain(tx, row["domain_id"])
    row["parent_id"] = row["parent_id"] or domain.id
    parent = get_project(tx, row["parent_id"])
    if parent.is_domain and parent.id != domain.id:
        raise Invalid(f"Cannot create project, the parent ({parent.id}) is acting as a domain, but this project's "
                      f"domain id ({domain.id}) does not match the parent's id.")
    if not parent.is_domain and parent.domain_id != domain.id:
        raise Invalid(f"Cannot create project, since it specifies its domain_id {domain.id}, but specifies a parent in "
                      f"a different domain ({parent.domain_id}).")
    above = [parent, *ancestors(tx, parent)]
    for one in above:
        if not one.enabled:
            raise Invalid(f"cannot create a project in a branch containing a disabled project: {one.id}")
    if len(above) > MAX_DEPTH:
        raise Forbidden(f"Max hierarchy depth reached for {parent.id} branch.")


def _name_taken(row: Mapping[str, Any]) -> Exception:
    if row["is_domain"]:
        return taken("domain", "name", row["name"])
    return taken("project", "name", f"{row['name']} at domain ID {row['domain_id']}")


def update_project(tx: Tx, project: Project, values: Mapping[str, Any]) -> Project:
    """Change a project or domain; *values* as for ``create_project``, only what changes."""
    state.bump(tx)
    kind = "domain" if project.is_domain else "project"
    _check_immutable(project, values, kind)
    for fixed in ("parent_id", "is_domain", "domain_id"):
        if fixed in values and (values[fixed] or None) != (getattr(project, fixed) or None):
            if fixed == "parent_id":
                raise Forbidden("Update of `parent_id` is not allowed.")
            raise Invalid("Cannot change Domain ID" if fixed == "domain_id"
                          else "Update of `is_domain` is not allowed.")
    row = {k: v for k, v in values.items() if k not in ("parent_id", "is_domain", "domain_id", "tags")}
    if "name" in row and row["name"] != project.name:
        other = find_named(tx, row["name"], project.domain_id)
        if other is not None:
            raise _name_taken({"is_domain": project.is_domain, "name": row["name"], "domain_id": project.domain_id})
    if "description" in row:
        row["description"] = row["description"] or ""
    if "enabled" in row and row["enabled"] != project.enabled and not project.is_domain:
        _check_switch(tx, project, row["enabled"])
    if row:
        tx.execute(_UPDATE.values({k: bindparam(k) for k in row}), {"b_id": project.id, **row})
    if "tags" in values:
        _set_tags(tx, project.id, values["tags"])
    return get_project(tx, project.id)


def _check_immutable(project: Project, values: Mapping[str, Any], kind: str) -> None:
    if project.options.get("immutable") and values.get("options", {}).get("immutable", True):
        raise Forbidden(f"Cannot update {kind}: {project.id} because it is immutable. Set the resource option "
                        "'immutable' to false first.", type="ResourceUpdateForbidden")


def _check_switch(tx: Tx, project: Project, enable: bool) -> None:
    if enable and not all(above.enabled for above in ancestors(tx, project)):
        raise Forbidden(f"Cannot enable project {project.id} since it has disabled parents")
    if not enable and any(below.enabled for below in subtree(tx, project.id)):
        raise Forbidden(f"Cannot disable project {project.id} since its subtree contains enabled projects.")


def delete_project(tx: Tx, project: Project) -> None:
    """Delete a project, or a disabled domain with everything in it. Raises ``Forbidden``."""
    state.bump(tx)
    kind = "domain" if project.is_domain else "project"
    if project.options.get("immutable"):
        raise Forbidden(f"Cannot delete {kind}: {project.id} because it is immutable. Set the resource option "
                        "'immutable' to false first.", type="ResourceDeleteForbidden")
    if project.is_domain:
        if project.enabled:
            raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
        for below in reversed(subtree(tx, project.id)):
            _remove(tx, below.id)
        cleanup.domain_contents(tx, project.id)
    elif tx.one(_CHILDREN, ids=[project.id]) is not None:
        raise Forbidden(f"Cannot delete the project {project.id} since it is not a leaf in the hierarchy. Use the "
                        "cascade option if you want to delete a whole subtree.")
    _remove(tx, project.id)


def _remove(tx: Tx, project_id: str) -> None:
    tx.execute(_DROP_TAGS, {"id": project_id})
    assignments.forget_target(tx, project_id)
    cleanup.project_references(tx, project_id)
    tx.execute(update(users).where(users.c.default_project_id == project_id).values(default_project_id=None))
    tx.execute(delete(projects).where(_c.id == project_id))


def set_tags(tx: Tx, project: Project, tags: Sequence[str]) -> None:
    """Replace the tags."""
    state.bump(tx)
    _check_tags_mutable(project, "update")
    _set_tags(tx, project.id, tags)


def add_tag(tx: Tx, project: Project, tag: str) -> None:
    """Add a tag; nothing happens where it is there."""
    state.bump(tx)
    _check_tags_mutable(project, "create")
    if tag not in project.tags:
        tx.execute(insert(project_tags), {"project_id": project.id, "name": tag})


def remove_tag(tx: Tx, project: Project, tag: str) -> None:
    """Raises ``NotFound`` where the project hasn't it."""
    state.bump(tx)
    _check_tags_mutable(project, "delete")
    if tag not in project.tags:
        raise not_found("project tag", tag)
    tx.execute(delete(project_tags).where(project_tags.c.project_id == project.id, project_tags.c.name == tag))


def _check_tags_mutable(project: Project, verb: str) -> None:
    if project.options.get("immutable"):
        raise Forbidden(f"Cannot {verb} project tags for {project.id}, project is immutable. Set \"immutable\" option "
                        f"to false before {verb[:-1]}ing project tags.")


def _set_tags(tx: Tx, project_id: str, tags: Sequence[str]) -> None:
    tx.execute(_DROP_TAGS, {"id": project_id})
    if tags:
        tx.execute(insert(project_tags), [{"project_id": project_id, "name": tag} for tag in dict.fromkeys(tags)])
