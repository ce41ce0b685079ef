"""What a database's errors mean: a conflict to run again after, an absence to wait out, a value that can't be, more.

MariaDB's numbers are its own; PostgreSQL's are SQLSTATEs; SQLite's are texts.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

_MYSQL_CONFLICTS = {1205, 1213, 1020}           # lock wait, deadlock or certification failure, record changed
_MYSQL_ABSENT = {
    1040, 1047, 1053,                           # too many connections, Galera not ready, shutting down
    1129, 1130, 1180, 1290, 1317, 1927,         # host blocked or unknown, no commit, read-only, interrupted, killed
    2002, 2003, 2006, 2013, 2055,               # can't connect, gone, lost in the middle
}
_MYSQL_TOO_MUCH = {1390, 1436}                  # too many placeholders, thread stack overrun
_PG_TOO_MUCH = {"54000", "54001", "54011", "54023"}
_MYSQL_FULL = {1021, 1114}                      # disk, table
_PG_FULL = {"53100"}
_PG_CONFLICTS = {"40001", "40P01", "55P03"}
_PG_ABSENT = {"57P01", "57P02", "57P03", "53300", "25006"}      # shutting down, starting, full, read-only


def plain(error: Exception) -> str:
    """What the database said, without the statement and its parameters, which may be secret."""
    return str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]


def let_go(error: BaseException) -> None:
    """Drop the frames that *error* and what led to it hold.

    A driver's failed connection is a cycle of its error, the frame that raised it and an SSL context, near a megabyte.
    The garbage collector counts objects, of which these are few: while a database is away, gigabytes would gather.
    """
    seen: list[BaseException] = []
    follow: list[object] = [error]
    while follow:
        one = follow.pop()
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            one.__traceback__ = None
            follow += [one.__cause__, one.__context__, getattr(one, "orig", None),
                       getattr(one, "original_exception", None)]


def mixes_collations(error: DBAPIError) -> bool:
    """MariaDB's way of saying that an ASCII column was compared with something else."""
    return _number(error) in {1267, 1270, 1271}


def is_too_much(error: DBAPIError) -> bool:
    """Whether the statement that a request led to is larger than the database takes."""
    if isinstance(error.orig, sqlite3.OperationalError):
        return str(error.orig).startswith(("Expression tree is too large", "too many SQL variables",
                                           "parser stack overflow", "LIKE or GLOB pattern too complex"))
    return _state(error) in _PG_TOO_MUCH or _number(error) in _MYSQL_TOO_MUCH


def is_full(error: DBAPIError) -> bool:
    """Whether there is no room for the change, or the disk refuses it."""
    if isinstance(error.orig, sqlite3.OperationalError):
        return str(error.orig).startswith(("database or disk is full", "disk I/O error"))
    return _state(error) in _PG_FULL or _number(error) in _MYSQL_FULL


def is_conflict(error: DBAPIError) -> bool:
    """Whether somebody else was quicker: nothing of the transaction is kept, and it may be run again."""
    if isinstance(error.orig, sqlite3.OperationalError):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    return _state(error) in _PG_CONFLICTS or _number(error) in _MYSQL_CONFLICTS


def is_absent(error: DBAPIError) -> bool:
    """Whether the database isn't there now, or is there and can't serve (a Galera node without its cluster)."""
    if error.connection_invalidated or _number(error) in _MYSQL_ABSENT:
        return True
    state = _state(error)
    if state is not None:
        return state in _PG_ABSENT or state.startswith("08")
    return _is_postgresql(error) and "connection" in str(error.orig)


def _is_postgresql(error: DBAPIError) -> bool:
    return type(error.orig).__module__.startswith("psycopg")


def _number(error: DBAPIError) -> object:
    """MariaDB's; None elsewhere."""
    cause = error.orig
    if cause is None or not cause.args or _is_postgresql(error) or isinstance(cause, sqlite3.Error):
        return None
    return cause.args[0]


def _state(error: DBAPIError) -> str | None:
    """PostgreSQL's; MariaDB's are too coarse to tell a conflict by."""
    return getattr(error.orig, "sqlstate", None) if _is_postgresql(error) else None
