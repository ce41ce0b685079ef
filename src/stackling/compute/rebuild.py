"""Rebuilding a server: a new root disk from an image, everything else stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackling.compute import boot_volumes, changes, create, keypairs, quotas, rows, servers, timeline
from stackling.compute.model import Flavor, ServerRow, is_volume_backed
from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.image import facade as images
from stackling.image.facade import BootImage
from stackling.store.transaction import Tx
from stackling.volume import facade as volumes


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What to rebuild with; ``columns`` are other changes. ``key_name`` counts with ``new_key``; None: no key.
    ``reimage``: a root volume gets the image's content (2.93). ``injected_files``: in the place of those it had."""

    image_ref: str
    columns: Mapping[str, Any]
    key_name: str | None = None
    new_key: bool = False
    reimage: bool = False
    injected_files: tuple[tuple[str, str], ...] = ()


def rebuild_server(tx: Tx, ctx: Context, server: ServerRow, spec: Rebuild) -> ServerRow:
    """Raises ``Conflict`` for a state that doesn't allow it, ``Invalid`` for an image that doesn't fit."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "rebuild", ("active", "stopped", "error"), launched=False)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    flavor = Flavor(server["flavor_id"], server["flavor"]["name"], server["vcpus"], server["memory_mib"],
                    server["root_gib"], server["ephemeral_gib"], server["swap_mib"])
    on_volume = is_volume_backed(server)
    try:
        image = images.image_for_boot(tx, ctx, spec.image_ref)
    except NotFound:
        raise Invalid("Cannot find image for rebuild") from None
    if on_volume:
        _check_volume(tx, ctx, server, spec, image)
    create.check_flavor_for_image(flavor, image, admin=True, on_volume=on_volume)
    values: dict[str, Any] = {**spec.columns, **changes.NO_FAULT}
    if "metadata" in values:
        quotas.check_metadata(tx, server["project_id"], len(values["metadata"]))
    create.check_user_data(values.get("user_data"))
    quotas.check_injected_files(tx, server["project_id"], spec.injected_files)
    if spec.new_key:
        values.update(key_name=spec.key_name, keypair=_keypair(tx, server, spec.key_name))
    values.update(image=create.image_json(image), rebuilds=server["rebuilds"] + 1, root_flat=0,
                  injected_files=[list(one) for one in spec.injected_files] or None)
    if not on_volume:
        values.update(image_id=image.id)
    elif spec.reimage:
        values.update(boot_volumes.with_image(server, image.id), power_generation=server["generation"] + 1)
    timeline.begin(tx, ctx, server, "rebuild", f"from image {image.name}")
    after = changes.apply(tx, server, values, desired=True, deadline=changes.DEADLINES["rebuild"])
    return changes.refresh_network(tx, after)


def _check_volume(tx: Tx, ctx: Context, server: ServerRow, spec: Rebuild, image: BootImage) -> None:
    """Whether the root volume can have the image. Raises ``Invalid``."""
    root = boot_volumes.root_volume(server)
    if root is None:
        raise Invalid("Unable to find root block device mapping for volume-backed instance.")
    now = volumes.volume_to_boot(tx, system_context(ctx.request_id), root.disk.volume_id)
    if now.image_metadata.get("image_id") != image.id and not spec.reimage:
        raise Invalid(f"Image {image.id} is unacceptable: Unable to rebuild with a different image for a volume-backed "
                      "server.")
    if image.min_disk_gib > now.size_gib:
        raise Invalid("Volume is smaller than the minimum size specified in image metadata. Volume size is "
                      f"{now.size_gib << 30} bytes, minimum size is {image.min_disk_gib << 30} bytes.")


def _keypair(tx: Tx, server: ServerRow, name: str | None) -> dict[str, str] | None:
    if name is None:
        return None
    try:
        row = keypairs.get_keypair(tx, server["user_id"], name)
    except NotFound:
        raise Invalid("Invalid key_name provided.") from None
    return {"name": row.name, "type": row.type, "public_key": row.public_key}


def user_data(tx: Tx, id: str) -> str | None:
    """The server's user data, as ``rebuild`` shows it."""
    row = rows.get(tx, id)
    return row["user_data"] if row else None
