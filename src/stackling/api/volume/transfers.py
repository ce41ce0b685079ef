"""``/os-volume-transfer`` and, from 3.55 on, ``/volume-transfers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import (
    BOOLEAN,
    NAME,
    UUID,
    Json,
    authorize,
    boolean,
    links,
    listing,
    obj,
    only,
    paged,
    route,
)
from stackling.volume import facade, lists, transfers, volumes
from stackling.volume.lists import Condition
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "name": "name", "created_at": "created_at", "volume_id": "volume_id"}


def _summary(call: Call, row: AnyRow) -> Json:
    return {"id": row["id"], "name": row["name"], "volume_id": row["volume_id"],
            "links": links(call, "os-volume-transfer", row["id"])}


def _shown(call: Call, row: AnyRow) -> Json:
    shown = {**_summary(call, row), "created_at": row["created_at"]}
    if call.version >= (3, 55):
        shown["no_snapshots"] = bool(row["no_snapshots"])
    if call.version >= (3, 57):
        shown.update(source_project_id=row["source_project_id"], accepted=bool(row["accepted"]),
                     destination_project_id=row["destination_project_id"])
    return shown


def _find(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = transfers.get_transfer(tx, call.ctx, call.params["id"])
    call.authorize({"project_id": row["source_project_id"]}, rule)
    return row


def create(tx: Tx, call: Call) -> Reply:
    """POST: the answer has the key, which is shown this once."""
    body: Json = call.body["transfer"]
    volume = volumes.get_volume(tx, call.ctx, body["volume_id"])
    authorize(call, volume, "volume:create_transfer")
    alone = boolean("no_snapshots", body.get("no_snapshots", False)) if call.version >= (3, 55) else False
    name = body.get("name")
    row, key = transfers.create_transfer(tx, call.ctx, volume, name.strip() if name else name, no_snapshots=alone,
                                         allow_encrypted=call.version >= (3, 70))
    return Reply({"transfer": {**_shown(call, row), "auth_key": key}}, 202)


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    conditions = [Condition(key, "eq", value) for key in ("name", "volume_id")
                  if (value := call.query.last(key)) is not None]
    asked = listing(call, _SORT_KEYS, conditions, everybodys=True, project_column="source_project_id")
    show = _shown if detail else _summary
    shown = [show(call, row) for row in lists.page(tx, facade.TRANSFERS, asked)]
    return Reply(paged(call, "os-volume-transfer", "transfers", shown, asked, path="/detail" if detail else ""))


def index(tx: Tx, call: Call) -> Reply:
    """GET."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET …/detail."""
    return _list(tx, call, detail=True)


def show(tx: Tx, call: Call) -> Reply:
    """GET …/{id}."""
    return Reply({"transfer": _shown(call, _find(tx, call, "volume:get_transfer"))})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE …/{id}."""
    transfers.delete_transfer(tx, _find(tx, call, "volume:delete_transfer"))
    return Reply(status=202)


def accept(tx: Tx, call: Call) -> Reply:
    """POST …/{id}/accept."""
    row = transfers.accept_transfer(tx, call.ctx, call.params["id"], call.body["accept"]["auth_key"])
    return Reply({"transfer": _summary(call, row)}, 202)


_NEW: Json = {"volume_id": UUID, "name": NAME, "no_snapshots": BOOLEAN}
_ACCEPT: Json = {"auth_key": {"type": "string", "minLength": 1, "maxLength": 255}}
ROUTES = [each for path, since in (("/os-volume-transfer", None), ("/volume-transfers", (3, 55))) for each in (
    route("GET", path, index, "volume:get_all_transfers", min=since),
    route("POST", path, create, "volume:create_transfer", min=since, status=202,
          body=always(only("transfer", obj(_NEW, "volume_id", more=True)))),
    route("GET", f"{path}/detail", detail, "volume:get_all_transfers", min=since),
    route("GET", f"{path}/{{id}}", show, "volume:get_transfer", min=since),
    route("DELETE", f"{path}/{{id}}", delete, "volume:delete_transfer", min=since, status=202),
    route("POST", f"{path}/{{id}}/accept", accept, "volume:accept_transfer", min=since, status=202,
          body=always(only("accept", obj(_ACCEPT, "auth_key")))))]
