"""What is to be done to a volume, a snapshot, a backup. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackling.ports.volumes import Luks
from stackling.volume import rules
from stackling.volume.model import ByHost, Task, VolumeRow


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there: ``size_gib`` None: no volume. ``tasks``: numbers of what this turn has done."""

    size_gib: int | None
    tasks: frozenset[int] = frozenset()
    leftover: str | None = None
    """The backend that it has moved away from, where something of it is left."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make it, with its origin's content."""


@dataclass(frozen=True, slots=True)
class Grow:
    """Make it larger."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Leave nothing of it."""


@dataclass(frozen=True, slots=True)
class DropLeftover:
    """Remove what is left in the backend that it has moved away from."""

    backend: str


@dataclass(frozen=True, slots=True)
class Lost:
    """It was there and isn't."""


@dataclass(frozen=True, slots=True)
class Perform:
    """Do what is asked for once."""

    task: Task
    number: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else has to do something first."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can't be done; the reason is for the user."""

    reason: str


Step = Create | Grow | Delete | DropLeftover | Lost | Perform | Wait | Refuse


@dataclass(slots=True)
class DesiredVolume:
    """A volume as it shall be, and what a turn needs to know beside its row. ``done`` and ``results`` are the turn's
    own memory. ``luks``: how an encrypted one is made; ``closed``: why that can't be said now."""

    generation: int
    row: VolumeRow
    upload: int | None = None
    luks: Luks | None = field(default=None, repr=False)
    closed: str | None = None
    done: set[int] = field(default_factory=set[int])
    results: dict[str, Any] = field(default_factory=dict[str, Any])


def plan_volume(desired: DesiredVolume, seen: Seen) -> Sequence[Step]:
    """The next steps; empty: converged."""
    row = desired.row
    if row["deleting"]:
        return [Delete()] if seen.size_gib is not None else []
    task = rules.task_of(row)
    perform = [Perform(task, row["task"]["number"])] if task is not None else []
    if seen.size_gib is None:
        return [Lost()] if row["observed_generation"] else [Create(), *perform]
    if seen.size_gib < row["size_gib"]:
        return [Grow()]
    if perform and row["task"]["number"] not in seen.tasks:
        return perform
    return [DropLeftover(seen.leftover)] if seen.leftover is not None else []


def left_backend(row: VolumeRow) -> str | None:
    """The backend that a volume has moved away from, as the last task says."""
    task = row["task"]
    if task is None or task["kind"] != Task.RETYPE or task["number"] > row["task_done"]:
        return None
    return task["from"] if task["backend"] == row["backend"] != task["from"] else None


def plan_snapshot(desired: DesiredVolume, there: bool) -> Sequence[Step]:
    """The next steps; empty: converged."""
    row = desired.row
    asked = row["by_host"] == ByHost.ASKED
    if row["deleting"]:
        if asked:
            return [Wait("waiting for the server's host to let go of it")]
        half_made = not row["observed_generation"] and row["generation"] not in desired.done
        return [Delete()] if there or half_made else []
    if there:
        return []
    if row["observed_generation"]:
        return [Lost()]
    match row["by_host"]:
        case ByHost.ASKED:
            return [Wait("waiting for the server's host to copy the volume")]
        case ByHost.MADE:
            return [Refuse("the server's host has made it where its backend doesn't find it")]
        case ByHost.FAILED:
            return [Refuse(row["last_error"] or "the server's host couldn't make it")]
        case _:
            return [Create()]


def next_task(volume: Mapping[str, Any], kind: Task, **facts: Any) -> dict[str, Any]:
    """The columns that ask for *kind*."""
    last = volume["task"]["number"] if volume["task"] else 0
    return {"task": {"kind": kind.value, "number": max(last, volume["task_done"]) + 1, **facts}}
