"""Machines that are lost, fenced, evacuated and come back, seen from the API; every fault of the fence device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackling.api.stackling.service import service as stackling_service
from stackling.core import clock as clocks
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.simulated.membership import Device
from stackling.ha.facade import SharedStorage
from stackling.ports.fabric import FabricKind, FabricPort
from stackling.ports.storage_fence import StorageFenceError
from stackling.store import timeline
from tests.api.compute_world import World
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, Neutron
from tests.ha_world import SETTINGS, Clock, HaWorld

MakeWorld = Callable[..., HaWorld]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.install(monkeypatch)


@pytest.fixture
def make(clock: Clock, cloud: CloudUnderTest, tmp_path: Path) -> Iterator[MakeWorld]:
    store = LocalImageStore(tmp_path / "glance", reserve=0)

    def build(number: int = 3, storage: str = "rbd:pool", **settings: object) -> HaWorld:
        world = World(cloud, store)
        world.services.append(stackling_service(timeline.explain, timeline.owner))
        cloud.start(world.services)
        return HaWorld(world, tmp_path / "cluster.json", clock, number, replace(SETTINGS, **settings), storage)

    yield build
    store.close()


@pytest.fixture
def ha(make: MakeWorld) -> HaWorld:
    return make()


def test_a_lost_machine_is_fenced_and_its_servers_run_elsewhere(ha: HaWorld, member: Client) -> None:
    servers = [ha.build(member) for _ in range(4)]
    victim = ha.host_of(servers[0])
    theirs = [id for id in servers if ha.host_of(id) == victim]
    ha.cluster.lose_power(victim)
    took = ha.within(30, lambda: all(ha.running(id) and ha.running(id) != [victim] for id in theirs))
    assert took <= 15
    ha.within(10, lambda: all(ha.world.show(member, id)["status"] == "ACTIVE" for id in servers))
    shown = ha.get(victim)
    assert shown["state"] == "fenced"
    assert shown["proof"]["source"] == "power"
    assert shown["proof"]["evidence"]["power_off"] is True
    assert shown["evacuation_counts"]["done"] == len(theirs)
    assert shown["hosts"][0]["fenced"]
    assert {one["state"] for one in shown["evacuations"]} == {"done"}


def test_it_returns_gives_up_and_takes_servers_again(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    ha.cluster.lose_power(victim)
    ha.within(30, lambda: ha.running(id) not in ([], [victim]))
    ha.cluster.give_power(victim)
    ha.within(30, lambda: ha.state(victim) == "up")
    shown = ha.get(victim)
    assert shown["proof"] is None
    assert not shown["hosts"][0]["fenced"]
    assert shown["proofs"][0]["ended_at"]
    assert len(ha.running(id)) == 1


def test_one_that_is_lost_again_before_it_is_at_home_comes_home_later(ha: HaWorld, member: Client) -> None:
    victim = ha.host_of(ha.build(member))
    ha.cluster.lose_power(victim)
    ha.within(30, lambda: ha.state(victim) == "fenced")
    ha.machines[victim].stuck = True            # it gives nothing up yet
    ha.cluster.give_power(victim)
    ha.within(30, lambda: ha.state(victim) == "returning")
    ha.cluster.set_device(victim, Device.ABSENT)
    ha.cluster.cut(victim)
    ha.within(60, lambda: ha.state(victim) == "lost")
    ha.cluster.heal(victim)
    ha.within(30, lambda: ha.state(victim) == "returning")
    ha.spend(10)
    assert ha.state(victim) == "returning"
    ha.machines[victim].stuck, ha.machines[victim].agent.generation = False, 0
    ha.within(30, lambda: ha.state(victim) == "up")
    assert not ha.get(victim)["hosts"][0]["fenced"]


class Storage:
    """A shared storage that shuts addresses out, when it answers."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}
        self.silent = False

    def shut_out(self, address: str, seconds: float) -> None:
        self.shut_out_until()
        self.until[address] = clocks.wall() + seconds

    def let_in(self, address: str) -> None:
        self.shut_out_until()
        del self.until[address]

    def shut_out_until(self) -> dict[str, float]:
        if self.silent:
            raise StorageFenceError("it doesn't answer")
        return self.until

    def close(self) -> None:
        pass


def test_one_that_returns_while_the_storage_is_away_is_let_in_before_it_is_at_home(ha: HaWorld, member: Client) -> None:
    storage = Storage()
    ha.workers.clear()
    ha.watches.clear()
    ha.start_engine(SharedStorage(storage, {name: name for name in ha.machines}))
    ha.spend(14)
    victim = ha.host_of(ha.build(member))
    ha.cluster.lose_power(victim)
    ha.within(30, lambda: victim in storage.until)
    storage.silent = True
    ha.cluster.give_power(victim)
    ha.spend(40)
    assert ha.state(victim) == "returning"
    assert "storage" in ha.get(victim)["reason"]
    storage.silent = False
    ha.within(30, lambda: ha.state(victim) == "up")
    assert victim not in storage.until


def test_an_absent_fence_device_moves_nothing_and_says_so(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    ha.cluster.set_device(victim, Device.ABSENT)
    ha.cluster.lose_power(victim)
    ha.spend(120)
    shown = ha.get(victim)
    assert shown["state"] == "lost"
    assert "no fence device" in shown["reason"]
    assert "servers stay" in shown["reason"]
    assert ha.host_of(id) == victim
    told = member.get(f"/stackling/v1/explain/server/{id}").json()["explanation"]
    assert "no fence device" in told["why"]
    assert any(event["event"] == "host_lost" for event in told["events"])
    machine = ha.world.admin.get(f"/stackling/v1/explain/machine/{shown['id']}").json()["explanation"]
    assert f"machine {victim} is lost since" in machine["why"]
    ha.cluster.set_device(victim, Device.OK)
    ha.within(30, lambda: ha.running(id) not in ([], [victim]))


@pytest.mark.parametrize(("device", "words"), [
    (Device.HANG, "did not answer"), (Device.FAIL, "refused"), (Device.LIE, "its power reads on")])
def test_a_device_that_fails_hangs_or_lies_proves_nothing(
        ha: HaWorld, member: Client, device: Device, words: str) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    ha.cluster.set_device(victim, device)
    ha.cluster.cut(victim)
    ha.spend(200)
    shown = ha.get(victim)
    assert (shown["state"], ha.host_of(id), ha.running(id)) == ("lost", victim, [victim])
    assert words in shown["reason"]
    assert (shown["alarm"] is not None) is (device is Device.LIE)
    ha.cluster.heal(victim)
    ha.within(10, lambda: ha.state(victim) == "up")
    assert ha.running(id) == [victim]


def test_a_machine_with_a_heartbeat_is_not_fenced(ha: HaWorld, member: Client) -> None:
    ha.cluster.leave("m2")
    ha.spend(300)
    assert ha.state("m2") == "apart"
    assert ha.cluster.history("m2") == []
    ha.cluster.join("m2")
    ha.machines["m2"].silent = True
    ha.spend(300)
    assert ha.state("m2") == "silent"
    assert ha.cluster.history("m2") == []


def test_without_quorum_nothing_is_concluded(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    ha.cluster.set_quorate(False)
    ha.cluster.lose_power(victim)
    ha.spend(300)
    assert ha.state(victim) == "up"
    assert "quorum" in ha.get(victim)["reason"]
    assert ha.host_of(id) == victim
    ha.cluster.set_quorate(True)
    ha.within(30, lambda: ha.running(id) not in ([], [victim]))


def test_more_than_a_minority_missing_is_an_alarm_and_no_fencing(make: MakeWorld, member: Client) -> None:
    ha = make(5)
    for name in ("m1", "m2", "m3"):
        ha.cluster.cut(name)
    ha.spend(120)
    for name in ("m1", "m2", "m3"):
        assert ha.state(name) == "lost"
        assert "3 of 5 machines are missing" in ha.get(name)["alarm"]
        assert ha.cluster.history(name) == []
    ha.cluster.heal("m1")
    ha.within(20, lambda: ha.state("m1") == "up")
    ha.within(20, lambda: (ha.state("m2"), ha.state("m3")) == ("fenced", "fenced"))


def test_after_control_was_away_everybody_gets_a_full_period(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    ha.control_up = False
    ha.machines[victim].silent = True
    ha.cluster.leave(victim)
    ha.spend(600)
    ha.control_up = True
    ha.spend(SETTINGS.grace - 5)
    assert ha.state(victim) == "up"
    assert ha.cluster.history(victim) == []
    ha.machines[victim].silent = False
    ha.cluster.join(victim)
    ha.spend(60)
    assert ha.cluster.history(victim) == []


def test_a_second_failure_in_the_middle_is_planned_anew(make: MakeWorld, member: Client) -> None:
    ha = make(5)
    servers = [ha.build(member) for _ in range(8)]
    first = ha.host_of(servers[0])
    theirs = [id for id in servers if ha.host_of(id) == first]
    for machine in ha.machines.values():
        machine.stuck = machine.name != first
    ha.cluster.lose_power(first)
    ha.within(30, lambda: all(ha.host_of(id) != first for id in theirs))
    second = ha.host_of(theirs[0])
    for machine in ha.machines.values():
        machine.stuck = False
    ha.cluster.lose_power(second)
    ha.within(60, lambda: all(len(ha.running(id)) == 1 for id in servers))
    assert not {ha.host_of(id) for id in servers} & {first, second}
    ha.within(10, lambda: {ha.state(first), ha.state(second)} == {"fenced"})


def test_what_fits_nowhere_waits_with_its_reason_until_there_is_room(make: MakeWorld) -> None:
    ha = make(3)
    admin = ha.world.admin
    flavor = admin.post("/compute/v2.1/flavors", {"flavor": {
        "name": "half", "ram": 5000, "vcpus": 1, "disk": 0}}).json()["flavor"]["id"]
    servers = [ha.build(admin, flavorRef=flavor) for _ in range(3)]
    ha.cluster.lose_power(ha.host_of(servers[0]))
    victim = ha.host_of(servers[0])
    ha.within(30, lambda: ha.get(victim)["evacuation_counts"]["waiting"] == 1)
    [move] = ha.get(victim)["evacuations"]
    assert "lack" in move["reason"]
    told = admin.get(f"/stackling/v1/explain/server/{servers[0]}").json()["explanation"]
    assert "lack" in told["why"]
    assert ha.running(servers[0]) == []
    ha.spend(700)
    assert "overdue" in ha.get(victim)["evacuations"][0]["reason"]
    admin.delete(f"/compute/v2.1/servers/{servers[1]}")
    ha.within(20, lambda: len(ha.running(servers[0])) == 1)


def test_those_of_higher_priority_go_first_and_few_at_a_time(make: MakeWorld) -> None:
    ha = make(3, at_once=2)
    admin = ha.world.admin
    flavors = [admin.post("/compute/v2.1/flavors", {"flavor": {
        "name": f"p{n}", "ram": 64, "vcpus": 1, "disk": 0}}).json()["flavor"]["id"] for n in range(3)]
    for n, flavor in enumerate(flavors):
        done = admin.post(f"/compute/v2.1/flavors/{flavor}/os-extra_specs", {"extra_specs": {"ha:priority": str(n)}})
        assert done.status_code == 200
    servers = [ha.build(admin, availability_zone="nova:m2", flavorRef=flavors[n % 3]) for n in range(9)]
    for name in ("m1", "m3"):
        ha.machines[name].stuck = True
    ha.cluster.lose_power("m2")
    ha.within(30, lambda: ha.get("m2")["evacuation_counts"]["moving"] >= 3)
    ha.spend(20)
    shown = ha.get("m2")
    assert shown["evacuation_counts"]["moving"] <= 4
    moving = {one["server_id"] for one in shown["evacuations"] if one["state"] == "moving"}
    assert moving <= {id for n, id in enumerate(servers) if n % 3 == 2} | {servers[1]}
    for name in ("m1", "m3"):
        ha.machines[name].stuck = False
    ha.within(60, lambda: ha.get("m2")["evacuation_counts"]["done"] == 9)


def test_a_local_disk_stays_where_it_is(make: MakeWorld) -> None:
    ha = make(3, "local")
    admin = ha.world.admin
    id, doomed = (ha.build(admin, availability_zone="nova:m2") for _ in range(2))
    ha.cluster.lose_power("m2")
    assert admin.delete(f"/compute/v2.1/servers/{doomed}").status_code == 204
    ha.within(30, lambda: ha.get("m2")["evacuation_counts"]["held"] == 1)
    ha.spend(100)
    assert admin.get(f"/compute/v2.1/servers/{doomed}").status_code == 404
    assert ha.host_of(id) == "m2"
    assert "operator decides" in ha.get("m2")["evacuations"][0]["reason"]
    ha.cluster.give_power("m2")
    ha.within(30, lambda: ha.running(id) == ["m2"])
    ha.within(30, lambda: ha.state("m2") == "up")


@pytest.mark.parametrize("storage", ["shared:nfs", "rbd:pool"])
def test_a_shared_disk_needs_power_that_was_read_back(make: MakeWorld, storage: str) -> None:
    ha = make(3, storage)
    id = ha.build(ha.world.admin, availability_zone="nova:m2")
    ha.cluster.set_device("m2", Device.BLIND)
    ha.cluster.lose_power("m2")
    ha.within(30, lambda: ha.state("m2") == "fenced")
    ha.spend(30)
    moved = storage.startswith("rbd")
    assert (ha.host_of(id) != "m2", ha.running(id) != []) == (moved, moved)
    ha.cluster.set_device("m2", Device.OK)
    ha.within(90, lambda: ha.running(id) not in ([], ["m2"]))
    ha.within(30, lambda: ha.get("m2")["proof"]["strength"] == "power-read")


def test_a_fenced_machine_is_switched_on_again_once_where_that_is_wanted(make: MakeWorld) -> None:
    ha = make(return_after=60.0)
    ha.cluster.lose_power("m2")
    ha.within(40, lambda: ha.state("m2") == "fenced")
    assert not ha.cluster.machine("m2").power
    ha.within(90, lambda: ha.state("m2") == "up")
    ha.cluster.lose_power("m2")
    ha.within(40, lambda: ha.state("m2") == "fenced")
    ha.within(90, lambda: "within an hour" in (ha.get("m2")["reason"] or ""))
    assert not ha.cluster.machine("m2").power


def test_a_fenced_machine_that_asks_for_documents_ends_the_proof_first(ha: HaWorld) -> None:
    """Nothing that it may run from then on is moved away, although its evacuation was waiting."""
    admin = ha.world.admin
    ids = [ha.build(admin, availability_zone="nova:m2") for _ in range(2)]
    for name in ("m1", "m3"):
        host = ha.get(name)["hosts"][0]["id"]
        ha.world.cloud.database.write(_disable, host)
    ha.cluster.lose_power("m2")
    ha.within(30, lambda: ha.get("m2")["evacuation_counts"]["waiting"] == 2)
    ha.cluster.give_power("m2")
    answer = ha.ask_as("m2", "GET", "/documents?host=m2&since=0")
    assert answer.status_code == 200
    assert ha.state("m2") == "returning"
    counts = ha.get("m2")["evacuation_counts"]
    assert (counts["waiting"], counts["void"]) == (0, 2)
    ha.within(30, lambda: all(ha.running(id) == ["m2"] for id in ids))
    ha.within(30, lambda: ha.state("m2") == "up")


def _disable(tx: object, host_id: str) -> None:
    from stackling.compute import hosts

    hosts.update_host(tx, host_id, disabled=True)      # pyright: ignore[reportArgumentType]


def test_a_device_that_lies_unseen_is_found_out_when_the_machine_comes_back(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    machine = ha.machines[victim]
    ha.cluster.set_device(victim, Device.BLIND_LIE)
    machine.running.clear()                             # let its guests be dead, so that none runs twice
    machine.stuck = True
    ha.cluster.cut(victim)
    ha.within(40, lambda: ha.state(victim) == "fenced")
    machine.stuck = False
    ha.cluster.heal(victim)
    ha.spend(30)
    shown = ha.get(victim)
    assert shown["state"] == "returning"
    assert "never went off" in shown["alarm"]
    assert shown["hosts"][0]["fenced"]
    ha.act(victim, {"resume": None})
    ha.within(20, lambda: ha.state(victim) == "up")
    assert ha.get(victim)["alarm"] is None


def test_a_planned_stop_moves_nothing_and_ends_by_itself(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    answer = ha.act(victim, {"stop": {"seconds": 300, "reason": "new memory"}})
    assert answer.status_code == 202, answer.text
    assert ha.get(victim)["hosts"][0]["disabled"]
    ha.cluster.leave(victim)
    ha.cluster.lose_power(victim)
    ha.spend(250)
    assert (ha.state(victim), ha.host_of(id), ha.cluster.history(victim)) == ("stopped", victim, [])
    assert "stopped by plan" in member.get(f"/stackling/v1/explain/server/{id}").json()["explanation"]["why"]
    ha.cluster.give_power(victim)
    ha.within(30, lambda: ha.state(victim) == "up" and ha.get(victim)["planned_stop"] is None)
    assert not ha.get(victim)["hosts"][0]["disabled"]
    ha.within(10, lambda: ha.running(id) == [victim])


def test_a_planned_stop_that_lasts_too_long_is_a_loss(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    ha.act(victim, {"stop": {"seconds": 60}})
    ha.cluster.lose_power(victim)
    ha.spend(55)
    assert ha.state(victim) == "stopped"
    ha.within(60, lambda: ha.running(id) not in ([], [victim]))


def test_an_operator_may_confirm_what_no_device_can(ha: HaWorld, member: Client) -> None:
    id = ha.build(member)
    victim = ha.host_of(id)
    assert ha.act(victim, {"confirm_off": {"confirm": victim}}).status_code == 409
    ha.cluster.set_device(victim, Device.ABSENT)
    ha.cluster.lose_power(victim)
    ha.within(30, lambda: ha.state(victim) == "lost")
    assert ha.act(victim, {"confirm_off": {"confirm": "m9"}}).status_code == 400
    assert ha.act(victim, {"confirm_off": {}}).status_code == 400
    assert ha.act(victim, {"confirm_off": {"confirm": victim}}).status_code == 202
    ha.within(20, lambda: ha.running(id) not in ([], [victim]))
    assert ha.get(victim)["proof"]["source"] == "operator"


def test_only_administrators_see_and_act(ha: HaWorld, member: Client, anonymous: Client) -> None:
    for path in ("/stackling/v1/machines", "/stackling/v1/machines/m1"):
        assert anonymous.get(path).status_code == 401
        assert member.get(path).status_code == 403
    assert member.post("/stackling/v1/machines/m1/action", {"stop": None}).status_code == 403
    assert ha.world.admin.get("/stackling/v1/machines/m9").status_code == 404
    for body in ({}, {"explode": None}, {"stop": {"seconds": -1}}, {"stop": {"seconds": 1, "x": 2}},
                 {"resume": None, "stop": None}, []):
        assert ha.act("m1", body).status_code == 400, body


# -- identities

def test_a_host_moves_only_when_it_is_let_go_or_fenced(make: MakeWorld, member: Client) -> None:
    ha = make(3, take_over="identity")
    id = ha.build(ha.world.admin, availability_zone="nova:m2")
    take = "/hosts/m2/take"
    refused = ha.ask_as("m3", "POST", take)
    assert refused.status_code == 409
    assert "held by machine m2, which is up" in refused.json()["error"]["message"]
    assert ha.ask_as("m2", "POST", take).json() == {"host": "m2", "epoch": 1}
    ha.cluster.lose_power("m2")
    ha.within(30, lambda: ha.state("m2") == "fenced")
    assert ha.host_of(id) == "m2"
    taken = ha.ask_as("m3", "POST", take)
    assert (taken.status_code, taken.json()) == (200, {"host": "m2", "epoch": 2})
    assert ha.ask_as("m3", "POST", take).json()["epoch"] == 2
    held = ha.ask_as("m3", "GET", "/hosts").json()
    assert {one["host"] for one in held["hosts"]} == {"m2", "m3"}
    ha.cluster.give_power("m2")
    assert ha.ask_as("m2", "GET", "/hosts").json()["hosts"] == []
    assert ha.ask_as("m2", "GET", "/documents?host=m2&since=0").status_code == 403
    assert ha.ask_as("m1", "POST", "/hosts/m9/take").status_code == 404
    assert ha.world.cloud.send("POST", "/internal/machines/m3/hosts/m2/take").status_code == 401


def test_the_ports_of_a_host_are_where_its_identity_is(make: MakeWorld) -> None:
    ha = make(3, take_over="identity")
    neutron, engine = Neutron(ha.world.admin), Engine(ha.world.cloud)
    network = neutron.network()
    neutron.subnet(network)
    port = neutron.port(network, **{"binding:host_id": "m2", "device_owner": "compute:nova"})

    def chassis() -> str | None:
        engine.settle(30.0)
        held = engine.fabric.holds(FabricKind.PORT, port["id"])
        assert isinstance(held, FabricPort)
        return held.host

    assert chassis() == "m2"
    ha.ask_as("m2", "POST", "/hosts/m2/release", content=b'{"stopped": true, "epoch": 1}')
    assert ha.ask_as("m3", "POST", "/hosts/m2/take").status_code == 200
    assert chassis() == "m3"
    assert neutron.show("ports", port["id"])["binding:host_id"] == "m2"
    ha.ask_as("m3", "POST", "/hosts/m2/release", content=b'{"stopped": true, "epoch": 2}')
    assert ha.ask_as("m2", "POST", "/hosts/m2/take").status_code == 200
    assert chassis() == "m2"


def test_a_host_that_is_let_go_waits_for_the_agents_word(make: MakeWorld) -> None:
    ha = make(3, take_over="identity")
    first = ha.ask_as("m2", "POST", "/hosts/m2/release")
    assert (first.status_code, first.json()["released"]) == (200, False)
    assert ha.ask_as("m2", "GET", "/hosts").json()["hosts"] == [{"host": "m2", "epoch": 1, "releasing": True}]
    assert ha.ask_as("m3", "POST", "/hosts/m2/take").status_code == 409
    said = ha.ask_as("m2", "POST", "/hosts/m2/release", content=b'{"stopped": true, "epoch": 1}')
    assert said.json()["released"]
    assert ha.ask_as("m2", "POST", "/hosts/m2/release").json()["released"]
    assert ha.ask_as("m3", "POST", "/hosts/m2/take").json()["epoch"] == 2
    assert ha.ask_as("m2", "POST", "/hosts/m2/release").json()["released"]
    assert ha.ask_as("m2", "GET", "/hosts").json()["hosts"] == []


def test_a_word_of_letting_go_that_comes_late_frees_nothing(make: MakeWorld) -> None:
    """It was held up (by a control process that slept, say) until the machine had taken the host back."""
    ha = make(3, take_over="identity")
    release, late = "/hosts/m2/release", b'{"stopped": true, "epoch": 1}'
    ha.ask_as("m2", "POST", release)
    assert ha.ask_as("m2", "POST", "/hosts/m2/take").json() == {"host": "m2", "epoch": 2}
    assert not ha.ask_as("m2", "POST", release, content=late).json()["released"]
    assert ha.ask_as("m3", "POST", "/hosts/m2/take").status_code == 409
    assert ha.ask_as("m2", "GET", "/hosts").json()["hosts"] == [{"host": "m2", "epoch": 2, "releasing": False}]
    ha.ask_as("m2", "POST", release)
    assert not ha.ask_as("m2", "POST", release, content=late).json()["released"]
    assert ha.ask_as("m2", "POST", release, content=b'{"stopped": true, "epoch": 2}').json()["released"]
    assert ha.ask_as("m2", "POST", release, content=b'{"stopped": true}').status_code == 400


def test_a_host_with_local_disks_cannot_be_taken(make: MakeWorld) -> None:
    ha = make(3, "local", take_over="identity")
    ha.build(ha.world.admin, availability_zone="nova:m2")
    ha.cluster.lose_power("m2")
    ha.within(30, lambda: ha.state("m2") == "fenced")
    refused = ha.ask_as("m3", "POST", "/hosts/m2/take")
    assert refused.status_code == 409
    assert "its disk is on the lost machine" in refused.json()["error"]["message"]
