"""Upstream's rules by name, with upstream's defaults (2026.2).

``_here(rule)`` stands for a scope type without ``domain``: a token of a domain isn't good for it.
"""

from __future__ import annotations

ADMIN = "rule:admin_required"
SYSTEM_READER = "(role:reader and system_scope:all)"
ADMIN_OR_SYSTEM_READER = f"{ADMIN} or {SYSTEM_READER}"
OWNER = "user_id:%(user_id)s"
TARGET_OWNER = "user_id:%(target.user.id)s"
CREDENTIAL_OWNER = "user_id:%(target.credential.user_id)s"


def _here(rule: str) -> str:
    return f"domain_id:None and ({rule})"


def _in_project(rule: str) -> str:
    return f"not project_id:None and ({rule})"


def _all(rule: str, names: str) -> dict[str, str]:
    return {f"identity:{name}": rule for name in names.split()}


def _in_domain(role: str, of: str) -> str:
    return f"(role:{role} and domain_id:%(target.{of}.domain_id)s)"


def _grants(role: str) -> str:
    """A domain's *role*, where both the actor and the target are in that domain."""
    actors = ("domain_id:%(target.user.domain_id)s", "domain_id:%(target.group.domain_id)s")
    targets = ("domain_id:%(target.project.domain_id)s", "domain_id:%(target.domain.id)s")
    return "(" + " or ".join(f"(role:{role} and {a} and {t})" for a in actors for t in targets) + ")"


_ROLE_IN_DOMAIN = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"
_PROJECT_DOMAIN = "domain_id:%(target.project.domain_id)s and not None:%(target.project.domain_id)s"
_SEE_PROJECT = (f"{ADMIN_OR_SYSTEM_READER} or (role:reader and {_PROJECT_DOMAIN}) or "
                "project_id:%(target.project.id)s")
_MANAGE_PROJECT = f"{ADMIN} or (role:manager and {_PROJECT_DOMAIN})"
_LIST_IN_DOMAIN = f"{ADMIN_OR_SYSTEM_READER} or (role:reader and domain_id:%(target.domain_id)s)"
_SEE_DOMAIN = (f"{ADMIN_OR_SYSTEM_READER} or token.domain.id:%(target.domain.id)s or "
               "token.project.domain.id:%(target.domain.id)s")
_SEE_GRANT = f"{ADMIN_OR_SYSTEM_READER} or ({_grants('reader')} and {_ROLE_IN_DOMAIN})"
_SEE_CREDENTIAL = f"{ADMIN_OR_SYSTEM_READER} or {CREDENTIAL_OWNER}"
_TRUSTOR, _TRUSTEE = "user_id:%(target.trust.trustor_user_id)s", "user_id:%(target.trust.trustee_user_id)s"

RULES: dict[str, str] = {
    "admin_required": "role:admin",
    "service_role": "role:service",
    "service_or_admin": "rule:admin_required or rule:service_role",
    "owner": OWNER,
    "admin_or_owner": "rule:admin_required or rule:owner",
    "token_subject": "user_id:%(target.token.user_id)s",
    "admin_or_token_subject": "rule:admin_required or rule:token_subject",
    "service_admin_or_token_subject": "rule:service_or_admin or rule:token_subject",
    "domain_managed_target_role": ("'manager':%(target.role.name)s or 'member':%(target.role.name)s or "
                                   "'reader':%(target.role.name)s"),
    "identity:any_token": "@",

    **_all("", "get_auth_catalog get_auth_projects get_auth_domains get_auth_system list_projects_for_user "
               "list_domains_for_user get_region list_regions get_registered_limit list_registered_limits list_limits "
               "get_limit_model change_password get_security_compliance_domain_config"),
    **_all(f"{ADMIN} or {SYSTEM_READER} or rule:token_subject", "check_token"),
    **_all(f"{ADMIN} or {SYSTEM_READER} or rule:service_role or rule:token_subject", "validate_token"),
    **_all(f"{ADMIN} or rule:token_subject", "revoke_token"),
    **_all("rule:service_or_admin", "ec2tokens_validate s3tokens_validate list_revoke_events"),

    **_all(_SEE_DOMAIN, "get_domain"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or (role:reader and domain_id:%(target.domain.id)s)", "list_domains"),
    **_all(_here(ADMIN), "create_domain update_domain delete_domain"),

    **_all(_SEE_PROJECT, "get_project list_project_tags get_project_tag"),
    **_all(_LIST_IN_DOMAIN, "list_projects"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or {_in_domain('reader', 'user')} or {TARGET_OWNER}", "list_user_projects"),
    **_all(_MANAGE_PROJECT, "create_project update_project delete_project update_project_tags create_project_tag "
                            "delete_project_tags delete_project_tag"),

    **_all(f"{ADMIN_OR_SYSTEM_READER} or {_in_domain('reader', 'user')} or {TARGET_OWNER}", "get_user"),
    **_all(_LIST_IN_DOMAIN, "list_users"),
    **_all(f"{ADMIN} or {_in_domain('manager', 'user')}", "create_user update_user delete_user"),

    **_all(f"{ADMIN_OR_SYSTEM_READER} or {_in_domain('reader', 'group')}", "get_group list_groups list_users_in_group"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or {_in_domain('reader', 'user')} or {OWNER}", "list_groups_for_user"),
    **_all(f"{ADMIN} or {_in_domain('manager', 'group')}", "create_group update_group delete_group"),
    **_all(f"{ADMIN} or (role:manager and domain_id:%(target.group.domain_id)s and "
           "domain_id:%(target.user.domain_id)s)", "remove_user_from_group add_user_to_group"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or (role:reader and domain_id:%(target.group.domain_id)s and "
           "domain_id:%(target.user.domain_id)s)", "check_user_in_group"),

    **_all(f"{ADMIN_OR_SYSTEM_READER} or (role:manager and rule:domain_managed_target_role)", "get_role"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or (role:manager and not domain_id:None)", "list_roles"),
    **_all(_here(ADMIN_OR_SYSTEM_READER), "get_domain_role list_domain_roles get_implied_role list_implied_roles "
                                          "list_role_inference_rules check_implied_role"),
    **_all(_here(ADMIN), "create_role update_role delete_role create_domain_role update_domain_role "
                         "delete_domain_role create_implied_role delete_implied_role"),

    **_all(_SEE_GRANT, "check_grant"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or {_grants('reader')}", "list_grants"),
    **_all(f"{ADMIN} or ({_grants('admin')} and {_ROLE_IN_DOMAIN}) or ({_grants('manager')} and "
           "rule:domain_managed_target_role)", "create_grant revoke_grant"),
    **_all(_here(ADMIN_OR_SYSTEM_READER), "list_system_grants_for_user check_system_grant_for_user "
                                          "list_system_grants_for_group check_system_grant_for_group"),
    **_all(_here(ADMIN), "create_system_grant_for_user revoke_system_grant_for_user create_system_grant_for_group "
                         "revoke_system_grant_for_group"),
    **_all(_LIST_IN_DOMAIN, "list_role_assignments"),
    **_all(f"{_LIST_IN_DOMAIN} or (role:reader and domain_id:%(target.project.domain_id)s) or "
           "(role:admin and project_id:%(target.project.id)s)", "list_role_assignments_for_tree"),

    **_all(_here(ADMIN_OR_SYSTEM_READER), "get_service list_services get_endpoint list_endpoints"),
    **_all(_here(ADMIN), "create_region update_region delete_region create_service update_service delete_service "
                         "create_endpoint update_endpoint delete_endpoint"),

    **_all(_here(f"{ADMIN_OR_SYSTEM_READER} or {OWNER}"), "get_application_credential list_application_credentials"),
    **_all(_in_project(OWNER), "create_application_credential"),
    **_all(_here(f"{ADMIN} or {OWNER}"), "delete_application_credential"),
    **_all(_here(f"{SYSTEM_READER} or {TARGET_OWNER}"), "get_access_rule list_access_rules"),
    **_all(_here(f"(role:admin and system_scope:all) or {TARGET_OWNER}"), "delete_access_rule"),

    **_all(_SEE_CREDENTIAL, "get_credential list_credentials"),
    **_all(f"{ADMIN} or {CREDENTIAL_OWNER}", "create_credential update_credential delete_credential"),
    **_all(_here(_SEE_CREDENTIAL), "ec2_get_credential"),
    **_all(_here(f"{ADMIN_OR_SYSTEM_READER} or {OWNER}"), "ec2_list_credentials"),
    **_all(_here(f"{ADMIN} or (role:member and {CREDENTIAL_OWNER})"), "ec2_create_credential ec2_delete_credential"),

    **_all(_in_project(_TRUSTOR), "create_trust"),
    **_all(_here(ADMIN_OR_SYSTEM_READER), "list_trusts"),
    **_all(_here(f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTOR}"), "list_trusts_for_trustor"),
    **_all(_here(f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTEE}"), "list_trusts_for_trustee"),
    **_all(_here(f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTOR} or {_TRUSTEE}"),
           "get_trust list_roles_for_trust get_role_for_trust"),
    **_all(_here(f"{ADMIN} or {_TRUSTOR}"), "delete_trust"),

    **_all(_here(ADMIN), "create_registered_limits update_registered_limit delete_registered_limit create_limits "
                         "update_limit delete_limit"),
    **_all(f"{ADMIN_OR_SYSTEM_READER} or domain_id:%(target.limit.domain.id)s or "
           "domain_id:%(target.limit.project.domain_id)s or (project_id:%(target.limit.project_id)s and "
           "not None:%(target.limit.project_id)s)", "get_limit"),

    **_all(_here(ADMIN_OR_SYSTEM_READER),
           "list_endpoint_groups get_endpoint_group list_endpoints_associated_with_endpoint_group "
           "list_projects_associated_with_endpoint_group get_endpoint_group_in_project "
           "list_endpoint_groups_for_project list_endpoints_for_project check_endpoint_in_project "
           "list_projects_for_endpoint"),
    **_all(_here(ADMIN), "create_endpoint_group update_endpoint_group delete_endpoint_group "
                         "add_endpoint_group_to_project remove_endpoint_group_from_project add_endpoint_to_project "
                         "remove_endpoint_from_project"),

    **_all(_here(ADMIN_OR_SYSTEM_READER),
           "list_policies get_policy list_endpoints_for_policy get_policy_for_endpoint "
           "check_policy_association_for_endpoint check_policy_association_for_service "
           "check_policy_association_for_region_and_service"),
    **_all(_here(ADMIN), "create_policy update_policy delete_policy create_policy_association_for_endpoint "
                         "delete_policy_association_for_endpoint create_policy_association_for_service "
                         "delete_policy_association_for_service create_policy_association_for_region_and_service "
                         "delete_policy_association_for_region_and_service"),

    **_all(_here(ADMIN_OR_SYSTEM_READER), "get_domain_config get_domain_config_default"),
    **_all(_here(ADMIN), "create_domain_config update_domain_config delete_domain_config"),

    **_all(_here(ADMIN_OR_SYSTEM_READER), "list_consumers get_consumer"),
    **_all(_here(ADMIN), "create_consumer update_consumer delete_consumer"),
    **_all(_in_project(ADMIN), "authorize_request_token"),
    **_all(_in_project(ADMIN), "get_access_token get_access_token_role list_access_tokens list_access_token_roles "
                               "delete_access_token"),

    **_all(_here(ADMIN_OR_SYSTEM_READER),
           "list_identity_providers get_identity_provider list_protocols get_protocol list_mappings get_mapping "
           "list_service_providers get_service_provider"),
    **_all(_here(ADMIN),
           "create_identity_provider update_identity_provider delete_identity_provider create_protocol "
           "update_protocol delete_protocol create_mapping update_mapping delete_mapping create_service_provider "
           "update_service_provider delete_service_provider"),
}
