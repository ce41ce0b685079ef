"""``POST /internal/cluster/booted``: a machine that has just booted asks whether it may join the cluster. A member by
pacemaker_remote says ``…/leaving`` before that stops, and ``…/present`` after it has started.

It must work without a database, and is asked while there is none: the certificate says who asks, which is enough,
since nobody can say it of another machine. That it lives is written down when the database can take it.
"""

from __future__ import annotations

import logging
import threading

import msgspec

from stackling.core.errors import StacklingError
from stackling.drivers.pacemaker import connection
from stackling.drivers.pacemaker.returning import admit
from stackling.ha import facade as ha
from stackling.store.database import Database

log = logging.getLogger(__name__)


class Booted(msgspec.Struct, frozen=True):
    """What the machine says."""

    boot_id: str


class Answer(msgspec.Struct, frozen=True):
    """Why to wait; "" when it may join."""

    wait: str


class Returning:
    """Over Pacemaker on this machine, and the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing = threading.Lock()

    def booted(self, machine: str, said: Booted) -> Answer:
        """Have Pacemaker forget the former life of *machine*."""
        threading.Thread(target=self._note, args=(machine, said.boot_id), name="booted", daemon=True).start()
        wait = admit(machine)
        log.info("%s has booted: %s", machine, wait or "it may join")
        return Answer(wait)

    def leaving(self, machine: str) -> Answer:
        """End Pacemaker's connection to *machine*, which asks again until there is nothing to wait for."""
        wait = connection.leave(machine)
        log.info("%s leaves: %s", machine, wait or "it may go")
        return Answer(wait)

    def present(self, machine: str) -> Answer:
        """Have Pacemaker connect to *machine* again, where it had said that it leaves."""
        return Answer(connection.take_in(machine))

    def _note(self, machine: str, boot_id: str) -> None:
        if not self._writing.acquire(blocking=False):
            return                      # the one under way says as much
        try:
            self._database.write(ha.booted, machine, boot_id)
        except StacklingError as error:
            log.info("that %s has booted isn't written down: %s", machine, error.message)
        finally:
            self._writing.release()
