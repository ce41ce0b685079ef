"""Servers: the way from POST to ACTIVE to gone, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stackling.ports.document import Power
from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]


def test_a_server_becomes_active_when_its_agent_says_so(world: World, member: Client) -> None:
    made = world.create(member)
    assert made["adminPass"]
    assert world.show(member, made["id"])["status"] == "BUILD"
    assert world.show(member, made["id"])["OS-EXT-STS:task_state"] == "spawning"
    world.settle()
    shown = world.show(member, made["id"])
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:power_state"]) == ("ACTIVE", "active", 1)
    assert shown["OS-EXT-STS:task_state"] is None
    assert shown["OS-SRV-USG:launched_at"]


def test_what_a_flavor_says_of_the_machine_reaches_its_host(world: World, member: Client) -> None:
    specs = {"hw:boot_menu": "true", "hw_rng:allowed": "false", "ha:priority": "3"}
    assert world.admin.post(f"{V}/flavors/42/os-extra_specs", {"extra_specs": specs}).status_code == 200
    world.create(member, flavorRef="42")
    assert world.agents[0].fetch()[0].hardware == {"hw:boot_menu": "true", "hw_rng:allowed": "false"}


def test_delete_takes_the_server_away_when_the_guest_is_gone(world: World, member: Client) -> None:
    server = world.active(member)
    assert member.delete(f"{V}/servers/{server['id']}").status_code == 204
    shown = world.show(member, server["id"])
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", "deleting")
    world.settle()
    answer = member.get(f"{V}/servers/{server['id']}")
    assert answer.status_code == 404
    assert answer.json() == {"itemNotFound": {"code": 404, "message": f"Instance {server['id']} could not be found."}}
    gone = world.admin.get(f"{V}/servers/detail?deleted=True&all_tenants=1").json()["servers"]
    assert [(s["id"], s["status"]) for s in gone] == [(server["id"], "DELETED")]
    assert world.admin.get(f"{V}/os-hypervisors/detail").json()["hypervisors"][0]["memory_mb_used"] == 0


def test_no_host_fits_and_the_fault_says_why(world: World, member: Client) -> None:
    server = world.create(member, flavorRef="5")
    shown = world.show(member, server["id"])
    assert shown["status"] == "ERROR"
    assert shown["fault"]["code"] == 500
    assert shown["fault"]["message"].startswith("No valid host was found. 0 of 1 host: 1 lacks 8192 MiB of memory")
    assert "h1" not in str(shown["fault"])
    assert "h1" in world.show(world.admin, server["id"])["fault"]["details"]
    assert member.delete(f"{V}/servers/{server['id']}").status_code == 204
    assert member.get(f"{V}/servers/{server['id']}").status_code == 404


def test_another_projects_server_is_not_found(world: World, member: Client, other: Client) -> None:
    server = world.active(member)
    path = f"{V}/servers/{server['id']}"
    for answer in (other.get(path), other.delete(path), other.put(path, {"server": {"name": "x"}}),
                   other.post(f"{path}/action", {"os-stop": None}), other.get(f"{path}/metadata"),
                   other.get(f"{path}/os-interface"), other.get(f"{path}/os-instance-actions")):
        assert answer.status_code == 404, answer.text
    assert other.get(f"{V}/servers").json() == {"servers": []}


def test_stop_start_and_the_states_between(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    refused = world.act(member, id, "os-start")
    assert refused.status_code == 409
    assert refused.json()["conflictingRequest"]["message"] == (
        f"Cannot 'start' instance {id} while it is in vm_state active")
    assert world.act(member, id, "os-stop").status_code == 202
    assert world.show(member, id)["OS-EXT-STS:task_state"] == "powering-off"
    assert world.act(member, id, "os-stop").status_code == 409
    world.settle()
    assert world.show(member, id)["status"] == "SHUTOFF"
    assert world.act(member, id, "os-start").status_code == 202
    world.settle()
    assert world.show(member, id)["status"] == "ACTIVE"


def test_reboot_pause_suspend(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    for action, value, during, after in (
            ("reboot", {"type": "SOFT"}, "REBOOT", "ACTIVE"), ("reboot", {"type": "HARD"}, "HARD_REBOOT", "ACTIVE"),
            ("pause", None, "ACTIVE", "PAUSED"), ("unpause", None, "PAUSED", "ACTIVE"),
            ("suspend", None, "ACTIVE", "SUSPENDED"), ("resume", None, "SUSPENDED", "ACTIVE"),
            ("rebuild", {"imageRef": world.image}, "REBUILD", "ACTIVE")):
        assert world.act(member, id, action, value).status_code == 202
        assert world.show(member, id)["status"] == during, action
        world.settle()
        assert world.show(member, id)["status"] == after, action
    actions = member.get(f"{V}/servers/{id}/os-instance-actions", headers=LATEST).json()["instanceActions"]
    assert [a["action"] for a in actions] == [
        "rebuild", "resume", "suspend", "unpause", "pause", "reboot", "reboot", "create"]
    one = member.get(f"{V}/servers/{id}/os-instance-actions/{actions[-1]['request_id']}", headers=LATEST).json()
    assert one["instanceAction"]["events"][0]["result"] == "Success"


def test_several_at_once_are_numbered(world: World, member: Client) -> None:
    answer = world.try_create(member, min_count=2, max_count=3, return_reservation_id=True)
    assert answer.status_code == 202
    reservation = answer.json()["reservation_id"]
    found = member.get(f"{V}/servers/detail?reservation_id={reservation}").json()["servers"]
    assert sorted(s["name"] for s in found) == ["vm-1", "vm-2", "vm-3"]


def test_quota(world: World, member: Client) -> None:
    answer = world.try_create(member, min_count=11, max_count=11)
    assert answer.status_code == 403
    assert answer.json()["forbidden"]["message"] == (
        "Quota exceeded for instances: Requested 11, but already used 0 of 10 instances")
    assert world.try_create(member, min_count=1, max_count=12).status_code == 202
    assert len(member.get(f"{V}/servers").json()["servers"]) == 10


def test_bad_requests_are_refused(world: World, member: Client) -> None:
    for values, words in (
            ({"flavorRef": "nope"}, "Flavor nope could not be found"), ({"name": ""}, "name"), ({"name": 5}, "name"),
            ({"name": "a" * 256}, "name"), ({"imageRef": "f0e0d0c0-0000-4000-8000-000000000000"}, "requested image"),
            ({"imageRef": "x"}, "imageRef"), ({"key_name": "none"}, "Invalid key_name"),
            ({"user_data": "%%%"}, "user_data"), ({"min_count": 3, "max_count": 2}, "min_count"),
            ({"availability_zone": "mars"}, "availability zone"), ({"metadata": {"a": "b" * 256}}, "longer than 255"),
            ({"networks": [{"uuid": "x"}]}, "networks"), ({"unknown": 1}, "unknown"),
            ({"accessIPv6": "1.2.3"}, "accessIPv6"),
            ({"block_device_mapping_v2": [
                {"source_type": "volume", "uuid": world.image, "destination_type": "volume"}]}, "Boot sequence")):
        answer = world.try_create(member, **values)
        assert answer.status_code == 400, (values, answer.text)
        assert words in answer.json()["badRequest"]["message"], answer.text
    assert member.get(f"{V}/servers").json()["servers"] == []
    assert world.try_create(member, availability_zone="nova:h1").status_code == 403


def test_an_administrator_chooses_the_host(world: World) -> None:
    world.add_host("h2")
    for _ in range(2):
        server = world.create(world.admin, availability_zone="nova:h2")
        assert world.show(world.admin, server["id"])["OS-EXT-SRV-ATTR:host"] == "h2"
    server = world.create(world.admin, headers=version(74), host="h1")
    assert world.show(world.admin, server["id"])["OS-EXT-SRV-ATTR:host"] == "h1"


def test_a_reader_may_look_and_not_touch(world: World, member: Client, reader: Client) -> None:
    server = world.active(member)
    assert reader.get(f"{V}/servers/{server['id']}").status_code == 200
    assert world.try_create(reader).status_code == 403
    assert reader.delete(f"{V}/servers/{server['id']}").status_code == 403
    assert world.act(reader, server["id"], "os-stop").status_code == 403


def test_lock(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    assert world.act(member, id, "lock", {"locked_reason": "mine"}, headers=LATEST).status_code == 202
    shown = world.show(member, id)
    assert (shown["locked"], shown["locked_reason"]) == (True, "mine")
    for answer in (world.act(member, id, "os-stop"), member.delete(f"{V}/servers/{id}")):
        assert answer.status_code == 409
        assert answer.json()["conflictingRequest"]["message"] == f"Instance {id} is locked"
    assert world.act(member, id, "unlock").status_code == 202
    assert world.act(world.admin, id, "lock").status_code == 202
    assert world.act(member, id, "unlock").status_code == 403
    assert world.act(world.admin, id, "unlock").status_code == 202


def test_metadata_and_tags(world: World, member: Client) -> None:
    id = world.active(member, metadata={"a": "1"})["id"]
    path = f"{V}/servers/{id}/metadata"
    assert member.post(path, {"metadata": {"b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
    assert member.put(f"{path}/c", {"meta": {"c": "3"}}).json() == {"meta": {"c": "3"}}
    assert member.put(f"{path}/c", {"meta": {"d": "3"}}).status_code == 400
    assert member.delete(f"{path}/a").status_code == 204
    assert member.delete(f"{path}/a").status_code == 404
    assert member.get(path).json() == {"metadata": {"b": "2", "c": "3"}}
    assert member.put(path, {"metadata": {}}).json() == {"metadata": {}}
    tags = f"{V}/servers/{id}/tags"
    assert member.get(tags).status_code == 404
    assert member.put(tags, {"tags": ["x", "y"]}, headers=LATEST).json() == {"tags": ["x", "y"]}
    assert member.put(f"{tags}/z", headers=LATEST).status_code == 201
    assert member.put(f"{tags}/z", headers=LATEST).status_code == 204
    assert member.put(f"{tags}/a,b", headers=LATEST).status_code == 400
    assert member.delete(f"{tags}/x", headers=LATEST).status_code == 204
    assert member.delete(f"{tags}/x", headers=LATEST).status_code == 404
    found = member.get(f"{V}/servers?tags=y,z&not-tags=x", headers=LATEST).json()["servers"]
    assert [s["id"] for s in found] == [id]


@pytest.mark.parametrize(("name", "wanted"), [
    ("web.1", ["web-1", "web.1"]), ("web\\.1", ["web.1"]), ("WEB\\.1", ["web.1"]), ("\\[b\\]", ["a[b]"]),
    ("100%", ["100%"]), ("\\%", ["100%"]), ("_", ["under_score"]), ("ü", ["Grün"]), ("grÜn", ["Grün"]),
    ("^web", ["web-1", "web.1"]), ("o", ["under_score"]), ("", None)])
def test_a_name_is_found_by_a_part_of_it_or_by_a_regular_expression(
        world: World, member: Client, name: str, wanted: list[str] | None) -> None:
    names = ["under_score", "Grün", "a[b]", "100%", "web.1", "web-1"]
    for one in names:
        world.create(member, name=one)
    expected = names[::-1] if wanted is None else wanted
    for path in ("servers", "servers/detail"):
        found = member.get(f"{V}/{path}", params={"name": name}).json()["servers"]
        assert [s["name"] for s in found] == expected
        page = member.get(f"{V}/{path}", params={"name": name, "limit": 1, "sort_key": "display_name",
                                                 "sort_dir": "asc"}).json()["servers"]
        assert [s["name"] for s in page] == sorted(expected)[:1]
    assert all("flavor" in s for s in found)


def test_lists(world: World, member: Client) -> None:
    ids = [world.create(member, name=name)["id"] for name in ("web-1", "web-2", "db")]
    world.settle()
    assert [s["id"] for s in member.get(f"{V}/servers").json()["servers"]] == ids[::-1]
    first = member.get(f"{V}/servers?limit=2").json()
    assert [s["id"] for s in first["servers"]] == [ids[2], ids[1]]
    rest = member.get(first["servers_links"][0]["href"].removeprefix("http://cloud.test")).json()
    assert [s["id"] for s in rest["servers"]] == [ids[0]]
    for query, names in (
            ("name=web", {"web-1", "web-2"}), ("name=^web-1$", {"web-1"}), ("name=.*b", {"web-1", "web-2", "db"}),
            ("status=ACTIVE", {"web-1", "web-2", "db"}), ("status=active&name=db", {"db"}), ("status=SHUTOFF", set()),
            ("status=nonsense", set()), ("flavor=42", {"web-1", "web-2", "db"}), ("flavor=1", set()),
            (f"image={world.image}", {"web-1", "web-2", "db"}), ("changes-since=2051-01-01T12:34:00Z", set()),
            ("host=h1", {"web-1", "web-2", "db"})):
        found = member.get(f"{V}/servers/detail?{query}").json()["servers"]
        assert {s["name"] for s in found} == names, query
    for query in ("limit=-1", "limit=x", "changes-since=yesterday", "marker=nobody", "name=((a*)*)*"):
        assert member.get(f"{V}/servers?{query}").status_code == 400, query
    assert member.get(f"{V}/servers?status=nonsense", headers=version(38)).status_code == 400
    assert member.get(f"{V}/servers?nonsense=1", headers=version(75)).status_code == 400
    assert member.get(f"{V}/servers?all_tenants=1").status_code == 403
    assert len(world.admin.get(f"{V}/servers?all_tenants=1&host=h1").json()["servers"]) == 3
    assert world.admin.get(f"{V}/servers?all_tenants=1&host=h2").json()["servers"] == []
    ordered = member.get(f"{V}/servers?sort_key=display_name&sort_dir=asc&limit=2").json()
    assert [s["name"] for s in ordered["servers"]] == ["db", "web-1"]
    after = member.get(f"{V}/servers?sort_key=display_name&sort_dir=asc&marker={ordered['servers'][-1]['id']}").json()
    assert [s["name"] for s in after["servers"]] == ["web-2"]
    for query, what in (("sort_key=nonsense", "query parameters sort_key"), ("limit=x", "query parameters limit"),
                        ("sort_dir=up", "sort direction"), ("sort_key=uuid&sort_dir=asc&sort_dir=up", "direction")):
        refused = member.get(f"{V}/servers?{query}")
        assert refused.status_code == 400, query
        assert what in refused.json()["badRequest"]["message"], query


def test_changes_are_of_a_whole_second(world: World, member: Client) -> None:
    """Who asks by the instant that is shown finds what was shown."""
    id = world.active(member)["id"]
    shown = world.show(member, id)["updated"]
    earlier = (datetime.fromisoformat(shown) - timedelta(seconds=1)).isoformat()
    for query, ids in (({"changes-before": shown}, [id]), ({"changes-before": shown, "changes-since": shown}, [id]),
                       ({"changes-before": earlier}, [])):
        found = member.get(f"{V}/servers", params=query, headers=version(66)).json()["servers"]
        assert [one["id"] for one in found] == ids, query
    path = f"{V}/servers/{id}/os-instance-actions"
    [action] = member.get(path, headers=version(66)).json()["instanceActions"]
    query = {"changes-before": f"{action['updated_at'][:19]}Z"}
    assert member.get(path, params=query, headers=version(66)).json()["instanceActions"] == [action]


def test_what_no_view_shows_is_no_change(world: World, member: Client) -> None:
    """Nova's ``updated`` stays where a host only says again how a server is, or how far it is with it."""
    id = world.active(member)["id"]
    since = {"changes-since": datetime.now(UTC).isoformat()}
    agent = world.agents[0]
    for values in ({}, {"step": "looking after its disk"}, {"error": "the disk is slow"}):
        assert agent.report(agent.done(agent.wanted[id], **values)).accepted
        assert member.get(f"{V}/servers", params=since).json()["servers"] == [], values
    assert agent.report(agent.done(agent.wanted[id], power=Power.STOPPED)).accepted
    assert [one["id"] for one in member.get(f"{V}/servers", params=since).json()["servers"]] == [id]


def test_update(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    answer = member.put(f"{V}/servers/{id}", {"server": {"name": "new", "description": None, "accessIPv4": "1.2.3.4"}},
                        headers=LATEST)
    assert answer.status_code == 200
    assert (answer.json()["server"]["name"], answer.json()["server"]["accessIPv4"]) == ("new", "1.2.3.4")
    for values in ({"name": ""}, {"name": "a" * 256}, {"accessIPv4": "x"}, {"other": 1}):
        assert member.put(f"{V}/servers/{id}", {"server": values}).status_code == 400


def test_console_output_needs_an_agent_that_answers(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    assert world.act(member, id, "os-getConsoleOutput", {"length": 10}).status_code == 501

    async def ask(address: str, method: str, path: str) -> tuple[int, bytes]:
        assert (address, method, path) == ("/run/h1.sock", "GET", f"/servers/{id}/console-output?lines=10")
        return 200, b'{"output":"login: "}'

    world.cloud.cloud.ask_agent = ask
    world.agents[0].report(address="/run/h1.sock")
    answer = world.act(member, id, "os-getConsoleOutput", {"length": 10})
    assert (answer.status_code, answer.json()) == (200, {"output": "login: "})


def test_a_guest_that_goes_down_by_itself_is_shutoff(world: World, member: Client) -> None:
    from stackling.ports.document import Power

    id = world.active(member)["id"]
    agent = world.agents[0]
    agent.report(agent.done(agent.wanted[id], power=Power.STOPPED))
    world.settle()
    assert world.show(member, id)["status"] == "SHUTOFF"
    assert agent.wanted[id].power is Power.STOPPED
    assert world.act(member, id, "os-start").status_code == 202
    world.settle()
    assert world.show(member, id)["status"] == "ACTIVE"


def test_reset_state(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    assert world.act(member, id, "os-resetState", {"state": "error"}).status_code == 403
    assert world.act(world.admin, id, "os-resetState", {"state": "error"}).status_code == 202
    assert world.show(member, id)["status"] == "ERROR"
    assert world.act(world.admin, id, "os-resetState", {"state": "active"}).status_code == 202
    assert world.show(member, id)["status"] == "ACTIVE"
