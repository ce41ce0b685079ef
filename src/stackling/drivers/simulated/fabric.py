"""The network fabric in memory, with the rules of the real one: fences, missing parts, drift.

With a directory it keeps a journal there (``shared``), so that what was put survives a restart of the process, and
several processes see one fabric.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from stackling.drivers.simulated.faults import Faults
from stackling.drivers.simulated.shared import NOTHING, Line, SharedJournal
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
    FabricSecurityGroup,
    Found,
    Missing,
    Refused,
)

Key = tuple[FabricKind, str]
TYPES: Mapping[FabricKind, type[Any]] = {
    FabricKind.NETWORK: FabricNetwork,
    FabricKind.PORT: FabricPort,
    FabricKind.ROUTER: FabricRouter,
    FabricKind.FLOATING_IP: FabricFloatingIP,
    FabricKind.SECURITY_GROUP: FabricSecurityGroup,
    FabricKind.LOAD_BALANCER: FabricLoadBalancer,
    FabricKind.ADDRESS_GROUP: FabricAddressGroup,
    FabricKind.PORT_FORWARDING: FabricPortForwarding,
}


@dataclass(slots=True)
class Held:
    """What the simulation holds under a key. ``desired`` None: removed, only its fence is left."""

    fence: tuple[int, int]
    desired: FabricObject | None
    down: bool = False
    damage: tuple[str, ...] = ()


class SimulatedFabric:
    """``ports.fabric.Fabric`` without a network. ``faults`` makes it fail, hang or wait for steps."""

    def __init__(self, path: Path | None = None) -> None:
        self.faults = Faults("the simulated fabric")
        self._held: dict[Key, Held] = {}
        self._lock = threading.Lock()
        self._watchers: list[Callable[[Sequence[Key]], None]] = []
        self._ill: set[str] = set()
        self._journal = SharedJournal(path / "fabric.jsonl", self._take, self._whole) if path is not None else None

    # -- ports.fabric.Fabric

    def compare(self, desired: FabricObject) -> Found:
        self.faults.check("compare")
        if isinstance(desired, FabricPort) and not desired.realised:
            return Found(desired.generation)
        with self._lock:
            self._catch_up()
            held = self._held.get((desired.kind, desired.id))
            if held is None or held.desired is None:
                return Found(None)
            drift = (*held.damage, *_differences(held.desired, desired))
            return Found(held.desired.generation, drift, _up(held), self._health(desired))

    def find(self, kind: FabricKind, id: str) -> Found:
        self.faults.check("find")
        with self._lock:
            self._catch_up()
            held = self._held.get((kind, id))
            if held is None or held.desired is None:
                return Found(None)
            return Found(held.desired.generation, held.damage, _up(held))

    def put(self, era: int, desired: FabricObject) -> None:
        self.faults.check("put")
        if isinstance(desired, FabricPort) and not desired.realised:
            return
        key, fence = (desired.kind, desired.id), (era, desired.generation)
        with self._lock:
            self._catch_up()
            held = self._held.get(key)
            if held is not None and fence < held.fence:
                raise Refused(f"{desired.kind} {desired.id}: {fence} is older than {held.fence}")
            for kind, id in _needs(desired):
                other = self._held.get((kind, id))
                if (other is None or other.desired is None) and not self._is_vip(kind, id):
                    raise Missing(kind, id)
            if held is not None and held.fence == fence and held.desired == desired and not held.damage:
                return
            self._write(key, fence, desired)

    def remove(self, era: int, kind: FabricKind, id: str, generation: int) -> None:
        self.faults.check("remove")
        key, fence = (kind, id), (era, generation)
        with self._lock:
            self._catch_up()
            held = self._held.get(key)
            if held is not None and fence < held.fence:
                raise Refused(f"{kind} {id}: {fence} is older than {held.fence}")
            self._write(key, fence, None)

    def inventory(self, kind: FabricKind) -> Mapping[str, int]:
        self.faults.check("inventory")
        with self._lock:
            self._catch_up()
            return {held.desired.id: held.desired.generation for (of, _), held in self._held.items()
                    if of is kind and held.desired is not None}

    def watch(self, changed: Callable[[Sequence[Key]], None]) -> None:
        self._watchers.append(changed)

    def close(self) -> None:
        self.faults.release()
        if self._journal is not None:
            self._journal.close()

    # -- what only a simulation can do

    def holds(self, kind: FabricKind, id: str) -> FabricObject | None:
        """What was put under that id, or None."""
        with self._lock:
            self._catch_up()
            held = self._held.get((kind, id))
            return None if held is None else held.desired

    def damage(self, kind: FabricKind, id: str, what: str = "altered by somebody else") -> None:
        """Let *what* differ from what was put, until it is put again."""
        with self._lock:
            held = self._held[kind, id]
            held.damage = (*held.damage, what)
        self._tell(kind, id)

    def lose(self, kind: FabricKind, id: str) -> None:
        """Forget it, as if somebody had deleted it behind our back."""
        with self._lock:
            del self._held[kind, id]
        self._tell(kind, id)

    def set_up(self, port_id: str, up: bool) -> None:
        """Plug or unplug a port's interface."""
        with self._lock:
            self._held[FabricKind.PORT, port_id].down = not up
        self._tell(FabricKind.PORT, port_id)

    def set_health(self, balancer_id: str, member_id: str, answers: bool) -> None:
        """Let a load balancer's member answer its health checks or not; without this every member does."""
        with self._lock:
            (self._ill.discard if answers else self._ill.add)(member_id)
        self._tell(FabricKind.LOAD_BALANCER, balancer_id)

    # -- how

    def _health(self, desired: FabricObject) -> Mapping[str, bool]:
        if not isinstance(desired, FabricLoadBalancer):
            return {}
        return {one.id: one.id not in self._ill for listener in desired.listeners if listener.check is not None
                for one in listener.members if one.port_id and one.source}

    def _is_vip(self, kind: FabricKind, id: str) -> bool:
        """Whether it is a port that is realised with its load balancer."""
        return kind is FabricKind.PORT and any(
            vip.port_id == id for (of, _), held in self._held.items() if of is FabricKind.LOAD_BALANCER
            and isinstance(held.desired, FabricLoadBalancer) for vip in held.desired.vips)

    def _tell(self, kind: FabricKind, id: str) -> None:
        for changed in self._watchers:
            changed([(kind, id)])

    def _catch_up(self) -> None:
        if self._journal is not None:
            self._journal.catch_up()

    def _write(self, key: Key, fence: tuple[int, int], desired: FabricObject | None) -> None:
        """Let it be so, unless another process was quicker with something newer."""
        if self._journal is None or self._journal.append(_line(key, fence, desired)):
            self._hold(key, fence, desired)
        elif (held := self._held.get(key)) is None or held.fence < fence:
            raise FabricDown("the simulated fabric's journal is torn; try again")
        elif held.fence > fence:
            raise Refused(f"{key[0]} {key[1]}: {fence} is older than {held.fence}")

    def _hold(self, key: Key, fence: tuple[int, int], desired: FabricObject | None) -> None:
        held = self._held.get(key)
        self._held[key] = Held(fence, desired, down=held is not None and desired is not None and held.down)

    def _take(self, line: Line) -> None:
        """A line of the journal, in its order."""
        key, fence = (line.kind, line.id), (line.era, line.generation)
        held = self._held.get(key)
        if held is None or held.fence <= fence:
            self._hold(key, fence, None if line.body == NOTHING else
                       msgspec.json.decode(line.body, type=TYPES[line.kind]))

    def _whole(self) -> list[Line]:
        return [_line(key, held.fence, held.desired) for key, held in self._held.items()]


def _line(key: Key, fence: tuple[int, int], desired: FabricObject | None) -> Line:
    return Line(*key, *fence, NOTHING if desired is None else msgspec.Raw(msgspec.json.encode(desired)))


def _up(held: Held) -> bool | None:
    port = held.desired
    return not held.down if isinstance(port, FabricPort) and port.host is not None else None


def _differences(actual: FabricObject, desired: FabricObject) -> tuple[str, ...]:
    if actual == desired:
        return ()
    return tuple(f"{field.name} differs" for field in fields(desired)
                 if getattr(actual, field.name, None) != getattr(desired, field.name))


def _needs(desired: FabricObject) -> list[Key]:
    """What must be in the fabric before *desired* can be."""
    if isinstance(desired, FabricPort):
        groups = desired.security_groups if desired.port_security else ()
        return [(FabricKind.NETWORK, desired.network_id), *((FabricKind.SECURITY_GROUP, one) for one in groups)]
    if isinstance(desired, FabricRouter):
        gateways = [*([desired.gateway] if desired.gateway else []), *desired.more_gateways]
        return [(FabricKind.NETWORK, leg.network_id) for leg in (*desired.interfaces, *gateways)]
    if isinstance(desired, FabricFloatingIP):
        return [(FabricKind.ROUTER, desired.router_id), (FabricKind.PORT, desired.port_id)]
    if isinstance(desired, FabricLoadBalancer):
        return [*((FabricKind.NETWORK, one) for one in dict.fromkeys(
            (*desired.networks, *(vip.network_id for vip in desired.vips if vip.inside)))),
            *((FabricKind.ROUTER, one) for one in desired.routers)]
    if isinstance(desired, FabricPortForwarding):
        return [(FabricKind.ROUTER, desired.router_id)]
    if isinstance(desired, FabricSecurityGroup):
        return [(FabricKind.ADDRESS_GROUP, id) for id in dict.fromkeys(
            rule.remote_address_group_id for rule in desired.rules) if id is not None]
    return []
