"""Who may do what in Compute: Nova's rule names and default check strings."""

from __future__ import annotations

_A = "rule:context_is_admin"
_M = "rule:project_member_or_admin"
_R = "rule:project_reader_or_admin"
_MANAGER = "rule:project_manager_or_admin"
_SERVICE = "rule:service_or_admin"
_OWN_KEY = "rule:context_is_admin or user_id:%(user_id)s"
_ANY = "@"

_BASE = {
    "context_is_admin": "role:admin",
    "admin_api": "role:admin",
    "project_manager_api": "role:manager and project_id:%(project_id)s",
    "project_member_api": "role:member and project_id:%(project_id)s",
    "project_reader_api": "role:reader and project_id:%(project_id)s",
    "service_api": "role:service",
    "project_manager_or_admin": "rule:project_manager_api or rule:context_is_admin",
    "project_member_or_admin": "rule:project_member_api or rule:context_is_admin",
    "project_reader_or_admin": "rule:project_reader_api or rule:context_is_admin",
    "service_or_admin": "rule:service_api or rule:context_is_admin",
}
_SERVERS = {
    "index": _R, "detail": _R, "index:get_all_tenants": _A, "detail:get_all_tenants": _A, "allow_all_filters": _A,
    "show": _R, "show:flavor-extra-specs": _R, "show:host_status": _A, "show:host_status:unknown-only": _A,
    "create": _M, "create:forced_host": _A, "create:attach_volume": _M, "create:attach_network": _M,
    "create:trusted_certs": _M, "create:zero_disk_flavor": _A, "delete": _M, "update": _M, "confirm_resize": _M,
    "revert_resize": _M, "reboot": _M, "resize": _M, "rebuild": _M, "rebuild:trusted_certs": _M, "create_image": _M,
    "create_image:allow_volume_backed": _M, "start": _M, "stop": _M, "trigger_crash_dump": _M,
    "migrations:show": _A, "migrations:force_complete": _MANAGER, "migrations:delete": _MANAGER,
    "migrations:index": _MANAGER, "migrations:index:host": _A, "action": _ANY,
}
_OTHERS = {
    "os-admin-actions:reset_state": _A, "os-admin-actions:inject_network_info": _A, "os-admin-password": _M,
    "os-aggregates:set_metadata": _A, "os-aggregates:add_host": _A, "os-aggregates:create": _A,
    "os-aggregates:remove_host": _A, "os-aggregates:update": _A, "os-aggregates:index": _A, "os-aggregates:delete": _A,
    "os-aggregates:show": _A, "os-assisted-volume-snapshots:create": _SERVICE,
    "os-assisted-volume-snapshots:delete": _SERVICE, "os-attach-interfaces:list": _R, "os-attach-interfaces:show": _R,
    "os-attach-interfaces:create": _M, "os-attach-interfaces:delete": _M, "os-availability-zone:list": _ANY,
    "os-availability-zone:detail": _A, "os-baremetal-nodes:list": _A, "os-baremetal-nodes:show": _A,
    "os-console-auth-tokens": _A, "os-console-output": _M, "os-create-backup": _M, "os-deferred-delete:restore": _M,
    "os-deferred-delete:force": _M, "os-evacuate": _A, "os-extended-server-attributes": _A, "extensions": _ANY,
    "os-flavor-access:add_tenant_access": _A, "os-flavor-access:remove_tenant_access": _A, "os-flavor-access": _A,
    "os-flavor-extra-specs:show": _R, "os-flavor-extra-specs:create": _A, "os-flavor-extra-specs:update": _A,
    "os-flavor-extra-specs:delete": _A, "os-flavor-extra-specs:index": _R, "os-flavor-manage:create": _A,
    "os-flavor-manage:update": _A, "os-flavor-manage:delete": _A, "os-floating-ip-pools": _ANY,
    "os-floating-ips:add": _M, "os-floating-ips:remove": _M, "os-floating-ips:list": _R, "os-floating-ips:create": _M,
    "os-floating-ips:show": _R, "os-floating-ips:delete": _M, "os-hosts:list": _A, "os-hosts:show": _A,
    "os-hosts:update": _A, "os-hosts:reboot": _A, "os-hosts:shutdown": _A, "os-hosts:start": _A,
    "os-hypervisors:list": _A, "os-hypervisors:list-detail": _A, "os-hypervisors:statistics": _A,
    "os-hypervisors:show": _A, "os-hypervisors:uptime": _A, "os-hypervisors:search": _A, "os-hypervisors:servers": _A,
    "os-instance-actions:events:details": _A, "os-instance-actions:events": _A, "os-instance-actions:list": _R,
    "os-instance-actions:show": _R, "os-instance-usage-audit-log:list": _A, "os-instance-usage-audit-log:show": _A,
    "ips:show": _R, "ips:index": _R, "os-keypairs:index": _OWN_KEY, "os-keypairs:create": _OWN_KEY,
    "os-keypairs:delete": _OWN_KEY, "os-keypairs:show": _OWN_KEY, "limits": _ANY, "limits:other_project": _A,
    "os-lock-server:lock": _M, "os-lock-server:unlock": _M, "os-lock-server:unlock:unlock_override": _A,
    "os-migrate-server:migrate": _MANAGER, "os-migrate-server:migrate:host": _A,
    "os-migrate-server:migrate_live": _MANAGER, "os-migrate-server:migrate_live:host": _A,
    "os-migrations:index": _MANAGER, "os-migrations:index:all_projects": _A, "os-migrations:index:host": _A,
    "os-multinic:add": _M, "os-multinic:remove": _M, "os-networks:list": _R, "os-networks:show": _R,
    "os-pause-server:pause": _M, "os-pause-server:unpause": _M, "os-quota-class-sets:show": _A,
    "os-quota-class-sets:update": _A, "os-quota-sets:update": _A, "os-quota-sets:defaults": _ANY,
    "os-quota-sets:show": _R, "os-quota-sets:delete": _A, "os-quota-sets:detail": _R, "os-remote-consoles": _M,
    "os-rescue": _M, "os-unrescue": _M, "os-security-groups:get": _R, "os-security-groups:show": _R,
    "os-security-groups:create": _M, "os-security-groups:update": _M, "os-security-groups:delete": _M,
    "os-security-groups:rule:create": _M, "os-security-groups:rule:delete": _M, "os-security-groups:list": _R,
    "os-security-groups:add": _M, "os-security-groups:remove": _M, "os-server-diagnostics": _A,
    "os-server-external-events:create": _SERVICE, "os-server-groups:create": _M, "os-server-groups:delete": _M,
    "os-server-groups:index": _R, "os-server-groups:index:all_projects": _A, "os-server-groups:show": _R,
    "server-metadata:index": _R, "server-metadata:show": _R, "server-metadata:create": _M,
    "server-metadata:update_all": _M, "server-metadata:update": _M, "server-metadata:delete": _M,
    "os-server-password:show": _R, "os-server-password:clear": _M, "os-server-tags:delete_all": _M,
    "os-server-tags:index": _R, "os-server-tags:update_all": _M, "os-server-tags:delete": _M,
    "os-server-tags:update": _M, "os-server-tags:show": _R, "os-services:list": _A, "os-services:update": _A,
    "os-services:delete": _A, "os-shelve:shelve": _M, "os-shelve:unshelve": _M, "os-shelve:unshelve_to_host": _A,
    "os-shelve:shelve_offload": _A, "os-simple-tenant-usage:show": _R, "os-simple-tenant-usage:list": _A,
    "os-suspend-server:resume": _M, "os-suspend-server:suspend": _M, "os-tenant-networks:list": _R,
    "os-tenant-networks:show": _R, "os-volumes-attachments:index": _R, "os-volumes-attachments:create": _M,
    "os-volumes-attachments:show": _R, "os-volumes-attachments:update": _M, "os-volumes-attachments:swap": _SERVICE,
    "os-volumes-attachments:delete": _M,
    **{f"os-volumes:{kind}{name}": check for kind in ("", "snapshots:") for name, check in (
        ("list", _R), ("detail", _R), ("show", _R), ("create", _M), ("delete", _M))},
    "flavors": _ANY, "images": _ANY, "images:change": _M,
}
RULES: dict[str, str] = {
    **_BASE,
    **{f"os_compute_api:servers:{name}": check for name, check in _SERVERS.items()},
    **{f"os_compute_api:{name}": check for name, check in _OTHERS.items()},
    "compute:servers:create:requested_destination": _A,
    "compute:server:topology:index": _R,
    "compute:server:topology:host:index": _A,
    "compute:aggregates:images": _A,
    "network:attach_external_network": _A,
}
