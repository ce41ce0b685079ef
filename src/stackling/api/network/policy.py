"""Who may do what: Neutron's rule names and default check strings (neutron/conf/policies), where they apply."""

from __future__ import annotations

_ADMIN = "rule:admin_only"
_SERVICE = "rule:service_api"
_MANAGER = "rule:admin_only or (role:manager and project_id:%(project_id)s)"
_MEMBER = "rule:admin_only or (role:member and project_id:%(project_id)s)"
_READER = "rule:admin_only or (role:reader and project_id:%(project_id)s)"
_NET_MANAGER = "(role:manager and rule:network_owner)"
_NET_MEMBER = "(role:member and rule:network_owner)"
_NET_READER = "(role:reader and rule:network_owner)"
_PARENT_MANAGER = "rule:admin_only or (role:manager and rule:ext_parent_owner)"
_PARENT_MEMBER = "rule:admin_only or (role:member and rule:ext_parent_owner)"
_PARENT_READER = "rule:admin_only or (role:reader and rule:ext_parent_owner)"
_BY_NETWORK = f"{_ADMIN} or {_SERVICE} or {_NET_MEMBER}"
_WAYS = ("create", "update")

RULES: dict[str, str] = {
    "context_is_admin": "role:admin",
    "admin_only": "rule:context_is_admin",
    "service_api": "role:service",
    "owner": "project_id:%(project_id)s",
    "admin_or_owner": "rule:context_is_admin or rule:owner",
    "network_owner": "project_id:%(network:project_id)s",
    "ext_parent_owner": "project_id:%(ext_parent:project_id)s",
    "network_device": "field:port:device_owner=~^network:",
    "shared": "field:networks:shared=True",
    "external": "field:networks:router:external=True",
    "external_network": "field:subnets:router:external=True",
    "shared_subnetpools": "field:subnetpools:shared=True",
    "shared_address_scopes": "field:address_scopes:shared=True",
    "shared_address_groups": "field:address_groups:shared=True",
    "shared_qos_policy": "field:policies:shared=True",
    "shared_security_group": "field:security_groups:shared=True",
    "restrict_wildcard": "rule:admin_only or (not field:rbac_policy:target_tenant=* and "
                         "not field:rbac_policy:target_project=*)",
    "default": "rule:admin_or_owner",
    "list": "role:admin or role:reader",
    "list_with_services": "rule:list or rule:service_api",
    "authenticated": "@",
}


def _resource(name: str, get: str = _READER, write: str = _MEMBER, create: str | None = None) -> dict[str, str]:
    return {f"get_{name}": get, f"create_{name}": create or write, f"update_{name}": write, f"delete_{name}": write}


def _tagged(name: str, get: str = _READER, write: str = _MEMBER, create: str | None = None) -> dict[str, str]:
    """A resource with tags, which have rules of their own."""
    return {**_resource(name, get, write, create),
            **{f"{action}_{name}:tags": get if action == "get" else write
               for action in ("get", "create", "update", "delete")}}


_NETWORK_SEEN = f"{_READER} or rule:shared or rule:external"
_SUBNET_SEEN = f"{_READER} or rule:shared or rule:external_network or {_NET_READER}"
_SUBNET = f"{_MEMBER} or {_NET_MEMBER}"
_PORT = f"{_SERVICE} or {_MEMBER}"

RULES |= {
    **_tagged("network", get=_NETWORK_SEEN), "get_network": f"{_SERVICE} or {_NETWORK_SEEN}",
    **_tagged("subnet", get=_SUBNET_SEEN, write=_SUBNET, create=f"{_ADMIN} or {_NET_MEMBER}"),
    "get_subnet": f"{_SERVICE} or {_SUBNET_SEEN}",
    # upstream since June 2026: whoever has any role, where the network is shared
    **_tagged("port", get=f"{_SERVICE} or {_READER} or {_NET_READER}", write=_PORT,
              create=f"{_BY_NETWORK} or (role:member and rule:owner and rule:shared)"),
    "delete_port": f"{_PORT} or {_NET_MEMBER}", "delete_port:tags": f"{_MEMBER} or {_NET_MEMBER}",
    **{f"{action}_port:tags": _MEMBER for action in _WAYS}, "get_port:tags": f"{_READER} or {_NET_READER}",
    **_tagged("router"), **_tagged("floatingip"),
    **_tagged("security_group", get=f"{_READER} or rule:shared_security_group"),
    **_resource("address_scope", get=f"{_READER} or rule:shared_address_scopes"),
    "create_address_scope:shared": _ADMIN, "update_address_scope:shared": _ADMIN,
    **_resource("address_group", get=f"{_READER} or rule:shared_address_groups"),
    "add_addresses": _MEMBER, "remove_addresses": _MEMBER,
    **_tagged("policy", get=f"{_READER} or rule:shared_qos_policy", write=_MANAGER),
    "get_rule_type": "role:reader",
    **{f"{action}_{way}_{kind}_rule": _PARENT_READER if action == "get" else _PARENT_MANAGER
       for kind in ("bandwidth_limit", "dscp_marking", "minimum_bandwidth") for way in ("policy", "alias")
       for action in ("get", "create", "update", "delete")},
    **_resource("floatingip_port_forwarding", get=_PARENT_READER, write=_PARENT_MEMBER),
    **_resource("default_security_group_rule", get="role:reader", write=_ADMIN),
    **_resource("security_groups_default_statefulness", write=_MANAGER),
    "add_prefixes": _MEMBER, "remove_prefixes": _MEMBER, "onboard_network_subnets": _MEMBER,
    **_tagged("trunk"), "get_subports": _READER, "add_subports": _MEMBER, "remove_subports": _MEMBER,
    **_resource("rbac_policy"),
    **{f"{action}_rbac_policy:target_tenant": "rule:restrict_wildcard" for action in _WAYS},
    **_resource("security_group_rule"), **_tagged("subnetpool", get=f"{_READER} or rule:shared_subnetpools"),
    **{f"{action}_network:{name}": _ADMIN for action in _WAYS
       for name in ("shared", "router:external", "is_default", "provider:network_type", "provider:physical_network",
                    "provider:segmentation_id", "segments")},
    **{f"{action}_network:port_security_enabled": _MEMBER for action in _WAYS},
    **{f"get_network:{name}": _ADMIN for name in ("provider:network_type", "provider:physical_network",
                                                   "provider:segmentation_id", "segments")},
    "create_subnet:segment_id": _ADMIN,
    "create_subnetpool:shared": _ADMIN, "create_subnetpool:is_default": _ADMIN, "update_subnetpool:is_default": _ADMIN,
    **{f"{action}_port:{name}": _PORT for action in _WAYS for name in ("device_id", "binding:vnic_type")},
    **{f"{action}_port:device_owner": f"not rule:network_device or {_BY_NETWORK}" for action in _WAYS},
    **{f"{action}_port:{name}": _BY_NETWORK for action in _WAYS
       for name in ("fixed_ips:ip_address", "port_security_enabled", "allowed_address_pairs",
                    "allowed_address_pairs:mac_address", "allowed_address_pairs:ip_address")},
    "create_port:mac_address": _BY_NETWORK, "update_port:mac_address": f"{_ADMIN} or {_SERVICE} or {_NET_MANAGER}",
    "create_port:fixed_ips": f"{_BY_NETWORK} or rule:shared", "update_port:fixed_ips": _BY_NETWORK,
    **{f"{action}_port:fixed_ips:subnet_id": f"{_BY_NETWORK} or rule:shared" for action in _WAYS},
    **{f"{action}_port:binding:host_id": f"{_ADMIN} or {_SERVICE}" for action in _WAYS},
    **{f"{action}_port:binding:profile": _SERVICE for action in _WAYS},
    **{f"{action}_port:trusted": _ADMIN for action in ("create", "update", "get")},
    **{f"get_port:{name}": f"{_ADMIN} or {_SERVICE}"
       for name in ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details")},
    **{f"{action}_router:{name}": _ADMIN for action in ("create", "update", "get") for name in ("distributed", "ha")},
    **{f"{action}_router:external_gateway_info{part}": _MEMBER for action in _WAYS for part in ("", ":network_id")},
    **{f"{action}_router:external_gateway_info:{name}": _ADMIN for action in _WAYS
       for name in ("enable_snat", "external_fixed_ips")},
    **{f"{action}_external_gateways": _MEMBER for action in ("add", "update", "remove")},
    **{f"{action}_external_gateways:external_gateways": _MEMBER for action in ("add", "update", "remove")},
    **{f"{action}_external_gateways:external_gateways:network_id": _MEMBER for action in ("add", "update")},
    **{f"{action}_external_gateways:external_gateways:{name}": _ADMIN for action in ("add", "update")
       for name in ("enable_snat", "external_fixed_ips")},
    **{f"{action}_router:enable_default_route_{what}": _ADMIN for action in _WAYS for what in ("bfd", "ecmp")},
    "create_floatingip:floating_ip_address": _MANAGER,
    "add_router_interface": _MEMBER, "remove_router_interface": _MEMBER,
    "add_extraroutes": _MEMBER, "remove_extraroutes": _MEMBER,
    "get_quota": _MANAGER, "update_quota": _ADMIN, "delete_quota": _ADMIN,
    "get_agent": _ADMIN, "update_agent": _ADMIN, "delete_agent": _ADMIN,
    "get_l3-agents": _ADMIN, "get_l3-routers": _ADMIN,
    "get_availability_zone": "role:reader", "get_service_provider": "role:reader",
    **_resource("segment", get=_ADMIN, write=_ADMIN),
    **_resource("flavor", get="role:reader", write=_ADMIN), **_resource("service_profile", get=_ADMIN, write=_ADMIN),
    "get_flavor_service_profile": _READER, "create_flavor_service_profile": _ADMIN,
    "delete_flavor_service_profile": _ADMIN,
    "get_network_ip_availability": f"{_ADMIN} or {_SERVICE}",
    "get_auto_allocated_topology": _READER, "delete_auto_allocated_topology": _MEMBER,
}
