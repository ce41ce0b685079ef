"""Rescue mode: a server boots from another disk, made of an image, and finds its own disks beside it.

Theory of operation. ``rescues`` numbers the times that it was rescued; ``rescue`` holds the number, the image as the
server's row remembers images, and how the disk is plugged in, until it is to boot from its own disk again. The host
says from which disk the guest boots (``observed_rescue``, 0: its own); the state follows from the two. An image that
says how it wants to be plugged in (``hw_rescue_device``, ``hw_rescue_bus``) leaves the other disks as they are
(https://docs.openstack.org/nova/latest/user/rescue.html, "stable device instance rescue").
"""

from __future__ import annotations

from stackling.compute import boot_volumes, changes, create, servers, timeline
from stackling.compute.model import ServerRow, is_volume_backed
from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_request_id
from stackling.image import facade as images
from stackling.image.facade import BootImage
from stackling.ports.document import Power
from stackling.store.transaction import Tx
from stackling.volume import facade as volumes

DEVICES = ("disk", "cdrom")
BUSES = ("virtio", "scsi", "sata", "ide", "usb")
DEADLINE = changes.DEADLINES["stop"] + changes.DEADLINES["create"]


def rescue_server(tx: Tx, ctx: Context, server: ServerRow, image_ref: str | None = None, *,
                  on_volume: bool = True) -> ServerRow:
    """Boot from the image (None: from the server's own). Raises ``Conflict`` (state), ``Invalid`` (image, or a server
    that boots from a volume where the caller doesn't ask for that, *on_volume*, or the image says not how)."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "rescue", ("active", "stopped", "error"))
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    image = _image(tx, ctx, server, image_ref)
    device, bus = image.properties.get("hw_rescue_device"), image.properties.get("hw_rescue_bus")
    if is_volume_backed(server) and not (on_volume and device and bus):
        raise Invalid(f"Instance {server['id']} cannot be rescued: Cannot rescue a volume-backed instance",
                      type="InstanceNotRescuable")
    for name, value, offered in (("device", device, DEVICES), ("bus", bus, BUSES)):
        if value is not None and value not in offered:
            raise Invalid(f"Requested rescue {name} '{value}' is not supported; there are {', '.join(offered)}.")
    number = server["rescues"] + 1
    timeline.begin(tx, ctx, server, "rescue", f"with image {image.name}")
    return changes.apply(tx, server, {
        **changes.NO_FAULT, "rescues": number, "rescue_image_id": image.id, "power": Power.RUNNING.value,
        "power_generation": server["generation"] + 1, "rescue": {
            "number": number, "image": create.image_json(image), "stable": bool(device or bus),
            "device": device or "disk", "bus": bus or ""},
    }, desired=True, deadline=DEADLINE)


def unrescue_server(tx: Tx, ctx: Context, server: ServerRow) -> ServerRow:
    """Boot from its own disk again. Raises ``Conflict`` unless it is rescued."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "unrescue", ("rescued",))
    timeline.begin(tx, ctx, server, "unrescue")
    return changes.apply(tx, server, {
        "rescue": None, "rescue_image_id": None, "power": Power.RUNNING.value,
        "power_generation": server["generation"] + 1}, desired=True, deadline=changes.DEADLINES["start"])


def _image(tx: Tx, ctx: Context, server: ServerRow, ref: str | None) -> BootImage:
    try:
        if ref is not None:
            if images.image_described(tx, ctx, ref).properties.get("block_device_mapping"):
                raise Invalid("it has no disk of its own, but says which volumes to make.")
            return images.image_for_boot(tx, ctx, ref)
        if is_volume_backed(server):
            ref = _image_of_volume(tx, server)
            return images.image_for_boot(tx, system_context(ctx.request_id), ref or "")
        return images.image_for_boot(tx, system_context(ctx.request_id), server["image_id"] or "")
    except (NotFound, Invalid) as error:
        raise Invalid(f"Requested rescue image '{ref or server['image_id']}' is not supported: "
                      f"{error.message}") from None


def _image_of_volume(tx: Tx, server: ServerRow) -> str | None:
    root = boot_volumes.root_volume(server)
    if root is None:
        return None
    found = volumes.volume_to_boot(tx, system_context(new_request_id()), root.disk.volume_id)
    return found.image_metadata.get("image_id")
