"""The values of the image service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

RESERVED = "os_glance_"
"""Properties that only the cloud itself sets."""
IMPORTING, FAILED = "os_glance_importing_to_stores", "os_glance_failed_import"
BASE = ("name", "visibility", "protected", "os_hidden", "tags", "owner", "min_disk", "min_ram", "disk_format",
        "container_format")
"""The attributes that a client may set."""


Place = tuple[str, str]
"""Where data is: a store's name, and what that store calls it."""


@dataclass(frozen=True, slots=True)
class Copying:
    """What an import, or a copy of an active image, has still to do.

    ``stores`` are to get the data, in order; the first under ``number``. Where all of them ``must``, what has been
    ``made`` becomes the image's only with the last one. ``failed`` are the stores that didn't get it.
    """

    stores: tuple[str, ...]
    number: int
    must: bool = True
    copy: bool = False
    made: tuple[Place, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A row of ``images``. Sizes in bytes, ``min_disk`` in GiB, ``min_ram`` in MiB."""

    id: str
    name: str | None
    owner: str | None
    visibility: str
    disk_format: str | None
    container_format: str | None
    created_at: str
    updated_at: str
    status: str = "queued"
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    os_hidden: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    store: str | None = None
    location: str | None = None
    copies: tuple[Place, ...] = ()
    dropped: tuple[Place, ...] = ()
    format: str | None = None
    deactivated: bool = False
    upload: int | None = None
    upload_into: str | None = None
    upload_at: float | None = None
    upload_store: str | None = None
    staged: int | None = None
    staged_facts: Mapping[str, object] | None = None
    import_task: str | None = None
    copying: Copying | None = None
    leftover: tuple[int, ...] = ()
    deleting: bool = False
    generation: int = 1
    last_error: str | None = None
    member: str | None = None
    """The asking project's membership status, when it is a member of a shared image."""
    tried: dict[str, str] = field(default_factory=dict[str, str], compare=False)
    """Why a store didn't get the data in the turn that loaded this value; no column."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the data is, the preferred place first."""
        if self.store is None or self.location is None:
            return ()
        return ((self.store, self.location), *self.copies)

    def at(self, places: tuple[Place, ...]) -> Image:
        """The image with its data at *places*."""
        store, location = places[0] if places else (None, None)
        return replace(self, store=store, location=location, copies=places[1:])


@dataclass(frozen=True, slots=True)
class NewImage:
    """What a client asks to create; ``id`` is chosen by the client or by the API."""

    id: str
    owner: str | None
    name: str | None = None
    visibility: str = "shared"
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    os_hidden: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Change:
    """One operation of a JSON patch; ``strict`` where adding what exists is a conflict (patch format 2.0)."""

    op: str
    name: str
    value: object = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A project that an image is shared with."""

    image_id: str
    member_id: str
    status: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Described:
    """What another image service says of an image that is fetched from it; ``size`` in bytes."""

    size: int
    disk_format: str
    container_format: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImportTask:
    """One import, as the tasks API shows it."""

    id: str
    image_id: str | None
    type: str
    status: str
    owner: str | None
    user_id: str | None
    request_id: str | None
    input: Mapping[str, object] | None
    result: Mapping[str, object] | None
    message: str
    expires_at: str | None
    created_at: str
    updated_at: str
