"""Open a database and run use-cases in transactions.

Theory of operation. A use-case is a plain function ``f(tx, …)`` that is run as a whole and, on a conflict that
the database reports (SQLite busy, MariaDB deadlock or Galera certification, PostgreSQL serialization), run again
from its start; ids are chosen outside, so a second run makes the same rows. On a networked database every
writing transaction also inserts a request row: if the connection is lost while the answer to COMMIT is on its
way, that row tells whether the commit happened. Nudges collected by the transaction are sent after the commit;
losing them costs only the time until the next poll.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from stackling.core.errors import Conflict, Invalid, Unavailable
from stackling.core.ids import new_id
from stackling.store.tables.engine import requests
from stackling.store.transaction import Tx

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)
ATTEMPTS = 12
RACES = 3
"""How often a use-case that met a row which it hadn't seen looks again, to refuse in its own words."""
_MYSQL_CONFLICTS = {1205, 1213, 1020, 1047}     # lock wait, deadlock, record changed, Galera not ready
_MYSQL_TOO_MUCH = {1390, 1436}                  # too many placeholders, thread stack overrun
_PG_TOO_MUCH = {"54000", "54001", "54011", "54023"}
_PG_CONFLICTS = {"40001", "40P01", "55P03"}


class Database:
    """One database; safe to share between threads.

    *url* is SQLAlchemy's. *durable* False trades the last transactions before a power cut for speed (SQLite
    only; a killed process loses nothing either way).
    """

    def __init__(self, url: str, *, durable: bool = True, pool: int = 16) -> None:
        self.url = url
        self.on_nudge: Callable[[list[tuple[str, str]]], None] | None = None
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self.engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT",
                                        connect_args={"check_same_thread": False, "timeout": 30})
            event.listen(self.engine, "connect", _sqlite_pragmas("FULL" if durable else "NORMAL"))
        else:
            self.engine = create_engine(url, pool_size=pool, max_overflow=pool, pool_pre_ping=True, pool_recycle=3600,
                                        isolation_level="REPEATABLE READ" if "postgresql" in url else "READ COMMITTED")
        self.dialect = self.engine.dialect.name
        self._local = threading.local()
        self._open: list[Connection] = []
        self._open_lock = threading.Lock()

    def read(self, use_case: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *use_case* over one consistent view; it must not write."""
        return self._run(False, use_case, args, kwargs)

    def write(self, use_case: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *use_case* in one transaction, again as a whole after a conflict; commits unless it raises."""
        return self._run(True, use_case, args, kwargs)

    def close(self) -> None:
        """Close every connection."""
        with self._open_lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()
        self.engine.dispose()

    # -- how

    def _run(self, writing: bool, use_case: Callable[..., T], args: Any, kwargs: Any) -> T:
        request = new_id() if writing and not self.is_sqlite else None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return (self._sqlite if self.is_sqlite else self._networked)(writing, request, use_case, args, kwargs)
            except (DataError, OverflowError) as error:
                log.info("a value that can't be stored: %s", _plain(error))
                raise Invalid("A value in the request is out of range: no such number or text can be stored.") from None
            except IntegrityError as error:
                if attempt >= RACES:
                    log.warning("lost a race %d times: %s", attempt, _plain(error))
                    raise Conflict("Somebody else changed the same thing at the same time; try again.") from None
            except DBAPIError as error:
                if _mixes_collations(error):
                    raise Invalid("A value in the request has characters that it can't have.") from None
                if _is_too_much(error):
                    raise Invalid("The request asks for too much at once, such as too many filters.") from None
                if not _is_conflict(error):
                    raise
                if attempt == ATTEMPTS:
                    log.warning("transaction conflict, %d attempts: %s", attempt, _plain(error))
                    break
                log.debug("transaction conflict, attempt %d: %s", attempt, error.orig)
                time.sleep(random.uniform(0, min(0.5, 0.005 * 2**attempt)))
        raise Unavailable("The database is too busy; try again.")

    def _sqlite(self, writing: bool, _request: str | None, use_case: Callable[..., T], args: Any, kwargs: Any) -> T:
        connection = self._thread_connection()
        raw: sqlite3.Connection = connection.connection.dbapi_connection    # type: ignore[assignment]
        raw.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        tx = Tx(connection, writing=writing)
        try:
            result = use_case(tx, *args, **kwargs)
        except BaseException:
            raw.execute("ROLLBACK")
            raise
        try:
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        self._send(tx)
        return result

    def _thread_connection(self) -> Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.engine.connect()
            with self._open_lock:
                self._open.append(connection)
        return connection

    def _networked(self, writing: bool, request: str | None, use_case: Callable[..., T], args: Any, kwargs: Any) -> T:
        connection = self.engine.connect()
        with connection:
            tx = Tx(connection, writing=writing)
            if request is not None:
                connection.execute(insert(requests), {"id": request, "at": tx.time})
            result = use_case(tx, *args, **kwargs)
            if writing:
                try:
                    connection.commit()
                except DBAPIError as error:
                    if not error.connection_invalidated or not self._is_settled(request):
                        raise
        self._send(tx)
        return result

    def _is_settled(self, request: str | None) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(select(requests.c.id).where(requests.c.id == request)).first() is not None

    def _send(self, tx: Tx) -> None:
        if tx.nudged and self.on_nudge is not None:
            self.on_nudge(tx.nudged)


def _sqlite_pragmas(synchronous: str) -> Callable[[sqlite3.Connection, Any], None]:
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "busy_timeout=30000", "foreign_keys=ON",
                       "temp_store=MEMORY", "cache_size=-16000", "wal_autocheckpoint=2000"):
            connection.execute(f"PRAGMA {pragma}")

    return connect


def _plain(error: Exception) -> str:
    """What the database said, without the statement and its parameters, which may be secret."""
    return str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]


def _mixes_collations(error: DBAPIError) -> bool:
    """MariaDB's way of saying that an ASCII column was compared with something else."""
    cause = error.orig
    return bool(cause is not None and cause.args and cause.args[0] in {1267, 1270, 1271})


def _is_too_much(error: DBAPIError) -> bool:
    """Whether the statement that a request led to is larger than the database takes."""
    cause = error.orig
    if isinstance(cause, sqlite3.OperationalError):
        return str(cause).startswith(("Expression tree is too large", "too many SQL variables", "parser stack overflow",
                                      "LIKE or GLOB pattern too complex"))
    if getattr(cause, "sqlstate", None) in _PG_TOO_MUCH:
        return True
    return bool(cause is not None and cause.args and cause.args[0] in _MYSQL_TOO_MUCH)


def _is_conflict(error: DBAPIError) -> bool:
    cause = error.orig
    if error.connection_invalidated:
        return True
    if isinstance(cause, sqlite3.OperationalError):
        return "locked" in str(cause) or "busy" in str(cause)
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return state in _PG_CONFLICTS
    number = cause.args[0] if cause is not None and cause.args else None
    return number in _MYSQL_CONFLICTS


def engine_of(database: Database) -> Engine:
    """The SQLAlchemy engine, for migrations."""
    return database.engine
