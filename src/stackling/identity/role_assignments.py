"""The list of role assignments, as stored or as they take effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from stackling.identity import assignments, groups, projects, roles
from stackling.identity.assignments import SYSTEM, Assignment
from stackling.identity.model import Listing, Project
from stackling.store.transaction import Tx


@dataclass(frozen=True, slots=True)
class Effective:
    """An assignment, and where it comes from if it isn't stored like that.

    ``by_group``: through membership in that group; ``from_target``: inherited from that ``(kind, id)``;
    ``from_role``: implied by that role.
    """

    assignment: Assignment
    by_group: str | None = None
    from_target: tuple[str, str] | None = None
    from_role: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of ``GET /v3/role_assignments``. ``subtree``: the project and everything below it."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    subtree: bool = False


def list_assignments(tx: Tx, wanted: Wanted) -> list[Effective]:
    """In effective mode groups stand for their users, inheritance for the projects it reaches, and implied roles are
    listed too."""
    if wanted.effective:
        return _effective(tx, wanted)
    targets = _targets(tx, wanted)
    actor = wanted.user_id or wanted.group_id
    found = assignments.everything(
        tx, actor_ids=[actor] if actor else None, target_ids=targets,
        role_ids=[wanted.role_id] if wanted.role_id else None, inherited=wanted.inherited)
    return [Effective(one) for one in found]


def _targets(tx: Tx, wanted: Wanted) -> list[str] | None:
    if wanted.system:
        return [SYSTEM]
    if wanted.project_id:
        below = [one.id for one in projects.subtree(tx, wanted.project_id)] if wanted.subtree else []
        return [wanted.project_id, *below]
    return [wanted.domain_id] if wanted.domain_id else None


def _effective(tx: Tx, wanted: Wanted) -> list[Effective]:
    actors = [wanted.user_id, *_groups_of(tx, wanted.user_id)] if wanted.user_id else None
    stored = assignments.everything(tx, actor_ids=actors)
    found = _for_users(tx, [Effective(one) for one in stored], wanted.user_id)
    found = list(_on_projects(tx, found))
    found = list(_with_implied(tx, found))
    targets = set(_targets(tx, wanted) or ())
    return [one for one in found
            if (not targets or one.assignment.target_id in targets)
            and (wanted.role_id is None or one.assignment.role_id == wanted.role_id)
            and (wanted.inherited is None or wanted.inherited == (one.from_target is not None))]


def _groups_of(tx: Tx, user_id: str) -> list[str]:
    return [group.id for group in groups.list_groups(tx, Listing(), user_id=user_id)]


def _for_users(tx: Tx, found: list[Effective], user_id: str | None) -> list[Effective]:
    members = groups.members(tx, {one.assignment.actor_id for one in found if one.assignment.actor == "group"})
    result: list[Effective] = []
    for one in found:
        if one.assignment.actor == "user":
            result.append(one)
            continue
        group = one.assignment.actor_id
        result += [replace(one, assignment=replace(one.assignment, actor="user", actor_id=member), by_group=group)
                   for member in members.get(group, ()) if user_id in (None, member)]
    return result


def _on_projects(tx: Tx, found: Iterable[Effective]) -> Iterable[Effective]:
    below: dict[str, list[Project]] = {}
    for one in found:
        if not one.assignment.inherited:
            yield one
            continue
        above = one.assignment.target_id
        if above not in below:
            below[above] = projects.subtree(tx, above)
        for project in below[above]:
            yield replace(one, from_target=(one.assignment.target, above), assignment=replace(
                one.assignment, target="project", target_id=project.id, inherited=False))


def _with_implied(tx: Tx, found: Iterable[Effective]) -> Iterable[Effective]:
    implied = assignments.implications(tx)
    local = {role.id for role in roles.every(tx).values() if role.domain_id}
    for one in found:
        seen, queue = {one.assignment.role_id}, [one]
        for item in queue:
            if item.assignment.role_id not in local:        # a domain's role only implies others
                yield item
            for next_ in implied.get(item.assignment.role_id, ()):
                if next_ not in seen:
                    seen.add(next_)
                    queue.append(replace(item, from_role=item.assignment.role_id,
                                         assignment=replace(item.assignment, role_id=next_)))
