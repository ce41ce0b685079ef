"""Servers whose disks are volumes: choosing them, making them with the server, waiting for them.

Theory of operation. Everything that a request asks for is written in its transaction: the server, its new volumes, and
an attachment for each. Until every volume is there the host isn't told of the server (``Awaits.MADE``); the volume
service says so in the transaction in which it learns of it, and a turn of the server looks again. A volume that failed,
or takes too long, ends the build as Nova ends it: the server is in ERROR on no host, its ports are released, and what
was made for it and goes with it is deleted.

A rebuild gives the root volume another image's content (``ServerVolume.image_id``): the host is told that the guest
shall be off and its disks made anew (``Awaits.OFF``); when it has said so the volume service writes (``Awaits.IMAGE``);
then the power that was asked for is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from stackling.compute import block_devices, changes, hosts, rows, shares, timeline, volumes
from stackling.compute.block_devices import BlockDevice
from stackling.compute.model import Awaits, Flavor, NewServers, ServerRow, awaits
from stackling.compute.volumes import OLD_FOR_SHARED, ServerVolume
from stackling.core.context import Context
from stackling.core.errors import Forbidden, Invalid, NotFound, QuotaExceeded
from stackling.core.ids import new_id
from stackling.image import facade as images
from stackling.image.facade import BootImage
from stackling.network import facade as network
from stackling.ports.document import VolumeDisk
from stackling.store.transaction import Tx
from stackling.volume import facade as volume_service
from stackling.volume.facade import BootVolume, NewVolume

GIB = 1 << 30
DEADLINE = 1200.0
"""Seconds in which a server must be there that waits for volumes to be made."""
_INVALID = "Block Device Mapping is Invalid: "
_FACTS = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size", "image_id", "image_name")
"""What a volume remembers of its image beside the image's properties."""


class BuildAborted(Exception):
    """A volume of a new server can't be made. The message is for the user."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a new server is made from. ``image_id`` is that of the request; ``image`` describes what it boots."""

    image_id: str | None
    image: BootImage
    devices: Sequence[BlockDevice]

    @property
    def root(self) -> BlockDevice | None:
        """The disk to boot from, if it is a volume."""
        found = block_devices.root_of(self.devices)
        return found if found is not None and found.is_volume else None


def root_volume(server: ServerRow) -> ServerVolume | None:
    """The volume that it boots from."""
    return next((one for one in volumes.of(server) if one.disk.boot_index == 0), None)


# -- choosing

def choose(tx: Tx, ctx: Context, new: NewServers, flavor: Flavor) -> Chosen:
    """Raises ``Invalid``."""
    if not new.image_ref and not new.block_devices:
        raise Invalid("Missing imageRef attribute")
    given = bool(new.image_ref)
    asked = None if new.legacy_devices else block_devices.from_api(new.block_devices, image_given=given)
    image = _image(tx, ctx, new.image_ref) if new.image_ref else _of_boot_device(tx, ctx, new, asked)
    of_image = block_devices.from_image(image.properties) if given or _boots_image(asked) else []
    if asked is None:
        asked = block_devices.from_legacy(new.block_devices, new.image_ref,
                                          image_has_root=block_devices.root_of(of_image) is not None)
    devices = block_devices.merged(asked, of_image, flavor, new.image_ref)
    if new.max_count > 1 and any(one.source == "volume" for one in devices):
        raise Invalid("Cannot attach one or more volumes to multiple instances")
    named = block_devices.named(devices, image.properties.get("hw_disk_bus", "virtio"))
    chosen = Chosen(new.image_ref, image, named)
    root = chosen.root
    if root is not None and root.size_gib is not None and image.min_disk_gib > root.size_gib:
        raise Invalid("Volume is smaller than the minimum size specified in image metadata. Volume size is "
                      f"{root.size_gib * GIB} bytes, minimum size is {image.min_disk_gib * GIB} bytes.")
    return chosen


def _boots_image(asked: Sequence[BlockDevice] | None) -> bool:
    root = block_devices.root_of(asked or ())
    return root is not None and root.source == "image"


def _image(tx: Tx, ctx: Context, ref: str) -> BootImage:
    try:
        return images.image_for_server(tx, ctx, ref)
    except NotFound:
        raise Invalid("Can not find requested image") from None


def _of_boot_device(tx: Tx, ctx: Context, new: NewServers, asked: Sequence[BlockDevice] | None) -> BootImage:
    """What the disk says that is booted from; nothing where there is none (which is refused later on)."""
    if asked is None:
        asked = block_devices.from_legacy(new.block_devices, None)
    root = block_devices.root_of(asked)
    if root is None or root.ref is None:
        return described({})
    if root.source == "image":
        try:
            return images.image_described(tx, ctx, root.ref)
        except (NotFound, Invalid):
            raise Invalid(f"{_INVALID}failed to get image {root.ref}.") from None
    found = _volume(tx, ctx, root)
    if not found.bootable:
        raise Invalid(f"Block Device {root.ref} is not bootable.")
    return described(found.image_metadata)


def described(metadata: Mapping[str, str]) -> BootImage:
    """What a volume remembers of its image."""
    properties = {key: value for key, value in metadata.items() if key not in _FACTS}
    return BootImage("", metadata.get("image_name", ""), "raw", 0, 0, "", _integer(metadata.get("min_disk")),
                     _integer(metadata.get("min_ram")), properties, "active")


def _integer(text: str | None) -> int:
    return int(text) if text is not None and str(text).isdecimal() else 0


def _volume(tx: Tx, ctx: Context, device: BlockDevice) -> BootVolume:
    """The volume, or the snapshot, that a disk is or is made from. Raises ``Invalid``."""
    ref = device.ref or ""
    try:
        if device.source == "snapshot":
            return volume_service.snapshot_to_boot(tx, ctx, ref)
        return volume_service.volume_to_boot(tx, ctx, ref)
    except NotFound:
        raise Invalid(f"{_INVALID}failed to get {device.source} {ref}.") from None


def check(tx: Tx, ctx: Context, chosen: Chosen, flavor: Flavor, *, shared: bool) -> None:
    """All that is checked of disks before anything is made. Raises ``Invalid``."""
    block_devices.check_boot_order(chosen.devices)
    for one in chosen.devices:
        if one.volume_type and not volume_service.has_type(tx, ctx, one.volume_type):
            raise Invalid(f"Volume type {one.volume_type} could not be found.")
        _check_source(tx, ctx, chosen, one, shared)
    block_devices.check_sizes(chosen.devices, flavor)


def _check_source(tx: Tx, ctx: Context, chosen: Chosen, device: BlockDevice, shared: bool) -> None:
    match device.source:
        case "image":
            if device.ref not in (chosen.image_id, chosen.image.id):
                try:
                    images.image_described(tx, ctx, device.ref or "")
                except (NotFound, Invalid):
                    raise Invalid(f"{_INVALID}failed to get image {device.ref}.") from None
            if device.is_volume and not device.size_gib:
                raise Invalid("Images with destination_type 'volume' need to have a non-zero size specified")
        case "volume":
            if _volume(tx, ctx, device).multiattach and not shared:
                raise Invalid(OLD_FOR_SHARED)
        case "snapshot":
            _volume(tx, ctx, device)
        case _:
            if device.is_volume and not device.size_gib:
                raise Invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")


# -- making

def prepare(tx: Tx, ctx: Context, server_id: str, host: str, devices: Sequence[BlockDevice]) -> list[ServerVolume]:
    """Reserve the volumes that are there and ask for the others. Raises ``Invalid`` for one that isn't free, and
    ``BuildAborted``, having undone all, where one can't be made."""
    made: list[ServerVolume] = []
    for one in sorted((one for one in devices if one.is_volume), key=lambda one: one.source != "volume"):
        try:
            made.append(_prepare(tx, ctx, server_id, host, one))
        except (Invalid, NotFound, QuotaExceeded) as error:
            if one.source == "volume":
                raise
            for undone in made:
                volume_service.detached(tx, undone.disk.id)
                if undone.awaits is not None:
                    volume_service.delete(tx, undone.disk.volume_id)
            raise BuildAborted(error.message) from None
    order = {one.device: at for at, one in enumerate(devices)}
    return sorted(made, key=lambda one: order[one.disk.device])


def _prepare(tx: Tx, ctx: Context, server_id: str, host: str, device: BlockDevice) -> ServerVolume:
    name = device.device or block_devices.ROOT
    if device.source == "volume":
        disk = volume_service.attach(tx, ctx, device.ref or "", server_id, new_id(), name, host)
    else:
        new = NewVolume(
            id=new_id(), size_gib=device.size_gib, type=device.volume_type,
            name=f"{server_id}-blank-vol" if device.source == "blank" else "", description="",
            snapshot_id=device.ref if device.source == "snapshot" else None,
            image_ref=device.ref if device.source == "image" else None)
        disk = volume_service.create_for_server(tx, ctx, new, server_id, new_id(), name, host)
    disk = msgspec.structs.replace(disk, boot_index=device.boot_index, bus=device.bus or "", type=device.type or "disk")
    return ServerVolume(disk=disk, delete_on_termination=device.delete_on_termination, tag=device.tag,
                        awaits=None if device.source == "volume" else Awaits.MADE.value)


# -- waiting

def volume_changed(tx: Tx, server_id: str) -> None:
    """A volume of the server is there, has its image, or failed."""
    server = rows.get(tx, server_id)
    if server is not None and not server["deleted"]:
        recheck(tx, server)


def recheck(tx: Tx, server: ServerRow, *, overdue: bool = False) -> ServerRow:
    """Go on where nothing more is waited for; give up where that is hopeless, or *overdue*."""
    if server["deleting"]:
        return server
    match awaits(server):
        case Awaits.MADE:
            return _recheck_made(tx, server, overdue)
        case Awaits.IMAGE:
            return _recheck_image(tx, server)
        case _:
            return server


def _recheck_made(tx: Tx, server: ServerRow, overdue: bool) -> ServerRow:
    found: list[ServerVolume] = []
    for one in volumes.of(server):
        if one.awaits is None:
            found.append(one)
            continue
        now = volume_service.progress(tx, one.disk.volume_id)
        if now is None or now.failed or (overdue and not now.ready):
            return abort_build(tx, server, _not_made(tx, one.disk, now))
        if not now.ready:
            return server
        disk = msgspec.structs.replace(one.disk, location=now.location, size_gib=now.size_gib)
        found.append(msgspec.structs.replace(one, disk=disk, awaits=None))
    return changes.apply(tx, server, {"volumes": volumes.text(found)}, desired=True,
                         deadline=changes.DEADLINES["create"])


def _not_made(tx: Tx, disk: VolumeDisk, now: volume_service.Progress | None) -> str:
    status = "deleted" if now is None else now.status
    why = f" {now.reason}" if now is not None and now.reason else ""
    return (f"Volume {disk.volume_id} did not finish being created even after we waited {DEADLINE:.0f} seconds or 1 "
            f"attempts. And its status is {status}.{why}")


def abort_build(tx: Tx, server: ServerRow, reason: str) -> ServerRow:
    """The server won't be made: it is in ERROR on no host, and nothing is kept for it."""
    message = f"Build of instance {server['id']} aborted: {reason}"
    tx.event(None, "server", server["id"], "build_aborted", message, source="engine", project_id=server["project_id"])
    timeline.fail(tx, server, "create", message)
    network.unplug_server(tx, server["id"])
    shares.release_here(tx, server)
    for one in volumes.of(server):
        volume_service.detached(tx, one.disk.id)
        if one.delete_on_termination:
            volume_service.delete(tx, one.disk.volume_id)
    host = server["host_id"]
    after = changes.apply(tx, server, {
        **changes.fault(tx, message), "volumes": "[]", "host_id": None, "host": None, "addresses": "{}", "nics": "[]",
        "availability_zone": server["pinned_availability_zone"]})
    if host is not None:
        hosts.bump(tx, host)
    tx.nudge(changes.KIND, server["id"])
    return after


# -- another image for the root volume

def with_image(server: ServerRow, image_id: str) -> dict[str, Any]:
    """The columns that ask for the root volume to have an image's content."""
    found = [msgspec.structs.replace(one, awaits=Awaits.OFF.value, image_id=image_id)
             if one.disk.boot_index == 0 else one for one in volumes.of(server)]
    return {"volumes": volumes.text(found)}


def guest_is_off(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when the host says that nothing writes to the root volume: it gets its image."""
    found = list(volumes.of(server))
    at = next(at for at, one in enumerate(found) if one.awaits == Awaits.OFF)
    try:
        volume_service.reimage(tx, found[at].disk.volume_id, found[at].image_id or "")
    except (Invalid, NotFound) as error:
        return _not_imaged(tx, found, error.message)
    found[at] = msgspec.structs.replace(found[at], awaits=Awaits.IMAGE.value)
    return {"volumes": volumes.text(found)}


def _recheck_image(tx: Tx, server: ServerRow) -> ServerRow:
    found = list(volumes.of(server))
    at = next(at for at, one in enumerate(found) if one.awaits == Awaits.IMAGE)
    now = volume_service.progress(tx, found[at].disk.volume_id)
    if now is not None and not now.ready and not now.failed:
        return server
    values = _done(found) if now is not None and now.ready else _not_imaged(
        tx, found, now.reason if now is not None else "the volume is gone")
    return changes.apply(tx, server, {**values, "power_generation": server["generation"] + 1}, desired=True,
                         deadline=changes.DEADLINES["rebuild"])


def _done(found: Sequence[ServerVolume]) -> dict[str, Any]:
    return {"volumes": volumes.text([msgspec.structs.replace(one, awaits=None, image_id=None) for one in found])}


def _not_imaged(tx: Tx, found: Sequence[ServerVolume], reason: str | None) -> dict[str, Any]:
    root = next(one for one in found if one.disk.boot_index == 0)
    message = f"Failed to re-image volume {root.disk.volume_id}: {reason or 'it failed'}"
    return {**_done(found), **changes.fault(tx, message), "forced_error": 1, "power": "stopped"}


# -- images of volume-backed servers

def save_as_image(tx: Tx, ctx: Context, server: ServerRow, snapshot: images.Snapshot) -> None:
    """Snapshots of its volumes, and an image without data that says which. Raises ``Invalid``, ``Forbidden``."""
    mapping: list[dict[str, Any]] = []
    for one in volumes.staying(server):
        id, disk = new_id(), one.disk
        try:
            volume_service.snapshot(tx, ctx, disk.volume_id, id, f"snapshot for {snapshot.name}")
        except QuotaExceeded:
            raise Forbidden("Quota exceeded for resources: snapshots") from None
        mapping.append(block_devices.to_image(id, BlockDevice(
            "volume", "volume", None, disk.boot_index, disk.size_gib, disk.device, disk.bus or None, disk.type,
            delete_on_termination=one.delete_on_termination)))
    root = root_volume(server)
    properties = {**snapshot.properties, "block_device_mapping": msgspec.json.encode(mapping).decode(),
                  "bdm_v2": "True", "root_device_name": root.disk.device if root is not None else block_devices.ROOT}
    images.create_mapping(tx, ctx, replace(snapshot, properties=properties))
