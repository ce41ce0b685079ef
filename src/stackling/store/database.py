"""Open a database and run use-cases in transactions.

Theory of operation. A use-case is a plain function ``f(tx, …)`` that is run as a whole and, on a conflict that the
database reports (SQLite busy, MariaDB deadlock or Galera certification, PostgreSQL serialization) or that it finds
itself (``Raced``: the row has another generation than the one that it decided by), run again from its start; ids are
chosen outside, so a second run makes the same rows. Those of a process that are run again take turns: of many that want
the same row each try would otherwise defeat all the others'. Nudges collected by the transaction are sent after the
commit; losing them costs only the time until the next poll.

On a networked database every writing transaction also inserts a request row, whose id stays the same when it is run
again. If the answer to COMMIT is lost, that row tells whether the commit happened, as soon as the database answers
again; until that is known nothing is run again. If the first commit is still under way then, the second one's request
row meets it (its insertion waits, or its certification fails), and the row is looked for once more.

A database that isn't there (restarting, a Galera node without its cluster) is waited for: a reader for a moment, a
writer for longer, since a lost node is found and the others go on within seconds. After that it is ``Unavailable``.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from stackling.core.errors import Conflict, Invalid, Raced, Unavailable
from stackling.core.ids import new_id
from stackling.store.faults import is_absent, is_conflict, is_full, is_too_much, let_go, mixes_collations, plain
from stackling.store.tables.engine import requests
from stackling.store.transaction import Tx

if TYPE_CHECKING:
    from stackling.store.sealing import Seal

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)
ATTEMPTS = 24
RACES = 3
"""How often a use-case that met a row which it hadn't seen looks again, to refuse in its own words."""
READERS_WAIT, WRITERS_WAIT = 2.0, 10.0          # seconds for a database that isn't there
PAUSE = (0.05, 0.5)                             # seconds between two looks
TURN = 2.0                                      # seconds that one who lost waits for the others who did
AWAY = "The database isn't available; try again."
FULL = "The database's disk is full, or can't be written; the administrator has to make room on it."
UNSURE = "The database is away, and didn't say whether the change was made; look before you try again."
_MARIADB = {
    "connect_timeout": 3, "read_timeout": 30, "write_timeout": 30,      # seconds; one that hangs is one that is gone
    # A reader sees what was committed anywhere before it asked; a lock is waited for no longer than is worth it.
    "init_command": "SET SESSION wsrep_sync_wait = 1, innodb_lock_wait_timeout = 5",
}


class _AnswerLost(Exception):
    """COMMIT was sent and nothing came back: it may have happened. Carries what it would have returned."""

    def __init__(self, tx: Tx, result: Any, cause: DBAPIError) -> None:
        super().__init__(plain(cause))
        self.tx, self.result = tx, result


class Database:
    """One database; safe to share between threads.

    *url* is SQLAlchemy's. *durable* False trades the last transactions before a power cut for speed (SQLite
    only; a killed process loses nothing either way). ``seal`` is for what must not be readable in it; None in a process
    that has no cluster key.
    """

    def __init__(self, url: str, *, durable: bool = True, pool: int = 16) -> None:
        self.url = url
        self.on_nudge: Callable[[list[tuple[str, str]]], None] | None = None
        self.seal: Seal | None = None
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self.engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT",
                                        connect_args={"check_same_thread": False, "timeout": 30})
            event.listen(self.engine, "connect", _sqlite_pragmas("FULL" if durable else "NORMAL"))
        else:
            self.engine = create_engine(url, pool_size=pool, max_overflow=pool, pool_pre_ping=True, pool_recycle=3600,
                                        pool_timeout=WRITERS_WAIT, connect_args=_MARIADB if "mysql" in url else {},
                                        isolation_level="REPEATABLE READ" if "postgresql" in url else "READ COMMITTED")
        self.dialect = self.engine.dialect.name
        self._local = threading.local()
        self._open: list[Connection] = []
        self._open_lock, self._losers = threading.Lock(), threading.Lock()

    def read(self, use_case: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *use_case* over one consistent view; it must not write."""
        return self._run(False, use_case, args, kwargs)

    def write(self, use_case: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *use_case* in one transaction, again as a whole after a conflict; commits unless it raises.

        Raises ``Unavailable`` when the database is away for long or too busy.
        """
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
        lost: _AnswerLost | None = None
        patience, attempt = _Patience(WRITERS_WAIT if writing else READERS_WAIT), 1
        while True:
            try:
                if lost is not None and self._is_settled(request):
                    self._send(lost.tx)
                    return lost.result
                if self.is_sqlite:
                    return self._sqlite(writing, use_case, args, kwargs)
                with self._turn(writing and attempt > 1):
                    return self._networked(writing, request, use_case, args, kwargs)
            except _AnswerLost as answer:
                lost = answer
                log.warning("the answer to a commit is lost: %s", answer)
                if attempt >= ATTEMPTS:
                    raise Unavailable(UNSURE) from None
                attempt += 1
                patience = _Patience(WRITERS_WAIT)      # it was there a moment ago
            except (DataError, OverflowError) as error:
                log.info("a value that can't be stored: %s", plain(error))
                raise Invalid("A value in the request is out of range: no such number or text can be stored.") from None
            except IntegrityError as error:
                if attempt >= (RACES if lost is None else ATTEMPTS):
                    log.warning("lost a race %d times: %s", attempt, plain(error))
                    raise Conflict("Somebody else changed the same thing at the same time; try again.") from None
                attempt += 1
            except Raced:
                if not writing or self.is_sqlite or attempt >= ATTEMPTS:     # SQLite has one writer: it isn't a race
                    raise
                _pause(attempt)
                attempt += 1
            except PoolTimeout:
                raise Unavailable("The database is too busy; try again.") from None
            except DBAPIError as error:
                if not self._bear(error, attempt, patience):
                    raise Unavailable(AWAY if lost is None else UNSURE) from None
                attempt += is_conflict(error)

    def _bear(self, error: DBAPIError, attempt: int, patience: _Patience) -> bool:
        """Wait as long as is right before the next try; False when it is enough. Raises what isn't to be borne."""
        if mixes_collations(error):
            raise Invalid("A value in the request has characters that it can't have.") from None
        if is_too_much(error):
            raise Invalid("The request asks for too much at once, such as too many filters.") from None
        if is_full(error):
            log.error("nothing can be written: %s", plain(error))
            raise Unavailable(FULL) from None
        if is_conflict(error):
            if attempt >= ATTEMPTS:
                log.warning("transaction conflict, %d attempts: %s", attempt, plain(error))
                raise Unavailable("The database is too busy; try again.") from None
            log.debug("transaction conflict, attempt %d: %s", attempt, error.orig)
            _pause(attempt)
            return True
        if self.is_sqlite or not is_absent(error):
            raise error
        let_go(error)
        return patience.wait(error)

    @contextmanager
    def _turn(self, wanted: bool) -> Iterator[None]:
        """One who lost alone among them, unless another takes too long."""
        mine = wanted and self._losers.acquire(timeout=TURN)
        try:
            yield
        finally:
            if mine:
                self._losers.release()

    def _sqlite(self, writing: bool, use_case: Callable[..., T], args: Any, kwargs: Any) -> T:
        connection = self._thread_connection()
        raw: sqlite3.Connection = connection.connection.dbapi_connection    # type: ignore[assignment]
        _say(raw, "BEGIN IMMEDIATE" if writing else "BEGIN")
        tx = Tx(connection, writing=writing, seal=self.seal)
        try:
            result = use_case(tx, *args, **kwargs)
            tx.finish()
        except BaseException:
            if raw.in_transaction:              # SQLite has ended it by itself where there was no room
                raw.execute("ROLLBACK")
            raise
        try:
            _say(raw, "COMMIT")
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
        with self.engine.connect() as connection:
            tx = Tx(connection, writing=writing, seal=self.seal)
            if request is not None:
                connection.execute(insert(requests), {"id": request, "at": tx.time})
            result = use_case(tx, *args, **kwargs)
            tx.finish()
            if writing:
                try:
                    connection.commit()
                except DBAPIError as error:
                    if is_absent(error):
                        raise _AnswerLost(tx, result, error) from None
                    raise
        self._send(tx)
        return result

    def _is_settled(self, request: str | None) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(select(requests.c.id).where(requests.c.id == request)).first() is not None

    def _send(self, tx: Tx) -> None:
        if tx.nudged and self.on_nudge is not None:
            self.on_nudge(tx.nudged)


def _say(raw: sqlite3.Connection, command: str) -> None:
    """Its errors become the ones that every other statement raises."""
    try:
        raw.execute(command)
    except sqlite3.OperationalError as error:
        raise OperationalError(command, {}, error) from error


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, min(0.5, 0.005 * 2**attempt)))


def _sqlite_pragmas(synchronous: str) -> Callable[[sqlite3.Connection, Any], None]:
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "busy_timeout=30000", "foreign_keys=ON",
                       "temp_store=MEMORY", "cache_size=-16000", "wal_autocheckpoint=2000"):
            connection.execute(f"PRAGMA {pragma}")

    return connect


class _Patience:
    """How long a database that isn't there is waited for."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._end, self._pause = seconds, 0.0, PAUSE[0]

    def wait(self, error: DBAPIError) -> bool:
        """Pause; False when it has been long enough. The time runs from the first call."""
        now = time.monotonic()
        if not self._end:
            self._end = now + self._seconds
            log.warning("the database isn't there: %s", plain(error))
        if now >= self._end:
            return False
        time.sleep(min(self._pause, self._end - now))
        self._pause = min(PAUSE[1], self._pause * 2)
        return True


def engine_of(database: Database) -> Engine:
    """The SQLAlchemy engine, for migrations."""
    return database.engine
