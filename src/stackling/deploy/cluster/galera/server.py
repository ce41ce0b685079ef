"""One MariaDB server as a child: its data directory, its position, its start, what it says of itself, its end."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.deploy.cluster.galera.layout import ACCOUNT, DATABASE, USER, Layout
from stackling.deploy.cluster.galera.rules import NOWHERE

log = logging.getLogger(__name__)
MARIADBD, INSTALL = "/usr/sbin/mariadbd", "mariadb-install-db"
RECOVERY_LIMIT = 3600.0     # seconds for InnoDB's crash recovery
SQL_LIMIT = 3
_EMPTY = "00000000-0000-0000-0000-000000000000"
_POSITION = re.compile(r"WSREP: Recovered position:? *([0-9a-f-]{36}):(-?\d+)")
_SYNCED = "4"
_AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig=KILL", "--")


@dataclass(frozen=True, slots=True)
class Position:
    """Where the data in the directory stand. ``seqno`` is ``NOWHERE`` when there is no complete copy."""

    uuid: str
    seqno: int

    @property
    def has_data(self) -> bool:
        """Whether there is a whole database."""
        return self.uuid != _EMPTY and self.seqno != NOWHERE


NOTHING = Position(_EMPTY, NOWHERE)


@dataclass(frozen=True, slots=True)
class Status:
    """What the server says: whether it belongs to a primary component, has caught up, how many they are, and how many
    changes it has received and not yet applied.
    """

    primary: bool
    synced: bool
    size: int
    queue: int


class Server:
    """At most one child at a time."""

    def __init__(self, at: Layout) -> None:
        self._at = at
        self._child: subprocess.Popen[bytes] | None = None
        account = pwd.getpwnam(USER)
        self._owner = (account.pw_uid, account.pw_gid)

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._child is not None and self._child.poll() is None

    def prepare(self) -> None:
        """Directories; the data directory may be empty. Nothing of an earlier life stays open."""
        self._at.socket.unlink(missing_ok=True)
        for directory in (self._at.paths.state, self._at.paths.run):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            directory.chmod(directory.stat().st_mode | 0o011)           # the server's account passes through
        for directory in (self._at.run, self._at.data):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chown(directory, *self._owner)
        self._at.run.chmod(0o755)

    def create(self) -> None:
        """A new, empty database, unless there is one; as a whole or not at all."""
        if (self._at.data / "mysql").exists():
            return
        fresh = self._at.data.with_name("database-new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        os.chown(fresh, *self._owner)
        subprocess.run([INSTALL, "--no-defaults", f"--user={USER}", f"--datadir={fresh}", "--skip-test-db",
                        "--auth-root-authentication-method=socket", "--auth-root-socket-user=root",
                        "--cross-bootstrap"], check=True, capture_output=True, timeout=300)
        shutil.rmtree(self._at.data, ignore_errors=True)
        fresh.rename(self._at.data)

    def position(self) -> Position:
        """Read or recover it (which replays InnoDB's log). Raises ``subprocess.SubprocessError``."""
        known = _read_state(self._at.data / "grastate.dat")
        if not (self._at.data / "ibdata1").exists():
            return NOTHING
        if known is not None and (known.uuid == _EMPTY or known.seqno != NOWHERE):
            return known
        done = subprocess.run([MARIADBD, f"--defaults-file={self._at.configuration}", "--wsrep-recover",
                               "--disable-log-error"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, timeout=RECOVERY_LIMIT, check=False)
        text = done.stderr.decode(errors="replace")
        found = _POSITION.search(text)
        if done.returncode != 0 or found is None:
            raise subprocess.SubprocessError(f"the position couldn't be recovered: {text[-2000:]}")
        return Position(found[1], int(found[2]))

    def launch(self, position: Position, *, bootstrap: bool) -> None:
        """Start it: as the first of a component, or to join one. It dies with the calling thread."""
        argv = [*_AS_USER, MARIADBD, f"--defaults-file={self._at.configuration}"]
        if position.has_data:
            argv.append(f"--wsrep-start-position={position.uuid}:{position.seqno}")
        if bootstrap:
            argv.append("--wsrep-new-cluster")
            _mark_safe(self._at.data / "grastate.dat")
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": str(self._at.data)}
        self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=env, cwd="/")

    def status(self) -> Status | None:
        """What it says; None while it doesn't answer."""
        try:
            rows = dict(self._query("SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_ready', "
                                    "'wsrep_local_state', 'wsrep_cluster_size', 'wsrep_local_recv_queue')"))
        except Exception as error:
            log.debug("the server doesn't answer: %s", error)
            return None
        return Status(rows.get("wsrep_cluster_status") == "Primary",
                      rows.get("wsrep_local_state") == _SYNCED and rows.get("wsrep_ready") == "ON",
                      int(rows.get("wsrep_cluster_size", 0)), int(rows.get("wsrep_local_recv_queue", 0)))

    def accounts(self, password: str) -> None:
        """The database, its account, and the one by which a copy for another node is made. Idempotent."""
        quoted = "'" + password.replace("\\", "\\\\").replace("'", "''") + "'"
        for statement in (
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4",
            f"CREATE USER IF NOT EXISTS '{ACCOUNT}'@'localhost' IDENTIFIED BY {quoted}",
            f"ALTER USER '{ACCOUNT}'@'localhost' IDENTIFIED BY {quoted}",
            f"GRANT ALL ON {DATABASE}.* TO '{ACCOUNT}'@'localhost'",
            f"CREATE USER IF NOT EXISTS '{USER}'@'localhost' IDENTIFIED VIA unix_socket",
            f"GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO '{USER}'@'localhost'",
        ):
            self._query(statement)

    def open(self) -> None:
        """Let others in."""
        link = self._at.socket.with_suffix(".new")
        link.unlink(missing_ok=True)
        link.symlink_to(self._at.private_socket.relative_to(self._at.socket.parent))
        link.replace(self._at.socket)

    def stop(self, patience: float) -> None:
        """Let it say good-bye, for *patience* seconds at most; 0: as if the power were gone."""
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM if patience else signal.SIGKILL)
            try:
                child.wait(patience or None)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._at.socket.unlink(missing_ok=True)
        self._child = None

    def _query(self, statement: str) -> list[Any]:
        import pymysql

        connection = pymysql.connect(unix_socket=str(self._at.private_socket), user="root", connect_timeout=SQL_LIMIT,
                                     read_timeout=SQL_LIMIT * 10, autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()


def _read_state(path: Path) -> Position | None:
    try:
        words = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line and line[0] != "#")
        return Position(words["uuid"].strip(), int(words["seqno"]))
    except (OSError, KeyError, ValueError):
        return None


def _mark_safe(path: Path) -> None:
    """Galera bootstraps only from a node that left last; the start programs have found out who may."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return
    path.write_text(re.sub(r"(?m)^safe_to_bootstrap:.*$", "safe_to_bootstrap: 1", text))
