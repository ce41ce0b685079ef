"""RabbitMQ on the machines of a bench, as their units start it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from stackling.deploy.cluster import rabbitmq
from stackling.drivers.local.bus import LocalBus
from stackling.drivers.rabbitmq.bus import RabbitBus
from tests.cluster.bench import Bench, eventually


class Brokers:
    """A context manager."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        for name in bench.names:
            bench.put(rabbitmq.files(bench.cluster, name, bench.secrets[name], bench.paths(name)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for name in self.bench.names:
            print(f"--- broker of {name}\n{self.bench.log(f'rabbitmq-{name}', name)[-3000:]}")

    def up(self) -> None:
        """All of them run."""
        missing = [name for name in self.bench.names if f"rabbitmq-{name}" not in self.bench.processes]
        for name in missing:
            self.start(name)

    def start(self, name: str) -> None:
        run = self.bench.paths(name).run / "rabbitmq"
        run.mkdir(mode=0o750, exist_ok=True)
        shutil.chown(run, rabbitmq.USER, rabbitmq.USER)
        self.bench.start_unit(rabbitmq.UNIT, name)
        eventually(lambda: self._listens(name), 120)

    def kill(self, name: str) -> None:
        self.bench.kill(f"rabbitmq-{name}")

    def gone(self, *buses: RabbitBus) -> None:
        """Wait until *buses* know that no broker is left."""
        eventually(lambda: not any(bus.connected for bus in buses), 60)

    def bus(self, near: LocalBus | None = None, machine: str = "") -> RabbitBus:
        """One in the control plane of the first machine; its threads are made on that machine's network."""
        place = self.bench.names[0]
        addresses = [f"{one.address}:{rabbitmq.PORT}" for one in self.bench.cluster.control]
        made = RabbitBus(addresses, self.bench.secrets[place].rabbitmq_password,
                         self.bench.paths(place).secrets / "control_identity", near=near, machine=machine)
        with self._network(place):
            made.listen(lambda _keys: None)
        return made

    @contextlib.contextmanager
    def _network(self, machine: str) -> Iterator[None]:
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.bench.netns(machine)}", os.O_RDONLY)
        assert libc.setns(there, 0) == 0
        try:
            yield
        finally:
            assert libc.setns(before, 0) == 0
            os.close(before)
            os.close(there)

    def _listens(self, name: str) -> bool:
        listening = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.bench.netns(name)}", "ss", "-Hlnt", f"sport = :{rabbitmq.PORT}"],
            capture_output=True, text=True, check=True, timeout=10).stdout
        time.sleep(0.1)
        return bool(listening.strip())


