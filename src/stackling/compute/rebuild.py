"""Rebuilding a server: a new root disk from an image, everything else stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackling.compute import changes, create, keypairs, quotas, rows, servers, timeline
from stackling.compute.model import Flavor, ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.image import facade as images
from stackling.store.transaction import Tx


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What to rebuild with; ``columns`` are other changes. ``key_name`` counts with ``new_key``; None: no key."""

    image_ref: str
    columns: Mapping[str, Any]
    key_name: str | None = None
    new_key: bool = False


def rebuild_server(tx: Tx, ctx: Context, server: ServerRow, spec: Rebuild) -> ServerRow:
    """Raises ``Conflict`` for a state that doesn't allow it, ``Invalid`` for an image that doesn't fit."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "rebuild", ("active", "stopped", "error"), launched=False)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    flavor = Flavor(server["flavor_id"], server["flavor"]["name"], server["vcpus"], server["memory_mib"],
                    server["root_gib"], server["ephemeral_gib"], server["swap_mib"])
    try:
        image = images.image_for_boot(tx, ctx, spec.image_ref)
    except NotFound:
        raise Invalid(f"Cannot find image {spec.image_ref} for instance rebuild.") from None
    create.check_flavor_for_image(flavor, image, admin=True)
    values: dict[str, Any] = {**spec.columns, **changes.NO_FAULT}
    if "metadata" in values:
        quotas.check_metadata(tx, server["project_id"], len(values["metadata"]))
    create.check_user_data(values.get("user_data"))
    if spec.new_key:
        values.update(key_name=spec.key_name, keypair=_keypair(tx, server, spec.key_name))
    values.update(image_id=image.id, image=create.image_json(image), rebuilds=server["rebuilds"] + 1,
                  root_flat=0)
    timeline.begin(tx, ctx, server, "rebuild", f"from image {image.name}")
    after = changes.apply(tx, server, values, desired=True, deadline=changes.DEADLINES["rebuild"])
    return changes.refresh_network(tx, after)


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
