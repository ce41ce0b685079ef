"""What a user reaches: the projects, domains and system that a token of theirs could be scoped to."""

from __future__ import annotations

from collections.abc import Sequence

from stackling.identity import assignments, projects
from stackling.identity.model import Project
from stackling.store.transaction import Tx


def projects_of(tx: Tx, user_id: str, groups: Sequence[str] = ()) -> list[Project]:
    """Enabled projects on which the user has a role, also inherited from a domain or a project above.

    *groups*, here and below: those that a federated user's token has in it.
    """
    held = assignments.of_user(tx, user_id, groups)
    ids = {a.target_id for a in held if a.target == "project" and not a.inherited}
    for above in {a.target_id for a in held if a.inherited}:
        ids |= {below.id for below in projects.subtree(tx, above)}
    found = [one for one in projects.some(tx, ids) if not one.is_domain and one.enabled]
    enabled = {one.id for one in projects.some(tx, {one.domain_id for one in found}) if one.enabled}
    return [one for one in found if one.domain_id in enabled]


def domains_of(tx: Tx, user_id: str, groups: Sequence[str] = ()) -> list[Project]:
    """Enabled domains on which the user has a role."""
    held = assignments.of_user(tx, user_id, groups)
    ids = {a.target_id for a in held if a.target == "domain" and not a.inherited}
    return [one for one in projects.some(tx, ids) if one.is_domain and one.enabled]


def has_system(tx: Tx, user_id: str, groups: Sequence[str] = ()) -> bool:
    """Whether the user has a role on the system."""
    return any(a.target == assignments.SYSTEM for a in assignments.of_user(tx, user_id, groups))
