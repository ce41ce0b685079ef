"""The generated configuration in a real Pacemaker, on three machines that lose power, cables, or the fence device.

Our services are stand-ins (``stand_in.py``); Corosync, Pacemaker, systemd, the resource agents and the fence agent are
real. Each test leaves a cluster in which everything runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import pytest

from stackling.deploy.cluster import description
from stackling.lab import Machine
from stackling.lab import lab as labs
from stackling.lab.power import Mode, set_mode
from stackling.ports.membership import MembershipUnknown, Standing
from tests.lab.pacemaker_cluster import PacemakerCluster, describe, new_name, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.engines]

AGENTS = ("database", "rabbitmq", "ovn service=nb", "ovn service=northd", "control service=api",
          "control service=engine", "agent service=ovs", "agent service=agent", "host host=m1")


@pytest.fixture(scope="module")
def made() -> Iterator[PacemakerCluster]:
    name = new_name()
    try:
        lab = labs.up(name, machines=3)
        yield PacemakerCluster.make(lab, describe(lab))
    finally:
        labs.down(name)


@pytest.fixture
def cluster(made: PacemakerCluster) -> Iterator[PacemakerCluster]:
    set_mode(made.lab.directory, Mode.OK)
    made.return_all()
    yield made
    set_mode(made.lab.directory, Mode.OK)


@dataclass
class Watch:
    """Who had the virtual IP when, as the kernels of the machines say; and for how long the API didn't answer."""

    began: float = field(default_factory=time.monotonic)
    moves: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def outage(self) -> float:
        """Seconds between the first and the last failed request."""
        return max(self.errors) - min(self.errors) if self.errors else 0.0


@contextmanager
def watching(cluster: PacemakerCluster, cut: str = "") -> Iterator[Watch]:
    """No two machines have the address at any moment, but for the one that is *cut* off from those who would ask it."""
    watch, over = Watch(), threading.Event()

    def addresses() -> None:
        while not over.is_set():
            holders = tuple(cluster.holders())
            if not watch.moves or watch.moves[-1][1] != holders:
                watch.moves.append((watch.now, holders))

    def requests() -> None:
        while not over.wait(0.1):
            if not cluster.api_answers():
                watch.errors.append(watch.now)

    threads = [threading.Thread(target=addresses), threading.Thread(target=requests)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert all(len({*holders} - {cut}) < 2 for _, holders in watch.moves), watch.moves


def holder(cluster: PacemakerCluster) -> tuple[Machine, Machine]:
    """The machine with the virtual IP, and another one."""
    name, = cluster.holders()
    machine = cluster.lab.machine(name)
    return machine, next(one for one in cluster.lab.machines if one.name != name)


def moved(cluster: PacemakerCluster, victim: Machine, limit: float = 60) -> str:
    return until(f"the virtual IP leaves {victim.name}",
                 lambda: next((name for name in cluster.holders() if name != victim.name), None), limit)


def standing(cluster: PacemakerCluster, asked: Machine, name: str) -> Standing | None:
    try:
        return cluster.membership(asked).view().standings[name]
    except MembershipUnknown:
        return None


def fenced_since(cluster: PacemakerCluster, asked: Machine, began: float) -> list[str]:
    return [event.machine for machine in cluster.lab.machines for event in cluster.fence(asked).history(machine.name)
            if event.completed_at >= began - 1]


def test_applying_again_changes_nothing_and_says_so(cluster: PacemakerCluster) -> None:
    m1, m2, _ = cluster.lab.machines
    before = cluster.epoch(m1)
    for machine in (m1, m2):
        assert "nothing to change" in cluster.stackling(machine, "ha", "apply").stdout
        assert "nothing to change" in cluster.stackling(machine, "ha", "plan", "--changes").stdout
    assert cluster.epoch(m1) == before
    shown = cluster.stackling(m2, "ha", "show").stdout
    assert next(line for line in shown.splitlines() if " vip" in line).split()[0] == cluster.holders()[0]


def test_a_change_made_at_the_same_time_isnt_lost(cluster: PacemakerCluster) -> None:
    """Somebody sets properties on one machine, one after the other, while ours is taken away and applied on another."""
    m1, m2, m3 = cluster.lab.machines
    noise = threading.Thread(target=m2.run, args=([
        "sh", "-c", "for i in $(seq 40); do crm_attribute -n test-$i -v $i || exit 1; done"],))
    noise.start()
    applied = 0
    while noise.is_alive():
        m3.run(["crm_resource", "--resource", "stackling-vip", "--set-parameter", "cidr_netmask", "--parameter-value",
                "25"])
        applied += "applied 1 changes" in cluster.stackling(m1, "ha", "apply").stdout
    noise.join()
    cib = cluster.cib(m1)
    found = {pair.get("name") for pair in cib.iter("nvpair")}
    m2.run(["sh", "-c", "for i in $(seq 40); do crm_attribute -n test-$i -D; done"])
    assert {f"test-{number}" for number in range(1, 41)} <= found
    assert applied
    assert cib.find(".//nvpair[@name='cidr_netmask'][@value='24']") is not None


@pytest.mark.survival
@pytest.mark.parametrize("kind", ["power", "cable"])
def test_the_virtual_ip_survives_its_holder(cluster: PacemakerCluster, kind: str) -> None:
    victim, other = holder(cluster)
    began = time.time()
    with watching(cluster) as watch:
        victim.kill() if kind == "power" else victim.cut("mgmt")
        at = moved(cluster, victim)
        after = watch.now
        until("the API answers", cluster.api_answers, 20)
    print(f"\n{kind} of {victim.name}: virtual IP on {at} after {after:.1f} s, API errors for {watch.outage():.1f} s")
    assert not victim.is_on()
    until("it counts as off", lambda: standing(cluster, other, victim.name) == Standing.ABSENT, 20)
    event = cluster.fence(other).history(victim.name)[0]
    assert (event.action, event.status) == ("off", "success")
    assert began - 1 <= event.completed_at <= time.time()
    assert cluster.fence(other).is_off(victim.name) is True
    assert cluster.coordinator(other) not in ("", at)


@pytest.mark.survival
def test_the_virtual_ip_goes_where_the_api_answers_by_now(cluster: PacemakerCluster) -> None:
    """Not to a machine where Pacemaker has started it, which is still on its way."""
    victim, _ = holder(cluster)
    ready, slow = (one for one in cluster.lab.machines if one.name != victim.name)
    late = slow.path("/run/systemd/system/stackling-api.service.d/late.conf")
    late.parent.mkdir(parents=True)
    late.write_text("[Service]\nTimeoutStartSec=300\nExecStartPre=/usr/bin/sleep 200\n")
    try:
        slow.run(["systemctl", "daemon-reload"])
        slow.run(["systemctl", "restart", "--no-block", "stackling-api"])
        until("it is known", lambda: cluster.serving(ready) == {victim.name, ready.name})
        assert cluster.instances(ready, "api") == 3
        victim.kill()
        assert moved(cluster, victim) == ready.name
        until("the API answers", cluster.api_answers, 20)
    finally:
        late.unlink()
        slow.run(["systemctl", "daemon-reload"])
        slow.run(["systemctl", "restart", "--no-block", "stackling-api"])


@pytest.mark.survival
def test_nothing_but_the_address_is_taken_over_while_the_fence_device_is_away(cluster: PacemakerCluster) -> None:
    """The virtual IP doesn't wait: whoever is cut off can't be asked at it, and every control machine may answer."""
    victim, other = holder(cluster)
    began = time.time()
    set_mode(cluster.lab.directory, Mode.ABSENT)
    with watching(cluster, cut=victim.name) as watch:
        victim.cut("mgmt")
        moved(cluster, victim)
        until("the API answers", cluster.api_answers, 20)
        until("it is lost", lambda: standing(cluster, other, victim.name) == Standing.LOST, 30)
        until("fencing fails", lambda: any(
            event.status == "failed" and event.completed_at >= began - 1
            for event in cluster.fence(other).history(victim.name)), 60)
        assert standing(cluster, other, victim.name) == Standing.LOST
        assert cluster.fence(other).is_off(victim.name) is None
        assert not any(event.status == "success" and event.completed_at >= began - 1
                       for event in cluster.fence(other).history(victim.name))
        with pytest.raises(MembershipUnknown):          # the one that is cut off concludes nothing, and fences nobody
            cluster.membership(victim).view()
        with pytest.raises(MembershipUnknown):
            cluster.fence(victim).off(other.name, 5)
        assert victim.run(["systemctl", "is-active", "stackling-agent", "stackling-ovs-switch"]).returncode == 0
        set_mode(cluster.lab.directory, Mode.OK)
        back = watch.now
        until("it is off", lambda: not victim.is_on(), 90)
        print(f"\noff {watch.now - back:.1f} s after the fence device was back; API errors for {watch.outage():.1f} s")


@pytest.mark.survival
@pytest.mark.parametrize("how", ["standby", "stop"])
def test_a_planned_stop_is_no_loss(cluster: PacemakerCluster, how: str) -> None:
    victim, other = holder(cluster)
    began = time.time()
    seen: set[Standing | None] = set()
    try:
        with watching(cluster) as watch:
            if how == "standby":
                victim.run(["crm_standby", "-v", "on"])
            else:
                victim.run(["systemctl", "stop", "--no-block", "pacemaker"])
            wanted = Standing.LEAVING if how == "standby" else Standing.ABSENT

            def gone() -> bool:
                seen.add(standing(cluster, other, victim.name))
                return wanted in seen and victim.name not in cluster.holders()
            until("it has left", gone, 90)
            moved(cluster, victim)
            after = watch.now
        print(f"\n{how}: virtual IP moved after {after:.1f} s")
        assert Standing.LOST not in seen
        assert fenced_since(cluster, other, began) == []
        assert victim.is_on()
        active = victim.run(["systemctl", "is-active", "stackling-agent", "stackling-ovs-switch", "stackling-database"])
        assert active.stdout.split() == ["active"] * 3
    finally:
        victim.run(["crm_standby", "-D"] if how == "standby" else ["systemctl", "start", "pacemaker"])


@pytest.mark.survival
@pytest.mark.parametrize("broken", ["api hangs", "database unusable", "broker dead"])
def test_a_broken_service_fences_nobody(cluster: PacemakerCluster, broken: str) -> None:
    victim, other = holder(cluster)
    began = time.time()
    with watching(cluster) as watch:
        match broken:
            case "api hangs":
                victim.hang("api")
                at = moved(cluster, victim)
                until("the API answers again", cluster.api_answers, 20)
                print(f"\nAPI hangs on {victim.name}: virtual IP on {at}, API errors for {watch.outage():.1f} s")
            case "database unusable":
                victim.path("/run/stackling/stand-in/no-database").touch()
                moved(cluster, victim)
                print(f"\ndatabase unusable: virtual IP moved after {watch.now:.1f} s")
            case _:
                for machine in cluster.lab.machines:
                    machine.run(["systemctl", "kill", "-s", "KILL", "stackling-rabbitmq"])
                until("Pacemaker notices", lambda: (seen := cluster.status(other)) and any(
                    one.resource == "stackling-rabbitmq" for one in seen.failures), 60)
                assert cluster.holders() == [victim.name]
                assert watch.errors == []
    victim.path("/run/stackling/stand-in/no-database").unlink(missing_ok=True)
    cluster.settle()
    assert fenced_since(cluster, other, began) == []
    assert all(machine.is_on() for machine in cluster.lab.machines)


@pytest.mark.survival
def test_a_minority_stops_no_server_and_reboots_nothing(cluster: PacemakerCluster) -> None:
    """Two of three control machines lose power at once: what runs on the third goes on."""
    m1, m2, m3 = cluster.lab.machines
    set_mode(cluster.lab.directory, Mode.ABSENT)
    life = m3.life()
    m1.kill()
    m2.kill()
    until("it notices", lambda: "0" in cluster.run_on(m3)(["crm_node", "--quorum"]).output, 30)
    for _ in range(10):                     # its monitors come by again
        assert standing(cluster, m3, "m1") is None
        m3.run(["systemctl", "is-active", "stackling-agent", "stackling-ovs-switch", "stackling-ovn-controller"])
        time.sleep(1)
    assert m3.life() == life
    set_mode(cluster.lab.directory, Mode.OK)


@pytest.mark.survival
def test_identities_of_hosts_move_with_proof_and_return(cluster: PacemakerCluster) -> None:
    m1, m2, m3 = cluster.lab.machines
    path = "/etc/stackling/cluster.toml"
    plain = m1.path(path).read_text()
    identity = msgspec.structs.replace(cluster.cluster, take_over="identity")

    def where() -> dict[str, str]:
        seen = cluster.status(m1)
        return {one.resource.removeprefix("stackling-host-"): one.node for one in seen.instances
                if one.resource.startswith("stackling-host-") and one.state == "started"} if seen else {}

    m1.path(path).write_text(description.write(identity))
    try:
        cluster.stackling(m1, "ha", "apply")
        until("each host is at home", lambda: where() == {"m1": "m1", "m2": "m2", "m3": "m3"})
        leases = "/run/stackling/stand-in/leases"
        began = time.monotonic()
        m3.kill()
        until("host m3 is on the next machine", lambda: where().get("m3") == "m1", 60)
        print(f"\nidentity of m3 on m1 after {time.monotonic() - began:.1f} s")
        assert not m3.is_on()
        assert m1.run(["ls", leases]).stdout.split() == ["m1", "m3"]
        assert m2.run(["ls", leases]).stdout.split() == ["m2"]
        m3.on()
        m3.wait_running()
        until("host m3 is at home again", lambda: where() == {"m1": "m1", "m2": "m2", "m3": "m3"}, 90)
        assert m1.run(["ls", leases]).stdout.split() == ["m1"]

        m2.run(["systemctl", "stop", "stackling-agent"])        # its identity stays: Pacemaker starts the agent again
        until("the agent is back", lambda: m2.run(
            ["systemctl", "is-active", "stackling-agent"], check=False).returncode == 0, 60)
        assert where()["m2"] == "m2"
        seen = cluster.status(m1)
        assert seen is not None
        assert not any("host" in one.resource for one in seen.failures)
    finally:
        m1.path(path).write_text(plain)
        cluster.stackling(m1, "ha", "apply")


def test_pacemaker_that_is_down_is_explained_in_a_line(cluster: PacemakerCluster) -> None:
    machine, _ = holder(cluster)
    machine.run(["systemctl", "stop", "pacemaker"], timeout=120)
    for verb in ("plan", "apply", "show"):
        done = cluster.stackling(machine, "ha", verb, check=False)
        assert done.returncode == 4
        assert len(done.stderr.strip().splitlines()) == 1
        assert "systemctl" in done.stderr
    assert "primitive stackling-vip" in cluster.stackling(machine, "ha", "plan", "--crm").stdout
    machine.run(["systemctl", "start", "pacemaker"])


def test_the_resource_agents_pass_ocf_tester_and_show_their_help(cluster: PacemakerCluster) -> None:
    machine, _ = holder(cluster)
    described = machine.path("/etc/stackling/cluster.toml")
    plain = described.read_text()
    machine.run(["crm_attribute", "-n", "maintenance-mode", "-v", "true"])
    try:
        described.write_text(description.write(msgspec.structs.replace(cluster.cluster, take_over="identity")))
        for words in AGENTS:
            machine.run(["systemctl", "start", "stackling-engine", "stackling-agent"])      # hosts ask them
            name, *parameters = words.split()
            options = [word for parameter in parameters for word in ("-o", parameter)]
            done = machine.run(["ocf-tester", "-n", "tester", *options, f"/usr/lib/ocf/resource.d/stackling/{name}"],
                               timeout=180, check=False)
            assert "passed all tests" in done.stdout, (words, done.stdout, done.stderr)
            assert f"ocf:stackling:{name}" in machine.run(["crm", "ra", "info", f"ocf:stackling:{name}"]).stdout
    finally:
        described.write_text(plain)
        machine.run(["sh", "-c", "systemctl restart 'stackling-*' --all; crm_attribute -n maintenance-mode -D"])
