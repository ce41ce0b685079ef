"""Load balancers, listeners, pools, members and health monitors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.loadbalancer import attributes, definitions, views
from stackling.api.loadbalancer.policy import API
from stackling.api.loadbalancer.requests import authorize, body, fields, list_query, page, visible_project
from stackling.api.route import Mode, Route
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.loadbalancer import changes, health_monitors, listeners, lists, load_balancers, members, pools, tree
from stackling.loadbalancer.errors import not_found, validation
from stackling.loadbalancer.rows import BALANCERS, LISTENERS, MEMBERS, MONITORS, POOLS, Record, Rows

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

LARGE = 4 << 20


def routes() -> list[Route]:
    """All of them, below ``/lbaas``."""
    return [
        *_crud("loadbalancer", "loadbalancers", _list_balancers, _create_balancer, _show_balancer, _update_balancer,
               _delete_balancer),
        *(_route("GET", f"loadbalancers/{{id}}/{path}", _status, "loadbalancer", "get_status")
          for path in ("status", "statuses")),
        _route("GET", "loadbalancers/{id}/stats", _balancer_stats, "loadbalancer", "get_stats"),
        _route("PUT", "loadbalancers/{id}/failover", _fail_over, "loadbalancer", "put_failover", "write", 202),
        *_crud("listener", "listeners", _list_listeners, _create_listener, _show_listener, _update_listener,
               _delete_listener),
        _route("GET", "listeners/{id}/stats", _listener_stats, "listener", "get_stats"),
        *_crud("pool", "pools", _list_pools, _create_pool, _show_pool, _update_pool, _delete_pool),
        *_crud("member", "pools/{id}/members", _list_members, _create_member, _show_member, _update_member,
               _delete_member, one="member"),
        _route("PUT", "pools/{id}/members", _replace_members, "member", "put", "write", 202),
        *_crud("healthmonitor", "healthmonitors", _list_monitors, _create_monitor, _show_monitor, _update_monitor,
               _delete_monitor),
    ]


def _route(method: str, path: str, handler: Callable[..., Any], resource: str, action: str, mode: Mode = "read",
           status: int = 200) -> Route:
    return Route(method, f"/lbaas/{path}", handler, f"{API}:{resource}:{action}", mode, status=status, limit=LARGE)


def _crud(resource: str, path: str, list_: Callable[..., Any], create: Callable[..., Any], show: Callable[..., Any],
          update: Callable[..., Any], delete: Callable[..., Any], one: str = "id") -> list[Route]:
    return [
        _route("GET", path, list_, resource, "get_all"),
        _route("POST", path, create, resource, "post", "write", 201),
        _route("GET", f"{path}/{{{one}}}", show, resource, "get_one"),
        _route("PUT", f"{path}/{{{one}}}", update, resource, "put", "write"),
        _route("DELETE", f"{path}/{{{one}}}", delete, resource, "delete", "write", 204),
    ]


def _fetch(tx: Tx, call: Call, rows: Rows, resource: str, action: str, id: str | None = None) -> Record:
    """The row; 404 where there is none, 403 where it isn't the caller's, as Octavia answers."""
    id = call.params["id"] if id is None else id
    record = rows.get(tx, id)
    if record is None:
        raise not_found(rows.shown, id)
    authorize(call, resource, action, record["project_id"])
    return record


def _list(tx: Tx, call: Call, resource: str, project_id: str | None, **fixed: str) -> tuple[list[Record], Any]:
    listed = lists.LISTED[resource]
    query = list_query(call, listed)
    query.filters.update({name: [value] for name, value in fixed.items()})
    if project_id is not None:
        query.filters["project_id"] = [project_id]
    return lists.find(tx, listed, query), query


def _parent(tx: Tx, id: str) -> Record:
    return changes.balancer(tx, id)


# -- load balancers

def _shown_balancer(tx: Tx, record: Record, *, full: bool = False) -> Any:
    return {"loadbalancer": views.load_balancer(record, tree.read(tx, [record["id"]]), full=full)}


def _list_balancers(tx: Tx, call: Call) -> Any:
    found, query = _list(tx, call, "loadbalancer", visible_project(call, "loadbalancer"))
    below = tree.Tree(LISTENERS.of(tx, [one["id"] for one in found]), POOLS.of(tx, [one["id"] for one in found]))
    return page(call, "loadbalancers", [views.load_balancer(one, below) for one in found], query)


def _create_balancer(tx: Tx, call: Call) -> Any:
    spec = body(call, "loadbalancer", definitions.BALANCER_CREATE)
    project_id = spec.get("project_id") or call.ctx.project_id
    if not project_id:
        raise validation("Missing project ID in request where one is required. An administrator should check the "
                         "keystone settings in the Octavia configuration.")
    authorize(call, "loadbalancer", "post", project_id)
    record = load_balancers.create(tx, call.ctx, {**spec, "id": new_id(), "project_id": project_id})
    return _shown_balancer(tx, record, full=True)


def _show_balancer(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, BALANCERS, "loadbalancer", "get_one")
    return {"loadbalancer": fields(call, _shown_balancer(tx, record)["loadbalancer"])}


def _update_balancer(tx: Tx, call: Call) -> Any:
    given = body(call, "loadbalancer", definitions.BALANCER_UPDATE)
    record = _fetch(tx, call, BALANCERS, "loadbalancer", "put")
    return _shown_balancer(tx, load_balancers.update(tx, call.ctx, record, given))


def _delete_balancer(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, BALANCERS, "loadbalancer", "delete")
    load_balancers.delete(tx, call.ctx, record, cascade=_flag(call, "cascade"))
    return Reply(None, 204)


def _flag(call: Call, name: str) -> bool:
    try:
        return attributes.boolean(call.query.last(name, "false"))
    except ValueError:
        return False


def _status(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, BALANCERS, "loadbalancer", "get_status")
    return {"statuses": views.status(record, tree.read(tx, [record["id"]]))}


def _balancer_stats(tx: Tx, call: Call) -> Any:
    _fetch(tx, call, BALANCERS, "loadbalancer", "get_stats")
    return {"stats": views.STATISTICS}


def _fail_over(tx: Tx, call: Call) -> Any:
    load_balancers.fail_over(_fetch(tx, call, BALANCERS, "loadbalancer", "put_failover"))


# -- listeners

def _list_listeners(tx: Tx, call: Call) -> Any:
    found, query = _list(tx, call, "listener", visible_project(call, "listener"))
    return page(call, "listeners", [views.listener(one) for one in found], query)


def _create_listener(tx: Tx, call: Call) -> Any:
    spec = body(call, "listener", definitions.LISTENER_CREATE)
    balancer = _fetch(tx, call, BALANCERS, "listener", "post", spec["loadbalancer_id"])
    return {"listener": views.listener(listeners.create(tx, call.ctx, balancer, {**spec, "id": new_id()}))}


def _show_listener(tx: Tx, call: Call) -> Any:
    return {"listener": fields(call, views.listener(_fetch(tx, call, LISTENERS, "listener", "get_one")))}


def _update_listener(tx: Tx, call: Call) -> Any:
    given = body(call, "listener", definitions.LISTENER_UPDATE)
    record = _fetch(tx, call, LISTENERS, "listener", "put")
    balancer = _parent(tx, record["load_balancer_id"])
    return {"listener": views.listener(listeners.update(tx, call.ctx, balancer, record, given))}


def _delete_listener(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, LISTENERS, "listener", "delete")
    listeners.delete(tx, call.ctx, _parent(tx, record["load_balancer_id"]), record)
    return Reply(None, 204)


def _listener_stats(tx: Tx, call: Call) -> Any:
    _fetch(tx, call, LISTENERS, "listener", "get_stats")
    return {"stats": views.STATISTICS}


# -- pools

def _below(tx: Tx, found: Sequence[Record]) -> tree.Tree:
    ids = [one["id"] for one in found]
    balancers = sorted({one["load_balancer_id"] for one in found})
    return tree.Tree(LISTENERS.of(tx, balancers), list(found), MEMBERS.of_pools(tx, ids), MONITORS.of_pools(tx, ids))


def _shown_pool(tx: Tx, record: Record) -> Any:
    return {"pool": views.pool(record, _below(tx, [record]))}


def _list_pools(tx: Tx, call: Call) -> Any:
    found, query = _list(tx, call, "pool", visible_project(call, "pool"))
    below = _below(tx, found)
    return page(call, "pools", [views.pool(one, below) for one in found], query)


def _create_pool(tx: Tx, call: Call) -> Any:
    spec = body(call, "pool", definitions.POOL_CREATE)
    listener = None
    if spec.get("listener_id"):
        listener = LISTENERS.get(tx, spec["listener_id"])
        if listener is None:
            raise not_found(LISTENERS.shown, spec["listener_id"])
        if spec.get("loadbalancer_id") and listener["load_balancer_id"] != spec["loadbalancer_id"]:
            raise Invalid(f"{LISTENERS.shown} {listener['id']} not found.")
    elif not spec.get("loadbalancer_id"):
        raise validation("Must provide at least one of: loadbalancer_id, listener_id")
    balancer = _fetch(tx, call, BALANCERS, "pool", "post",
                      listener["load_balancer_id"] if listener else spec["loadbalancer_id"])
    return _shown_pool(tx, pools.create(tx, call.ctx, balancer, listener, {**spec, "id": new_id()}))


def _show_pool(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, POOLS, "pool", "get_one")
    return {"pool": fields(call, _shown_pool(tx, record)["pool"])}


def _update_pool(tx: Tx, call: Call) -> Any:
    given = body(call, "pool", definitions.POOL_UPDATE)
    record = _fetch(tx, call, POOLS, "pool", "put")
    return _shown_pool(tx, pools.update(tx, call.ctx, _parent(tx, record["load_balancer_id"]), record, given))


def _delete_pool(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, POOLS, "pool", "delete")
    pools.delete(tx, call.ctx, _parent(tx, record["load_balancer_id"]), record)
    return Reply(None, 204)


# -- members

def _pool_of(tx: Tx, call: Call, action: str) -> Record:
    """The pool in the path."""
    return _fetch(tx, call, POOLS, "member", action)


def _member_of(tx: Tx, call: Call, action: str) -> tuple[Record, Record]:
    """The pool and the member in the path."""
    pool = _pool_of(tx, call, action)
    record = MEMBERS.get(tx, call.params["member"])
    if record is None or record["pool_id"] != pool["id"]:
        raise not_found(MEMBERS.shown, call.params["member"])
    return pool, record


def _list_members(tx: Tx, call: Call) -> Any:
    pool = _pool_of(tx, call, "get_all")
    found, query = _list(tx, call, "member", None, pool_id=pool["id"])
    return page(call, "members", [views.member(one) for one in found], query)


def _create_member(tx: Tx, call: Call) -> Any:
    spec = body(call, "member", {**definitions.MEMBER, "project_id": attributes.Attribute(attributes.text()),
                                 "tenant_id": attributes.Attribute(attributes.text())})
    pool = _pool_of(tx, call, "post")
    balancer = _parent(tx, pool["load_balancer_id"])
    return {"member": views.member(members.create(tx, call.ctx, balancer, pool, {**spec, "id": new_id()}))}


def _show_member(tx: Tx, call: Call) -> Any:
    return {"member": fields(call, views.member(_member_of(tx, call, "get_one")[1]))}


def _update_member(tx: Tx, call: Call) -> Any:
    given = body(call, "member", definitions.MEMBER_UPDATE)
    pool, record = _member_of(tx, call, "put")
    balancer = _parent(tx, pool["load_balancer_id"])
    return {"member": views.member(members.update(tx, call.ctx, balancer, pool, record, given))}


def _delete_member(tx: Tx, call: Call) -> Any:
    pool, record = _member_of(tx, call, "delete")
    members.delete(tx, call.ctx, _parent(tx, pool["load_balancer_id"]), pool, record)
    return Reply(None, 204)


def _replace_members(tx: Tx, call: Call) -> Any:
    """All members at once: what isn't named goes, unless ``additive_only``."""
    given: Any = call.body.get("members") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(given, list):
        raise Invalid("Invalid input for field/attribute members. Value: 'None'. Mandatory field missing.")
    item = attributes.nested(lambda: {**definitions.MEMBER, **{
        name: attributes.Attribute(attributes.text()) for name in ("project_id", "tenant_id")}})
    try:
        specs = [item(one) for one in given]    # pyright: ignore[reportUnknownVariableType]
    except ValueError as error:
        raise Invalid(f"Invalid input for field/attribute members. {error}") from None
    additive = _flag(call, "additive_only")
    pool = _pool_of(tx, call, "post")
    authorize(call, "member", "put", pool["project_id"])
    if not additive:
        authorize(call, "member", "delete", pool["project_id"])
    members.replace(tx, call.ctx, _parent(tx, pool["load_balancer_id"]), pool, specs, additive=additive)
    return Reply(None, 202)


# -- health monitors

def _list_monitors(tx: Tx, call: Call) -> Any:
    found, query = _list(tx, call, "healthmonitor", visible_project(call, "healthmonitor"))
    return page(call, "healthmonitors", [views.health_monitor(one) for one in found], query)


def _create_monitor(tx: Tx, call: Call) -> Any:
    spec = body(call, "healthmonitor", definitions.MONITOR_CREATE)
    pool = _fetch(tx, call, POOLS, "healthmonitor", "post", spec["pool_id"])
    balancer = _parent(tx, pool["load_balancer_id"])
    record = health_monitors.create(tx, call.ctx, balancer, pool, {**spec, "id": new_id()})
    return {"healthmonitor": views.health_monitor(record)}


def _show_monitor(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, MONITORS, "healthmonitor", "get_one")
    return {"healthmonitor": fields(call, views.health_monitor(record))}


def _of_monitor(tx: Tx, record: Record) -> tuple[Record, Record]:
    return _parent(tx, record["load_balancer_id"]), changes.pool(tx, record["pool_id"])


def _update_monitor(tx: Tx, call: Call) -> Any:
    given = body(call, "healthmonitor", definitions.MONITOR_UPDATE)
    record = _fetch(tx, call, MONITORS, "healthmonitor", "put")
    record = health_monitors.update(tx, call.ctx, *_of_monitor(tx, record), record, given)
    return {"healthmonitor": views.health_monitor(record)}


def _delete_monitor(tx: Tx, call: Call) -> Any:
    record = _fetch(tx, call, MONITORS, "healthmonitor", "delete")
    health_monitors.delete(tx, call.ctx, *_of_monitor(tx, record), record)
    return Reply(None, 204)
