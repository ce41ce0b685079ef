"""Volumes as qcow2 files in a directory that control's engine and the servers' hosts see under the same path.

``<volume>.qcow2`` is a volume, ``<volume>.qcow2.<snapshot>`` a snapshot of it; an encrypted volume is a LUKS container,
``<volume>.luks``, which is copied and grown without its key. Every file stands by itself (copies, not
chains), so that whatever may be deleted can be; where the file system can share blocks, a copy costs nothing. A file is
made under another name, flushed, and renamed: what has its name is whole. Formats are said and never probed.

``qemu-img`` runs with limits on memory and time. A volume that a guest uses is never touched here: QEMU's own lock on
the file would refuse it. Its host makes snapshots of it (``local.volume_copies``) and extends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from stackling.core.journal import sync_directory
from stackling.drivers.local import luks as containers
from stackling.drivers.local import scratch
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

LEAST_FREE = 64 << 20       # bytes below which nothing is begun
TIMEOUT, COPY_TIMEOUT = 60.0, 3600.0
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""The environment in which a limit on a tool's address space is one on its memory: by itself the C library sets 64 MiB
of it aside for each thread, and QEMU's tools start up to 64 where the disk is slow."""
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_VOLUME = re.compile(rf"({_ID})\.(?:qcow2|luks)\Z")
_SNAPSHOT = re.compile(rf"({_ID})\.(?:qcow2|luks)\.({_ID})\Z")
_STRAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,200}\Z")
_STRAY_SNAPSHOT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,150}\Z")
_SUFFIXES = ("qcow2", "luks")
FULL = "the volume directory is full"
FORMATS = {"vhd": "vpc", "raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhdx": "vhdx"}
PART = ".part"
"""The end of the name of a file that a host is copying a snapshot into (``drivers.local.volume_copies``)."""
_REFLINK = 0x40049409       # FICLONE


class LocalVolumes:
    """``VolumeStore`` in *directory* (made where missing). *fetch* writes an image's data to a file where the image
    store has none of its own here."""

    driver = "local"
    live = False
    encrypts = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        directory.chmod(0o711)
        for path in directory.glob(".*.new"):
            path.unlink(missing_ok=True)
        scratch.sweep(directory)

    def capacity(self) -> Capacity:
        found = _statvfs(self._directory)
        return Capacity(found.f_blocks * found.f_frsize / GIB, found.f_bavail * found.f_frsize / GIB)

    def size(self, volume_id: str) -> int | None:
        path = self._path(volume_id)
        return _gib(path) if path.exists() else None

    def create(self, volume_id: str, size_gib: int, origin: Origin | None, luks: Luks | None = None) -> None:
        if not self._path(volume_id).exists():
            self._make(self._new_path(volume_id, luks), size_gib, origin, luks)

    def replace(self, volume_id: str, size_gib: int, origin: Origin, luks: Luks | None = None) -> None:
        self._make(self._new_path(volume_id, luks), size_gib, origin, luks)

    def grow(self, volume_id: str, size_gib: int) -> None:
        path = self._path(volume_id)
        if _gib(path) < size_gib:
            _resize(path, size_gib)

    def delete(self, volume_id: str) -> None:
        for suffix in _SUFFIXES:
            for path in self._directory.glob(f"{volume_id}.{suffix}*"):
                path.unlink(missing_ok=True)
            for path in self._directory.glob(f".{volume_id}.{suffix}.*{PART}"):
                path.unlink(missing_ok=True)
        sync_directory(self._directory)

    def location(self, volume_id: str) -> str:
        path = self._path(volume_id)
        return f"file://{path}?format={_format(path)}"

    def snapshots(self, volume_id: str) -> Sequence[str]:
        found = [_SNAPSHOT.match(path.name) for path in self._directory.glob(f"{volume_id}.*.*")]
        return [match[2] for match in found if match]

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        source, target = self._path(volume_id), self._snapshot(volume_id, snapshot_id)
        if not source.exists():
            raise StoreRefused("the volume isn't there")
        if not target.exists():
            with self._new(target) as new:
                copy_disk(source, new)

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        path = self._snapshot(volume_id, snapshot_id)
        path.unlink(missing_ok=True)
        part_of(path).unlink(missing_ok=True)
        sync_directory(self._directory)

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        source, target = self._snapshot(volume_id, snapshot_id), self._path(volume_id)
        if not source.exists():
            raise StoreRefused("the snapshot isn't there")
        size = _gib(target)
        with self._new(target) as new:
            copy_disk(source, new)
            if _gib(new) < size:
                _resize(new, size)

    @contextmanager
    def read(self, volume_id: str, format: str, snapshot_id: str | None = None) -> Iterator[Path]:
        source = self._path(volume_id) if snapshot_id is None else self._snapshot(volume_id, snapshot_id)
        if format not in FORMATS:
            raise StoreRefused(f"volumes can't be written as {format}")
        with TemporaryDirectory(prefix=scratch.PREFIX, dir=self._directory) as directory:
            path = Path(directory) / "disk"
            tool("qemu-img", "convert", "-f", _format(source), "-O", FORMATS[format], str(source), str(path),
                  timeout=COPY_TIMEOUT)
            yield path

    def inventory(self) -> Mapping[str, int]:
        return {match[1]: 0 for match in (_VOLUME.match(path.name) for path in self._directory.iterdir()) if match}

    def strays(self) -> Sequence[Stray]:
        found = sorted(path for path in self._directory.glob("*.qcow2") if _STRAY.match(path.stem))
        return [Stray(path.stem, _gib(path)) for path in found if not _VOLUME.match(path.name)]

    def adopt(self, name: str, volume_id: str) -> int:
        target = self._path(volume_id)
        if not target.exists():
            source = self._stray(name)
            _check_whole(source, name, name)
            self._rename(source, target)
        return _gib(target)

    def release(self, volume_id: str, name: str) -> None:
        source = self._path(volume_id)
        if source.exists():
            self._rename(source, self._stray(name))

    def adopt_snapshot(self, volume_id: str, name: str, snapshot_id: str) -> int:
        target = self._snapshot(volume_id, snapshot_id)
        if not target.exists():
            source = self._stray_snapshot(volume_id, name)
            _check_whole(source, source.name, name)
            self._rename(source, target)
        return _gib(target)

    def release_snapshot(self, volume_id: str, snapshot_id: str, name: str) -> None:
        source = self._snapshot(volume_id, snapshot_id)
        if source.exists():
            self._rename(source, self._stray_snapshot(volume_id, name))

    def close(self) -> None:
        """Nothing is held."""

    # -- how

    def _path(self, volume_id: str) -> Path:
        encrypted = self._new_path(volume_id, encrypted=True)
        return encrypted if encrypted.exists() else self._new_path(volume_id)

    def _new_path(self, volume_id: str, encrypted: object = False) -> Path:
        if not re.fullmatch(_ID, volume_id):
            raise StoreRefused(f"{volume_id!r} is no volume id")
        return self._directory / f"{volume_id}.{'luks' if encrypted else 'qcow2'}"

    def _snapshot(self, volume_id: str, snapshot_id: str) -> Path:
        if not re.fullmatch(_ID, snapshot_id):
            raise StoreRefused(f"{snapshot_id!r} is no snapshot id")
        return self._directory / f"{self._path(volume_id).name}.{snapshot_id}"

    def _stray(self, name: str) -> Path:
        if not _STRAY.match(name) or _VOLUME.match(f"{name}.qcow2"):
            raise StoreRefused(f"{name!r} is no name of what can be managed: a file NAME.qcow2 of letters and digits")
        return self._directory / f"{name}.qcow2"

    def _stray_snapshot(self, volume_id: str, name: str) -> Path:
        if not _STRAY_SNAPSHOT.match(name) or re.fullmatch(_ID, name):
            raise StoreRefused(f"{name!r} is no name of a snapshot that can be managed: a file VOLUME.qcow2.NAME, its "
                               "name of letters, digits, - and _")
        return self._directory / f"{self._path(volume_id).name}.{name}"

    def _rename(self, source: Path, target: Path) -> None:
        source.rename(target)
        sync_directory(self._directory)

    def _make(self, target: Path, size_gib: int, origin: Origin | None, luks: Luks | None) -> None:
        if luks is not None:
            self._encrypt(target, size_gib, origin, luks)
            return
        with self._new(target) as new:
            match origin:
                case None:
                    tool("qemu-img", "create", "-q", "-f", "qcow2", str(new), f"{size_gib}G")
                    return
                case FromVolume(volume_id):
                    copy_disk(self._path(volume_id), new)
                case FromSnapshot(volume_id, snapshot_id):
                    copy_disk(self._snapshot(volume_id, snapshot_id), new)
                case FromFile(file, format):
                    _convert(file, format, new)
                case FromImage(location, format, file):
                    if file is None:
                        raise StoreDown(f"the image at {location} can't be read from here")
                    _convert(file, format, new)
            if _gib(new) > size_gib:
                raise StoreRefused(f"the source's disk of {_gib(new)} GiB doesn't fit into {size_gib} GiB")
            _resize(new, size_gib)

    def _encrypt(self, target: Path, size_gib: int, origin: Origin | None, luks: Luks) -> None:
        with self._new(target) as new:
            match origin:
                case FromVolume(volume_id):
                    copy_disk(self._path(volume_id), new)
                case FromSnapshot(volume_id, snapshot_id):
                    copy_disk(self._snapshot(volume_id, snapshot_id), new)
                case FromFile(file, "luks"):
                    copy_disk(file, new)
                case _:
                    _fill(new, size_gib * GIB, origin, luks)
            if not containers.is_container(new):
                raise StoreRefused("what it is to be made from isn't encrypted")
            if _gib(new) > size_gib:
                raise StoreRefused(f"the source's disk of {_gib(new)} GiB doesn't fit into {size_gib} GiB")
            os.truncate(new, size_gib * GIB)

    @contextmanager
    def _new(self, target: Path) -> Iterator[Path]:
        """A file that becomes *target* as a whole."""
        free = _statvfs(self._directory)
        if free.f_bavail * free.f_frsize < LEAST_FREE:
            raise StoreFull(FULL)
        new = target.with_name(f".{target.name}.new")
        new.unlink(missing_ok=True)
        try:
            yield new
            new.chmod(0o600)
            with new.open("rb") as file:
                os.fsync(file.fileno())
            self._rename(new, target)
        except OSError as error:
            raise StoreDown(f"the volume directory doesn't work: {error.strerror}") from None
        finally:
            new.unlink(missing_ok=True)


def _check_whole(file: Path, called: str, name: str) -> None:
    """Raises ``StoreRefused`` where there is no file, or another one is part of the disk in it."""
    if not file.is_file() or file.is_symlink():
        raise StoreRefused(f"there is no file {called} in the volume directory")
    facts = _info(file)
    if "backing-filename" in facts or "data-file" in str(facts.get("format-specific")):
        raise StoreRefused(f"{name} refers to another file")


def part_of(snapshot: Path) -> Path:
    """Where a host puts a snapshot before it is whole."""
    return snapshot.with_name(f".{snapshot.name}{PART}")


def _statvfs(path: Path) -> os.statvfs_result:
    try:
        return os.statvfs(path)
    except OSError as error:
        raise StoreDown(f"the volume directory can't be reached: {error.strerror}") from None


def _format(path: Path) -> str:
    """That of the disk which a file holds: of a container it is raw."""
    return "raw" if ".luks" in path.name else "qcow2"


def _resize(path: Path, size_gib: int) -> None:
    tool("qemu-img", "resize", "-q", "-f", _format(path), str(path), f"{size_gib}G")


def _fill(new: Path, size: int, origin: Origin | None, luks: Luks) -> None:
    """A container of *size* bytes with data that isn't encrypted yet."""
    new.write_bytes(containers.header(luks))
    os.truncate(new, size)
    if origin is None:
        return
    with containers.secret(luks) as secret:
        room = size - containers.HEADER
        if not isinstance(origin, (FromFile, FromImage)) or origin.file is None:
            raise StoreDown("what it is to be made from can't be read from here")
        if (least := virtual_size(origin.file, origin.format)) > room:
            raise StoreRefused(f"the source's disk of {least} bytes doesn't fit into the {room} bytes that a volume of "
                               f"{size // GIB} GiB has beside its LUKS header")
        tool("qemu-img", "convert", "-n", *secret.words, "--image-opts", "--target-image-opts",
              f"driver={origin.format},file.driver=file,file.filename={origin.file}",
              f"driver=luks,key-secret=key,file.driver=file,file.filename={new}", timeout=COPY_TIMEOUT, fd=secret.fd)


def virtual_size(file: Path, format: str) -> int:
    """Bytes, from the header, of the format that was said; what it refers to is never opened. Raises ``StoreRefused``
    and ``StoreDown``."""
    if format == "raw":
        return file.stat().st_size
    if format != "qcow2":
        raise StoreRefused(f"a disk of format {format} can't be read")
    facts = _info(file)
    if "backing-filename" in facts or "data-file" in str(facts.get("format-specific")):
        raise StoreRefused("the disk refers to another file")
    size = facts.get("virtual-size")
    if not isinstance(size, int):
        raise StoreDown(f"{file.name} can't be read")
    return size


def copy_disk(source: Path, target: Path) -> None:
    """Share blocks where the file system can, else copy what isn't empty."""
    if not source.exists():
        raise StoreRefused("what it is to be made from isn't there")
    with source.open("rb") as from_, target.open("wb") as to, suppress(OSError):
        fcntl.ioctl(to.fileno(), _REFLINK, from_.fileno())
        return
    if source.suffix == ".qcow2" or ".qcow2." in source.name:
        _convert(source, "qcow2", target)
    else:
        tool("cp", "--sparse=always", str(source), str(target), timeout=COPY_TIMEOUT)


def _convert(source: Path, format: str, target: Path) -> None:
    if format not in ("raw", "qcow2"):
        raise StoreRefused(f"a disk of format {format} can't be read")
    tool("qemu-img", "convert", "-f", format, "-O", "qcow2", str(source), str(target), timeout=COPY_TIMEOUT)


def _info(path: Path) -> dict[str, object]:
    try:
        return json.loads(tool("qemu-img", "info", "-U", "--output=json", "-f", "qcow2", str(path)))
    except ValueError:
        raise StoreDown(f"{path.name} can't be read") from None


def _gib(path: Path) -> int:
    """The virtual size, from the header: a guest may be writing to it."""
    try:
        if _format(path) == "raw":
            return -(-path.stat().st_size // GIB)
        with path.open("rb") as file:
            header = file.read(32)
    except OSError as error:
        raise StoreDown(f"{path.name} can't be read: {error.strerror}") from None
    if header[:4] != b"QFI\xfb":
        raise StoreDown(f"{path.name} is no qcow2 file any more")
    return -(-int.from_bytes(header[24:32], "big") // GIB)


def tool(*command: str, timeout: float = TIMEOUT, fd: int | None = None) -> str:
    """Run a tool with limits on memory and processor time, and with the open file *fd*."""
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(timeout), int(timeout)))
        resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB))

    if shutil.which(command[0], path="/usr/bin:/bin") is None:
        raise StoreDown(f"{command[0]} isn't installed on this machine: run ./setup")
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, preexec_fn=limit,
                              pass_fds=() if fd is None else (fd,),
                              env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **ONE_ARENA})
    except subprocess.TimeoutExpired:
        raise StoreDown(f"{command[0]} took longer than {timeout:g} s") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        if "No space left" in words:
            raise StoreFull(FULL)
        if 'Failed to get "write" lock' in words or "Failed to get shared" in words:
            raise StoreDown("the volume is in use")
        if "Resource temporarily unavailable" in words:
            raise StoreDown(f"{command[0]} found no room for its threads")
        raise StoreRefused(words.splitlines()[-1] if words else f"{command[0]} failed with status {done.returncode}")
    return done.stdout.decode(errors="replace")
