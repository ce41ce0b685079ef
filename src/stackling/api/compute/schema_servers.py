"""Request schemas of servers and their actions, by microversion."""

from __future__ import annotations

from typing import Any

from stackling.api.call import Version
from stackling.api.compute.parts import (
    ANY,
    BOOLEAN,
    COUNT,
    DESCRIPTION,
    DISK_CONFIG,
    HOST,
    IP,
    IPV4,
    IPV6,
    METADATA,
    NAME,
    PLAIN,
    POSITIVE,
    TAG,
    TEXT,
    UUID,
    Json,
    array,
    number,
    obj,
    only,
    query,
)
from stackling.api.schema import Schemas, always

FQDN = {"type": "string", "pattern": "^[a-zA-Z0-9-._]*$", "minLength": 1, "maxLength": 255}
HOSTNAME = {"type": "string", "pattern": "^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$", "minLength": 2, "maxLength": 63}
USER_DATA = {"type": "string", "format": "base64", "maxLength": 65535}
CERTIFICATES = {"type": ["array", "null"], "minItems": 1, "maxItems": 50, "uniqueItems": True,
                "items": {"type": "string", "minLength": 1}}
PERSONALITY = array(obj({"path": TEXT, "contents": {"type": "string", "format": "base64"}}))
HINTS = obj({
    "group": {"oneOf": [array(UUID), UUID]}, "different_host": {"oneOf": [UUID, array(UUID)]},
    "same_host": {"type": ["string", "array"], "items": UUID}, "query": {"type": ["string", "object"]},
    "target_cell": NAME, "different_cell": {"type": ["string", "array"], "items": TEXT}, "build_near_host_ip": IP,
    "cidr": {"type": "string", "pattern": "^/[0-9a-f.:]+$"}}, more=True)


def _block_device(version: Version, v2: bool) -> Json:
    properties: Json = {
        "virtual_name": {"type": "string", "maxLength": 255}, "volume_id": UUID, "snapshot_id": UUID,
        "volume_size": {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 1, "maximum": 0x7FFFFFFF},
        "device_name": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._/-]*$"},
        "delete_on_termination": BOOLEAN, "no_device": ANY,
        "connection_info": {"type": "string", "maxLength": 16777215}}
    if v2:
        properties.update({
            "source_type": {"type": "string", "enum": ["volume", "image", "snapshot", "blank"]},
            "uuid": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._-]*$"},
            "image_id": UUID, "destination_type": {"type": "string", "enum": ["local", "volume"]},
            "guest_format": {"type": "string", "maxLength": 255}, "device_type": {"type": "string", "maxLength": 255},
            "disk_bus": {"type": "string", "maxLength": 255},
            "boot_index": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"}})
        if version == (2, 32) or version >= (2, 42):
            properties["tag"] = TAG
        if version >= (2, 67):
            properties["volume_type"] = {"type": ["string", "null"], "minLength": 0, "maxLength": 255}
    return array(obj(properties))


def _networks(version: Version) -> Json:
    item: Json = {"fixed_ip": IP, "port": {"type": ["string", "null"], "format": "uuid"},
                  "uuid": UUID if version >= (2, 37) else TEXT}
    if (2, 32) <= version < (2, 37) or version >= (2, 42):
        item["tag"] = TAG
    listed = array(obj(item))
    return {"oneOf": [listed, {"type": "string", "enum": ["none", "auto"]}]} if version >= (2, 37) else listed


def _create(version: Version) -> Json:
    server: Json = {
        "name": NAME, "imageRef": {"oneOf": [UUID, {"type": "string", "maxLength": 0}]},
        "flavorRef": {"type": ["string", "integer"], "minLength": 1}, "adminPass": TEXT, "metadata": METADATA,
        "networks": _networks(version), "OS-DCF:diskConfig": DISK_CONFIG, "accessIPv4": IPV4, "accessIPv6": IPV6,
        "availability_zone": NAME, "block_device_mapping": _block_device(version, False),
        "block_device_mapping_v2": _block_device(version, True), "config_drive": BOOLEAN, "key_name": NAME,
        "min_count": POSITIVE, "max_count": POSITIVE, "return_reservation_id": BOOLEAN,
        "security_groups": array(obj({"name": NAME})), "user_data": USER_DATA}
    if version < (2, 57):
        server["personality"] = PERSONALITY
    if version >= (2, 19):
        server["description"] = DESCRIPTION
    if version >= (2, 52):
        server["tags"] = array(TAG, maxItems=50)
    if version >= (2, 63):
        server["trusted_image_certificates"] = CERTIFICATES
    if version >= (2, 74):
        server.update(host=HOST, hypervisor_hostname=HOST)
    if version >= (2, 90):
        server["hostname"] = FQDN if version >= (2, 94) else HOSTNAME
    required = ["name", "flavorRef", *(["networks"] if version >= (2, 37) else [])]
    return obj({"server": obj(server, *required), "os:scheduler_hints": HINTS, "OS-SCH-HNT:scheduler_hints": HINTS},
               "server")


def _update(version: Version) -> Json:
    server: Json = {"name": NAME, "OS-DCF:diskConfig": DISK_CONFIG, "accessIPv4": IPV4, "accessIPv6": IPV6}
    if version >= (2, 19):
        server["description"] = DESCRIPTION
    if version >= (2, 90):
        server["hostname"] = FQDN if version >= (2, 94) else HOSTNAME
    if version >= (2, 104):
        server["pinned_availability_zone"] = {"oneOf": [PLAIN, {"type": "null"}]}
    return only("server", obj(server))


def _rebuild(version: Version) -> Json:
    server: Json = {
        "name": NAME, "imageRef": UUID, "adminPass": TEXT, "metadata": METADATA, "preserve_ephemeral": BOOLEAN,
        "OS-DCF:diskConfig": DISK_CONFIG, "accessIPv4": IPV4, "accessIPv6": IPV6}
    if version < (2, 57):
        server["personality"] = PERSONALITY
    if version >= (2, 19):
        server["description"] = DESCRIPTION
    if version >= (2, 54):
        server["key_name"] = {"oneOf": [PLAIN, {"type": "null"}]}
    if version >= (2, 57):
        server["user_data"] = {**USER_DATA, "type": ["string", "null"]}
    if version >= (2, 63):
        server["trusted_image_certificates"] = CERTIFICATES
    if version >= (2, 90):
        server["hostname"] = FQDN if version >= (2, 94) else HOSTNAME
    return only("rebuild", obj(server, "imageRef"))


def _by_version(build: Any, *versions: Version) -> Schemas:
    return Schemas({version: build(version) for version in versions})


CREATE = _by_version(_create, (2, 1), (2, 19), (2, 32), (2, 33), (2, 37), (2, 42), (2, 52), (2, 57), (2, 63), (2, 67),
                     (2, 74), (2, 90), (2, 94))
UPDATE = _by_version(_update, (2, 1), (2, 19), (2, 90), (2, 94), (2, 104))
REBUILD = _by_version(_rebuild, (2, 1), (2, 19), (2, 54), (2, 57), (2, 63), (2, 90), (2, 94))

# -- lists

_REGEX: Json = {"type": "string", "format": "regex"}
_EXACT = ("user_id", "project_id", "tenant_id", "launch_index", "image_ref", "image", "vm_state", "task_state", "host",
          "uuid", "all_tenants", "soft_deleted", "deleted", "status", "sort_dir", "marker")
_PATTERNS = (
    "kernel_id", "ramdisk_id", "hostname", "key_name", "power_state", "node", "flavor", "reservation_id", "launched_at",
    "terminated_at", "availability_zone", "name", "display_name", "description", "display_description", "locked_by",
    "root_device_name", "config_drive", "access_ip_v4", "access_ip_v6", "auto_disk_config", "progress", "ip", "ip6",
    "created_at")
SORTABLE = (
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive", "created_at",
    "display_description", "display_name", "host", "hostname", "image_ref", "instance_type_id", "kernel_id", "key_name",
    "launch_index", "launched_at", "locked_by", "node", "power_state", "progress", "project_id", "ramdisk_id",
    "root_device_name", "task_state", "terminated_at", "updated_at", "user_id", "uuid", "vm_state")
IGNORED_SORT_KEYS = (
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted", "deleted_at",
    "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on", "locked", "memory_mb",
    "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus", "vm_mode")
JOINED = ("block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups",
          "pci_devices")


def _list(version: Version) -> Json:
    sortable: list[str] = list(SORTABLE)
    if version >= (2, 73):
        sortable.append("locked")
    if version < (2, 75):
        sortable += [key for key in IGNORED_SORT_KEYS if key not in sortable]
    found: Json = {
        **dict.fromkeys(_EXACT, TEXT), **dict.fromkeys(_PATTERNS, _REGEX),
        "sort_key": {"type": "string", "enum": sortable}, "limit": COUNT,
        "changes-since": {"type": "string", "format": "date-time"}}
    found.update(dict.fromkeys(JOINED, TEXT))
    if version >= (2, 26):
        found.update(dict.fromkeys(("tags", "tags-any", "not-tags", "not-tags-any"), _REGEX))
    if version >= (2, 66):
        found["changes-before"] = {"type": "string", "format": "date-time"}
    if version >= (2, 73):
        found["locked"] = TEXT
    schema = query(found, more=version < (2, 75))
    schema["patternProperties"] = {"^_": {"type": "array", "items": TEXT}}
    return schema


LIST = _by_version(_list, (2, 1), (2, 26), (2, 66), (2, 73), (2, 75))

# -- actions

ADMIN_PASSWORD = always(only("changePassword", only("adminPass", TEXT)))
CONSOLE_OUTPUT = always(only("os-getConsoleOutput", obj(
    {"length": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$", "minimum": -1}})))
RESIZE = always(only("resize", obj({"flavorRef": {"type": ["string", "integer"], "minLength": 1},
                                    "OS-DCF:diskConfig": DISK_CONFIG}, "flavorRef")))
REBOOT = always(only("reboot", only(
    "type", {"type": "string", "enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]})))
CREATE_IMAGE = always(only("createImage", obj({"name": NAME, "metadata": METADATA}, "name")))
CREATE_BACKUP = always(only("createBackup", obj(
    {"name": NAME, "backup_type": TEXT, "rotation": number(0), "metadata": METADATA},
    "name", "backup_type", "rotation")))
RESET_STATE = always(only("os-resetState", only("state", {"type": "string", "enum": ["active", "error"]})))
ADD_FLOATING_IP = always(only("addFloatingIp", obj({"address": {"oneOf": [IP, UUID]}, "fixed_address": IP}, "address")))
REMOVE_FLOATING_IP = always(only("removeFloatingIp", obj({"address": {"oneOf": [IP, UUID]}}, "address")))
ADD_FIXED_IP = always(only("addFixedIp", only(
    "networkId", {"type": ["string", "number"], "minLength": 1, "maxLength": 36})))
REMOVE_FIXED_IP = always(only("removeFixedIp", only("address", IP)))
LOCK = Schemas({(2, 0): only("lock", ANY), (2, 73): only("lock", {
    "type": ["object", "null"], "properties": {"locked_reason": PLAIN}, "additionalProperties": False})})


def security_group(action: str) -> Schemas:
    """``addSecurityGroup`` and ``removeSecurityGroup``."""
    return always(only(action, only("name", {"type": "string", "minLength": 1}), more=True))


RESCUE = always(only("rescue", {**obj({"adminPass": TEXT, "rescue_image_ref": UUID}), "type": ["object", "null"]}))
_ZONE_OR_NULL = {"type": ["string", "null"]}
UNSHELVE = Schemas({
    (2, 0): only("unshelve", ANY),
    (2, 77): only("unshelve", {**obj({"availability_zone": NAME}, "availability_zone"), "type": ["object", "null"]}),
    (2, 91): only("unshelve", {**obj({"availability_zone": _ZONE_OR_NULL, "host": TEXT}), "type": ["object", "null"]})})


def bare(action: str) -> Schemas:
    """An action whose value doesn't matter."""
    return always(only(action, ANY))


def empty(action: str) -> Schemas:
    """An action whose value is null."""
    return always(only(action, {"type": "null"}))


def console(action: str, *types: str) -> Schemas:
    """One of the old console calls."""
    return always(only(action, only("type", {"type": "string", "enum": list(types)})))
