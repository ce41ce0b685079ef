"""The parts of a Pacemaker configuration that Stackling uses. Plain values; see crm(8) and Pacemaker Explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

INFINITY = "INFINITY"
Options = dict[str, str]


def _options() -> Options:
    return {}


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done to a resource: ``start``, ``stop``, ``monitor``, with ``interval``, ``timeout``, ``on-fail`` …"""

    name: str
    options: Options = field(default_factory=_options)

    @property
    def interval(self) -> str:
        """How often; ``0s`` is once."""
        return self.options.get("interval", "0s")


@dataclass(frozen=True, slots=True)
class Primitive:
    """One resource; ``agent`` as in ``ocf:heartbeat:IPaddr2`` or ``stonith:fence_ipmilan``."""

    id: str
    agent: str
    parameters: Options = field(default_factory=_options)
    meta: Options = field(default_factory=_options)
    operations: tuple[Operation, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Primitives that are on one machine and start in this order."""

    id: str
    members: tuple[str, ...]
    meta: Options = field(default_factory=_options)


@dataclass(frozen=True, slots=True)
class Clone:
    """A primitive or group that runs on many machines."""

    id: str
    member: str
    meta: Options = field(default_factory=_options)


@dataclass(frozen=True, slots=True)
class Location:
    """A preference for a machine, or (``expression``, a triple as in ``("#kind", "eq", "remote")``) for a kind of."""

    id: str
    resource: str
    score: str
    node: str = ""
    expression: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Colocation:
    """``resource`` is placed by where ``on`` is."""

    id: str
    score: str
    resource: str
    on: str


@dataclass(frozen=True, slots=True)
class Order:
    """``first`` starts before ``then`` and stops after it; ``kind`` is ``Optional`` (only if both happen to) or
    ``Mandatory``. ``stops``: only that ``first`` stops before ``then`` does."""

    id: str
    kind: str
    first: str
    then: str
    stops: bool = False


Resource = Primitive | Group | Clone
Constraint = Location | Colocation | Order
Object = Resource | Constraint


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it. ``properties`` are the cluster's options, the defaults hold for resources and operations."""

    properties: Options = field(default_factory=_options)
    resource_defaults: Options = field(default_factory=_options)
    operation_defaults: Options = field(default_factory=_options)
    resources: tuple[Resource, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def objects(self) -> Iterator[Object]:
        """Resources, then constraints."""
        yield from self.resources
        yield from self.constraints
