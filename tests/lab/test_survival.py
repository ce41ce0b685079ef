"""The scenarios of ``features/``, over real engines. Each says how many seconds things took (``-rP`` shows it)."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_bdd import given, parsers, scenarios, then, when

from stackling.lab import Machine
from stackling.lab.power import Mode, set_mode
from tests.lab import volumes
from tests.lab.cloud import Cloud
from tests.lab.inside import Inside
from tests.lab.observers import guests
from tests.lab.races import RACES
from tests.lab.story import MANY, Story, Writers, check

pytestmark = [pytest.mark.lab, pytest.mark.survival, pytest.mark.root, pytest.mark.crash, pytest.mark.slow]
scenarios("features")
BROKER, BROKER_PORT = "stackling-rabbitmq.service", "5671"


# -- what there is

@given("a cluster of three machines with servers on each of them")
def _(story: Story) -> None:
    assert len(story.cloud.lab.machines) == 3


@given("a cluster of one control machine and two that only compute")
def _(story: Story) -> None:
    assert [machine.member.control for machine in story.cloud.lab.machines] == [True, False, False]


@given("identities are taken over")
def _(story: Story) -> None:
    story.tell("every machine follows", story.cloud.describe("identity"))
    story.at_the_end.append(lambda: story.cloud.describe("evacuate"))


@given("a cluster of three machines")
def _(cloud: Cloud) -> None:
    assert len(cloud.lab.machines) == 3


@given("clients that create and delete ports without pause")
def _(story: Story) -> None:
    story.writers = Writers(story.cloud)


@given("fencing of both machines works")
def _(story: Story) -> None:
    set_mode(story.cloud.lab.directory, Mode.OK)


@given(parsers.parse("the fence device {how}"))
def _(story: Story, how: str) -> None:
    set_mode(story.cloud.lab.directory, {"is absent": Mode.ABSENT, "hangs": Mode.HANG,
                                         "says ok and does nothing": Mode.LIE}[how])


# -- strokes

def _busy(story: Story, *, holder: bool | None, without: tuple[str, ...] = ()) -> str:
    """A machine that runs servers; *holder*: which (doesn't) hold the virtual IP."""
    has = story.cloud.holder()
    busy = [host for host in dict.fromkeys(story.moved.values()) if host not in without]
    return next(host for host in busy if holder is None or (host == has) == holder)


@when("a machine that runs servers and doesn't hold the virtual IP loses power")
def _(story: Story) -> None:
    name = _busy(story, holder=False)
    story.strike(name)
    story.machine(name).kill()


@given("a server away from the virtual IP has written to a volume", target_fixture="written")
def _(story: Story) -> volumes.Written:
    has = story.cloud.holder()
    made = volumes.written(story.cloud, next(name for name, host in story.moved.items() if host != has))
    story.at_the_end.append(lambda: volumes.drop(story.cloud, made.volume))
    return made


@when("that server's machine loses power")
def _(story: Story, written: volumes.Written) -> None:
    name = story.moved[written.server]
    story.strike(name)
    story.machine(name).kill()


@then("that server reads from its volume what it wrote")
def _(story: Story, written: volumes.Written) -> None:
    assert story.cloud.ssh(written.server, volumes.READ) == written.digest
    held = volumes.show(story.cloud, written.volume)
    assert [one["server_id"] for one in held["attachments"]] == [story.cloud.ids[written.server]]
    assert held["status"] == "in-use"


@when("a machine that runs servers loses power")
def _(story: Story) -> None:
    name = _busy(story, holder=None)
    story.strike(name)
    story.machine(name).kill()


@when("a machine that only computes and runs servers loses power")
def _(story: Story) -> None:
    name = _only_computes(story)
    story.strike(name)
    story.machine(name).kill()


def _only_computes(story: Story) -> str:
    return next(name for name in story.moved.values() if not story.machine(name).member.control)


@when("a machine that only computes reboots")
def _(story: Story) -> None:
    name = _only_computes(story)
    machine = story.machine(name)
    story.strike(name)
    life = machine.life()
    machine.reboot()
    machine.wait_running(MANY, after=life)
    story.tell("it has rebooted", time.monotonic() - story.at)
    assert machine.is_on()


@when("an administrator announces the stop of a machine that only computes and it shuts down")
def _(story: Story) -> None:
    _planned_stop(story, _only_computes(story))


@when(parsers.parse("the broker of the machine that holds the virtual IP {way}"))
def _(story: Story, way: str) -> None:
    name = story.cloud.holder()
    machine = story.machine(name)
    story.strike(name)
    if way == "is cut off":
        for chain, end in (("INPUT", "--dport"), ("OUTPUT", "--sport")):
            machine.run(["iptables", "-I", chain, "-p", "tcp", end, BROKER_PORT, "-j", "DROP"])
    else:
        machine.run(["systemctl", "kill", "-s", {"is killed": "KILL", "hangs": "STOP"}[way], BROKER])


@when(parsers.parse("the broker has been away for {seconds:d} seconds and is well again"))
def _(story: Story, seconds: int) -> None:
    time.sleep(max(0.0, story.at + seconds - time.monotonic()))
    machine = story.machine(story.struck[-1])
    machine.run(["iptables", "-F"], check=False)
    machine.run(["systemctl", "kill", "-s", "CONT", BROKER], check=False)


@when("the machine that holds the virtual IP loses power")
def _(story: Story) -> None:
    name = story.cloud.holder()
    story.strike(name)
    story.machine(name).kill()


@when("the machine of OVN's leaders and of the active gateway loses power")
def _(story: Story) -> None:
    name = next(machine.name for machine in story.cloud.lab.machines if "Role: leader" in machine.run(
        ["ovs-appctl", "-t", "/run/stackling/ovn/ovn-nb.ctl", "cluster/status", "OVN_Northbound"], check=False).stdout)
    story.strike(name)
    story.machine(name).kill()


@when("another one loses power as soon as the first server has moved")
def _(story: Story) -> None:
    first = story.struck[0]
    story.cloud.until(lambda: story.cloud.on(first), lambda names: len(names) < len(story.victims()), MANY)
    second = _busy(story, holder=None, without=(first,))
    story.strike(second)
    story.machine(second).kill()


@when("all machines lose power at once")
def _(story: Story) -> None:
    machines = story.cloud.lab.machines
    story.strike(*(machine.name for machine in machines))
    with ThreadPoolExecutor(len(machines)) as pool:
        list(pool.map(Machine.kill, machines))


@when("all machines get power again")
def _(story: Story) -> None:
    for machine in story.cloud.lab.machines:
        machine.on()
    story.at = time.monotonic()


@when("all machines but one get power again, a few seconds apart")
def _(story: Story) -> None:
    first, second, _ = story.cloud.lab.machines
    first.on()
    story.cloud.until(lambda: first.system_state(), lambda state: state in ("running", "degraded", "starting"), 60)
    second.on()
    story.at = time.monotonic()


@when("it gets power again")
def _(story: Story) -> None:
    story.machine(story.struck[-1]).on()
    story.at = time.monotonic()


@when("the second machine gets power again")
def _(story: Story) -> None:
    story.machine(story.struck[1]).on()
    story.at = time.monotonic()


@when("an administrator announces the stop of a machine and it shuts down")
def _(story: Story) -> None:
    _planned_stop(story, _busy(story, holder=False))


def _planned_stop(story: Story, name: str) -> None:
    other = next(one for one in story.cloud.lab.machines if one.member.control and one.name != name)
    other.run(["stackling", "ha", "stop", name])
    story.strike(name)
    story.machine(name).off()
    story.tell("it is off", time.monotonic() - story.at)


@when(parsers.parse("the {network} network of a machine {role} is cut"))
def _(story: Story, network: str, role: str) -> None:
    name = _busy(story, holder={"that holds the virtual IP": True, "that doesn't hold it": False}[role]) \
        if role != "that holds the virtual IP" else story.cloud.holder()
    story.strike(name)
    story.machine(name).cut(network)


@when("a machine that runs servers loses its management cable")
def _(story: Story) -> None:
    name = _busy(story, holder=None)
    story.strike(name)
    story.machine(name).cut("mgmt")


@when(parsers.parse("the network has been away for {seconds:d} seconds and is healed"))
def _(story: Story, seconds: int) -> None:
    time.sleep(max(0.0, story.at + seconds - time.monotonic()))
    machine = story.machine(story.struck[-1])
    machine.heal()
    machine.on()
    story.at = time.monotonic()


@when(parsers.parse("{process} of a machine sleeps for {seconds:d} seconds"))
def _(story: Story, process: str, seconds: int) -> None:
    name = story.cloud.holder() if process != "libvirtd" else _busy(story, holder=None)
    story.strike(name)
    machine = story.machine(name)
    machine.hang(process)
    network = story.cloud.api.get("/network/v2.0/networks?name=lab")["networks"][0]["id"]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        made = story.cloud.api.must("POST", "/network/v2.0/ports", {"port": {"network_id": network}})
        story.ports.append(made["port"]["id"])
        time.sleep(2)
    machine.resume(process)


@when("the fence device works again")
def _(story: Story) -> None:
    set_mode(story.cloud.lab.directory, Mode.OK)
    story.at = time.monotonic()


# -- what follows

@then("the fencer has proof that it is off")
def _(story: Story) -> None:
    name = story.struck[-1]
    machine = story.cloud.until(lambda: story.cloud.machines()[name], lambda found: bool(found["proof"]), MANY)
    story.tell("fenced, with proof", time.monotonic() - story.at)
    assert machine["proof"]


@then(parsers.parse("its servers answer on their floating IPs from other machines within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    victims = story.victims()
    if not victims:
        return
    story.cloud.answer(victims, MANY)
    story.tell_started(victims)
    for name in victims:
        first = story.ssh.outcomes[name].well_since(story.at) or time.monotonic()
        story.tell(f"{name} answers elsewhere", first - story.at)
        assert first - story.at <= seconds * slack()
    hosts = {server["name"]: server["OS-EXT-SRV-ATTR:host"] for server in story.cloud.servers()}
    assert not {hosts[name] for name in victims} & set(story.struck)


@then(parsers.parse("servers on other machines answer on their floating IPs within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    others = [name for name in story.moved if name not in story.victims()]
    story.cloud.answer(others, MANY)
    gap = max(story.ssh.outcomes[name].gap(story.at) for name in others)
    story.tell("gap of servers on other machines", gap)
    assert gap <= seconds * slack()


@then(parsers.parse("a network that is made now works within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    base = "/network/v2.0"
    began = time.monotonic()
    network = story.cloud.api.must("POST", f"{base}/networks", {"network": {"name": "after"}})["network"]["id"]
    story.cloud.until(lambda: story.cloud.api.get(f"{base}/networks/{network}")["network"]["status"],
                      lambda status: status == "ACTIVE", seconds * slack())
    story.tell("a new network is there", time.monotonic() - began)
    story.cloud.api.must("DELETE", f"{base}/networks/{network}")


@then(parsers.parse("the API answered with errors for at most {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    story.cloud.until(lambda: story.api.outcome.well_since(story.at), lambda at: at is not None, MANY)
    gap = story.api.outcome.gap(story.at)
    story.tell("API away", gap)
    assert gap <= seconds * slack(), dict(story.api.outcome.words)


@then("nothing that was acknowledged is lost")
def _(story: Story) -> None:
    writers = story.writers
    assert writers is not None
    writers.stop()
    lost, revived = writers.lost()
    print(f"[count] acknowledged: {len(writers.created)} created, {len(writers.deleted)} deleted; "
          f"{writers.errors} errors")
    assert writers.created
    assert not lost
    assert not revived
    writers.clear()


@then("it is an enabled host again and runs none of the servers that moved")
def _(story: Story) -> None:
    name = story.struck[-1]
    _enabled(story, name)
    hosts = {server["name"]: server["OS-EXT-SRV-ATTR:host"] for server in story.cloud.servers()}
    assert name not in {hosts[victim] for victim in story.victims()}


@then(parsers.parse("another machine has its identity within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    name = story.struck[-1]
    story.cloud.until(lambda: story.cloud.identity(name), lambda holder: holder not in ("", name), MANY)
    took = time.monotonic() - story.at
    story.tell(f"{story.cloud.identity(name)} has its identity", took)
    assert took <= seconds * slack()


@then(parsers.parse("its servers run there, and answer on their floating IPs within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    name, victims = story.struck[-1], story.victims()
    assert victims
    story.cloud.answer(victims, MANY)
    story.tell_started(victims)
    for victim in victims:
        first = story.ssh.outcomes[victim].well_since(story.at) or time.monotonic()
        story.tell(f"{victim} answers", first - story.at)
        assert first - story.at <= seconds * slack()
    assert {server["OS-EXT-SRV-ATTR:host"] for server in story.cloud.servers() if server["name"] in victims} == {name}
    assert {story.cloud.ids[victim] for victim in victims} <= guests(story.machine(story.cloud.identity(name)))


@then("it has its identity back")
def _(story: Story) -> None:
    name = story.struck[-1]
    story.cloud.until(lambda: story.cloud.identity(name), lambda holder: holder == name, MANY)
    story.tell(f"{name} has its identity back", time.monotonic() - story.at)


@then("it is an enabled host again")
@then("the machine is an enabled host again")
def _(story: Story) -> None:
    _enabled(story, story.struck[-1])


def _enabled(story: Story, name: str) -> None:
    story.cloud.until(lambda: story.cloud.service(name),
                      lambda found: (found["state"], found["status"]) == ("up", "enabled"), MANY)
    story.tell(f"{name} is an enabled host again", time.monotonic() - story.at)


@then(parsers.parse("every server answers on its floating IP within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    story.cloud.answer(list(story.cloud.addresses), MANY)
    last = max(outcome.well_since(story.at) or time.monotonic() for outcome in story.ssh.outcomes.values())
    story.tell("every server answers", last - story.at)
    assert last - story.at <= seconds * slack()


@then(parsers.parse("every server that can be reached answers on its floating IP within {seconds:d} seconds"))
def _(story: Story, seconds: int) -> None:
    names = [name for name in story.moved if name not in story.victims()]
    story.cloud.answer(names, MANY)
    gap = max((story.ssh.outcomes[name].gap(story.at) for name in names), default=0.0)
    story.tell("gap of servers on other machines", gap)
    assert gap <= seconds * slack()


@then("no server is started on the last machine before quorum is back")
def _(story: Story) -> None:
    last = next(machine for machine in story.cloud.lab.machines if machine.name not in story.struck)
    before = len(last.processes())
    time.sleep(20)
    assert before
    assert not story.twice.twice


@then("it isn't fenced and its servers stay where they were")
def _(story: Story) -> None:
    name = story.struck[-1]
    time.sleep(20)
    assert not story.cloud.machines()[name]["proof"]
    assert {server["name"]: server["OS-EXT-SRV-ATTR:host"] for server in story.cloud.servers()
            if server["name"] in story.moved} == story.moved


@then("none of its servers is started elsewhere, and its page says that it can't be fenced")
def _(story: Story) -> None:
    name = story.struck[-1]
    found = story.cloud.until(lambda: story.cloud.machines()[name], lambda one: "fence" in str(one).lower(), MANY)
    assert not found["proof"]
    time.sleep(20)
    assert story.cloud.on(name) == sorted(story.victims())


@then("no server runs on two machines")
def _(story: Story) -> None:
    time.sleep(45)
    assert not story.twice.twice


@then("every server runs, and none was started anew")
def _(story: Story) -> None:
    story.cloud.answer(list(story.cloud.addresses), MANY)
    assert {name: story.cloud.diary(name) for name in story.cloud.addresses} == story.lives


@then("every port that was made meanwhile is there")
def _(story: Story) -> None:
    assert story.ports
    for port in story.ports:
        story.cloud.api.get(f"/network/v2.0/ports/{port}")
        story.cloud.api.must("DELETE", f"/network/v2.0/ports/{port}")


def slack() -> float:
    """How much longer than on the budget's machine things may take here."""
    return float(os.environ.get("STACKLING_SLACK", "4"))


# -- races

@when(parsers.parse("two clients at two machines ask for the last {what} at once, again and again"),
      target_fixture="rounds")
def _(cloud: Cloud, what: str) -> list[list[int]]:
    insides = [Inside(cloud.lab.client.namespace) for _ in range(2)]
    try:
        apis = [cloud.client(machine.address(), inside) for machine, inside in zip(cloud.lab.machines, insides,
                                                                                   strict=False)]
        return RACES[what](cloud, apis)
    finally:
        for inside in insides:
            inside.close()


@then("exactly one of them gets it each time")
def _(rounds: list[list[int]]) -> None:
    assert all(statuses.count(201) == 1 and 409 in statuses for statuses in rounds), rounds


@then("usage and quota agree with what is there")
def _(cloud: Cloud) -> None:
    check(cloud)
