"""``POST /servers/{id}/action``: the actions as a table."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from stackling.api.call import Call, Reply, Version
from stackling.api.compute import agents, consoles, crash_dumps, moves, passwords
from stackling.api.compute import schema_servers as schema
from stackling.api.compute.parts import Json, route
from stackling.api.compute.servers import columns, flavor_ref, injected_files, plain_addresses, shown
from stackling.api.schema import Schemas
from stackling.compute import (
    actions,
    addresses,
    changes,
    hosts,
    rebuild,
    rescue,
    resize,
    servers,
    shelving,
    snapshots,
    unshelving,
)
from stackling.compute.model import ServerRow
from stackling.core.errors import Conflict, Gone, Invalid, NotFound, Unavailable
from stackling.core.ids import new_id

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

Handler = Callable[["Tx", Call, ServerRow, Any], Any]


@dataclass(frozen=True, slots=True)
class ServerAction:
    """One action: what does it, who may, what its body is, and in which microversions it exists."""

    handler: Handler
    rule: str
    body: Schemas
    status: int = 202
    min: Version | None = None
    max: Version | None = None


def _perform(action: actions.Action) -> Handler:
    def handler(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
        actions.perform(tx, call.ctx, server, action)

    return handler


def _reboot(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    soft = value["type"].upper() == "SOFT"
    actions.perform(tx, call.ctx, server, actions.SOFT_REBOOT if soft else actions.HARD_REBOOT)


def _rebuild(tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    password = value.get("adminPass") or secrets.token_urlsafe(9)
    rebuild.rebuild_server(tx, call.ctx, server, _rebuild_spec(value, reimage=call.version >= (2, 93)))
    result = shown(tx, call, server["id"], one=call.version >= (2, 71))
    if call.version < (2, 75):
        kept = ("OS-DCF:", "OS-EXT-SRV-ATTR:hostname") if call.version >= (2, 90) else ("OS-DCF:",)
        result = {name: v for name, v in result.items() if not name.startswith(("OS-", "os-", "security_groups",
                  "config_drive", "host_status")) or name.startswith(kept)}
        result["addresses"] = plain_addresses(result["addresses"])
        if call.version < (2, 54):
            result.pop("key_name", None)
    result.pop("OS-EXT-SRV-ATTR:user_data", None)
    if call.version >= (2, 57):
        result["user_data"] = rebuild.user_data(tx, server["id"])
    result["adminPass"] = password
    return Reply({"server": result}, headers={"Location": result["links"][0]["href"]})


def _rebuild_spec(value: Json, *, reimage: bool) -> rebuild.Rebuild:
    names = {"name": "name", "accessIPv4": "access_ip_v4", "accessIPv6": "access_ip_v6", "metadata": "metadata",
             "description": "description", "hostname": "hostname", "OS-DCF:diskConfig": "disk_config",
             "user_data": "user_data"}
    return rebuild.Rebuild(value["imageRef"], columns(value, names), value.get("key_name"), "key_name" in value,
                           reimage, injected_files(value))


def _resize(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    changed = resize.resize_server(tx, call.ctx, server, flavor_ref(value["flavorRef"]))
    if "OS-DCF:diskConfig" in value:
        changes.apply(tx, changed, {"disk_config": value["OS-DCF:diskConfig"]})


def _confirm_resize(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    resize.confirm_resize(tx, call.ctx, server)


def _revert_resize(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    resize.revert_resize(tx, call.ctx, server)


def _create_image(tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    id = new_id()
    snapshots.create_image(tx, call.ctx, server, id, value["name"].strip(), value.get("metadata", {}))
    return _image_reply(call, id)


def _create_backup(tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    id, rotation = new_id(), int(value["rotation"])
    snapshots.create_image(tx, call.ctx, server, id, value["name"].strip(), value.get("metadata", {}),
                           snapshots.Backup(value["backup_type"], rotation))
    return _image_reply(call, id) if rotation else Reply(status=202)


def _image_reply(call: Call, id: str) -> Reply:
    if call.version >= (2, 45):
        return Reply({"image_id": id}, 202)
    return Reply(status=202, headers={"Location": f"{call.base}/image/v2/images/{id}"})


def _reset_state(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    actions.reset_state(tx, call.ctx, server, value["state"])


def _lock(tx: Tx, call: Call, server: ServerRow, value: Any) -> None:
    reason = cast("Json", value).get("locked_reason") if isinstance(value, dict) else None
    actions.lock(tx, call.ctx, server, reason)


def _unlock(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    if server["locked_by"] == "admin":
        call.authorize(_target(server), "os_compute_api:os-lock-server:unlock:unlock_override")
    actions.unlock(tx, call.ctx, server)


def _force_delete(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    servers.delete_server(tx, call.ctx, server["id"])


def _console_output(tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    length = value.get("length")
    lines = None if length in (None, -1, "-1") else int(length)
    if server["host_id"] is None or (server["launched_at"] is None and server["observed_power"] is None):
        raise Conflict(f"Instance {server['id']} is not ready")
    address = hosts.get_host(tx, server["host_id"])["address"]

    async def ask() -> Reply:
        if lines == 0:
            return Reply({"output": ""}, status=200)
        return Reply({"output": await _ask_console(call, address, server["id"], lines)}, status=200)

    return Reply(then=ask)


async def _ask_console(call: Call, address: str | None, id: str, lines: int | None) -> str:
    path = f"/servers/{id}/console-output" + ("" if lines is None else f"?lines={lines}")
    status, answer = await agents.ask(
        call, address, "GET", path, not_here=NotFound("Unable to get console: the guest isn't on its host."),
        no_agent="Unable to get console log, functionality not implemented")
    if status != 200:
        raise Unavailable(f"Unable to get console: {answer.get('error')}")
    output: str = answer["output"]
    return output if lines is None else "\n".join(output.split("\n")[-lines:])      # as Nova counts


def _add_floating_ip(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    try:
        addresses.add_floating_ip(tx, call.ctx, server, value["address"], value.get("fixed_address"))
    except Conflict as error:
        if error.type != "FloatingIPPortAlreadyAssociated":
            raise
        raise Invalid(error.message) from None


def _remove_floating_ip(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    addresses.remove_floating_ip(tx, call.ctx, server, value["address"])


def _add_fixed_ip(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    addresses.add_fixed_ip(tx, call.ctx, server, str(value["networkId"]))


def _remove_fixed_ip(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    addresses.remove_fixed_ip(tx, call.ctx, server, value["address"])


def _add_security_group(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    addresses.add_security_group(tx, call.ctx, server, value["name"])


def _remove_security_group(tx: Tx, call: Call, server: ServerRow, value: Json) -> None:
    addresses.remove_security_group(tx, call.ctx, server, value["name"])


def _inject_network_info(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    addresses.refresh(tx, server)


def _shelve(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    shelving.shelve_server(tx, call.ctx, server, new_id())


def _shelve_offload(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    shelving.offload_server(tx, call.ctx, server)


def _rescue(tx: Tx, call: Call, server: ServerRow, value: Any) -> Reply:
    given: Json = value or {}
    rescue.rescue_server(tx, call.ctx, server, given.get("rescue_image_ref"), on_volume=call.version >= (2, 87))
    return Reply({"adminPass": given.get("adminPass") or secrets.token_urlsafe(9)}, 200)


def _unrescue(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    rescue.unrescue_server(tx, call.ctx, server)


def _unshelve(tx: Tx, call: Call, server: ServerRow, value: Any) -> None:
    given: Json = cast("Json", value) if isinstance(value, dict) and call.version >= (2, 77) else {}
    zone, host = given.get("availability_zone"), given.get("host")
    if host is not None:
        call.authorize(_target(server), "os_compute_api:os-shelve:unshelve_to_host")
    unshelving.unshelve_server(tx, call.ctx, server, unshelving.Where(
        zone, host, "availability_zone" in given and zone is None))


def _restore(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    """Deleted servers aren't kept (no ``reclaim_instance_interval``, as by default), so there is none to bring back."""
    servers.check_state(server, "restore", ("soft-delete",))


def _gone(tx: Tx, call: Call, server: ServerRow, _value: Any) -> None:
    raise Gone("This resource is no longer available. No forwarding address is given.")


_V21, _V25, _V243 = (2, 1), (2, 5), (2, 43)
ACTIONS: Mapping[str, ServerAction] = {
    "os-start": ServerAction(_perform(actions.START), "servers:start", schema.bare("os-start")),
    "os-stop": ServerAction(_perform(actions.STOP), "servers:stop", schema.bare("os-stop")),
    "reboot": ServerAction(_reboot, "servers:reboot", schema.REBOOT),
    "pause": ServerAction(_perform(actions.PAUSE), "os-pause-server:pause", schema.bare("pause")),
    "unpause": ServerAction(_perform(actions.UNPAUSE), "os-pause-server:unpause", schema.bare("unpause")),
    "suspend": ServerAction(_perform(actions.SUSPEND), "os-suspend-server:suspend", schema.bare("suspend")),
    "resume": ServerAction(_perform(actions.RESUME), "os-suspend-server:resume", schema.bare("resume")),
    "lock": ServerAction(_lock, "os-lock-server:lock", schema.LOCK),
    "unlock": ServerAction(_unlock, "os-lock-server:unlock", schema.bare("unlock")),
    "rebuild": ServerAction(_rebuild, "servers:rebuild", schema.REBUILD),
    "resize": ServerAction(_resize, "servers:resize", schema.RESIZE),
    "confirmResize": ServerAction(_confirm_resize, "servers:confirm_resize", schema.bare("confirmResize"), 204),
    "revertResize": ServerAction(_revert_resize, "servers:revert_resize", schema.bare("revertResize")),
    "forceDelete": ServerAction(_force_delete, "os-deferred-delete:force", schema.bare("forceDelete")),
    "os-resetState": ServerAction(_reset_state, "os-admin-actions:reset_state", schema.RESET_STATE),
    "injectNetworkInfo": ServerAction(_inject_network_info, "os-admin-actions:inject_network_info",
                                      schema.bare("injectNetworkInfo")),
    "resetNetwork": ServerAction(_gone, "servers:action", schema.bare("resetNetwork")),
    "os-getConsoleOutput": ServerAction(_console_output, "os-console-output", schema.CONSOLE_OUTPUT, 200),
    "changePassword": ServerAction(passwords.change_password, "os-admin-password", schema.ADMIN_PASSWORD),
    "addFloatingIp": ServerAction(_add_floating_ip, "os-floating-ips:add", schema.ADD_FLOATING_IP, max=_V243),
    "removeFloatingIp": ServerAction(_remove_floating_ip, "os-floating-ips:remove", schema.REMOVE_FLOATING_IP,
                                     max=_V243),
    "addFixedIp": ServerAction(_add_fixed_ip, "os-multinic:add", schema.ADD_FIXED_IP, max=_V243),
    "removeFixedIp": ServerAction(_remove_fixed_ip, "os-multinic:remove", schema.REMOVE_FIXED_IP, max=_V243),
    "addSecurityGroup": ServerAction(_add_security_group, "os-security-groups:add",
                                     schema.security_group("addSecurityGroup")),
    "removeSecurityGroup": ServerAction(_remove_security_group, "os-security-groups:remove",
                                        schema.security_group("removeSecurityGroup")),
    "os-getVNCConsole": ServerAction(
        partial(consoles.old_console, "os-getVNCConsole"), "os-remote-consoles",
        schema.console("os-getVNCConsole", "novnc", "xvpvnc"), max=_V25),
    "os-getSPICEConsole": ServerAction(
        partial(consoles.old_console, "os-getSPICEConsole"), "os-remote-consoles",
        schema.console("os-getSPICEConsole", "spice-html5"), max=_V25),
    "os-getSerialConsole": ServerAction(
        partial(consoles.old_console, "os-getSerialConsole"), "os-remote-consoles",
        schema.console("os-getSerialConsole", "serial"), max=_V25),
    "os-getRDPConsole": ServerAction(
        partial(consoles.old_console, "os-getRDPConsole"), "os-remote-consoles", schema.bare("os-getRDPConsole"),
        max=_V25),
    "evacuate": ServerAction(moves.evacuate, "os-evacuate", moves.EVACUATE, 200),
    "migrate": ServerAction(moves.migrate, "os-migrate-server:migrate", moves.MIGRATE),
    "os-migrateLive": ServerAction(moves.live_migrate, "os-migrate-server:migrate_live", moves.LIVE),
    "shelve": ServerAction(_shelve, "os-shelve:shelve", schema.bare("shelve")),
    "shelveOffload": ServerAction(_shelve_offload, "os-shelve:shelve_offload", schema.bare("shelveOffload")),
    "unshelve": ServerAction(_unshelve, "os-shelve:unshelve", schema.UNSHELVE),
    "createImage": ServerAction(_create_image, "servers:create_image", schema.CREATE_IMAGE),
    "createBackup": ServerAction(_create_backup, "os-create-backup", schema.CREATE_BACKUP),
    "rescue": ServerAction(_rescue, "os-rescue", schema.RESCUE, 200),
    "unrescue": ServerAction(_unrescue, "os-unrescue", schema.bare("unrescue")),
    "restore": ServerAction(_restore, "os-deferred-delete:restore", schema.bare("restore")),
    "trigger_crash_dump": ServerAction(
        crash_dumps.trigger, "servers:trigger_crash_dump", schema.empty("trigger_crash_dump"), min=(2, 17)),
}


def _target(server: ServerRow) -> dict[str, Any]:
    return {"project_id": server["project_id"], "user_id": server["user_id"]}


def act(tx: Tx, call: Call) -> Reply:
    """Find the action that the body names, and do it."""
    body: Json | None = call.body
    if not isinstance(body, dict) or not body:
        raise Invalid("Malformed request body: the body must name an action.")
    name = next((key for key in body if key in ACTIONS), next(iter(body)))
    action = ACTIONS.get(name)
    if action is None or (len(body) != 1 and not name.endswith("SecurityGroup")):
        raise Invalid(f"There is no such action: {name}" if action is None else
                      f"Additional properties are not allowed ({', '.join(sorted(set(body) - {name}))} unexpected)")
    if (action.min and call.version < action.min) or (action.max and call.version > action.max):
        raise NotFound("The resource could not be found.")
    action.body.check(body, call.version)
    server = servers.get_server(tx, call.ctx, call.params["id"])
    call.authorize(_target(server), f"os_compute_api:{action.rule}")
    if server["deleting"] and name not in _WHILE_DELETING:
        servers.check_unlocked(call.ctx, server)
        servers.check_not_deleting(server, name)
    result = action.handler(tx, call, server, body[name])
    return result if isinstance(result, Reply) else Reply(status=action.status)


_WHILE_DELETING = frozenset(("forceDelete", "os-resetState", "os-getConsoleOutput", "lock", "unlock"))
ROUTES = [route("POST", "/servers/{id}/action", act, "servers:action", status=202)]

