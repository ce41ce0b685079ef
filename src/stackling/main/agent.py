"""The host agent: ``python -m stackling.main.agent --config FILE``. SIGTERM ends it; guests keep running."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from stackling.agent.boot import boot_id
from stackling.agent.control import ControlSocket, Remote
from stackling.agent.converge import Everything
from stackling.agent.host import HostAgent, Timing
from stackling.agent.identities import Identities, Identity, Mode
from stackling.agent.images import ImageSend
from stackling.agent.keys import KeyFetch
from stackling.agent.leases import Leases
from stackling.agent.ledger import MachineHeld, MachineLock
from stackling.agent.run import Run
from stackling.agent.wire import Endpoint, Lane
from stackling.deploy.embedded import processes
from stackling.main import agent_settings, notify, tls
from stackling.main import log as logs
from stackling.main.agent_settings import AgentSettings, SettingsError
from stackling.ports.disks import DirectoryTrial
from stackling.ports.hypervisor import Hypervisor

log = logging.getLogger(__name__)
Build = Callable[[str, tuple[Lane, Lane], asyncio.Event | None, Everything | None],
                 tuple[HostAgent, Path, Callable[[], None]]]
"""(host, its connections, set once it is held, what all hosts here know) → its agent, its ledger, what closes it."""
MANY = 16               # hosts in one process from which on heartbeats are rarer


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="stackling agent", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="the agent's TOML file")
    try:
        settings = agent_settings.read(parser.parse_args().config)
        if settings.log_file:
            logs.configure(settings.log_file, settings.log_level)
        else:
            logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        lock = MachineLock(settings.state_dir / "agent.lock")
        credential = settings.credential_file.read_text().strip()
    except (SettingsError, MachineHeld, OSError) as error:
        sys.exit(f"stackling agent: {error}")
    pid_file = settings.pid_file or settings.state_dir / "agent.pid"
    processes.write_pid(pid_file, os.getpid())
    try:
        asyncio.run(_run(settings, credential))
    finally:
        pid_file.unlink(missing_ok=True)
        lock.release()


class Wiring:
    """The parts of one process, closed in reverse order of their making."""

    def __init__(self, settings: AgentSettings, credential: str, stack: AsyncExitStack) -> None:
        self.settings, self.stack = settings, stack
        self._headers = {"X-Machine-Credential": credential, "Accept": "application/json"}
        self.endpoints = [Endpoint.parse(url) for url in settings.control]
        self.tls = _tls(settings) if any(endpoint.tls for endpoint in self.endpoints) else None
        self.boot_id = boot_id(settings.boot_id_file)
        crowd = settings.hosts > MANY
        self.timing = Timing(settings.wait, settings.heartbeat * (2 if crowd else 1), settings.sweep,
                             settings.resume_guests_state_on_host_boot)
        self.socket = settings.socket or settings.state_dir / "agent.sock"
        self.address = settings.listen or str(self.socket)
        self.agents: list[HostAgent] = []
        self.trial: DirectoryTrial | None = None
        self.ceph: DirectoryTrial | None = None
        self.led = False        # whether something in ``more`` runs the agents
        self.identities: dict[str, Identities] = {}
        self._shown: dict[str, list[HostAgent]] = {}
        self.more: list[Coroutine[Any, Any, None]] = []

    def lanes(self) -> tuple[Lane, Lane]:
        """One connection for polling, one for reports."""
        return self.lane(), self.lane()

    def lane(self) -> Lane:
        """A connection of its own to control."""
        lane = self._lane()
        self.stack.push_async_callback(lane.close)
        return lane

    def show(self, machine: str, agents: list[HostAgent]) -> None:
        """These agents of *machine* run now."""
        self._shown[machine] = agents
        self.agents[:] = [agent for shown in self._shown.values() for agent in shown]

    def follow_leases(self, machine: str, build: Build, known: Iterable[str], run: Run,
                      gone: Callable[[str], None] = lambda host: None, boot_id: str = "") -> Identities:
        """The hosts of *machine* as control gives and takes them; *known* have a ledger here. To be run."""
        def make(host: str, held: asyncio.Event) -> Identity:
            lanes = (self._lane(), self._lane())
            agent, ledger, close = build(host, lanes, held, identities.everything)

            async def end() -> None:
                close()
                for lane in lanes:
                    await lane.close()

            return Identity(agent, ledger, end)

        identities = Identities(make, known, run, lambda agents: self.show(machine, agents), gone,
                                heartbeat=self.timing.heartbeat)
        identities.leases = Leases(*self.lanes(), machine, boot_id or self.boot_id, identities.follow,
                                   wait=self.timing.wait)
        self.identities[machine] = identities
        self.led = True
        return identities

    def modes(self) -> dict[str, str]:
        """Every host here, and what becomes of it."""
        if not self.identities:
            return {agent.host: Mode.HELD.value for agent in self.agents}
        return {host: mode for identities in self.identities.values() for host, mode in identities.modes().items()}

    def find(self, server_id: str) -> Hypervisor | None:
        """The hypervisor of a server that the documents name."""
        return next((agent.hypervisor for agent in self.agents if server_id in agent.ledger.servers), None)

    def sender(self) -> ImageSend:
        """How copies of disks become images."""
        return ImageSend(self.endpoints, self._headers, self.tls)

    def keys(self, machine: str = "") -> KeyFetch:
        """How the keys of encrypted volumes are had; *machine* says who asks where several have the same credential."""
        named = {"X-Machine": machine} if machine else {}
        return KeyFetch(self.endpoints, {**self._headers, **named}, self.tls)

    def _lane(self) -> Lane:
        return Lane(self.endpoints, self._headers, self.tls)

    @property
    def headers(self) -> dict[str, str]:
        """What every request to control carries."""
        return dict(self._headers)


async def _run(settings: AgentSettings, credential: str) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        wiring = Wiring(settings, credential, stack)
        if settings.driver == "simulated":
            from stackling.main import agent_simulated
            run = await agent_simulated.wire(wiring)
        else:
            from stackling.main import agent_libvirt
            run = await agent_libvirt.wire(wiring)
        control = ControlSocket(wiring.socket, settings.machine, wiring.find, run, _remote(settings),
                                wiring.modes, _look, wiring.trial, wiring.ceph)
        await control.open()
        stack.push_async_callback(control.close)
        tasks = [asyncio.create_task(work) for work in (
            *(agent.run() for agent in wiring.agents if not wiring.led), *wiring.more)]
        stop = asyncio.create_task(stopped.wait())
        gc.collect()
        gc.freeze()
        stack.callback(asyncio.create_task(notify.feed()).cancel)
        notify.tell("READY=1")
        tasks.append(asyncio.create_task(_tell_ready(settings.ready_file, wiring.agents)))
        log.info("agent of %s runs (%s, boot %s)", settings.machine, settings.driver, wiring.boot_id)
        ended, _ = await asyncio.wait([*tasks[:-1], stop], return_when=asyncio.FIRST_COMPLETED)
        notify.tell("STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if settings.ready_file:
            settings.ready_file.unlink(missing_ok=True)
        for task in ended - {stop}:
            task.result()
        log.info("agent of %s has stopped; guests keep running", settings.machine)


async def _tell_ready(file: Path | None, agents: list[HostAgent]) -> None:
    """Make the ready file once control knows of every host."""
    await asyncio.gather(*(agent.heard() for agent in agents))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def _look() -> None:
    """Have systemd run what its timer runs every minute (``deploy.cluster.services``); doesn't wait for it."""
    done = subprocess.run(["systemctl", "start", "--no-block", "stackling-sync.service"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        log.warning("a look for a new description can't be started: %s", done.stderr.strip())


def _tls(settings: AgentSettings) -> ssl.SSLContext:
    return tls.client(settings.own) if settings.own else ssl.create_default_context(cafile=settings.ca_file)


def _remote(settings: AgentSettings) -> Remote | None:
    if not settings.listen or settings.own is None:
        return None
    endpoint = Endpoint.parse(settings.listen)
    return Remote(endpoint.host, endpoint.port, tls.server(settings.own, mutual=True), settings.callers)


if __name__ == "__main__":
    main()
