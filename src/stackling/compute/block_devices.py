"""The disks that a request for a server asks for: ``block_device_mapping`` (the old form), ``block_device_mapping_v2``,
and what an image made of a volume-backed server says. Pure.

The rules, the order in which they are looked at, and their words are Nova's
(https://docs.openstack.org/nova/latest/user/block-device-mapping.html).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from stackling.compute.model import Flavor
from stackling.core.errors import Invalid

ROOT = "/dev/vda"
MOST_LOCAL = 3
"""Nova's ``max_local_block_devices``, with its default."""
MOST = 26
BUSES = ("fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml")
"""Nova's ``DiskBus.ALL``."""
_TRUE = ("1", "t", "true", "on", "y", "yes")
_EPHEMERAL = re.compile(r"ephemeral(\d|[1-9]\d+)\Z")
_INVALID = "Block Device Mapping is Invalid: "
_PREFIXES = {"scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """One disk. ``ref`` is the image, volume or snapshot that it is made from (or is); ``size_gib`` of a swap disk is
    in MiB. ``absent``: a disk that the image asks for and that the server shall not have."""

    source: str
    destination: str
    ref: str | None = None
    boot_index: int | None = None
    size_gib: int | None = None
    device: str | None = None
    bus: str | None = None
    type: str | None = None
    guest_format: str | None = None
    delete_on_termination: bool = False
    tag: str | None = None
    volume_type: str | None = None
    absent: bool = False

    @property
    def is_root(self) -> bool:
        """Whether the server boots from it."""
        return self.boot_index == 0

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume, or becomes one."""
        return self.destination == "volume"

    @property
    def is_swap(self) -> bool:
        """Whether it is a local disk for swapping."""
        return self.source == "blank" and not self.is_volume and self.guest_format == "swap"

    @property
    def is_ephemeral(self) -> bool:
        """Whether it is an empty local disk."""
        return self.source == "blank" and not self.is_volume and self.guest_format != "swap"


def is_true(value: object) -> bool:
    """What clients mean by yes."""
    return str(value).strip().lower() in _TRUE


# -- what clients write

def from_api(given: Sequence[Mapping[str, Any]], *, image_given: bool) -> list[BlockDevice]:
    """``block_device_mapping_v2``. Raises ``Invalid``."""
    return [_from_api(one, image_given) for one in given]


def _from_api(given: Mapping[str, Any], image_given: bool) -> BlockDevice:
    if given.get("no_device"):
        return BlockDevice("", "", device=_device(given), absent=True)
    source, ref = given.get("source_type"), given.get("uuid")
    if source == "blank" and ref:
        raise Invalid(f"{_INVALID}Invalid device UUID.")
    if source != "blank" and not ref:
        raise Invalid(f"{_INVALID}Missing device UUID.")
    if source is None:
        raise Invalid(f"{_INVALID}Some required fields are missing")
    local = source in ("image", "blank")
    destination = given.get("destination_type") or ("local" if local else "volume")
    index = _boot_index(given)
    if source == "image" and destination == "local" and not (image_given and index == 0):
        raise Invalid(f"{_INVALID}Mapping image to local is not supported.")
    if destination == "local" and not local:
        raise Invalid(f"{_INVALID}Mapping {source} to local is not supported.")
    if destination == "local" and given.get("volume_type"):
        raise Invalid(f"{_INVALID}Specifying a volume_type with destination_type=local is not supported.")
    if source == "volume" and given.get("volume_type"):
        raise Invalid(f"{_INVALID}Specifying volume type to existing volume is not supported.")
    return BlockDevice(
        source, destination, ref, index, _size(given), _device(given), given.get("disk_bus") or None,
        given.get("device_type") or None, given.get("guest_format"), is_true(given.get("delete_on_termination", False)),
        given.get("tag"), given.get("volume_type") or None)


def from_legacy(given: Sequence[Mapping[str, Any]], image: str | None, *, image_has_root: bool = False,
                ) -> list[BlockDevice]:
    """The old form: the disk called like the root device is the root. Raises ``Invalid``."""
    found = [_from_legacy(one) for one in given]
    if image_has_root:
        return [replace(one, boot_index=-1) for one in found]
    indexed = [replace(one, boot_index=0 if one.source in ("volume", "snapshot") and one.device == ROOT else
                       None if one.absent else -1) for one in found]
    if image and not any(one.is_root for one in indexed):
        indexed.insert(0, BlockDevice("image", "local", image, 0, type="disk", delete_on_termination=True))
    return indexed


def _from_legacy(given: Mapping[str, Any]) -> BlockDevice:
    name = str(given.get("virtual_name") or "")
    values: dict[str, Any] = {"size_gib": _size(given), "device": _device(given),
                              "delete_on_termination": is_true(given.get("delete_on_termination", False))}
    if name == "swap" or _EPHEMERAL.match(name):
        values["delete_on_termination"] = True
        return BlockDevice("blank", "local", guest_format="swap" if name == "swap" else None, **values)
    for key in ("snapshot", "volume"):
        if given.get(f"{key}_id"):
            return BlockDevice(key, "volume", given[f"{key}_id"], **values)
    if given.get("no_device"):
        return BlockDevice("", "", absent=True, **values)
    raise Invalid(f"{_INVALID}Unrecognized legacy format.")


def _device(given: Mapping[str, Any]) -> str | None:
    name = given.get("device_name")
    if name is None:
        return None
    if not isinstance(name, str) or not 0 < len(name) < 256:
        raise Invalid(f"{_INVALID}Device name empty or too long.")
    if " " in name:
        raise Invalid(f"{_INVALID}Device name contains spaces.")
    return f"/dev/{name.removeprefix('/dev/')}"


def _size(given: Mapping[str, Any]) -> int | None:
    size = given.get("volume_size")
    if size is None or size == "":
        return None
    if isinstance(size, bool) or not str(size).isdecimal():
        raise Invalid(f"{_INVALID}Invalid volume_size.")
    return int(size) or None


def _boot_index(given: Mapping[str, Any]) -> int | None:
    index = given.get("boot_index")
    if index is None:
        return None
    try:
        return int(index)
    except (TypeError, ValueError):
        raise Invalid(f"{_INVALID}Boot index is invalid.") from None


# -- what images say

def from_image(properties: Mapping[str, Any]) -> list[BlockDevice]:
    """The disks that an image's properties ask for. Raises ``Invalid`` for what can't be read."""
    written = properties.get("block_device_mapping")
    if not written:
        return []
    try:
        found: Any = msgspec.json.decode(written) if isinstance(written, str) else written
    except msgspec.DecodeError:
        raise Invalid(f"{_INVALID}the image's property block_device_mapping can't be read.") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[object]", found)):
        raise Invalid(f"{_INVALID}the image's property block_device_mapping can't be read.")
    devices = cast("list[dict[str, Any]]", found)
    if not is_true(properties.get("bdm_v2", False)):
        return from_legacy(devices, None)
    return [_of_image(one) for one in devices]


def _of_image(given: Mapping[str, Any]) -> BlockDevice:
    source = given.get("source_type")
    if source not in ("image", "volume", "snapshot", "blank"):
        raise Invalid(f"{_INVALID}Some required fields are missing")
    if source == "image" and given.get("destination_type") == "local":
        return BlockDevice("image", "local", given.get("image_id"), _boot_index(given))
    return _from_api({**given, "uuid": given.get(f"{source}_id")}, True)


def root_snapshot(properties: Mapping[str, Any]) -> str | None:
    """The snapshot that the disk to boot from is made of, by an image's properties. Raises ``Invalid``."""
    root = root_of(from_image(properties))
    return root.ref if root is not None and root.source == "snapshot" else None


def to_image(snapshot_id: str, device: BlockDevice) -> dict[str, Any]:
    """What an image says of a disk of which *snapshot_id* is a snapshot, by Nova's names."""
    return {
        "source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot_id, "disk_bus": device.bus,
        "device_type": device.type, "boot_index": device.boot_index, "device_name": device.device,
        "delete_on_termination": device.delete_on_termination, "volume_size": device.size_gib, "volume_id": None,
        "image_id": None, "guest_format": None, "no_device": None, "tag": None, "volume_type": None,
        "encrypted": None, "encryption_secret_uuid": None, "encryption_format": None, "encryption_options": None}


# -- all of them

def merged(asked: Sequence[BlockDevice], of_image: Sequence[BlockDevice], flavor: Flavor, image: str | None,
           ) -> list[BlockDevice]:
    """What the request, the image and the flavor ask for together. Raises ``Invalid``."""
    if image and any(one.is_volume and one.device == ROOT for one in asked):
        raise Invalid("The volume cannot be assigned the same device name as the root device vda")
    if any(one.is_root for one in of_image):
        asked = [one for one in asked if not (one.is_root and one.source == "image")]
    named = {one.device for one in asked if one.device}
    found = [*asked, *(one for one in of_image if one.device not in named)]
    found = [one for one in found if not one.absent]
    if flavor.ephemeral_gib and not any(one.is_ephemeral for one in found):
        found.append(BlockDevice("blank", "local", boot_index=-1, size_gib=flavor.ephemeral_gib, type="disk"))
    if flavor.swap_mib and not any(one.is_swap for one in found):
        found.append(BlockDevice("blank", "local", boot_index=-1, size_gib=flavor.swap_mib, type="disk",
                                 guest_format="swap"))
    return found


def root_of(devices: Sequence[BlockDevice]) -> BlockDevice | None:
    """What the server boots from."""
    return next((one for one in devices if one.is_root), None)


def check_boot_order(devices: Sequence[BlockDevice]) -> None:
    """Raises ``Invalid`` unless there is something to boot from, and one disk for each place in the order."""
    indexes = sorted(one.boot_index for one in devices if one.boot_index is not None and one.boot_index >= 0)
    if not indexes or indexes != list(range(len(indexes))):
        raise Invalid(f"{_INVALID}Boot sequence for the instance and image/block device mapping combination is not "
                      "valid.")


def check_sizes(devices: Sequence[BlockDevice], flavor: Flavor) -> None:
    """What is left to be checked of each, and of all. Raises ``Invalid``."""
    for one in devices:
        if one.bus and one.bus not in BUSES:
            raise Invalid("Block Device Mapping is Invalid.")
    if ephemeral_gib(devices, flavor) > flavor.ephemeral_gib:
        raise Invalid("Ephemeral disks requested are larger than the instance type allows. If no size is given in one "
                      "block device mapping, flavor ephemeral size will be used.")
    swaps = [one for one in devices if one.is_swap]
    if len(swaps) > 1:
        raise Invalid(f"{_INVALID}More than one swap drive requested.")
    if swaps and (swaps[0].size_gib or 0) > flavor.swap_mib:
        raise Invalid("Swap drive requested is larger than instance type allows.")
    if sum(not one.is_volume for one in devices) > MOST_LOCAL:
        raise Invalid(f"{_INVALID}You specified more local devices than the limit allows")
    if len(devices) > MOST:
        raise Invalid(f"The maximum allowed number of disk devices ({MOST}) to attach to a single instance has been "
                      "exceeded.")


def ephemeral_gib(devices: Sequence[BlockDevice], flavor: Flavor) -> int:
    """GiB of all ephemeral disks."""
    return sum(one.size_gib or flavor.ephemeral_gib for one in devices if one.is_ephemeral)


def swap_mib(devices: Sequence[BlockDevice], flavor: Flavor) -> int:
    """MiB of the swap disk; 0 without one."""
    return sum(one.size_gib or flavor.swap_mib for one in devices if one.is_swap)


# -- names

def named(devices: Sequence[BlockDevice], bus: str) -> list[BlockDevice]:
    """The same with a device name each: the root's first, then those of local disks, then the volumes'. *bus* is what
    disks are plugged into that say nothing of it."""
    order = sorted(range(len(devices)), key=lambda at: (not devices[at].is_root, devices[at].is_volume,
                                                        devices[at].is_swap))
    taken = {letter for one in devices if (letter := _letter(one.device))}
    found = dict[int, BlockDevice]()
    for at in order:
        one = devices[at]
        letter = _letter(one.device)
        if letter is None:
            letter = next(letter for letter in _LETTERS if letter not in taken)
            taken.add(letter)
        found[at] = replace(one, device=f"/dev/{prefix(one.bus or bus)}{letter}")
    return [found[at] for at in range(len(devices))]


def prefix(bus: str) -> str:
    """How disks on *bus* are called: ``vd`` …"""
    return _PREFIXES.get(bus, "vd")


def _letter(device: str | None) -> str | None:
    match = re.match(r"/dev/(?:x?v|s|h)d([a-z])\d*\Z", device or "")
    return match[1] if match else None
