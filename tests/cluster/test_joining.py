"""Joining by a token, and following the description: the commands against real listeners, over one database."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.agent.control import ControlSocket, Remote
from stackling.agent.run import inline
from stackling.cli.main import run
from stackling.compute import facade as compute
from stackling.core import clock
from stackling.deploy.cluster import description, member, remote, secrets, setup, token
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.main import entrance, peers, tls
from stackling.main.first_start import FLEET
from stackling.main.joining import Joining
from stackling.main.returning import Returning
from stackling.main.tls import Tls
from stackling.store.database import Database
from tests.cluster.test_listeners import serving, tell

pytestmark = pytest.mark.root      # files belong to the accounts of services

CLUSTER = Cluster(name="c1", virtual_ip="127.9.9.9/8", driver="simulated", machines=(
    Machine(name="m1", address="127.0.0.1"), Machine(name="c2", address="127.0.0.2", control=False)))


class World:
    """A cluster of m1, whose control plane answers, and c2; roots for others."""

    def __init__(self, tmp_path: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
        self.tmp_path, self.database, self._capsys = tmp_path, database, capsys
        self.m1 = self.paths("m1")
        others = member.init(CLUSTER, "m1", self.m1)
        assert run(["cluster", "join", str(others["c2"]), "--root", str(self.paths("c2").root)]) == 0
        known = secrets.read(self.m1).credentials
        database.write(lambda tx: tx.set_setting(FLEET, [["m1", known["m1"], "m1"], ["c2", known["c2"], "c2"]]))

    def paths(self, name: str) -> Paths:
        return Paths(self.tmp_path / name)

    def command(self, *arguments: str, on: str = "m1") -> tuple[int, str, str]:
        """(exit code, output, problem)."""
        self._capsys.readouterr()
        code = run([*arguments, "--root", str(self.paths(on).root)])
        said = self._capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    def token(self, *options: str) -> str:
        code, text, problem = self.command("cluster", "token", *options)
        assert code == 0, problem
        return text

    def join(self, ticket: str, name: str, address: str, *options: str) -> tuple[int, str, str]:
        return self.command("cluster", "join", ticket, "--machine", name, "--address", address, *options, on=name)


@pytest.fixture
def world(tmp_path: Path, sqlite: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
          ) -> Iterator[World]:
    found = World(tmp_path, sqlite, capsys)
    own = Tls(found.m1.pki / "machine.crt", found.m1.pki / "machine.key", found.m1.pki / "ca.crt")
    joining = Joining(sqlite, found.m1)
    with ExitStack() as stack:
        monkeypatch.setattr(remote, "PUBLIC_PORT", stack.enter_context(
            serving(entrance.public(tell, joining), own, mutual=False)))
        monkeypatch.setattr(remote, "INTERNAL_PORT", stack.enter_context(
            serving(peers.checked(entrance.internal(tell, joining, Returning(sqlite))), own, mutual=True)))
        yield found


def test_each_machine_gets_its_own_ceph_key_and_control_also_its_own(world: World) -> None:
    keys = {"stackling-images": "A", "stackling-volumes": "V", "stackling-m1": "B", "stackling-c2": "C"}
    with pytest.raises(ClusterError, match="storage add ceph"):
        remote.ceph(world.m1)
    with pytest.raises(ClusterError, match="no control machine"):
        remote.give_ceph(world.paths("c2"), "conf", keys)
    remote.give_ceph(world.m1, "conf", keys)
    assert remote.ceph(world.m1) == (
        "conf", {"stackling-images": "A", "stackling-volumes": "V", "stackling-m1": "B"}, {})
    assert remote.ceph(world.paths("c2")) == ("conf", {"stackling-c2": "C"}, {})
    kept = world.database.read(lambda tx: tx.setting("ceph"))
    assert "conf" not in kept
    remote.give_ceph(world.m1, "conf", keys, {"stackling-m1": "stackling-m1_2", "stackling-c2": "stackling-c2_2"})
    assert remote.ceph(world.paths("c2")) == ("conf", {"stackling-c2": "C"}, {"stackling-c2": "stackling-c2_2"})


def test_a_machine_joins_by_a_token(world: World) -> None:
    ticket = world.token()
    code, said, problem = world.join(ticket, "c3", "127.0.0.3", "--fence", "port=c3")
    assert (code, said) == (0, "this is c3 of cluster c1"), problem
    paths = world.paths("c3")
    assert description.read(paths.cluster).machine("c3").fence == {"port": "c3"}
    known = secrets.read(paths)
    assert not any(getattr(known, name) for name in secrets.CONTROL_ONLY)
    assert known.pacemaker_key == secrets.read(world.m1).pacemaker_key
    world.database.read(lambda tx: compute.check_machine(tx, "c3", known.credential))
    assert remote.described(paths).cluster.machine("c3").address == "127.0.0.3"


def test_the_others_follow(world: World) -> None:
    world.join(world.token(), "c3", "127.0.0.3")
    for name in ("m1", "c2"):
        code, said, _ = world.command("cluster", "sync", on=name)
        assert code == 0
        assert str(world.paths(name).cluster) in said
        assert world.paths(name).cluster.read_text() == world.paths("c3").cluster.read_text()
        assert world.command("cluster", "sync", on=name)[1] == "this machine is up to date"


def test_who_changes_the_description_learns_who_follows(world: World) -> None:
    said: list[str] = []
    remote.replace(world.m1, remote.Described(2, CLUSTER))
    assert world.command("cluster", "sync")[0] == 0
    assert setup.await_followers(world.m1, 0.0, said.append) == ("c2",)

    def follow(names: str) -> None:
        said.append(names)
        assert world.command("cluster", "sync", on="c2")[0] == 0

    assert setup.await_followers(world.m1, 60.0, follow) == ()
    assert said == ["c2"]
    assert remote.described(world.m1).followed == {"m1": 2, "c2": 2}


@contextmanager
def agent(world: World, name: str, address: str, callers: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """The remote socket of the agent on *name*: its port, and what was said when it was told to look."""
    paths, ready, over = world.paths(name), threading.Event(), threading.Event()
    said: list[str] = []
    own = Tls(paths.pki / "machine.crt", paths.pki / "machine.key", paths.pki / "ca.crt")
    with socket.create_server((address, 0)) as free:
        port = free.getsockname()[1]

    def look() -> None:
        said.extend(str(path) for path in setup.sync(paths))

    async def serve() -> None:
        control = ControlSocket(paths.root / "agent.sock", name, lambda _: None, inline,
                                Remote(address, port, tls.server(own, mutual=True), callers), look=look)
        await control.open()
        ready.set()
        await asyncio.to_thread(over.wait)
        await control.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield port, said
    finally:
        over.set()
        thread.join()


def test_an_update_has_the_others_look_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    new = world.tmp_path / "new.toml"
    new.write_text(description.write(msgspec.structs.replace(CLUSTER, log_level="debug")))
    with agent(world, "c2", "127.0.0.2", ("m1",)) as (port, said):
        monkeypatch.setattr(remote, "AGENT_PORT", port)
        code, told, _ = world.command("cluster", "update", str(new))
        assert (code, told) == (0, "the description is at generation 2")
        assert str(world.paths("c2").cluster) in said


def test_only_control_machines_have_others_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with agent(world, "c2", "127.0.0.2", ()) as (port, said):
        monkeypatch.setattr(remote, "AGENT_PORT", port)
        remote.replace(world.m1, remote.Described(2, CLUSTER))
        remote.ask_to_look(world.m1, CLUSTER.machines[1:])
        assert said == []


def test_a_token_is_for_one_machine_which_may_ask_again(world: World) -> None:
    ticket = world.token()
    assert world.join(ticket, "c3", "127.0.0.3")[0] == 0
    first = secrets.read(world.paths("c3")).credential
    assert "isn't valid" in world.join(ticket, "c4", "127.0.0.4")[2]
    assert not world.paths("c4").cluster.exists()
    assert world.join(ticket, "c3", "127.0.0.3")[0] == 0       # as if the first answer had been lost
    second = secrets.read(world.paths("c3")).credential
    assert second != first
    world.database.read(lambda tx: compute.check_machine(tx, "c3", second))
    assert len(remote.described(world.m1).cluster.machines) == 3


def test_a_token_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = world.token("--hours", "1")
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now + 3601)
    assert "isn't valid" in world.join(ticket, "c3", "127.0.0.3")[2]


def test_only_a_token_for_control_gives_control(world: World) -> None:
    code, _, problem = world.join(world.token(), "m3", "127.0.0.3", "--control")
    assert code == 1
    assert "--control" in problem
    assert world.join(world.token("--control"), "m3", "127.0.0.3", "--control", "--no-compute")[0] == 0
    known = secrets.read(world.paths("m3"))
    assert known.cluster_key == secrets.read(world.m1).cluster_key
    assert (world.paths("m3").pki / "ca.key").exists()
    with pytest.raises(Exception, match="machine"):
        world.database.read(lambda tx: compute.check_machine(tx, "m3", known.credential))    # it runs no servers
    assert remote.described(world.paths("m3")).generation == 2


@pytest.mark.parametrize(("name", "address", "says"), [
    ("c2", "127.0.0.3", "There is a machine c2"), ("c3", "127.0.0.2", "belongs to two machines"),
    ("C_3", "127.0.0.3", "lower-case"), ("c3", "somewhere", "not an IPv4 address"),
    ("c3", "127.9.9.9", "a machine's own address")])
def test_who_can_t_join_is_told_why_and_the_token_stays_good(world: World, name: str, address: str, says: str) -> None:
    ticket = world.token()
    code, _, problem = world.command("cluster", "join", ticket, "--machine", name, "--address", address, on="x")
    assert code == 1
    assert says in problem
    assert not world.paths("x").cluster.exists()
    assert world.join(ticket, "c9", "127.0.0.9")[0] == 0


def test_another_cluster_isn_t_believed(world: World) -> None:
    good = token.read(world.token())
    forged = token.write(token.Token(good.addresses, hashlib.sha256(b"x").hexdigest(), good.id, good.secret))
    code, _, problem = world.join(forged, "c3", "127.0.0.3")
    assert code == 1
    assert "fingerprint" in problem
    assert world.database.read(lambda tx: tx.setting("cluster_tokens"))[good.id]["machine"] is None


def test_the_database_holds_no_token(world: World) -> None:
    ticket = token.read(world.token())
    kept = json.dumps(world.database.read(lambda tx: tx.setting("cluster_tokens")))
    assert ticket.id in kept
    assert ticket.secret not in kept


def test_only_control_makes_tokens_and_descriptions(world: World) -> None:
    assert "no control machine" in world.command("cluster", "token", on="c2")[2]
    with pytest.raises(ClusterError, match="no control machine"):
        remote.replace(world.paths("c2"), remote.Described(2, CLUSTER))


def test_a_stolen_credential_alone_opens_nothing(world: World) -> None:
    stolen = secrets.read(world.m1).credential
    (world.paths("c2").secrets / "credential").write_text(f"{stolen}\n")
    with pytest.raises(ClusterError, match="isn't that of the machine"):
        remote.described(world.paths("c2"))


def test_a_new_description_is_taken_in_order(world: World, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text(description.write(CLUSTER).replace('log_level = "info"', 'log_level = "debug"'))
    assert world.command("cluster", "update", "--no-wait", str(new)) == (0, "the description is at generation 2", "")
    assert description.read(world.m1.cluster).log_level == "debug"
    with pytest.raises(ClusterError, match="changed meanwhile"):
        remote.replace(world.m1, remote.Described(2, CLUSTER))
    new.write_text(new.read_text() + '\n[[machines]]\nname = "c7"\naddress = "127.0.0.7"\n')
    assert "cluster join" in world.command("cluster", "update", str(new))[2]


@pytest.mark.parametrize("text", ["stackling-join-", "stackling-join-e30", "stackling-join-%%%", "stackling-join-AAAA"])
def test_what_is_no_token_is_refused(world: World, text: str) -> None:
    assert "no token" in world.join(text, "c3", "127.0.0.3")[2]


def test_nonsense_on_the_public_port_is_a_clear_400(world: World) -> None:
    def ask(body: Any) -> str:
        with pytest.raises(ClusterError) as refused:
            remote._ask("127.0.0.1", remote.PUBLIC_PORT, _unchecked(), "POST", "/cluster/join", body)
        return str(refused.value)

    assert "Malformed" in ask({"id": 1})
    assert "Malformed" in ask([])
    assert "isn't valid" in ask({"id": "x", "secret": "y", "machine": {"name": "c3", "address": "127.0.0.3"}})


def _unchecked() -> Any:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
