"""``/v3/domains/{domain_id}/config`` and the defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.schema import Body
from stackling.api.route import Route
from stackling.identity import domain_config, projects
from stackling.identity.service import Identity

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_BODY = Body({"type": "object", "properties": {"config": {"type": "object"}}})
_SECURITY = "security_compliance"


def _place(call: Call) -> tuple[str | None, str | None]:
    return call.params.get("group"), call.params.get("option")


def show_default(tx: Tx, call: Call) -> Any:
    return {"config": domain_config.defaults(*_place(call))}


class DomainConfig:
    """The handlers; values are sealed with the process's key."""

    def __init__(self, identity: Identity) -> None:
        self._box, self._security = identity.box, identity.config.security

    def show(self, tx: Tx, call: Call) -> Any:
        group, option = _place(call)
        domain_id = call.params["domain_id"]
        secure = group == _SECURITY
        call.authorize(None, f"identity:get_{'security_compliance_' if secure else ''}domain_config")
        projects.get_domain(tx, domain_id)
        if secure:
            return {"config": domain_config.security_compliance(self._security, domain_id, option)}
        return {"config": domain_config.get(tx, self._box, domain_id, group, option)}

    def create(self, tx: Tx, call: Call) -> Reply:
        domain = projects.get_domain(tx, call.params["domain_id"])
        made, new = domain_config.create(tx, self._box, domain.id, call.body.get("config"))
        return Reply({"config": made}, 201 if new else 200)

    def update(self, tx: Tx, call: Call) -> Any:
        domain = projects.get_domain(tx, call.params["domain_id"])
        return {"config": domain_config.update(tx, self._box, domain.id, call.body.get("config"), *_place(call))}

    def delete(self, tx: Tx, call: Call) -> None:
        domain = projects.get_domain(tx, call.params["domain_id"])
        domain_config.remove(tx, self._box, domain.id, *_place(call))


def routes(identity: Identity) -> list[Route]:
    handlers = DomainConfig(identity)
    found = [operation("PUT", "/domains/{domain_id}/config", handlers.create, "create_domain_config", status=201,
                       body=_BODY)]
    for below in ("", "/{group}", "/{group}/{option}"):
        path, default = f"/domains/{{domain_id}}/config{below}", f"/domains/config{below}/default"
        found += [
            operation("GET", path, handlers.show, ANY_TOKEN.partition(":")[2]),
            operation("PATCH", path, handlers.update, "update_domain_config", body=_BODY),
            operation("DELETE", path, handlers.delete, "delete_domain_config", status=204),
            operation("GET", default, show_default, "get_domain_config_default"),
        ]
    return found
