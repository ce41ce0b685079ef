"""First start: default domain, administrator, roles, catalog. Running it again adds what is missing."""

from __future__ import annotations

from collections.abc import Mapping

from stackling.core.ids import new_hex
from stackling.identity import assignments, catalog, projects, roles, users
from stackling.identity.assignments import Assignment
from stackling.identity.model import Listing, Role
from stackling.identity.service import Identity
from stackling.store.transaction import Tx

DEFAULT_DOMAIN = "default"
ROLES = ("admin", "manager", "member", "reader", "service")
IMPLIES = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
SERVICES: Mapping[str, tuple[str, str]] = {
    "identity": ("keystone", "$(public_url)s/identity"),
    "compute": ("nova", "$(public_url)s/compute/v2.1"),
    "network": ("neutron", "$(public_url)s/network"),
    "image": ("glance", "$(public_url)s/image"),
    "block-storage": ("cinder", "$(public_url)s/volume/v3"),
    "volumev3": ("cinderv3", "$(public_url)s/volume/v3"),
    "placement": ("placement", "$(public_url)s/placement"),
    "load-balancer": ("octavia", "$(public_url)s/load-balancer"),
    "stackling": ("stackling", "$(public_url)s/stackling/v1"),
}
"""By type: name, and where it answers."""


def bootstrap(tx: Tx, identity: Identity, admin_password_hash: str, *, region: str = "RegionOne",
              services: Mapping[str, tuple[str, str]] = SERVICES) -> bool:
    """Make what a cloud starts with; True where the administrator was made now.

    The password comes hashed (``facade.hash_password``), so that the transaction stays short. An administrator who is
    there already keeps their password.
    """
    identity.keys.create(tx)
    if projects.find_named(tx, "Default", "") is None:
        projects.create_project(tx, DEFAULT_DOMAIN, {
            "name": "Default", "domain_id": "", "is_domain": True, "description": "The default domain"})
    project = projects.find_named(tx, "admin", DEFAULT_DOMAIN) or projects.create_project(tx, new_hex(), {
        "name": "admin", "domain_id": DEFAULT_DOMAIN, "description": "Bootstrap project for initializing the cloud."})
    known = _roles(tx)
    admin = users.login_by_name(tx, "admin", domain_id=DEFAULT_DOMAIN)
    if admin is None:
        user_id = users.create_user(tx, new_hex(), {
            "name": "admin", "domain_id": DEFAULT_DOMAIN, "default_project_id": None, "options": {}, "extra": {},
        }, admin_password_hash, identity.config.security).id
    else:
        user_id = admin.id
    for target, target_id in (("project", project.id), ("system", assignments.SYSTEM)):
        assignments.grant(tx, Assignment("user", user_id, target, target_id, known["admin"].id, False))
    _catalog(tx, region, services)
    return admin is None


def _roles(tx: Tx) -> dict[str, Role]:
    known: dict[str, Role] = {}
    for name in ROLES:
        known[name] = roles.find_named(tx, name) or roles.create_role(tx, new_hex(), {
            "name": name, "options": {"immutable": True}})
    for prior, implied in IMPLIES:
        roles.imply(tx, known[prior], known[implied])
    return known


def _catalog(tx: Tx, region: str, services: Mapping[str, tuple[str, str]]) -> None:
    if not any(one.id == region for one in catalog.list_regions(tx, Listing())):
        catalog.create_region(tx, region, {})
    for type_, (name, url) in services.items():
        if catalog.list_services(tx, Listing({"type": type_})):
            continue
        service = catalog.create_service(tx, new_hex(), {"type": type_, "name": name})
        for interface in ("public", "internal", "admin"):
            catalog.create_endpoint(tx, new_hex(), {
                "service_id": service.id, "interface": interface, "url": url, "region_id": region})
