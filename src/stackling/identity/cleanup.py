"""What goes with a user, group, role, project or domain when it is deleted."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from stackling.identity import assignments
from stackling.store.tables.identity import (
    access_rules,
    access_tokens,
    application_credentials,
    credentials,
    domain_config,
    expiring_memberships,
    federated_users,
    groups,
    identity_providers,
    limits,
    memberships,
    old_passwords,
    project_endpoint_groups,
    project_endpoints,
    protocols,
    remote_ids,
    request_tokens,
    roles,
    trusts,
    users,
)
from stackling.store.transaction import Tx


def user_references(tx: Tx, user_id: str) -> None:
    """Memberships, assignments, credentials and trusts of a user."""
    assignments.forget_actor(tx, user_id)
    for table in (memberships, old_passwords, application_credentials, access_rules, credentials, request_tokens,
                  access_tokens, federated_users, expiring_memberships):
        tx.execute(delete(table).where(table.c.user_id == user_id))
    tx.execute(update(trusts).where(
        (trusts.c.trustor_user_id == user_id) | (trusts.c.trustee_user_id == user_id), trusts.c.deleted_at.is_(None),
    ).values(deleted_at=tx.now))


def group_references(tx: Tx, group_id: str) -> None:
    """Memberships and assignments of a group."""
    assignments.forget_actor(tx, group_id)
    for table in (memberships, expiring_memberships):
        tx.execute(delete(table).where(table.c.group_id == group_id))


def project_references(tx: Tx, project_id: str) -> None:
    """What is bound to a project: credentials, trusts, limits, OAuth tokens, what its catalog shows."""
    for table in (application_credentials, credentials, limits, project_endpoints, project_endpoint_groups,
                  request_tokens, access_tokens):
        tx.execute(delete(table).where(table.c.project_id == project_id))
    tx.execute(update(trusts).where(trusts.c.project_id == project_id, trusts.c.deleted_at.is_(None)).values(
        deleted_at=tx.now))


def domain_contents(tx: Tx, domain_id: str) -> None:
    """Users, groups and roles of a domain."""
    for user_id in tx.execute(select(users.c.id).where(users.c.domain_id == domain_id)).scalars().all():
        user_references(tx, user_id)
    for group_id in tx.execute(select(groups.c.id).where(groups.c.domain_id == domain_id)).scalars().all():
        group_references(tx, group_id)
    for role_id in tx.execute(select(roles.c.id).where(roles.c.domain_id == domain_id)).scalars().all():
        assignments.forget_role(tx, role_id)
    for table in (users, groups, roles):
        tx.execute(delete(table).where(table.c.domain_id == domain_id))
    tx.execute(delete(limits).where(limits.c.domain_id == domain_id))
    tx.execute(delete(domain_config).where(domain_config.c.domain_id == domain_id))
    providers = select(identity_providers.c.id).where(identity_providers.c.domain_id == domain_id)
    for table in (protocols, remote_ids, federated_users, expiring_memberships):
        tx.execute(delete(table).where(table.c.idp_id.in_(providers)))
    tx.execute(delete(identity_providers).where(identity_providers.c.domain_id == domain_id))
