"""Images of the image service of another region, whose tokens are ours (``glance-download``).

What it is asked is decided here; whom, the catalog says, which administrators write. It is told the caller's token, and
so decides itself what the caller may read. Redirects aren't followed: the token is for nobody else.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.image.downloads import Source
from stackling.core.errors import Invalid
from stackling.identity import facade as identity
from stackling.image.model import Described
from stackling.ports.web import Web, WebRefused

if TYPE_CHECKING:
    from stackling.api.call import Call
    from stackling.store.transaction import Tx

METHOD = "glance-download"
LARGEST = 1 << 20
"""Bytes that the description of an image may have."""
_TAKEN = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
"""Properties that come along, by how they begin: Glance's default (``[glance_download_properties]``)."""


def check(method: dict[str, Any]) -> None:
    """What the request must say, in Glance's words; the interface, where it says none, is added to it. Raises
    ``Invalid``."""
    for name in ("glance_region", "glance_image_id"):
        if not isinstance(method.get(name), str):
            raise Invalid(f"'{name}' needs to be set for glance-download import method")
    try:
        uuid.UUID(method["glance_image_id"])
    except ValueError:
        raise Invalid(f"Remote image id does not look like a UUID: {method['glance_image_id'][:100]}") from None
    if not isinstance(method.setdefault("glance_service_interface", "public"), str):
        raise Invalid("'glance_service_interface' must be a string")


def source(tx: Tx, call: Call, method: Mapping[str, Any]) -> Source:
    """Where the image of a checked request is. What is wrong with it is found when it is fetched."""
    region, interface = method["glance_region"], method["glance_service_interface"]
    found = identity.endpoint_url(tx, call.ctx, call.cloud.public_url, "image", region, interface)
    if found is None:
        return Source(None, "", refusal=f"the catalog has no {interface} endpoint of an image service in region "
                                        f"{region[:100]}")
    url = f"{found.rstrip('/').removesuffix('/v2')}/v2/images/{uuid.UUID(method['glance_image_id'])}"
    headers = {"X-Auth-Token": call.ctx.token or ""}

    async def describe(web: Web) -> Described:
        async with web.fetch(url, {**headers, "Accept": "application/json"}) as chunks:
            data = bytearray()
            async for chunk in chunks:
                data += chunk
                if len(data) > LARGEST:
                    raise WebRefused("its description is too long")
        return described(bytes(data))

    return Source(call.cloud.regions, f"{url}/file", headers, describe=describe)


def described(data: bytes) -> Described:
    """What the other image service says. Raises ``WebRefused``."""
    try:
        said = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise WebRefused("what answers there is no image service") from None
    if said.get("status") != "active":
        raise WebRefused(f"Source image status should be active instead of {str(said.get('status'))[:50]}")
    size, disk, container = said.get("size"), said.get("disk_format"), said.get("container_format")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise WebRefused(f"Size attribute of remote image {str(said.get('id'))[:50]} could not be determined.")
    if not isinstance(disk, str) or not isinstance(container, str):
        raise WebRefused("the remote image has no formats")
    taken = {name: value for name, value in said.items()
             if name.startswith(_TAKEN) and len(name) <= 255 and isinstance(value, str)}
    return Described(size, disk, container, taken)
