"""``GET /explain/{kind}/{id}``: a resource's timeline and what it waits for, for its project and for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackling.api.call import Call
from stackling.core.errors import NotFound

Explain = Callable[..., dict[str, Any] | None]
"""(tx, kind, id) → the timeline, or None."""
KINDS = frozenset({"server", "port", "network", "subnet", "router", "floating_ip", "security_group", "load_balancer",
                   "image", "host", "machine", "keypair", "flavor", "project", "user", "address_group",
                   "port_forwarding", "trunk", "qos_policy", "rbac_policy"})


def explain_handler(explain: Explain, owner: Callable[..., str | None], why: Callable[..., str | None],
                    ) -> Callable[[Any, Call], dict[str, Any]]:
    """The handler. A resource of another project is as unknown as one that never was. *why*: (tx, kind, id) → what
    keeps it from being well that isn't its own work."""
    def handler(tx: Any, call: Call) -> dict[str, Any]:
        kind, id = call.params["kind"], call.params["id"]
        found = explain(tx, kind, id) if kind in KINDS else None
        if found is None or not call.allowed("stackling:explain", {"project_id": owner(tx, kind, id)}):
            raise NotFound(f"Nothing is known of {kind} {id}.")
        return {"explanation": found | {"why": why(tx, kind, id)}}

    return handler
