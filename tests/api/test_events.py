"""``/stackling/v1/events``: what changes is told to those whom it concerns, and to nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stackling.api.app import build_app
from stackling.api.stackling import events, feed
from stackling.api.stackling.feed import Feed, Follower, Seen
from stackling.api.stackling.service import service as stackling_service
from stackling.store import changes, timeline
from stackling.store.changes import Change
from stackling.store.tables.engine import changes as table
from stackling.store.tables.engine import settings
from tests.api import compute_world
from tests.api.compute_world import V, World
from tests.api.conftest import Client
from tests.api.event_stream import Stream

world = compute_world.world


class Told:
    """A control node's stream of events, beside the APIs of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.feed = Feed(changes)
        self.app = build_app(world.cloud.cloud, [stackling_service(timeline.explain, timeline.owner, feed=self.feed)])
        self.streams: list[Stream] = []
        before = world.cloud.database.on_nudge
        assert before is not None

        def woken(keys: list[tuple[str, str]]) -> None:
            before(keys)
            self.feed.woken(keys)

        world.cloud.database.on_nudge = woken

    def follow(self, client: Client, query: str = "", last: str | None = None) -> Stream:
        stream = Stream(self.world.cloud, self.app, client.token, query, last).open()
        self.streams.append(stream)
        return stream


@pytest.fixture
def told(world: World) -> Any:
    made = Told(world)
    yield made
    made.feed.close()
    for stream in made.streams:
        if not stream.ended:
            stream.leave()


def test_a_server_s_life_is_told_to_its_project_alone(told: Told, member: Client, other: Client) -> None:
    mine, theirs = told.follow(member), told.follow(other)
    assert mine.status == 200
    assert mine.headers["content-type"].startswith("text/event-stream")
    assert mine.headers["cache-control"] == "no-store"
    assert mine.names() == ["ready"]
    server = told.world.active(member)
    mine.until(lambda one: any(data["id"] == server["id"] for data in one.told("server")))
    member.delete(f"{V}/servers/{server['id']}")
    so_far = len(mine.events)
    told.world.settle()
    mine.until(lambda one: len(one.events) > so_far)
    own = other.post("/network/v2.0/networks", {"network": {"name": "theirs"}}).json()["network"]["id"]
    theirs.until(lambda one: bool(one.told("network")))
    assert {data["project_id"] for data in theirs.told()} == {other.project_id}
    assert {data["id"] for data in theirs.told("network")} == {own}
    assert {data["project_id"] for data in mine.told()} == {member.project_id}


def test_an_event_says_what_changed_and_nothing_else(told: Told, member: Client) -> None:
    stream = told.follow(member)
    told.world.active(member, name="a secret name", metadata={"password": "hunter2"})
    stream.until(lambda one: bool(one.told("server")))
    assert all(set(data) == {"kind", "id", "project_id", "at"} for data in stream.told())
    assert "secret" not in stream.text
    assert "hunter2" not in stream.text


def test_states_that_a_server_reaches_by_itself_are_told(told: Told, member: Client) -> None:
    id = told.world.active(member)["id"]
    stream = told.follow(member)
    assert told.world.act(member, id, "os-stop").status_code == 202
    stream.until(lambda one: bool(one.told("server")))
    so_far = len(stream.told("server"))
    told.world.settle()
    stream.until(lambda one: len(one.told("server")) > so_far)
    assert told.world.show(member, id)["status"] == "SHUTOFF"


def test_who_may_follow_what(told: Told, member: Client, reader: Client, anonymous: Client) -> None:
    for client, query, status in (
            (told.world.admin, "all_projects=true", 200), (told.world.admin, "", 200), (reader, "", 200),
            (member, "all_projects=true", 403), (member, "all_projects=perhaps", 400), (member, "timeout=-1", 400),
            (member, "timeout=soon", 400), (anonymous, "", 401)):
        stream = told.follow(client, query)
        assert stream.status == status, (query, stream.text)
    everything, own = told.follow(told.world.admin, "all_projects=true"), told.follow(told.world.admin)
    id = member.post("/network/v2.0/networks", {"network": {"name": "n"}}).json()["network"]["id"]
    everything.until(lambda one: id in {data["id"] for data in one.told("network")})
    assert not own.told("network")


def test_who_comes_back_is_told_what_was_missed(told: Told, member: Client, other: Client) -> None:
    first = told.follow(member)
    first.leave()
    id = member.post("/network/v2.0/networks", {"network": {"name": "n"}}).json()["network"]["id"]
    other.post("/network/v2.0/networks", {"network": {"name": "theirs"}})
    back = told.follow(member, "timeout=0", first.last)
    assert back.names()[-1] == "ready"
    assert [data["id"] for data in back.told("network")] == [id]
    assert {data["project_id"] for data in back.told()} == {member.project_id}
    back.until(lambda one: one.ended)
    again = told.follow(member, "timeout=0", back.last)
    assert again.names() == ["ready"]


@pytest.mark.parametrize("last", ["9-1", "1-999999999", "nonsense", "1-1-1", "-", "1-99999999999999999999999"])
def test_a_place_that_isn_t_known_means_looking_at_everything(told: Told, member: Client, last: str) -> None:
    member.post("/network/v2.0/networks", {"network": {"name": "n"}})
    assert told.follow(member, "timeout=0", last).names() == ["reset", "ready"]


def test_what_was_dropped_or_is_too_much_means_looking_at_everything(
        told: Told, member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    start = told.follow(member, "timeout=0").last
    for number in range(4):
        member.post("/network/v2.0/networks", {"network": {"name": f"n{number}"}})
    assert len(told.follow(member, "timeout=0", start).told("network")) == 4
    with monkeypatch.context() as patch:
        patch.setattr(events, "MISSED", 3)
        assert told.follow(member, "timeout=0", start).names() == ["reset", "ready"]
    last = told.world.cloud.database.read(changes.position).last
    told.world.cloud.database.write(lambda tx: tx.execute(table.delete().where(table.c.seq < last)))
    assert told.follow(member, "timeout=0", start).names() == ["reset", "ready"]


def test_a_restored_database_is_another_place(told: Told, member: Client) -> None:
    start = told.follow(member, "timeout=0").last
    told.world.cloud.database.write(lambda tx: tx.set_setting("era", 7))
    back = told.follow(member, "timeout=0", start)
    assert back.names() == ["reset", "ready"]
    assert (back.last or "").startswith("7-")
    assert told.world.cloud.database.read(lambda tx: tx.scalar(settings.select().where(settings.c.name == "era")))


@pytest.mark.parametrize("how", ["revoked", "disabled", "role taken"])
def test_the_stream_ends_with_its_token(told: Told, member: Client, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    monkeypatch.setattr(events, "CHECKED", 0.0)
    stream, staying = told.follow(member), told.follow(told.world.admin)
    admin = told.world.admin
    if how == "revoked":
        member.request("DELETE", "/identity/v3/auth/tokens", headers={"X-Subject-Token": member.token})
    elif how == "disabled":
        admin.patch(f"/identity/v3/users/{member.user_id}", {"user": {"enabled": False}})
    else:
        role = admin.get("/identity/v3/roles", params={"name": "member"}).json()["roles"][0]["id"]
        admin.delete(f"/identity/v3/projects/{member.project_id}/users/{member.user_id}/roles/{role}")
    stream.until(lambda one: one.ended)
    assert stream.names()[-1] == "end"
    assert not staying.ended
    admin.post("/network/v2.0/networks", {"network": {"name": "n"}})
    assert not stream.told("network")


def test_a_quiet_stream_shows_that_it_lives(told: Told, member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    told.follow(member).until(lambda one: one.text.count(": still here") >= 2)


def test_a_lost_wake_up_is_found_soon(told: Told, member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "POLL", 0.1)
    told.world.cloud.database.on_nudge = None
    stream = told.follow(member)
    member.post("/network/v2.0/networks", {"network": {"name": "n"}})
    stream.until(lambda one: bool(one.told("network")))


def test_another_control_node_tells_it_too(told: Told, member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "POLL", 0.1)
    second = Told.__new__(Told)
    second.world, second.feed, second.streams = told.world, Feed(changes), []
    second.app = build_app(told.world.cloud.cloud, [
        stackling_service(timeline.explain, timeline.owner, feed=second.feed)])
    here, there = told.follow(member), second.follow(member)
    id = member.post("/network/v2.0/networks", {"network": {"name": "n"}}).json()["network"]["id"]
    for stream in (here, there):
        stream.until(lambda one: id in {data["id"] for data in one.told("network")})
    there.leave()
    moved = told.follow(member, "timeout=0", there.last)
    assert moved.names()[-1] == "ready"
    assert "reset" not in moved.names()


def test_many_followers_cost_the_database_no_more_than_one(told: Told, member: Client) -> None:
    class Counted:
        asked = 0
        position = staticmethod(changes.position)

        def since(self, *arguments: Any) -> Sequence[Change]:
            self.asked += 1
            return changes.since(*arguments)

    counted = told.feed.changes = Counted()
    streams = [told.follow(member) for _ in range(20)]
    for number in range(10):
        member.post("/network/v2.0/networks", {"network": {"name": f"n{number}"}})
    for stream in streams:
        stream.until(lambda one: len({data["id"] for data in one.told("network")}) == 10)
    assert 0 < counted.asked <= 30


def test_nobody_is_followed_by_too_many(told: Told, member: Client, reader: Client, monkeypatch: pytest.MonkeyPatch
                                        ) -> None:
    monkeypatch.setattr(feed, "MOST_OF_USER", 2)
    monkeypatch.setattr(feed, "MOST_STREAMS", 3)
    first, _ = told.follow(member), told.follow(member)
    assert told.follow(member).status == 403
    assert told.follow(reader).status == 200
    assert told.follow(told.world.admin).status == 503
    first.leave()
    assert told.follow(member).status == 200


def test_who_leaves_is_forgotten(told: Told, member: Client) -> None:
    streams = [told.follow(member) for _ in range(3)]
    for stream in streams:
        stream.leave()
    assert not told.feed._followers                                         # pyright: ignore[reportPrivateUsage]
    assert not told.feed._of_user                                           # pyright: ignore[reportPrivateUsage]
    assert told.feed._tail is None                                          # pyright: ignore[reportPrivateUsage]


def test_the_end_of_the_process_ends_every_stream(told: Told, member: Client) -> None:
    stream = told.follow(member)
    told.feed.close()
    stream.until(lambda one: one.ended)
    assert told.follow(member).status == 503


def test_what_waits_for_a_reader_that_doesn_t_read_is_bounded() -> None:
    follower = Follower("p", "u")
    for number in range(3):
        follower.put(Change(number, "at", "server", "the same", "p"))
    assert follower.take() == ([Change(2, "at", "server", "the same", "p")], False)
    for number in range(feed.MOST_WAITING + 10):
        follower.put(Change(number, "at", "server", str(number), "p"))
    found, lost = follower.take()
    assert lost
    assert len(found) == 9
    assert follower.take() == ([], False)


def test_numbers_that_show_up_late_are_not_passed_over() -> None:
    def change(number: int) -> Change:
        return Change(number, "at", "server", str(number), "p")

    seen = Seen(0, 2.0)
    assert [one.seq for one in seen.fresh([change(1), change(4)], 10.0)] == [1, 4]
    assert [one.seq for one in seen.fresh([change(1), change(2), change(4), change(7)], 11.0)] == [2, 7]
    assert seen.after == 0
    assert seen.fresh([change(1), change(2), change(4), change(7)], 12.5) == []
    assert seen.after == 4
    assert [one.seq for one in seen.fresh([change(5), change(7)], 13.0)] == [5]
    assert seen.fresh([], 20.0) == []
    assert seen.after == 7
    strict = Seen(3, 0.0)
    assert [one.seq for one in strict.fresh([change(4), change(5)], 1.0)] == [4, 5]
    assert strict.after == 5
