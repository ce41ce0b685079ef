"""What a token carries: as little as makes it checkable, in MessagePack, signed and encrypted by Fernet."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode

import msgspec
from cryptography.fernet import InvalidToken, MultiFernet

METHODS = ("password", "token", "application_credential", "totp", "external", "mapped", "openid", "oauth2_credential",
           "oauth1", "ec2credential")
"""Bit positions; only ever appended to."""
MAPPED = "mapped"
"""The method of every federation protocol that has no name of its own above; the token shows the protocol's."""


class Federation(msgspec.Struct, frozen=True, array_like=True):
    """Who vouches for a federated user, and the groups that the mapping gave (``compact`` ids)."""

    idp_id: str
    protocol_id: str
    groups: tuple[bytes, ...] = ()


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """``scope`` is the kind: "" none, "p" project, "d" domain, "s" system, "t" trust. Times are µs since the epoch."""

    user: bytes
    methods: int
    scope: str
    target: bytes | None
    issued: int
    expires: int
    audit_ids: tuple[str, ...]
    application_credential: bytes | None = None
    trust: bytes | None = None
    access_token: bytes | None = None
    federation: Federation | None = None

    @property
    def user_id(self) -> str:
        return text(self.user)

    @property
    def target_id(self) -> str | None:
        return None if self.target is None else text(self.target)

    @property
    def method_names(self) -> list[str]:
        found = [name for bit, name in enumerate(METHODS) if self.methods >> bit & 1]
        if self.federation is None or self.federation.protocol_id in METHODS:
            return found
        return [self.federation.protocol_id if name == MAPPED else name for name in found]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Payload).decode
_MAX_TOKEN = 8192
"""Bytes; each group of a federated user takes 24."""


def compact(id_: str) -> bytes:
    """32 or 64 lower-case hex digits as bytes behind an ``h``, anything else as it is behind a ``t``."""
    if len(id_) in (32, 64):
        try:
            raw = bytes.fromhex(id_)
        except ValueError:
            raw = b""
        if raw.hex() == id_:
            return b"h" + raw
    return b"t" + id_.encode()


def text(id_: bytes) -> str:
    """The reverse of ``compact``."""
    return id_[1:].hex() if id_[:1] == b"h" else id_[1:].decode()


def methods_bits(names: list[str]) -> int:
    bits = 0
    for name in names:
        bits |= 1 << METHODS.index(name if name in METHODS else MAPPED)
    return bits


def new_audit_id() -> str:
    """16 random bytes as 22 characters."""
    return urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()


def pack(payload: Payload, ring: MultiFernet) -> str:
    """The token."""
    return ring.encrypt(_encode(payload)).rstrip(b"=").decode()


def unpack(token: str, ring: MultiFernet) -> Payload | None:
    """What *token* says, or None where we never issued it (or its key is gone)."""
    if not 80 <= len(token) <= _MAX_TOKEN:
        return None
    try:
        return _decode(ring.decrypt(token + "=" * (-len(token) % 4)))
    except (InvalidToken, msgspec.DecodeError, ValueError):
        return None
