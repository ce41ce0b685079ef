"""A server's actions as ``os-instance-actions`` shows them. Each has one event, that of the host that did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.engine import Row

from stackling.compute.model import ServerRow
from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.store.tables.compute import server_actions as actions
from stackling.store.transaction import Tx

EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "start": "compute_start_instance",
    "stop": "compute_stop_instance",
    "reboot": "compute_reboot_instance",
    "pause": "compute_pause_instance",
    "unpause": "compute_unpause_instance",
    "suspend": "compute_suspend_instance",
    "resume": "compute_resume_instance",
    "rebuild": "compute_rebuild_instance",
    "attach_volume": "compute_attach_volume",
    "detach_volume": "compute_detach_volume",
    "extend_volume": "compute_extend_volume",
    "attach_interface": "compute_attach_interface",
    "detach_interface": "compute_detach_interface",
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "resize": "compute_resize_instance",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "evacuate": "compute_rebuild_instance",
    "migrate": "cold_migrate",
    "live-migration": "compute_live_migration",
    "shelve": "compute_shelve_instance",
    "shelveOffload": "compute_shelve_offload_instance",
    "unshelve": "compute_unshelve_instance",
    "rescue": "compute_rescue_instance",
    "unrescue": "compute_unrescue_instance",
    "changePassword": "compute_set_admin_password",
    "trigger_crash_dump": "compute_trigger_crash_dump",
    "lock": "api_lock",
    "unlock": "api_unlock",
}
_INSERT = insert(actions)
_FINISH = update(actions).where(actions.c.server_id == bindparam("server"), actions.c.finished_at.is_(None)).values(
    finished_at=bindparam("now"), updated_at=bindparam("now"), result=bindparam("how"), message=bindparam("why"),
    details=bindparam("more"))
_FAIL = _FINISH.where(actions.c.action == bindparam("what"))
_END = _FAIL.where(actions.c.request_id == bindparam("request"))
_LIST = select(actions).where(actions.c.server_id == bindparam("server")).order_by(
    actions.c.started_at.desc(), actions.c.id.desc())
_ONE = select(actions).where(actions.c.server_id == bindparam("server"), actions.c.request_id == bindparam("request")
                             ).order_by(actions.c.id.desc())


def begin(tx: Tx, ctx: Context, server: Mapping[str, Any], action: str, message: str | None = None, *,
          done: bool = False, event: bool = True) -> None:
    """Note that *action* began (and with *done* that it ended in this transaction)."""
    add(tx, [entry(tx, ctx, server, action, done=done)])
    if event:
        tx.event(ctx, "server", server["id"], action, message, project_id=server["project_id"])


def entry(tx: Tx, ctx: Context, server: Mapping[str, Any], action: str, *, done: bool = False,
          error: str | None = None, details: str | None = None) -> dict[str, Any]:
    """The row of an action."""
    ended = done or error is not None
    return {
        "server_id": server["id"], "request_id": ctx.request_id, "action": action, "project_id": ctx.project_id,
        "user_id": ctx.user_id, "started_at": tx.now, "updated_at": tx.now, "host": server["host"],
        "finished_at": tx.now if ended else None, "message": error, "details": details,
        "result": ("Error" if error else "Success") if ended else None}


def add(tx: Tx, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write rows made by ``entry``."""
    tx.execute(_INSERT, list(entries))


def finish(tx: Tx, server: Mapping[str, Any]) -> None:
    """What was under way for the server has ended: well, or with its fault."""
    failed = server["vm_state"] == "error"
    tx.changed(_FINISH, server=server["id"], now=tx.now, how="Error" if failed else "Success",
               why=server["fault_message"] if failed else None, more=server["fault_details"] if failed else None)


def fail(tx: Tx, server: Mapping[str, Any], action: str, reason: str) -> None:
    """The *action* under way has failed, though the server is well."""
    tx.changed(_FAIL, server=server["id"], what=action, now=tx.now, how="Error", why=reason, more=reason)


def end(tx: Tx, server: Mapping[str, Any], request_id: str, action: str, error: str | None) -> None:
    """The *action* that *request_id* began has ended: well, or with *error*."""
    tx.changed(_END, server=server["id"], what=action, request=request_id, now=tx.now, why=error, more=error,
               how="Success" if error is None else "Error")


def list_actions(tx: Tx, server: ServerRow, *, limit: int | None = None, marker: str | None = None,
                 since: str | None = None, before: str | None = None) -> list[Row[Any]]:
    """The server's actions, the newest first. *marker* is a request id; raises ``Invalid`` for an unknown one."""
    found = [row for row in tx.all(_LIST, server=server["id"])
             if (since is None or row.updated_at >= since) and (
                 before is None or row.updated_at <= clock.whole_second(before))]
    if marker is not None:
        at = next((i for i, row in enumerate(found) if row.request_id == marker), None)
        if at is None:
            raise Invalid(f"marker [{marker}] not found")
        found = found[at + 1:]
    return found if limit is None else found[:limit]


def get_action(tx: Tx, server: ServerRow, request_id: str) -> Row[Any] | None:
    """The action that *request_id* began."""
    return tx.one(_ONE, server=server["id"], request=request_id)
