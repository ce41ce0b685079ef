"""Glance's policies: names and default rules of its release 33 (glance/policies)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.api.call import Call
from stackling.core.errors import Forbidden
from stackling.image.images import missing
from stackling.image.model import Image

_ADMIN = "rule:context_is_admin"
_MEMBER = "role:member and project_id:%(project_id)s"
_READER = "role:reader and project_id:%(project_id)s"
_SEEN = ("(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s "
         "or 'public':%(visibility)s or 'shared':%(visibility)s)")
_ADMIN_OR_MEMBER = f"{_ADMIN} or ({_MEMBER})"
_ADMIN_OR_READER = f"{_ADMIN} or ({_READER})"
_ADMIN_OR_READER_SEES = f"{_ADMIN} or (role:reader and {_SEEN})"
_ADMIN_OR_MEMBER_SEES = f"{_ADMIN} or (role:member and {_SEEN})"
_ADMIN_OR_SHARED_MEMBER = f"{_ADMIN} or (role:member and project_id:%(member_id)s)"
_READER_OR_SHARED_MEMBER = f"{_ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"

_NAMESPACE = f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"

RULES = {
    "default": "",
    "authenticated": "",
    "context_is_admin": "role:admin",
    "service_api": "role:service or role:admin",
    "add_image": f"{_ADMIN} or ({_MEMBER} and project_id:%(owner)s)",
    "delete_image": _ADMIN_OR_MEMBER,
    "get_image": _ADMIN_OR_READER_SEES,
    "get_images": _ADMIN_OR_READER,
    "modify_image": _ADMIN_OR_MEMBER,
    "publicize_image": _ADMIN,
    "communitize_image": _ADMIN_OR_MEMBER,
    "download_image": _ADMIN_OR_MEMBER_SEES,
    "download_from_store": _ADMIN_OR_MEMBER_SEES,
    "upload_image": _ADMIN_OR_MEMBER,
    "delete_image_location": _ADMIN,
    "get_image_location": _ADMIN_OR_READER,
    "set_image_location": _ADMIN_OR_MEMBER,
    "add_image_location": f"rule:service_api or ({_MEMBER} and project_id:%(owner)s)",
    "fetch_image_location": "rule:service_api",
    "add_member": _ADMIN_OR_MEMBER,
    "delete_member": _ADMIN_OR_MEMBER,
    "get_member": _READER_OR_SHARED_MEMBER,
    "get_members": _READER_OR_SHARED_MEMBER,
    "modify_member": _ADMIN_OR_SHARED_MEMBER,
    "manage_image_cache": _ADMIN,
    "deactivate": _ADMIN_OR_MEMBER,
    "reactivate": _ADMIN_OR_MEMBER,
    "copy_image": _ADMIN,
    "stores_info_detail": f"{_ADMIN} or rule:service_api",
    "tasks_api_access": _ADMIN,
    "metadef_default": "",
    "metadef_admin": _ADMIN,
    "get_metadef_namespaces": _ADMIN_OR_READER,
    **dict.fromkeys((
        "get_metadef_namespace", "get_metadef_object", "get_metadef_objects", "list_metadef_resource_types",
        "get_metadef_resource_type", "get_metadef_property", "get_metadef_properties", "get_metadef_tag",
        "get_metadef_tags"), _NAMESPACE),
    **dict.fromkeys((
        "modify_metadef_namespace", "add_metadef_namespace", "delete_metadef_namespace", "modify_metadef_object",
        "add_metadef_object", "delete_metadef_object", "add_metadef_resource_type_association",
        "remove_metadef_resource_type_association", "modify_metadef_property", "add_metadef_property",
        "remove_metadef_property", "modify_metadef_tag", "add_metadef_tag", "add_metadef_tags", "delete_metadef_tag",
        "delete_metadef_tags"), "rule:metadef_admin"),
}
MESSAGE = "You are not authorized to complete {rule} action."


def target(call: Call, image: Image) -> Mapping[str, Any]:
    """What rules about an image are checked against. ``member_id`` is the caller's project where it is a member."""
    shared = image.visibility == "shared" and image.owner != call.ctx.project_id
    return {"project_id": image.owner, "owner": image.owner, "visibility": image.visibility,
            "member_id": call.ctx.project_id if shared and image.member else None}


def authorize(call: Call, image: Image, rule: str) -> None:
    """Raises ``Forbidden``, or ``NotFound`` where the caller may not even know that the image exists."""
    what = target(call, image)
    if call.allowed(rule, what):
        return
    if rule == "get_image" or not call.allowed("get_image", what):
        raise missing(image.id)
    raise Forbidden(MESSAGE.format(rule=rule))


def authorize_visibility(call: Call, visibility: object, what: Mapping[str, Any]) -> None:
    """Making an image public or community has rules of its own. Raises ``Forbidden``."""
    if visibility == "public":
        call.authorize(what, "publicize_image")
    elif visibility == "community":
        call.authorize(what, "communitize_image")
