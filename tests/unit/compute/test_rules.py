"""A server's state from what was asked for and what was seen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackling.compute import rules
from stackling.ports.document import Power
from stackling.store.tables.compute import servers

RUNNING: dict[str, Any] = {
    **{column.name: getattr(column.default, "arg", None) for column in servers.columns},
    "host": "h", "power": "running", "observed_power": "running", "launched_at": "x", "generation": 1,
    "observed_generation": 1, "observed_converged": 1}


@pytest.mark.parametrize(("changes", "status", "vm_state", "task", "power"), [
    ({}, "ACTIVE", "active", None, 1),
    ({"launched_at": None, "observed_power": None}, "BUILD", "building", "spawning", 0),
    ({"launched_at": None, "observed_power": None, "host": None}, "BUILD", "building", "scheduling", 0),
    ({"launched_at": None, "observed_power": None, "host": None, "fault_code": 500}, "ERROR", "error", None, 0),
    ({"power": "stopped"}, "ACTIVE", "active", "powering-off", 1),
    ({"power": "stopped", "observed_power": "stopped"}, "SHUTOFF", "stopped", None, 4),
    ({"observed_power": "stopped"}, "SHUTOFF", "stopped", "powering-on", 4),
    ({"observed_power": "crashed", "power": "stopped"}, "SHUTOFF", "stopped", None, 6),
    ({"power": "paused"}, "ACTIVE", "active", "pausing", 1),
    ({"power": "paused", "observed_power": "paused"}, "PAUSED", "paused", None, 3),
    ({"observed_power": "paused"}, "PAUSED", "paused", "unpausing", 3),
    ({"power": "suspended", "observed_power": "suspended"}, "SUSPENDED", "suspended", None, 4),
    ({"observed_power": "suspended"}, "SUSPENDED", "suspended", "resuming", 4),
    ({"soft_reboots": 1}, "REBOOT", "active", "rebooting", 1),
    ({"hard_reboots": 1}, "HARD_REBOOT", "active", "rebooting_hard", 1),
    ({"hard_reboots": 1, "observed_power": "stopped"}, "HARD_REBOOT", "active", "rebooting_hard", 4),
    ({"rebuilds": 1}, "REBUILD", "active", "rebuilding", 1),
    ({"rebuilds": 1, "power": "stopped", "observed_power": "stopped"}, "REBUILD", "stopped", "rebuilding", 4),
    ({"deleting": 1}, "ACTIVE", "active", "deleting", 1),
    ({"deleting": 1, "forced_error": 1}, "ERROR", "error", "deleting", 1),
    ({"deleting": 1, "overdue": 1}, "ERROR", "error", None, 1),
    ({"overdue": 1, "launched_at": None, "observed_power": None}, "ERROR", "error", None, 0),
    ({"observed_terminal": 1}, "ERROR", "error", None, 1),
    ({"forced_error": 1}, "ERROR", "error", None, 1),
    ({"shelve": "shelved", "snapshot_id": "i", "power": "stopped"}, "ACTIVE", "active", "shelving", 1),
    ({"shelve": "shelved", "power": "stopped", "observed_power": "stopped"}, "SHELVED", "shelved", None, 4),
    ({"shelve": "offloaded", "power": "stopped", "observed_power": "stopped"}, "SHELVED", "shelved",
     "shelving_offloading", 4),
    ({"shelve": "offloaded", "power": "stopped", "observed_power": "stopped", "host": None}, "SHELVED_OFFLOADED",
     "shelved_offloaded", None, 4),
    ({"shelve": "back", "shelved_image_id": "i", "observed_power": None, "rebuilds": 1}, "SHELVED_OFFLOADED",
     "shelved_offloaded", "spawning", 0),
    ({"shelve": "back", "observed_power": "stopped"}, "SHELVED", "shelved", "powering-on", 4),
    ({"rescue": {}, "rescues": 1}, "ACTIVE", "active", "rescuing", 1),
    ({"rescue": {}, "rescues": 1, "observed_rescue": 1}, "RESCUE", "rescued", None, 1),
    ({"rescues": 1, "observed_rescue": 1}, "RESCUE", "rescued", "unrescuing", 1),
    ({"deleted": 1}, "DELETED", "deleted", None, 0),
])
def test_state(changes: dict[str, Any], status: str, vm_state: str, task: str | None, power: int) -> None:
    assert rules.state({**RUNNING, **changes}) == rules.State(status, vm_state, task, power)


@given(st.fixed_dictionaries({
    "deleted": st.sampled_from([0, 1]), "deleting": st.sampled_from([0, 1]), "host": st.sampled_from([None, "h"]),
    "power": st.sampled_from([p.value for p in (Power.RUNNING, Power.STOPPED, Power.PAUSED, Power.SUSPENDED)]),
    "observed_power": st.sampled_from([None, *(p.value for p in Power)]), "launched_at": st.sampled_from([None, "x"]),
    "soft_reboots": st.integers(0, 1), "hard_reboots": st.integers(0, 1), "rebuilds": st.integers(0, 1),
    "observed_terminal": st.sampled_from([0, 1]), "overdue": st.sampled_from([0, 1]),
    "forced_error": st.sampled_from([0, 1]), "fault_code": st.sampled_from([None, 500])}))
def test_every_combination_has_a_state_of_novas(server: dict[str, Any]) -> None:
    found = rules.state({**RUNNING, **server})
    assert rules.is_status(found.status)
    assert rules.status_of(found.vm_state, found.task_state) == found.status
    if server["overdue"] and not server["deleted"]:
        assert found.task_state is None


def test_what_is_waited_for_is_said() -> None:
    assert rules.pending(RUNNING) is None
    assert rules.pending({**RUNNING, "host": None}) is None
    waiting = {**RUNNING, "generation": 2, "observed_step": "starting"}
    assert rules.pending(waiting) == "waiting for its host: starting"
    assert rules.pending({**waiting, "observed_converged": 0, "observed_error": "no space"}) == "no space"
    assert rules.pending({**waiting, "deleting": 1}) == "waiting for its host to remove the guest"


def test_statuses() -> None:
    assert ("active", None) in rules.states_of_status("active")
    assert rules.states_of_status("nonsense") == []
