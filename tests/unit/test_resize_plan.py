"""A resize as the agent does it: what is planned, and what becomes of the disk."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from stackling.agent import plan as p
from stackling.drivers.local.disks import GIB, LocalDisks
from stackling.drivers.local.image_cache import ImageCache, Limits
from stackling.ports.document import Power, RootDisk, ServerDesired
from stackling.ports.hypervisor import Guest

DONE = p.Done(id="a", power_generation=1, disks=0, boot_id="b")


def server(generation: int = 2, size: int = 1, **values: object) -> ServerDesired:
    root = RootDisk(image_id="i", image_format="raw", image_size=1, image_checksum="", size_gib=size)
    return ServerDesired(id="a", generation=generation, power_generation=1, root=root, **values)  # type: ignore[arg-type]


def plan(desired: ServerDesired, power: Power, done: p.Done = DONE) -> tuple[p.Step, ...]:
    return p.plan(desired, p.Observed(Guest("a", power, 1), 0), done, "b")


def test_the_guest_is_asked_to_shut_down_before_its_disks_change() -> None:
    desired = server(resizes=1, kept_resize=1)
    assert plan(desired, Power.RUNNING) == (p.AskShutdown(),)
    *first, note = plan(desired, Power.STOPPED)
    assert first == [p.ResizeDisks()]
    assert isinstance(note, p.Note)
    assert (note.done.resizes, note.done.kept_resize) == (1, 1)
    assert plan(desired, Power.STOPPED, note.done) == (p.Define(), p.Start())


def test_going_back_is_not_polite() -> None:
    steps = plan(server(resizes=2, restored_resize=1), Power.RUNNING)
    assert steps[:2] == (p.SwitchOff(), p.ResizeDisks())


def test_what_was_kept_goes_before_the_next_start() -> None:
    done = p.Done(id="a", power_generation=1, disks=0, boot_id="b", resizes=1, kept_resize=1)
    confirmed = server(generation=3, resizes=1)
    assert plan(confirmed, Power.RUNNING, done) == ()
    started = ServerDesired(id="a", generation=4, power_generation=4, root=confirmed.root, resizes=1)
    steps = plan(started, Power.STOPPED, done)
    assert [type(step) for step in steps] == [p.ForgetKept, p.Note, p.Define, p.Start]


def info(path: Path) -> dict[str, object]:
    return json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", path]))


def read(path: Path) -> bytes:
    target = path.with_suffix(".read")
    subprocess.check_call(
        ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=512", "count=1", f"if={path}", f"of={target}"]
    )
    return target.read_bytes()


def write(path: Path, letter: str) -> None:
    subprocess.check_call(
        ["qemu-io", "-f", "qcow2", "-c", f"write -P {ord(letter)} 0 512", str(path)], stdout=subprocess.DEVNULL
    )


@pytest.mark.skipif(not shutil.which("qemu-img") or not shutil.which("qemu-io"), reason="QEMU's tools aren't installed")
class TestRootDisk:
    @pytest.fixture
    def disks(self, tmp_path: Path) -> LocalDisks:
        disks = LocalDisks(
            tmp_path / "instances", ImageCache(tmp_path / "images", lambda _disk, _write: None, Limits())
        )
        root = disks.paths(server()).root
        assert root is not None
        root.parent.mkdir()
        subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", root, str(GIB)])
        write(root, "a")
        return disks

    def test_it_grows_and_is_kept_once(self, disks: LocalDisks) -> None:
        desired = server(size=2, resizes=1, kept_resize=1)
        root = disks.paths(desired).root
        assert root is not None
        for _ in range(2):
            disks.resize(desired)
            write(root, "b")  # a second snapshot would keep this
        assert info(root)["virtual-size"] == 2 * GIB
        disks.resize(server(size=1, resizes=2, restored_resize=1))
        assert (info(root)["virtual-size"], read(root)) == (GIB, b"a" * 512)
        assert not info(root).get("snapshots")
        write(root, "c")
        disks.resize(server(size=1, resizes=2, restored_resize=1))
        assert read(root) == b"c" * 512  # going back again changes nothing

    def test_what_was_kept_is_forgotten(self, disks: LocalDisks) -> None:
        disks.resize(server(size=2, resizes=1, kept_resize=1))
        root = disks.paths(server()).root
        assert root is not None
        disks.forget_kept(server(size=2, resizes=1, kept_resize=1))
        assert len(info(root)["snapshots"]) == 1  # type: ignore[arg-type]
        for _ in range(2):
            disks.forget_kept(server(size=2, resizes=1))
        assert not info(root).get("snapshots")
        assert info(root)["virtual-size"] == 2 * GIB
