"""Servers' disks in a local directory: a qcow2 overlay of a cached image, raw ephemeral and swap disks, config drive.

Theory of operation. A server's directory holds files that carry its rebuild number, and ``disks.<number>.json``,
written last: only with it do the files count. A crash before leaves files that the next ``make`` writes anew; after a
rebuild's marker is there, older ones are removed. A resize that isn't confirmed keeps the root disk's former state as
an internal snapshot, taken while the guest is off; going back to it also brings back the former size. Nobody ever
looks into an image to find its format.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.core.journal import sync_directory
from stackling.drivers.local import config_drive
from stackling.drivers.local.image_cache import ImageCache
from stackling.drivers.local.volumes import ONE_ARENA
from stackling.ports.document import RootDisk, ServerDesired
from stackling.ports.hypervisor import GuestDisks, GuestRefused, HypervisorError

GIB, MIB = 2**30, 2**20
LEAST_FREE = 64 * MIB       # below this nothing is begun
LOG_MOST = 4 * MIB          # a console log beyond this is cut to its last quarter
TIMEOUT = 60.0
EXPORT_TIMEOUT = 1800.0
FULL = "the instance directory of this host is full; the server is made when there is room"


@dataclass(frozen=True, slots=True)
class _Files:
    root: Path | None
    ephemeral: Path | None
    swap: Path | None
    config_drive: Path | None
    rescue: Path | None


class LocalDisks:
    """``InstanceDisks`` under *root*. *account* is whom tools run as that look at image data (None: as ourselves)."""

    def __init__(self, root: Path, cache: ImageCache, *, account: str | None = None) -> None:
        self._root, self._cache, self._account = root, cache, account
        root.mkdir(mode=0o711, parents=True, exist_ok=True)

    def find(self, server_id: str) -> int | None:
        numbers = [_number(path) for path in self._directory(server_id).glob("disks.*.json")]
        return max(numbers, default=None)

    def make(self, server: ServerDesired, progress: Callable[[str], None], era: int = 1) -> None:
        if self.find(server.id) == server.rebuilds:
            self._drop_older(server)
            return
        directory = self._directory(server.id)
        try:
            if os.statvfs(self._root).f_bavail * os.statvfs(self._root).f_frsize < LEAST_FREE:
                raise HypervisorError(FULL)
            directory.mkdir(mode=0o711, exist_ok=True)
            directory.chmod(0o711)
            with self._cache.base(server.root, progress) if server.root else contextlib.nullcontext() as base:
                self._make(server, base)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HypervisorError(FULL) from None
            raise HypervisorError(f"the server's disks can't be made: {error.strerror}: {error.filename}") from None
        self._drop_older(server)

    def fetch(self, server: ServerDesired, source: str, progress: Callable[[str], None]) -> None:
        raise GuestRefused("The disks of servers aren't copied between hosts here.")

    def expect(self, server: ServerDesired, own_disks: bool, progress: Callable[[str], None]) -> None:
        if not own_disks or server.root is None or not server.root.flat:
            self.make(server, progress)
            return
        if not server.root.size_gib:
            raise GuestRefused("This server's disk can't be copied while it runs: its flavor doesn't say how large it "
                               "is. Migrate it while it is off, or shelve it.")
        directory = self._directory(server.id)
        if self.find(server.id) != server.rebuilds:
            directory.mkdir(mode=0o711, exist_ok=True)
            directory.chmod(0o711)
            self._make(server, None)

    def guard(self, server: ServerDesired, era: int = 1) -> None:
        """Nobody else reaches this directory."""

    def resize(self, server: ServerDesired) -> None:
        paths = self._files(server)
        try:
            if paths.root and server.root:
                self._resize_root(server, paths.root)
            if paths.ephemeral:
                _fit(paths.ephemeral, server.ephemeral_gib * GIB, "mkfs.ext4", "-q", "-F", "-L", "ephemeral0")
            if paths.swap:
                _fit(paths.swap, server.swap_mib * MIB, "mkswap")
        except OSError as error:
            raise HypervisorError(f"the server's disks can't be resized: {error.strerror}: {error.filename}") from None

    def forget_kept(self, server: ServerDesired) -> None:
        root = self._files(server).root
        if root is None or not root.exists():
            return
        for name in _kept(_info(root)):
            if name != _kept_name(server.kept_resize):
                _tool("qemu-img", "snapshot", "-d", name, str(root))

    def make_rescue(self, server: ServerDesired, progress: Callable[[str], None]) -> None:
        target = self._files(server).rescue
        if server.rescue is None or target is None:
            return
        try:
            for path in self._directory(server.id).glob("rescue.*"):
                if path != target:
                    path.unlink(missing_ok=True)
            if not target.exists():
                with self._cache.base(server.rescue.root, progress) as base:
                    self._copy(server.rescue.root, base, target)
        except OSError as error:
            raise HypervisorError(f"the rescue disk can't be made: {error.strerror}: {error.filename}") from None

    def drop_rescue(self, server: ServerDesired) -> None:
        for path in self._directory(server.id).glob("rescue.*"):
            path.unlink(missing_ok=True)

    def export(self, server: ServerDesired) -> None:
        root, target = self._files(server).root, self.exported(server)
        if target.exists():
            return
        if root is None:
            raise GuestRefused("This server has no root disk of its own to save.")
        temporary = target.with_suffix(".new")
        # -U: a paused guest still holds the image, and doesn't change it
        _tool("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "qcow2", str(root), str(temporary),
              timeout=EXPORT_TIMEOUT)
        temporary.rename(target)

    def exported(self, server: ServerDesired) -> Path:
        return self._directory(server.id) / f"snapshot.{server.snapshot}.qcow2"

    def drop_export(self, server: ServerDesired) -> None:
        for path in self._directory(server.id).glob("snapshot.*"):
            path.unlink(missing_ok=True)

    def paths(self, server: ServerDesired) -> GuestDisks:
        files = self._files(server)
        return GuestDisks(files.root, files.ephemeral, files.swap, files.config_drive, files.rescue)

    def remove(self, server_id: str, era: int, generation: int) -> None:
        directory = self._directory(server_id)
        try:
            for marker in directory.glob("disks.*.json"):
                marker.unlink()
            if directory.exists():
                shutil.rmtree(directory)
                sync_directory(self._root)
        except OSError as error:
            raise HypervisorError(f"the server's disks can't be removed: {error.strerror}: {error.filename}") from None

    def tidy(self, images: Collection[str]) -> None:
        bases: set[str] = set()
        for marker in self._root.glob("*/disks.*.json"):
            with contextlib.suppress(OSError, ValueError):
                bases.add(json.loads(marker.read_text())["base"] or "")
        self._cache.prune(bases, images)
        cut_logs(self._root)

    # -- how

    def _files(self, server: ServerDesired) -> _Files:
        directory, number = self._directory(server.id), server.rebuilds
        return _Files(
            root=directory / f"root.{number}.qcow2" if server.root else None,
            ephemeral=directory / f"ephemeral.{number}.raw" if server.ephemeral_gib else None,
            swap=directory / f"swap.{number}.raw" if server.swap_mib else None,
            config_drive=directory / f"config.{number}.iso" if server.config_drive else None,
            rescue=directory / f"rescue.{server.rescue.number}.qcow2" if server.rescue else None)

    def _directory(self, server_id: str) -> Path:
        if "/" in server_id or server_id.startswith("."):
            raise GuestRefused(f"{server_id!r} is no server id")
        return self._root / server_id

    def _make(self, server: ServerDesired, base: Path | None) -> None:
        paths = self._files(server)
        if server.root and paths.root:
            if base is None:
                _empty(server.root.size_gib * GIB, paths.root)
            elif server.root.flat:
                self._copy(server.root, base, paths.root)
            else:
                self._overlay(server.root, base, paths.root)
        if paths.ephemeral:
            _blank(paths.ephemeral, server.ephemeral_gib * GIB, "mkfs.ext4", "-q", "-F", "-L", "ephemeral0")
        if paths.swap:
            _blank(paths.swap, server.swap_mib * MIB, "mkswap")
        if paths.config_drive:
            config_drive.make(server.metadata, paths.config_drive)
            paths.config_drive.chmod(0o600)
        self._mark(server, base.name if base and server.root and not server.root.flat else None)

    def _fitting(self, base: Path, disk: RootDisk) -> int:
        """The size of the disk that is made from *base*."""
        least = self._virtual_size(base, disk)
        size = disk.size_gib * GIB or least
        if least > size:
            raise GuestRefused(f"The image's disk of {least / GIB:.1f} GiB doesn't fit into the flavor's "
                               f"{disk.size_gib} GiB; choose a larger flavor.")
        return size

    def _copy(self, disk: RootDisk, base: Path, target: Path) -> None:
        size, temporary = self._fitting(base, disk), target.with_suffix(".new")
        _tool("qemu-img", "convert", "-f", disk.image_format, "-O", "qcow2", str(base), str(temporary),
              timeout=EXPORT_TIMEOUT)
        _tool("qemu-img", "resize", "-q", "-f", "qcow2", str(temporary), str(size))
        temporary.chmod(0o600)
        temporary.rename(target)

    def _overlay(self, disk: RootDisk, base: Path, target: Path) -> None:
        size = self._fitting(base, disk)
        temporary = target.with_suffix(".new")
        # -u: the base isn't opened; its size is known and its format is said
        _tool("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", str(base), "-F", disk.image_format,
              str(temporary), str(size))
        temporary.chmod(0o600)
        temporary.rename(target)

    def _resize_root(self, server: ServerDesired, root: Path) -> None:
        kept = _kept(_info(root))
        back = _kept_name(server.restored_resize)
        if back in kept:
            _tool("qemu-img", "snapshot", "-a", back, str(root))
            _tool("qemu-img", "snapshot", "-d", back, str(root))
        name = _kept_name(server.kept_resize)
        if server.kept_resize and name not in kept:
            _tool("qemu-img", "snapshot", "-c", name, str(root))
        size = server.root.size_gib * GIB if server.root else 0
        if size > _info(root)["virtual-size"]:
            _tool("qemu-img", "resize", "-q", "-f", "qcow2", str(root), str(size))

    def _virtual_size(self, base: Path, disk: RootDisk) -> int:
        if disk.image_format == "raw":
            return disk.image_size
        shown = _tool("qemu-img", "info", "--output=json", "-f", disk.image_format, str(base), account=self._account)
        try:
            return int(json.loads(shown)["virtual-size"])
        except (ValueError, KeyError, TypeError):
            raise GuestRefused("The image can't be read as " + disk.image_format) from None

    def _mark(self, server: ServerDesired, base: str | None) -> None:
        directory = self._directory(server.id)
        temporary = directory / "disks.new"
        with temporary.open("w") as file:
            json.dump({"base": base, "generation": server.generation}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(directory / f"disks.{server.rebuilds}.json")
        sync_directory(directory)
        sync_directory(self._root)

    def _drop_older(self, server: ServerDesired) -> None:
        wanted = str(server.rebuilds)
        for path in self._directory(server.id).iterdir():
            kind, _, rest = path.name.partition(".")
            if kind in ("disks", "root", "ephemeral", "swap", "config") and rest.partition(".")[0] != wanted:
                path.unlink(missing_ok=True)


def takes_direct_io(directory: Path) -> bool:
    """Whether files in *directory* can be opened past the page cache (not on every tmpfs)."""
    path = directory / ".direct"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True


def cut_logs(instances: Path) -> None:
    """Keep guests from filling the disk through their consoles."""
    for log in instances.glob("*/console.log"):
        with contextlib.suppress(OSError):
            _cut(log)


def _number(marker: Path) -> int:
    text = marker.name.split(".")[1]
    return int(text) if text.isdecimal() else -1


def _kept_name(resize: int) -> str:
    return f"before-resize-{resize}"


def _info(root: Path) -> dict[str, Any]:
    try:
        return json.loads(_tool("qemu-img", "info", "--output=json", "-f", "qcow2", str(root)))
    except ValueError:
        raise HypervisorError(f"{root} can't be read") from None


def _kept(info: dict[str, Any]) -> list[str]:
    return [one["name"] for one in info.get("snapshots", ()) if one["name"].startswith("before-resize-")]


def _fit(path: Path, size: int, *command: str) -> None:
    """A missing disk is made, a swap disk made anew; another one is made longer, or cut to what it was before."""
    if not path.exists() or (command[0] == "mkswap" and path.stat().st_size != size):
        _blank(path, size, *command)
    elif path.stat().st_size != size:
        os.truncate(path, size)


def _empty(size: int, target: Path) -> None:
    """A disk without a base that something is going to be copied into."""
    temporary = target.with_suffix(".new")
    _tool("qemu-img", "create", "-q", "-f", "qcow2", str(temporary), str(size))
    temporary.chmod(0o600)
    temporary.rename(target)


def _blank(path: Path, size: int, *command: str) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    path.chmod(0o600)
    _tool(*command, str(path))


def _tool(*command: str, account: str | None = None, timeout: float = TIMEOUT) -> str:
    """Run a tool with limits on memory and processor time. Raises ``HypervisorError``."""
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(timeout / 2), int(timeout / 2)))
        resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB))

    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, user=account,
                              extra_groups=["kvm"] if account else None, preexec_fn=limit,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **ONE_ARENA})
    except subprocess.TimeoutExpired:
        raise HypervisorError(f"{command[0]} took longer than {timeout:g} s") from None
    except FileNotFoundError:
        raise HypervisorError(f"{command[0]} isn't installed on this host: run ./setup") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        if "No space left" in words:
            raise HypervisorError(FULL)
        why = words.splitlines()[-1] if words else f"exit status {done.returncode}"
        raise HypervisorError(f"{command[0]} {command[1]} failed: {why}")
    return done.stdout.decode(errors="replace")


def _cut(log: Path) -> None:
    """QEMU appends, so cutting is safe."""
    size = log.stat().st_size
    if size <= LOG_MOST:
        return
    with log.open("r+b") as file:
        file.seek(size - LOG_MOST // 4)
        kept = file.read(LOG_MOST // 4)
        file.truncate(0)
        file.seek(0)
        file.write(kept)
