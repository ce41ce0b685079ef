"""The SQL of images: load, insert, save by compare-and-set, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, delete, exists, insert, select, update
from sqlalchemy.engine import Row

from stackling.core.errors import Raced
from stackling.image.document import document
from stackling.image.model import Copying, Image, Place
from stackling.image.rules import status
from stackling.store.tables.engine import tombstones
from stackling.store.tables.image import image_members, image_properties, image_tags, images
from stackling.store.transaction import Tx

KIND = "image"
_NAMES = ("id", "name", "owner", "visibility", "disk_format", "container_format", "created_at", "updated_at", "status",
          "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "protected",
          "os_hidden", "tags", "properties", "store", "location", "format", "deactivated", "upload", "upload_into",
          "upload_at", "staged", "staged_facts", "import_task", "leftover", "deleting", "generation", "last_error",
          "copies", "dropped", "upload_store", "copying")
_COLUMNS = [images.c[name] for name in _NAMES]
_TAGS, _LEFTOVER, _COPYING = (_NAMES.index(name) for name in ("tags", "leftover", "copying"))
_PLACES = (_NAMES.index("copies"), _NAMES.index("dropped"))
_DERIVED = ("document", "places")

_GET = select(*_COLUMNS).where(images.c.id == bindparam("id"))
_SEEN = select(*_COLUMNS, image_members.c.status.label("member")).select_from(images.outerjoin(
    image_members, and_(image_members.c.image_id == images.c.id, image_members.c.member_id == bindparam("project")),
)).where(images.c.id == bindparam("id"))
_DOCUMENT = select(
    images.c.document, images.c.owner, images.c.visibility, images.c.deleting, image_members.c.status,
).select_from(images.outerjoin(
    image_members, and_(image_members.c.image_id == images.c.id, image_members.c.member_id == bindparam("project")),
)).where(images.c.id == bindparam("id"))
_ALL = select(*_COLUMNS)
_SEVERAL = select(*_COLUMNS).where(images.c.copies.is_not(None), images.c.deleting.is_(False))
_INSERT = insert(images)
_SAVED = [name for name in _NAMES if name not in ("id", "created_at")]
_SAVE = update(images).where(images.c.id == bindparam("k"), images.c.generation == bindparam("g")).values(
    {name: bindparam(f"v_{name}") for name in (*_SAVED, *_DERIVED)})
_DELETE = delete(images).where(images.c.id == bindparam("k"), images.c.generation == bindparam("g"))
_GENERATION = select(images.c.generation).where(images.c.id == bindparam("id"))
_BURIED = select(tombstones.c.id).where(tombstones.c.kind == KIND, tombstones.c.id == bindparam("id"))
_NO_PROPERTIES = delete(image_properties).where(image_properties.c.image_id == bindparam("k"))
_NO_TAGS = delete(image_tags).where(image_tags.c.image_id == bindparam("k"))
_NO_MEMBERS = delete(image_members).where(image_members.c.image_id == bindparam("k"))
_ADD_PROPERTIES, _ADD_TAGS = insert(image_properties), insert(image_tags)


def get(tx: Tx, image_id: str) -> Image | None:
    """The row, whoever asks."""
    row = tx.one(_GET, id=image_id)
    return None if row is None else _image(row)


def everything(tx: Tx) -> list[Image]:
    """Every row, for the audit."""
    return [_image(row) for row in tx.all(_ALL)]


def get_for(tx: Tx, image_id: str, project_id: str | None) -> Image | None:
    """The row with the project's membership in it."""
    row = tx.one(_SEEN, id=image_id, project=project_id)
    return None if row is None else _image(row)


def document_for(tx: Tx, image_id: str, project_id: str | None) -> Row[Any] | None:
    """Only what showing an image needs: document, owner, visibility, deleting, membership status."""
    return tx.one(_DOCUMENT, id=image_id, project=project_id)


def with_properties(tx: Tx, owner: str, properties: Mapping[str, str]) -> list[str]:
    """Ids of the owner's images that have all of *properties*, the newest first."""
    p = image_properties.c
    having = [exists().where(p.image_id == images.c.id, p.name == name, p.value == value)
              for name, value in properties.items()]
    found = tx.all(select(images.c.id).where(images.c.owner == owner, images.c.deleting.is_(False), *having)
                   .order_by(images.c.created_at.desc(), images.c.id))
    return [row.id for row in found]


def several_places(tx: Tx) -> list[Image]:
    """The images whose data is in more than one store."""
    return [_image(row) for row in tx.all(_SEVERAL)]


def generation(tx: Tx, image_id: str) -> int | None:
    """The row's generation, None when it is gone."""
    found = tx.scalar(_GENERATION, id=image_id)
    return None if found is None else int(found)


def was_deleted(tx: Tx, image_id: str) -> bool:
    """Whether an image of this id existed and was deleted."""
    return tx.one(_BURIED, id=image_id) is not None


def add(tx: Tx, image: Image) -> Image:
    """Insert; returns the image as it is stored."""
    image = replace(image, status=status(image))
    tx.execute(_INSERT, {name: _value(image, name) for name in (*_NAMES, *_DERIVED)})
    _put_properties(tx, image.id, image.properties)
    _put_tags(tx, image.id, image.tags)
    tx.tell(KIND, image.id, image.owner)
    return image


def save(tx: Tx, old: Image, new: Image, *, touch: bool = True) -> Image:
    """Replace *old* by *new* with the next generation and a recomputed status; *touch* moves ``updated_at``.

    Raises ``Raced`` when somebody else changed the row meanwhile.
    """
    new = replace(new, generation=old.generation + 1, updated_at=tx.now if touch else new.updated_at)
    new = replace(new, status=status(new))
    values = {f"v_{name}": _value(new, name) for name in (*_SAVED, *_DERIVED)}
    if not tx.changed(_SAVE, k=old.id, g=old.generation, **values):
        raise Raced(f"Image {old.id} was changed by another request at the same time; try again.")
    if new.properties != old.properties:
        tx.execute(_NO_PROPERTIES, {"k": old.id})
        _put_properties(tx, old.id, new.properties)
    if new.tags != old.tags:
        tx.execute(_NO_TAGS, {"k": old.id})
        _put_tags(tx, old.id, new.tags)
    for owner in {old.owner, new.owner}:
        tx.tell(KIND, old.id, owner)
    return new


def clear_children(tx: Tx, image_id: str) -> None:
    """Remove what belongs to the image: properties, tags, members."""
    for statement in (_NO_PROPERTIES, _NO_TAGS, _NO_MEMBERS):
        tx.execute(statement, {"k": image_id})


def remove(tx: Tx, image: Image) -> None:
    """Remove the row and all that belongs to it, leaving a tombstone."""
    clear_children(tx, image.id)
    if tx.changed(_DELETE, k=image.id, g=image.generation):
        tx.forget(KIND, image.id, image.generation)
        tx.tell(KIND, image.id, image.owner)


def _image(row: Row[Any]) -> Image:
    values = list(row)
    values[_TAGS] = tuple(values[_TAGS])
    values[_LEFTOVER] = tuple(values[_LEFTOVER] or ())
    for place in _PLACES:
        values[place] = _places(values[place])
    if values[_COPYING] is not None:
        values[_COPYING] = msgspec.convert(values[_COPYING], Copying)
    return Image(**dict(zip(_NAMES, values, strict=False)), member=values[-1] if len(values) > len(_NAMES) else None)


def _value(image: Image, name: str) -> Any:
    if name == "document":
        return document(image)
    if name == "places":
        return max(1, len(image.places))
    value = getattr(image, name)
    return None if name in ("copies", "dropped") and not value else value


def _places(value: list[list[str]] | None) -> tuple[Place, ...]:
    return tuple((store, location) for store, location in value or ())


def _put_properties(tx: Tx, image_id: str, properties: Mapping[str, str]) -> None:
    if properties:
        tx.execute(_ADD_PROPERTIES, [{"image_id": image_id, "name": n, "value": v} for n, v in properties.items()])


def _put_tags(tx: Tx, image_id: str, tags: tuple[str, ...]) -> None:
    if tags:
        tx.execute(_ADD_TAGS, [{"image_id": image_id, "tag": tag} for tag in tags])
