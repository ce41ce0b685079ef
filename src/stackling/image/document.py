"""The image as the API shows it (https://docs.openstack.org/api-ref/image/v2/#show-image). Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from stackling.core.clock import seconds_z
from stackling.image.model import Image

_encode = msgspec.json.Encoder().encode


def document(image: Image) -> str:
    """JSON text."""
    base = f"/v2/images/{image.id}"
    shown: dict[str, Any] = {
        **image.properties,
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "visibility": image.visibility,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "status": image.status,
        "checksum": image.checksum,
        "protected": image.protected,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "owner": image.owner,
        "os_hidden": image.os_hidden,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "id": image.id,
        "created_at": seconds_z(image.created_at),
        "updated_at": seconds_z(image.updated_at),
        "tags": image.tags,
        "self": base,
        "file": f"{base}/file",
        "schema": "/v2/schemas/image",
    }
    if places := image.places:
        shown["stores"] = ",".join(store for store, _ in places)
    return _encode(shown).decode()
