"""``stackling storage add directory``: the command, on machines of a cluster whose agents do their part."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from stackling.agent.control import ControlSocket, Remote
from stackling.agent.run import in_threads
from stackling.deploy.cluster import description, remote
from stackling.drivers.directory.place import Place
from stackling.drivers.directory.trial import Trial
from stackling.main import agent_settings, tls
from stackling.main import cluster as clusters
from stackling.main.tls import Tls
from tests.cluster.test_joining import CLUSTER, World, world

__all__ = ["world"]
pytestmark = pytest.mark.root
POOL = ThreadPoolExecutor(8)
ADDRESSES = {"m1": "127.0.0.1", "c2": "127.0.0.2"}


@contextmanager
def agent(world: World, name: str, port: int, trial: Trial | None) -> Iterator[None]:
    """The remote socket of the agent on *name*."""
    paths, ready, over = world.paths(name), threading.Event(), threading.Event()
    own = Tls(paths.pki / "machine.crt", paths.pki / "machine.key", paths.pki / "ca.crt")

    async def serve() -> None:
        control = ControlSocket(paths.root / "agent.sock", name, lambda _: None, in_threads(POOL),
                                Remote(ADDRESSES[name], port, tls.server(own, mutual=True), ("m1",)), trial=trial)
        await control.open()
        ready.set()
        await asyncio.to_thread(over.wait)
        await control.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        over.set()
        thread.join()


class Fleet:
    """A cluster of real servers; ``own``: how many servers have disks on their machine alone."""

    def __init__(self, world: World, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.own = world, 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setattr(remote, "AGENT_PORT", port)
        for name in ADDRESSES:
            stack.enter_context(agent(world, name, port, Trial(name, account=None, own=lambda: self.own)))
        real = msgspec.structs.replace(CLUSTER, driver="libvirt")
        remote.replace(world.m1, remote.Described(2, real))
        for name in ADDRESSES:
            assert world.command("cluster", "sync", on=name)[0] == 0

    def add(self, path: Path, *options: str) -> tuple[int, str, str]:
        return self.world.command("storage", "add", "directory", str(path), "--no-wait", "-f", "json", *options)


@pytest.fixture
def fleet(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(world, stack, monkeypatch)


def test_every_machine_proves_it_and_takes_it(fleet: Fleet, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    code, said, problem = fleet.add(shared, "--dry-run")
    assert code == 0, problem
    assert list(shared.iterdir()) == []
    code, said, problem = fleet.add(shared)
    assert code == 0, problem
    assert "a lock is refused to the others" in said
    assert fleet.world.command("cluster", "sync", on="c2")[0] == 0
    for name in ADDRESSES:
        found = agent_settings.read(fleet.world.paths(name).etc / "agent.toml")
        assert found.directory is not None
        assert found.ceph is None
        Place(found.directory.path, found.directory.id, name).check()
    assert clusters._disks(description.read(fleet.world.m1.cluster), fleet.world.m1) is None  # pyright: ignore
    assert str(shared) in fleet.world.command("storage", "show")[1]
    fleet.own = 1                       # what lies there is of no interest any more
    assert fleet.world.command("storage", "check")[0] == 0
    assert fleet.add(shared)[0] == 0
    assert remote.described(fleet.world.m1).generation == 3
    assert "servers' disks are in" in fleet.add(tmp_path)[2]
    assert "--images-only" in fleet.world.command(
        "storage", "add", "ceph", "--conf", str(fleet.world.m1.cluster), "--keyring", str(fleet.world.m1.cluster))[2]


def test_nothing_is_set_where_the_proof_fails(fleet: Fleet, tmp_path: Path) -> None:
    code, said, _ = fleet.add(tmp_path / "none")
    assert code == 1
    assert "no directory here" in said
    fleet.own = 2
    code, said, _ = fleet.add(tmp_path)
    assert (code, "delete them" in said) == (1, True)
    assert description.read(fleet.world.m1.cluster).storage.disks == "local"
    assert "absolute path" in fleet.add(Path("x"))[2]
    assert "control machine" in fleet.world.command("storage", "add", "directory", str(tmp_path), on="c2")[2]


def test_it_is_for_clusters_with_real_servers(world: World, tmp_path: Path) -> None:
    assert "simulated" in world.command("storage", "add", "directory", str(tmp_path))[2]
    assert "cloud of one machine" in world.command("storage", "add", "directory", str(tmp_path), on="nothing")[2]
    new = tmp_path / "new.toml"
    new.write_text(description.write(CLUSTER).replace('disks = "local"', 'disks = "directory"'))
    assert "storage add directory" in world.command("cluster", "update", str(new))[2]
