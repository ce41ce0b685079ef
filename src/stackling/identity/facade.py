"""All that other services and ``main/`` may use of Identity."""

from __future__ import annotations

from collections.abc import Iterable

from stackling.identity import projects, users
from stackling.identity.bootstrap import DEFAULT_DOMAIN, SERVICES, bootstrap
from stackling.identity.model import IdentityConfig, SecurityCompliance
from stackling.identity.passwords import hash_password
from stackling.identity.service import Identity
from stackling.store.transaction import Tx

__all__ = ["DEFAULT_DOMAIN", "SERVICES", "Identity", "IdentityConfig", "SecurityCompliance", "bootstrap",
           "hash_password", "names_of", "project_exists", "project_named"]


def project_exists(tx: Tx, project_id: str) -> bool:
    """Whether there is such a project."""
    return projects.exists_project(tx, project_id)


def project_named(tx: Tx, name: str, domain_id: str = DEFAULT_DOMAIN) -> str | None:
    """The id of the project of this name, or None."""
    found = projects.find_named(tx, name, domain_id)
    return found.id if found else None


def names_of(tx: Tx, user_ids: Iterable[str], project_ids: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Names of users and of projects by id; ids that don't exist are left out."""
    return users.names(tx, user_ids), projects.names(tx, project_ids)
