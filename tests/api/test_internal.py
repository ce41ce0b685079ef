"""What agents ask of control: whose documents they get, which reports count, how long a poll waits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from stackling.api.internal.service import CREDENTIAL
from stackling.ports.document import Documents, GuestReport, Power
from tests.api.compute_world import V, World, world
from tests.api.conftest import Client

__all__ = ["world"]


def _documents(world: World, machine: str, credential: str | None, **query: Any) -> Any:
    headers = {CREDENTIAL: credential} if credential else {}
    return world.cloud.send("GET", f"/internal/machines/{machine}/documents", headers=headers, params=query)


def test_a_credential_reads_only_its_own_machine(world: World, member: Client) -> None:
    two = world.add_host("h2")
    one = world.agents[0]
    assert _documents(world, "h1", None, host="h1", since=0).status_code == 401
    assert _documents(world, "h1", "wrong", host="h1", since=0).status_code == 401
    assert _documents(world, "h1", two.credential, host="h1", since=0).status_code == 401
    assert _documents(world, "h2", two.credential, host="h1", since=0).status_code == 403
    assert _documents(world, "h2", two.credential, host="h9", since=0).status_code == 404
    assert _documents(world, "h1", one.credential, host="h1", since="x").status_code == 400
    assert _documents(world, "h1", one.credential, host="h1", since=0).status_code == 200
    server = world.active(member)
    owner = next(agent for agent in world.agents if server["id"] in agent.wanted)
    stranger = one if owner is two else two
    path = f"/internal/images/{world.image}/file"
    assert world.cloud.send("GET", path, headers={CREDENTIAL: stranger.credential}).status_code == 403
    assert world.cloud.send("GET", path).status_code == 401
    found = world.cloud.send("GET", path, headers={CREDENTIAL: owner.credential})
    assert (found.status_code, len(found.content)) == (200, 1024 * 1024)


def test_documents_are_deltas_and_whole_when_asked(world: World, member: Client) -> None:
    agent = world.agents[0]
    first, second = (world.active(member)["id"] for _ in range(2))
    assert agent.fetch() == []
    world.act(member, first, "os-stop")
    assert [server.id for server in agent.fetch()] == [first]
    whole = msgspec.json.decode(_documents(world, "h1", agent.credential, host="h1", since=0).content, type=Documents)
    assert whole.documents[0].complete
    assert {server.id for server in whole.documents[0].servers} == {first, second}
    for since, epoch in ((agent.generation + 100, 1), (agent.generation, 7)):
        again = _documents(world, "h1", agent.credential, host="h1", since=since, epoch=epoch)
        assert msgspec.json.decode(again.content, type=Documents).documents[0].complete


def test_a_server_leaves_the_document_only_after_its_absence_was_reported(world: World, member: Client) -> None:
    agent = world.agents[0]
    id = world.active(member)["id"]
    member.delete(f"{V}/servers/{id}")
    [gone] = agent.fetch()
    assert not gone.present
    agent.report(GuestReport(id=id, generation=gone.generation - 1, power=Power.ABSENT, converged=True))
    assert member.get(f"{V}/servers/{id}").status_code == 200
    agent.generation = 0
    assert [server.id for server in agent.fetch()] == [id]
    agent.report(agent.done(gone))
    assert member.get(f"{V}/servers/{id}").status_code == 404
    agent.generation = 0
    assert agent.fetch() == []


def test_an_older_or_foreign_report_is_refused(world: World, member: Client) -> None:
    agent = world.agents[0]
    server = world.create(member)
    [wanted] = agent.fetch()
    running = agent.done(wanted)
    assert agent.report(running).accepted
    agent.sequence -= 1
    assert not agent.report(agent.done(wanted, power=Power.STOPPED)).accepted
    agent.epoch = 9
    assert not agent.report(agent.done(wanted, power=Power.STOPPED)).accepted
    assert world.show(member, server["id"])["status"] == "ACTIVE"


def test_unknown_guests_are_noted_and_nothing_else(world: World, member: Client) -> None:
    agent = world.agents[0]
    stranger = "00000000-0000-4000-8000-00000000dead"
    answer = agent.report(GuestReport(id=stranger, generation=0, power=Power.RUNNING, converged=True, unknown=True),
                          complete=True)
    assert answer.accepted
    assert member.get(f"{V}/servers").json() == {"servers": []}
    events = world.cloud.database.read(_host_events)
    assert any(stranger in (message or "") for message in events)
    assert world.cloud.database.read(_strangers) == [stranger]
    agent.report(GuestReport(id=stranger, generation=0, power=Power.STOPPED, converged=True, unknown=True))
    assert world.cloud.database.read(_strangers) == []


def _strangers(tx: Any) -> list[str]:
    from sqlalchemy import select

    from stackling.store.tables.fleet import hosts

    return [id for row in tx.all(select(hosts.c.unknown_guests)) for id in row.unknown_guests or ()]


def _host_events(tx: Any) -> list[str | None]:
    from sqlalchemy import select

    from stackling.store.tables.engine import events

    return [row.message for row in tx.all(select(events.c.message).where(events.c.kind == "host"))]


def test_a_terminal_error_becomes_the_fault(world: World, member: Client) -> None:
    agent = world.agents[0]
    id = world.create(member)["id"]
    [wanted] = agent.fetch()
    agent.report(agent.done(wanted, power=Power.ABSENT, converged=False, terminal=True, error="no such machine type"))
    shown = world.show(member, id)
    assert (shown["status"], shown["fault"]["message"]) == ("ERROR", "no such machine type")
    agent.report(agent.done(wanted))
    assert world.show(member, id)["status"] == "ACTIVE"
    assert "fault" not in world.show(member, id)


def test_malformed_reports(world: World) -> None:
    agent = world.agents[0]
    for content in (b"", b"{", b"[]", b'{"machine": 5}'):
        answer = world.cloud.send("POST", "/internal/machines/h1/report", headers={CREDENTIAL: agent.credential},
                                  content=content)
        assert answer.status_code == 400


def test_a_poll_waits_for_the_change_and_not_longer(world: World, member: Client) -> None:
    agent = world.agents[0]
    agent.fetch()
    path = f"/internal/machines/h1/documents?host=h1&since={agent.generation}&epoch=1"
    headers = {CREDENTIAL: agent.credential}

    async def poll_and_create() -> tuple[Any, float]:
        poll = asyncio.ensure_future(world.cloud.http.get(f"{path}&wait=20", headers=headers))
        await asyncio.sleep(0.05)
        assert not poll.done()
        began = time.monotonic()
        body = {"server": {"name": "x", "imageRef": world.image, "flavorRef": "42", "networks": "none"}}
        made = await world.cloud.http.post(f"{V}/servers", json=body, headers={
            "X-Auth-Token": member.token or "", "OpenStack-API-Version": "compute 2.37"})
        assert made.status_code == 202
        return await poll, time.monotonic() - began

    answer, took = world.cloud.run(poll_and_create())
    assert answer.status_code == 200
    assert took < 1.5
    agent.fetch()
    path = f"/internal/machines/h1/documents?host=h1&since={agent.generation}&epoch=1&wait=1"
    began = time.monotonic()
    assert world.cloud.send("GET", path, headers=headers).status_code == 204
    assert 0.9 < time.monotonic() - began < 3


def test_a_server_s_password_comes_from_its_own_machine(world: World, member: Client) -> None:
    other = world.add_host("h2")
    server = world.active(member)["id"]
    owner = next(agent for agent in world.agents if server in agent.wanted)
    stranger = next(agent for agent in (world.agents[0], other) if agent is not owner)

    def send(method: str, content: bytes | None = None, agent: Any = owner) -> Any:
        return world.cloud.send(method, f"/internal/machines/{agent.name}/servers/{server}/password",
                                headers={CREDENTIAL: agent.credential}, content=content)

    def shown() -> str:
        return member.get(f"{V}/servers/{server}/os-server-password").json()["password"]

    assert send("POST", b"x", stranger).status_code == send("GET", None, stranger).status_code == 403
    assert world.cloud.send("GET", f"/internal/machines/{owner.name}/servers/{server}/password").status_code == 401
    for content in (b"x" * 1021, b"x" * 5000, b"\xff", b"a\0b"):
        assert send("POST", content).status_code == 400
    assert (send("GET").content, shown()) == (b"", "")
    assert send("POST", b"sealed").status_code == 204
    assert send("POST", b"another").status_code == 409
    assert (send("GET").content, shown()) == (b"sealed", "sealed")
    assert member.delete(f"{V}/servers/{server}/os-server-password").status_code == 204
    assert send("POST", b"another").status_code == 204
    assert shown() == "another"
