"""Version discovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.route import Route

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def _v3(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{call.base}{call.service.prefix}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def versions(tx: Tx, call: Call) -> Reply:
    """Every version, with 300 as clients expect."""
    version = _v3(call)
    return Reply({"versions": {"values": [version]}}, 300, {"Location": version["links"][0]["href"]})


def version_3(tx: Tx, call: Call) -> Any:
    return {"version": _v3(call)}


ROUTES = (Route("GET", "", versions, None), Route("GET", "/v3", version_3, None))
