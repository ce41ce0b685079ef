"""A writer whose connection breaks while it commits: the change is made once, and its result is told.

Between us and MariaDB stands a proxy that breaks a connection at a chosen COMMIT, before or after it went through.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import func, select

from stackling.core.errors import Unavailable
from stackling.store import database as databases_module
from stackling.store.database import Database
from stackling.store.tables import engine, metadata
from stackling.store.tables.engine import tombstones
from stackling.store.transaction import Tx
from tests import databases

_names = count(1)
WRITE, COMMIT = b"INSERT INTO tombstones", b"\x03COMMIT"


class Proxy:
    """``lose``: the next COMMIT of a writer is passed on ("after") or not ("before"), and nothing comes back. ``away``:
    seconds for which nobody gets in after that."""

    def __init__(self, path: Path, server: str) -> None:
        self.lose: list[str] = []
        self.away, self.lost = 0.0, 0
        self._server, self._until = server, 0.0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if time.monotonic() < self._until:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, towards_server: bool) -> None:
        written = False
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                written |= WRITE in data
                if towards_server and written and self.lose and COMMIT in data:
                    how = self.lose.pop(0)
                    self._until = time.monotonic() + self.away
                    self.lost += 1
                    source.shutdown(socket.SHUT_RDWR)           # the client is told nothing
                    if how == "after":
                        target.sendall(data)
                        target.recv(1 << 10)
                    break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def through(database_servers: Callable[[str], str], tmp_path: Path) -> Iterator[tuple[Proxy, Database]]:
    direct = databases.create_database(database_servers(databases.MARIADB), f"lost{next(_names)}")
    server = direct.partition("unix_socket=")[2].partition("&")[0]
    made = Database(direct)
    metadata.create_all(made.engine, tables=[engine.work, engine.requests, engine.settings, engine.tombstones])
    made.close()
    proxy = Proxy(tmp_path / "p", server)
    found = Database(direct.replace(server, str(tmp_path / "p")))
    yield proxy, found
    found.close()
    proxy.close()


def _write(tx: Tx, runs: list[int]) -> str:
    runs.append(1)
    tx.execute(tombstones.insert(), {"kind": "thing", "id": f"{len(runs)}", "generation": 1, "deleted_at": tx.now})
    return f"made by run {len(runs)}"


def _rows(database: Database) -> int:
    return int(database.read(lambda tx: tx.scalar(select(func.count()).select_from(tombstones))))


@pytest.mark.parametrize(("losses", "runs"), [
    (["after"], 1), (["before"], 2), (["before", "after"], 2), (["before", "before", "after"], 3)])
@pytest.mark.parametrize("away", [0.0, 1.5])
def test_a_lost_answer_is_settled(through: tuple[Proxy, Database], losses: list[str], runs: int, away: float) -> None:
    proxy, database = through
    proxy.lose, proxy.away = list(losses), away
    done: list[int] = []
    sent: list[tuple[str, str]] = []
    database.on_nudge = sent.extend

    def use_case(tx: Tx) -> str:
        tx.nudge("thing", "1")
        return _write(tx, done)

    assert database.write(use_case) == f"made by run {runs}"
    assert proxy.lost == len(losses)
    assert (len(done), _rows(database)) == (runs, 1)
    assert sent == [("thing", "1")]


def test_a_reader_doesn_t_wait_long_and_a_writer_says_that_it_is_unsure(
        through: tuple[Proxy, Database], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, database = through
    monkeypatch.setattr(databases_module, "READERS_WAIT", 0.2)
    monkeypatch.setattr(databases_module, "WRITERS_WAIT", 0.5)
    proxy.lose, proxy.away = ["after"], 3600.0
    with pytest.raises(Unavailable, match="look before"):
        database.write(_write, [])
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="isn't available"):
        database.read(lambda tx: tx.setting("x"))
    assert time.monotonic() - begun < 5
