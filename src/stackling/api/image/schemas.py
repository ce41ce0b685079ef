"""The JSON schemas that the Image API publishes under /v2/schemas, and that requests are checked by."""

from __future__ import annotations

from typing import Any

from stackling.api.schema import Schema
from stackling.core.errors import Invalid
from stackling.image.settings import ImageSettings

_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
Properties = dict[str, Any]


def _text(description: str, *, most: int | None = None, null: bool = False, **more: Any) -> Properties:
    found: Properties = {"type": ["null", "string"] if null else "string", "description": description}
    if most is not None:
        found["maxLength"] = most
    return {**found, **more}


def image_properties(settings: ImageSettings) -> Properties:
    """The attributes of an image (https://docs.openstack.org/api-ref/image/v2/#show-image-schema)."""
    return {
        "id": _text("An identifier for the image", pattern=_UUID),
        "name": _text("Descriptive name for the image", most=255, null=True),
        "status": _text("Status of the image", readOnly=True, enum=[
            "queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete",
            "deactivated"]),
        "visibility": _text("Scope of image accessibility", enum=["community", "public", "private", "shared"]),
        "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
        "os_hidden": {"type": "boolean",
                      "description": "If true, image will not appear in default image list response."},
        "checksum": _text("md5 hash of image contents.", most=32, null=True, readOnly=True),
        "os_hash_algo": _text("Algorithm to calculate the os_hash_value", most=64, null=True, readOnly=True),
        "os_hash_value": _text("Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
                               most=128, null=True, readOnly=True),
        "owner": _text("Owner of the image", most=255, null=True),
        "size": {"type": ["null", "integer"], "readOnly": True, "description": "Size of image file in bytes"},
        "virtual_size": {"type": ["null", "integer"], "readOnly": True,
                         "description": "Virtual size of image in bytes"},
        "container_format": _text("Format of the container", null=True, enum=[None, *settings.container_formats]),
        "disk_format": _text("Format of the disk", null=True, enum=[None, *settings.disk_formats]),
        "created_at": _text("Date and time of image registration", readOnly=True),
        "updated_at": _text("Date and time of the last image modification", readOnly=True),
        "tags": {"type": "array", "description": "List of strings related to the image",
                 "items": {"type": "string", "maxLength": 255}},
        "direct_url": _text("URL to access the image file kept in external store", readOnly=True),
        "min_ram": {"type": "integer", "description": "Amount of ram (in MB) required to boot image."},
        "min_disk": {"type": "integer", "description": "Amount of disk space (in GB) required to boot image."},
        "self": _text("An image self url", readOnly=True),
        "file": _text("An image file url", readOnly=True),
        "stores": _text("Store in which image data resides.  Only present when the operator has enabled multiple "
                        "stores.  May be a comma-separated list of store identifiers.", readOnly=True),
        "schema": _text("An image schema url", readOnly=True),
        "locations": {
            "type": "array",
            "description": "A set of URLs to access the image file kept in external store",
            "items": {
                "type": "object", "required": ["url", "metadata"],
                "properties": {"url": {"type": "string", "maxLength": 255}, "metadata": {"type": "object"},
                               "validation_data": _VALIDATION_DATA},
            },
        },
    }


_VALIDATION_DATA: Properties = {
    "description": "Values to be used to populate the corresponding image properties. If the image status is not "
                   "'queued', values must exactly match those already contained in the image properties.",
    "type": "object", "writeOnly": True, "additionalProperties": False, "required": ["os_hash_algo", "os_hash_value"],
    "properties": {"checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                   "os_hash_algo": {"type": "string", "maxLength": 64},
                   "os_hash_value": {"type": "string", "maxLength": 128}},
}
_MEMBER: Properties = {
    "member_id": _text("An identifier for the image member (tenantId)"),
    "image_id": _text("An identifier for the image", pattern=_UUID),
    "created_at": _text("Date and time of image member creation"),
    "updated_at": _text("Date and time of last modification of image member"),
    "status": _text("The status of this image member", enum=["pending", "accepted", "rejected"]),
    "schema": {"readOnly": True, "type": "string"},
}
_TASK: Properties = {
    "id": _text("An identifier for the task", pattern=_UUID),
    "type": _text("The type of task represented by this content",
                  enum=["import", "api_image_import", "location_import"]),
    "status": _text("The current status of this task", enum=["pending", "processing", "success", "failure"]),
    "input": {"description": "The parameters required by task, JSON blob", "type": ["null", "object"]},
    "result": {"description": "The result of current task, JSON blob", "type": ["null", "object"]},
    "owner": _text("An identifier for the owner of this task"),
    "message": _text("Human-readable informative message only included when appropriate (usually on failure)"),
    "image_id": _text("Image associated with the task"),
    "request_id": _text("Human-readable informative request-id"),
    "user_id": _text("User associated with the task"),
    "expires_at": _text("Datetime when this resource would be subject to removal", null=True),
    "created_at": _text("Datetime when this resource was created"),
    "updated_at": _text("Datetime when this resource was updated"),
    "self": {"readOnly": True, "type": "string"},
    "schema": {"readOnly": True, "type": "string"},
}


def published(settings: ImageSettings) -> dict[str, Properties]:
    """Every schema by its name in the path."""
    image: Properties = {
        "name": "image", "properties": image_properties(settings), "additionalProperties": {"type": "string"},
        "links": [{"rel": "self", "href": "{self}"}, {"rel": "enclosure", "href": "{file}"},
                  {"rel": "describedby", "href": "{schema}"}],
    }
    described = [{"rel": "describedby", "href": "{schema}"}]
    stub = {name: value for name, value in _TASK.items() if name not in ("input", "result", "message")}
    return {
        "image": image,
        "images": {
            "name": "images",
            "properties": {"images": {"type": "array", "items": image}, "first": {"type": "string"},
                           "next": {"type": "string"}, "schema": {"type": "string"}},
            "links": [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, *described],
        },
        "member": {"name": "member", "properties": _MEMBER},
        "members": _collection("members", {"name": "member", "properties": _MEMBER}),
        "task": {"name": "task", "properties": _TASK},
        "tasks": _collection("tasks", {"name": "task", "properties": stub}),
    }


def _collection(name: str, item: Properties) -> Properties:
    return {"name": name, "properties": {name: {"type": "array", "items": item}, "schema": {"type": "string"}},
            "links": [{"rel": "describedby", "href": "{schema}"}]}


class ImageSchema:
    """Checks what a client sets on an image, whole or in part."""

    def __init__(self, settings: ImageSettings) -> None:
        self._schema = Schema({"type": "object", "properties": image_properties(settings),
                               "additionalProperties": {"type": "string"}})

    def check(self, values: Properties) -> None:
        """Raises ``Invalid`` naming the attribute."""
        try:
            self._schema.check(values)
        except Invalid as error:
            raise Invalid(f"Provided object does not match schema 'image': {error.message}") from None
