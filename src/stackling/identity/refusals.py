"""Keystone's refusals in Keystone's words."""

from __future__ import annotations

from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized

_CLIENT = (" The server could not comply with the request since it is either malformed or otherwise incorrect."
           " The client is assumed to be in error.")


def not_found(kind: str, id_: object) -> NotFound:
    """``Could not find user: abc.``"""
    return NotFound(f"Could not find {kind}: {id_}.", type=f"{kind.title().replace(' ', '')}NotFound")


def taken(kind: str, attribute: str, value: object) -> Conflict:
    """``Conflict occurred attempting to store user - Duplicate entry found with name abc.``"""
    return Conflict(f"Conflict occurred attempting to store {kind} - Duplicate entry found with {attribute} {value}.")


def expecting(attribute: str, target: str) -> Invalid:
    """``Expecting to find domain in project. …``"""
    return Invalid(f"Expecting to find {attribute} in {target}.{_CLIENT}")


def unauthorized() -> Unauthorized:
    """The same for every reason, so that nobody learns which it was."""
    return Unauthorized("The request you have made requires authentication.")


def forbidden(action: str) -> Forbidden:
    return Forbidden(f"You are not authorized to perform the requested action: {action}.")
