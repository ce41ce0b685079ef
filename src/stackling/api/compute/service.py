"""The Compute API as one service."""

from __future__ import annotations

from collections.abc import Mapping

from stackling.api.compute import (
    aggregates,
    consoles,
    diagnostics,
    flavors,
    hosts,
    images,
    keypairs,
    migrations,
    networks,
    others,
    passwords,
    proxies,
    quotas,
    security_groups,
    server_actions,
    server_parts,
    servers,
    usage,
    volume_attachments,
    volume_proxies,
)
from stackling.api.compute.errors import error_body
from stackling.api.compute.policy import RULES
from stackling.api.policy import Policy
from stackling.api.route import Microversions, Service

RESOURCES = (others, servers, server_actions, server_parts, passwords, diagnostics, consoles, flavors, keypairs, quotas,
             hosts, aggregates, usage, proxies, security_groups, networks, images, migrations,
             volume_attachments, volume_proxies)


def service(overrides: Mapping[str, str] | None = None) -> Service:
    """The service for ``api.app.build_app``; *overrides* are an administrator's policy rules."""
    return Service(
        "compute", "/compute", [route for resource in RESOURCES for route in resource.ROUTES],
        Policy(RULES, overrides), error_body,
        Microversions("compute", others.LOWEST, others.HIGHEST, (2, 1), "X-OpenStack-Nova-API-Version"),
        request_id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"), hides_methods=True, of_projects=True)
