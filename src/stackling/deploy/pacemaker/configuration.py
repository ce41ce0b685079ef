"""The Pacemaker configuration of a cluster, out of its description. Pure.

What it is built on:

- *Nothing of ours that fails may cost a guest.* Only a machine that membership has lost is fenced. A resource that
  fails is restarted, after ``FAILURES`` failures somewhere else; one that doesn't stop is left blocked, never fenced.
- *Soft where that is safe.* The virtual IP is drawn to a machine whose API runs, whose database is usable, and where
  the API answers by now (an attribute that its agent sets: an API that Pacemaker has started may need a while, and one
  that hangs is started again where it is). It needs none of them, nor the broker. Orders only order what starts anyway
  (``Optional``).
- *Short operations.* Pacemaker finishes what is under way before it reacts to anything new, so that a start that
  waits long would delay the recovery of something else. Agents return early and let the monitor watch.
- *Without quorum*: where machines are fenced, a minority freezes (the others take over only what they have fenced);
  without fencing it stops, or the virtual IP would be there twice. Open vSwitch and the agent aren't stopped even
  then: their agents only watch.
- *Fencing is off, not reboot*, and each machine's device is used from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.pacemaker.agents.attributes import SERVES
from stackling.deploy.pacemaker.model import (
    INFINITY,
    Clone,
    Colocation,
    Configuration,
    Constraint,
    Group,
    Location,
    Operation,
    Options,
    Order,
    Primitive,
    Resource,
)

PREFIX = "stackling-"
DESCRIPTION = "Stackling: "
"""What is ours: an id that begins with ``PREFIX``, or a description that begins so."""

VIRTUAL_IP, API, ENGINE, DATABASE, BROKER, OVN, OVS, AGENT = (
    PREFIX + name for name in ("vip", "api", "engine", "database", "rabbitmq", "ovn", "ovs", "agent"))
FENCE, HOST, CLONE = PREFIX + "fence-", PREFIX + "host-", "-clone"
SECRET_SCRIPT = "/usr/lib/ocf/lib/stackling/fence-secret"

STICKINESS = 100                        # a running resource stays, unless something is better by more
API_PULL, DATABASE_PULL, SERVES_PULL = 20_000, 10_000, 5_000
COORDINATOR_PUSH = 50                   # less than what keeps a resource where it is
HOME, NEXT = 10_000, 100                # a host prefers its own machine, then the following ones in a ring
FAILURES = 3
_OUTLETS = ("port", "plug")             # what fence agents call the machine's place at a shared device
_RULE = ("#kind", "eq", "remote")


def configuration(cluster: Cluster, fence_secrets: Iterable[str] = ()) -> Configuration:
    """The configuration of *cluster*. *fence_secrets* names the fence agent's secret parameters; never their values."""
    fenced = bool(cluster.fencing.agent)
    resources: list[Resource] = []
    constraints: list[Constraint] = []
    if fenced:
        for machine in cluster.machines:
            resources.append(_device(cluster, machine, sorted(fence_secrets)))
            constraints.append(Location(f"{FENCE}{machine.name}-not-at-home", FENCE + machine.name, "-" + INFINITY,
                                        machine.name))
    resources += [_remote(machine) for machine in cluster.machines if not machine.control]
    resources += [*_control(), *_watched(), _virtual_ip(cluster)]
    constraints += [*_places(cluster), *_attractions(), *_orders()]
    if fenced and cluster.take_over == "identity":
        for number, machine in enumerate(cluster.compute):
            resources.append(_host(machine))
            constraints += _homes(cluster, number)
    return Configuration(
        properties=_properties(cluster, fenced),
        resource_defaults={"resource-stickiness": str(STICKINESS), "migration-threshold": str(FAILURES),
                           "failure-timeout": "60s"},
        operation_defaults={"timeout": "30s"},
        resources=tuple(resources), constraints=tuple(constraints))


def _properties(cluster: Cluster, fenced: bool) -> Options:
    found = {
        "stonith-enabled": "true" if fenced else "false",
        "no-quorum-policy": "freeze" if fenced else "stop",
        "stonith-action": "off",
        "stonith-timeout": "60s",
        "startup-fencing": "true",
        "concurrent-fencing": "true",
        "dc-deadtime": "5s",
        "cluster-recheck-interval": "60s",
        "load-threshold": "1000%",      # servers that compute are no reason to recover one operation at a time
    }
    if fenced and len(cluster.control) == 2:        # both would shoot: who has the virtual IP shoots first
        found["priority-fencing-delay"] = "5s"
    return found


# -- fencing and membership

def _device(cluster: Cluster, machine: Machine, secret_names: list[str]) -> Primitive:
    own = {name: value for name, value in machine.fence.items() if name not in _OUTLETS}
    outlet = next((machine.fence[name] for name in _OUTLETS if name in machine.fence), None)
    where = {"pcmk_host_list": machine.name} if outlet is None else {"pcmk_host_map": f"{machine.name}:{outlet}"}
    hidden = {f"{name}_script": f"{SECRET_SCRIPT} {name}" for name in secret_names}
    return Primitive(
        FENCE + machine.name, f"stonith:{cluster.fencing.agent}",
        {"pcmk_host_check": "static-list", "pcmk_off_timeout": "40s", **where, **hidden, **cluster.fencing.parameters,
         **own},
        operations=(_op("monitor", "20s", interval="60s"), _op("start", "20s"), _op("stop", "15s")),
        description=f"{DESCRIPTION}switches {machine.name} off")


def _remote(machine: Machine) -> Primitive:
    return Primitive(
        machine.name, "ocf:pacemaker:remote", {"server": machine.address, "reconnect_interval": "10s"},
        # One that doesn't answer within the monitor's timeout is lost; its process comes before servers (its unit).
        operations=(_op("monitor", "10s", interval="3s"), _op("start", "30s"), _op("stop", "30s")),
        description=f"{DESCRIPTION}machine {machine.name}, a member by pacemaker_remote")


# -- services

def _op(name: str, timeout: str, **options: str) -> Operation:
    return Operation(name, {"timeout": timeout, **{key.replace("_", "-"): value for key, value in options.items()}})


def _service(identifier: str, agent: str, parameters: Options, *, start: str, stop: str, interval: str, monitor: str,
             again: str = "30s", failures: int = FAILURES) -> Primitive:
    """A resource whose failures never fence. After *failures* it is left alone for *again*."""
    meta = {"failure-timeout": again, **({"migration-threshold": str(failures)} if failures != FAILURES else {})}
    return Primitive(
        identifier, f"ocf:stackling:{agent}", parameters, meta,
        (_op("start", start), _op("stop", stop, on_fail="block"), _op("monitor", monitor, interval=interval)))


def _clone(member: str) -> Clone:
    return Clone(member + CLONE, member, {"interleave": "true"})


def _control() -> Iterator[Resource]:
    """What runs on control machines."""
    # Only watched: to start it again helps nothing, and what needs it is better elsewhere at once.
    yield _service(DATABASE, "database", {}, start="30s", stop="10s", interval="3s", monitor="15s", again="15s",
                   failures=1)
    yield _clone(DATABASE)
    yield _service(BROKER, "rabbitmq", {}, start="120s", stop="40s", interval="10s", monitor="20s")
    yield _clone(BROKER)
    members = tuple(f"{OVN}-{part}" for part in ("nb", "sb", "northd"))
    for member in members:
        yield _service(member, "ovn", {"service": member.removeprefix(OVN + "-")}, start="30s", stop="30s",
                       interval="10s", monitor="20s")
    yield Group(OVN, members)
    yield _clone(OVN)
    yield _service(API, "control", {"service": "api"}, start="40s", stop="30s", interval="3s", monitor="15s")
    yield _clone(API)
    yield _service(ENGINE, "control", {"service": "engine"}, start="40s", stop="30s", interval="5s", monitor="20s")
    yield _clone(ENGINE)


def _watched() -> Iterator[Resource]:
    """What guests depend on: looked after, never stopped."""
    for member, service in ((OVS, "ovs"), (AGENT, "agent")):
        yield _service(member, "agent", {"service": service}, start="30s", stop="10s", interval="10s", monitor="20s",
                       again="15s")
        yield _clone(member)


def _virtual_ip(cluster: Cluster) -> Primitive:
    """With a majority it doesn't wait for the fencing of who had it: every control machine's API may answer for it. Of
    two control machines each is a majority."""
    address, _, length = cluster.virtual_ip.partition("/")
    return Primitive(
        VIRTUAL_IP, "ocf:heartbeat:IPaddr2", {"ip": address, "cidr_netmask": length or "32"},
        {"priority": "1"} if len(cluster.control) == 2 else {"requires": "quorum"},
        (_op("start", "20s"), _op("stop", "20s", on_fail="block"), _op("monitor", "20s", interval="5s")))


def _host(machine: Machine) -> Primitive:
    """Its stop ends the host's servers or fails; then it is blocked where it is, and nobody is fenced for that."""
    return Primitive(
        HOST + machine.name, "ocf:stackling:host", {"host": machine.name}, {"failure-timeout": "30s"},
        (_op("start", "60s"), _op("stop", "180s", on_fail="block"), _op("monitor", "20s", interval="10s")),
        description=f"{DESCRIPTION}who holds the identity of host {machine.name}")


# -- constraints

def _places(cluster: Cluster) -> Iterator[Constraint]:
    if any(not machine.control for machine in cluster.machines):
        for resource in (*(name + CLONE for name in (DATABASE, BROKER, OVN, API, ENGINE)), VIRTUAL_IP):
            yield Location(f"{resource}-on-control", resource, "-" + INFINITY, expression=_RULE)
    for machine in cluster.machines:
        if not machine.compute:
            for member in (OVS, AGENT):
                yield Location(f"{member}-not-on-{machine.name}", member + CLONE, "-" + INFINITY, machine.name)


def _attractions() -> Iterator[Constraint]:
    yield Colocation(f"{VIRTUAL_IP}-with-api", str(API_PULL), VIRTUAL_IP, API + CLONE)
    yield Colocation(f"{VIRTUAL_IP}-with-database", str(DATABASE_PULL), VIRTUAL_IP, DATABASE + CLONE)
    yield Location(f"{VIRTUAL_IP}-where-it-serves", VIRTUAL_IP, str(SERVES_PULL), expression=(SERVES, "eq", "1"))
    # Whoever loses both elects a coordinator before anything else: a second more without the address.
    yield Location(f"{VIRTUAL_IP}-beside-coordinator", VIRTUAL_IP, f"-{COORDINATOR_PUSH}",
                   expression=("#is_dc", "eq", "true"))


def _orders() -> Iterator[Constraint]:
    for first, then in ((DATABASE, API), (DATABASE, ENGINE), (OVN, ENGINE), (BROKER, ENGINE), (OVS, AGENT)):
        yield Order(f"{first}-before-{then.removeprefix(PREFIX)}", "Optional", first + CLONE, then + CLONE)
    # In a planned stop the address goes while the API still answers there.
    yield Order(f"{VIRTUAL_IP}-leaves-before-api", "Optional", VIRTUAL_IP, API + CLONE, stops=True)


def _homes(cluster: Cluster, number: int) -> Iterator[Constraint]:
    """The preferences of host *number*: its own machine, then those that follow it in the file, in a ring."""
    machines = cluster.compute
    resource = HOST + machines[number].name
    for step in range(len(machines)):
        machine = machines[(number + step) % len(machines)]
        score = HOME if step == 0 else NEXT * (len(machines) - step)
        yield Location(f"{resource}-on-{machine.name}", resource, str(score), machine.name)
    for machine in cluster.machines:
        if not machine.compute:
            yield Location(f"{resource}-not-on-{machine.name}", resource, "-" + INFINITY, machine.name)
    yield Order(f"{AGENT}-before-host-{machines[number].name}", "Optional", AGENT + CLONE, resource)
