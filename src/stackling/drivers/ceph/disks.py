"""Servers' disks in a Ceph pool: the root a copy-on-write clone of the image, the others images of their own.

Theory of operation. A small object a server, the *marker*, says which set of disks counts; it is changed only as it
was read. A set is made under a name of its own (``names.py``) between two changes of the marker: the first one names
it as being made, the second one as the one that counts; what is older is then thrown away. So a crash leaves either
set whole and both known, and two machines that both believe that a server is theirs can't mix their disks.

The marker also carries the generation of the latest document that made, started or removed the disks. Who comes with
an older one is refused: an agent that was cut off and returns neither starts nor deletes what has moved on. Names of
sets are never used again, so that one who was paused between looking and deleting deletes only what is old.

Before a start, ``guard`` looks at who has the disks, and the server's volumes, open: somebody on another machine keeps
the start back until the cluster has shut that machine out, or has noticed (in 30 s) that nobody is there any more. That
is the second line of defence against a guest running twice; fencing is the first.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stackling.core import clock
from stackling.drivers.ceph import names
from stackling.drivers.ceph.client import DOWN, CephAccess, CephClient, CephError
from stackling.drivers.ceph.names import SNAP, Location
from stackling.drivers.ceph.tools import ToolFailed, qemu_img
from stackling.drivers.local import config_drive
from stackling.drivers.local.disks import cut_logs
from stackling.drivers.local.image_cache import ImageCache
from stackling.ports.disks import Exported
from stackling.ports.document import RootDisk, ServerDesired
from stackling.ports.hypervisor import GuestDisks, GuestRefused, HypervisorError, RbdDisk

log = logging.getLogger(__name__)
GIB, MIB = 2**30, 2**20
HALF_MADE = -1
COPY_SECONDS = 3600.0
TRASH_SECONDS = 60.0        # how long a deleted disk can be fetched back
DAY = 86_400.0
KINDS = ("root", "ephemeral", "swap", "config")
RESCUE = "rescue"           # and the number of the rescue disk


class Marker(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The text of the marker. ``set`` counts ("": none yet); ``making`` is being made; ``removing``: all must go."""

    era: int = 1
    generation: int
    rebuilds: int = HALF_MADE
    set: str = ""
    making: str = ""
    removing: bool = False
    machine: str = ""

    @property
    def order(self) -> tuple[int, int]:
        """Which order it was."""
        return self.era, self.generation


class RbdDisks:
    """``InstanceDisks`` in the pool *pool*, as machine *machine*. *instances* holds what is local: console logs.

    *cache* gives the files of images that don't lie in the same cluster; *addresses* are our guests' as the cluster
    sees them, where they aren't our own. *images_here*: control keeps images in the same cluster, and takes copies of
    disks by their location; else they are exported as files.
    """

    def __init__(self, access: CephAccess, pool: str, cache: ImageCache, *, machine: str, instances: Path,
                 addresses: Collection[str] = (), images_here: bool = True) -> None:
        self._images_here = images_here
        self.pool, self.client, self._addresses = pool, CephClient(access), tuple(addresses)
        self._cache, self._machine, self._instances = cache, machine, instances
        self._sets: dict[str, str] = {}
        self._importing = threading.Lock()
        instances.mkdir(mode=0o711, parents=True, exist_ok=True)

    def find(self, server_id: str) -> int | None:
        marker, _ = self._marker(server_id)
        if marker is None:
            return None
        return marker.rebuilds if marker.set and not marker.removing else HALF_MADE

    def make(self, server: ServerDesired, progress: Callable[[str], None], era: int = 1) -> None:
        marker, text = self._marker(server.id)
        if marker is None or not marker.set or marker.rebuilds != server.rebuilds or marker.removing:
            self._refuse_older((era, server.generation), marker)
            making = names.disk_set(server.rebuilds, era, server.generation)
            begun = msgspec.structs.replace(marker or Marker(generation=0), era=era, generation=server.generation,
                                            making=making, machine=self._machine)
            text = self._write(server.id, begun, text)
            self._local(server.id)
            self._make(server, making, progress)
            made = Marker(era=era, generation=server.generation, rebuilds=server.rebuilds, set=making,
                          machine=self._machine)
            self._write(server.id, made, text)
            marker = made
        self._drop_others(server.id, marker)

    def fetch(self, server: ServerDesired, source: str, progress: Callable[[str], None]) -> None:
        raise GuestRefused("The disks of servers aren't copied between hosts here.")

    def expect(self, server: ServerDesired, own_disks: bool, progress: Callable[[str], None]) -> None:
        if own_disks:
            raise GuestRefused("This server's disks come from another storage than this host's.")
        self._local(server.id)

    def guard(self, server: ServerDesired, era: int = 1) -> None:
        marker, text = self._marker(server.id)
        if marker is None or not marker.set:
            raise HypervisorError("the server's disks aren't there")
        self._refuse_older((era, server.generation), marker)
        claimed = msgspec.structs.replace(marker, era=era, generation=server.generation, machine=self._machine)
        if claimed != marker:
            self._write(server.id, claimed, text)
        for kind in KINDS:
            self._check_unused(names.disk(server.id, marker.set, kind))
        for volume in server.volumes:
            if not volume.shared and (where := names.volume_at(volume.location)):
                self._check_unused(where[1], where[0])
        self._local(server.id)

    def resize(self, server: ServerDesired) -> None:
        root, ephemeral, swap = (self._name(server, kind) for kind in KINDS[:3])
        if server.root:
            self._resize_root(server, root)
        if server.ephemeral_gib:
            size = server.ephemeral_gib * GIB
            if self._show(ephemeral) is None:
                self._formatted(ephemeral, size, "mkfs.ext4", "-q", "-F", "-L", "ephemeral0")
            else:
                self._ask("resize", name=ephemeral, size=size)
        if server.swap_mib:
            size, found = server.swap_mib * MIB, self._show(swap)
            if found is None or found["size"] != size:
                self._formatted(swap, size, "mkswap")

    def forget_kept(self, server: ServerDesired) -> None:
        root = self._name(server, "root")
        for name in (self._show(root) or {"snapshots": ()})["snapshots"]:
            if name.startswith("before-resize-") and name != names.kept(server.kept_resize):
                self._ask("drop_snapshot", name=root, snapshot=name)

    def make_rescue(self, server: ServerDesired, progress: Callable[[str], None]) -> None:
        if server.rescue is None:
            return
        name = self._name(server, f"{RESCUE}{server.rescue.number}")
        for other in self._rescues(server.id):
            if other != name:
                self._ask("discard", name=other, delay=0.0)
        if self._show(name) is None:
            self._clone_root(server.rescue.root, name, progress)

    def drop_rescue(self, server: ServerDesired) -> None:
        for name in self._rescues(server.id):
            self._ask("discard", name=name, delay=0.0)

    def _rescues(self, server_id: str) -> list[str]:
        return [name for name in self._disks_of(server_id) if name.rpartition(".")[2].startswith(RESCUE)]

    def export(self, server: ServerDesired) -> None:
        if server.root is None:
            raise GuestRefused("This server has no root disk of its own to save.")
        root, snapshot = self._name(server, "root"), names.exported(server.snapshot or "")
        self._ask("snapshot", name=root, snapshot=snapshot)
        if not self._images_here:
            self._export_file(root, snapshot, self._export(server))

    def exported(self, server: ServerDesired) -> Exported:
        if not self._images_here:
            return self._export(server)
        return str(Location(self._fsid(), self.pool, self._name(server, "root"), names.exported(server.snapshot or "")))

    def drop_export(self, server: ServerDesired) -> None:
        self._export(server).unlink(missing_ok=True)
        root = self._name(server, "root")
        for name in (self._show(root) or {"snapshots": ()})["snapshots"]:
            if name.startswith("image-"):
                self._ask("drop_snapshot", name=root, snapshot=name)

    def paths(self, server: ServerDesired) -> GuestDisks:
        def disk(kind: str, wanted: object) -> RbdDisk | None:
            if not wanted:
                return None
            access = self.client.access
            return RbdDisk(self.pool, self._name(server, kind), access.conf, access.now)

        return GuestDisks(root=disk("root", server.root), ephemeral=disk("ephemeral", server.ephemeral_gib),
                          swap=disk("swap", server.swap_mib), config_drive=disk("config", server.config_drive),
                          rescue=disk(f"{RESCUE}{server.rescue.number}" if server.rescue else "", server.rescue))

    def remove(self, server_id: str, era: int, generation: int) -> None:
        marker, text = self._marker(server_id)
        if marker is None:
            self._forget_local(server_id)
            return
        if marker.order > (era, generation):
            raise HypervisorError(
                f"the server's disks belong to a newer state of it (generation {marker.generation}, on machine "
                f"{marker.machine}) than the one to be removed ({generation}); they are left alone")
        going = msgspec.structs.replace(marker, removing=True, era=era, generation=generation)
        if going != marker:
            text = self._write(server_id, going, text)
        for name in self._disks_of(server_id):
            if names.order_of(name) <= (era, generation):
                self._ask("discard", name=name, delay=TRASH_SECONDS)
        self._write(server_id, None, text)
        self._sets.pop(server_id, None)
        self._forget_local(server_id)

    def tidy(self, images: Collection[str]) -> None:
        cut_logs(self._instances)
        self._cache.prune((), images)
        self._prune_bases(images)
        self._forget_departed()
        if self._ask("trash"):
            with _explained():
                self.client.long("purge", pool=self.pool)

    def capacity_gib(self) -> int:
        """How much the pool holds, all told. Raises ``HypervisorError``."""
        found = self._ask("space")
        return (found["free"] + found["used"]) // GIB

    def used_by(self, server_id: str) -> tuple[str, ...]:
        """The addresses that have a disk of the server open: evidence for whoever has to decide."""
        marker, _ = self._marker(server_id)
        if marker is None:
            return ()
        shown = (self._show(names.disk(server_id, marker.set, kind)) for kind in KINDS)
        return tuple(sorted({address for found in shown if found for address in found["watchers"]}))

    def close(self) -> None:
        """End the workers."""
        self.client.close()

    # -- the marker

    def _marker(self, server_id: str) -> tuple[Marker | None, str]:
        if not names.is_id(server_id):
            raise GuestRefused(f"{server_id!r} is no server id")
        text = self._ask("load", name=names.marker(server_id))
        if not text:
            self._sets.pop(server_id, None)
            return None, ""
        marker = msgspec.json.decode(text, type=Marker)
        self._sets[server_id] = marker.set
        return marker, text

    def _write(self, server_id: str, marker: Marker | None, old: str) -> str:
        text = msgspec.json.encode(marker).decode() if marker else ""
        try:
            self._ask("store", name=names.marker(server_id), text=text, old=old)
        except _Stale:
            raise HypervisorError("another machine has changed the server's disks meanwhile; looking again") from None
        self._sets[server_id] = marker.set if marker else ""
        return text

    @staticmethod
    def _refuse_older(order: tuple[int, int], marker: Marker | None) -> None:
        if marker is not None and marker.order > order:
            raise HypervisorError(
                f"machine {marker.machine} has this server's disks by a newer order (generation {marker.generation}) "
                f"than this machine's ({order[1]}); nothing is done here")

    def _name(self, server: ServerDesired, kind: str) -> str:
        found = self._sets.get(server.id) or (self._marker(server.id)[0] or Marker(generation=0)).set
        if not found:
            raise HypervisorError("the server's disks aren't there")
        return names.disk(server.id, found, kind)

    def _disks_of(self, server_id: str) -> list[str]:
        return self._ask("names", prefix=f"{server_id}.")

    def _drop_others(self, server_id: str, marker: Marker) -> None:
        """Throw away sets that don't count any more; a set made later than ours isn't ours to judge."""
        ours = names.disk(server_id, marker.set, "root")
        for name in self._disks_of(server_id):
            if name.split(".")[1] != marker.set and names.order_of(name) <= names.order_of(ours):
                self._ask("discard", name=name, delay=TRASH_SECONDS)

    # -- making

    def _make(self, server: ServerDesired, making: str, progress: Callable[[str], None]) -> None:
        for name in self._disks_of(server.id):      # what a crash left of the same attempt
            if name.split(".")[1] == making:
                self._ask("discard", name=name, delay=0.0)
        root, ephemeral, swap, config = (names.disk(server.id, making, kind) for kind in KINDS)
        if server.root:
            self._clone_root(server.root, root, progress)
        if server.ephemeral_gib:
            self._formatted(ephemeral, server.ephemeral_gib * GIB, "mkfs.ext4", "-q", "-F", "-L", "ephemeral0")
        if server.swap_mib:
            self._formatted(swap, server.swap_mib * MIB, "mkswap")
        if server.config_drive:
            with self._temporary() as path:
                config_drive.make(server.metadata, path)
                data = path.read_bytes()
            self._ask("create", name=config, size=-(-len(data) // MIB) * MIB)
            with _explained():
                self.client.data("put", data, pool=self.pool, name=config)

    def _clone_root(self, root: RootDisk, name: str, progress: Callable[[str], None]) -> None:
        where = Location.parse(root.image_location)
        if where is not None and where.fsid == self._fsid():
            try:
                self._clone(where if root.image_format == "raw" else where.disk, root, name)
                return
            except _Missing:
                log.warning("image %s isn't where it was (%s); it is fetched", root.image_id, where)
        base = self._base(root, progress)
        try:
            self._clone(Location(self._fsid(), self.pool, base), root, name)
        except _Missing:
            raise HypervisorError("the image's base disk was removed meanwhile; it is made again") from None

    def _clone(self, where: Location, root: RootDisk, name: str) -> None:
        found = self._show(where.name, pool=where.pool)
        snapshot = (found or {"snapshots": {}})["snapshots"].get(where.snapshot)
        if snapshot is None:
            raise _Missing
        least, size = snapshot["size"], root.size_gib * GIB or snapshot["size"]
        if least > size:
            raise GuestRefused(f"The image's disk of {least / GIB:.1f} GiB doesn't fit into the flavor's "
                               f"{root.size_gib} GiB; choose a larger flavor.")
        self._ask("clone", pool=where.pool, name=where.name, snapshot=where.snapshot, to_pool=self.pool, to_name=name,
                  size=size)

    def _base(self, root: RootDisk, progress: Callable[[str], None]) -> str:
        """The image's disk in our pool, imported once for all machines; its object says which one counts."""
        key = f"base.{root.image_checksum[:40]}.{root.image_format}"
        with self._importing:
            if text := self._ask("load", name=key):
                return json.loads(text)["name"]
            name = f"{key}.{secrets.token_hex(4)}"
            with self._cache.base(root, progress) as path:
                progress("importing image")
                size = self._virtual_size(path, root)
                self._ask("create", name=name, size=size)
                self._copied(f"driver={root.image_format},file.driver=file,file.filename={path}", name)
            self._ask("snapshot", name=name, snapshot=SNAP, protect=True)
            try:
                self._ask("store", name=key, text=json.dumps({"name": name, "image": root.image_id}), old="")
            except _Stale:          # another machine was quicker
                self._ask("discard", name=name, delay=0.0)
                return json.loads(self._ask("load", name=key))["name"]
            return name

    def _virtual_size(self, path: Path, root: RootDisk) -> int:
        if root.image_format == "raw":
            return root.image_size
        try:
            return int(json.loads(qemu_img("info", "--output=json", "-f", root.image_format, str(path),
                                           seconds=60.0))["virtual-size"])
        except (ToolFailed, ValueError, KeyError):
            raise GuestRefused(f"The image can't be read as {root.image_format}") from None

    def _prune_bases(self, images: Collection[str]) -> None:
        """Throw away bases that nobody has cloned any more, of images that no server here needs."""
        for key in self._ask("objects", prefix="base."):
            text = self._ask("load", name=key)
            if not text or json.loads(text)["image"] in images:
                continue
            name = json.loads(text)["name"]
            if not self._ask("children", name=name, snapshot=SNAP):
                with contextlib.suppress(_Stale):
                    self._ask("store", name=key, text="", old=text)
                    self._ask("discard", name=name, delay=TRASH_SECONDS)

    def _forget_departed(self) -> None:
        """Drop the local directories of servers that are gone, or have been elsewhere for a day."""
        for directory in self._instances.iterdir():
            if not directory.is_dir() or not names.is_id(directory.name):
                continue
            marker, _ = self._marker(directory.name)
            times = [path.stat().st_mtime for path in directory.iterdir()] or [directory.stat().st_mtime]
            old = max(times) < clock.wall() - DAY
            if marker is None or (old and marker.machine != self._machine):
                self._forget_local(directory.name)

    def _formatted(self, name: str, size: int, *command: str) -> None:
        """A disk that a tool has formatted; made anew where there is one."""
        self._ask("discard", name=name, delay=0.0)
        with self._temporary() as path:
            os.truncate(path, size)
            try:
                subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=60.0,
                               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})
            except (subprocess.SubprocessError, OSError) as error:
                raise HypervisorError(f"{command[0]} failed: {error}") from None
            self._ask("create", name=name, size=size)
            self._copied(f"driver=raw,file.driver=file,file.filename={path}", name)

    def _copied(self, source: str, name: str) -> None:
        try:
            qemu_img("convert", "-n", "--target-is-zero", "-m", "4", "-W", "--image-opts", "--target-image-opts",
                     source, f"driver=raw,{self.client.access.source(self.pool, name)}", seconds=COPY_SECONDS)
        except ToolFailed as error:
            raise HypervisorError(f"the disk can't be written to Ceph: {error}") from None

    def _export(self, server: ServerDesired) -> Path:
        return self._instances / server.id / f"snapshot.{server.snapshot}.qcow2"

    def _export_file(self, root: str, snapshot: str, target: Path) -> None:
        if target.exists():
            return
        self._local(target.parent.name)
        source = f"{self.client.access.source(self.pool, root)},file.snapshot={snapshot}"
        temporary = target.with_suffix(".new")
        try:
            qemu_img("convert", "-O", "qcow2", "--image-opts", f"driver=raw,{source}", str(temporary),
                     seconds=COPY_SECONDS)
        except ToolFailed as error:
            temporary.unlink(missing_ok=True)
            raise HypervisorError(f"the root disk can't be copied: {error}") from None
        temporary.rename(target)

    def _resize_root(self, server: ServerDesired, root: str) -> None:
        found = self._show(root)
        if found is None:
            raise HypervisorError("the server's root disk isn't there")
        back, keep = names.kept(server.restored_resize), names.kept(server.kept_resize)
        if back in found["snapshots"]:
            with _explained():
                self.client.long("rollback", pool=self.pool, name=root, snapshot=back)
            self._ask("drop_snapshot", name=root, snapshot=back)
            found = self._show(root) or found
        if server.kept_resize and keep not in found["snapshots"]:
            self._ask("snapshot", name=root, snapshot=keep)
        size = server.root.size_gib * GIB if server.root else 0
        if size > found["size"]:
            self._ask("resize", name=root, size=size)

    # -- who has it open

    def _check_unused(self, name: str, pool: str | None = None) -> None:
        pool = pool or self.pool
        found = self._show(name, pool)
        if found is None:
            return
        with _explained():
            fine = {self.client.address, *self._addresses, *_shut_out(self.client.quick("blocklist"))}
        others = sorted(set(found["watchers"]) - fine)
        if others:
            raise HypervisorError(
                f"a disk of the server is still open on another machine ({', '.join(others)}), which isn't shut out of "
                "the storage; the server isn't started a second time")
        self._ask("break_lock", pool=pool, name=name, allowed=sorted(fine))

    # -- how

    def _fsid(self) -> str:
        with _explained():
            return self.client.fsid

    def _ask(self, call: str, **arguments: Any) -> Any:
        with _explained():
            return self.client.quick(call, **{"pool": self.pool, **arguments})

    def _show(self, name: str, pool: str | None = None) -> dict[str, Any] | None:
        return self._ask("show", name=name, pool=pool or self.pool)

    def _local(self, server_id: str) -> None:
        directory = self._instances / server_id
        directory.mkdir(mode=0o711, exist_ok=True)
        directory.chmod(0o711)

    def _forget_local(self, server_id: str) -> None:
        shutil.rmtree(self._instances / server_id, ignore_errors=True)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix=".disk-", dir=self._instances) as file:
            yield Path(file.name)


class _Missing(Exception):
    """The image or its snapshot isn't there."""


class _Stale(Exception):
    """Somebody else was quicker."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Errors as the agent knows them."""
    try:
        yield
    except CephError as error:
        if error.kind == "stale":
            raise _Stale from None
        if error.kind == DOWN:
            raise HypervisorError(f"{error}; the server goes on when it does") from None
        raise HypervisorError(str(error)) from None


def _shut_out(entries: list[dict[str, str]]) -> set[str]:
    """Addresses that are on the blocklist as a whole."""
    return {entry["addr"].rpartition(":")[0] for entry in entries if entry["addr"].endswith(":0/0")}
