"""Volumes of servers: asked for here, plugged in by the host, told to the volume service.

Theory of operation. A server's row says which volumes it shall have (``servers.volumes``); each entry carries the id of
its attachment, which the volume service keeps for it from the same transaction on. The host's document has those that
aren't leaving. A report that the server is as it shall be, of the present generation, means that every one of them is
plugged in and no other is: only then an attachment counts as attached, or ends. A detach that comes late names an
attachment that is gone, and ends nothing else. A snapshot that the host is to make is in the disk's entry from the
transaction on that asks for it until the host has said how it ended, or that it has let go of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stackling.compute import block_devices, changes, rows, servers, timeline
from stackling.compute.model import Awaits, ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound
from stackling.ports.document import VolumeDisk
from stackling.ports.volume_copies import AT_ONCE
from stackling.store.transaction import Tx
from stackling.volume import facade as volumes

MOST = 24
COPY_DEADLINE = 3600.0
"""Seconds in which a host must have copied a volume of a guest that is off."""
OLD_FOR_SHARED = "Multiattach volumes are only supported starting with compute API version 2.60."
LEAVING = ("Invalid input received: Invalid volume: Unable to detach volume. Volume status must be 'in-use' and "
           "attach_status must be 'attached' to detach.")
_STATES = ("active", "paused", "stopped", "resized", "shelved", "shelved_offloaded")
_LETTERS = "abcdefghijklmnopqrstuvwxy"


class ServerVolume(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One entry of ``servers.volumes``."""

    disk: VolumeDisk
    delete_on_termination: bool = False
    tag: str | None = None
    detaching: bool = False
    awaits: str | None = None               # compute.boot_volumes.Awaits
    image_id: str | None = None             # that the root volume shall have the content of
    called_off: tuple[str, ...] = ()        # snapshots that its host isn't to make any more, and hasn't let go of


_decode = msgspec.json.Decoder(tuple[ServerVolume, ...]).decode


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume that a server shall have. ``shared``: the caller knows of volumes that several servers have."""

    volume_id: str
    device: str | None = None
    tag: str | None = None
    delete_on_termination: bool = False
    shared: bool = True


def of(server: ServerRow) -> tuple[ServerVolume, ...]:
    """The server's volumes, those that are leaving too: the API shows one until its host has let go of it."""
    return _decode(server["volumes"])


def disks(text: str) -> tuple[VolumeDisk, ...]:
    """What a host is to plug in, of the column's text."""
    return () if text == "[]" else tuple(one.disk for one in _decode(text) if not one.detaching)


def staying(server: ServerRow) -> list[ServerVolume]:
    """The server's volumes without those that are leaving."""
    return [one for one in of(server) if not one.detaching]


def text(found: Sequence[ServerVolume]) -> str:
    """The column's text."""
    return msgspec.json.encode(found).decode()


def find(server: ServerRow, volume_id: str) -> ServerVolume:
    """Raises ``NotFound``."""
    for one in of(server):
        if one.disk.volume_id == volume_id:
            return one
    raise NotFound(f"Instance {server['id']} is not attached to volume {volume_id}")


def attach(tx: Tx, ctx: Context, server: ServerRow, wanted: Wanted, id: str) -> ServerVolume:
    """Give the server a volume; *id* is the attachment's. Raises ``NotFound``, ``Invalid``, ``Conflict``."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "attach_volume", _STATES)
    if server["host_id"] is None and server["vm_state"] != "shelved_offloaded":
        raise Conflict(f"Cannot 'attach_volume' instance {server['id']}: it is on no host")
    there = of(server)
    if any(one.disk.volume_id == wanted.volume_id for one in there):
        raise Invalid(f"volume {wanted.volume_id} already attached")
    if len(there) >= MOST:
        raise Forbidden(f"The maximum allowed number of volumes ({MOST}) to attach to a single instance exceeded.")
    if not wanted.shared and volumes.volume_to_boot(tx, ctx, wanted.volume_id).multiattach:
        raise Invalid(OLD_FOR_SHARED)
    device = _device(server, there, wanted.device)
    disk = volumes.attach(tx, ctx, wanted.volume_id, server["id"], id, device, server["host"])
    made = ServerVolume(disk=disk, delete_on_termination=wanted.delete_on_termination, tag=wanted.tag)
    timeline.begin(tx, ctx, server, "attach_volume", done=True)
    _write(tx, server, [*there, made], tagged=made.tag is not None)
    return made


def _device(server: ServerRow, there: Sequence[ServerVolume], asked: str | None) -> str:
    """The first name that is free after the server's own disks; the guest may see another one, as with Nova."""
    own = 1 + bool(server["ephemeral_gib"]) + bool(server["swap_mib"])
    taken = {one.disk.device for one in there} | {f"/dev/vd{letter}" for letter in _LETTERS[:own]}
    if asked is not None and asked in taken:
        raise Conflict(f"The supplied device path ({asked}) is in use.")
    if asked is not None and asked.startswith("/dev/vd") and asked[7:] in _LETTERS and len(asked) == 8:
        return asked
    return next(f"/dev/vd{letter}" for letter in _LETTERS if f"/dev/vd{letter}" not in taken)


def detach(tx: Tx, ctx: Context, server: ServerRow, volume_id: str) -> None:
    """Take a volume from the server. Raises ``NotFound``, ``Conflict``."""
    found = find(server, volume_id)
    if found.disk.boot_index == 0:
        raise Invalid("Cannot detach a root device volume")
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "detach_volume", _STATES)
    if found.detaching:
        raise Invalid(LEAVING)
    timeline.begin(tx, ctx, server, "detach_volume", done=True)
    leave(tx, server, found.disk.id)


def leave(tx: Tx, server: ServerRow, attachment_id: str) -> None:
    """Have the host let go of it; with no host it is gone at once. Nothing where it is leaving or gone."""
    there = of(server)
    if not any(one.disk.id == attachment_id and not one.detaching for one in there):
        return
    if server["host_id"] is None:
        volumes.detached(tx, attachment_id)
        left = [one for one in there if one.disk.id != attachment_id]
        changes.apply(tx, server, {"volumes": text(left)})
        return
    volumes.detaching(tx, attachment_id)
    marked = [msgspec.structs.replace(one, detaching=one.detaching or one.disk.id == attachment_id) for one in there]
    _write(tx, server, marked, tagged=any(one.tag is not None and one.disk.id == attachment_id for one in there))


def _write(tx: Tx, server: ServerRow, found: Sequence[ServerVolume], *, tagged: bool) -> None:
    """Have the host plug in *found*. *tagged*: the guest's metadata tells of the one that comes or goes."""
    after = changes.apply(tx, server, {"volumes": text(found)}, desired=True)
    if tagged:
        changes.refresh_network(tx, after)


def update(tx: Tx, server: ServerRow, volume_id: str, *, delete_on_termination: bool) -> None:
    """Whether it goes with the server. Raises ``NotFound``."""
    find(server, volume_id)
    changed = [msgspec.structs.replace(one, delete_on_termination=delete_on_termination)
               if one.disk.volume_id == volume_id else one for one in of(server)]
    changes.apply(tx, server, {"volumes": text(changed)})


def swap(tx: Tx, ctx: Context, server: ServerRow, volume_id: str, other_id: str) -> None:
    """Another volume in the place of one. Only a Cinder that moves a volume in use may ask for that (Nova 2026.1 and
    later), and ours moves only volumes that nobody uses: raises ``NotFound`` or ``Conflict``."""
    volumes.volume_to_boot(tx, ctx, volume_id)
    raise Conflict(f"volume {volume_id} is not migrating; this API should only be called by Cinder")


def settled(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The host has the server as it shall be, of this generation: what that means for its volumes."""
    if server["volumes"] == "[]":
        return {}
    kept: list[ServerVolume] = []
    for one in of(server):
        if one.detaching:
            volumes.detached(tx, one.disk.id)
            _let_snapshots_go(tx, one)
        else:
            volumes.attached(tx, one.disk.id, server["host"])
            for id in one.called_off:
                volumes.snapshot_let_go(tx, id)
            kept.append(msgspec.structs.replace(one, called_off=()))
    after = text(kept)
    return {} if after == server["volumes"] else {"volumes": after}


# -- snapshots that the host makes

def snapshot(tx: Tx, server_id: str, attachment_id: str, snapshot_id: str, *, live: bool, together: bool) -> bool:
    """Have the server's host make a snapshot of a volume, which the volume service is told the end of; False where the
    server has no host that has the volume. *live*: the backend makes snapshots itself, and the host is asked only where
    it can do so with the guest at rest: because an agent is in it, or since several are to be of one moment
    (*together*)."""
    server = rows.get(tx, server_id)
    if server is None or server["deleted"] or server["deleting"] or server["host_id"] is None:
        return False
    there = of(server)
    volume = next((one for one in there if one.disk.id == attachment_id), None)
    if volume is None or volume.detaching or volume.awaits == Awaits.MADE:
        return False
    if live and not (volume.disk.location.startswith(AT_ONCE) and (together or _has_agent(server))):
        return False
    changes.apply(tx, server, {"volumes": text([
        _with_snapshots(one, (*one.disk.snapshots, snapshot_id)) if one.disk.id == attachment_id else one
        for one in there])}, desired=True, deadline=COPY_DEADLINE)
    return True


def _has_agent(server: ServerRow) -> bool:
    image: Mapping[str, Mapping[str, str]] = server["image"] or {}
    said = image.get("properties", {})
    return any(block_devices.is_true(said.get(name, False)) for name in ("hw_qemu_guest_agent", "os_require_quiesce"))


def call_off_snapshot(tx: Tx, server_id: str, snapshot_id: str) -> bool:
    """The host is not to make it any more, and the volume service is told when it has let go; False where nothing has
    to be waited for."""
    server = rows.get(tx, server_id)
    there = () if server is None or server["deleted"] else of(server)
    if server is None or not any(snapshot_id in (*one.disk.snapshots, *one.called_off) for one in there):
        return False
    if not any(snapshot_id in one.disk.snapshots for one in there):
        return True
    changes.apply(tx, server, {"volumes": text([
        msgspec.structs.replace(_with_snapshots(one, tuple(id for id in one.disk.snapshots if id != snapshot_id)),
                                called_off=(*one.called_off, snapshot_id))
        if snapshot_id in one.disk.snapshots else one for one in there])}, desired=True)
    return True


def snapshots_ended(tx: Tx, server: ServerRow, said: Mapping[str, str]) -> dict[str, Any]:
    """What the host says became of snapshots that it was to make. The document may go on naming them: the host knows
    that it has done with them."""
    if not said or server["volumes"] == "[]":
        return {}
    after: list[ServerVolume] = []
    for one in of(server):
        ended = [id for id in one.disk.snapshots if id in said]
        for id in ended:
            volumes.snapshot_ended(tx, id, said[id])
        left = tuple(id for id in one.disk.snapshots if id not in said)
        after.append(_with_snapshots(one, left) if ended else one)
    found = text(after)
    return {} if found == server["volumes"] else {"volumes": found}


def without_host(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when the server has no host any more: nobody makes snapshots there, what was leaving has left, and
    what was on its way counts as attached, like what a server without a host is given."""
    if server["volumes"] == "[]":
        return {}
    kept: list[ServerVolume] = []
    for one in of(server):
        after = _let_snapshots_go(tx, one)
        if one.detaching:
            volumes.detached(tx, one.disk.id)
        else:
            volumes.attached(tx, one.disk.id, None)
            kept.append(after)
    return {"volumes": text(kept)}


def _with_snapshots(one: ServerVolume, snapshots: tuple[str, ...]) -> ServerVolume:
    return msgspec.structs.replace(one, disk=msgspec.structs.replace(one.disk, snapshots=snapshots))


def _let_snapshots_go(tx: Tx, one: ServerVolume) -> ServerVolume:
    for id in (*one.disk.snapshots, *one.called_off):
        volumes.snapshot_let_go(tx, id)
    return msgspec.structs.replace(_with_snapshots(one, ()), called_off=())


def extended(tx: Tx, ctx: Context, server_id: str, attachment_id: str, size_gib: int) -> None:
    """A volume of the server has become larger beneath it."""
    server = rows.get(tx, server_id)
    if server is None or server["deleted"]:
        return
    changed = [msgspec.structs.replace(one, disk=msgspec.structs.replace(one.disk, size_gib=size_gib))
               if one.disk.id == attachment_id else one for one in of(server)]
    timeline.begin(tx, ctx, server, "extend_volume", done=True)
    changes.apply(tx, server, {"volumes": text(changed)}, desired=True)


def server_gone(tx: Tx, server: ServerRow) -> None:
    """Nothing of the server is left: its volumes are free, and those that go with it are deleted."""
    for one in of(server):
        volumes.detached(tx, one.disk.id)
        _let_snapshots_go(tx, one)
        if one.delete_on_termination:
            volumes.delete(tx, one.disk.volume_id)


def has_attachment(tx: Tx, server_id: str, attachment_id: str) -> bool:
    """Whether the server is there and has this one."""
    server = rows.get(tx, server_id)
    return server is not None and not server["deleted"] and any(one.disk.id == attachment_id for one in of(server))


def detach_by_force(tx: Tx, server_id: str, attachment_id: str) -> None:
    """For services: the host takes it from the guest, whatever the server's state. An attachment whose server is gone,
    or doesn't know of it, ends at once."""
    server = rows.get(tx, server_id)
    if server is None or not has_attachment(tx, server_id, attachment_id):
        volumes.detached(tx, attachment_id)
    else:
        leave(tx, server, attachment_id)
