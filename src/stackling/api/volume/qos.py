"""``/qos-specs``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import SOME_NAME, Json, array, boolean, links, listing, obj, only, route
from stackling.core.errors import Invalid
from stackling.volume import qos
from stackling.volume.lists import Condition
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FILTERS = ("id", "name", "consumer")
_SORT_KEYS = {name: name for name in ("id", "name", "consumer", "created_at")}
CONSUMERS = ("back-end", "front-end", "both")


def _find(tx: Tx, call: Call) -> AnyRow:
    return qos.get_specs(tx, call.params["id"])


def _shown(row: AnyRow) -> Json:
    return {"id": row["id"], "name": row["name"], "consumer": row["consumer"], "specs": row["specs"]}


def index(tx: Tx, call: Call) -> Reply:
    """GET /qos-specs."""
    conditions = [Condition(name, "eq", wanted) for name in _FILTERS if (wanted := call.query.last(name)) is not None]
    asked = replace(listing(call, _SORT_KEYS, conditions, everybodys=False), project_id=None)
    return Reply({"qos_specs": [_shown(row) for row in qos.list_specs(tx, asked)]})


def show(tx: Tx, call: Call) -> Reply:
    """GET /qos-specs/{id}."""
    row = _find(tx, call)
    return Reply({"qos_specs": _shown(row), "links": links(call, "qos-specs", row["id"])})


def _items(body: Json) -> tuple[str | None, dict[str, str]]:
    items = {key: str(value) for key, value in body.items() if key not in ("name", "consumer")}
    consumer = body.get("consumer")
    if consumer is not None and consumer not in CONSUMERS:
        raise Invalid(f"Invalid qos specs: Valid consumer of QoS specs are: {list(CONSUMERS)}")
    return consumer, items


def create(tx: Tx, call: Call) -> Reply:
    """POST /qos-specs."""
    body: Json = call.body["qos_specs"]
    consumer, items = _items(body)
    row = qos.create_specs(tx, body["name"].strip(), consumer or "back-end", items)
    return Reply({"qos_specs": _shown(row), "links": links(call, "qos-specs", row["id"])})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /qos-specs/{id}: add or replace keys."""
    consumer, items = _items(call.body["qos_specs"])
    qos.set_keys(tx, _find(tx, call), consumer, items)
    return Reply(call.body)


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /qos-specs/{id}."""
    qos.delete_specs(tx, _find(tx, call), force=boolean("force", call.query.last("force") or "false"))
    return Reply(status=202)


def delete_keys(tx: Tx, call: Call) -> Reply:
    """PUT …/delete_keys."""
    qos.delete_keys(tx, _find(tx, call), call.body["keys"])
    return Reply(status=202)


def associations(tx: Tx, call: Call) -> Reply:
    """GET …/associations."""
    row = _find(tx, call)
    return Reply({"qos_associations": [{"association_type": "volume_type", "id": id, "name": name}
                                       for id, name in qos.associations(tx, row["id"])]})


def _type(call: Call) -> str:
    type = call.query.last("vol_type_id")
    if not type:
        raise Invalid("Volume Type id must not be None.")
    return type


def associate(tx: Tx, call: Call) -> Reply:
    """GET …/associate."""
    qos.associate(tx, _find(tx, call), _type(call))
    return Reply(status=202)


def disassociate(tx: Tx, call: Call) -> Reply:
    """GET …/disassociate."""
    qos.disassociate(tx, _find(tx, call), _type(call))
    return Reply(status=202)


def disassociate_all(tx: Tx, call: Call) -> Reply:
    """GET …/disassociate_all."""
    qos.disassociate(tx, _find(tx, call), None)
    return Reply(status=202)


_R = "volume_extension:qos_specs_manage:"
_NAME: Json = {"name": SOME_NAME}
Q = "/qos-specs/{id}"
ROUTES = [
    route("GET", "/qos-specs", index, f"{_R}get_all"),
    route("POST", "/qos-specs", create, f"{_R}create",
          body=always(only("qos_specs", obj(_NAME, "name", more=True)))),
    route("GET", Q, show, f"{_R}get"),
    route("PUT", Q, update, f"{_R}update", body=always(only("qos_specs", {"type": "object"}))),
    route("DELETE", Q, delete, f"{_R}delete", status=202),
    route("PUT", f"{Q}/delete_keys", delete_keys, f"{_R}update", status=202,
          body=always(only("keys", array({"type": "string"}, minItems=1)))),
    route("GET", f"{Q}/associations", associations, f"{_R}get_all"),
    route("GET", f"{Q}/associate", associate, f"{_R}update", mode="write", status=202),
    route("GET", f"{Q}/disassociate", disassociate, f"{_R}update", mode="write", status=202),
    route("GET", f"{Q}/disassociate_all", disassociate_all, f"{_R}update", mode="write", status=202),
]
