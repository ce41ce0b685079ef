"""All that other services and ``main/`` may use of Identity."""

from __future__ import annotations

from collections.abc import Iterable

from stackling.core.context import Context
from stackling.identity import projects, users
from stackling.identity.bootstrap import DEFAULT_DOMAIN, SERVICES, bootstrap
from stackling.identity.catalog import Catalog
from stackling.identity.model import IdentityConfig, SecurityCompliance
from stackling.identity.passwords import hash_password
from stackling.identity.service import Identity
from stackling.store.transaction import Tx

__all__ = ["DEFAULT_DOMAIN", "SERVICES", "Identity", "IdentityConfig", "SecurityCompliance", "bootstrap",
           "endpoint_url", "hash_password", "names_of", "project_exists", "project_named"]


def endpoint_url(tx: Tx, ctx: Context, public_url: str, service: str, region: str, interface: str) -> str | None:
    """Where the service of a type answers in a region, as the caller's catalog says; None where it says nothing."""
    for one in Catalog(tx).show(public_url, ctx.project_id, ctx.user_id):
        for endpoint in one["endpoints"] if one["type"] == service else ():
            if (endpoint["region_id"], endpoint["interface"]) == (region, interface):
                return str(endpoint["url"])
    return None


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
