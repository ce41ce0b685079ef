"""The secrets of Identity: Fernet keys for tokens, and the box in which stored secrets are sealed.

The keys live in the database, sealed under the cluster key (a file that only nodes have), so that every node checks
every token and a stolen database forges none. As upstream's key repository: the highest number is the primary (it
signs), 0 is staged (it becomes the next primary, so every node knows it before it is used), the others only check.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stackling.core.errors import Unavailable
from stackling.identity import state
from stackling.store.transaction import Tx

SETTING = "identity.fernet_keys"
STAGED = 0


class Box:
    """Seals what must not be readable in the database; *cluster_key* is at least 32 random bytes."""

    def __init__(self, cluster_key: bytes) -> None:
        if len(cluster_key) < 32:
            raise ValueError("the cluster key has fewer than 32 bytes")
        derived = HKDF(SHA256(), 32, salt=None, info=b"stackling identity secrets v1").derive(cluster_key)
        self._fernet = Fernet(urlsafe_b64encode(derived))

    def seal(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """Raises ``Unavailable`` where the cluster key isn't the one that sealed it."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise Unavailable("A stored secret was sealed under another cluster key; restore the cluster key file "
                              "that belongs to this database.") from None

    def unseal(self, shown: bytes) -> bytes | None:
        """What we sealed and gave away; None where it isn't ours."""
        try:
            return self._fernet.decrypt(shown)
        except InvalidToken:
            return None


class FernetKeys:
    """The token keys as this process knows them; read again when the generation has moved."""

    def __init__(self, box: Box, keep: int) -> None:
        self._box, self._keep = box, max(keep, 3)
        self._at, self._ring = -1, None

    def ring(self, tx: Tx, generation: int) -> MultiFernet:
        """The keys, primary first. Raises ``Unavailable`` before first start has made them."""
        if self._ring is None or self._at != generation:
            stored: dict[str, str] | None = tx.setting(SETTING)
            if not stored:
                raise Unavailable("Identity has no token keys yet; the cloud's first start isn't finished.")
            numbers = sorted(map(int, stored), reverse=True)
            order = [n for n in numbers if n != STAGED] + [n for n in numbers if n == STAGED]
            self._ring = MultiFernet([Fernet(self._box.open(stored[str(n)].encode())) for n in order])
            self._at = generation
        return self._ring

    def create(self, tx: Tx) -> None:
        """Make a primary and a staged key where there are none."""
        if not tx.setting(SETTING):
            tx.set_setting(SETTING, {"0": self._new(), "1": self._new()})
            state.bump(tx)

    def rotate(self, tx: Tx) -> int:
        """Promote the staged key, stage a new one, forget the oldest beyond the limit; the primary's number."""
        state.bump(tx)
        stored: dict[str, str] = dict(tx.setting(SETTING) or {})
        primary = max(map(int, stored), default=0) + 1
        stored[str(primary)] = stored.get("0") or self._new()
        stored["0"] = self._new()
        for number in sorted(int(n) for n in stored if n != "0")[:max(0, len(stored) - self._keep)]:
            del stored[str(number)]
        tx.set_setting(SETTING, stored)
        return primary

    def _new(self) -> str:
        return self._box.seal(Fernet.generate_key()).decode()
