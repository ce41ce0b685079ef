"""``/os-migrations`` and ``/servers/{id}/migrations``."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import (
    COUNT,
    TEXT,
    Json,
    array,
    is_true,
    limit_of,
    link_base,
    next_links,
    only,
    query,
    route,
)
from stackling.api.compute.server_parts import moment
from stackling.api.schema import Schemas, always
from stackling.compute import live_migration as live
from stackling.compute import migrations, servers
from stackling.compute.migrations import OVER, Type, Wanted
from stackling.core.errors import Forbidden, Invalid, NotFound

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_PREFIX = "os_compute_api:os-migrations"
_AMOUNTS = tuple(f"{what}_{part}_bytes" for what in ("memory", "disk") for part in ("total", "processed", "remaining"))


def _flavor_number(id: str) -> int:
    """Nova shows numbers that no other call takes; ours stand for the flavor's id."""
    return int(id) if id.isdecimal() and len(id) < 10 else zlib.crc32(id.encode()) & 0x7FFFFFFF


def _hosts(row: Any, shown: bool) -> Json:
    source, dest = (row.source, row.dest) if shown else (None, None)
    return {"source_compute": source, "source_node": source, "dest_compute": dest, "dest_node": dest,
            "dest_host": None}


def _in_progress(row: Any) -> bool:
    return row.type == Type.LIVE and row.status not in OVER


def _shown(call: Call, row: Any, with_hosts: bool) -> Json:
    shown: Json = {
        "id": row.id, "status": row.status, "instance_uuid": row.server_id,
        "old_instance_type_id": _flavor_number(row.old_flavor_id),
        "new_instance_type_id": _flavor_number(row.new_flavor_id),
        "created_at": row.created_at, "updated_at": row.updated_at, **_hosts(row, with_hosts)}
    if call.version >= (2, 23):
        shown["migration_type"] = row.type
        if _in_progress(row):
            path = f"servers/{row.server_id}/migrations/{row.id}"
            base = link_base(call)
            shown["links"] = [{"rel": "self", "href": f"{base}/v2.1/{path}"},
                              {"rel": "bookmark", "href": f"{base}/{path}"}]
    if call.version >= (2, 59):
        shown["uuid"] = row.uuid
    if call.version >= (2, 80):
        shown.update(user_id=row.user_id, project_id=row.project_id)
    return shown


def list_migrations(tx: Tx, call: Call) -> Reply:
    """GET /os-migrations."""
    paged = call.version >= (2, 59)
    limit = limit_of(call.query) if paged else None
    since, before = (moment(call, "changes-since"), moment(call, "changes-before")) if paged else (None, None)
    if since and before and before < since:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    last = call.query.last
    project_id = last("project_id") if call.version >= (2, 80) else None
    if not call.allowed(f"{_PREFIX}:index:all_projects"):
        if project_id not in (None, call.ctx.project_id):
            raise Forbidden("Only an administrator sees other projects' migrations.")
        project_id = call.ctx.project_id
    found = [] if is_true(last("hidden", "false")) else list(migrations.list_migrations(tx, Wanted(
        last("host"), last("source_compute"), last("instance_uuid"), _statuses(call), last("migration_type"),
        last("user_id") if call.version >= (2, 80) else None, project_id, since, before, limit,
        last("marker") if paged else None)))
    with_hosts = call.allowed(f"{_PREFIX}:index:host")
    body: Json = {"migrations": [_shown(call, row, with_hosts) for row in found]}
    if limit is not None and (more := next_links(call, "os-migrations", found, limit, lambda: found[-1].uuid)):
        body["migrations_links"] = more
    return Reply(body)


def _statuses(call: Call) -> list[str]:
    status = call.query.last("status")
    return [] if status is None else [status]


# -- of one server: live migrations under way

def _shown_live(call: Call, row: Any, with_hosts: bool) -> Json:
    progress: Json = row.progress or {}
    shown: Json = {
        "id": row.id, "server_uuid": row.server_id, "status": row.status, "created_at": row.created_at,
        "updated_at": row.updated_at, **{name: progress.get(name) for name in _AMOUNTS}, **_hosts(row, with_hosts)}
    if call.version >= (2, 59):
        shown["uuid"] = row.uuid
    if call.version >= (2, 80):
        shown.update(user_id=row.user_id, project_id=row.project_id)
    return shown


def list_of_server(tx: Tx, call: Call) -> Reply:
    """GET /servers/{id}/migrations."""
    server = servers.get_server(tx, call.ctx, call.params["id"])
    call.authorize({"project_id": server["project_id"], "user_id": server["user_id"]},
                   "os_compute_api:servers:migrations:index")
    rows = migrations.list_migrations(tx, Wanted(server_id=server["id"], type=Type.LIVE.value))
    with_hosts = call.allowed("os_compute_api:servers:migrations:index:host")
    return Reply({"migrations": [_shown_live(call, row, with_hosts) for row in rows if _in_progress(row)]})


def live_migration(tx: Tx, call: Call) -> tuple[Any, Any]:
    """(server, migration) that the path names. Raises ``NotFound``."""
    server = servers.get_server(tx, call.ctx, call.params["id"])
    text = call.params["migration"]
    row = migrations.get(tx, int(text)) if text.isdecimal() and len(text) < 18 else None
    call.authorize({"project_id": server["project_id"], "user_id": server["user_id"]})
    if row is None or row.server_id != server["id"]:
        raise NotFound(f"Migration {text} could not be found.")
    return server, row


def show_of_server(tx: Tx, call: Call) -> Reply:
    """GET /servers/{id}/migrations/{migration}."""
    server, row = live_migration(tx, call)
    if row.type != Type.LIVE:
        raise NotFound(f"Migration {row.id} for server {server['id']} is not live-migration.")
    if not _in_progress(row):
        raise NotFound(f"Live migration {row.id} for server {server['id']} is not in progress.")
    return Reply({"migration": _shown_live(call, row, with_hosts=True)})


def abort(tx: Tx, call: Call) -> Reply:
    """DELETE /servers/{id}/migrations/{migration}."""
    server, row = live_migration(tx, call)
    live.abort(tx, call.ctx, server, row, early=call.version >= (2, 65))
    return Reply(status=202)


def force_complete(tx: Tx, call: Call) -> Reply:
    """POST /servers/{id}/migrations/{migration}/action."""
    server, row = live_migration(tx, call)
    live.force_complete(tx, call.ctx, server, row)
    return Reply(status=202)


_TIME = {"type": "string", "format": "date-time"}
_FILTERS: Json = dict.fromkeys(("hidden", "host", "instance_uuid", "source_compute", "status", "migration_type"), TEXT)


def _page(*more: str) -> Json:
    schema = query(_FILTERS, more=False)
    once: Json = {"limit": COUNT, "marker": TEXT, "changes-since": _TIME, "changes-before": _TIME, "user_id": TEXT,
                  "project_id": TEXT}
    for name in ("limit", "marker", "changes-since", *more):
        schema["properties"][name] = array(once[name], maxItems=1)
    return schema


_LIST = Schemas({(2, 0): query(_FILTERS), (2, 59): _page(), (2, 66): _page("changes-before"),
                 (2, 80): _page("changes-before", "user_id", "project_id")})
_NOTHING = Schemas({(2, 0): query({}), (2, 102): query({}, more=False)})
ROUTES = [
    route("GET", "/os-migrations", list_migrations, "os-migrations:index", query=_LIST),
    route("GET", "/servers/{id}/migrations", list_of_server, "servers:migrations:index", min=(2, 23), query=_NOTHING),
    route("GET", "/servers/{id}/migrations/{migration}", show_of_server, "servers:migrations:show", min=(2, 23),
          query=_NOTHING),
    route("DELETE", "/servers/{id}/migrations/{migration}", abort, "servers:migrations:delete", min=(2, 24)),
    route("POST", "/servers/{id}/migrations/{migration}/action", force_complete, "servers:migrations:force_complete",
          min=(2, 22), body=always(only("force_complete", {"type": "null"}))),
]
