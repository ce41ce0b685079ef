"""Resizes and snapshots with a real libvirtd: what the guest gets, and what becomes of its root disk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.ports.document import Power
from tests.agent.conftest import AgentProcess
from tests.agent.test_libvirt_agent import agent, machine, server
from tests.fake_control import FakeControl
from tests.libvirt import Libvirtd

__all__ = ["agent", "machine"]
pytestmark = pytest.mark.root


def info(path: Path) -> dict[str, Any]:
    return json.loads(subprocess.check_output(["qemu-img", "info", "-U", "--output=json", path]))


def test_a_resize_confirmed_and_one_undone(control: FakeControl, agent: AgentProcess, machine: Libvirtd) -> None:
    agent.start()
    made = control.put(server())
    root = machine.paths.instances / made.id / "root.0.qcow2"
    control.wait_converged(made, 60, power=Power.RUNNING)
    assert made.root is not None
    larger = msgspec.structs.replace(made.root, size_gib=2)
    resized = control.change(made.id, root=larger, memory_mib=48, resizes=1, kept_resize=1)
    control.wait_converged(resized, 60, power=Power.RUNNING, resizes=1)
    assert info(root)["virtual-size"] == 2 << 30
    assert [one["name"] for one in info(root)["snapshots"]] == ["before-resize-1"]
    back = control.change(made.id, root=made.root, memory_mib=32, resizes=2, kept_resize=0, restored_resize=1)
    control.wait_converged(back, 60, power=Power.RUNNING, resizes=2)
    assert info(root)["virtual-size"] == 1 << 30
    assert "snapshots" not in info(root)
    again = control.change(made.id, root=larger, memory_mib=48, resizes=3, kept_resize=3, restored_resize=0)
    control.wait_converged(again, 60, power=Power.RUNNING, resizes=3)
    control.wait_converged(control.change(made.id, kept_resize=0), 30, power=Power.RUNNING)
    control.wait_converged(control.change(made.id, hard_reboots=1), 60, power=Power.RUNNING, hard_reboots=1)
    assert "snapshots" not in info(root)
    assert info(root)["virtual-size"] == 2 << 30


@pytest.mark.parametrize("power", [Power.RUNNING, Power.STOPPED])
def test_a_snapshot_is_handed_over_and_the_guest_is_as_before(
        control: FakeControl, agent: AgentProcess, machine: Libvirtd, power: Power, tmp_path: Path) -> None:
    agent.start()
    made = control.put(server())
    control.wait_converged(made, 60, power=Power.RUNNING)
    if power is Power.STOPPED:
        control.wait_converged(control.change(made.id, power=power), 60, power=power)
    pids = machine.pids()
    saved = control.change(made.id, snapshot="copy")
    control.wait_converged(saved, 60, power=power, snapshot="copy")
    assert machine.pids() == pids
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(control.images["copy"])
    shown = info(copy)
    assert (shown["format"], shown["virtual-size"], shown.get("backing-filename")) == ("qcow2", 1 << 30, None)
    subprocess.check_call(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", copy, tmp_path / "raw"])
    assert (tmp_path / "raw").open("rb").read(2) == b"\xeb\xfe"
    assert not list((machine.paths.instances / made.id).glob("snapshot.*"))
