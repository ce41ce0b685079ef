"""The generation of everything that Identity stores.

Theory of operation. Every writing use-case calls ``bump`` before it reads anything. That makes identity writers
wait for each other (the row lock; on Galera the certification of that one row), so "look, then insert" is safe on
every database; and it makes whatever a process has cached under an older generation stale at once, because readers
read the generation in the same transaction in which they use the cache.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select

from stackling.store.tables.identity import identity_state
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

_GENERATION = select(identity_state.c.generation).where(identity_state.c.id == 1)
_BUMP = upsert(identity_state, ["id"], insert={"generation": bindparam("p_first")},
               update={"generation": identity_state.c.generation + 1})


def generation(tx: Tx) -> int:
    """The present generation; 0 before the first write."""
    return tx.scalar(_GENERATION) or 0


def bump(tx: Tx) -> None:
    """Announce a write; the first thing that a writing use-case does."""
    tx.execute(_BUMP.on(tx.dialect), {"id": 1, "p_first": 1})
