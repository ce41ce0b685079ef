"""The ledger on disk: what is refused, what survives, what a torn write does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stackling.agent.ledger import Ledger, MachineHeld, MachineLock, StaleDocument
from stackling.agent.plan import Done
from stackling.ports.document import HostDocument, MetadataNetwork, ServerDesired


def document(generation: int, *servers: ServerDesired, era: int = 1, epoch: int = 1, complete: bool = False,
             ) -> HostDocument:
    return HostDocument(host="h", era=era, epoch=epoch, generation=generation, complete=complete, servers=servers,
                        networks=(MetadataNetwork(network_id="n", port_id="p", mac="m"),))


def server(id: str, generation: int = 1, **values: int) -> ServerDesired:
    return ServerDesired(id=id, generation=generation, **values)


def merged(path: Path, *documents: HostDocument) -> Ledger:
    ledger = Ledger(path, "h")
    for each in documents:
        asyncio.run(ledger.merge(each))
    return ledger


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    ledger = merged(tmp_path / "l", document(5, server("a"), server("b"), complete=True), document(6, server("b", 2)))
    asyncio.run(ledger.note(Done(id="a", power_generation=1)))
    asyncio.run(ledger.reserve(77))
    again = Ledger(tmp_path / "l", "h")
    assert again.servers == {"a": server("a"), "b": server("b", 2)}
    assert (again.head, again.networks, again.sequence) == (ledger.head, ledger.networks, 77)
    assert again.done("a").power_generation == 1
    assert (tmp_path / "l").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("old", [
    document(4), document(9, epoch=1, complete=True), document(99, era=1, epoch=1, complete=True),
    document(9, era=2, epoch=1, complete=True), document(9, era=2, epoch=3), document(9, era=3, epoch=1)])
def test_what_is_older_or_has_no_base_is_refused(tmp_path: Path, old: HostDocument) -> None:
    ledger = merged(tmp_path / "l", document(5, server("a"), era=2, epoch=2, complete=True))
    with pytest.raises(StaleDocument):
        asyncio.run(ledger.merge(old))
    assert Ledger(tmp_path / "l", "h").servers == {"a": server("a")}


def test_another_hosts_document_and_ledger_are_refused(tmp_path: Path) -> None:
    ledger = merged(tmp_path / "l", document(5, complete=True))
    with pytest.raises(StaleDocument):
        asyncio.run(ledger.merge(HostDocument(host="x", era=9, epoch=9, generation=9, complete=True)))
    with pytest.raises(MachineHeld):
        Ledger(tmp_path / "l", "x")


def test_a_complete_document_drops_what_it_doesnt_name(tmp_path: Path) -> None:
    ledger = merged(tmp_path / "l", document(5, server("a"), server("b"), complete=True))
    asyncio.run(ledger.merge(document(6, server("b"), complete=True)))
    assert set(ledger.servers) == set(Ledger(tmp_path / "l", "h").servers) == {"b"}


def test_after_a_restore_older_rows_and_counters_win(tmp_path: Path) -> None:
    ledger = merged(tmp_path / "l", document(50, server("a", 9, hard_reboots=4), complete=True))
    assert ledger.done("a").hard_reboots == 4
    asyncio.run(ledger.merge(document(20, server("a", 3, hard_reboots=1), era=2, complete=True)))
    assert ledger.head.generation == 20
    assert ledger.done("a").hard_reboots == 1


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_line_takes_only_itself_along(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "l"
    merged(path, document(5, server("a"), complete=True)).close()
    good = path.stat().st_size
    merged(path, document(6, server("b"))).close()
    os.truncate(path, max(good, path.stat().st_size - cut))
    again = Ledger(path, "h")
    assert set(again.servers) == {"a"}
    assert again.head.generation == 5
    asyncio.run(again.merge(document(6, server("b"))))
    assert set(Ledger(path, "h").servers) == {"a", "b"}


def test_it_is_rewritten_when_it_has_grown(tmp_path: Path) -> None:
    ledger = merged(tmp_path / "l", document(1, *(server(f"{n}") for n in range(50)), complete=True))

    async def many() -> None:
        for n in range(30_000):
            await ledger.note(Done(id="1", power_generation=n))

    ledger._journal.durable = False     # only to be quick; pyright: ignore[reportPrivateUsage]
    asyncio.run(many())
    assert (tmp_path / "l").stat().st_size < 4 * 256 * 1024 + 1000
    again = Ledger(tmp_path / "l", "h")
    assert len(again.servers) == 50
    assert again.done("1").power_generation == 29_999


def test_nothing_of_a_failed_write_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = merged(tmp_path / "l", document(5, server("a"), complete=True))
    real = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) > 20:
            return real(file, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", lambda file, data: half(file, data[:21]) if len(data) > 21 else half(file, data))
    with pytest.raises(OSError):
        asyncio.run(ledger.note(Done(id="a", hard_reboots=1)))
    monkeypatch.undo()
    assert ledger.done("a").hard_reboots == 0
    asyncio.run(ledger.note(Done(id="a", hard_reboots=2)))
    assert Ledger(tmp_path / "l", "h").done("a").hard_reboots == 2


def test_the_lock_is_one_process_only(tmp_path: Path) -> None:
    lock = MachineLock(tmp_path / "lock")
    code = ("from pathlib import Path; from stackling.agent.ledger import MachineLock; "
            f"MachineLock(Path({str(tmp_path / 'lock')!r}))")
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pid {os.getpid()}" in refused.stderr
    lock.release()
    subprocess.run([sys.executable, "-c", code], check=True)
