"""Import of staged data (``glance-direct``), or of what is at a URL (``web-download``).

Theory of operation. What is staged is imported by the engine. What is at a URL is first staged by the process that
was asked, as an upload of an image that has an import task already; from there on both are the same. When that process
dies, the engine finds the upload without a writer, gives it up, then finds an import without staged data, and fails
the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stackling.core.context import Context
from stackling.image import rows, rules, tasks, uploads
from stackling.image.model import FAILED, IMPORTING, Image
from stackling.ports.images import Inspection
from stackling.store.transaction import Tx

DEADLINE = 600.0


def begin(tx: Tx, ctx: Context, image: Image, task_id: str, request: Mapping[str, object], store: str) -> None:
    """Ask for the staged data to become the image's. Raises ``Conflict`` unless it may."""
    rules.check_can_import(image)
    tasks.add(tx, ctx, task_id, image.id, image.owner,
              {"image_id": image.id, "import_req": request, "backend": [store]})
    rows.save(tx, image, replace(
        image, import_task=task_id, properties={**image.properties, IMPORTING: store, FAILED: ""}))
    tx.event(ctx, rows.KIND, image.id, "import", project_id=image.owner)
    tx.nudge(rows.KIND, image.id, deadline=DEADLINE)


def begin_download(tx: Tx, ctx: Context, image: Image, task_id: str, request: Mapping[str, object], store: str,
                   seconds: float) -> Image:
    """Ask for what is at a URL; the returned image's ``upload`` is the number under which to stage it.

    Raises ``Conflict`` unless the image is queued. *seconds* is the most that the download may take.
    """
    rules.check_can_download(image)
    tasks.add(tx, ctx, task_id, image.id, image.owner,
              {"image_id": image.id, "import_req": request, "backend": [store]})
    begun = rows.save(tx, image, replace(
        image, import_task=task_id, upload=image.generation + 1, upload_into="stage", upload_at=tx.time,
        last_error=None, properties={**image.properties, IMPORTING: store, FAILED: ""}))
    tx.event(ctx, rows.KIND, image.id, "import", "from the web", project_id=image.owner)
    tx.nudge(rows.KIND, image.id, deadline=seconds + DEADLINE)
    return begun


def give_up_download(tx: Tx, image_id: str, number: int, reason: str, store: str) -> None:
    """The download failed: back to queued. Nothing happens when it isn't under way any more."""
    image = rows.get(tx, image_id)
    if image is not None and image.upload == number:
        failed(tx, rows.save(tx, image, uploads.abandoned(image, reason)), reason, store)


def succeeded(tx: Tx, image: Image, store: str, location: str, inspection: Inspection) -> None:
    """The data is in its final place: the image becomes active."""
    facts = image.staged_facts or {}
    _end(tx, image, None, store)
    rows.save(tx, image, replace(
        image, import_task=None, staged=None, staged_facts=None, store=store, location=location,
        size=_integer(facts.get("size")), checksum=_text(facts.get("md5")), os_hash_algo="sha512",
        os_hash_value=_text(facts.get("sha512")), virtual_size=inspection.virtual_size or None,
        format=inspection.format, last_error=None,
        properties={**image.properties, IMPORTING: "", FAILED: ""}))
    tx.event(None, rows.KIND, image.id, "import done", source="engine", project_id=image.owner)


def failed(tx: Tx, image: Image, reason: str, store: str) -> None:
    """The staged data is refused or lost: back to queued, and the data is left over."""
    _end(tx, image, reason, store)
    leftover = image.leftover if image.staged is None else (*image.leftover, image.staged)
    rows.save(tx, image, replace(
        image, import_task=None, staged=None, staged_facts=None, size=None, virtual_size=None, leftover=leftover,
        last_error=reason, properties={**image.properties, IMPORTING: "", FAILED: store}))
    tx.event(None, rows.KIND, image.id, "import failed", reason, source="engine", project_id=image.owner)
    tx.nudge(rows.KIND, image.id)


def _end(tx: Tx, image: Image, error: str | None, store: str) -> None:
    if image.import_task is not None:
        tasks.end(tx, image.import_task, error=error, result=None if error else {"image_id": image.id})


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
