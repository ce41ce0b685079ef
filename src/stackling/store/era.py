"""Notice that the database was put back to an older state, and raise the era.

Theory of operation. A mark rises in the database while things change in it, and a file beside the database follows it;
so the file is never ahead of the database, unless somebody has put back an older copy of the one and not of the other.
Then every generation in the database may be older than what agents and backends hold, who would refuse all of it: the
era goes up, and what the database says wins over every older fence. The file holds the era as well, so that the same
old copy put back twice gets two eras. A cloud that was put back as a whole, file and all, needs none of this: what
agents and backends hold is as old as the database then.

What was changed less than ``EVERY`` seconds before a power cut may be above the mark, and a copy of that very moment
isn't told from what it was a copy of.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import update

from stackling.store.database import Database
from stackling.store.tables.engine import work
from stackling.store.transaction import Tx

log = logging.getLogger(__name__)
ERA, MARK = "era", "mark"
EVERY = 1.0         # seconds between two looks at whether the mark must rise


@dataclass(frozen=True, slots=True)
class HighWater:
    """How far the database has come."""

    era: int = 1
    mark: int = 0


def check(database: Database, file: Path) -> bool:
    """Raise the era if *file* has seen more than the database; whether it was so. Called before anything works."""
    known, found = _read(file), database.read(_found)
    behind = known.mark > found.mark or known.era > found.era
    if behind:
        found = database.write(_raise, known)
        log.warning("the database is older than this cloud: a backup was restored. Era %d begins: what the database "
                    "says wins over whatever is younger elsewhere", found.era)
    if known != found:
        _write(file, found)
    return behind


class Keeper:
    """Lets the mark rise while the database changes. SQLite only; one a cloud."""

    def __init__(self, database: Database, file: Path) -> None:
        self._database, self._file = database, file
        self._seen: Any = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mark", daemon=True)

    def start(self) -> None:
        """Start in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Note the last changes, and stop."""
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._ending.wait(EVERY)
            try:
                self.look()
            except Exception as error:
                log.warning("the database's mark can't be kept: %s", error)

    def look(self) -> None:
        """Raise the mark if another connection has changed something since the last time."""
        version = self._database.read(lambda tx: tx.connection.exec_driver_sql("PRAGMA data_version").scalar())
        if version != self._seen:
            found = self._database.write(_rise)
            self._seen = version
            _write(self._file, found)


def _found(tx: Tx) -> HighWater:
    return HighWater(int(tx.setting(ERA) or 1), int(tx.setting(MARK) or 0))


def _rise(tx: Tx) -> HighWater:
    found = _found(tx)
    tx.set_setting(MARK, found.mark + 1)
    return HighWater(found.era, found.mark + 1)


def _raise(tx: Tx, known: HighWater) -> HighWater:
    found = _found(tx)
    new = HighWater(max(found.era, known.era) + 1, max(found.mark, known.mark) + 1)
    tx.set_setting(ERA, new.era)
    tx.set_setting(MARK, new.mark)
    tx.execute(update(work).values(due_at=tx.time, owner=None, lease_until=None, epoch=work.c.epoch + 1))
    return new


def _read(file: Path) -> HighWater:
    try:
        found = json.loads(file.read_text())
        return HighWater(int(found[ERA]), int(found[MARK]))
    except FileNotFoundError:
        return HighWater()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s can't be read (%s) and is made anew", file, error)
        return HighWater()


def _write(file: Path, found: HighWater) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps({ERA: found.era, MARK: found.mark}))
    fresh.chmod(0o600)
    fresh.replace(file)
