"""The resources, each with its attributes, view and use-cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.network import definitions, views
from stackling.api.network.resource import Resource
from stackling.core.context import Context
from stackling.core.ids import is_id
from stackling.network import (
    address_groups,
    address_scopes,
    default_rules,
    default_statefulness,
    flavors,
    floating_ips,
    networks,
    ports,
    qos,
    rbac,
    routers,
    security_groups,
    segments,
    subnet_pools,
    subnets,
    trunks,
)

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def _default_group(tx: Tx, ctx: Context, project_id: str | None) -> None:
    """As upstream, the project that is asked for has its group from then on; only an administrator asks for others'."""
    wanted = project_id if project_id is not None and ctx.is_admin and is_id(project_id) else ctx.project_id
    if wanted is not None:
        security_groups.default_group(tx, wanted)


RESOURCES: tuple[Resource, ...] = (
    Resource("network", "networks", "networks", definitions.NETWORK, views.networks, networks.create, networks.update,
             floating_ips.delete_network),
    Resource("segment", "segments", "segments", definitions.SEGMENT, views.segments, segments.create, segments.update,
             segments.delete_segment, unowned=True),
    Resource("subnet", "subnets", "subnets", definitions.SUBNET, views.subnets, subnets.create, subnets.update,
             subnets.delete),
    Resource("port", "ports", "ports", definitions.PORT, views.ports, ports.create, ports.update, ports.delete_port,
             page=views.port_page),
    Resource("router", "routers", "routers", definitions.ROUTER, views.routers, routers.create, routers.update,
             routers.delete),
    Resource("floatingip", "floatingips", "floatingips", definitions.FLOATING_IP, views.floating_ips,
             floating_ips.create, floating_ips.update, floating_ips.delete),
    Resource("security_group", "security_groups", "security-groups", definitions.SECURITY_GROUP,
             views.security_groups, security_groups.create, security_groups.update_group,
             security_groups.delete_group, before_list=_default_group),
    Resource("security_group_rule", "security_group_rules", "security-group-rules", definitions.RULE,
             views.security_group_rules, security_groups.create_rules, security_groups.update_rule,
             security_groups.delete_rule, before_list=_default_group),
    Resource("subnetpool", "subnetpools", "subnetpools", definitions.SUBNET_POOL, views.subnet_pools,
             subnet_pools.create, subnet_pools.update, subnet_pools.delete),
    Resource("address_scope", "address_scopes", "address-scopes", definitions.ADDRESS_SCOPE, views.address_scopes,
             address_scopes.create, address_scopes.update, address_scopes.delete),
    Resource("address_group", "address_groups", "address-groups", definitions.ADDRESS_GROUP, views.address_groups,
             address_groups.create, address_groups.update, address_groups.delete,
             discreet=True),
    Resource("policy", "policies", "qos/policies", definitions.QOS_POLICY, views.qos_policies, qos.create, qos.update,
             qos.delete_policy, object_type="qos_policy", discreet=True),
    Resource("flavor", "flavors", "flavors", definitions.FLAVOR, views.flavors, flavors.create, flavors.update,
             flavors.delete_flavor, unowned=True),
    Resource("service_profile", "service_profiles", "service_profiles", definitions.SERVICE_PROFILE,
             views.service_profiles, flavors.create_profiles, flavors.update_profile, flavors.delete_profile,
             unowned=True),
    Resource("trunk", "trunks", "trunks", definitions.TRUNK, views.trunks, trunks.create, trunks.update, trunks.delete),
    Resource("default_security_group_rule", "default_security_group_rules", "default-security-group-rules",
             definitions.DEFAULT_RULE, views.default_rules, default_rules.create, default_rules.update,
             default_rules.delete, before_list=lambda tx, ctx, project_id: default_rules.ensure(tx), fixed=True),
    Resource("security_groups_default_statefulness", "security_groups_default_statefulness",
             "security-groups-default-statefulness", definitions.DEFAULT_STATEFULNESS, views.default_statefulness,
             default_statefulness.create, default_statefulness.update, default_statefulness.delete, nobodys=True),
    Resource("rbac_policy", "rbac_policies", "rbac-policies", definitions.RBAC_POLICY, views.rbac_policies,
             rbac.create, rbac.update, rbac.delete),
)
BY_NAME = {resource.name: resource for resource in RESOURCES}
