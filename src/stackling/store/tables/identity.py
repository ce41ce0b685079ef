"""Identity: projects and domains, users, groups, roles, assignments, the catalog, credentials, revocations.

A domain is a project with ``is_domain`` (as upstream stores it); its ``domain_id`` is the empty string, so that the
unique constraint holds for domain names too (NULLs would not collide).
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint, false
from sqlalchemy.sql.expression import true

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long, Name

identity_state = Table(
    "identity_state", metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
)
"""One row; every identity write bumps it first, which also serialises identity writers."""

projects = Table(
    "identity_projects", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, nullable=False),                    # "": a domain
    Column("parent_id", Id),
    Column("is_domain", Boolean, nullable=False, default=False, server_default=false()),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("description", Long, nullable=False),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
    Index("ix_identity_projects_parent_id", "parent_id"),
)

project_tags = Table(
    "identity_project_tags", metadata,
    Column("project_id", Id, primary_key=True),
    Column("name", Name, primary_key=True),
)

users = Table(
    "identity_users", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("default_project_id", Id),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    Column("password_hash", String(255)),
    Column("password_created_at", Instant),
    Column("password_expires_at", Instant),
    Column("password_own", Boolean, nullable=False, default=False, server_default=false()),    # chosen by the user
    Column("failed_logins", Integer, nullable=False, default=0, server_default="0"),
    Column("failed_login_at", Instant),
    Column("active_at", String(10)),                            # the day of the last login, where it is recorded
    Column("tokens_valid_from", Instant),                       # tokens issued before it are revoked
    Column("created_at", Instant, nullable=False),
    Column("shadow", Id, nullable=False, default="", server_default=""),    # "" or, of a federated user, its own id
    UniqueConstraint("domain_id", "name", "shadow"),            # names that providers give needn't differ
    Index("ix_identity_users_default_project_id", "default_project_id"),
)

old_passwords = Table(
    "identity_old_passwords", metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_identity_old_passwords_user_id", "user_id", "created_at"),
)
"""Former passwords, as many as the history rule needs."""

groups = Table(
    "identity_groups", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, nullable=False),
    Column("description", Long, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

memberships = Table(
    "identity_memberships", metadata,
    Column("user_id", Id, primary_key=True),
    Column("group_id", Id, primary_key=True),
    Index("ix_identity_memberships_group_id", "group_id"),
)

expiring_memberships = Table(
    "identity_expiring_memberships", metadata,
    Column("user_id", Id, primary_key=True),
    Column("group_id", Id, primary_key=True),
    Column("idp_id", Id, primary_key=True),
    Column("verified_at", Instant, nullable=False),             # when the identity provider last said so
    Column("expires_at", Instant, nullable=False),              # the same, and the provider's authorization_ttl
    Index("ix_identity_expiring_memberships_group_id", "group_id"),
    Index("ix_identity_expiring_memberships_idp_id", "idp_id"),
)
"""Groups that federated users were in at their last login."""

federated_users = Table(
    "identity_federated_users", metadata,
    Column("idp_id", Id, primary_key=True),
    Column("protocol_id", Id, primary_key=True),
    Column("unique_id", Name, primary_key=True),                # as the provider knows the user
    Column("user_id", Id, nullable=False),
    Column("display_name", Name),
    Index("ix_identity_federated_users_user_id", "user_id"),
)

sign_ins = Table(
    "identity_sign_ins", metadata,
    Column("id", Id, primary_key=True),
    Column("expires_at", Instant, nullable=False),
    Index("ix_identity_sign_ins_expires_at", "expires_at"),
)
"""Sign-ins through a browser that have come back from their provider: none does so twice."""

roles = Table(
    "identity_roles", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, nullable=False),                    # "": a role of the whole cloud
    Column("description", Long),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

implied_roles = Table(
    "identity_implied_roles", metadata,
    Column("prior_id", Id, primary_key=True),
    Column("implied_id", Id, primary_key=True),
    Index("ix_identity_implied_roles_implied_id", "implied_id"),
)

assignments = Table(
    "identity_assignments", metadata,
    Column("actor_id", Id, primary_key=True),
    Column("target_id", Id, primary_key=True),
    Column("role_id", Id, primary_key=True),
    Column("inherited", Boolean, primary_key=True, default=False, server_default=false()),
    Column("actor", String(5), nullable=False),                 # user, group
    Column("target", String(7), nullable=False),                # project, domain, system (target_id "system")
    Index("ix_identity_assignments_target_id", "target_id"),
    Index("ix_identity_assignments_role_id", "role_id"),
)

regions = Table(
    "identity_regions", metadata,
    Column("id", Name, primary_key=True),
    Column("description", Long, nullable=False),
    Column("parent_region_id", Name),
    Column("extra", Json, nullable=False),
)

services = Table(
    "identity_services", metadata,
    Column("id", Id, primary_key=True),
    Column("type", Name, nullable=False),
    Column("name", Name),
    Column("description", Long),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("extra", Json, nullable=False),
)

endpoints = Table(
    "identity_endpoints", metadata,
    Column("id", Id, primary_key=True),
    Column("service_id", Id, nullable=False),
    Column("region_id", Name),
    Column("interface", String(8), nullable=False),
    Column("url", Long, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("extra", Json, nullable=False),
    Index("ix_identity_endpoints_service_id", "service_id"),
)

application_credentials = Table(
    "identity_application_credentials", metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("name", Name, nullable=False),
    Column("secret_hash", String(255), nullable=False),
    Column("description", Long),
    Column("expires_at", Instant),
    Column("unrestricted", Boolean, nullable=False, default=False, server_default=false()),
    Column("system", String(64)),
    Column("roles", Json, nullable=False),                      # role ids
    Column("access_rules", Json, nullable=False),               # access rule ids
    UniqueConstraint("user_id", "name"),
    Index("ix_identity_application_credentials_project_id", "project_id"),
)

access_rules = Table(
    "identity_access_rules", metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("service", Name, nullable=False),
    Column("path", Long, nullable=False),
    Column("method", String(16), nullable=False),
    Index("ix_identity_access_rules_user_id", "user_id"),
)

credentials = Table(
    "identity_credentials", metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("project_id", Id),
    Column("type", Name, nullable=False),
    Column("sealed", LargeBinary, nullable=False),              # the blob, encrypted under the cluster key
    Column("extra", Json, nullable=False),
    Index("ix_identity_credentials_user_id", "user_id"),
)

trusts = Table(
    "identity_trusts", metadata,
    Column("id", Id, primary_key=True),
    Column("trustor_user_id", Id, nullable=False),
    Column("trustee_user_id", Id, nullable=False),
    Column("project_id", Id),
    Column("impersonation", Boolean, nullable=False),
    Column("deleted_at", Instant),
    Column("expires_at", Instant),
    Column("remaining_uses", Integer),
    Column("redelegated_trust_id", Id),
    Column("redelegation_count", Integer, nullable=False, default=0, server_default="0"),
    Column("roles", Json, nullable=False),                      # role ids
    Column("extra", Json, nullable=False),
    Index("ix_identity_trusts_trustor_user_id", "trustor_user_id"),
    Index("ix_identity_trusts_trustee_user_id", "trustee_user_id"),
)

revocations = Table(
    "identity_revocations", metadata,
    Column("audit_id", String(32), primary_key=True),
    Column("chain", Boolean, primary_key=True, default=False, server_default=false()),
    Column("revoked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),              # when the revoked token would have ended anyway
    Index("ix_identity_revocations_expires_at", "expires_at"),
)

registered_limits = Table(
    "identity_registered_limits", metadata,
    Column("id", Id, primary_key=True),
    Column("service_id", Id, nullable=False),
    Column("region_id", Name),
    Column("resource_name", Name, nullable=False),
    Column("default_limit", BigInteger, nullable=False),
    Column("description", Long),
)

limits = Table(
    "identity_limits", metadata,
    Column("id", Id, primary_key=True),
    Column("registered_limit_id", Id, nullable=False),
    Column("project_id", Id),
    Column("domain_id", Id),
    Column("resource_limit", BigInteger, nullable=False),
    Column("description", Long),
    Index("ix_identity_limits_registered_limit_id", "registered_limit_id"),
)

endpoint_groups = Table(
    "identity_endpoint_groups", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("description", Long),
    Column("filters", Json, nullable=False),                    # service_id, region_id, interface
)

project_endpoint_groups = Table(
    "identity_project_endpoint_groups", metadata,
    Column("endpoint_group_id", Id, primary_key=True),
    Column("project_id", Id, primary_key=True),
    Index("ix_identity_project_endpoint_groups_project_id", "project_id"),
)

project_endpoints = Table(
    "identity_project_endpoints", metadata,
    Column("endpoint_id", Id, primary_key=True),
    Column("project_id", Id, primary_key=True),
    Index("ix_identity_project_endpoints_project_id", "project_id"),
)

policies = Table(
    "identity_policies", metadata,
    Column("id", Id, primary_key=True),
    Column("type", Name, nullable=False),
    Column("blob", Long, nullable=False),
    Column("extra", Json, nullable=False),
)
"""Policy files that Identity keeps for others, who read them; nothing here acts on them."""

policy_associations = Table(
    "identity_policy_associations", metadata,
    Column("id", Id, primary_key=True),                         # a digest of the three below: one policy for each
    Column("policy_id", Id, nullable=False),
    Column("endpoint_id", Id),
    Column("service_id", Id),
    Column("region_id", Name),
    Index("ix_identity_policy_associations_policy_id", "policy_id"),
)

domain_config = Table(
    "identity_domain_config", metadata,
    Column("domain_id", Id, primary_key=True),
    Column("section", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),              # the value in JSON, encrypted under the cluster key
)

consumers = Table(
    "identity_consumers", metadata,
    Column("id", Id, primary_key=True),
    Column("description", Long),
    Column("sealed", LargeBinary, nullable=False),              # its secret
    Column("extra", Json, nullable=False),
)

request_tokens = Table(
    "identity_request_tokens", metadata,
    Column("id", Id, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),              # its secret
    Column("consumer_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id),                                      # who authorized it
    Column("roles", Json),
    Column("verifier", String(32)),
    Column("expires_at", Instant),
    Index("ix_identity_request_tokens_consumer_id", "consumer_id"),
)

access_tokens = Table(
    "identity_access_tokens", metadata,
    Column("id", Id, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),              # its secret
    Column("consumer_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("roles", Json, nullable=False),
    Column("expires_at", Instant),
    Index("ix_identity_access_tokens_consumer_id", "consumer_id"),
    Index("ix_identity_access_tokens_user_id", "user_id"),
)

identity_providers = Table(
    "identity_providers", metadata,
    Column("id", Id, primary_key=True),
    Column("domain_id", Id, nullable=False),
    Column("enabled", Boolean, nullable=False, default=False, server_default=false()),
    Column("description", Long),
    Column("authorization_ttl", Integer),                       # minutes
)

remote_ids = Table(
    "identity_remote_ids", metadata,
    Column("remote_id", Name, primary_key=True),
    Column("idp_id", Id, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_identity_remote_ids_idp_id", "idp_id"),
)

mappings = Table(
    "identity_mappings", metadata,
    Column("id", Id, primary_key=True),
    Column("rules", Json, nullable=False),
    Column("schema_version", String(8), nullable=False),
)

protocols = Table(
    "identity_protocols", metadata,
    Column("idp_id", Id, primary_key=True),
    Column("id", Id, primary_key=True),
    Column("mapping_id", Id, nullable=False),
    Column("remote_id_attribute", Name),
)

service_providers = Table(
    "identity_service_providers", metadata,
    Column("id", Id, primary_key=True),
    Column("enabled", Boolean, nullable=False, default=False, server_default=false()),
    Column("description", Long),
    Column("auth_url", Long, nullable=False),
    Column("sp_url", Long, nullable=False),
    Column("relay_state_prefix", Name),
)
