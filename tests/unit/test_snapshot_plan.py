"""A snapshot as the agent does it: what is planned, also after a crash at any point."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from stackling.agent import plan as p
from stackling.drivers.local.disks import LocalDisks
from stackling.drivers.local.image_cache import ImageCache, Limits
from stackling.ports.document import Power, RootDisk, ServerDesired
from stackling.ports.hypervisor import Guest

ROOT = RootDisk(image_id="i", image_format="raw", image_size=1, image_checksum="")
DONE = p.Done(id="a", power_generation=1, disks=0, boot_id="b")
DESIRED = ServerDesired(id="a", generation=2, power_generation=1, root=ROOT, snapshot="image-1")


def plan(power: Power, done: p.Done = DONE, desired: ServerDesired = DESIRED) -> tuple[p.Step, ...]:
    return p.plan(desired, p.Observed(Guest("a", power, 1), 0), done, "b")


def run(power: Power, *, crash_after: int | None = None) -> tuple[Power, list[type[p.Step]]]:
    """Apply plans until nothing is left; *crash_after* that many steps the rest of a plan is forgotten."""
    done, applied = DONE, list[type[p.Step]]()
    for _ in range(12):
        steps = plan(power, done)
        if not steps:
            return power, applied
        for step in steps:
            applied.append(type(step))
            match step:
                case p.Note(new):
                    done = new
                case p.Pause():
                    power = Power.PAUSED
                case p.Unpause():
                    power = Power.RUNNING
                case _:
                    pass
            if crash_after is not None and len(applied) == crash_after:
                break
    raise AssertionError("no end")


def test_a_running_guest_is_paused_for_the_copy_and_runs_before_it_is_handed_over() -> None:
    power, applied = run(Power.RUNNING)
    assert power is Power.RUNNING
    assert [step for step in applied if step is not p.Note] == [p.Pause, p.Export, p.Unpause, p.HandOver]


def test_a_crash_anywhere_leaves_no_guest_paused_and_no_image_unsaved() -> None:
    for step in range(1, 9):
        power, applied = run(Power.RUNNING, crash_after=step)
        assert power is Power.RUNNING
        assert p.HandOver in applied


def test_a_stopped_guest_stays_stopped() -> None:
    off = msgspec.structs.replace(DESIRED, power=Power.STOPPED)
    steps = plan(Power.STOPPED, desired=off)
    assert steps[0] == p.Export()


def test_it_is_done_once() -> None:
    done = msgspec.structs.replace(DONE, exported="image-1", snapshot="image-1")
    assert plan(Power.RUNNING, done) == ()


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="QEMU's tools aren't installed")
def test_the_copy_is_flat_and_goes_away(tmp_path: Path) -> None:
    disks = LocalDisks(tmp_path / "instances", ImageCache(tmp_path / "images", lambda _disk, _write: None, Limits()))
    root = disks.paths(DESIRED).root
    assert root is not None
    root.parent.mkdir()
    base = tmp_path / "base.raw"
    base.write_bytes(b"x" * (1 << 20))
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", root])
    for _ in range(2):
        disks.export(DESIRED)
    shown = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", disks.exported(DESIRED)]))
    assert (shown["format"], shown["virtual-size"], shown.get("backing-filename")) == ("qcow2", 1 << 20, None)
    disks.drop_export(DESIRED)
    assert [path.name for path in root.parent.iterdir()] == [root.name]
