"""``/clusters``, ``/workers/cleanup`` and the log levels of ``/os-services``.

Backends that several control nodes serve are one service here, not a cluster of services, so there are no clusters; and
what a process that died left unfinished is taken up by another within seconds, so there is never anything to clean up.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import BOOLEAN, UUID_OR_NULL, Json, obj, route, truth
from stackling.core.errors import Invalid, NotFound

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FILTERS = {"name", "binary", "is_up", "disabled", "num_hosts", "num_down_hosts"}
_REPLICATION = {"replication_status", "frozen", "active_backend_id"}
_CLUSTERS, _CLEANUP, _REPLICATED, _LEVELS = (3, 7), (3, 24), (3, 26), (3, 32)
API = "cinder-api"
OURS = "stackling"
"""The loggers whose levels may be seen and set: what libraries log in detail may hold secrets."""
LEVELS = ("INFO", "WARNING", "ERROR", "DEBUG")


# -- clusters

def list_clusters(tx: Tx, call: Call) -> Reply:
    """GET /clusters, and …/detail."""
    allowed = _FILTERS | _REPLICATION if call.version >= _REPLICATED else _FILTERS
    if unknown := set(call.query) - allowed:
        raise Invalid(f"Invalid input received: Invalid filter keys: {', '.join(sorted(unknown))}")
    for name in ("disabled", "is_up"):
        if (text := call.query.last(name)) is not None:
            truth(name, text)
    return Reply({"clusters": []})


def _no_cluster(name: object) -> NotFound:
    return NotFound(f"Cluster {name} could not be found.", type="ClusterNotFound")


def show_cluster(tx: Tx, call: Call) -> Reply:
    """GET /clusters/{name}."""
    raise _no_cluster(call.params["name"])


def change_cluster(tx: Tx, call: Call) -> Reply:
    """PUT /clusters/enable, and …/disable."""
    raise _no_cluster(call.body["name"])


# -- cleanup

def clean_up(tx: Tx, call: Call) -> Reply:
    """POST /workers/cleanup."""
    body: Json = call.body or {}
    if (kind := body.get("resource_type")) and str(kind).title() not in ("Volume", "Snapshot"):
        raise Invalid(f"Invalid input received: Resource type {str(kind).title()} not valid, must be Snapshot or Volume"
                      )
    if body.get("resource_id") and not {"service_id", "cluster_name", "host"} & set(body):
        raise Invalid(f"Invalid input received: There is no resource with UUID {body['resource_id']} pending cleanup.")
    return Reply({"cleaning": [], "unavailable": []}, 202)


# -- log levels

def _loggers(prefix: str | None) -> list[logging.Logger]:
    """Ours whose names begin with *prefix*."""
    known = logging.root.manager.loggerDict
    return [found for name, found in sorted(known.items()) if isinstance(found, logging.Logger)
            and (name == OURS or name.startswith(f"{OURS}.")) and name.startswith(prefix or "")]


def _means_here(body: Json) -> bool:
    return body.get("binary") in (None, "", "*", API) and body.get("server") in (None, "", socket.gethostname())


def show_levels(tx: Tx, call: Call) -> Reply:
    """PUT /os-services/get-log: of the process that answers."""
    if not _means_here(call.body):
        return Reply({"log_levels": []})
    levels = {one.name: logging.getLevelName(one.getEffectiveLevel()) for one in _loggers(call.body.get("prefix"))}
    return Reply({"log_levels": [{"host": socket.gethostname(), "binary": API, "levels": levels}]})


def set_levels(tx: Tx, call: Call) -> Reply:
    """PUT /os-services/set-log: of the process that answers, until it ends."""
    level = str(call.body.get("level") or "").upper()
    if level not in LEVELS:
        raise Invalid(f"Invalid input received: {call.body.get('level')} is not a valid log level.")
    if _means_here(call.body):
        for one in _loggers(call.body.get("prefix")):
            one.setLevel(level)
    return Reply(status=202)


_NULLABLE: Json = {"type": ["string", "null"], "minLength": 0, "maxLength": 255}
_HOST: Json = {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9-._#@:/+]*$"}
_NAMED: Json = {"name": {"type": "string", "minLength": 1, "maxLength": 255}, "binary": _NULLABLE}
_CLEAN: Json = {
    "cluster_name": _HOST, "disabled": BOOLEAN, "host": _HOST, "is_up": BOOLEAN,
    "binary": {"enum": ["cinder-volume", "cinder-scheduler"]}, "resource_id": UUID_OR_NULL,
    "resource_type": {"type": ["string", "null"], "maxLength": 40},
    "service_id": {"type": ["integer", "string", "null"], "pattern": "^[0-9]*$", "maxLength": 11}}
_LOG: Json = {
    "binary": {"enum": [None, "", "*", API, "cinder-volume", "cinder-scheduler", "cinder-backup"]},
    "server": _NULLABLE, "prefix": _NULLABLE}
_LEVEL: Json = {"type": ["string", "null"], "maxLength": 20}


ROUTES = [
    route("GET", "/clusters", list_clusters, "clusters:get_all", min=_CLUSTERS),
    route("GET", "/clusters/detail", list_clusters, "clusters:get_all", min=_CLUSTERS),
    route("PUT", "/clusters/enable", change_cluster, "clusters:update", min=_CLUSTERS,
          body=always(obj(_NAMED, "name"))),
    route("PUT", "/clusters/disable", change_cluster, "clusters:update", min=_CLUSTERS,
          body=always(obj({**_NAMED, "disabled_reason": _NULLABLE}, "name"))),
    route("GET", "/clusters/{name}", show_cluster, "clusters:get", min=_CLUSTERS),
    route("POST", "/workers/cleanup", clean_up, "workers:cleanup", min=_CLEANUP, status=202, body=always(obj(_CLEAN))),
    route("PUT", "/os-services/get-log", show_levels, "volume_extension:services:update", min=_LEVELS, mode="read",
          body=always(obj(_LOG))),
    route("PUT", "/os-services/set-log", set_levels, "volume_extension:services:update", min=_LEVELS, status=202,
          body=always(obj({**_LOG, "level": _LEVEL}))),
]
