"""Running servers that go to another host: how it ends well, and how it ends otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.core import clock
from stackling.ports.document import GuestReport, Inventory, MoveReport, MoveState, Power
from tests.api.compute_world import FakeAgent, V, World, version, world
from tests.api.conftest import Client
from tests.api.test_cold_migration import states, two
from tests.api.test_evacuation import RBD, evacuate, force_down, host_of, last, lose, migration, used

__all__ = ["two", "world"]


def live(world: World, id: str, minor: int = 80, client: Client | None = None, **value: Any) -> Any:
    value = {"host": None, "block_migration": "auto" if minor >= 25 else False, **value}
    if minor < 25:
        value.setdefault("disk_over_commit", False)
    return world.act(client or world.admin, id, "os-migrateLive", value, headers=version(minor))


def say(agent: FakeAgent, id: str, state: MoveState, power: Power, **move: Any) -> GuestReport:
    """The agent's word on a live move of the server that its document names."""
    wanted = last(agent, id)
    assert wanted.live is not None
    report = agent.done(wanted, power=power, converged=False,
                        move=MoveReport(number=wanted.live.number, state=state, **move))
    agent.report(report)
    return report


def begin(world: World, agents: list[FakeAgent], id: str) -> None:
    """Until memory is being copied from h1 to h2."""
    assert live(world, id, host="h2").status_code == 202
    say(agents[1], id, MoveState.READY, Power.ABSENT, peer="tls://h2")
    assert migration(world)["status"] == "running"


def test_a_server_migrates_live(world: World, two: list[FakeAgent], member: Client) -> None:
    network = member.post("/network/v2.0/networks", {"network": {"name": "n"}}).json()["network"]["id"]
    member.post("/network/v2.0/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}})
    id = world.active(member, networks=[{"uuid": network}])["id"]
    assert live(world, id, client=member).status_code == 403
    assert live(world, id).status_code == 202
    assert states(world, id) == ("MIGRATING", "active", "migrating")
    assert used(world) == {"h1": 192, "h2": 192}
    assert world.act(member, id, "reboot", {"type": "SOFT"}).status_code == 409
    coming = last(two[1], id)
    assert coming.present
    assert coming.live is not None
    assert (coming.live.target, coming.live.peer, coming.live.own_disks) == (True, "", False)
    source = last(two[0], id)
    assert source.live is None or source.live.peer == ""
    say(two[1], id, MoveState.READY, Power.ABSENT, peer="tls://h2")
    source = last(two[0], id)
    assert source.live is not None
    assert (source.live.target, source.live.peer) == (False, "tls://h2")
    progress = {"memory_total_bytes": 100, "memory_processed_bytes": 60, "memory_remaining_bytes": 40}
    say(two[0], id, MoveState.RUNNING, Power.RUNNING, progress=progress)
    [shown] = world.admin.get(f"{V}/servers/{id}/migrations", headers=version(80)).json()["migrations"]
    assert (shown["status"], shown["memory_remaining_bytes"], shown["server_uuid"]) == ("running", 40, id)
    one = world.admin.get(f"{V}/servers/{id}/migrations/{shown['id']}", headers=version(23))
    assert one.json()["migration"]["dest_compute"] == "h2"
    assert "links" in migration(world)
    say(two[0], id, MoveState.RUNNING, Power.PAUSED, progress=progress)
    assert states(world, id) == ("MIGRATING", "active", "migrating")
    say(two[1], id, MoveState.ARRIVED, Power.RUNNING)
    assert states(world, id) == ("ACTIVE", "active", None)
    assert host_of(world, id) == "h2"
    assert world.show(member, id)["OS-EXT-STS:power_state"] == 1
    assert used(world) == {"h1": 0, "h2": 192}
    [port] = world.admin.get("/network/v2.0/ports", params={"device_id": id}).json()["ports"]
    assert port["binding:host_id"] == "h2"
    left = last(two[0], id)
    assert (left.present, left.keep_disks) == (False, True)
    world.settle()
    assert migration(world)["status"] == "completed"
    assert world.admin.get(f"{V}/servers/{id}/migrations", headers=version(80)).json()["migrations"] == []
    assert world.admin.get(f"{V}/servers/{id}/migrations/{shown['id']}", headers=version(80)).status_code == 404
    assert states(world, id) == ("ACTIVE", "active", None)
    [action, *_] = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert (action["action"], action["message"]) == ("live-migration", None)


def test_the_former_host_says_it_first(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    say(two[0], id, MoveState.LEFT, Power.ABSENT)
    assert (host_of(world, id), states(world, id)[0]) == ("h2", "ACTIVE")
    world.settle()
    assert states(world, id) == ("ACTIVE", "active", None)


def test_a_paused_one_stays_paused(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "pause")
    world.settle()
    begin(world, two, id)
    assert states(world, id) == ("MIGRATING", "paused", "migrating")
    say(two[1], id, MoveState.ARRIVED, Power.PAUSED)
    world.settle()
    assert states(world, id) == ("PAUSED", "paused", None)


def test_one_that_fails_stays(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    say(two[0], id, MoveState.FAILED, Power.RUNNING, error="the other host doesn't answer")
    assert (host_of(world, id), states(world, id)) == ("h1", ("ACTIVE", "active", None))
    assert used(world) == {"h1": 192, "h2": 0}
    assert migration(world)["status"] == "error"
    [action, *_] = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert (action["action"], action["message"]) == ("live-migration", "Error")
    assert last(two[0], id).live is None
    left = last(two[1], id)
    assert (left.present, left.keep_disks) == (False, True)
    world.settle()
    two[1].generation = 0
    assert two[1].fetch() == []


def test_one_that_the_new_host_refuses(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    live(world, id)
    wanted = last(two[1], id)
    assert wanted.live is not None
    two[1].report(two[1].done(wanted, power=Power.ABSENT, converged=False, terminal=True, error="not set up here",
                              move=MoveReport(number=wanted.live.number, state=MoveState.WAITING)))
    assert states(world, id) == ("ACTIVE", "active", None)
    assert used(world) == {"h1": 192, "h2": 0}


def test_aborting(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    live(world, id)
    number = migration(world)["id"]
    path = f"{V}/servers/{id}/migrations/{number}"
    assert member.delete(path, headers=version(65)).status_code == 403
    assert world.admin.delete(path, headers=version(64)).status_code == 400
    assert world.admin.delete(path, headers=version(65)).status_code == 202
    assert states(world, id) == ("ACTIVE", "active", None)
    assert migration(world)["status"] == "cancelled"
    assert world.admin.delete(path, headers=version(65)).status_code == 400
    world.settle()
    begin(world, two, id)
    path = f"{V}/servers/{id}/migrations/{migration(world)['id']}"
    assert world.admin.delete(path, headers=version(24)).status_code == 202
    wanted = last(two[0], id)
    assert wanted.live is not None
    assert wanted.live.abort
    say(two[0], id, MoveState.FAILED, Power.RUNNING, error="aborted")
    assert migration(world)["status"] == "cancelled"
    assert host_of(world, id) == "h1"
    assert used(world) == {"h1": 192, "h2": 0}


def test_an_abort_that_comes_too_late(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    world.admin.delete(f"{V}/servers/{id}/migrations/{migration(world)['id']}", headers=version(24))
    say(two[1], id, MoveState.ARRIVED, Power.RUNNING)
    assert (host_of(world, id), migration(world)["status"]) == ("h2", "completed")


def test_forcing_its_end(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    live(world, id)
    path = f"{V}/servers/{id}/migrations/{migration(world)['id']}/action"
    assert world.admin.post(path, {"force_complete": None}, headers=version(22)).status_code == 400
    say(two[1], id, MoveState.READY, Power.ABSENT, peer="tls://h2")
    assert world.admin.post(path, {"force_complete": None}, headers=version(22)).status_code == 202
    wanted = last(two[0], id)
    assert wanted.live is not None
    assert wanted.live.hurry


def test_what_is_refused(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    for value, minor in (({"host": "nowhere"}, 80), ({"host": "h1"}, 80), ({"block_migration": "x"}, 80),
                         ({"force": True}, 30), ({"force": True, "host": "h2"}, 80), ({"disk_over_commit": True}, 25),
                         ({"block_migration": True}, 1)):
        assert live(world, id, minor, **value).status_code == 400, value
    force_down(world, "h2")
    assert live(world, id, 33).status_code == 400
    assert live(world, id, 34).status_code == 202
    assert migration(world)["status"] == "error"
    assert states(world, id) == ("ACTIVE", "active", None)
    [action, *_] = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert (action["action"], action["message"]) == ("live-migration", "Error")
    force_down(world, "h1")
    assert live(world, id).status_code == 400
    force_down(world, "h1", False)
    world.act(member, id, "os-stop")
    world.settle()
    assert live(world, id).status_code == 409
    assert used(world) == {"h1": 192, "h2": 0}


def test_disks_of_its_own_are_copied_and_then_removed(world: World, member: Client) -> None:
    first = world.agents[0]
    first.report(inventory=Inventory(vcpus=4, memory_mib=9000, disk_gib=200))
    second = world.add_host("h2")
    id = world.active(member)["id"]
    assert live(world, id, 33, block_migration=False).status_code == 400
    assert live(world, id, block_migration=True).status_code == 202
    coming = last(second, id)
    assert coming.live is not None
    assert coming.live.own_disks
    say(second, id, MoveState.READY, Power.ABSENT, peer="x")
    say(second, id, MoveState.ARRIVED, Power.RUNNING)
    [left] = first.fetch()
    assert (left.present, left.keep_disks) == (False, True)
    first.report(first.done(left))
    second.work()
    world.engine.step(10)
    [gone] = first.fetch()
    assert (gone.present, gone.keep_disks) == (False, False)
    answer = live(world, id, 33, host="h1")
    assert answer.status_code == 400
    first.report(first.done(gone))
    assert live(world, id, host="h1").status_code == 202


def test_copies_that_were_begun_are_removed(world: World, member: Client) -> None:
    first, second = world.agents[0], world.add_host("h2", memory_mib=4000)
    id = world.active(member)["id"]
    assert host_of(world, id) == "h1"
    begin(world, [first, second], id)
    say(first, id, MoveState.FAILED, Power.RUNNING, error="no")
    [left] = second.fetch()
    assert left.keep_disks
    second.report(second.done(left))
    first.work()
    world.engine.step(10)
    [gone] = second.fetch()
    assert (gone.present, gone.keep_disks) == (False, False)


def test_deleting_on_the_way_waits_for_both(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    assert member.delete(f"{V}/servers/{id}").status_code == 204
    for agent in two:
        assert not last(agent, id).present
    two[0].report(two[0].done(last(two[0], id)))
    world.engine.step(10)
    assert member.get(f"{V}/servers/{id}").status_code == 200
    world.settle()
    assert member.get(f"{V}/servers/{id}").status_code == 404
    assert used(world) == {"h1": 0, "h2": 0}


def test_a_new_host_that_is_lost_before_it_begins(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    live(world, id)
    lose(world, "h2")
    world.engine.step(10)
    assert (host_of(world, id), states(world, id)) == ("h1", ("ACTIVE", "active", None))
    assert used(world) == {"h1": 192, "h2": 0}


def test_a_former_host_that_is_lost_on_the_way(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    lose(world, "h1")
    assert evacuate(world, id) is None
    assert host_of(world, id) == "h2"
    wanted = last(two[1], id)
    assert wanted.live is None
    assert wanted.arrival is not None
    assert not wanted.arrival.hold
    assert used(world) == {"h1": 0, "h2": 192}
    world.agents = [two[1]]
    world.settle()
    assert states(world, id) == ("ACTIVE", "active", None)


def test_a_lost_one_goes_elsewhere_only_after_the_new_host_let_go(
        world: World, two: list[FakeAgent], member: Client) -> None:
    third = world.add_host("h3", storage=RBD, memory_mib=1000)
    id = world.active(member)["id"]
    begin(world, two, id)
    lose(world, "h1")
    world.admin.put(f"{V}/os-services/disable", {"host": "h2", "binary": "nova-compute"}, headers=version(1))
    assert evacuate(world, id) is None
    assert host_of(world, id) == "h3"
    assert used(world) == {"h1": 0, "h2": 0, "h3": 192}
    wanted = last(third, id)
    assert wanted.arrival is not None
    assert wanted.arrival.hold
    assert not last(two[1], id).present
    two[1].report(two[1].done(last(two[1], id)))
    wanted = last(third, id)
    assert wanted.arrival is not None
    assert not wanted.arrival.hold


def test_a_former_host_that_has_booted_does_not_know_whether_it_had_left(
        world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    before = last(two[1], id)
    say(two[0], id, MoveState.FAILED, Power.STOPPED, error="the guest is off")
    assert (host_of(world, id), states(world, id)) == ("h1", ("MIGRATING", "active", "migrating"))
    stale = two[1].done(before, power=Power.ABSENT, move=MoveReport(
        number=migration(world)["id"], state=MoveState.READY, peer="tls://h2"))
    two[1].report(stale)                        # from before it came
    assert host_of(world, id) == "h1"
    assert last(two[0], id).live is not None    # it starts nothing
    say(two[1], id, MoveState.ARRIVED, Power.RUNNING)
    assert host_of(world, id) == "h2"


@pytest.mark.parametrize("fenced", [False, True])
def test_one_whose_guest_is_off_stays_once_the_new_host_has_none(
        world: World, two: list[FakeAgent], member: Client, fenced: bool) -> None:
    id = world.active(member)["id"]
    begin(world, two, id)
    say(two[0], id, MoveState.FAILED, Power.STOPPED, error="the guest is off")
    if fenced:
        lose(world, "h2")
        world.engine.step(10)
    else:
        say(two[1], id, MoveState.READY, Power.ABSENT, peer="tls://h2")
    assert migration(world)["status"] == "error"
    wanted = last(two[0], id)
    assert (wanted.live, wanted.present) == (None, True)
    assert used(world) == {"h1": 192, "h2": 0}


def test_a_new_host_that_falls_silent_may_run_it_and_is_waited_for(
        world: World, two: list[FakeAgent], member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    third = world.add_host("h3", storage=RBD, memory_mib=1000)
    id = world.active(member)["id"]
    begin(world, two, id)
    lose(world, "h1")
    world.admin.put(f"{V}/os-services/disable", {"host": "h2", "binary": "nova-compute"}, headers=version(1))
    assert evacuate(world, id) is None
    later = clock.wall() + 90
    monkeypatch.setattr(clock, "wall", lambda: later)
    third.report()
    world.engine.step(10)
    wanted = last(third, id)
    assert wanted.arrival is not None
    assert wanted.arrival.hold                  # h2 may have got it, and run it
    lose(world, "h2")
    wanted = last(third, id)
    assert wanted.arrival is not None
    assert not wanted.arrival.hold


@pytest.mark.parametrize("minor", [1, 25, 30, 68])
def test_every_form_of_the_request(world: World, two: list[FakeAgent], member: Client, minor: int) -> None:
    id = world.active(member)["id"]
    more = {"force": True} if minor == 30 else {}
    assert live(world, id, minor, host="h2", **more).status_code == 202
