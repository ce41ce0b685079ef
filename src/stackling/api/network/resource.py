"""The one pipeline of every resource: routes, validation, policy, lists, revisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stackling.api.call import Call, Reply
from stackling.api.network.attributes import Attribute, Table, convert, for_create, for_update
from stackling.api.network.policy import RULES
from stackling.api.network.views import View
from stackling.api.route import Mode, Route
from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.network import access, lists, networks, rbac
from stackling.network.errors import forbidden, not_found, revision_mismatch
from stackling.network.resources import NETWORKS
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

Create = Callable[["Tx", Context, Sequence[Mapping[str, Any]]], list[Record]]
Update = Callable[["Tx", Context, Record, Mapping[str, Any]], Record]
Delete = Callable[["Tx", Context, Record], None]
LARGE = 4 << 20
_PAGING = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})
_TAG_FILTERS = frozenset({"tags", "tags-any", "not-tags", "not-tags-any"})
_ASKED_ELSEWHERE = frozenset({"tags"})
"""Attributes whose rules are of calls of their own."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API. ``before_list`` makes what a list must show (the default security group); ``page`` is
    the view of rows as ``lists.page`` gives them, for what there may be thousands of."""

    name: str
    collection: str
    path: str
    table: Table
    view: View
    create: Create
    update: Update
    delete: Delete
    before_list: Callable[[Tx, Context, str | None], None] | None = None    # with the project asked for, if any
    page: Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]] | None = None
    fixed: bool = False                         # nothing of it can be changed: there is no PUT
    nobodys: bool = False                       # it may be of no project, when an administrator says so
    unowned: bool = False                       # it is never a project's
    object_type: str | None = None              # its name in RBAC policies, where that is another
    discreet: bool = False                      # whom it is shared with isn't told that changing it is forbidden

    @property
    def listed(self) -> lists.Listed:
        """How its rows are listed."""
        return lists.LISTED[self.name]


def routes(resource: Resource) -> list[Route]:
    """List, show, create, update and delete."""
    listing: Mode = "read" if resource.before_list is None else "write"
    path, one = f"/v2.0/{resource.path}", f"/v2.0/{resource.path}/{{id}}"
    rule = "list_with_services" if resource.name in lists.SERVED else "list"
    return [
        Route("GET", path, lambda tx, call: list_(tx, call, resource), rule, listing),
        Route("POST", path, lambda tx, call: create(tx, call, resource), "authenticated", "write", status=201,
              limit=LARGE),
        Route("GET", one, lambda tx, call: show(tx, call, resource), "authenticated"),
        *([] if resource.fixed else [
            Route("PUT", one, lambda tx, call: update(tx, call, resource), "authenticated", "write")]),
        Route("DELETE", one, lambda tx, call: delete(tx, call, resource), "authenticated", "write", status=204),
    ]


# -- policy

def target_of(tx: Tx, ctx: Context, record: Mapping[str, Any], object_type: str | None = None, *,
              writing: bool = False) -> dict[str, Any]:
    """What policy rules look at: the record, and of its network what others may see or own by it.

    Reading one's own needs no look at the network; *writing* does (some attributes are its owner's).
    """
    target: dict[str, Any] = {**record, "tenant_id": record["project_id"]}
    target["router:external"] = False
    target["shared"] = False
    foreign = not ctx.is_admin and record["project_id"] != ctx.project_id
    if foreign and object_type is not None:
        granted = access.actions(tx, ctx, object_type, record["id"])
        target["shared"], target["router:external"] = access.SHARED in granted, access.EXTERNAL in granted
    if "network_id" in record and not ctx.is_admin and (writing or record["project_id"] != ctx.project_id):
        network = NETWORKS.get(tx, record["network_id"])
        if network is not None:
            target["network:project_id"] = network["project_id"]
            if "cidr" in record:
                granted = access.actions(tx, ctx, "network", network["id"])
                target["shared"], target["router:external"] = access.SHARED in granted, access.EXTERNAL in granted
    return target


def _hidden(call: Call, resource: Resource) -> frozenset[str]:
    if call.ctx.is_admin:
        return frozenset()
    return frozenset(name for name in resource.table if name not in _ASKED_ELSEWHERE
                     and f"get_{resource.name}:{name}" in RULES
                     and not call.allowed(f"get_{resource.name}:{name}", {}))


def authorize_attributes(call: Call, rule: str, given: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    """403 where an attribute of what is *given*, or a part of one, has a rule below *rule* that says no.

    Administrators are asked as everybody is: what is for services only isn't for them.
    """
    for name, value in given.items():
        if name in _ASKED_ELSEWHERE:
            continue
        one = f"{rule}:{name}"
        objects: Sequence[Any] = value if isinstance(value, list) else [value]    # pyright: ignore
        parts = sorted({part for item in objects if isinstance(item, Mapping) for part in item})    # pyright: ignore
        for asked in (one, *(f"{one}:{part}" for part in parts)):
            if asked in RULES and not call.allowed(asked, target):
                raise forbidden(f"(rule:{rule} and rule:{asked})")


def fetch(tx: Tx, call: Call, resource: Resource, id: str, action: str | None = None, *,
          writing: bool = False) -> tuple[Record, dict[str, Any]]:
    """The row and its policy target; 404 for what the caller must not see, 403 for what it must not do."""
    rows = resource.listed.rows
    if "\0" in id:                              # PostgreSQL knows no such text
        raise not_found(resource.name, id.replace("\0", ""))
    record = rows.locked(tx, id) if tx.writing else rows.get(tx, id)
    if record is None:
        raise not_found(resource.name, id)
    object_type = resource.object_type or (resource.name if resource.name in rbac.OBJECTS else None)
    target = target_of(tx, call.ctx, record, object_type, writing=writing)
    if not call.allowed(f"get_{resource.name}", target):
        raise not_found(resource.name, id)
    if action is not None and not call.allowed(f"{action}_{resource.name}", target):
        raise forbidden(f"rule:{action}_{resource.name}")
    return record, target


# -- reading

def render(tx: Tx, call: Call, resource: Resource, records: Sequence[Record],
           fields: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The bodies, without what the caller may not see, and only *fields* where there are any."""
    return _trimmed(call, resource, resource.view(tx, call.ctx, records), fields)


def _trimmed(call: Call, resource: Resource, bodies: list[dict[str, Any]],
             fields: Sequence[str]) -> list[dict[str, Any]]:
    hidden = _hidden(call, resource)
    if fields:
        wanted = [name for name in dict.fromkeys(fields) if name not in hidden]
        return [{name: body[name] for name in wanted if name in body} for body in bodies]
    for body in bodies if hidden else ():
        for name in hidden:
            body.pop(name, None)
    return bodies


def show(tx: Tx, call: Call, resource: Resource) -> Any:
    """One resource."""
    record, _ = fetch(tx, call, resource, call.params["id"])
    return {resource.name: render(tx, call, resource, [record], call.query.all("fields"))[0]}


def list_(tx: Tx, call: Call, resource: Resource) -> Any:
    """A page of resources with its links."""
    if resource.before_list is not None:
        resource.before_list(tx, call.ctx, call.query.last("project_id") or call.query.last("tenant_id"))
    query = _query(call, resource)
    fields = call.query.all("fields")
    if query is None:
        return {resource.collection: []}
    if resource.page is not None:
        rows = lists.page(tx, call.ctx, resource.listed, query)
        ids, bodies = [row[0] for row in rows], _trimmed(call, resource, resource.page(rows), fields)
    else:
        records = lists.find(tx, call.ctx, resource.listed, query)
        ids, bodies = [one["id"] for one in records], render(tx, call, resource, records, fields)
    body: dict[str, Any] = {resource.collection: bodies}
    links = _links(call, resource, query, ids) if query.limit else []
    if links:
        body[f"{resource.collection}_links"] = links
    return body


def _query(call: Call, resource: Resource) -> lists.ListQuery | None:
    """What is asked for; None when nothing can match."""
    query = lists.ListQuery(limit=_limit(call), marker=(call.query.last("marker") or "").replace("\0", "") or None)
    query.reverse = str(call.query.last("page_reverse", "false")).lower() in ("true", "1")
    unknown: list[str] = []
    hidden = _hidden(call, resource)            # who may not see it, learns nothing by asking for it either
    for name, values in call.query.items():
        if name in _PAGING:
            continue
        if any("\0" in value for value in values):
            return None
        if name in _TAG_FILTERS and "tags" in resource.table:
            query.filters[name] = [value for value in values if value]
            continue
        attribute = resource.table.get(name)
        if attribute is None or not attribute.filter or name in hidden:
            unknown.append(name)
            continue
        try:
            query.filters[attribute.column or name] = _filter_values(name, attribute, values)
        except ValueError:
            return None
    if unknown:
        raise Invalid(f"{sorted(unknown)} is invalid attribute for filtering", type="HTTPBadRequest")
    query.sorts = _sorts(call, resource)
    return query


def _filter_values(name: str, attribute: Attribute, values: Sequence[str]) -> list[Any]:
    if name == "fixed_ips":
        for value in values:
            if "=" not in value:
                raise Invalid(f"Invalid input for operation: '{value}' is not of the form <key>=[value].",
                              type="InvalidInput")
        return list(values)
    if name == "security_groups":
        return list(values)
    kind = getattr(attribute.convert, "__name__", "")
    if kind == "boolean":
        return [convert(name, attribute, value) for value in values]
    if kind in ("integer", "non_negative") or name in _NUMBERS:
        return [None if value in ("", "None") else _number(value) for value in values]
    nullable = name in _NULLABLE
    if name in ("floating_ip_address", "fixed_ip_address", "mac_address", "gateway_ip", "cidr"):
        return [None if nullable and value in ("", "None", "null") else _canonical(name, attribute, value)
                for value in values]
    return [None if nullable and value in ("", "None", "null") else value for value in values]


def _number(value: str) -> int:
    number = int(value)
    if abs(number) > 2**31 - 1:
        raise ValueError("no row has such a number")
    return number


def _canonical(name: str, attribute: Attribute, value: str) -> str:
    try:
        return attribute.convert(value)
    except ValueError:
        return value


_NUMBERS = frozenset({"ip_version", "port_range_min", "port_range_max", "provider:segmentation_id", "default_quota"})
_NULLABLE = frozenset({"port_id", "router_id", "fixed_ip_address", "gateway_ip", "subnetpool_id", "ipv6_ra_mode",
                       "ipv6_address_mode", "protocol", "remote_group_id", "remote_ip_prefix", "flavor_id",
                       "remote_address_group_id", "address_scope_id",
                       "provider:physical_network"})


def _limit(call: Call) -> int | None:
    value = call.query.last("limit")
    if value is None or value == "":
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise Invalid(f"Limit must be an integer 0 or greater and not '{value}'", type="HTTPBadRequest")
    return min(int(value), 2**31) or None


def _sorts(call: Call, resource: Resource) -> list[tuple[str, bool]]:
    keys, directions = call.query.all("sort_key"), call.query.all("sort_dir")
    if len(keys) != len(directions):
        if len(directions) == 0:
            directions = ["asc"] * len(keys)
        else:
            raise Invalid("The number of sort_keys and sort_dirs must be same", type="HTTPBadRequest")
    wrong = [key for key in keys if key not in resource.table or not resource.table[key].sort]
    if wrong:
        raise Invalid(f"{wrong} is invalid attribute for sort_keys", type="HTTPBadRequest")
    if any(direction not in ("asc", "desc") for direction in directions):
        raise Invalid("sort_dirs must be 'asc' or 'desc'", type="HTTPBadRequest")
    return [(resource.table[key].column or key, way == "desc") for key, way in zip(keys, directions, strict=True)]


def _links(call: Call, resource: Resource, query: lists.ListQuery, ids: Sequence[str]) -> list[dict[str, str]]:
    kept = [(name, value) for name, values in call.query.items() for value in values
            if name not in ("marker", "page_reverse")]
    base = f"{call.base}{call.request.path}"
    short = len(ids) < (query.limit or 0)
    links: list[dict[str, str]] = []            # upstream knows of an end only where a page isn't full
    if query.reverse or not short:
        links.append({"rel": "next", "href": f"{base}?{urlencode([*kept, *(('marker', one) for one in ids[-1:])])}"})
    if not query.reverse or not short:
        previous = [*kept, *(("marker", one) for one in ids[:1]), ("page_reverse", "True")]
        links.append({"rel": "previous", "href": f"{base}?{urlencode(previous)}"})
    return links


# -- writing

def body_of(call: Call, name: str) -> dict[str, Any]:
    """What a request says of a *name*."""
    body = call.body
    if not isinstance(body, dict) or name not in body:
        raise Invalid(f"Unable to find '{name}' in request body", type="HTTPBadRequest")
    inner: Any = body[name]    # pyright: ignore[reportUnknownVariableType]
    if not isinstance(inner, dict):
        raise Invalid(f"Body contains invalid data: '{name}' must be an object", type="HTTPBadRequest")
    return dict(inner)    # pyright: ignore[reportUnknownArgumentType]


def create(tx: Tx, call: Call, resource: Resource) -> Any:
    """Create one, or with the plural's name several at once, all or none."""
    if isinstance(call.body, dict) and resource.collection in call.body and (
            resource.collection != resource.name or isinstance(call.body[resource.name], list)):
        items: Any = call.body[resource.collection]    # pyright: ignore[reportUnknownVariableType]
        if not isinstance(items, list) or not items:
            raise Invalid("Resources required", type="HTTPBadRequest")
        bodies = [_body_of(resource, item) for item in items]    # pyright: ignore[reportUnknownVariableType]
        around: dict[str, dict[str, Any]] = {}
        records = resource.create(tx, call.ctx, [_spec(tx, call, resource, body, around) for body in bodies])
        return {resource.collection: render(tx, call, resource, records)}
    spec = _spec(tx, call, resource, body_of(call, resource.name), {})
    records = resource.create(tx, call.ctx, [spec])
    return {resource.name: render(tx, call, resource, records)[0]}


def _body_of(resource: Resource, item: Any) -> dict[str, Any]:
    if isinstance(item, dict) and len(item) == 1 and isinstance(item.get(resource.name), dict):    # type: ignore
        item = item[resource.name]      # the other way that Neutron reads a bulk request
    if not isinstance(item, dict):
        raise Invalid(f"Body contains invalid data: every item of '{resource.collection}' must be an object",
                      type="HTTPBadRequest")
    return dict(item)    # pyright: ignore[reportUnknownArgumentType]


def _spec(tx: Tx, call: Call, resource: Resource, body: dict[str, Any],
          around: dict[str, dict[str, Any]]) -> dict[str, Any]:
    alone = resource.nobodys and call.ctx.is_admin and "project_id" in body and body["project_id"] is None
    project_id = "" if alone or resource.unowned else _project(call, body)
    spec = for_create(resource.table, body)
    spec["project_id"], spec["id"] = project_id, new_id()
    spec.pop("tenant_id", None)
    target = {**spec, "tenant_id": project_id, "shared": False, "router:external": False}
    if resource.name in ("port", "subnet"):
        target |= _of_network(tx, call.ctx, spec["network_id"], around)
    if not call.allowed(f"create_{resource.name}", target):
        raise forbidden(f"rule:create_{resource.name}")
    chosen = {name: spec[name] for name in body if name in spec and spec[name] != resource.table[name].default}
    authorize_attributes(call, f"create_{resource.name}", chosen, target)
    return spec


def _of_network(tx: Tx, ctx: Context, id: str, around: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What rules look at of the network in which something is made; 404 where the caller doesn't see it. Those of one
    request, *around*, are read once."""
    if ctx.is_admin:
        return {}
    if id not in around:
        network = networks.find(tx, ctx, id)
        own = network["project_id"] == ctx.project_id
        around[id] = {"network:project_id": network["project_id"],
                      "shared": not own and access.is_shared(tx, ctx, "network", id)}
    return around[id]


def _project(call: Call, body: dict[str, Any]) -> str:
    given = body.get("project_id", body.get("tenant_id"))
    if "project_id" in body and "tenant_id" in body and body["project_id"] != body["tenant_id"]:
        raise Invalid("'project_id' and 'tenant_id' do not match", type="HTTPBadRequest")
    if given is None:
        if call.ctx.project_id is None:
            raise Invalid("Running without a project in the token requires project_id to be specified",
                          type="HTTPBadRequest")
        return call.ctx.project_id
    if not isinstance(given, str):
        raise Invalid("Invalid input for project_id. Reason: it is not a string.", type="HTTPBadRequest")
    if given != call.ctx.project_id and not (call.ctx.is_admin or call.ctx.is_service):
        raise Invalid("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires "
                      "admin privileges", type="HTTPBadRequest")
    return given


def check_revision(call: Call, resource: str, record: Record) -> None:
    """``If-Match: revision_number=N``."""
    header = call.header("If-Match")
    if header is None or "revision_number" not in record:
        return
    name, _, number = header.strip().strip('"').partition("=")
    if name != "revision_number" or not re.fullmatch(r"-?[0-9]{1,18}", number):
        raise Invalid("If-Match must be of the form revision_number=N", type="HTTPBadRequest")
    if int(number) != record["revision_number"]:
        raise revision_mismatch(resource, record["id"], int(number))


def update(tx: Tx, call: Call, resource: Resource) -> Any:
    """Change a resource. As upstream, what is asked for is looked at before who asks."""
    changes = for_update(resource.table, body_of(call, resource.name))
    record, target = fetch(tx, call, resource, call.params["id"], writing=True)
    if not call.allowed(f"update_{resource.name}", target):
        if resource.discreet and record["project_id"] != call.ctx.project_id:
            raise not_found(resource.name, record["id"])
        raise forbidden(f"rule:update_{resource.name}")
    authorize_attributes(call, f"update_{resource.name}", changes, {**target, **changes})
    check_revision(call, resource.name, record)
    record = resource.update(tx, call.ctx, record, changes)
    return {resource.name: render(tx, call, resource, [record])[0]}


def delete(tx: Tx, call: Call, resource: Resource) -> Any:
    """Delete a resource."""
    record, _ = fetch(tx, call, resource, call.params["id"], "delete")
    check_revision(call, resource.name, record)
    resource.delete(tx, call.ctx, record)
    return Reply(None, 204)
