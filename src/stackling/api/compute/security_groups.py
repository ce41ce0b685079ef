"""``/os-security-groups`` and ``/os-security-group-rules``: the network service's groups in Compute's old form.

As in Nova, only ingress rules show, a rule without ports spans all of them (1 to 65535, or -1 for ICMP), and a rule
without a source is open to the world. Up to microversion 2.35.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import ANY, COUNT, TEXT, UUID, Json, is_true, obj, only, query, route
from stackling.api.schema import FORMATS, always
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.network import security_groups as groups
from stackling.network.resources import RULES, SECURITY_GROUPS

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_LAST = (2, 35)
_ANYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
_WITH_PORTS = ("TCP", "UDP")


# -- showing

def shown(tx: Tx, found: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Groups as Nova shows them; two queries for any number."""
    rules = groups.rules_of(tx, [group["id"] for group in found])
    remote = {rule["remote_group_id"] for each in rules.values() for rule in each if rule["remote_group_id"]}
    sources = {id: {"name": group["name"], "tenant_id": group["project_id"]}
               for id, group in groups.by_ids(tx, sorted(remote)).items()}
    return [{
        "id": group["id"], "name": group["name"], "description": group["description"], "tenant_id": group["project_id"],
        "rules": [_rule(rule, sources) for rule in rules[group["id"]]
                  if rule["direction"] == "ingress" and (rule["remote_group_id"] or "") in {*sources, ""}],
    } for group in found]


def _rule(rule: Mapping[str, Any], sources: Mapping[str, Json]) -> Json:
    low, high, protocol = rule["port_range_min"], rule["port_range_max"], rule["protocol"]
    if protocol and low is None and high is None:
        low, high = (1, 65535) if protocol.upper() in _WITH_PORTS else (-1, -1)
    source = sources[rule["remote_group_id"]] if rule["remote_group_id"] else {}
    cidr = {} if source else {"cidr": rule["remote_ip_prefix"] or _ANYWHERE[rule["ethertype"]]}
    return {"id": rule["id"], "parent_group_id": rule["security_group_id"], "ip_protocol": protocol, "from_port": low,
            "to_port": high, "group": source, "ip_range": cidr}


# -- groups

def _find(tx: Tx, call: Call, id: str) -> dict[str, Any]:
    if not FORMATS["uuid"](id):
        raise Invalid("Security group id should be uuid")
    try:
        return groups.find(tx, call.ctx, id)
    except NotFound:
        raise NotFound(f"Security group {id} not found.") from None


def list_groups(tx: Tx, call: Call) -> Reply:
    """GET /os-security-groups."""
    everybody = call.ctx.is_admin and is_true(call.query.last("all_tenants", "0"))
    groups.default_group(tx, call.ctx.project_id or "")
    found = SECURITY_GROUPS.where(tx) if everybody else SECURITY_GROUPS.where(tx, project_id=call.ctx.project_id)
    first = int(call.query.last("offset") or 0)
    last = first + int(call.query.last("limit") or len(found))
    ordered = sorted(found, key=lambda group: (group["project_id"], group["name"]))
    return Reply({"security_groups": shown(tx, ordered[first:last])})


def show_group(tx: Tx, call: Call) -> Reply:
    """GET /os-security-groups/{id}."""
    return Reply({"security_group": shown(tx, [_find(tx, call, call.params["group"])])[0]})


def create_group(tx: Tx, call: Call) -> Reply:
    """POST /os-security-groups."""
    given: Json = call.body["security_group"]
    spec = {"id": new_id(), "project_id": call.ctx.project_id, "name": given["name"],
            "description": given["description"]}
    try:
        made = groups.create(tx, call.ctx, [spec])
    except Conflict as error:
        raise Forbidden(error.message) from None
    return Reply({"security_group": shown(tx, made)[0]})


def update_group(tx: Tx, call: Call) -> Reply:
    """PUT /os-security-groups/{id}."""
    group = _find(tx, call, call.params["group"])
    given: Json = call.body["security_group"]
    changes = {name: given[name] for name in ("name", "description")}
    try:
        changed = groups.update_group(tx, call.ctx, group, changes)
    except Conflict as error:
        raise Invalid(error.message) from None
    return Reply({"security_group": shown(tx, [changed])[0]})


def delete_group(tx: Tx, call: Call) -> None:
    """DELETE /os-security-groups/{id}."""
    try:
        groups.delete_group(tx, call.ctx, _find(tx, call, call.params["group"]))
    except Conflict as error:
        raise Invalid(error.message) from None


# -- rules

def create_rule(tx: Tx, call: Call) -> Reply:
    """POST /os-security-group-rules."""
    given: Json = call.body["security_group_rule"]
    spec = _spec(given)
    group = _find(tx, call, given["parent_group_id"])
    if given.get("group_id"):
        _find(tx, call, given["group_id"])
    spec.update(id=new_id(), security_group_id=group["id"], project_id=group["project_id"])
    try:
        made = groups.create_rules(tx, call.ctx, [spec])[0]
    except Conflict as error:
        if error.type == "SecurityGroupRuleExists":
            raise Invalid(error.message) from None
        raise Forbidden(error.message) from None
    source = groups.by_ids(tx, [made["remote_group_id"]] if made["remote_group_id"] else [])
    shown = _rule(made, {id: {"name": one["name"], "tenant_id": one["project_id"]} for id, one in source.items()})
    return Reply({"security_group_rule": shown})


def _spec(given: Json) -> dict[str, Any]:
    """The rule as the network service takes it. Raises ``Invalid``."""
    protocol = str(given["ip_protocol"]) if given.get("ip_protocol") else None
    low, high, source = given.get("from_port"), given.get("to_port"), given.get("group_id")
    cidr = None if source else _cidr(given.get("cidr"))
    if source and low is None and high is None and protocol:
        low, high = (1, 65535) if protocol.upper() in _WITH_PORTS else (-1, -1)
    if protocol and low is not None and high is not None:
        low, high = _ports(protocol.upper(), low, high)
    elif cidr:
        raise Invalid("Not enough parameters to build a valid rule.")
    else:
        low = high = None
    version = 6 if cidr and ":" in cidr else 4
    return {"direction": "ingress", "ethertype": f"IPv{version}", "protocol": protocol.lower() if protocol else None,
            "port_range_min": None if low == -1 else low, "port_range_max": None if high == -1 else high,
            "remote_group_id": source, "remote_ip_prefix": cidr}


def _cidr(text: Any) -> str:
    if not text:
        return _ANYWHERE["IPv4"]
    try:
        network = ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        raise Invalid(f"Invalid cidr {text}.") from None
    if network.prefixlen == 0 and str(text).split("/")[0] not in ("0.0.0.0", "::"):
        raise Invalid(f"Bad prefix for network in cidr {text}")
    return str(text) if "/" in str(text) else str(network)


def _ports(protocol: str, low: Any, high: Any) -> tuple[int, int]:
    try:
        low, high = int(low), int(high)
    except (TypeError, ValueError):
        what = "Type and Code" if protocol == "ICMP" else "To and From ports"
        raise Invalid(f"Invalid input received: {what} must be integers") from None
    if protocol not in (*_WITH_PORTS, "ICMP"):
        raise Invalid(f"Invalid IP protocol {protocol}.")
    fault = None
    if low > high and protocol != "ICMP":
        fault = "Former value cannot be greater than the later"
    elif protocol in _WITH_PORTS and (low < 1 or high > 65535):
        fault = f"Valid {protocol} ports should be between 1-65535"
    elif protocol == "ICMP" and not (-1 <= low <= 255 and -1 <= high <= 255):
        fault = "For ICMP, the type:code must be valid"
    if fault:
        raise Invalid(f"Invalid port range {low}:{high}. {fault}")
    return low, high


def delete_rule(tx: Tx, call: Call) -> None:
    """DELETE /os-security-group-rules/{id}."""
    id = call.params["rule"]
    if not FORMATS["uuid"](id):
        raise Invalid("Security group id should be uuid")
    rule = RULES.get(tx, id)
    if rule is None or not (call.ctx.is_admin or rule["project_id"] == call.ctx.project_id):
        raise NotFound(f"Rule ({id}) not found.")
    groups.delete_rule(tx, call.ctx, rule)


_NAME = {"type": "string", "minLength": 0, "maxLength": 255}
_GROUP = always(obj({"security_group": obj({"name": _NAME, "description": _NAME}, "name", "description", more=True)},
                    "security_group", more=True))
_RULE = always(only("security_group_rule", obj({
    "parent_group_id": UUID, "group_id": {"type": ["string", "null"], "format": "uuid"}, "from_port": ANY,
    "to_port": ANY, "ip_protocol": ANY, "cidr": ANY}, "parent_group_id", more=True), more=True))
_LIST = always(query({"limit": COUNT, "offset": COUNT, "all_tenants": TEXT}))
_ONE = "/os-security-groups/{group}"
ROUTES = [
    route("GET", "/os-security-groups", list_groups, "os-security-groups:get", max=_LAST, mode="write", query=_LIST),
    route("POST", "/os-security-groups", create_group, "os-security-groups:create", max=_LAST, body=_GROUP),
    route("GET", _ONE, show_group, "os-security-groups:show", max=_LAST),
    route("PUT", _ONE, update_group, "os-security-groups:update", max=_LAST, body=_GROUP),
    route("DELETE", _ONE, delete_group, "os-security-groups:delete", max=_LAST, status=202),
    route("POST", "/os-security-group-rules", create_rule, "os-security-groups:rule:create", max=_LAST, body=_RULE),
    route("DELETE", "/os-security-group-rules/{rule}", delete_rule, "os-security-groups:rule:delete", max=_LAST,
          status=202),
]
