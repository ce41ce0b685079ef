"""A token by which a machine joins: where a control machine answers, whom to trust there, and a secret of its own."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from stackling.deploy.cluster.description import ClusterError

_PREFIX = "stackling-join-"


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``addresses`` are those of control machines, ``fingerprint`` is the SHA-256 of their authority's certificate."""

    addresses: tuple[str, ...]
    fingerprint: str
    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.id})"


def new(addresses: tuple[str, ...], fingerprint: str) -> Token:
    """A token that nobody can guess."""
    return Token(addresses, fingerprint, secrets.token_hex(8), secrets.token_urlsafe(32))


def write(token: Token) -> str:
    """As text without spaces."""
    return _PREFIX + urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def is_token(text: str) -> bool:
    """Whether *text* is meant to be one."""
    return text.startswith(_PREFIX)


def read(text: str) -> Token:
    """Raises ``ClusterError``."""
    encoded = text.strip().removeprefix(_PREFIX)
    try:
        return msgspec.json.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), type=Token)
    except (ValueError, msgspec.MsgspecError):
        raise ClusterError("this is no token, or not all of it; `stackling cluster token` on a control machine makes "
                           "one") from None
