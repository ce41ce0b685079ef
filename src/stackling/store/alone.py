"""One at a time over all control nodes, for what can't be a transaction: making and migrating tables.

Theory of operation. PostgreSQL has a lock for it, held by the session. MariaDB's named locks and table locks hold on
one Galera node only, so there a row is the lock: whoever's compare-and-set on it is committed (certification lets one
of two at a time through) has it until it gives it back or has not renewed it for ``LEASE`` seconds. The row's table is
made by whoever comes first, and belongs to no migration.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from stackling.store.faults import is_absent, is_conflict, plain

log = logging.getLogger(__name__)
LEASE, RENEW, LOOK = 30.0, 8.0, 0.5     # seconds
_NO_TABLE = 1146
_ADVISORY = 0x57ACC
_MAKE = text("CREATE TABLE IF NOT EXISTS schema_lock (name VARCHAR(16) NOT NULL PRIMARY KEY, owner VARCHAR(36), "
             "held_until DOUBLE NOT NULL)")
_THERE = text("SELECT name FROM schema_lock WHERE name = 'schema'")
_ROW = text("INSERT IGNORE INTO schema_lock VALUES ('schema', NULL, 0)")
_TAKE = text("UPDATE schema_lock SET owner = :me, held_until = :until WHERE name = 'schema' "
             "AND (owner IS NULL OR owner = :me OR held_until < :now)")
_GIVE = text("UPDATE schema_lock SET owner = NULL WHERE name = 'schema' AND owner = :me")


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Wait until nobody else is in here, on whatever node."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": _ADVISORY})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": _ADVISORY})
        return
    me, ended = str(uuid.uuid4()), threading.Event()
    while not _take(engine, me):
        time.sleep(LOOK)
    thread = threading.Thread(target=_renew, args=(engine, me, ended), name="schema-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with engine.begin() as connection:
            connection.execute(_GIVE, {"me": me})


def _take(engine: Engine, me: str) -> bool:
    """Get or renew it. Who only waits writes nothing: statements on tables stop every node for a moment."""
    now = time.time()
    try:
        with engine.begin() as connection:
            if connection.execute(_TAKE, {"me": me, "now": now, "until": now + LEASE}).rowcount == 1:
                return True
            if connection.execute(_THERE).first() is None:
                connection.execute(_ROW)
    except DBAPIError as error:
        if error.orig is not None and error.orig.args[:1] == (_NO_TABLE,):
            with engine.begin() as connection:
                connection.execute(_MAKE)
        elif not is_conflict(error) and not is_absent(error):
            raise
        else:
            log.info("the lock for the tables can't be had now: %s", plain(error))
    return False


def _renew(engine: Engine, me: str, ended: threading.Event) -> None:
    while not ended.wait(RENEW):
        if not _take(engine, me):
            log.warning("the lock for the tables could not be renewed")
