"""How servers are shown. Rows come with their JSON parts as text; those are spliced, not decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from stackling.api.call import Call
from stackling.api.compute.parts import Json, link_base
from stackling.core.clock import seconds_z
from stackling.ports.hypervisor import instance_name

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_PROGRESS = frozenset(("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"))
ROOT = "/dev/vda"
_EMPTY = msgspec.Raw(b"{}")
_STANDARD = ("hw_", "os_", "img_", "vmware_", "cinder_")
_STANDARD_NAMES = frozenset(
    ("architecture", "hypervisor_type", "vm_mode", "ramdisk_id", "kernel_id", "auto_disk_config"))


@lru_cache(4096)
def _host_id(project_id: str, host: str | None) -> str:
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


@lru_cache(1024)
def _flavor(text: str, extra_specs: bool) -> msgspec.Raw:
    flavor: Json = _decode(text)
    shown = {"vcpus": flavor["vcpus"], "ram": flavor["ram"], "disk": flavor["disk"], "ephemeral": flavor["ephemeral"],
             "swap": flavor["swap"], "original_name": flavor["name"]}
    if extra_specs:
        shown["extra_specs"] = flavor["extra_specs"]
    return msgspec.Raw(_encode(shown))


@lru_cache(1024)
def _image_properties(text: str | None) -> Json:
    properties: Json = _decode(text)["properties"] if text else {}
    return {key: value for key, value in properties.items() if key.startswith(_STANDARD) or key in _STANDARD_NAMES}


def _raw(text: str | None) -> Any:
    return None if text is None else msgspec.Raw(text.encode())


class ServerView:
    """Shows servers to one caller at one microversion."""

    def __init__(self, call: Call, *, one: bool = False) -> None:
        self._version = call.version[1]
        self._base = link_base(call)
        self._one = one
        self._extended = call.allowed("os_compute_api:os-extended-server-attributes")
        self._extra_specs = self._version >= 47 and call.allowed("os_compute_api:servers:show:flavor-extra-specs")
        self._host_status = self._version >= 16 and call.allowed("os_compute_api:servers:show:host_status")
        self._admin = call.ctx.is_admin

    @property
    def wants_host_status(self) -> bool:
        """Whether ``detail`` needs the states of hosts."""
        return self._host_status

    def links(self, id: str) -> list[Json]:
        """``self`` and ``bookmark`` of a server."""
        return [{"rel": "self", "href": f"{self._base}/v2.1/servers/{id}"},
                {"rel": "bookmark", "href": f"{self._base}/servers/{id}"}]

    def basic(self, row: Any) -> Json:
        """A line of the short list."""
        return {"id": row.id, "name": row.name, "links": self.links(row.id)}

    def detail(self, row: Any, host_states: Mapping[str, str] | None = None) -> Json:
        """All of a server, a row of ``listing.DETAIL``."""
        version = self._version
        shown: Json = {
            "id": row.id,
            "name": row.name,
            "status": row.status,
            "tenant_id": row.project_id,
            "user_id": row.user_id,
            "metadata": _raw(row.metadata),
            "hostId": _host_id(row.project_id, row.host),
            "image": self._image(row) if row.image_id else "",
            "flavor": _flavor(row.flavor, self._extra_specs) if version >= 47 else self._flavor_link(row.flavor_id),
            "created": seconds_z(row.created_at),
            "updated": seconds_z(row.updated_at),
            "addresses": _EMPTY if row.vm_state == "building" else _raw(row.addresses),
            "accessIPv4": row.access_ip_v4 or "",
            "accessIPv6": row.access_ip_v6 or "",
            "links": self.links(row.id),
            "OS-DCF:diskConfig": row.disk_config,
            "OS-EXT-AZ:availability_zone": row.availability_zone or "",
            "config_drive": "True" if row.config_drive else "",
            "key_name": row.key_name,
            "OS-SRV-USG:launched_at": row.launched_at,
            "OS-SRV-USG:terminated_at": row.terminated_at,
            "OS-EXT-STS:task_state": row.task_state,
            "OS-EXT-STS:vm_state": row.vm_state,
            "OS-EXT-STS:power_state": row.power_state,
            "os-extended-volumes:volumes_attached": self._volumes(row),
        }
        if row.security_groups != "[]":
            shown["security_groups"] = _raw(row.security_groups)
        if row.status in _PROGRESS:
            shown["progress"] = 0
        if row.fault_code is not None and row.status in ("ERROR", "DELETED"):
            shown["fault"] = self._fault(row)
        if self._extended:
            self._add_extended(shown, row)
        if version >= 9:
            self._add_versioned(shown, row, version)
        if host_states is not None:
            shown["host_status"] = host_states.get(row.host_id, "")
        return shown

    # -- parts

    def _image(self, row: Any) -> Json:
        image: Json = {"id": row.image_id,
                       "links": [{"rel": "bookmark", "href": f"{self._base}/images/{row.image_id}"}]}
        if self._version >= 98:
            image["properties"] = _image_properties(row.image)
        return image

    def _flavor_link(self, id: str) -> Json:
        return {"id": id, "links": [{"rel": "bookmark", "href": f"{self._base}/flavors/{id}"}]}

    def _fault(self, row: Any) -> Json:
        fault: Json = {"code": row.fault_code, "created": seconds_z(row.fault_at), "message": row.fault_message}
        if row.fault_details and (self._admin or row.fault_code != 500):
            fault["details"] = row.fault_details
        return fault

    def _add_extended(self, shown: Json, row: Any) -> None:
        shown["OS-EXT-SRV-ATTR:host"] = row.host
        shown["OS-EXT-SRV-ATTR:instance_name"] = instance_name(row.id, row.number)
        shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] = row.host
        if self._version >= 3:
            shown["OS-EXT-SRV-ATTR:hostname"] = row.hostname
            shown["OS-EXT-SRV-ATTR:kernel_id"] = ""
            shown["OS-EXT-SRV-ATTR:launch_index"] = row.launch_index
            shown["OS-EXT-SRV-ATTR:ramdisk_id"] = ""
            shown["OS-EXT-SRV-ATTR:reservation_id"] = row.reservation_id
            shown["OS-EXT-SRV-ATTR:root_device_name"] = self._root_device(row)
            shown["OS-EXT-SRV-ATTR:user_data"] = row.user_data

    def _volumes(self, row: Any) -> list[Json]:
        if row.volumes == "[]":
            return []
        found = msgspec.json.decode(row.volumes)
        more = self._version >= 3
        return [{"id": one["disk"]["volume_id"], **(
            {"delete_on_termination": one.get("delete_on_termination", False)} if more else {})} for one in found]

    def _root_device(self, row: Any) -> str:
        if row.volumes == "[]":
            return ROOT
        disks = [one["disk"] for one in msgspec.json.decode(row.volumes)]
        return next((disk["device"] for disk in disks if disk.get("boot_index") == 0), ROOT)

    def _add_versioned(self, shown: Json, row: Any, version: int) -> None:
        shown["locked"] = bool(row.locked)
        if version >= 19:
            shown["description"] = row.description
        if version >= 26:
            shown["tags"] = _raw(row.tags)
        if version >= 63:
            shown["trusted_image_certificates"] = None
        if version >= 71 and self._one:
            shown["server_groups"] = [row.server_group_id] if row.server_group_id else []
        if version >= 73:
            shown["locked_reason"] = row.locked_reason
        if version >= 90 and not self._extended:
            shown["OS-EXT-SRV-ATTR:hostname"] = row.hostname
        if version >= 96:
            shown["pinned_availability_zone"] = row.pinned_availability_zone
        if version >= 100:
            shown["scheduler_hints"] = _raw(row.scheduler_hints)

