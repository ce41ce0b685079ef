"""Import of staged data (``glance-direct``), or of what is at a URL (``web-download``), into one store or several; and
copies of an active image (``copy-image``).

Theory of operation. What is staged is imported by the engine. What is at a URL is first staged by the process that
was asked, as an upload of an image that has an import task already; from there on both are the same. When that process
dies, the engine finds the upload without a writer, gives it up, then finds an import without staged data, and fails
the task.

The stores get the data one after the other, each in a turn of its own (``kinds``), whose settling notes what was made
(``stored``) or that it couldn't be (``missed``), and allots the number under which the next store gets it. So whatever
a dead process left lies under a number that the row names, and each store has a deadline of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackling.core.context import Context
from stackling.image import rows, rules, tasks, uploads
from stackling.image.model import FAILED, IMPORTING, Copying, Image, Place
from stackling.ports.images import Inspection
from stackling.store.transaction import Tx

DEADLINE = 600.0
SLOWEST = 4 << 20
"""Bytes a second that a store takes at least."""
Weights = Mapping[str, int]


def begin(tx: Tx, ctx: Context, image: Image, task_id: str, request: Mapping[str, object], stores: Sequence[str], *,
          must: bool = True) -> None:
    """Ask for the staged data to become the image's, in all of *stores* (if they *must*) or in some. Raises
    ``Conflict`` unless it may."""
    rules.check_can_import(image)
    _begin(tx, ctx, image, task_id, request, Copying(tuple(stores), image.generation + 1, must))
    tx.event(ctx, rows.KIND, image.id, "import", project_id=image.owner)
    tx.nudge(rows.KIND, image.id, deadline=_seconds(image.size))


def begin_download(tx: Tx, ctx: Context, image: Image, task_id: str, request: Mapping[str, object],
                   stores: Sequence[str], seconds: float, *, must: bool = True) -> Image:
    """Ask for what is at a URL; the returned image's ``upload`` is the number under which to stage it.

    Raises ``Conflict`` unless the image is queued. *seconds* is the most that the download may take.
    """
    rules.check_can_download(image)
    number = image.generation + 1
    begun = _begin(tx, ctx, replace(image, upload=number, upload_into="stage", upload_at=tx.time, last_error=None),
                   task_id, request, Copying(tuple(stores), number, must))
    tx.event(ctx, rows.KIND, image.id, "import", "from the web", project_id=image.owner)
    tx.nudge(rows.KIND, image.id, deadline=seconds + DEADLINE)
    return begun


def begin_copy(tx: Tx, ctx: Context, image: Image, task_id: str, request: Mapping[str, object], stores: Sequence[str],
               *, must: bool = True) -> None:
    """Ask for the data of an active image to be in *stores* as well, in none of which it is. Raises ``Conflict``."""
    rules.check_can_copy(image)
    _begin(tx, ctx, image, task_id, request, Copying(tuple(stores), image.generation + 1, must, copy=True))
    tx.event(ctx, rows.KIND, image.id, "copy", f"to {', '.join(stores)}", project_id=image.owner)
    tx.nudge(rows.KIND, image.id, deadline=_seconds(image.size))


def _begin(tx: Tx, ctx: Context, image: Image, task_id: str, request: Mapping[str, object], copying: Copying) -> Image:
    tasks.add(tx, ctx, task_id, image.id, image.owner,
              {"image_id": image.id, "import_req": request, "backend": list(copying.stores)})
    failed = set(image.properties.get(FAILED, "").split(",")) - {"", *copying.stores} if copying.copy else set[str]()
    return rows.save(tx, image, replace(
        image, import_task=task_id, copying=copying,
        properties={**image.properties, IMPORTING: rules.store_list(copying.stores), FAILED: rules.store_list(failed)}))


def give_up_download(tx: Tx, image_id: str, number: int, reason: str) -> None:
    """The download failed: back to queued. Nothing happens when it isn't under way any more."""
    image = rows.get(tx, image_id)
    if image is not None and image.upload == number:
        failed(tx, rows.save(tx, image, uploads.abandoned(image, reason)), reason)


def inspected(image: Image, inspection: Inspection) -> Image:
    """*image*, whose staged data has been looked at. Pure."""
    return replace(image, staged_facts={**(image.staged_facts or {}), "format": inspection.format,
                                        "virtual_size": inspection.virtual_size or None})


def stored(tx: Tx, image: Image, place: Place, number: int, weights: Weights) -> None:
    """The first of the stores has the data, under *number*, at *place*."""
    copying = _copying(image)
    staged = None if number == image.staged else image.staged
    new = replace(image, staged=staged, copying=replace(copying, made=(*copying.made, place)))
    _go_on(tx, image, new, weights)


def missed(tx: Tx, image: Image, reason: str, weights: Weights) -> None:
    """The first of the stores can't get the data."""
    copying = _copying(image)
    store = copying.stores[0]
    new = replace(image, leftover=(*image.leftover, copying.number), last_error=f"store {store}: {reason}",
                  copying=replace(copying, failed=(*copying.failed, store)))
    if copying.must:
        _revert(tx, image, new, f"store {store}: {reason}", (store,))
    else:
        tx.event(None, rows.KIND, image.id, "store left out", f"{store}: {reason}", source="engine",
                 project_id=image.owner)
        _go_on(tx, image, new, weights)


def failed(tx: Tx, image: Image, reason: str) -> None:
    """Nothing of it can be done: the staged data is refused or lost, or it took too long. What was made for stores
    that all must have it is removed; an image that has no data then is queued again."""
    copying = _copying(image)
    new = image if image.upload is None else uploads.abandoned(image, reason)
    _revert(tx, image, replace(new, leftover=(*new.leftover, copying.number), last_error=reason), reason,
            (*copying.failed, *copying.stores))


# -- how

def _copying(image: Image) -> Copying:
    return image.copying or Copying((), image.generation + 1)


def _go_on(tx: Tx, old: Image, new: Image, weights: Weights) -> None:
    """To the next store, or to the end."""
    copying = _copying(new)
    left = copying.stores[1:]
    if copying.made and not (copying.must and left):
        new = _holding(new, copying.made, weights)
        copying = replace(copying, made=())
    if not left:
        return _end(tx, old, new, copying)
    new = replace(new, copying=replace(copying, stores=left, number=old.generation + 1),
                  properties={**new.properties, IMPORTING: rules.store_list(left), FAILED: _failed(new, copying)})
    rows.save(tx, old, new)
    return tx.nudge(rows.KIND, old.id, deadline=_seconds(new.size))


def _holding(image: Image, made: Sequence[Place], weights: Weights) -> Image:
    """The image with *made* among its places; with the facts of what was staged, if it had no data until now. Pure."""
    if image.location is None:
        facts = image.staged_facts or {}
        image = replace(
            image, size=_integer(facts.get("size")), checksum=_text(facts.get("md5")), os_hash_algo="sha512",
            os_hash_value=_text(facts.get("sha512")), virtual_size=_integer(facts.get("virtual_size")),
            format=_text(facts.get("format")), last_error=None)
    return image.at(rules.by_weight((*image.places, *made), weights))


def _end(tx: Tx, old: Image, new: Image, copying: Copying) -> None:
    if new.location is None:
        return _revert(tx, old, new, new.last_error or "None of the uploads finished!", copying.failed)
    _end_task(tx, old, None)
    new = replace(_cleared(new), last_error=old.last_error if copying.copy else None,
                  properties={**new.properties, IMPORTING: "", FAILED: _failed(new, copying)})
    rows.save(tx, old, new)
    tx.event(None, rows.KIND, old.id, "copied" if copying.copy else "import done",
             f"not to {', '.join(copying.failed)}" if copying.failed else None, source="engine", project_id=old.owner)
    return tx.nudge(rows.KIND, old.id)


def _revert(tx: Tx, old: Image, new: Image, reason: str, stores: Sequence[str]) -> None:
    copying = _copying(new)
    _end_task(tx, old, reason)
    new = replace(_cleared(new), dropped=(*new.dropped, *copying.made), properties={
        **new.properties, IMPORTING: "", FAILED: _failed(new, replace(copying, failed=tuple(stores)))})
    if new.location is None:
        new = replace(new, size=None, virtual_size=None)
    else:
        new = replace(new, last_error=old.last_error)       # its data is as good as before
    rows.save(tx, old, new)
    tx.event(None, rows.KIND, old.id, "copy failed" if copying.copy else "import failed", reason, source="engine",
             project_id=old.owner)
    tx.nudge(rows.KIND, old.id)


def _cleared(image: Image) -> Image:
    leftover = image.leftover if image.staged is None else (*image.leftover, image.staged)
    return replace(image, import_task=None, copying=None, staged=None, staged_facts=None, leftover=leftover)


def _failed(image: Image, copying: Copying) -> str:
    before = image.properties.get(FAILED, "").split(",") if copying.copy else ()
    return rules.store_list(store for store in (*before, *copying.failed) if store)


def _end_task(tx: Tx, image: Image, error: str | None) -> None:
    if image.import_task is not None:
        tasks.end(tx, image.import_task, error=error, result=None if error else {"image_id": image.id})


def _seconds(size: int | None) -> float:
    return DEADLINE + (size or 0) / SLOWEST


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
