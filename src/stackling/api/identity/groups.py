"""``/v3/groups`` and their members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.operation import operation
from stackling.api.identity.people import expiry_filter, group_target, show_group, show_user, user_target
from stackling.api.identity.projects import home_domain, named_domain
from stackling.api.identity.schema import DESCRIPTION, ID, NAME, member
from stackling.api.identity.view import collection, listing, merged, own_id, split
from stackling.core.ids import new_hex
from stackling.identity import groups, users
from stackling.identity.model import Listing

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_GROUP = {"description": DESCRIPTION, "name": NAME, "domain_id": ID}


def _one(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"group": group_target(tx, call.params["group_id"])}}


def _existing(tx: Tx, call: Call) -> Mapping[str, Any]:
    groups.get_group(tx, call.params["group_id"])
    return _one(tx, call)


def _membership(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"group": group_target(tx, call.params["group_id"]),
                       "user": user_target(tx, call.params["user_id"])}}


def _new(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"group": named_domain(call.body["group"])}}


def _list_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"group": {"domain_id": call.ctx.domain_id}}}


def list_groups(tx: Tx, call: Call) -> Any:
    page = listing(call, ("name", "domain_id"))
    equal = dict(page.equal)
    if call.ctx.domain_id is not None:
        equal["domain_id"] = call.ctx.domain_id
    found = groups.list_groups(tx, Listing(equal, page.like, page.limit, page.marker))
    return collection(call, "groups", [show_group(call, one) for one in found], page)


def show(tx: Tx, call: Call) -> Any:
    return {"group": show_group(call, groups.get_group(tx, call.params["group_id"]))}


def create(tx: Tx, call: Call) -> Any:
    values, extra = split(call.body["group"], _GROUP)
    values["domain_id"] = values.get("domain_id") or home_domain(call)
    return {"group": show_group(call, groups.create_group(tx, new_hex(), {**values, "extra": extra}))}


def update(tx: Tx, call: Call) -> Any:
    group = groups.get_group(tx, call.params["group_id"])
    own_id(call.body["group"], group.id, "group")
    values, extra = split(call.body["group"], _GROUP)
    return {"group": show_group(call, groups.update_group(tx, group, merged(values, extra, group.extra)))}


def delete(tx: Tx, call: Call) -> None:
    groups.delete_group(tx, groups.get_group(tx, call.params["group_id"]))


def list_members(tx: Tx, call: Call) -> Any:
    """With a token of a domain: those of that domain."""
    groups.get_group(tx, call.params["group_id"])
    page, home = listing(call, ("name", "domain_id"), ("enabled",)), call.ctx.domain_id
    if home is not None:
        if page.equal.get("domain_id", home) != home:
            return collection(call, "users", [], page)
        page = Listing({**page.equal, "domain_id": home}, page.like, page.limit, page.marker)
    found = users.list_users(tx, page, group_id=call.params["group_id"], expires=expiry_filter(call))
    return collection(call, "users", [show_user(call, one) for one in found], page)


def _both(tx: Tx, call: Call) -> tuple[str, str]:
    user, group = users.get_user(tx, call.params["user_id"]), groups.get_group(tx, call.params["group_id"])
    return user.id, group.id


def check_member(tx: Tx, call: Call) -> None:
    user_id, group_id = _both(tx, call)
    if not groups.is_member(tx, user_id, group_id):
        raise groups.not_a_member(user_id, group_id)


def add_member(tx: Tx, call: Call) -> None:
    groups.add_member(tx, *_both(tx, call))


def remove_member(tx: Tx, call: Call) -> None:
    groups.remove_member(tx, *_both(tx, call))


_G = "/groups/{group_id}"
_M = f"{_G}/users/{{user_id}}"
ROUTES = (
    operation("GET", "/groups", list_groups, "list_groups", target=_list_target),
    operation("POST", "/groups", create, "create_group", target=_new, status=201,
              body=member("group", _GROUP, ("name",))),
    operation("GET", _G, show, "get_group", target=_one),
    operation("PATCH", _G, update, "update_group", target=_one, body=member("group", _GROUP, at_least=1)),
    operation("DELETE", _G, delete, "delete_group", target=_existing, status=204),
    operation("GET", f"{_G}/users", list_members, "list_users_in_group", target=_one),
    operation("GET", _M, check_member, "check_user_in_group", target=_membership, status=204),
    operation("PUT", _M, add_member, "add_user_to_group", target=_membership, status=204),
    operation("DELETE", _M, remove_member, "remove_user_from_group", target=_membership, status=204),
)
