"""Comparing what lies in the backends with what the database knows, when an administrator asks for it; and images with
their stores (``image.audit``).

Theory of operation. An audit is asked for by a number, done by any engine's turn, and its findings are kept until the
next one. The backends are listed first: a row is always committed before anything of it reaches a backend. What has a
tombstone is left of something that was deleted (ids are never used again), and is removed where that is asked for. What
has neither a row nor a tombstone is nobody's that we know of: it is told, and never touched. What a row names and isn't
there is told as well; nothing can be done about it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stackling.core.errors import Unavailable
from stackling.engine.kinds import Fence, Outcome
from stackling.image import facade as image
from stackling.ports.volumes import StoreDown, StoreFull, StoreRefused
from stackling.store.tables.volume import volume_backups, volume_snapshots, volumes
from stackling.store.transaction import Tx
from stackling.store.work import standing
from stackling.volume import changes, rows, rules
from stackling.volume.model import Task

if TYPE_CHECKING:
    from stackling.volume.kinds import Backends

KIND, ID = "volume_audit", "all"
MOST = 1000             # findings that are kept
_ASKED, _FOUND = "volume.audit.asked", "volume.audit.found"
_VOLUMES = select(volumes.c.id, volumes.c.backend, volumes.c.task, volumes.c.task_done).where(
    volumes.c.observed_generation > 0, volumes.c.deleting == 0)
_SNAPSHOTS = select(volume_snapshots.c.id, volume_snapshots.c.volume_id, volume_snapshots.c.backend).where(
    volume_snapshots.c.observed_generation > 0, volume_snapshots.c.deleting == 0)
_BACKUPS = select(volume_backups.c.id, volume_backups.c.source, volume_backups.c.observed_generation,
                  volume_backups.c.deleting)
BACKUPS = "backups"
"""Where backups lie, as a finding says it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``state``: ``left over`` of what was deleted (``removed`` where that was asked for), ``unknown``, ``missing``, or
    ``silent`` for a whole backend."""

    what: str
    id: str
    where: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """What lies in a place: ids of volumes, snapshots by id with their volumes'; why it can't be said."""

    volumes: frozenset[str] = frozenset()
    snapshots: Mapping[str, str] = field(default_factory=dict[str, str])
    silent: str | None = None


@dataclass(slots=True)
class Audit:
    """One that was asked for; ``found`` is the turn's own memory."""

    generation: int
    fix: bool
    found: list[Finding] | None = None


def ask(tx: Tx, *, fix: bool) -> int:
    """Have an audit done; its number."""
    tx.guard(KIND)
    before: Mapping[str, Any] = tx.setting(_ASKED) or {}
    number = int(before.get("number", 0)) + 1
    tx.set_setting(_ASKED, {"number": number, "fix": fix})
    tx.event(None, KIND, ID, "ask", "with repairs" if fix else None)
    tx.nudge(KIND, ID, deadline=changes.DEADLINE)
    return number


def result(tx: Tx) -> Mapping[str, Any] | None:
    """The last audit that was done: its ``number``, when, whether with repairs, and its findings."""
    return tx.setting(_FOUND)


class AuditKind:
    """``engine.kinds.Kind`` for audits. *read* runs a use-case in a transaction."""

    name = KIND

    def __init__(self, backends: Backends, read: Callable[..., Any]) -> None:
        self._backends, self._read = backends, read

    def load(self, tx: Any, id: str) -> Audit | None:
        asked = tx.setting(_ASKED)
        return None if asked is None else Audit(int(asked["number"]), bool(asked["fix"]))

    def generation(self, tx: Any, id: str) -> int | None:
        asked = tx.setting(_ASKED)
        return None if asked is None else int(asked["number"])

    def observe(self, desired: Audit) -> list[Finding]:
        if desired.found is None:
            listed = {host: _listed(store) for host, store in self._backends.stores.items()}
            found = self._read(judge, listed, self._backup_ids(), self._images())
            desired.found = [one for one in found if one.state != "missing" or self._is_missing(one)]
        return desired.found

    def plan(self, desired: Audit, observed: list[Finding]) -> Sequence[Finding]:
        return [one for one in observed if one.state == "left over"] if desired.fix else []

    def apply(self, fence: Fence, desired: Audit, step: Finding) -> None:
        state, detail = "removed", step.detail
        try:
            self._remove(step)
        except (OSError, StoreDown, StoreFull, StoreRefused, Unavailable) as error:
            state, detail = "left", f"it can't be removed: {error}"
        assert desired.found is not None
        desired.found[desired.found.index(step)] = Finding(step.what, step.id, step.where, state, detail)

    def settle(self, tx: Tx, desired: Audit, observed: list[Finding] | None, outcome: Outcome) -> None:
        if observed is None or not outcome.converged:
            return
        for one in observed:
            if one.state == "removed":
                tx.event(None, KIND, ID, "removed", f"{one.what} {one.id} in {one.where}", source="engine")
        tx.set_setting(_FOUND, {
            "number": desired.generation, "fix": desired.fix, "at": tx.now, "more": max(0, len(observed) - MOST),
            "findings": [asdict(one) for one in observed[:MOST]]})

    # -- how

    def _backup_ids(self) -> frozenset[str] | str:
        """Backups that lie in their place, or why that can't be said."""
        if self._backends.backups is None:
            return frozenset()
        try:
            return frozenset(self._backends.backups.inventory())
        except StoreDown as error:
            return str(error)

    def _images(self) -> image.Listed:
        return image.audit_listed(self._backends.images)

    def _is_missing(self, one: Finding) -> bool:
        """It may have been made, or moved, since the backends were listed."""
        try:
            if one.what == "image":
                return image.audit_is_missing(self._backends.images, _of_image(one))
            if one.what == "backup":
                return self._backends.backups is not None and self._backends.backups.find(one.id) is None
            store = self._backends.stores[one.where]
            if one.what == "volume":
                return store.size(one.id) is None
            return one.id not in store.snapshots(one.detail)
        except StoreDown:
            return False

    def _remove(self, one: Finding) -> None:
        if one.what == "image":
            image.audit_remove(self._backends.images, _of_image(one))
        elif one.what == "backup":
            assert self._backends.backups is not None
            self._backends.backups.delete(one.id)
        elif one.what == "volume":
            self._backends.stores[one.where].delete(one.id)
        else:
            self._backends.stores[one.where].delete_snapshot(one.detail, one.id)


def _listed(store: Any) -> Listed:
    try:
        ids = frozenset(store.inventory())
        return Listed(ids, {snapshot: id for id in ids for snapshot in store.snapshots(id)})
    except StoreDown as error:
        return Listed(silent=str(error))


def _of_image(one: Finding) -> image.Found:
    return image.Found(one.id, one.where, one.detail, one.state)


def judge(tx: Tx, listed: Mapping[str, Listed], backups: frozenset[str] | str, images: image.Listed) -> list[Finding]:
    """What isn't as it should be."""
    found = [Finding("backend", host, host, "silent", place.silent) for host, place in listed.items() if place.silent]
    there = {row.id: rows.mapping(row) for row in tx.all(_VOLUMES)}
    for host, place in listed.items():
        if place.silent:
            continue
        found += _strangers(tx, "volume", changes.VOLUME, host, dict.fromkeys(place.volumes, ""))
        found += _strangers(tx, "snapshot", changes.SNAPSHOT, host, place.snapshots)
        found += [Finding("volume", id, host, "missing") for id, row in there.items()
                  if row["backend"] == host and id not in place.volumes and rules.task_of(row) is not Task.RETYPE]
        found += [Finding("snapshot", row.id, host, "missing", row.volume_id) for row in tx.all(_SNAPSHOTS)
                  if row.backend == host and row.id not in place.snapshots and row.volume_id in place.volumes]
    found += [Finding("backend" if one.state == "silent" else "image", one.id, one.store, one.state, one.location)
              for one in image.audit_judge(tx, images)]
    return found + _judge_backups(tx, backups)


def _judge_backups(tx: Tx, lie: frozenset[str] | str) -> list[Finding]:
    if isinstance(lie, str):
        return [Finding("backend", BACKUPS, BACKUPS, "silent", lie)]
    known: dict[str, bool] = {}
    for row in tx.all(_BACKUPS):
        known[str(row.source.get("data") or row.id)] = bool(row.observed_generation and not row.deleting)
    unnamed = dict.fromkeys(lie - known.keys(), "")
    return [*_strangers(tx, "backup", changes.BACKUP, BACKUPS, unnamed),
            *(Finding("backup", id, BACKUPS, "missing") for id, whole in known.items() if whole and id not in lie)]


def _strangers(tx: Tx, what: str, kind: str, host: str, ids: Mapping[str, str]) -> list[Finding]:
    """Those that no row names."""
    known: dict[str, int | None] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), 500):
        known.update(standing(tx, kind, wanted[start:start + 500]))
    return [Finding(what, id, host, "left over" if id in known else "unknown", ids[id])
            for id in wanted if known.get(id, 0) is not None]
