"""``/quotas``: limits a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, convert
from stackling.api.route import Route
from stackling.core.errors import Forbidden, Invalid
from stackling.network import quotas
from stackling.network.errors import forbidden

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def routes() -> list[Route]:
    """Show, details, defaults, update, reset."""
    one = "/v2.0/quotas/{project}"
    return [
        Route("GET", "/v2.0/quotas", _list, "authenticated"),
        Route("GET", "/v2.0/quotas/tenant", _own, "authenticated"),
        Route("GET", "/v2.0/quotas/project", _own, "authenticated"),
        Route("GET", one, _show, "authenticated"),
        Route("GET", one + "/default", _default, "authenticated"),
        Route("GET", one + "/details", _details, "authenticated"),
        Route("GET", one + "/details.json", _details, "authenticated"),
        Route("PUT", one, _update, "authenticated", "write"),
        Route("DELETE", one, _delete, "authenticated", "write", status=204),
    ]


def _check(call: Call, rule: str) -> str:
    """The project that is asked about. Nobody needs a rule to read of the token's own.

    For another project, upstream looks at the role in the token's own alone, and so lets a project's manager read the
    limits of all; here a manager reads those of the project in which the role is.
    """
    project = call.params.get("project", "").removesuffix(".json")
    if rule == "get_quota" and project and project == call.ctx.project_id:
        return project
    if not call.allowed(rule, {"project_id": project, "tenant_id": project}):
        raise forbidden(f"rule:{rule}")
    return project


def _list(tx: Tx, call: Call) -> Any:
    _check(call, "get_quota")
    return {"quotas": quotas.every(tx)}


def _own(tx: Tx, call: Call) -> Any:
    if call.ctx.project_id is None:
        raise Invalid("Tenant-id was missing from quota request.", type="QuotaMissingTenant")
    key = call.route.path.rpartition("/")[2]
    return {key: {f"{key}_id": call.ctx.project_id}}


def _show(tx: Tx, call: Call) -> Any:
    return {"quota": quotas.limits(tx, _check(call, "get_quota"))}


def _default(tx: Tx, call: Call) -> Any:
    _check(call, "get_quota")
    return {"quota": quotas.limits(tx, quotas.DEFAULT)}


def _details(tx: Tx, call: Call) -> Any:
    project = call.params["project"].removesuffix(".json")
    if project != call.ctx.project_id and not call.ctx.is_admin:
        raise Forbidden("User does not have admin privileges: Only admin is authorized to access quotas for another "
                        "project.", type="AdminRequired")
    return {"quota": quotas.details(tx, project)}


def _update(tx: Tx, call: Call) -> Any:
    project = _check(call, "update_quota")
    body: Any = call.body.get("quota") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(body, dict):
        raise Invalid("Unable to find 'quota' in request body", type="HTTPBadRequest")
    flags: dict[str, Any] = body    # pyright: ignore[reportUnknownVariableType]
    given = {name: value for name, value in flags.items()
             if name not in ("tenant_id", "project_id", "check_limit", "force")}
    unknown = sorted(name for name in given if name not in quotas.DEFAULTS)
    if unknown:
        raise Invalid(f"Unrecognized attribute(s) '{', '.join(unknown)}'", type="HTTPBadRequest")
    limits = {name: convert(name, Attribute(_limit), value) for name, value in given.items()}
    if not convert("force", Attribute(values.boolean), flags.get("force", False)):
        quotas.check_use(tx, project, limits)
    return {"quota": quotas.update(tx, project, limits)}


def _limit(value: Any) -> int:
    number = values.integer(value)
    if number < -1 or number > 2**31 - 1:
        raise ValueError(f"'{value}' is not in the range -1 through {2**31 - 1}")
    return number


def _delete(tx: Tx, call: Call) -> Any:
    project = _check(call, "delete_quota")
    quotas.reset(tx, project)
    return Reply(None, 204)
