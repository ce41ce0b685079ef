"""The Identity API as one service."""

from __future__ import annotations

from collections.abc import Mapping

from stackling.api.identity import (
    application_credentials,
    audit,
    catalog,
    credentials,
    domain_config,
    endpoint_filters,
    extensions,
    federated_auth,
    federation,
    grants,
    groups,
    limits,
    oauth,
    oauth2,
    policies,
    projects,
    role_assignments,
    roles,
    tokens,
    trusts,
    users,
    versions,
)
from stackling.api.identity.errors import error_body
from stackling.api.identity.policy import RULES
from stackling.api.policy import Policy
from stackling.api.route import Service
from stackling.identity.service import Identity
from stackling.ports.oidc import OidcProviders


def service(identity: Identity, policy: Mapping[str, str] | None = None, *, oidc: OidcProviders | None = None,
            trusted_dashboards: tuple[str, ...] = ()) -> Service:
    """*policy* are an administrator's own rules, by name. *oidc* are the providers through which people may log in,
    *trusted_dashboards* the URLs that may have tokens sent from a browser."""
    routes = audit.audited([
        *tokens.routes(identity), *projects.ROUTES, *users.routes(identity), *groups.ROUTES,
        *roles.ROUTES, *grants.ROUTES, *role_assignments.ROUTES, *catalog.ROUTES, *limits.ROUTES,
        *endpoint_filters.ROUTES, *policies.ROUTES, *domain_config.routes(identity), *oauth.routes(identity),
        *oauth2.routes(identity), *extensions.routes(identity), *federation.routes(identity),
        *federated_auth.routes(identity, oidc, trusted_dashboards),
        *application_credentials.routes(identity), *credentials.routes(identity), *trusts.routes(identity),
    ])
    routes += versions.routes(lambda: extensions.home(routes))
    return Service(
        name="identity", prefix="/identity", routes=routes, error_body=error_body, head=True,
        policy=Policy(RULES, policy, message="You are not authorized to perform the requested action: {rule}."))
