"""The proof of a shared directory, on machines with mounts of their own: only what shares locks passes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackling.deploy.ceph.proof import Check
from stackling.deploy.directory import proof
from tests.ceph import CEPHFS, real_cephfs
from tests.mounts import Mounted, mounted

pytestmark = [pytest.mark.root, pytest.mark.storage]


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory that everybody may enter, with ``at`` to mount on."""
    directory = Path(tempfile.mkdtemp(prefix="stk", dir="/var/tmp"))
    directory.chmod(0o755)
    (directory / "at").mkdir()
    yield directory
    shutil.rmtree(directory)


def prove(machines: dict[str, Mounted], path: Path) -> list[Check]:
    return proof.prove(lambda name, asked: machines[name].ask(asked), list(machines), path, "d1", fresh=True)


def test_a_directory_that_both_have_mounted_passes(place: Path) -> None:
    (place / "shared").mkdir()
    bind = [f"mount --bind {place}/shared {place}/at"]
    with mounted(m1=bind, m2=bind) as machines:
        found = prove(machines, place / "at")
    assert [one for one in found if not one.ok] == []
    assert sorted(path.name for path in (place / "shared").iterdir()) == [
        "images", "instances", "proven", "stackling.json"]


def test_two_directories_by_the_same_name_fail(place: Path) -> None:
    tmpfs = [f"mount -t tmpfs none {place}/at"]
    with mounted(m1=tmpfs, m2=tmpfs) as machines:
        failed = prove(machines, place / "at")[-1]
    assert not failed.ok
    assert "isn't the same directory there" in failed.detail
    assert "m1: tmpfs none" in failed.detail


def test_mounts_that_share_files_and_not_locks_fail(place: Path) -> None:
    """An overlay keeps locks on inodes of its own: two over the same directory share what is written and nothing else,
    as two NFS mounts with ``nolock`` do."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:       # an overlay can't lie on a root that is one itself
        Path(base).chmod(0o755)
        for name in ("lower", "upper", "work1", "work2"):
            (Path(base) / name).mkdir()

        def overlay(number: int) -> list[str]:
            layers = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work{number},index=off"
            return [f"mount -t overlay overlay -o {layers} {place}/at"]

        with mounted(m1=overlay(1), m2=overlay(2)) as machines:
            found = prove(machines, place / "at")
        assert list((Path(base) / "upper").iterdir()) == []
    assert [one.what for one in found if one.ok] == [
        "every machine has it", "every machine writes", "each sees what the others write",
        "each writes the others' disks"]
    assert "m2 got the lock that m1 holds: locks don't reach other machines" in found[-1].detail
    assert "m1: overlay" in found[-1].detail


@pytest.mark.skipif(not CEPHFS, reason="needs ceph-fuse: ./setup test")
def test_cephfs_passes_and_a_qemu_on_one_machine_keeps_the_other_s_out(place: Path) -> None:
    at = place / "at"
    with real_cephfs() as fuse, mounted(m1=[fuse.mount(at)], m2=[fuse.mount(at)], ends=[f"umount {at}"],
                                        account="libvirt-qemu") as machines:
        found = prove(machines, at)
        assert [one for one in found if not one.ok] == []
        assert "ceph-fuse" in found[0].detail
        first, second = (machine.enter for machine in machines.values())
        disk = at / "d.qcow2"
        subprocess.check_call([*first, "qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"])
        guest = subprocess.Popen([*first, "qemu-io", "-t", "none", "-f", "qcow2", disk], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        assert guest.stdin
        assert guest.stdout
        guest.stdin.write(b"write -P 7 0 64k\n")
        guest.stdin.flush()
        assert b"wrote" in guest.stdout.readline()
        tried = subprocess.run([*second, "qemu-io", "-t", "none", "-f", "qcow2", "-c", "write -P 8 0 64k", disk],
                               capture_output=True, text=True, check=False)
        assert 'Failed to get "write" lock' in tried.stderr
        guest.communicate(b"flush\nquit\n", timeout=30)
        read = subprocess.run([*second, "qemu-io", "-t", "none", "-f", "qcow2", "-c", "read -P 7 0 64k", disk],
                              capture_output=True, text=True, check=True)
        assert "failed" not in read.stdout
