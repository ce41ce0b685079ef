"""What control asks of an agent about the inside of guests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.agent.control import PASSWORDS, ControlSocket
from stackling.agent.run import inline
from stackling.agent.wire import Endpoint, Lane
from stackling.core.ids import new_id
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.ports.diagnostics import Diagnostics
from stackling.ports.document import ServerDesired
from stackling.ports.hypervisor import GuestDisks

SECRET = "not to be told"


class Machine:
    """A simulated hypervisor behind a control socket; ``held`` keeps its calls waiting."""

    def __init__(self, directory: Path) -> None:
        self.hypervisor = SimulatedHypervisor()
        self.path = directory / "agent.sock"
        self.held: asyncio.Event | None = None
        self.socket = ControlSocket(self.path, "m1", self._find, self._run)

    def _find(self, server_id: str) -> SimulatedHypervisor | None:
        return self.hypervisor if self.hypervisor.guest(server_id) else None

    async def _run(self, call: Callable[..., Any], *args: Any) -> Any:
        if self.held is not None:
            await self.held.wait()
        return await inline(call, *args)

    def guest(self, *, agent: bool = True) -> str:
        desired = ServerDesired(id=new_id(), generation=1, vcpus=2, memory_mib=64,
                                hardware={"hw_qemu_guest_agent": "yes"} if agent else {})
        self.hypervisor.define(desired, GuestDisks(root=Path("/nowhere")))
        self.hypervisor.start(desired.id)
        return desired.id

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        lane = Lane([Endpoint.parse(str(self.path))], {})
        answer = await lane.request(method, path, None if body is None else msgspec.json.encode(body), timeout=10)
        await lane.close()
        return answer.status, msgspec.json.decode(answer.body)

    async def set(self, id: str, password: str = SECRET) -> tuple[int, Any]:
        return await self.ask("POST", f"/servers/{id}/password", {"user": "root", "password": password})


def serve(directory: Path, story: Callable[[Machine], Any]) -> None:
    async def run() -> None:
        machine = Machine(directory)
        await machine.socket.open()
        try:
            async with asyncio.timeout(20):
                await story(machine)
        finally:
            await machine.socket.close()

    asyncio.run(run())


def test_figures_of_a_guest(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        id = machine.guest()
        status, found = await machine.ask("GET", f"/servers/{id}/diagnostics")
        assert status == 200
        assert len(msgspec.convert(found, Diagnostics).cpus) == 2
        assert (await machine.ask("GET", f"/servers/{new_id()}/diagnostics"))[0] == 404
        machine.hypervisor.pause(id)
        assert (await machine.ask("GET", f"/servers/{id}/diagnostics"))[0] == 503

    serve(tmp_path, story)


def test_a_password_reaches_the_guest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(machine: Machine) -> None:
        id, without = machine.guest(), machine.guest(agent=False)
        assert await machine.set(id) == (200, {})
        assert machine.hypervisor.takes_password(id, "root", SECRET)
        assert (await machine.set(new_id()))[0] == 404
        assert (await machine.set(without))[0] == 409
        assert (await machine.ask("POST", f"/servers/{id}/password", {"password": SECRET}))[0] == 400
        machine.hypervisor.stubborn.add(id)
        assert (await machine.set(id))[0] == 504
        assert (await machine.ask("POST", f"/servers/{id}/console-output"))[0] == 405

    serve(tmp_path, story)
    assert SECRET not in caplog.text


def test_a_guest_gets_an_nmi(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        id = machine.guest()
        assert await machine.ask("POST", f"/servers/{id}/nmi") == (200, {})
        assert "NMI" in machine.hypervisor.console_log(id, None)
        assert (await machine.ask("GET", f"/servers/{id}/nmi"))[0] == 404
        assert (await machine.ask("POST", f"/servers/{new_id()}/nmi"))[0] == 404
        machine.hypervisor.destroy(id)
        assert (await machine.ask("POST", f"/servers/{id}/nmi"))[0] == 409

    serve(tmp_path, story)


def test_guests_that_hang_keep_nobody_else_waiting(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        ids = [machine.guest() for _ in range(PASSWORDS + 1)]
        machine.held = asyncio.Event()
        waiting = [asyncio.create_task(machine.set(id)) for id in ids[:-1]]
        while len(machine.socket._changing) < PASSWORDS:      # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0.01)
        assert (await machine.set(ids[0]))[0] == 423
        assert (await machine.set(ids[-1]))[0] == 503
        machine.held.set()
        assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * PASSWORDS
        assert (await machine.set(ids[0], "another"))[0] == 200
        assert machine.hypervisor.takes_password(ids[0], "root", "another")

    serve(tmp_path, story)
