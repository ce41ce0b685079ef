"""Decisions about images. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from stackling.image.model import BASE, RESERVED, Change, Image, Place
from stackling.image.settings import ImageSettings
from stackling.ports.images import Inspection

MOST_INTEGER = 2**31 - 1
BOOTABLE = ("raw", "qcow2")
UNKNOWN = "unknown"
"""What data is that isn't what it was said to be, where that is allowed."""
OPAQUE_CONTAINERS = ("ova", "docker", "compressed")
"""Containers that hold something other than the disk itself: stored unread, never booted."""


def status(image: Image) -> str:
    """The API's status, from what is desired and what was done."""
    if image.deleting:
        return "deleted"
    if image.location is not None:              # also while it is copied
        return "deactivated" if image.deactivated else "active"
    if image.import_task is not None:
        return "importing"
    if image.upload is not None:
        return "saving" if image.upload_into == "file" else "uploading"
    if image.staged is not None:
        return "uploading"
    if is_mapping(image):
        return "deactivated" if image.deactivated else "active"
    return "queued"


def is_mapping(image: Image) -> bool:
    """Whether it has no data by intent, only properties that say what volumes to make (``block_device_mapping``)."""
    return image.size == 0 and image.location is None


def check_quotas(settings: ImageSettings, properties: Sequence[str], tags: Sequence[str]) -> None:
    """Raises ``TooLarge`` for too many properties or tags (cloud's own properties don't count)."""
    attempted = sum(1 for name in properties if not name.startswith(RESERVED))
    if 0 <= settings.image_property_quota < attempted:
        raise TooLarge("The limit has been exceeded on the number of allowed image properties. "
                       f"Attempted: {attempted}, Maximum: {settings.image_property_quota}")
    if 0 <= settings.image_tag_quota < len(tags):
        raise TooLarge("The limit has been exceeded on the number of allowed image tags. "
                       f"Attempted: {len(tags)}, Maximum: {settings.image_tag_quota}")


def check_integer(name: str, value: int) -> None:
    """Raises ``Invalid`` for a ``min_disk`` or ``min_ram`` that can't be."""
    if value < 0:
        raise Invalid(f"Invalid value '{value}' for parameter '{name}': Cannot be a negative value")
    if value > MOST_INTEGER:
        raise Invalid(f"Invalid value '{value}' for parameter '{name}': Cannot be larger than {MOST_INTEGER}")


def apply(image: Image, changes: Sequence[Change], *, is_admin: bool) -> Image:
    """*image* with *changes* made in order. Raises ``Forbidden``, ``Conflict`` or ``Invalid``; all or nothing."""
    for change in changes:
        image = _remove(image, change) if change.op == "remove" else _set(image, change, is_admin)
    return image


def _remove(image: Image, change: Change) -> Image:
    if change.name in BASE:
        raise Forbidden(f"Property {change.name} may not be removed.")
    if change.name not in image.properties:
        raise Conflict(f"Property {change.name} does not exist.")
    return replace(image, properties={k: v for k, v in image.properties.items() if k != change.name})


def _set(image: Image, change: Change, is_admin: bool) -> Image:
    name, value = change.name, change.value
    present = name in BASE or name in image.properties
    if change.op == "add" and change.strict and present:
        raise Conflict(f"Property {name} already present.")
    if name not in BASE:
        if change.op == "replace" and not present:
            raise Conflict(f"Property {name} does not exist.")
        return replace(image, properties={**image.properties, name: str(value)})
    if name == "owner" and not is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    if name in ("disk_format", "container_format") and image.status not in ("queued", "importing"):
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
    if name in ("min_disk", "min_ram") and isinstance(value, int):
        check_integer(name, value)
    if name == "tags" and isinstance(value, (list, tuple)):
        value = tuple(dict.fromkeys(str(tag) for tag in value))     # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return replace(image, **{name: value})      # type: ignore[arg-type]


def check_can_receive(image: Image, into: str) -> None:
    """Raises ``Conflict`` unless data may be uploaded now, ``Invalid`` while a format isn't known."""
    if image.status != "queued":
        target = "saving" if into == "file" else "uploading"
        raise Conflict(f"Image status transition from {image.status} to {target} is not allowed")
    missing = [name for name in ("disk_format", "container_format") if not getattr(image, name)]
    if into == "file" and missing:
        word = "Property" if len(missing) == 1 else "Properties"
        raise Invalid(f"{word} {', '.join(missing)} must be set prior to saving data.")


def check_can_import(image: Image) -> None:
    """Raises ``Conflict`` unless the image's staged data may be imported now."""
    _check_idle(image, active=False)
    if image.staged is None or image.status != "uploading":
        raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
    _check_formats(image)


def check_can_download(image: Image, method: str = "web-download") -> None:
    """Raises ``Conflict`` unless the image may be fetched from elsewhere now."""
    _check_idle(image, active=False)
    if image.status != "queued":
        raise Conflict(f"Image needs to be in 'queued' state to use '{method}' method")
    _check_formats(image)


def check_can_copy(image: Image) -> None:
    """Raises ``Conflict`` unless the image's data may be copied to other stores now."""
    _check_idle(image, active=True)
    if image.location is None:
        raise Conflict(f"Image {image.id} has no data that could be copied.")
    _check_formats(image)


def _check_idle(image: Image, *, active: bool) -> None:
    if image.status == "active" and not active:
        raise Conflict("Image with status active cannot be target for import")
    if image.status != "active" and active:
        raise Conflict("Only images with status active can be targeted for copying")
    if image.import_task is not None:
        raise Conflict(f"New operation on image '{image.id}' is not permitted as prior operation is still in progress")


def _check_formats(image: Image) -> None:
    for name in ("container_format", "disk_format"):
        if not getattr(image, name):
            raise Conflict(f"'{name}' needs to be set before import")


def to_be_copied(image: Image, stores: Sequence[str], *, every: bool) -> tuple[str, ...]:
    """Which of *stores* the active image isn't in yet. Where *every* store was asked for those are what is left to do;
    otherwise one that has it already is a mistake: raises ``Invalid``."""
    has = {store for store, _ in image.places}
    if not every:
        for store in stores:
            if store in has:
                raise Invalid(f"Image is already present at store '{store}'")
    return tuple(store for store in stores if store not in has)


def by_weight(places: Sequence[Place], weights: Mapping[str, int]) -> tuple[Place, ...]:
    """The heaviest store first, as Glance sorts locations; of the same weight, those first that came first."""
    return tuple(sorted(places, key=lambda place: -weights.get(place[0], 0)))


def preferring(places: Sequence[Place], stores: Sequence[str]) -> tuple[Place, ...]:
    """*places* in *stores* first, in the order of those."""
    return tuple(sorted(places, key=lambda place: stores.index(place[0]) if place[0] in stores else len(stores)))


def without(image: Image, store: str) -> tuple[Place, ...]:
    """The image's places but the one in *store*. Raises ``Conflict``, ``Forbidden``, ``NotFound``."""
    if image.status != "active":
        raise Conflict("It's not allowed to remove image data from store if image status is not 'active'")
    if len(image.places) <= 1:
        raise Forbidden("Cannot delete image data from the only store containing it. Consider deleting the image "
                        "instead.")
    left = tuple(place for place in image.places if place[0] != store)
    if len(left) == len(image.places):
        raise NotFound(f"Image {image.id} is not stored in store {store}.")
    return left


def store_list(stores: Iterable[str]) -> str:
    """As the properties ``os_glance_…_stores`` have it."""
    return ",".join(sorted(set(stores)))


def is_inspected(image: Image) -> bool:
    """Whether the data must be what ``disk_format`` says."""
    return image.container_format not in OPAQUE_CONTAINERS


def tolerated(inspection: Inspection, must_match: bool) -> Inspection:
    """*inspection*, without its problem where data may be something else than declared: it is then of no known
    format, since nothing of it was checked, and nothing boots from it."""
    if inspection.mismatch and not must_match:
        return Inspection(UNKNOWN, 0)
    return inspection
