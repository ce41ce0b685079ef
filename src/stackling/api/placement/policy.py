"""Who may do what in Placement: upstream's rule names and defaults."""

RULES = {
    "admin_api": "role:admin", "service_api": "role:service", "admin_or_service": "role:admin or role:service",
    "placement:resource_providers:list": "rule:admin_or_service",
    "placement:resource_providers:show": "rule:admin_or_service",
    "placement:resource_providers:inventories:list": "rule:admin_or_service",
    "placement:resource_providers:inventories:show": "rule:admin_or_service",
    "placement:resource_providers:usages": "rule:admin_or_service",
    "placement:resource_providers:traits:list": "rule:admin_or_service",
    "placement:resource_providers:aggregates:list": "rule:admin_or_service",
    "placement:resource_providers:allocations:list": "rule:admin_or_service",
    "placement:allocations:list": "rule:admin_or_service",
    "placement:allocation_candidates:list": "rule:admin_or_service",
    "placement:resource_classes:show": "rule:admin_or_service",
    "placement:traits:show": "rule:admin_or_service",
    "placement:resource_classes:list": "rule:admin_or_service",
    "placement:usages": "role:reader and project_id:%(project_id)s or rule:admin_or_service",
    "placement:traits:list": "rule:admin_or_service",
}
