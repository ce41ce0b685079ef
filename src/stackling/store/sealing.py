"""Secrets that lie in the database sealed: a stolen database opens none of them.

The key that seals is derived from the cluster key, a file (0600) that only machines with the control plane have. Two
purposes have two keys, so that what was sealed for one can't be passed off as the other's.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stackling.core.errors import Unavailable


class Seal:
    """Seals for one *purpose*; *cluster_key* is at least 32 random bytes."""

    def __init__(self, cluster_key: bytes, purpose: str) -> None:
        if len(cluster_key) < 32:
            raise ValueError("the cluster key has fewer than 32 bytes")
        info = f"stackling {purpose} v1".encode()
        derived = HKDF(SHA256(), 32, salt=None, info=info).derive(cluster_key)
        self._fernet = Fernet(urlsafe_b64encode(derived))

    def seal(self, secret: bytes) -> str:
        return self._fernet.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes:
        """Raises ``Unavailable`` where it was sealed under another cluster key."""
        try:
            return self._fernet.decrypt(sealed.encode())
        except InvalidToken:
            raise Unavailable("A stored secret was sealed under another cluster key; restore the cluster key file "
                              "that belongs to this database.") from None
