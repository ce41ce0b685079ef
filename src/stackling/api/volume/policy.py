"""Cinder's policies: names and default rules of its release 28 (cinder/policies)."""

from __future__ import annotations

from collections.abc import Iterable

_ADMIN = "rule:admin_api"
_READER = "rule:xena_system_admin_or_project_reader"
_MEMBER = "rule:xena_system_admin_or_project_member"


def _all(rule: str, prefix: str, names: str) -> dict[str, str]:
    found: Iterable[str] = names.split()
    return {f"{prefix}{name}": rule for name in found}


RULES: dict[str, str] = {
    "admin_or_owner": "role:admin or project_id:%(project_id)s",
    "admin_api": "role:admin",
    "default": "rule:admin_or_owner",
    "xena_system_admin_or_project_reader": "(role:admin) or (role:reader and project_id:%(project_id)s)",
    "xena_system_admin_or_project_member": "(role:admin) or (role:member and project_id:%(project_id)s)",
    # volumes
    **_all(_READER, "volume:", "get get_all get_volume_metadata get_snapshot get_all_snapshots get_snapshot_metadata "
           "get_transfer get_all_transfers"),
    **_all(_MEMBER, "volume:", "create create_from_image update delete create_volume_metadata update_volume_metadata "
           "delete_volume_metadata create_snapshot update_snapshot delete_snapshot update_snapshot_metadata "
           "delete_snapshot_metadata extend extend_attached_volume retype update_readonly_flag revert_to_snapshot "
           "reimage reimage_reserved multiattach create_transfer accept_transfer delete_transfer attachment_create "
           "attachment_update attachment_delete attachment_complete multiattach_bootable_volume"),
    **_all(_ADMIN, "volume:", "force_delete force_detach freeze_host thaw_host failover_host get_snapshots_all_tenants "
           "update_volume_admin_metadata extend_volume_completed"),
    # extensions
    **_all(_MEMBER, "volume_extension:volume_actions:", "upload_image roll_detaching begin_detaching attach detach "
           "reserve unreserve initialize_connection terminate_connection"),
    "volume_extension:volume_actions:upload_public": _ADMIN,
    **_all(_READER, "volume_extension:", "volume_image_metadata:show volume_tenant_attribute type_get type_get_all "
           "volume_encryption_metadata quotas:show list_extensions access_types_extra_specs"),
    **_all(_MEMBER, "volume_extension:", "volume_image_metadata:set volume_image_metadata:remove volume_type_access"),
    **_all(_ADMIN, "volume_extension:", "volume_host_attribute volume_admin_actions:reset_status "
           "volume_admin_actions:force_delete volume_admin_actions:force_detach volume_admin_actions:migrate_volume "
           "volume_admin_actions:migrate_volume_completion snapshot_admin_actions:reset_status "
           "snapshot_admin_actions:force_delete backup_admin_actions:reset_status backup_admin_actions:force_delete "
           "type_create type_update type_delete types_extra_specs:create types_extra_specs:update "
           "types_extra_specs:delete volume_type_access:addProjectAccess volume_type_access:removeProjectAccess "
           "volume_type_access:get_all_for_type volume_type_encryption:create volume_type_encryption:get "
           "volume_type_encryption:update volume_type_encryption:delete qos_specs_manage:create "
           "qos_specs_manage:get_all qos_specs_manage:get qos_specs_manage:update qos_specs_manage:delete "
           "quotas:update quotas:delete quota_classes:get quota_classes:update services:index services:update hosts "
           "capabilities volume_manage volume_unmanage snapshot_manage snapshot_unmanage default_get default_get_all "
           "default_set_or_update default_unset list_manageable volume_mig_status_attribute "
           "access_types_qos_specs_id types_extra_specs:read_sensitive"),
    "volume_extension:snapshot_actions:update_snapshot_status": _ADMIN,
    "volume_extension:extended_snapshot_attributes": _READER,
    "volume_extension:types_extra_specs:index": _READER, "volume_extension:types_extra_specs:show": _READER,
    "volume_extension:availability_zone_list": "", "volume_extension:quota_classes": _ADMIN,
    "limits_extension:used_limits": _READER,
    "scheduler_extension:scheduler_stats:get_pools": _ADMIN,
    "snapshot_extension:snapshot_manage": _ADMIN, "snapshot_extension:list_manageable": _ADMIN,
    "snapshot_extension:snapshot_unmanage": _ADMIN, "volume_extension:volume_manage": _ADMIN,
    "snapshot_extension:snapshot_actions:update_snapshot_status": _MEMBER,
    # backups, groups, messages
    **_all(_READER, "backup:", "get get_all"),
    **_all(_MEMBER, "backup:", "create delete restore update"),
    **_all(_ADMIN, "backup:", "backup-import export-import backup-export backup_project_attribute"),
    **_all(_READER, "message:", "get get_all"), "message:delete": _MEMBER,
    **_all(_READER, "group:", "get get_all get_group_snapshot get_all_group_snapshots"),
    **_all(_MEMBER, "group:", "create create_from update delete create_group_snapshot update_group_snapshot "
           "delete_group_snapshot enable_replication disable_replication failover_replication "
           "list_replication_targets"),
    **_all(_ADMIN, "group:", "access_group_types_specs group_project_attribute group_snapshot_project_attribute "
           "reset_status reset_group_snapshot_status group_types:create group_types:update "
           "group_types:delete group_types_specs group_types_specs:get group_types_specs:get_all "
           "group_types_specs:create group_types_specs:update group_types_specs:delete"),
    **_all(_ADMIN, "clusters:", "get_all get update"), "workers:cleanup": _ADMIN,
}
