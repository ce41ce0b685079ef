"""Who may do what with our own API."""

RULES = {
    "admin_or_owner": "role:admin or (role:reader and project_id:%(project_id)s)",
    "admin": "role:admin",
    "stackling:any": "@",
    "stackling:explain": "rule:admin_or_owner",
    "stackling:events": "role:admin or role:reader",
    "stackling:events:all": "rule:admin",
    "stackling:audit": "rule:admin",
    "stackling:storage_audit": "rule:admin",
    "stackling:settings": "rule:admin",
    "stackling:work": "rule:admin",
    "stackling:metrics": "role:admin or role:reader",
    "stackling:machines:show": "rule:admin",
    "stackling:machines:action": "rule:admin",
}
