"""Who may do what: Octavia's rule names and default check strings (octavia/policies).

The roles ``load-balancer_*`` of Octavia's advanced access control mean what they mean there, beside Keystone's default
roles; who wants them makes them.
"""

from __future__ import annotations

API = "os_load-balancer_api"
READ, READ_ALL, WRITE, ADMIN = (f"rule:load-balancer:{name}" for name in ("read", "read-global", "write", "admin"))

RULES: dict[str, str] = {
    "context_is_admin": "role:admin or role:load-balancer_admin",
    "project-member": "role:member and project_id:%(project_id)s",
    "project-reader": "role:reader and project_id:%(project_id)s",
    "service": "role:service",
    "load-balancer:owner": "project_id:%(project_id)s",
    "load-balancer:admin": "role:admin or role:load-balancer_admin",
    "load-balancer:global_observer": "role:admin or role:load-balancer_global_observer",
    "load-balancer:member_and_owner":
        "rule:project-member or (role:load-balancer_member and rule:load-balancer:owner)",
    "load-balancer:observer_and_owner":
        "rule:project-reader or (role:load-balancer_observer and rule:load-balancer:owner)",
    "load-balancer:quota-admin": "role:admin or role:load-balancer_quota_admin",
    "load-balancer:read": "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
                          "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    "load-balancer:read-global": "rule:load-balancer:global_observer or rule:load-balancer:admin",
    "load-balancer:write": "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    "load-balancer:read-quota": "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
                                "rule:load-balancer:member_and_owner or rule:load-balancer:quota-admin or "
                                "rule:load-balancer:admin",
    "load-balancer:read-quota-global":
        "rule:load-balancer:global_observer or rule:load-balancer:quota-admin or rule:load-balancer:admin",
    "load-balancer:write-quota": "rule:load-balancer:quota-admin or rule:load-balancer:admin",
}


def _resource(name: str, read: str = READ) -> dict[str, str]:
    return {f"{API}:{name}:get_all": read, f"{API}:{name}:get_all-global": READ_ALL, f"{API}:{name}:get_one": read,
            f"{API}:{name}:post": WRITE, f"{API}:{name}:put": WRITE, f"{API}:{name}:delete": WRITE}


def _administered(name: str, read: str) -> dict[str, str]:
    return {**{f"{API}:{name}:{action}": ADMIN for action in ("post", "put", "delete")},
            **{f"{API}:{name}:{action}": read for action in ("get_all", "get_one")}}


RULES |= {
    **_resource("loadbalancer"), f"{API}:loadbalancer:post:vip_sg_ids": WRITE,
    f"{API}:loadbalancer:put:vip_sg_ids": WRITE, f"{API}:loadbalancer:get_stats": READ,
    f"{API}:loadbalancer:get_status": READ, f"{API}:loadbalancer:put_failover": ADMIN,
    **_resource("listener"), f"{API}:listener:get_stats": READ,
    **_resource("pool"), **_resource("member", f"{READ} or rule:service"), **_resource("healthmonitor"),
    **_resource("l7policy"), **_resource("l7rule"),
    f"{API}:quota:get_all": "rule:load-balancer:read-quota",
    f"{API}:quota:get_all-global": "rule:load-balancer:read-quota-global",
    f"{API}:quota:get_one": "rule:load-balancer:read-quota",
    f"{API}:quota:get_defaults": "rule:load-balancer:read-quota",
    f"{API}:quota:put": "rule:load-balancer:write-quota", f"{API}:quota:delete": "rule:load-balancer:write-quota",
    f"{API}:provider:get_all": READ, f"{API}:provider-flavor:get_all": ADMIN,
    f"{API}:provider-availability-zone:get_all": ADMIN,
    **_administered("flavor", READ), **_administered("availability-zone", READ),
    **_administered("flavor-profile", ADMIN), **_administered("availability-zone-profile", ADMIN),
    **_administered("amphora", ADMIN), f"{API}:amphora:put_failover": ADMIN, f"{API}:amphora:put_config": ADMIN,
    f"{API}:amphora:get_stats": ADMIN,
}
MESSAGE = "Policy does not allow this request to be performed."
