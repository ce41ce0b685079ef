"""One process's identity service: keys, remembered tokens and verified passwords."""

from __future__ import annotations

import threading
from dataclasses import replace

from stackling.core.context import Context
from stackling.core.errors import StacklingError, Unauthorized
from stackling.identity import payload, state, tokens
from stackling.identity.keys import Box, FernetKeys
from stackling.identity.model import IdentityConfig
from stackling.identity.passwords import Verified
from stackling.identity.payload import Payload
from stackling.identity.refusals import unauthorized
from stackling.identity.tokens import Session, Snapshot
from stackling.store.transaction import Tx

_KEEP = 20_000


class Identity:
    """Made once in ``main/`` with the bytes of the cluster key file; safe to share between threads."""

    def __init__(self, cluster_key: bytes, config: IdentityConfig | None = None) -> None:
        self.config = config or IdentityConfig()
        self.box = Box(cluster_key)
        self.keys = FernetKeys(self.box, self.config.fernet_keys)
        self.verified = Verified(self.config.password_cache_seconds)
        self._sessions: dict[str, Session] = {}
        self._snapshot: Snapshot | None = None
        self._lock = threading.Lock()

    def authenticate(self, tx: Tx, token: str, request_id: str) -> Context:
        """Who holds *token*. Raises ``Unauthorized``."""
        return replace(self.session(tx, token).context, request_id=request_id)

    def session(self, tx: Tx, token: str, *, window: float = 0.0) -> Session:
        """What *token* means now; *window* lets it have expired that many seconds ago. Raises ``Unauthorized``."""
        generation = state.generation(tx)
        found = self._sessions.get(token)
        if found is None or found.snapshot.generation != generation or found.stale_at <= tx.time:
            content = payload.unpack(token, self.keys.ring(tx, generation))
            if content is None or content.expires / 1e6 + window <= tx.time:
                raise unauthorized()
            try:
                found = tokens.open_session(tx, self.snapshot(tx, generation), token, content)
            except Unauthorized:
                raise
            except StacklingError:                      # whatever it rested on is gone
                raise unauthorized() from None
            self._remember(found)
        if found.token.expires + window <= tx.time:
            raise unauthorized()
        return found

    def snapshot(self, tx: Tx, generation: int) -> Snapshot:
        """What all tokens share as of *generation*."""
        found = self._snapshot
        if found is None or found.generation != generation:
            found = self._snapshot = Snapshot(tx, generation)
        return found

    def issue(self, tx: Tx, content: Payload) -> Session:
        """A new token that says *content*. Raises ``Unauthorized`` where it would mean nothing."""
        generation = state.generation(tx)
        snapshot = self.snapshot(tx, generation)
        text = payload.pack(content, self.keys.ring(tx, generation))
        session = tokens.open_session(tx, snapshot, text, content)
        self._remember(session)
        return session

    def _remember(self, session: Session) -> None:
        with self._lock:
            if len(self._sessions) >= _KEEP:
                for old in list(self._sessions)[: _KEEP // 4]:
                    del self._sessions[old]
            self._sessions[session.text] = session
