"""Identifiers: chosen by the caller before a transaction starts, so that a retry keeps them."""

import re
import uuid

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z")


def new_id() -> str:
    """A random UUID in its canonical form (servers, ports, images …)."""
    return str(uuid.uuid4())


def new_hex() -> str:
    """A random UUID as 32 hex digits (Identity's users, projects, domains)."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """``req-`` and a UUID, as every OpenStack service names a request."""
    return f"req-{uuid.uuid4()}"


def is_id(text: object) -> bool:
    """Whether *text* looks like an id of ours, with or without dashes."""
    return isinstance(text, str) and _UUID.match(text.lower()) is not None
