"""Password hashing, and the memory of what was verified a moment ago.

Theory of operation. A verification costs about 50 ms of CPU on purpose, so it runs outside any transaction, in a
thread (argon2 releases the interpreter lock). What was verified is remembered for a few minutes as a keyed BLAKE2
of user id, password and stored hash under a key that this process drew at its start: neither the password nor
anything that a memory dump of another process could use. Because the stored hash is part of it, and the user's row
(hash, enabled, lock-out) is read again in the very transaction that builds the token, a changed password makes the
memory worthless at once on every node.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)
_DUMMY = "$argon2id$v=19$m=32768,t=2,p=1$VMEMO/ejYqt0c47Q181B+g$IRWcSJP/jBXtp0XxP77YecAF/SrvWfvck4dzVp9bgDk"
_KEEP = 4096


def hash_password(password: str) -> str:
    """Argon2id, about 50 ms."""
    return _HASHER.hash(password)


def verify(stored: str | None, password: str) -> bool:
    """Whether *password* is the one; the same work where there is none (*stored* is None)."""
    try:
        return _HASHER.verify(stored or _DUMMY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


class Verified:
    """Passwords that were right within the last *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = min(seconds, 300.0)
        self._key = os.urandom(32)
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, user_id: str, password: str, stored: str) -> bool:
        until = self._seen.get(self._digest(user_id, password, stored))
        return until is not None and time.monotonic() < until

    def remember(self, user_id: str, password: str, stored: str) -> None:
        if self._seconds <= 0:
            return
        digest = self._digest(user_id, password, stored)
        with self._lock:
            self._seen[digest] = time.monotonic() + self._seconds
            self._seen.move_to_end(digest)
            while len(self._seen) > _KEEP:
                self._seen.popitem(last=False)

    def _digest(self, user_id: str, password: str, stored: str) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in (user_id, password, stored):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(4, "big") + data)
        return digest.digest()
