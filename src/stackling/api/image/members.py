"""Image members (https://docs.openstack.org/api-ref/image/v2/#sharing-images)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.image.policy import target
from stackling.core.clock import seconds_z
from stackling.core.errors import Forbidden, Invalid, NotFound
from stackling.image import images, members
from stackling.image.model import Image, Member
from stackling.image.settings import ImageSettings

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


class Members:
    """The handlers."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings

    def index(self, tx: Tx, call: Call) -> Any:
        image = _shared(tx, call)
        _authorize(call, image, "get_members", f"Not allowed to list members for image {image.id}.")
        found = [view(member) for member in members.members(tx, call.ctx, image)]
        return {"members": found, "schema": "/v2/schemas/members"}

    def create(self, tx: Tx, call: Call) -> Any:
        member_id = _field(call.body, "member", "Member to be added not specified")
        if not member_id:
            raise Invalid("Member can't be empty")
        if not isinstance(member_id, str):
            raise Invalid("Member is the id of a project.")
        image = _shared(tx, call)
        _authorize(call, image, "add_member", f"Not allowed to create members for image {image.id}.")
        return view(members.add(tx, call.ctx, image, member_id, self._settings))

    def show(self, tx: Tx, call: Call) -> Any:
        image = images.visible(tx, call.ctx, call.params["image_id"])
        if image.visibility != "shared" or not call.allowed("get_member", target(call, image)):
            raise NotFound("Only shared images have members.")
        return view(members.member(tx, call.ctx, image, call.params["member_id"]))

    def update(self, tx: Tx, call: Call) -> Any:
        status = _field(call.body, "status", "Status not specified")
        image = _shared(tx, call)
        refusal = f"Not allowed to update members for image {image.id}."
        found = _member(tx, call, image)
        _authorize(call, image, "modify_member", refusal)
        if not call.ctx.is_admin and found.member_id != call.ctx.project_id:
            raise Forbidden(refusal)
        return view(members.set_status(tx, call.ctx, image, found, status))

    def delete(self, tx: Tx, call: Call) -> None:
        image = _shared(tx, call)
        found = _member(tx, call, image)
        _authorize(call, image, "delete_member", f"Not allowed to delete members for image {image.id}.")
        members.remove(tx, call.ctx, image, found)


def view(member: Member) -> dict[str, str]:
    """The member as the API shows it."""
    return {"member_id": member.member_id, "image_id": member.image_id, "status": member.status,
            "created_at": seconds_z(member.created_at), "updated_at": seconds_z(member.updated_at),
            "schema": "/v2/schemas/member"}


def _shared(tx: Tx, call: Call) -> Image:
    image = images.visible(tx, call.ctx, call.params["image_id"])
    if image.visibility != "shared":
        raise Forbidden(f"Not allowed for image {image.id}: Only shared images have members.")
    return image


def _member(tx: Tx, call: Call, image: Image) -> Member:
    _authorize(call, image, "get_member", f"You are not authorized to lookup the members of the image {image.id}.")
    return members.member(tx, call.ctx, image, call.params["member_id"])


def _authorize(call: Call, image: Image, rule: str, refusal: str) -> None:
    if not call.allowed(rule, target(call, image)):
        raise Forbidden(refusal)


def _field(body: Any, name: str, refusal: str) -> Any:
    if not isinstance(body, dict):
        raise Invalid(f'Expected a body of the form: {{"{name}": …}}')
    if name not in body:
        raise Invalid(refusal)
    return body[name]   # pyright: ignore[reportUnknownVariableType]
