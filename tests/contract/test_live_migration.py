"""What every hypervisor does when a running guest goes to another one, simulated or real."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from stackling.core.ids import new_id
from stackling.drivers.libvirt.domain import Platform
from stackling.drivers.libvirt.hypervisor import LibvirtHypervisor
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.ports.document import Power, ServerDesired
from stackling.ports.hypervisor import GuestDisks, GuestRefused, Hypervisor
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import eventually

RESTLESS = bytes.fromhex(
    "fabaf803b040ee31c08ed80f01163b7c0f20c00c010f22c0eb00bb08008ec324fe0f22c0664566bf0000100066b90000"
    "60006689e86766f3abebe90f00417c00000000000000000000ffff00000092cf00")
"""A boot sector that says @ to the serial port, reaches for all memory (by a segment of 4 GiB, kept from protected
mode), and then writes its 24 MiB from the second one on again and again, with another word each time."""


class Pair(Protocol):
    """Two hypervisors that reach each other and the same disks."""

    source: Hypervisor
    target: Hypervisor

    def disks(self, server: ServerDesired) -> GuestDisks: ...

    def slow(self, server_id: str) -> None:
        """From now on the guest's migration doesn't end by itself."""
        ...

    def cut(self) -> None:
        """The target can't be reached any more."""
        ...


class Simulated:
    def __init__(self) -> None:
        peers: dict[str, SimulatedHypervisor] = {}
        self._source = SimulatedHypervisor(name="a", peers=peers)
        self._target = SimulatedHypervisor(name="b", peers=peers)
        self.source: Hypervisor = self._source
        self.target: Hypervisor = self._target

    def disks(self, server: ServerDesired) -> GuestDisks:
        return GuestDisks(root=Path("/nowhere"))

    def slow(self, server_id: str) -> None:
        self._source.hold_migrations = True

    def cut(self) -> None:
        self._target.reachable = False


class Real:
    def __init__(self, source: Libvirtd, target: Libvirtd) -> None:
        self._source, self._target = source, target
        self.source: Hypervisor = self._hypervisor(source)
        self.target: Hypervisor = self._hypervisor(target)

    def _hypervisor(self, server: Libvirtd) -> LibvirtHypervisor:
        return LibvirtHypervisor(
            server.paths.uri, server.paths.instances, Platform(False, server.paths.consoles_inside, bridge="br0"),
            peer=f"qemu+unix:///system?socket={server.paths.socket}")

    def disks(self, server: ServerDesired) -> GuestDisks:
        directory = self._source.paths.instances / server.id
        directory.mkdir(exist_ok=True)
        raw = directory / "raw"
        raw.write_bytes(RESTLESS.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, directory / "root.qcow2"], check=True)
        return GuestDisks(root=directory / "root.qcow2")

    def slow(self, server_id: str) -> None:
        subprocess.run(["virsh", "-q", "-c", self._source.paths.uri, "migrate-setspeed", server_id, "1"], check=True)

    def cut(self) -> None:
        self._target.kill()


@pytest.fixture(scope="module")
def daemons() -> Iterator[tuple[Libvirtd, Libvirtd]]:
    with libvirtd() as source, libvirtd(source.netns) as target:
        yield source, target


@pytest.fixture(params=["simulated", pytest.param("libvirt", marks=pytest.mark.root)])
def pair(request: pytest.FixtureRequest) -> Iterator[Any]:
    here: Simulated | Real
    if request.param == "simulated":
        here = Simulated()
    else:
        source, target = request.getfixturevalue("daemons")
        for daemon in (source, target):
            if not daemon.pid:
                daemon.start()
        here = Real(source, target)
    yield here
    for hypervisor in (here.source, here.target):
        if isinstance(here, Real) and not here._target.pid:
            here._target.start()
        for server_id in list(hypervisor.guests()):
            hypervisor.undefine(server_id)
        hypervisor.close()


def running(pair: Pair, memory: int = 32) -> str:
    server = ServerDesired(id=new_id(), generation=3, name="s", memory_mib=memory)
    pair.source.define(server, pair.disks(server))
    pair.source.start(server.id)
    if isinstance(pair, Real):
        eventually(lambda: "@" in pair.source.console_log(server.id, None), 60)
    return server.id


def where(pair: Pair, id: str) -> tuple[Power | None, Power | None]:
    found = [hypervisor.guest(id) for hypervisor in (pair.source, pair.target)]
    return tuple(None if guest is None or guest.incoming else guest.power    # pyright: ignore[reportReturnType]
                 for guest in found)


def test_a_running_guest_goes_over(pair: Pair) -> None:
    id = running(pair)
    pair.target.expect_migration()
    pair.source.migrate(id, pair.target.migration_peer, own_disks=False)
    eventually(lambda: where(pair, id) == (None, Power.RUNNING), 60)
    eventually(lambda: pair.source.migration(id) is None, 10)
    guest = pair.target.guest(id)
    assert guest is not None
    assert (guest.ours, guest.generation, guest.incoming) == (True, 3, False)
    pair.target.destroy(id)
    assert where(pair, id) == (None, Power.STOPPED)


def test_a_paused_guest_stays_paused(pair: Pair) -> None:
    id = running(pair)
    pair.source.pause(id)
    pair.source.migrate(id, pair.target.migration_peer, own_disks=False)
    eventually(lambda: where(pair, id) == (None, Power.PAUSED), 60)


def test_one_that_is_aborted_goes_on_where_it_was(pair: Pair) -> None:
    id = running(pair)
    pair.slow(id)
    pair.source.migrate(id, pair.target.migration_peer, own_disks=False)
    eventually(lambda: _under_way(pair, id), 30)
    pair.source.migrate(id, pair.target.migration_peer, own_disks=False)
    assert where(pair, id) == (Power.RUNNING, None)
    pair.source.abort_migration(id)
    eventually(lambda: not _under_way(pair, id), 30)
    pair.source.abort_migration(id)
    found = pair.source.migration(id)
    assert found is not None
    assert found.error
    eventually(lambda: pair.target.guest(id) is None, 30)
    assert where(pair, id) == (Power.RUNNING, None)


def test_one_that_breaks_off_goes_on_where_it_was(pair: Pair) -> None:
    id = running(pair)
    pair.slow(id)
    pair.source.migrate(id, pair.target.migration_peer, own_disks=False)
    eventually(lambda: _under_way(pair, id), 30)
    pair.cut()
    if isinstance(pair, Simulated):
        pair._source.end_migration(id)
    eventually(lambda: not _under_way(pair, id), 60)
    guest = pair.source.guest(id)
    assert guest is not None
    assert guest.power is Power.RUNNING


def test_what_cannot_be_reached_is_told(pair: Pair) -> None:
    id = running(pair)
    pair.cut()
    pair.source.migrate(id, pair.target.migration_peer, own_disks=False)
    eventually(lambda: bool((found := pair.source.migration(id)) and found.error), 60)
    guest = pair.source.guest(id)
    assert guest is not None
    assert guest.power is Power.RUNNING


def test_who_takes_no_guests_says_so() -> None:
    with pytest.raises(GuestRefused):
        SimulatedHypervisor().expect_migration()
    with pytest.raises(GuestRefused, match="migrate_uri"):
        LibvirtHypervisor("test:///default", Path("/nowhere"), Platform(False, Path("/nowhere"))).expect_migration()


def _under_way(pair: Pair, id: str) -> bool:
    found = pair.source.migration(id)
    return found is not None and found.running
