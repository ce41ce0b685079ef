"""Who may do what: Neutron's rule names and default check strings (neutron/conf/policies), where they apply."""

from __future__ import annotations

_MEMBER = "rule:admin_only or (role:member and project_id:%(project_id)s)"
_READER = "rule:admin_only or (role:reader and project_id:%(project_id)s)"
_NET_READER = "(role:reader and project_id:%(network:project_id)s)"
_NET_MEMBER = "(role:member and project_id:%(network:project_id)s)"
_MANAGER = "rule:admin_only or (role:manager and project_id:%(project_id)s)"
_ADMIN = "rule:admin_only"

RULES: dict[str, str] = {
    "context_is_admin": "role:admin",
    "admin_only": "rule:context_is_admin",
    "service_api": "role:service",
    "shared": "field:networks:shared=True",
    "external": "field:networks:router:external=True",
    "shared_subnetpools": "field:subnetpools:shared=True",
    "shared_address_scopes": "field:address_scopes:shared=True",
    "shared_address_groups": "field:address_groups:shared=True",
    "shared_qos_policy": "field:policies:shared=True",
    "shared_security_group": "field:security_groups:shared=True",
    "restrict_wildcard": "rule:admin_only or (not field:rbac_policy:target_tenant=* and "
                         "not field:rbac_policy:target_project=*)",
    "default": _READER,
    "list": "role:admin or role:reader",
    "write": "role:admin or role:member",
    "authenticated": "@",
}


def _resource(name: str, get: str = _READER, write: str = _MEMBER, create: str | None = None) -> dict[str, str]:
    return {f"get_{name}": get, f"create_{name}": create or write, f"update_{name}": write, f"delete_{name}": write}


RULES |= {
    **_resource("network", get=f"{_READER} or rule:shared or rule:external"),
    **_resource("subnet", get=f"{_READER} or rule:shared or rule:external or {_NET_READER}",
                write=f"{_MEMBER} or {_NET_MEMBER}", create="rule:write"),
    **_resource("port", get=f"rule:service_api or {_READER} or {_NET_READER}",
                write=f"rule:service_api or {_MEMBER} or {_NET_MEMBER}"),
    **_resource("router"), **_resource("floatingip"),
    **_resource("security_group", get=f"{_READER} or rule:shared_security_group"),
    **_resource("address_scope", get=f"{_READER} or rule:shared_address_scopes"),
    "create_address_scope:shared": _ADMIN, "update_address_scope:shared": _ADMIN,
    **_resource("address_group", get=f"{_READER} or rule:shared_address_groups"),
    **_resource("policy", get=f"{_READER} or rule:shared_qos_policy", write=_MANAGER),
    "create_policy:shared": _ADMIN, "update_policy:shared": _ADMIN,
    "create_policy:is_default": _ADMIN, "update_policy:is_default": _ADMIN,
    "get_rule_type": "rule:list",
    **{f"{action}_{way}_{kind}_rule": f"{_READER} or rule:shared_qos_policy" if action == "get" else _MANAGER
       for kind in ("bandwidth_limit", "dscp_marking", "minimum_bandwidth") for way in ("policy", "alias")
       for action in ("get", "create", "update", "delete")},
    **_resource("floatingip_port_forwarding"),
    **_resource("default_security_group_rule", get="rule:list", write=_ADMIN),
    **_resource("security_groups_default_statefulness", write=_MANAGER),
    "add_prefixes": _MEMBER, "remove_prefixes": _MEMBER, "onboard_network_subnets": _MEMBER,
    **_resource("trunk"), "get_subports": _READER, "add_subports": _MEMBER, "remove_subports": _MEMBER,
    **_resource("rbac_policy"),
    **{f"{action}_rbac_policy:target_tenant": "rule:restrict_wildcard" for action in ("create", "update")},
    **_resource("security_group_rule"), **_resource("subnetpool", get=f"{_READER} or rule:shared_subnetpools"),
    **{f"{action}_network:{name}": _ADMIN for action in ("create", "update")
       for name in ("shared", "router:external", "is_default", "provider:network_type", "provider:physical_network",
                    "provider:segmentation_id", "segments")},
    **{f"get_network:{name}": _ADMIN for name in ("provider:network_type", "provider:physical_network",
                                                   "provider:segmentation_id", "segments")},
    "create_subnetpool:shared": _ADMIN, "create_subnetpool:is_default": _ADMIN, "update_subnetpool:is_default": _ADMIN,
    **{f"{action}_port:{name}": f"{_ADMIN} or rule:service_api" for action in ("create", "update")
       for name in ("binding:host_id", "binding:profile")},
    **{f"{action}_port:trusted": _ADMIN for action in ("create", "update", "get")},
    **{f"get_port:{name}": f"{_ADMIN} or rule:service_api"
       for name in ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details")},
    "update_port:mac_address": f"{_ADMIN} or rule:service_api or (role:manager and project_id:%(network:project_id)s)",
    **{f"update_port:{name}": f"{_ADMIN} or rule:service_api or {_NET_MEMBER}"
       for name in ("fixed_ips", "port_security_enabled", "allowed_address_pairs")},
    **{f"{action}_router:{name}": _ADMIN for action in ("create", "update", "get") for name in ("distributed", "ha")},
    **{f"{action}_router:external_gateway_info:{name}": _ADMIN for action in ("create", "update")
       for name in ("enable_snat", "external_fixed_ips")},
    **{f"{action}_external_gateways": _MEMBER for action in ("add", "update", "remove")},
    **{f"{action}_external_gateways:{name}": _ADMIN for action in ("add", "update")
       for name in ("enable_snat", "external_fixed_ips")},
    **{f"{action}_router:enable_default_route_{what}": _ADMIN for action in ("create", "update")
       for what in ("bfd", "ecmp")},
    "create_floatingip:floating_ip_address": _MANAGER,
    "add_router_interface": _MEMBER, "remove_router_interface": _MEMBER,
    "add_extraroutes": _MEMBER, "remove_extraroutes": _MEMBER,
    "get_quota": _READER, "update_quota": _ADMIN, "delete_quota": _ADMIN, "list_quotas": _ADMIN,
    "get_agent": _ADMIN, "update_agent": _ADMIN, "delete_agent": _ADMIN,
    "get_availability_zone": "rule:list", "get_service_provider": "rule:list",
    **_resource("segment", get=_ADMIN, write=_ADMIN),
    **_resource("flavor", get="rule:list", write=_ADMIN), **_resource("service_profile", get=_ADMIN, write=_ADMIN),
    "get_flavor_service_profile": _READER, "create_flavor_service_profile": _ADMIN,
    "delete_flavor_service_profile": _ADMIN,
    "get_network_ip_availability": _ADMIN,
    "get_auto_allocated_topology": _READER, "delete_auto_allocated_topology": _MEMBER,
}
