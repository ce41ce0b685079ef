"""Volumes in a Ceph pool: each an RBD image that has the volume's id as its name, its snapshots RBD snapshots.

Theory of operation. What is made of an image, a snapshot or a volume is a copy-on-write clone where both lie in the
same cluster. It is made as ``<id>.new`` and renamed when it is whole. Clones are of the second format: what they were
made of may go before they do, and waits in the trash until the last of them is gone, so nothing that a user deletes
waits for another user's volume. A chain of clones of clones is flattened when it gets long.

Snapshots, and growing, work beneath a running guest: librbd asks the guest's QEMU, which holds the lock, to do it. That
a volume isn't deleted, or written from here, while somebody has it open is looked up in its watchers; of a machine that
died the cluster forgets them within 30 s.

An encrypted volume is a LUKS container in its RBD image, as Cinder makes it: what is written through it is encrypted on
the way. Such a volume isn't a clone of its image, whose blocks aren't encrypted; what is
made of an encrypted volume or its snapshot is a clone as ever, header and all.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stackling.drivers.ceph.client import CephAccess, CephClient, CephError
from stackling.drivers.ceph.names import Location
from stackling.drivers.ceph.tools import ToolFailed, qemu_img
from stackling.drivers.local import luks as containers
from stackling.drivers.local.scratch import PREFIX, sweep
from stackling.drivers.local.volumes import FORMATS
from stackling.ports.volumes import (
    GIB,
    Capacity,
    FromFile,
    FromImage,
    FromSnapshot,
    FromVolume,
    Luks,
    Origin,
    StoreDown,
    StoreFull,
    StoreRefused,
    Stray,
)

log = logging.getLogger(__name__)
COPY_SECONDS = 3600.0
FULL = "the Ceph pool is full"
DEEPEST = 5                 # clones of clones, before the last one is made whole
HALF_MADE = ".new"
ABANDONED = 86_400.0        # seconds after which what is half made, and held open by nobody, is nobody's
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_STRAY_SNAPSHOT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,200}\Z")
_STRAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,200}\Z")


class RbdVolumes:
    """``VolumeStore`` in the pool *pool*. *scratch* is a directory for what is read out of it."""

    driver = "rbd"
    live = True
    encrypts = True

    def __init__(self, access: CephAccess, pool: str, scratch: Path) -> None:
        self.pool, self.client, self._scratch = pool, CephClient(access), scratch
        sweep(scratch)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="volume-trash")
        self._purging = threading.Event()

    def capacity(self) -> Capacity:
        found = self._ask("space")
        return Capacity((found["free"] + found["used"]) / GIB, found["free"] / GIB)

    def size(self, volume_id: str) -> int | None:
        found = self._show(_name(volume_id))
        return None if found is None else found["size"] // GIB

    def create(self, volume_id: str, size_gib: int, origin: Origin | None, luks: Luks | None = None) -> None:
        name = _name(volume_id)
        if self._show(name) is not None:
            return
        new = name + HALF_MADE
        self._ask("discard", name=new, delay=0.0)
        try:
            self._fill(new, size_gib * GIB, origin, luks)
            self._ask("rename", name=new, to=name)
        except Exception:
            with contextlib.suppress(CephError):        # else ``inventory`` finds it
                self.client.quick("discard", pool=self.pool, name=new, delay=0.0)
            raise

    def replace(self, volume_id: str, size_gib: int, origin: Origin, luks: Luks | None = None) -> None:
        """In place, so that its snapshots stay; one that is interrupted is done again, as the port says."""
        name = _name(volume_id)
        self._unused(name)
        self._long("resize", name=name, size=0)
        self._ask("grow", name=name, size=size_gib * GIB)
        match origin:
            case FromFile(file, "luks"):
                self._copy_container(file, name, size_gib * GIB)
            case FromFile() | FromImage() if luks is not None:
                self._encrypt(origin, name, size_gib * GIB, luks)
            case FromFile(file, format):
                self._copy_file(file, format, name, size_gib * GIB)
            case FromImage():
                parent = self._parent(origin)
                if parent is None:
                    self._copy_file(_file_of(origin), origin.format, name, size_gib * GIB)
                else:
                    self._check_fits(parent, size_gib * GIB)
                    source = f"{self.client.access.source(parent.pool, parent.name)},file.snapshot={parent.snapshot}"
                    self._convert_into(f"driver=raw,{source}", name)
            case FromVolume() | FromSnapshot():
                raise StoreRefused("a volume doesn't take another one's content")

    def grow(self, volume_id: str, size_gib: int) -> None:
        self._ask("grow", name=_name(volume_id), size=size_gib * GIB)

    def delete(self, volume_id: str) -> None:
        name = _name(volume_id)
        for each in (name + HALF_MADE, name):       # the second is what ``size`` looks for
            self._ask("discard", name=each, delay=0.0)
        self._purge_soon()

    def location(self, volume_id: str) -> str:
        return f"rbd://{self.pool}/{_name(volume_id)}"

    def snapshots(self, volume_id: str) -> Sequence[str]:
        found = self._show(_name(volume_id))
        return [] if found is None else [name for name in found["snapshots"] if _ID.match(name)]

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        self._ask("snapshot", name=_name(volume_id), snapshot=_name(snapshot_id))

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        self._ask("drop_snapshot", name=_name(volume_id), snapshot=_name(snapshot_id))

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        name = _name(volume_id)
        found = self._unused(name)
        if snapshot_id not in found["snapshots"]:
            raise StoreRefused("the snapshot isn't there")
        self._long("rollback", name=name, snapshot=snapshot_id)
        self._ask("grow", name=name, size=found["size"])

    @contextlib.contextmanager
    def read(self, volume_id: str, format: str, snapshot_id: str | None = None) -> Iterator[Path]:
        name = _name(volume_id)
        if format not in FORMATS:
            raise StoreRefused(f"volumes can't be written as {format}")
        found = self._show(name)
        if found is None or (snapshot_id is not None and snapshot_id not in found["snapshots"]):
            raise StoreRefused("what is to be read isn't there")
        source = self.client.access.source(self.pool, name) + (f",file.snapshot={snapshot_id}" if snapshot_id else "")
        with self._temporary() as directory:
            path = directory / "disk"
            _tool("convert", "-O", FORMATS[format], "--image-opts", f"driver=raw,{source}", str(path),
                  full="there is no room to write the volume out")
            yield path

    def inventory(self) -> Mapping[str, int]:
        found = {name: 0 for name in self._ask("names") if _ID.match(name)}
        self._purge_soon()
        return found

    def strays(self) -> Sequence[Stray]:
        names = sorted(name for name in self._ask("names") if _STRAY.match(name) and not _ID.match(name))
        shown = ((name, self._show(name)) for name in names)
        return [Stray(name, -(-found["size"] // GIB)) for name, found in shown if found is not None]

    def adopt(self, name: str, volume_id: str) -> int:
        target = _name(volume_id)
        found = self._show(target)
        if found is None:
            source = _stray(name)
            if self._show(source) is None:
                raise StoreRefused(f"there is no image {name} in pool {self.pool}")
            found = self._unused(source)
            found["size"] = max(1, -(-found["size"] // GIB)) * GIB
            self._ask("grow", name=source, size=found["size"])
            self._ask("rename", name=source, to=target)
        return found["size"] // GIB

    def release(self, volume_id: str, name: str) -> None:
        source = _name(volume_id)
        if self._show(source) is not None:
            self._ask("rename", name=source, to=_stray(name))

    def adopt_snapshot(self, volume_id: str, name: str, snapshot_id: str) -> int:
        found = (self._show(_name(volume_id)) or {"snapshots": {}})["snapshots"]
        snapshot = found.get(_name(snapshot_id))
        if snapshot is None:
            snapshot = found.get(_stray_snapshot(name))
            if snapshot is None:
                raise StoreRefused(f"the RBD image {volume_id} has no snapshot {name}")
            self._ask("rename_snapshot", name=volume_id, snapshot=name, to=snapshot_id)
        return -(-int(snapshot["size"]) // GIB)

    def release_snapshot(self, volume_id: str, snapshot_id: str, name: str) -> None:
        if _name(snapshot_id) in self.snapshots(volume_id):
            self._ask("rename_snapshot", name=volume_id, snapshot=snapshot_id, to=_stray_snapshot(name))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    # -- making

    def _fill(self, new: str, size: int, origin: Origin | None, luks: Luks | None) -> None:
        match origin:
            case FromFile(file, "luks"):
                self._ask("create", name=new, size=size)
                self._copy_container(file, new, size)
            case None | FromFile() | FromImage() if luks is not None:
                self._ask("create", name=new, size=size)
                self._encrypt(origin, new, size, luks)
            case None:
                self._ask("create", name=new, size=size)
            case FromSnapshot(volume_id, snapshot_id):
                self._clone(Location("", self.pool, _name(volume_id), _name(snapshot_id)), new, size)
            case FromVolume(volume_id):
                self._clone_volume(_name(volume_id), new, size)
            case FromFile(file, format):
                self._ask("create", name=new, size=size)
                self._copy_file(file, format, new, size)
            case FromImage():
                parent = self._parent(origin)
                if parent is not None:
                    self._clone(parent, new, size)
                else:
                    self._ask("create", name=new, size=size)
                    self._copy_file(_file_of(origin), origin.format, new, size)

    def _clone_volume(self, source: str, new: str, size: int) -> None:
        """By a snapshot that is given up at once: it stays in the trash for as long as the clone needs it."""
        snapshot = f"clone-{new}"
        self._ask("snapshot", name=source, snapshot=snapshot)
        try:
            self._clone(Location("", self.pool, source, snapshot), new, size)
        finally:
            self._ask("drop_snapshot", name=source, snapshot=snapshot)

    def _clone(self, parent: Location, new: str, size: int) -> None:
        self._check_fits(parent, size)
        self._ask("clone", pool=parent.pool, name=parent.name, snapshot=parent.snapshot, to_pool=self.pool,
                  to_name=new, size=size)
        if self._ask("depth", name=new) > DEEPEST:
            self._long("flatten", name=new)

    def _check_fits(self, parent: Location, size: int) -> None:
        _check_size(self._snapshot_size(parent), size)

    def _snapshot_size(self, of: Location) -> int:
        found = self._show(of.name, pool=of.pool)
        snapshot = (found or {"snapshots": {}})["snapshots"].get(of.snapshot)
        if snapshot is None:
            raise StoreRefused("what it is to be made from isn't there")
        return int(snapshot["size"])

    def _parent(self, image: FromImage) -> Location | None:
        """The snapshot that holds an image's raw disk, where that is in this cluster."""
        where = Location.parse(image.location)
        if where is None or where.fsid != self._fsid():
            return None
        return where if image.format == "raw" else where.disk

    def _encrypt(self, origin: FromFile | FromImage | None, name: str, size: int, luks: Luks) -> None:
        """A container in an image that reads as zeros, with data that isn't encrypted yet."""
        with _explained():
            self.client.data("put", containers.header(luks), pool=self.pool, name=name)
        if origin is None:
            return
        with containers.secret(luks) as secret:
            room = size - containers.HEADER
            source, least = self._source(origin)
            if least > room:
                raise StoreRefused(f"the source's disk of {least} bytes doesn't fit into the {room} bytes that a "
                                   f"volume of {size // GIB} GiB has beside its LUKS header")
            _tool("convert", "-n", "-m", "4", "-W", *secret.words, "--image-opts", "--target-image-opts", source,
                  f"driver=luks,key-secret=key,{self.client.access.source(self.pool, name)}",
                  fd=secret.fd, hopeless=self._hopeless)

    def _source(self, origin: FromFile | FromImage) -> tuple[str, int]:
        """How QEMU's tools read data, and how large its disk is."""
        parent = self._parent(origin) if isinstance(origin, FromImage) else None
        if parent is not None:
            found = self._snapshot_size(parent)
            source = self.client.access.source(parent.pool, parent.name)
            return f"driver=raw,{source},file.snapshot={parent.snapshot}", found
        file = _file_of(origin) if isinstance(origin, FromImage) else origin.file
        if origin.format not in ("raw", "qcow2"):
            raise StoreRefused(f"a disk of format {origin.format} can't be read")
        return f"driver={origin.format},file.driver=file,file.filename={file}", _virtual_size(file, origin.format)

    def _copy_container(self, file: Path, name: str, size: int) -> None:
        if not containers.is_container(file):
            raise StoreRefused("what it is to be made from isn't encrypted")
        self._copy_file(file, "raw", name, size)

    def _copy_file(self, file: Path, format: str, name: str, size: int) -> None:
        """Into an image that reads as zeros."""
        if format not in ("raw", "qcow2"):
            raise StoreRefused(f"a disk of format {format} can't be read")
        source = f"driver={format},file.driver=file,file.filename={file}"
        _check_size(_virtual_size(file, format), size)
        self._convert_into(source, name)

    def _convert_into(self, source: str, name: str) -> None:
        _tool("convert", "-n", "--target-is-zero", "-m", "4", "-W", "--image-opts", "--target-image-opts", source,
              f"driver=raw,{self.client.access.source(self.pool, name)}", hopeless=self._hopeless)

    def _hopeless(self) -> str:
        """Why a copy can't end: QEMU waits for ever for room in a full pool."""
        with contextlib.suppress(CephError):
            if self.client.quick("space", pool=self.pool)["free"] <= 0:
                return FULL
        return ""

    # -- the trash

    def _purge_soon(self) -> None:
        """Empty the trash of what no clone needs; what can't go now goes another time."""
        if not self._purging.is_set():
            self._purging.set()
            with contextlib.suppress(RuntimeError):         # closed
                self._threads.submit(self._purge)

    def _purge(self) -> None:
        self._purging.clear()
        try:
            self.client.long("abandon", pool=self.pool, suffix=HALF_MADE, seconds=ABANDONED)
            self.client.long("purge", pool=self.pool)
        except CephError as error:
            log.warning("the trash of pool %s isn't emptied: %s", self.pool, error)

    # -- how

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=PREFIX, dir=self._scratch) as directory:
            yield Path(directory)

    def _ask(self, call: str, **arguments: Any) -> Any:
        with _explained():
            return self.client.quick(call, **{"pool": self.pool, **arguments})

    def _long(self, call: str, **arguments: Any) -> None:
        with _explained():
            self.client.long(call, **{"pool": self.pool, **arguments})

    def _fsid(self) -> str:
        with _explained():
            return self.client.fsid

    def _show(self, name: str, pool: str | None = None) -> dict[str, Any] | None:
        return self._ask("show", name=name, pool=pool or self.pool)

    def _unused(self, name: str) -> dict[str, Any]:
        """What there is of an image that nobody has open. Raises ``StoreRefused`` and ``StoreDown``."""
        found = self._show(name)
        if found is None:
            raise StoreRefused("the volume isn't there")
        if found["watchers"]:
            raise StoreDown(f"the volume is in use by {', '.join(sorted(set(found['watchers'])))}")
        return found


def _name(id: str) -> str:
    if not _ID.match(id):
        raise StoreRefused(f"{id!r} is no id of a volume or a snapshot")
    return id


def _stray(name: str) -> str:
    if not _STRAY.match(name) or _ID.match(name):
        raise StoreRefused(f"{name!r} is no name of what can be managed: an RBD image of letters, digits, - and _")
    return name


def _file_of(image: FromImage) -> Path:
    if image.file is None:
        raise StoreDown(f"the image at {image.location} can't be read from here")
    return image.file


def _check_size(least: int, size: int) -> None:
    if least > size:
        raise StoreRefused(f"the source's disk of {-(-least // GIB)} GiB doesn't fit into {size // GIB} GiB")


def _virtual_size(file: Path, format: str) -> int:
    """From the header, of the format that was said; what it refers to is never opened."""
    if format == "raw":
        return file.stat().st_size
    found = json.loads(_tool("info", "--output=json", "-f", format, str(file), seconds=60.0))
    if "backing-filename" in found or "data-file" in str(found.get("format-specific")):
        raise StoreRefused("the disk refers to another file")
    return int(found["virtual-size"])


def _tool(*words: str, seconds: float = COPY_SECONDS, full: str = FULL, fd: int | None = None,
          hopeless: Callable[[], str] = lambda: "") -> str:
    try:
        return qemu_img(*words, seconds=seconds, fd=fd, hopeless=hopeless)
    except ToolFailed as error:
        if "No space left" in str(error) or str(error) == FULL:
            raise StoreFull(full) from None
        if "took longer" in str(error) or "isn't installed" in str(error):
            raise StoreDown(str(error)) from None
        raise StoreRefused(str(error)) from None


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Errors as the volume service knows them."""
    try:
        yield
    except CephError as error:
        match error.kind:
            case "full":
                raise StoreFull(str(error)) from None
            case "missing":
                raise StoreRefused("it isn't there any more") from None
            case "exists":
                raise StoreRefused("something of that name is there already") from None
            case "busy":
                raise StoreDown(f"the volume is in use ({error})") from None
            case _:
                raise StoreDown(str(error)) from None


def _stray_snapshot(name: str) -> str:
    if not _STRAY_SNAPSHOT.match(name) or _ID.match(name):
        raise StoreRefused(f"{name!r} is no name of a snapshot that can be managed: letters, digits, - and _")
    return name
