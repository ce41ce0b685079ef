"""The service's refusals, in the words of Octavia's exceptions (octavia.common.exceptions)."""

from __future__ import annotations

from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, NotImplementedHere, QuotaExceeded

PROVIDER = "ovn"


def not_found(resource: str, id: object) -> NotFound:
    """There is no such thing."""
    return NotFound(f"{resource} {id} not found.")


def no_subresource(resource: str, id: object) -> Invalid:
    """What the request refers to isn't there, or the caller must not know of it."""
    return Invalid(f"{resource} {id} not found.")


def forbidden() -> Forbidden:
    """The policy says no."""
    return Forbidden("Policy does not allow this request to be performed.")


def validation(detail: str) -> Invalid:
    """``ValidationException``."""
    return Invalid(f"Validation failure: {detail}")


def invalid_option(value: object, option: str) -> Invalid:
    """A value that the option doesn't take."""
    return Invalid(f"{value} is not a valid option for {option}")


def immutable(resource: str, id: str) -> Conflict:
    """Something above is on its way, or in error."""
    return Conflict(f"{resource} {id} is immutable and cannot be updated.")


def invalid_state(state: str, id: str) -> Conflict:
    """The load balancer itself is on its way, or in error."""
    return Conflict(f"Invalid state {state} of loadbalancer resource {id}")


def over_quota(resource: str) -> QuotaExceeded:
    """A limit of the project is reached."""
    return QuotaExceeded(f"Quota has been met for resources: {resource}")


def unsupported(reason: str) -> NotImplementedHere:
    """An option that the provider doesn't have."""
    return NotImplementedHere(f"Provider '{PROVIDER}' does not support a requested option: {reason}")


def unavailable(what: str) -> NotImplementedHere:
    """An action that the provider doesn't have; *what* as octavia-lib says it."""
    return NotImplementedHere(f"Provider '{PROVIDER}' does not support a requested action: This provider does not "
                              f"support {what}.")


def not_enabled(provider: object) -> Invalid:
    """There is one provider."""
    return Invalid(f"Provider '{provider}' is not enabled.")
