"""``/machines``: the lives of machines, why nothing more is done about one, planned stops, the operator's word."""

from __future__ import annotations

from typing import Any

from stackling.api.call import Call, Reply
from stackling.api.route import Route
from stackling.api.schema import always
from stackling.core.errors import Invalid
from stackling.ha import facade as ha

DEFAULT_STOP = 3600.0
_REASON = {"type": ["string", "null"], "maxLength": 255}
ACTION = always({
    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
    "properties": {
        "stop": {"type": ["object", "null"], "additionalProperties": False, "properties": {
            "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 604800}, "reason": _REASON}},
        "resume": {"type": "null"},
        "confirm_off": {"type": "object", "additionalProperties": False, "required": ["confirm"], "properties": {
            "confirm": {"type": "string", "maxLength": 255}}},
    }})


def routes(settings: ha.Settings) -> list[Route]:
    """The routes."""
    def action(tx: Any, call: Call) -> Reply:
        """POST /machines/{machine}/action: ``stop``, ``resume`` or ``confirm_off``."""
        machine, (name, value) = call.params["machine"], next(iter(call.body.items()))
        if name == "stop":
            asked = value or {}
            ha.plan_stop(tx, call.ctx, machine, float(asked.get("seconds", DEFAULT_STOP)), asked.get("reason"))
        elif name == "resume":
            ha.resume(tx, call.ctx, machine)
        elif name == "confirm_off":
            ha.confirm_off(tx, call.ctx, machine, value["confirm"], settings)
        else:
            raise Invalid(f"There is no action {name}.")
        return Reply({"machine": ha.show_machine(tx, machine)}, status=202)

    return [
        Route("GET", "/machines", _index, "stackling:machines:show"),
        Route("GET", "/machines/{machine}", _show, "stackling:machines:show"),
        Route("POST", "/machines/{machine}/action", action, "stackling:machines:action", mode="write", body=ACTION),
    ]


def _index(tx: Any, call: Call) -> dict[str, Any]:
    return {"machines": ha.list_machines(tx)}


def _show(tx: Any, call: Call) -> dict[str, Any]:
    return {"machine": ha.show_machine(tx, call.params["machine"])}
