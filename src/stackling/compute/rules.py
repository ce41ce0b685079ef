"""What a server's state is: a pure function of what was asked for and what was seen.

Names and meanings are Nova's (https://docs.openstack.org/nova/latest/reference/vm-states.html). ``vm_state`` says what
the guest is, ``task_state`` what is being done about it (None: nothing), ``power_state`` what the hypervisor shows,
``status`` what the API's users read. None of them is ever stored as progress: the columns of the same names are
caches, recomputed in each transaction that changes an input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackling.compute.model import Awaits, Shelve, awaits, is_volume_backed
from stackling.ports.document import Power

NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED, SUSPENDED = 0, 1, 3, 4, 6, 7

_POWER_STATES = {
    None: NOSTATE, Power.ABSENT: NOSTATE, Power.RUNNING: RUNNING, Power.PAUSED: PAUSED, Power.STOPPED: SHUTDOWN,
    Power.CRASHED: CRASHED, Power.SUSPENDED: SHUTDOWN,
}
_VM_STATES = {
    Power.RUNNING: "active", Power.STOPPED: "stopped", Power.PAUSED: "paused", Power.SUSPENDED: "suspended",
    Power.CRASHED: "stopped",
}
_TASKS = {
    (Power.RUNNING, "stopped"): "powering-on",
    (Power.RUNNING, "paused"): "unpausing",
    (Power.RUNNING, "suspended"): "resuming",
    (Power.STOPPED, "active"): "powering-off",
    (Power.STOPPED, "paused"): "powering-off",
    (Power.STOPPED, "suspended"): "powering-off",
    (Power.PAUSED, "active"): "pausing",
    (Power.PAUSED, "stopped"): "pausing",
    (Power.PAUSED, "suspended"): "pausing",
    (Power.SUSPENDED, "active"): "suspending",
    (Power.SUSPENDED, "stopped"): "suspending",
    (Power.SUSPENDED, "paused"): "suspending",
}
_TRANSIENT = ("rescuing", "migrating", "image_uploading", "resize_migrating", "resize_finish", "rebuilding",
              "rebuild_block_device_mapping", "rebooting_hard", "rebooting")
"""What is done under way of these is no state of the server: it counts as what it shall be."""
_STATUSES: dict[str, dict[str | None, str]] = {
    "active": {None: "ACTIVE", "rebooting": "REBOOT", "reboot_pending": "REBOOT", "reboot_started": "REBOOT",
               "rebooting_hard": "HARD_REBOOT", "reboot_pending_hard": "HARD_REBOOT",
               "reboot_started_hard": "HARD_REBOOT", "updating_password": "PASSWORD", "rebuilding": "REBUILD",
               "rebuild_block_device_mapping": "REBUILD", "rebuild_spawning": "REBUILD", "migrating": "MIGRATING",
               "resize_prep": "RESIZE", "resize_migrating": "RESIZE", "resize_migrated": "RESIZE",
               "resize_finish": "RESIZE"},
    "building": {None: "BUILD"},
    "stopped": {None: "SHUTOFF", "resize_prep": "RESIZE", "resize_migrating": "RESIZE", "resize_migrated": "RESIZE",
                "resize_finish": "RESIZE", "rebuilding": "REBUILD", "rebuild_block_device_mapping": "REBUILD",
                "rebuild_spawning": "REBUILD"},
    "resized": {None: "VERIFY_RESIZE", "resize_reverting": "REVERT_RESIZE"},
    "paused": {None: "PAUSED", "migrating": "MIGRATING"},
    "suspended": {None: "SUSPENDED"},
    "rescued": {None: "RESCUE"},
    "error": {None: "ERROR", "rebuilding": "REBUILD", "rebuild_block_device_mapping": "REBUILD",
              "rebuild_spawning": "REBUILD"},
    "deleted": {None: "DELETED"},
    "soft-delete": {None: "SOFT_DELETED"},
    "shelved": {None: "SHELVED"},
    "shelved_offloaded": {None: "SHELVED_OFFLOADED"},
}


_WAITS: dict[Awaits | None, str] = {
    Awaits.MADE: "waiting until its volumes are made", Awaits.IMAGE: "waiting until its root volume has the image"}


@dataclass(frozen=True, slots=True)
class State:
    """The four that the API shows."""

    status: str
    vm_state: str
    task_state: str | None
    power_state: int


def state(server: Mapping[str, Any]) -> State:
    """The state of *server*, a mapping with the columns of the table ``servers``."""
    if server["deleted"]:
        return State("DELETED", "deleted", None, NOSTATE)
    seen = None if server["observed_power"] is None else Power(server["observed_power"])
    power_state = _POWER_STATES[seen]
    task = _task_of_counters(server)
    vm_state = _vm_state(server, seen, task)
    if vm_state == "error" and (task != "deleting" or server["overdue"] or server["observed_terminal"]):
        task = None
    elif task is None and vm_state not in ("error", "building"):
        task = _TASKS.get((Power(server["power"]), vm_state))
        if task is None and seen is Power.ABSENT and vm_state == "active":
            task = "powering-on"
    elif vm_state == "building" and task is None:
        task = ("scheduling" if server["host"] is None else
                "block_device_mapping" if awaits(server) is Awaits.MADE else "spawning")
    return State(status_of(vm_state, task), vm_state, task, power_state)


def status_of(vm_state: str, task_state: str | None) -> str:
    """The status that Nova shows for the pair."""
    tasks = _STATUSES[vm_state]
    return tasks.get(task_state) or tasks[None]


def states_of_status(status: str) -> list[tuple[str, str | None]]:
    """(vm_state, task_state) pairs that have *status* in any case; empty for an unknown status."""
    wanted = status.upper()
    return [(vm, task) for vm, tasks in _STATUSES.items() for task, shown in tasks.items() if shown == wanted]


def is_status(status: str) -> bool:
    """Whether a server may have *status* (in any case)."""
    return bool(states_of_status(status))


def pending(server: Mapping[str, Any]) -> str | None:
    """Why the host isn't yet as the server should be; None when it is. For the engine and for people."""
    if server["host"] is None:
        return None
    if server["observed_error"] and not server["observed_converged"]:
        return str(server["observed_error"])
    if server["deleting"]:
        return "waiting for its host to remove the guest"
    if (waits := awaits(server)) in _WAITS:
        return _WAITS[waits]
    if server["held"]:
        return "waiting until its former host has let go of it"
    if server["move"] == "live-migration":
        return "migrating to another host"
    if server["observed_generation"] >= server["generation"] and server["observed_converged"]:
        return None
    step = f": {server['observed_step']}" if server["observed_step"] else ""
    return f"waiting for its host{step}"


def _task_of_counters(server: Mapping[str, Any]) -> str | None:
    if server["deleting"]:
        return "deleting"
    if server["shelve"] is not None and (shelving := _task_of_shelving(server)) is not None:
        return shelving
    if server["rebuilds"] > server["observed_rebuilds"] or server["move"] == "evacuation":
        return "rebuilding"
    if awaits(server) in (Awaits.OFF, Awaits.IMAGE):
        return "rebuild_block_device_mapping"
    if server["launched_at"] is None:
        return None
    if server["move"] == "live-migration":
        return "migrating"
    if server["move"] in ("migration", "resize") and server["held"] and not server["restored_resize"]:
        return "resize_migrating"
    if server["rescue"] is not None and server["observed_rescue"] != server["rescues"]:
        return "rescuing"
    if server["rescue"] is None and server["observed_rescue"]:
        return "unrescuing"
    if server["resizes"] > server["observed_resizes"]:
        return "resize_reverting" if server["restored_resize"] else "resize_finish"
    if server["snapshot_id"] is not None:
        return "image_uploading"
    if server["hard_reboots"] > server["observed_hard_reboots"]:
        return "rebooting_hard"
    if server["soft_reboots"] > server["observed_soft_reboots"]:
        return "rebooting"
    return None


def _task_of_shelving(server: Mapping[str, Any]) -> str | None:
    match server["shelve"]:
        case Shelve.SHELVED if server["snapshot_id"] is not None:
            off = server["observed_power"] in (Power.STOPPED, Power.CRASHED)
            return "shelving_image_uploading" if off else "shelving"
        case Shelve.OFFLOADED if server["host"] is not None:
            return "shelving_offloading"
        case Shelve.BACK:
            return "powering-on" if _never_left(server) else "spawning"
        case _:
            return None


def _never_left(server: Mapping[str, Any]) -> bool:
    """Whether a server that comes back is where it was shelved; one that boots from a volume never is."""
    return server["shelved_image_id"] is None and not is_volume_backed(server)


def _vm_state(server: Mapping[str, Any], seen: Power | None, task: str | None) -> str:
    if server["forced_error"] or server["observed_terminal"] or server["overdue"]:
        return "error"
    match server["shelve"]:
        case Shelve.OFFLOADED:
            return "shelved" if server["host"] is not None else "shelved_offloaded"
        case Shelve.SHELVED if server["snapshot_id"] is None:
            return "shelved"
        case Shelve.BACK:
            return "shelved" if _never_left(server) else "shelved_offloaded"
        case _:
            pass
    if server["host"] is None and server["fault_code"] is not None:
        return "error"
    if server["launched_at"] is None:
        return "building"
    if task == "resize_reverting" or (
            task not in ("resize_finish", "resize_migrating") and server["old_flavor"] is not None):
        return "resized"
    if task == "unrescuing" or (server["rescue"] is not None and task != "rescuing"):
        return "rescued"
    if seen is None or seen is Power.ABSENT or task in _TRANSIENT:
        return _VM_STATES[Power(server["power"])]
    return _VM_STATES[seen]
