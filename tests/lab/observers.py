"""What watches a cluster while it is broken: does the API answer, do servers, and does any of them run twice."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from stackling.lab import Lab, Machine
from tests.lab.api import Api
from tests.lab.inside import Inside

EVERY = 0.2     # seconds between looks


@dataclass
class Outcome:
    """Looks at one thing: (when, whether it was well), by the monotonic clock."""

    looks: list[tuple[float, bool]] = field(default_factory=list)
    words: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, well: bool, why: str = "") -> None:
        self.looks.append((time.monotonic(), well))
        if why:
            self.words[why] += 1

    def gap(self, since: float) -> float:
        """The longest time between two good looks after *since* (which counts as one), up to the last look."""
        times = [since, *(at for at, well in self.looks if well and at >= since)]
        last = max([since, *(at for at, _ in self.looks)])
        return max((later - earlier for earlier, later in zip(times, [*times[1:], last], strict=True)), default=0.0)

    def well_since(self, since: float) -> float | None:
        """The first good look after *since* with no bad one behind it."""
        bad = max((at for at, well in self.looks if not well), default=since)
        return next((at for at, well in self.looks if well and at > max(bad, since)), None)


class Observer:
    """A thread that looks until it is stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        raise NotImplementedError

    def start(self, inside: Inside | None, name: str) -> None:
        def work() -> None:
            while not self._stop.wait(EVERY):
                self.look()

        if inside is None:
            self._thread = threading.Thread(target=work, name=name, daemon=True)
            self._thread.start()
        else:
            self._thread = inside.spawn(work, name)

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)


class ApiWatch(Observer):
    """Reads and writes through the virtual IP, each look over a connection of its own, as new clients do: one begins
    whether or not those before it have had their answers, so that nobody's patience with a lost one counts."""

    def __init__(self, api: Api, server: str) -> None:
        super().__init__()
        self._api, self._server, self._count = api, server, 0
        self._api.token()       # that the looks share
        self.outcome = Outcome()

    def look(self) -> None:
        self._count += 1
        threading.Thread(target=self._look, args=(self._count,), daemon=True).start()

    def _look(self, count: int) -> None:
        api = self._api.another()
        try:
            path = f"/compute/v2.1/servers/{self._server}"
            read = api.call("GET", path)
            write = api.call("PUT", f"{path}/metadata/look", {"meta": {"look": str(count)}})
        except (httpx.HTTPError, OSError) as error:
            self.outcome.add(False, type(error).__name__)
            return
        finally:
            api.close()
        worst = max(read.status_code, write.status_code)
        self.outcome.add(worst < 400, "" if worst < 400 else str(worst))


class SshWatch(Observer):
    """Whether each floating IP's SSH server greets."""

    def __init__(self, addresses: dict[str, str]) -> None:
        super().__init__()
        self.addresses = addresses
        self.outcomes = {name: Outcome() for name in addresses}

    def look(self) -> None:
        threads = [self._spawn(name, address) for name, address in self.addresses.items()]
        for thread in threads:
            thread.join()

    def _spawn(self, name: str, address: str) -> threading.Thread:
        # A thread is born in the namespace of the one that starts it.
        thread = threading.Thread(target=self._greeted, args=(name, address), daemon=True)
        thread.start()
        return thread

    def _greeted(self, name: str, address: str) -> None:
        try:
            with socket.create_connection((address, 22), 1.0) as connection:
                self.outcomes[name].add(connection.recv(8).startswith(b"SSH"))
        except OSError:
            self.outcomes[name].add(False)


class TwiceWatch(Observer):
    """No guest has processes on two machines, ever: looked at from outside of all of them.

    *births*: since when each guest is seen on a machine, by the monotonic clock.
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab
        self.twice: list[str] = []
        self.looks = 0
        self.births: dict[tuple[str, str], float] = {}

    def look(self) -> None:
        where: dict[str, set[str]] = defaultdict(set)
        for machine in self._lab.machines:
            for pid in machine.processes():
                if guest := _guest(pid):
                    where[guest].add(machine.name)
                    self.births.setdefault((guest, machine.name), time.monotonic())
        self.looks += 1
        self.births = {at: when for at, when in self.births.items() if at[1] in where.get(at[0], ())}
        self.twice += [f"{guest} on {', '.join(sorted(names))}" for guest, names in where.items() if len(names) > 1]


def guests(machine: Machine) -> set[str]:
    """The UUIDs of the guests that run on *machine*."""
    return {guest for guest in map(_guest, machine.processes()) if guest}


def _guest(pid: int) -> str | None:
    """The UUID of the guest that a QEMU process runs."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if b"qemu-system" not in words[0] or b"-uuid" not in words:
        return None
    return os.fsdecode(words[words.index(b"-uuid") + 1])
