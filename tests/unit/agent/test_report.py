"""Reports of a host: what must be told is told in the end."""

from __future__ import annotations

import asyncio

import msgspec

from stackling.agent.report import Reporter, Sequence
from stackling.agent.wire import Answer
from stackling.ports.document import Inventory, Report, ReportAnswer


class Control:
    """Accepts every report; the first answer is held back until ``let_go``."""

    epoch, generation = 1, 1

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.came, self.let_go = asyncio.Event(), asyncio.Event()

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer:
        self.reports.append(msgspec.json.decode(body or b"", type=Report))
        self.came.set()
        await self.let_go.wait()
        return Answer(200, msgspec.json.encode(ReportAnswer(accepted=True)))


def test_a_complete_report_that_is_asked_for_while_another_is_under_way_is_sent() -> None:
    async def story() -> Control:
        control = Control()
        inventory: list[Inventory] = []

        async def reserve(last: int) -> None:
            pass

        reporter = Reporter(control, "m", "h", "b", Sequence(0, reserve), control,
                            lambda: inventory[0] if inventory else None)
        reporter.start_over()
        running = asyncio.create_task(reporter.run())
        async with asyncio.timeout(10):
            await control.came.wait()
            inventory.append(Inventory(vcpus=1, memory_mib=1, disk_gib=1))
            reporter.start_over()
            control.let_go.set()
            await reporter.heard.wait()
        running.cancel()
        return control

    control = asyncio.run(story())
    assert [report.inventory is not None for report in control.reports] == [False, True]
    assert all(report.complete for report in control.reports)
