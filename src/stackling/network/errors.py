"""The network service's refusals, with the names and the wording of Neutron's exceptions (neutron_lib.exceptions)."""

from __future__ import annotations

from collections.abc import Iterable

from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, QuotaExceeded

_NOT_FOUND = {
    "network": ("NetworkNotFound", "Network {} could not be found."),
    "segment": ("SegmentNotFound", "Segment {} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {} could not be found."),
    "port": ("PortNotFound", "Port {} could not be found."),
    "router": ("RouterNotFound", "Router {} could not be found"),
    "floatingip": ("FloatingIPNotFound", "Floating IP {} could not be found"),
    "security_group": ("SecurityGroupNotFound", "Security group {} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    "agent": ("AgentNotFound", "Agent {} could not be found."),
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy of type rbac_policy with ID {} not found"),
    "address_scope": ("AddressScopeNotFound", "Address scope {} could not be found"),
    "address_group": ("AddressGroupNotFound", "Address group {} could not be found."),
    "port_forwarding": ("PortForwardingNotFound", "Port Forwarding {} could not be found."),
    "trunk": ("TrunkNotFound", "Trunk {} could not be found."),
    "default_security_group_rule": ("DefaultSecurityGroupRuleNotFound",
                                    "Default Security Group rule {} does not exist"),
    "security_groups_default_statefulness": ("SecurityGroupDefaultStatefulnessNotFound",
                                             "Security group default statefulness {} could not be found."),
    "flavor": ("FlavorNotFound", "Flavor {} could not be found."),
    "service_profile": ("ServiceProfileNotFound", "Service Profile {} could not be found."),
    "policy": ("QosPolicyNotFound", "QoS policy {} could not be found."),
    "qos_rule_type": ("QosRuleTypeNotFound", "QoS rule type {} could not be found."),
    "qos_rule": ("QosRuleNotFound", "QoS rule {} could not be found."),
    "tag": ("TagNotFound", "Tag {} could not be found."),
}


def not_found(resource: str, id: object) -> NotFound:
    """There is no such *resource*, or the caller must not know of it."""
    type_, text = _NOT_FOUND.get(resource, ("NotFound", "{} could not be found."))
    return NotFound(text.format(id), type=type_)


def invalid_input(reason: str) -> Invalid:
    """A value that is well formed and can't be."""
    return Invalid(f"Invalid input for operation: {reason}.", type="InvalidInput")


def bad_request(resource: str, reason: str) -> Invalid:
    """Neutron's ``BadRequest`` of a resource."""
    return Invalid(f"Bad {resource} request: {reason}.", type="BadRequest")


def conflict(type_: str, message: str) -> Conflict:
    """The state forbids it; *type_* is Neutron's exception."""
    return Conflict(message, type=type_)


def over_quota(resources: Iterable[str]) -> QuotaExceeded:
    """A limit of the project is reached."""
    return QuotaExceeded(f"Quota exceeded for resources: {sorted(resources)}.", type="OverQuota")


def forbidden(rule: str) -> Forbidden:
    """The policy says no."""
    return Forbidden(f"{rule} is disallowed by policy", type="PolicyNotAuthorized")


def revision_mismatch(resource: str, id: str, wanted: int) -> PreconditionFailed:
    """``If-Match`` named another revision."""
    return PreconditionFailed(f"Constrained to {wanted}, but current revision is different ({resource} {id}).",
                              type="RevisionNumberConstraintFailed")


def addresses_exhausted(network_id: str) -> Conflict:
    """No free address in any fitting subnet of the network."""
    return Conflict(f"No more IP addresses available on network {network_id}.", type="IpAddressGenerationFailure")


def address_in_use(address: str, network_id: str) -> Conflict:
    """Somebody has this address."""
    return Conflict(f"IP address {address} already allocated in subnet of network {network_id}.",
                    type="IpAddressAlreadyAllocated")
