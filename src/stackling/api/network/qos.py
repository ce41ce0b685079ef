"""``/qos``: rules inside of policies, the same by their own ids (aliases), and the types of rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.network import values as v
from stackling.api.network.attributes import REQUIRED, Attribute, Table, for_create, for_update
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.others import select
from stackling.api.network.resource import fetch
from stackling.api.route import Route
from stackling.core.errors import Forbidden, Invalid
from stackling.network import qos
from stackling.network.errors import forbidden, not_found
from stackling.network.resources import QOS_POLICIES, QOS_RULES
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_POLICY = BY_NAME["policy"]
_MOST = 2**31 - 1
_MARKS = (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56)
_DIRECTIONS = ("egress", "ingress")
_RATE = Attribute(v.non_negative, True, True, REQUIRED)
_ID = Attribute(v.uuid)
_BANDWIDTH: Table = {"id": _ID, "max_kbps": _RATE, "max_burst_kbps": Attribute(v.non_negative, True, True, 0),
                     "direction": Attribute(v.one_of(*_DIRECTIONS), True, True, "egress")}
_DSCP: Table = {"id": _ID, "dscp_mark": Attribute(lambda value: v.one_of(*_MARKS)(v.integer(value)), True, True,
                                                  REQUIRED)}
_MINIMUM: Table = {"id": _ID, "min_kbps": _RATE,
                   "direction": Attribute(v.one_of(*_DIRECTIONS), True, True, "egress")}
TABLES: Mapping[str, Table] = {qos.BANDWIDTH: _BANDWIDTH, qos.DSCP: _DSCP, qos.MINIMUM: _MINIMUM}
ALL_TYPES = (*TABLES, "minimum_packet_rate", "packet_rate_limit")


def _range(name: str) -> dict[str, Any]:
    return {"parameter_name": name, "parameter_type": "range", "parameter_values": {"start": 0, "end": _MOST}}


def _choices(name: str, *values: Any) -> dict[str, Any]:
    return {"parameter_name": name, "parameter_type": "choices", "parameter_values": list(values)}


_SUPPORTED: Mapping[str, list[dict[str, Any]]] = {
    qos.BANDWIDTH: [_range("max_kbps"), _range("max_burst_kbps"), _choices("direction", *_DIRECTIONS)],
    qos.DSCP: [_choices("dscp_mark", *_MARKS)],
    qos.MINIMUM: [_range("min_kbps"), _choices("direction", *_DIRECTIONS)],
}


def routes() -> list[Route]:
    """Three kinds of rules, each below its policy and by itself."""
    found = [Route("GET", "/v2.0/qos/rule-types", _types, "get_rule_type"),
             Route("GET", "/v2.0/qos/rule-types/{type}", _type, "get_rule_type")]
    for kind in TABLES:
        for below in ("/v2.0/qos/policies/{id}/" + f"{kind}_rules", f"/v2.0/qos/alias_{kind}_rules"):
            found += _routes(kind, below)
    return found


def _routes(kind: str, path: str) -> list[Route]:
    alias = "alias" in path
    one = path + ("/{id}" if alias else "/{rule}")
    own = [] if alias else [
        Route("GET", path, lambda tx, call: _list(tx, call, kind), "authenticated"),
        Route("POST", path, lambda tx, call: _create(tx, call, kind), "authenticated", "write", status=201)]
    return [
        *own,
        Route("GET", one, lambda tx, call: _show(tx, call, kind), "authenticated"),
        Route("PUT", one, lambda tx, call: _update(tx, call, kind), "authenticated", "write"),
        Route("DELETE", one, lambda tx, call: _delete(tx, call, kind), "authenticated", "write", status=204)]


def shown(rule: Record) -> dict[str, Any]:
    """A rule's own attributes."""
    return {name: rule[name] for name in TABLES[rule["type"]]}


def _allowed(call: Call, rule: str, policy: Record) -> bool:
    """Whether the caller may use *rule* on the rules of *policy*: they belong to its project."""
    return call.allowed(rule, {**policy, "ext_parent:project_id": policy["project_id"]})


def _policy(tx: Tx, call: Call, id: str, rule: str) -> Record:
    """The policy, which the caller sees. Where *rule* isn't the caller's to use on it: 403, or 404 for what it reads.

    As upstream, whoever a policy is shared with sees its rules in the policy only.
    """
    record, _ = fetch(tx, call, _POLICY, id)
    if not _allowed(call, rule, record):
        raise not_found("qos_rule", call.params.get("rule", call.params["id"])) if rule.startswith("get_") else \
            forbidden(f"rule:{rule}")
    return record


def _is_alias(call: Call) -> bool:
    return "/qos/alias_" in call.route.path


def _found(tx: Tx, call: Call, kind: str, action: str) -> tuple[Record, Record]:
    id = call.params["id"]
    if not _is_alias(call):
        policy = _policy(tx, call, id, f"{action}_policy_{kind}_rule")
        return policy, qos.rule(tx, kind, policy["id"], call.params["rule"].replace("\0", ""))
    record = None if "\0" in id else QOS_RULES.get(tx, id)
    if record is None or record["type"] != kind:
        raise not_found("qos_rule", id)
    policy = _policy(tx, call, record["qos_policy_id"], f"{action}_alias_{kind}_rule")
    return policy, record


def _body(call: Call, kind: str) -> tuple[str, dict[str, Any]]:
    name = f"alias_{kind}_rule" if _is_alias(call) else f"{kind}_rule"
    body: Any = call.body
    if isinstance(body, dict):
        for one in (name, f"{kind}_rule"):
            if isinstance(body.get(one), dict):    # pyright: ignore[reportUnknownMemberType]
                return one, dict(body[one])    # pyright: ignore[reportUnknownArgumentType]
    raise Invalid(f"Unable to find '{name}' in request body", type="HTTPBadRequest")


def _list(tx: Tx, call: Call, kind: str) -> Any:
    policy, _ = fetch(tx, call, _POLICY, call.params["id"])
    rules = qos.rules_of(tx, [policy["id"]])[policy["id"]] if _allowed(call, f"get_policy_{kind}_rule", policy) else []
    rows = [shown(one) for one in rules if one["type"] == kind]
    return {f"{kind}_rules": select(call, rows, tuple(TABLES[kind]))}


def _show(tx: Tx, call: Call, kind: str) -> Any:
    _, record = _found(tx, call, kind, "get")
    fields = call.query.all("fields")
    body = shown(record)
    name = f"alias_{kind}_rule" if _is_alias(call) else f"{kind}_rule"
    return {name: {one: body[one] for one in fields if one in body} if fields else body}


def _create(tx: Tx, call: Call, kind: str) -> Any:
    rule, id = f"create_policy_{kind}_rule", call.params["id"]
    record = None if "\0" in id else QOS_POLICIES.get(tx, id)
    if record is not None and not _allowed(call, rule, record):
        raise forbidden(f"rule:{rule}")             # as upstream, which tells so that there is such a policy
    policy = _policy(tx, call, id, rule)
    name, body = _body(call, kind)
    for extra in ("project_id", "tenant_id"):               # clients send them along; a rule is its policy's
        body.pop(extra, None)
    return {name: shown(qos.create_rule(tx, call.ctx, policy, kind, for_create(TABLES[kind], body)))}


def _update(tx: Tx, call: Call, kind: str) -> Any:
    policy, record = _found(tx, call, kind, "update")
    name, body = _body(call, kind)
    return {name: shown(qos.update_rule(tx, call.ctx, policy, record, for_update(TABLES[kind], body)))}


def _delete(tx: Tx, call: Call, kind: str) -> Any:
    policy, record = _found(tx, call, kind, "delete")
    qos.delete_rule(tx, call.ctx, policy, record)
    return Reply(None, 204)


# -- types

def _types(tx: Tx, call: Call) -> Any:
    query = call.query
    chosen = {name: query.last(name) for name in ("all_rules", "all_supported") if name in query}
    if len(chosen) == 2:
        raise Invalid("Only one of all_rules, all_supported may be given.", type="QosRuleTypeFilterConflict")
    wanted: Sequence[str] = ALL_TYPES if str(chosen.get("all_rules", "")).lower() in ("true", "1") else tuple(TABLES)
    for name in chosen:
        query.pop(name)
    return {"rule_types": select(call, [{"type": one} for one in wanted], ("type",))}


def _type(tx: Tx, call: Call) -> Any:
    name = call.params["type"]
    if not call.ctx.is_admin:
        raise Forbidden("Not authorized.", type="NotAuthorized")
    if name not in _SUPPORTED:
        raise not_found("qos_rule_type", name)
    return {"rule_type": {"type": name, "drivers": [{"name": "ovn", "supported_parameters": _SUPPORTED[name]}]}}
