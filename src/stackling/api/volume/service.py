"""The Block Storage API as one service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.policy import Policy
from stackling.api.route import Microversions, Route, Service
from stackling.api.volume import (
    attachments,
    backups,
    clusters,
    consistency_groups,
    groups,
    manage,
    messages,
    qos,
    quotas,
    services,
    snapshots,
    transfers,
    types,
    volume_actions,
    volumes,
)
from stackling.api.volume.errors import STATUSES, error_body
from stackling.api.volume.parts import HIGHEST, LOWEST, Json
from stackling.api.volume.policy import RULES

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

RESOURCES = (volumes, volume_actions, snapshots, types, attachments, quotas, services, transfers, backups, groups,
             consistency_groups, qos, messages, manage, clusters)
_MEDIA = [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}]


def _versions(call: Call) -> Json:
    return {"versions": [{
        "id": "v3.0", "status": "CURRENT", "version": ".".join(map(str, HIGHEST)),
        "min_version": ".".join(map(str, LOWEST)), "updated": "2026-03-01T00:00:00Z", "media-types": _MEDIA, "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{call.base}/volume/v3/"}]}]}


def list_versions(tx: Tx, call: Call) -> Reply:
    """GET /: which versions there are."""
    return Reply(_versions(call), 300)


def show_version(tx: Tx, call: Call) -> Reply:
    """GET /v3/."""
    return Reply(_versions(call))


def service(overrides: Mapping[str, str] | None = None) -> Service:
    """The service for ``api.app.build_app``; *overrides* are an administrator's policy rules."""
    routes = [Route("GET", "", list_versions, None), Route("GET", "/v3", show_version, None)]
    routes += [each for resource in RESOURCES for each in resource.ROUTES]
    return Service("volumev3", "/volume", routes, Policy(RULES, overrides), error_body,
                   Microversions("volume", LOWEST, HIGHEST, (3, 0)),
                   request_id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"), hides_methods=True,
                   statuses=STATUSES)
