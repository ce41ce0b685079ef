"""The shipped engine is stopped in the middle of its work, past its lease, while a second one does all of it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stackling.cli import client as clients
from stackling.cli.client import Client
from tests.crash import second_engine
from tests.e2e.clouds import TestCloud

TAKEN_OVER = "somebody else has taken this turn over"
NAMES = 12
AUDIT = 150         # seconds in which the audit has found what was made after its deletion


@dataclass
class Paused:
    """Networks that clients change all the time, on a cloud whose engine is stopped."""

    cloud: TestCloud
    lease: float
    networks: dict[str, str] = field(default_factory=dict[str, str])
    """id: the name that it must have in the end"""
    gone: set[str] = field(default_factory=set[str])
    written: int = field(init=False)
    """How long the engine's log was to begin with: other stories are told on the same cloud."""

    def __post_init__(self) -> None:
        self.written = len(self._log())

    @property
    def client(self) -> Client:
        """A new one."""
        return clients.connect(self.cloud.directory)

    def stop_engine_in_a_turn(self) -> set[str]:
        """SIGSTOP it while it holds claims; the ids that it holds. Not inside of a transaction, which is why we hold
        the one that writes: everybody waits for a writer of SQLite that is stopped."""
        pid, busy = self.cloud.pid("control-engine"), threading.Event()
        with ThreadPoolExecutor(3) as pool:
            for number in range(3):
                pool.submit(self._make, f"net-{number}", busy)
            deadline = time.monotonic() + 60
            try:
                while time.monotonic() < deadline:
                    time.sleep(0.05)
                    with self._alone():
                        os.kill(pid, signal.SIGSTOP)
                        held = self.held()
                    if held & set(self.networks):
                        return held
                    os.kill(pid, signal.SIGCONT)
            finally:
                busy.set()
        raise AssertionError("the engine was never met at work")

    def _make(self, name: str, done: threading.Event) -> None:
        client, number = self.client, 0
        while not done.is_set() and number < 400:
            number += 1
            called = f"{name}-{number}"
            id = client.post("network", "/networks", {"network": {"name": called}})["network"]["id"]
            self.networks[id] = called

    def change_everything(self, held: set[str]) -> None:
        """Half of what the sleeper holds goes, the other half and a few more get another name."""
        client = self.client
        for number, id in enumerate(sorted(held & set(self.networks))):
            if number % 2:
                client.delete("network", f"/networks/{id}")
                self.gone.add(id)
                del self.networks[id]
        for id in [*(held & set(self.networks)), *list(self.networks)[:NAMES]]:
            client.put("network", f"/networks/{id}", {"network": {"name": f"renamed-{id}"}})
            self.networks[id] = f"renamed-{id}"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else is in the middle of a transaction that writes."""
        database = sqlite3.connect(self.cloud.directory.database, timeout=30, isolation_level=None)
        with contextlib.closing(database):
            database.execute("BEGIN IMMEDIATE")
            yield
            database.execute("ROLLBACK")

    def held(self) -> set[str]:
        """The ids that the shipped engine has claimed and hasn't settled."""
        return self._ids("SELECT id FROM work WHERE owner <> ?", second_engine.OWNER)

    def unfinished(self) -> set[str]:
        """Everything that is due or claimed."""
        return self._ids("SELECT id FROM work WHERE kind <> 'server' AND (due_at IS NOT NULL OR owner IS NOT NULL)")

    def _ids(self, query: str, *values: str) -> set[str]:
        database = sqlite3.connect(f"file:{self.cloud.directory.database}?mode=ro", uri=True, timeout=10)
        with contextlib.closing(database):
            return {row[0] for row in database.execute(query, values)}

    def engine_log(self) -> str:
        """What the shipped engine has written since."""
        return self._log()[self.written:]

    def _log(self) -> str:
        return self.cloud.directory.log_file("control-engine").read_text()


@contextlib.contextmanager
def second(cloud: TestCloud) -> Iterator[None]:
    """A second engine works."""
    process = subprocess.Popen([sys.executable, "-m", second_engine.__name__, str(cloud.directory.root)],
                               stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "works"
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def sleep_past_the_lease(cloud: TestCloud, lease: float, backend: Callable[[], dict[str, str]]) -> None:
    """The whole story. *backend* gives the name of each network in the fabric, by id."""
    paused = Paused(cloud, lease)
    pid = cloud.pid("control-engine")
    stopped_at = time.monotonic()
    try:
        held = paused.stop_engine_in_a_turn()
        stopped_at = time.monotonic()
        assert TAKEN_OVER not in paused.engine_log()
        with second(cloud):
            paused.change_everything(held)
            cloud.eventually(paused.unfinished, lambda left: left <= held, lease / 2)
            cloud.eventually(paused.unfinished, lambda left: not left, lease + 60)
            assert time.monotonic() - stopped_at > lease - 1, "nobody takes over what is leased"
            before = backend()
            assert {id: before.get(id) for id in paused.networks} == paused.networks
            assert not paused.gone & set(before)
            os.kill(pid, signal.SIGCONT)
            cloud.eventually(paused.engine_log, lambda text: TAKEN_OVER in text, 30)
            cloud.eventually(paused.held, lambda left: not left, 30)
            assert before.items() <= backend().items(), "what woke up changed nothing that is wanted"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert cloud.pid("control-engine") == pid
    cloud.eventually(paused.unfinished, lambda left: not left, 60)
    cloud.eventually(backend, lambda found: found == before, AUDIT)     # what had never been there could refuse nothing
    shown = {one["id"]: (one["name"], one["status"]) for one in paused.client.get("network", "/networks")["networks"]}
    assert {id: shown.get(id) for id in paused.networks} == {
        id: (name, "ACTIVE") for id, name in paused.networks.items()}
    assert not paused.gone & set(shown)
    for id in paused.networks:
        paused.client.delete("network", f"/networks/{id}")
    cloud.eventually(backend, lambda left: not set(left) & set(paused.networks), 90)
