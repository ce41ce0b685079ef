"""Who may do what in Placement: upstream's rule names and defaults."""

_ADMIN_OR_SERVICE = (
    "resource_providers:list", "resource_providers:create", "resource_providers:show", "resource_providers:update",
    "resource_providers:delete", "resource_providers:inventories:list", "resource_providers:inventories:create",
    "resource_providers:inventories:show", "resource_providers:inventories:update",
    "resource_providers:inventories:delete", "resource_providers:usages", "resource_providers:traits:list",
    "resource_providers:traits:update", "resource_providers:traits:delete", "resource_providers:aggregates:list",
    "resource_providers:aggregates:update", "resource_providers:allocations:list", "allocations:list",
    "allocations:manage", "allocations:update", "allocations:delete", "allocation_candidates:list",
    "resource_classes:list", "resource_classes:create", "resource_classes:show", "resource_classes:update",
    "resource_classes:delete", "traits:list", "traits:show", "traits:update", "traits:delete",
)
RULES = {
    "admin_api": "role:admin", "service_api": "role:service", "admin_or_service_api": "role:admin or role:service",
    "project_reader_api": "role:reader and project_id:%(project_id)s",
    "admin_or_project_reader_or_service_api": "role:admin or rule:project_reader_api or role:service",
    **{f"placement:{name}": "rule:admin_or_service_api" for name in _ADMIN_OR_SERVICE},
    "placement:reshaper:reshape": "rule:service_api",
    "placement:usages": "rule:admin_or_project_reader_or_service_api",
}
