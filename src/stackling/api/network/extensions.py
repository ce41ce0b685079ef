"""``/extensions``: the aliases of what is really there; clients decide by them what to ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.route import Route
from stackling.core.errors import NotFound

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_UPDATED = "2026-04-01T00:00:00-00:00"
_NAMES: dict[str, tuple[str, str]] = {
    "address-group": (
        "Address group",
        "Support address group",
    ),
    "address-scope": (
        "Address scope",
        "Address scopes extension.",
    ),
    "agent": (
        "agent",
        "The agent management extension.",
    ),
    "allowed-address-pairs": (
        "Allowed Address Pairs",
        "Provides allowed address pairs",
    ),
    "auto-allocated-topology": (
        "Auto Allocated Topology Services",
        "Auto Allocated Topology Services.",
    ),
    "availability_zone": (
        "Availability Zone",
        "Availability zones of networks and routers.",
    ),
    "binding": (
        "Port Binding",
        "Expose port bindings of a virtual port to external application",
    ),
    "default-subnetpools": (
        "Default Subnetpools",
        "Provides ability to mark and use a subnetpool as the default.",
    ),
    "dns-domain-ports": (
        "dns_domain for ports",
        "Allows the DNS domain to be specified for a network port.",
    ),
    "dns-integration": (
        "DNS Integration",
        "Provides integration with DNS.",
    ),
    "enable-default-route-bfd": (
        "Enable Default Route BFD",
        "Enables configurable BFD behavior for default routes",
    ),
    "enable-default-route-ecmp": (
        "Enable Default Route ECMP",
        "Enables configurable ECMP behavior for default routes",
    ),
    "empty-string-filtering": (
        "Empty String Filtering Extension",
        "Allow filtering by attributes with empty string",
    ),
    "ext-gw-mode": (
        "Neutron L3 Configurable external gateway mode",
        "Extension of the router abstraction for specifying whether SNAT should occur on the external gateway",
    ),
    "external-gateway-multihoming": (
        "Neutron L3 External Gateway Multihoming",
        "Allow multiple external gateway ports per router",
    ),
    "external-net": (
        "Neutron external network",
        "Adds external network attribute to network resource.",
    ),
    "extra_dhcp_opt": (
        "Neutron Extra DHCP options",
        "Extra options configuration for DHCP",
    ),
    "extraroute": (
        "Neutron Extra Route",
        "Extra routes configuration for L3 router",
    ),
    "extraroute-atomic": (
        "Atomically add/remove extra routes",
        "Edit extra routes of a router on server side.",
    ),
    "filter-validation": (
        "Filter parameters validation",
        "Provides validation on filter parameters.",
    ),
    "fip-port-details": (
        "Floating IP Port Details Extension",
        "Add port_details attribute to Floating IP resource",
    ),
    "expose-port-forwarding-in-fip": (
        "Expose Floating IP port forwardings",
        "Expose port forwarding fields in floating IP response",
    ),
    "floating-ip-port-forwarding": (
        "Floating IP Port Forwarding",
        "Allow port forwarding from floating IP port to an internal port",
    ),
    "floating-ip-port-forwarding-description": (
        "Floating IP Port Forwarding new attribute description",
        "Add a description field to Port Forwarding rules",
    ),
    "floating-ip-port-forwarding-detail": (
        "Floating IP port forwarding detail",
        "Allow list floating ip return more port forwarding data, include'id' and 'internal_port_id'",
    ),
    "floating-ip-port-forwarding-port-ranges": (
        "Floating IP Port Forwarding support port ranges",
        "Add support to port ranges",
    ),
    "floatingip-pools": (
        "Floating IP Pools Extension",
        "Provides a floating IP pools API.",
    ),
    "flavors": (
        "Neutron Service Flavors",
        "Flavor specification for Neutron advanced services.",
    ),
    "ip-substring-filtering": (
        "IP address substring filtering",
        "Provides IP address substring filtering",
    ),
    "ip_allocation": (
        "IP Allocation",
        "IP allocation type of a port.",
    ),
    "l2_adjacency": (
        "L2 Adjacency",
        "Display L2 Adjacency for Neutron Networks.",
    ),
    "l3-flavors": (
        "Router Flavor Extension",
        "Flavor support for routers.",
    ),
    "l3-ha": (
        "HA Router extension",
        "Adds HA capability to routers.",
    ),
    "multi-provider": (
        "Multi Provider Network",
        "Expose mapping of virtual networks to multiple physical networks",
    ),
    "net-mtu": (
        "Network MTU",
        "Provides MTU attribute for a network resource.",
    ),
    "net-mtu-writable": (
        "Network MTU (writable)",
        "Provides a writable MTU attribute for a network resource.",
    ),
    "network-ip-availability": (
        "Network IP Availability",
        "Provides IP availability data for each network and subnet.",
    ),
    "network-ip-availability-details": (
        "Network IP Availability Details Extension",
        "Add ip_availability_details attribute to network-ip-availabilities resource.",
    ),
    "network_availability_zone": (
        "Network Availability Zone",
        "Availability zone support for network.",
    ),
    "pagination": (
        "Pagination support",
        "Extension that indicates that pagination is enabled.",
    ),
    "port-mac-address-regenerate": (
        "Neutron Port MAC address regenerate",
        "Network port MAC address regenerate",
    ),
    "port-security": (
        "Port Security",
        "Provides port security",
    ),
    "port-security-groups-filtering": (
        "Port filtering on security groups",
        "Provides security groups filtering when listing ports",
    ),
    "port-trusted-vif": (
        "Port trusted vif",
        "Expose port 'trusted' attribute in the API",
    ),
    "project-id": (
        "project_id field enabled",
        "Extension that indicates that project_id field is enabled.",
    ),
    "provider": (
        "Provider Network",
        "Expose mapping of virtual networks to physical networks",
    ),
    "qos": (
        "Quality of Service",
        "The Quality of Service extension.",
    ),
    "qos-bw-limit-direction": (
        "Direction for QoS bandwidth limit rule",
        "Allow to configure QoS bandwidth limit rule with specific direction: ingress or egress",
    ),
    "qos-bw-minimum-ingress": (
        "Ingress direction for QoS minimum bandwidth rule",
        "Allow to configure QoS minumum bandwidth rule with ingress direction.",
    ),
    "qos-default": (
        "QoS default policy",
        "Expose the QoS default policy per project",
    ),
    "qos-fip": (
        "Floating IP QoS",
        "The floating IP Quality of Service extension",
    ),
    "qos-fip-network-policy": (
        "QoS floating IP network policy ID",
        "Adds a the QoS network ID to the floating IP definition",
    ),
    "qos-gateway-ip": (
        "Router gateway IP QoS",
        "The Router gateway IP Quality of Service extension",
    ),
    "qos-port-network-policy": (
        "QoS port network policy ID",
        "Adds a the QoS network ID to the port definition",
    ),
    "qos-rule-type-details": (
        "Details of QoS rule types",
        "Expose details about QoS rule types supported by loaded backend drivers",
    ),
    "qos-rule-type-filter": (
        "Allow to filter the list of QoS rule types",
        "Allows to filter the QoS rule type list by \"all_rules\" or \"all_supported\".",
    ),
    "qos-rules-alias": (
        "Quality of Service rules alias API",
        "API to enable GET, PUT and DELETE operations on QoS policy rules without specifying policy ID",
    ),
    "quota-check-limit": (
        "Quota engine limit check",
        "Support for checking the resource usage before applying a new quota limit",
    ),
    "quota-check-limit-default": (
        "Quota engine limit check by default",
        "By default, the Neutron quota engine checks the resource usage before applying a new quota limit",
    ),
    "quota_details": (
        "Quota details management support",
        "Expose functions for quotas usage statistics per project",
    ),
    "quotas": (
        "Quota management support",
        "Expose functions for quotas management per project",
    ),
    "rbac-address-group": (
        "Add address_group type to RBAC",
        "Add address_group type to RBAC",
    ),
    "rbac-address-scope": (
        "Add address_scope type to RBAC",
        "Add address_scope type to RBAC",
    ),
    "rbac-policies": (
        "RBAC Policies",
        "Allows creation and modification of policies that control tenant access to resources.",
    ),
    "rbac-security-groups": (
        "Add security_group type to network RBAC",
        "Add security_group type to network RBAC",
    ),
    "rbac-subnetpool": (
        "Add subnetpool type to RBAC",
        "Add subnetpool type to RBAC",
    ),
    "revision-if-match": (
        "If-Match constraints based on revision_number",
        "Extension indicating that If-Match based on revision_number is supported.",
    ),
    "router": (
        "Neutron L3 Router",
        ("Router abstraction for basic L3 forwarding between L2 Neutron networks and access to external "
         "networks via a NAT gateway."),
    ),
    "router-enable-snat": (
        "Exposes the router \"enable_snat\" read-only configuration flag",
        "Exposes the router \"enable_snat\" read-only configuration flag",
    ),
    "router_availability_zone": (
        "Router Availability Zone",
        "Availability zone support for router.",
    ),
    "security-group": (
        "security-group",
        "The security groups extension.",
    ),
    "security-groups-default-rules": (
        "Default rules for security groups",
        "Configure set of security group rules used as default rules for every new security group",
    ),
    "security-groups-default-statefulness": (
        "Security Groups Default Statefulness",
        ("Allows configuring the default value of the 'stateful' attribute for new security groups, on a per-project "
         "or system-wide basis"),
    ),
    "security-groups-normalized-cidr": (
        "Normalized CIDR field for security group rules",
        "Add new field with normalized remote_ip_prefix cidr in SG rule",
    ),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "Add new field of remote address group id in SG rules",
    ),
    "security-groups-rules-belongs-to-default-sg": (
        "Security group rule belongs to the project's default security group",
        "Flag to determine if the security group rule belongs to the project's default security group",
    ),
    "security-groups-shared-filtering": (
        "Security group filtering on the shared field",
        "Support filtering security groups on the shared field",
    ),
    "segment": (
        "Segment",
        "Segments extension.",
    ),
    "service-type": (
        "Neutron Service Type Management",
        "API for retrieving service providers for Neutron advanced services",
    ),
    "sort-key-validation": (
        "Sort key validation",
        "Extension that indicates that sort keys are validated.",
    ),
    "sorting": (
        "Sorting support",
        "Extension that indicates that sorting is enabled.",
    ),
    "standard-attr-description": (
        "standard-attr-description",
        "Extension to add descriptions to standard attributes",
    ),
    "standard-attr-revisions": (
        "Resource revision numbers",
        "This extension will display the revision number of neutron resources.",
    ),
    "standard-attr-segment": (
        "standard-attr-segment",
        "Add standard attributes to Segment resource",
    ),
    "standard-attr-tag": (
        ("Tag support for resources with standard attribute: network, subnet, port, router, floatingip, "
         "security_group, subnetpool"),
        "Enables to set tag on resources with standard attribute.",
    ),
    "standard-attr-timestamp": (
        "Resource timestamps",
        ("Adds created_at and updated_at fields to all Neutron resources that have Neutron standard "
         "attributes."),
    ),
    "stateful-security-group": (
        "Stateful security group",
        "Indicates if the security group is stateful or not",
    ),
    "subnet-dns-publish-fixed-ip": (
        "Subnet DNS publish fixed IP",
        "Support choosing to publish DNS records for IPs from a subnet",
    ),
    "subnet-external-network": (
        "Subnet belongs to an external network",
        "Informs if the subnet belongs to an external network",
    ),
    "subnet-service-types": (
        "Subnet service types",
        "Provides ability to set the subnet service_types field",
    ),
    "subnet_onboard": (
        "Subnet Onboard",
        "Provides support for onboarding subnets into subnet pools",
    ),
    "subnetpool-prefix-ops": (
        "Subnet Pool Prefix Operations",
        "Provides support for adjusting the prefix list of subnet pools",
    ),
    "subnet_allocation": (
        "Subnet Allocation",
        "Enables allocation of subnets from a subnet pool",
    ),
    "tag-creation": (
        "Tag creation extension",
        "Allow to create multiple tags",
    ),
    "tag-ports-during-bulk-creation": (
        "Tag Ports During Bulk Creation",
        "Allow to tag ports during bulk creation",
    ),
    "trunk": (
        "Trunk Extension",
        "Provides support for trunk ports",
    ),
    "trunk-details": (
        "Trunk port details",
        "Expose trunk port details",
    ),
    "uplink-status-propagation-updatable": (
        "uplink-status-propagation-updatable",
        "Provides support for updating the uplink status propagation of a port",
    ),
    "uplink-status-propagation": (
        "uplink-status-propagation",
        "Provides support for propagating the uplink status of a port",
    ),
    "vlan-transparent": (
        "Vlantransparent",
        "Provides Vlan Transparent Networks",
    ),
}
EXTENSIONS: dict[str, dict[str, Any]] = {
    alias: {"alias": alias, "name": name, "description": text, "updated": _UPDATED, "links": []}
    for alias, (name, text) in sorted(_NAMES.items())
}


def routes() -> list[Route]:
    """The list and each."""
    return [Route("GET", "/v2.0/extensions", _list, "authenticated"),
            Route("GET", "/v2.0/extensions/{alias}", _show, "authenticated")]


def _list(tx: Tx, call: Call) -> Any:
    fields = call.query.all("fields")
    if fields:
        return {"extensions": [{name: one[name] for name in fields if name in one} for one in EXTENSIONS.values()]}
    return {"extensions": list(EXTENSIONS.values())}


def _show(tx: Tx, call: Call) -> Any:
    found = EXTENSIONS.get(call.params["alias"].removesuffix(".json"))
    if found is None:
        raise NotFound(f"Extension with alias {call.params['alias']} does not exist", type="HTTPNotFound")
    return {"extension": found}
