"""Version discovery."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.route import Route

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


JSON_HOME = "application/json-home"


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


def routes(home: Callable[[], dict[str, Any]]) -> list[Route]:
    """*home* makes the JSON home document, for clients that ask for it."""
    document = cache(home)

    def version_3(tx: Tx, call: Call) -> Any:
        if JSON_HOME in (call.header("Accept") or ""):
            return Reply(document(), content_type=JSON_HOME)
        return {"version": _v3(call)}

    return [Route("GET", "", versions, None), Route("GET", "/v3", version_3, None)]
