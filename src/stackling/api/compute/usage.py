"""``/os-simple-tenant-usage``."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import COUNT, TEXT, Json, limit_of, next_links, query, route
from stackling.api.schema import Schemas
from stackling.compute import usage
from stackling.compute.usage import ServerUsage
from stackling.core.clock import FORMAT, instant
from stackling.core.errors import Invalid

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def _instant(text: str | None, now: str) -> str:
    if not text:
        return now
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f"):
        try:
            return datetime.strptime(text, form).strftime(FORMAT)     # noqa: DTZ007
        except ValueError:
            continue
    raise Invalid("Invalid input received: Datetime is in invalid format")


def _window(tx: Tx, call: Call) -> tuple[str, str]:
    now = instant(tx.time)
    later = instant(tx.time + 0.001)        # no window at all is one that has just begun
    start, end = _instant(call.query.last("start"), now), _instant(call.query.last("end"), later)
    if not start < end:
        raise Invalid("Invalid start time. The start time cannot occur after the end time.")
    return start, min(end, now)


def _summary(project: str, found: list[ServerUsage], start: str, end: str, *, detailed: bool) -> Json:
    shown: Json = {"tenant_id": project, **usage.totals(found), "start": start, "stop": end}
    if detailed:
        shown["server_usages"] = [{
            "instance_id": u.id, "name": u.name, "tenant_id": u.project_id, "hours": u.hours, "flavor": u.flavor,
            "vcpus": u.vcpus, "memory_mb": u.memory_mib, "local_gb": u.disk_gib, "started_at": u.started_at,
            "ended_at": u.ended_at, "state": u.state, "uptime": u.uptime} for u in found]
    return shown


def list_usage(tx: Tx, call: Call) -> Reply:
    """GET /os-simple-tenant-usage."""
    start, end = _window(tx, call)
    detailed = call.query.first("detailed", "0") == "1"
    paged = call.version >= (2, 40)
    limit = limit_of(call.query) if paged else None
    found = usage.usages(tx, start, end, limit=limit, marker=call.query.last("marker") if paged else None)
    body: Json = {"tenant_usages": [
        _summary(project, list(part), start, end, detailed=detailed)
        for project, part in groupby(found, key=lambda u: u.project_id)]}
    if limit is not None and (more := next_links(call, "os-simple-tenant-usage", found, limit, lambda: found[-1].id)):
        body["tenant_usages_links"] = more
    return Reply(body)


def show_usage(tx: Tx, call: Call) -> Reply:
    """GET /os-simple-tenant-usage/{project}."""
    project = call.params["project"]
    call.authorize({"project_id": project}, "os_compute_api:os-simple-tenant-usage:show")
    start, end = _window(tx, call)
    paged = call.version >= (2, 40)
    limit = limit_of(call.query) if paged else None
    found = usage.usages(tx, start, end, project, limit=limit, marker=call.query.last("marker") if paged else None)
    body: Json = {"tenant_usage": _summary(project, found, start, end, detailed=True) if found else {}}
    if limit is not None and (more := next_links(
            call, f"os-simple-tenant-usage/{project}", found, limit, lambda: found[-1].id)):
        body["tenant_usage_links"] = more
    return Reply(body)


_ALL = {"start": TEXT, "end": TEXT, "detailed": TEXT}
_ONE = {"start": TEXT, "end": TEXT}
_PAGE = {"limit": COUNT, "marker": TEXT}
ROUTES = [
    route("GET", "/os-simple-tenant-usage", list_usage, "os-simple-tenant-usage:list", query=Schemas({
        (2, 0): query(_ALL), (2, 40): query({**_ALL, **_PAGE}), (2, 75): query({**_ALL, **_PAGE}, more=False)})),
    route("GET", "/os-simple-tenant-usage/{project}", show_usage, "servers:action", query=Schemas({
        (2, 0): query(_ONE), (2, 40): query({**_ONE, **_PAGE}), (2, 75): query({**_ONE, **_PAGE}, more=False)})),
]
