"""Actions that take a server to another host: evacuate, migrate, os-migrateLive."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

from stackling.api.call import Call, Reply, Version
from stackling.api.compute.parts import BOOLEAN, HOST, TEXT, Json, is_true, obj, only
from stackling.api.schema import Schemas
from stackling.compute import cold_migration, live_migration, moving
from stackling.compute.model import ServerRow
from stackling.core.errors import Invalid

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SOME_HOST = {**HOST, "type": ["string", "null"]}


def evacuate(tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    """``evacuate``: what is on shared storage is found out here, whatever the caller says (as from 2.14 on)."""
    old = call.version < (2, 14)
    if old and is_true(value["onSharedStorage"]) and "adminPass" in value:
        raise Invalid("admin password can't be changed on existing disk")
    how = moving.Evacuate(
        reason=f"asked for by user {call.ctx.user_id}", host=value.get("host"),
        forced="host" in value and is_true(value.get("force", False)), stopped=call.version >= (2, 95))
    if is_true(value.get("force", False)) and how.host is None:
        raise Invalid("Can't force to a non-provided destination")
    moving.request_evacuation(tx, call.ctx, server, how)
    if not old:
        return Reply(status=200)
    return Reply({"adminPass": value.get("adminPass") or secrets.token_urlsafe(9)}, 200)


def migrate(tx: Tx, call: Call, server: ServerRow, value: Any) -> None:
    """``migrate``: to another host while the guest is off."""
    host: str | None = None
    if call.version >= (2, 56) and isinstance(value, dict):
        host = cast("Json", value).get("host")
    if host is not None:
        call.authorize({"project_id": server["project_id"], "user_id": server["user_id"]},
                       "os_compute_api:os-migrate-server:migrate:host")
    cold_migration.migrate_server(tx, call.ctx, server, host)


def live_migrate(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    """``os-migrateLive``. From 2.34 on what keeps every host from taking it is told by the migration, not here."""
    host, block = value["host"], value["block_migration"]
    if host is not None:
        call.authorize({"project_id": server["project_id"], "user_id": server["user_id"]},
                       "os_compute_api:os-migrate-server:migrate_live:host")
    forced = is_true(value.get("force", False))
    if forced and host is None:
        raise Invalid("Can't force to a non-provided destination")
    how = live_migration.Live(host, None if block == "auto" else is_true(block), forced)
    try:
        live_migration.request(tx, call.ctx, server, how)
    except Invalid as error:
        if call.version < (2, 34):
            raise
        live_migration.check(tx, call.ctx, server, how)
        live_migration.record_refusal(tx, call.ctx, server, error.message)


def _live(version: Version) -> Json:
    properties: Json = {"block_migration": BOOLEAN, "host": _SOME_HOST}
    if version < (2, 25):
        return only("os-migrateLive", obj({**properties, "disk_over_commit": BOOLEAN}, "block_migration", "host",
                                          "disk_over_commit"))
    properties["block_migration"] = {**BOOLEAN, "enum": [*BOOLEAN["enum"], "auto"]}
    if (2, 30) <= version < (2, 68):
        properties["force"] = BOOLEAN
    return only("os-migrateLive", obj(properties, "block_migration", "host"))


def _evacuate(version: Version) -> Json:
    properties: Json = {"host": HOST, "adminPass": TEXT}
    if version < (2, 14):
        return only("evacuate", obj({**properties, "onSharedStorage": BOOLEAN}, "onSharedStorage"))
    if (2, 29) <= version < (2, 68):
        properties["force"] = BOOLEAN
    return only("evacuate", obj(properties))


EVACUATE = Schemas({version: _evacuate(version) for version in ((2, 0), (2, 14), (2, 29), (2, 68))})
LIVE = Schemas({version: _live(version) for version in ((2, 0), (2, 25), (2, 30), (2, 68))})
MIGRATE = Schemas({(2, 0): only("migrate", {}), (2, 56): only("migrate", {
    "type": ["object", "null"], "properties": {"host": _SOME_HOST}, "additionalProperties": False})})
