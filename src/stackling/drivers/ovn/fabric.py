"""``ports.fabric.Fabric`` on OVN.

Theory of operation. An object's first row carries its generation and era (``external_ids``); a change waits, in
the same OVSDB transaction, for those to be what they were when the change was worked out. What was removed leaves
a fence behind, so that a writer who slept through the removal can't bring the object back; fences are dropped after
an hour, far beyond any turn's deadline.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ovs.stream import Stream

from stackling.core import clock
from stackling.drivers.ovn import (
    address_groups,
    floating_ips,
    load_balancers,
    networks,
    port_forwardings,
    ports,
    routers,
    security_groups,
)
from stackling.drivers.ovn.monitors import Monitors
from stackling.drivers.ovn.replica import CLOUD, Key, Replica
from stackling.drivers.ovn.rows import (
    ANCHOR,
    ERA,
    GENERATION,
    ID,
    KIND,
    Compiled,
    Difference,
    Member,
    Operation,
    detach,
    difference,
    encode,
    mutate,
    row_id,
    same,
    wait_for,
)
from stackling.drivers.ovn.schema import SHARED, TABLES
from stackling.drivers.ovn.transaction import Link
from stackling.ports.fabric import (
    FabricAddressGroup,
    FabricDown,
    FabricFloatingIP,
    FabricKind,
    FabricLoadBalancer,
    FabricNetwork,
    FabricObject,
    FabricPort,
    FabricPortForwarding,
    FabricRouter,
    Found,
    Missing,
    Refused,
)

log = logging.getLogger(__name__)
FENCES = "Copp"
REMOVED_AT = "stackling:removed_at"
KEEP_FENCES = 3600.0        # seconds
MOST_TOLD = 500             # objects at a time


class OvnFabric:
    """The fabric over the northbound database at *northbound* (``unix:/path``, ``tcp:host:port``, comma-separated).

    *timeout* (seconds) bounds every call; connecting happens on first use and again by itself. For ``ssl:host:port``
    *tls* names our certificate, its key and the authority's certificate; the process has one set of them. From
    *southbound* nothing is read but how the members of load balancers are; without it nobody knows.
    """

    def __init__(self, northbound: str, timeout: float = 10.0, tls: tuple[Path, Path, Path] | None = None,
                 southbound: str | None = None) -> None:
        if tls is not None:
            certificate, key, authority = map(str, tls)
            Stream.ssl_set_certificate_file(certificate)
            Stream.ssl_set_private_key_file(key)
            Stream.ssl_set_ca_cert_file(authority)
        self._link = Link(northbound, timeout, self._hear)
        self._monitors = Monitors(southbound, self._hear_monitor) if southbound else None
        self._watchers: list[Callable[[Sequence[tuple[FabricKind, str]]], None]] = []
        self._heard: queue.SimpleQueue[Key | None] = queue.SimpleQueue()
        self._teller: threading.Thread | None = None

    def compare(self, desired: FabricObject) -> Found:
        if isinstance(desired, FabricPort) and not desired.realised:
            return Found(desired.generation)
        with self._link.reading() as replica:
            found = _find(replica, desired.kind, desired.id)
            if found.generation is None:
                return found
            drift = difference(compile(desired, replica), replica).drift
            if isinstance(desired, FabricPort) and desired.port_security:
                drift += _closed(replica).drift
        return Found(found.generation, tuple(drift), found.up, self._health(desired))

    def find(self, kind: FabricKind, id: str) -> Found:
        with self._link.reading() as replica:
            return _find(replica, kind, id)

    def put(self, era: int, desired: FabricObject) -> None:
        if not isinstance(desired, FabricPort) or desired.realised:
            self._link.submit(Put(era, desired))

    def remove(self, era: int, kind: FabricKind, id: str, generation: int) -> None:
        self._link.submit(Remove(era, kind, id, generation))

    def inventory(self, kind: FabricKind) -> Mapping[str, int]:
        with self._link.reading() as replica:
            found = dict(replica.ids(kind))
            old = any(_age(replica, fence) > KEEP_FENCES for fence in replica.rows(FENCES))
        if old:
            self._link.submit(DropFences())
        return found

    def watch(self, changed: Callable[[Sequence[tuple[FabricKind, str]]], None]) -> None:
        self._watchers.append(changed)
        if self._monitors is not None:
            self._monitors.start()
        if self._teller is None:
            self._teller = threading.Thread(target=self._tell, name="ovn-watch", daemon=True)
            self._teller.start()
        with self._link.reading():
            pass

    def close(self) -> None:
        if self._monitors is not None:
            self._monitors.close()
        self._link.close()
        self._heard.put(None)

    def _health(self, desired: FabricObject) -> Mapping[str, bool]:
        if self._monitors is None or not isinstance(desired, FabricLoadBalancer):
            return {}
        self._monitors.start()
        known = self._monitors.known()
        return {id: known[end] for id, end in load_balancers.monitored(desired).items() if end in known}

    def _hear_monitor(self, port: str) -> None:
        """A monitor of this logical port has news: it concerns every load balancer that has it checked."""
        kind, table = str(FabricKind.LOAD_BALANCER), ANCHOR[FabricKind.LOAD_BALANCER]
        try:
            with self._link.reading() as replica:
                concerned = {_marks(replica, table, uuid).get(ID, "") for uuid in replica.rows(table)
                             if any(str(value).partition(":")[0] == port
                                    for value in _mappings(replica, table, uuid).values())}
        except FabricDown as down:
            log.info("news of a member that nobody hears: %s", down)        # the sweep asks
            return
        for id in sorted(concerned - {""}):
            self._hear(kind, id)

    def _hear(self, kind: str, id: str) -> None:
        if self._watchers:
            self._heard.put((kind, id))

    def _tell(self) -> None:
        while (key := self._heard.get()) is not None:
            keys = {key}
            while len(keys) < MOST_TOLD and not self._heard.empty():
                if (key := self._heard.get()) is None:
                    return
                keys.add(key)
            known = [(FabricKind(kind), id) for kind, id in sorted(keys) if kind in ANCHOR]
            for changed in self._watchers if known else ():
                try:
                    changed(known)
                except Exception:
                    log.exception("a watcher of the fabric failed")


def compile(desired: FabricObject, replica: Replica) -> Compiled:
    """The rows of *desired*; a port's depend on what its network says."""
    if isinstance(desired, FabricNetwork):
        return networks.compile(desired)
    if isinstance(desired, FabricPort):
        return ports.compile(desired, _facts(desired, replica))
    if isinstance(desired, FabricRouter):
        return routers.compile(desired)
    if isinstance(desired, FabricFloatingIP):
        return floating_ips.compile(desired)
    if isinstance(desired, FabricLoadBalancer):
        return load_balancers.compile(desired)
    if isinstance(desired, FabricPortForwarding):
        return port_forwardings.compile(desired)
    if isinstance(desired, FabricAddressGroup):
        return address_groups.compile(desired)
    return security_groups.compile(desired)


@dataclass(frozen=True, slots=True)
class Put:
    """Make *desired* so."""

    era: int
    desired: FabricObject

    @property
    def key(self) -> Key:
        return (str(self.desired.kind), self.desired.id)

    def shared(self, replica: Replica) -> list[Operation]:
        return _closed(replica).operations

    def build(self, replica: Replica) -> list[Operation]:
        desired = self.desired
        guards = _fence(replica, desired.kind, desired.id, (self.era, desired.generation))
        compiled = compile(desired, replica)
        parents = [member for row in compiled.rows for member in row.members]
        waits = [_exists(replica, member) for member in (*compiled.needs, *parents) if member.owner is not None]
        operations = difference(compiled, replica, self.era).operations
        fence = row_id(desired.id, f"fence {desired.kind}")
        if replica.has(FENCES, fence):
            operations.append({"op": "delete", "table": FENCES, "where": same(fence)})
        return [*guards, *waits, *operations] if operations else []


@dataclass(frozen=True, slots=True)
class Remove:
    """Leave nothing but a fence."""

    era: int
    kind: FabricKind
    id: str
    generation: int

    @property
    def key(self) -> Key:
        return (str(self.kind), self.id)

    def shared(self, replica: Replica) -> list[Operation]:
        return []

    def build(self, replica: Replica) -> list[Operation]:
        guards = _fence(replica, self.kind, self.id, (self.era, self.generation))
        operations: list[Operation] = []
        for table, uuid in replica.owned(self.kind, self.id):
            operations += _release(replica, table, uuid)
        fence = row_id(self.id, f"fence {self.kind}")
        there = replica.has(FENCES, fence)
        if there and not operations and _pair(replica, FENCES, fence) == (self.era, self.generation):
            return []
        marks = {"stackling:removed": str(self.kind), ID: self.id, GENERATION: str(self.generation),
                 ERA: str(self.era), REMOVED_AT: f"{clock.wall():.0f}"}
        row = {"name": f"stackling-removed-{self.kind}-{self.id}", "external_ids": encode(marks)}
        operations.append({"op": "update", "table": FENCES, "where": same(fence), "row": row} if there else
                          {"op": "insert", "table": FENCES, "uuid": str(fence), "row": row})
        return [*guards, *operations]


@dataclass(frozen=True, slots=True)
class DropFences:
    """Drop the fences of what was removed long ago."""

    @property
    def key(self) -> Key:
        return ("fences", "")

    def shared(self, replica: Replica) -> list[Operation]:
        return []

    def build(self, replica: Replica) -> list[Operation]:
        return [{"op": "delete", "table": FENCES, "where": same(fence)} for fence in replica.rows(FENCES)
                if _age(replica, fence) > KEEP_FENCES]


def _closed(replica: Replica) -> Difference:
    """What differs of the group that closes every port; looked at only when something of it moved."""
    if CLOUD not in replica.touched and replica.has("Port_Group", security_groups.CLOSED.rows[0].uuid):
        return Difference()
    found = difference(security_groups.CLOSED, replica, 0)
    if not found.drift:
        replica.touched.discard(CLOUD)
    return found


def _marks(replica: Replica, table: str, uuid: UUID) -> dict[str, str]:
    marks = replica.column(table, uuid, "external_ids")
    assert isinstance(marks, dict)
    return marks


def _mappings(replica: Replica, table: str, uuid: UUID) -> dict[str, str]:
    mappings = replica.column(table, uuid, "ip_port_mappings")
    assert isinstance(mappings, dict)
    return mappings


def _pair(replica: Replica, table: str, uuid: UUID) -> tuple[int, int]:
    marks = _marks(replica, table, uuid)
    era, generation = marks.get(ERA, "0"), marks.get(GENERATION, "0")
    return (int(era) if era.isdigit() else 0, int(generation) if generation.isdigit() else 0)


def _age(replica: Replica, fence: UUID) -> float:
    at = _marks(replica, FENCES, fence).get(REMOVED_AT)
    return clock.wall() - float(at) if at else 0.0


def _find(replica: Replica, kind: FabricKind, id: str) -> Found:
    rows = replica.owned(kind, id)
    if not rows:
        return Found(None)
    generation = max(_pair(replica, table, uuid)[1] for table, uuid in rows)
    up: bool | None = None
    anchor = row_id(id)
    if kind is FabricKind.PORT and (ANCHOR[kind], anchor) in rows:
        options = replica.column(ANCHOR[kind], anchor, "options")
        if "requested-chassis" in options:
            up = replica.column(ANCHOR[kind], anchor, "up") == frozenset({True})
    return Found(generation, up=up)


def _fence(replica: Replica, kind: FabricKind, id: str, fence: tuple[int, int]) -> list[Operation]:
    """Refuse an older *fence*; else the operations that let the server refuse it if it has become older."""
    waits: list[Operation] = []
    for table, uuid in ((ANCHOR[kind], row_id(id)), (FENCES, row_id(id, f"fence {kind}"))):
        if not replica.has(table, uuid):
            waits.append(wait_for(table, uuid, None))
            continue
        if table != FENCES and _marks(replica, table, uuid).get(KIND) != kind:
            continue                                    # another object's (a router's leg has its port's id)
        if fence < (there := _pair(replica, table, uuid)):
            raise Refused(f"{kind} {id}: era and generation {fence} are older than {there}")
        waits.append(wait_for(table, uuid, {"external_ids": _marks(replica, table, uuid)}))
    return waits


def _exists(replica: Replica, member: Member) -> Operation:
    assert member.owner is not None
    if not replica.has(member.table, member.uuid):
        raise Missing(*member.owner)
    return wait_for(member.table, member.uuid, {})


def _release(replica: Replica, table: str, uuid: UUID) -> list[Operation]:
    """Take a row out of wherever it is, also where somebody else put it, and delete it."""
    operations = detach(table, uuid, replica)
    if table in ("Logical_Switch_Port", "NAT", "DNS"):
        holders = {"Logical_Switch_Port": "Logical_Switch", "NAT": "Logical_Router", "DNS": "Logical_Switch"}
        for parent in replica.rows(holders[table]):
            for column in SHARED & set(TABLES[holders[table]][1]):
                if replica.member(holders[table], parent, column, uuid):
                    operations.insert(0, mutate(Member(holders[table], parent, column), "delete", uuid))
    return operations


def _facts(port: FabricPort, replica: Replica) -> ports.PortFacts:
    dhcp: dict[str, tuple[str, Mapping[str, str]]] = {}
    if port.dhcp_options:
        for subnet, _ in port.ips:
            if replica.has("DHCP_Options", row_id(subnet)):
                options = replica.column("DHCP_Options", row_id(subnet), "options")
                assert isinstance(options, dict)
                cidr = next(iter(replica.column("DHCP_Options", row_id(subnet), "cidr")))
                dhcp[subnet] = (str(cidr), options)
    switch, domain = row_id(port.network_id), ""
    if port.dns_name and replica.has("Logical_Switch", switch):
        domain = _marks(replica, "Logical_Switch", switch).get(networks.DNS_DOMAIN, "")
    return ports.PortFacts(dhcp, domain)

