"""Taking a server to another host while it is off, confirmed and undone, and a resize that goes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.ports.document import Power
from tests.api.compute_world import FakeAgent, V, World, version, world
from tests.api.conftest import Client
from tests.api.test_evacuation import RBD, force_down, host_of, last, lose, migration, used

__all__ = ["world"]


@pytest.fixture
def two(world: World) -> list[FakeAgent]:
    """Two hosts with shared storage; h1 takes new servers first."""
    from stackling.ports.document import Inventory

    world.agents[0].report(inventory=Inventory(vcpus=4, memory_mib=9000, disk_gib=200, storage=RBD))
    return [world.agents[0], world.add_host("h2", storage=RBD)]


def states(world: World, id: str) -> tuple[str, str, Any]:
    shown = world.show(world.admin, id)
    return shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]


def migrate(world: World, id: str, client: Client | None = None, value: Any = None, minor: int = 80) -> Any:
    return world.act(client or world.admin, id, "migrate", value, headers=version(minor))


def test_a_confirmed_migration(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    assert migrate(world, id, member).status_code == 403
    assert migrate(world, id).status_code == 202
    assert states(world, id) == ("RESIZE", "active", "resize_migrating")
    assert migration(world)["status"] == "migrating"
    assert used(world) == {"h1": 192, "h2": 192}
    waiting = last(two[1], id)
    assert waiting.arrival is not None
    assert waiting.arrival.hold
    assert waiting.arrival.source == ""
    leaving = last(two[0], id)
    assert (leaving.present, leaving.keep_disks, leaving.politely) == (False, True, True)
    two[0].report(two[0].done(leaving, converged=False, power=Power.RUNNING, step="shutting down"))
    assert last(two[1], id).arrival == waiting.arrival
    two[0].report(two[0].done(leaving))
    assert states(world, id) == ("RESIZE", "active", "resize_finish")
    assert migration(world)["status"] == "post-migrating"
    two[1].report(two[1].done(last(two[1], id)))
    assert states(world, id) == ("VERIFY_RESIZE", "resized", None)
    shown = migration(world, migration_type="migration", host="h2")
    assert (shown["status"], shown["source_compute"], shown["dest_compute"]) == ("finished", "h1", "h2")
    assert last(two[1], id).arrival is None
    assert world.act(member, id, "confirmResize").status_code == 204
    assert states(world, id) == ("ACTIVE", "active", None)
    assert used(world) == {"h1": 0, "h2": 192}
    assert migration(world)["status"] == "confirmed"
    actions = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert [one["action"] for one in actions] == ["confirmResize", "migrate", "create"]


def test_one_that_is_undone(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    migrate(world, id, value={"host": "h2"})
    world.settle()
    assert states(world, id)[0] == "VERIFY_RESIZE"
    assert world.act(member, id, "revertResize").status_code == 202
    assert states(world, id) == ("REVERT_RESIZE", "resized", "resize_reverting")
    assert migration(world)["status"] == "reverting"
    back = last(two[0], id)
    assert back.present
    assert back.arrival is not None
    assert back.arrival.hold
    assert not last(two[1], id).present
    two[1].report(two[1].done(last(two[1], id)))
    back = last(two[0], id)
    assert back.arrival is not None
    assert not back.arrival.hold
    assert back.restored_resize == 1
    two[0].report(two[0].done(back))
    assert states(world, id) == ("ACTIVE", "active", None)
    assert used(world) == {"h1": 192, "h2": 0}
    assert migration(world)["status"] == "reverted"


def test_what_is_refused(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    for value, minor in (({"host": "nowhere"}, 56), ({"host": "h1"}, 56), ({"host": ""}, 56), ({"x": 1}, 56)):
        assert migrate(world, id, value=value, minor=minor).status_code == 400, value
    two[1].report(inventory=None)
    force_down(world, "h2")
    answer = migrate(world, id)
    assert answer.status_code == 400
    assert "1 is down" in answer.json()["badRequest"]["message"]
    force_down(world, "h2", False)
    force_down(world, "h1")
    assert migrate(world, id).status_code == 409
    world.act(member, id, "pause")
    assert migrate(world, id).status_code == 409
    assert used(world) == {"h1": 192, "h2": 0}


def test_disks_of_one_host_alone_stay_where_they_are(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    world.add_host("h2")
    answer = migrate(world, id)
    assert answer.status_code == 400
    assert "directory of host h1 alone" in answer.json()["badRequest"]["message"]
    assert states(world, id) == ("ACTIVE", "active", None)


def test_disks_that_can_be_fetched_are(world: World, member: Client) -> None:
    first = world.agents[0]
    from stackling.ports.document import Inventory

    first.report(inventory=Inventory(vcpus=4, memory_mib=9000, disk_gib=200, storage="local:copied"),
                 address="http+unix:///agent")
    second = world.add_host("h2", storage="local:copied")
    id = world.active(member)["id"]
    assert migrate(world, id).status_code == 202
    world.agents = [first]
    world.settle()
    wanted = last(second, id)
    assert wanted.arrival is not None
    assert (wanted.arrival.hold, wanted.arrival.source) == (False, "http+unix:///agent")
    second.report(second.done(wanted))
    assert first.fetch() == []
    world.act(member, id, "confirmResize")
    [gone] = first.fetch()
    assert (gone.present, gone.keep_disks) == (False, False)


def test_a_stopped_one_stays_stopped(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "os-stop")
    world.settle()
    migrate(world, id)
    world.settle()
    assert states(world, id)[0] == "VERIFY_RESIZE"
    world.act(member, id, "confirmResize")
    assert states(world, id)[0] == "SHUTOFF"


def test_deleting_on_the_way_waits_for_the_former_host(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    migrate(world, id)
    member.delete(f"{V}/servers/{id}")
    wanted = last(two[1], id)
    assert wanted.arrival is not None
    assert (wanted.present, wanted.arrival.hold) == (False, True)
    two[1].report(two[1].done(wanted, converged=False))
    world.engine.step(10)
    assert member.get(f"{V}/servers/{id}").status_code == 200
    world.settle()
    assert member.get(f"{V}/servers/{id}").status_code == 404
    assert used(world) == {"h1": 0, "h2": 0}


def test_deleting_before_it_is_confirmed_gives_everything_back(
        world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    migrate(world, id)
    world.settle()
    member.delete(f"{V}/servers/{id}")
    world.settle()
    assert used(world) == {"h1": 0, "h2": 0}
    assert migration(world)["status"] == "confirmed"


def test_a_former_host_that_is_lost_is_not_waited_for(world: World, two: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    migrate(world, id)
    lose(world, "h1")
    wanted = last(two[1], id)
    assert wanted.arrival is not None
    assert not wanted.arrival.hold
    world.agents = [two[1]]
    world.settle()
    assert states(world, id)[0] == "VERIFY_RESIZE"
    assert world.act(member, id, "revertResize").status_code == 409


def test_a_new_host_that_is_lost_leaves_the_former_one_awaited(
        world: World, two: list[FakeAgent], member: Client) -> None:
    from tests.api.test_evacuation import evacuate

    third = world.add_host("h3", storage=RBD, memory_mib=2000)
    id = world.active(member)["id"]
    migrate(world, id, value={"host": "h2"})
    lose(world, "h2")
    world.admin.put(f"{V}/os-services/disable", {"host": "h1", "binary": "nova-compute"}, headers=version(1))
    assert evacuate(world, id) is None
    wanted = last(third, id)
    assert wanted.arrival is not None
    assert wanted.arrival.hold
    two[0].report(two[0].done(last(two[0], id)))
    assert not last(third, id).arrival.hold  # pyright: ignore[reportOptionalMemberAccess]
    third.report(third.done(last(third, id)))
    assert states(world, id) == ("ACTIVE", "active", None)
    assert used(world) == {"h1": 0, "h2": 0, "h3": 192}


def test_a_resize_goes_where_there_is_room(world: World, two: list[FakeAgent], member: Client) -> None:
    body = {"flavor": {"name": "large", "ram": 8500, "disk": 2, "vcpus": 1}}
    large = world.admin.post(f"{V}/flavors", body).json()["flavor"]["id"]
    world.admin.put(f"{V}/os-services/disable", {"host": "h1", "binary": "nova-compute"}, headers=version(1))
    id = world.active(member)["id"]
    assert host_of(world, id) == "h2"
    world.admin.put(f"{V}/os-services/enable", {"host": "h1", "binary": "nova-compute"}, headers=version(1))
    assert world.act(member, id, "resize", {"flavorRef": large}).status_code == 202
    assert used(world) == {"h1": 8500, "h2": 192}
    world.settle()
    assert states(world, id)[0] == "VERIFY_RESIZE"
    shown = migration(world)
    assert (shown["migration_type"], shown["dest_compute"]) == ("resize", "h1")
    assert shown["old_instance_type_id"] != shown["new_instance_type_id"]
    world.act(member, id, "revertResize")
    world.settle()
    assert states(world, id)[0] == "ACTIVE"
    assert host_of(world, id) == "h2"
    assert used(world) == {"h1": 0, "h2": 192}


def test_lists_of_migrations(world: World, two: list[FakeAgent], member: Client) -> None:
    ids = [world.active(member)["id"] for _ in range(3)]
    for id in ids:
        migrate(world, id, value={"host": "h2"} if host_of(world, id) == "h1" else {"host": "h1"})
        world.settle()
    path = f"{V}/os-migrations"
    assert member.get(path).status_code == 403
    first = world.admin.get(path, params={"limit": 2}, headers=version(59)).json()
    assert [one["instance_uuid"] for one in first["migrations"]] == [ids[2], ids[1]]
    assert "limit=2" in first["migrations_links"][0]["href"]
    marker = first["migrations"][-1]["uuid"]
    rest = world.admin.get(path, params={"marker": marker}, headers=version(59)).json()
    assert [one["instance_uuid"] for one in rest["migrations"]] == [ids[0]]
    assert world.admin.get(path, params={"marker": ids[0]}, headers=version(59)).status_code == 400
    found = world.admin.get(path, params={"instance_uuid": ids[1]}).json()["migrations"]
    assert set(found[0]) == {"id", "status", "instance_uuid", "source_node", "source_compute", "dest_node",
                             "dest_compute", "dest_host", "old_instance_type_id", "new_instance_type_id", "created_at",
                             "updated_at"}
    assert world.admin.get(path, params={"status": "confirmed"}).json()["migrations"] == []
    assert world.admin.get(path, params={"project_id": "x"}, headers=version(80)).json()["migrations"] == []
    own = world.admin.get(path, params={"user_id": world.admin.user_id}, headers=version(80)).json()["migrations"]
    assert len(own) == 3
    assert world.admin.get(path, params={"changes-since": "2100-01-01T00:00:00Z"},
                           headers=version(59)).json()["migrations"] == []
    assert world.admin.get(f"{V}/servers/{ids[0]}/migrations", headers=version(23)).json() == {"migrations": []}
    number = found[0]["id"]
    assert world.admin.get(f"{V}/servers/{ids[1]}/migrations/{number}", headers=version(23)).status_code == 404
