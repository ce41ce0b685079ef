"""What keeps machines that share a directory of disks apart: owner files, locks, and the proof that they are shared."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.deploy.directory import proof
from stackling.deploy.directory.proof import NotDone
from stackling.drivers.directory import disks as shared_disks
from stackling.drivers.directory import locks
from stackling.drivers.directory.mounts import mount_of
from stackling.drivers.directory.owner import Owner, OwnerFile, Stale
from stackling.drivers.directory.patience import Patience
from stackling.drivers.directory.trial import Trial
from stackling.drivers.simulated.disks import SimulatedDisks
from stackling.main import agent_directory
from stackling.main.agent_settings import DirectorySettings
from stackling.ports.disks import TrialFailed
from stackling.ports.document import Inventory
from stackling.ports.hypervisor import HypervisorError
from tests.contract.test_disks import IMAGE, Directory, change, make, server

Pair = tuple[Directory, Directory]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Two machines of one directory."""
    return (Directory(tmp_path / "m1", tmp_path / "shared", "m1"),
            Directory(tmp_path / "m2", tmp_path / "shared", "m2"))


def test_an_older_order_neither_starts_nor_deletes(pair: Pair) -> None:
    one, two = pair
    made = make(one, server(generation=5))
    moved = msgspec.structs.replace(made, generation=7)
    assert two.disks.find(made.id) == 0
    two.disks.guard(moved)
    for stale in (lambda: one.disks.guard(made), lambda: one.disks.remove(made.id, 1, 5),
                  lambda: make(one, msgspec.structs.replace(made, rebuilds=1, generation=6))):
        with pytest.raises(HypervisorError, match="newer"):
            stale()
    assert two.read(two.disks.paths(moved).root, 4) == IMAGE[:4]
    one.disks.guard(msgspec.structs.replace(made, generation=2), 2)      # of a later era: the database was restored
    one.disks.remove(made.id, 2, 2)
    assert one.left() == []


def test_the_simulated_ones_refuse_an_older_order_as_well() -> None:
    disks = SimulatedDisks(storage="shared:simulated")
    made = server(generation=5)
    disks.make(made, lambda words: None)
    disks.guard(msgspec.structs.replace(made, generation=7))
    for stale in (lambda: disks.guard(made), lambda: disks.remove(made.id, 1, 5),
                  lambda: disks.make(msgspec.structs.replace(made, rebuilds=1, generation=6), lambda words: None)):
        with pytest.raises(HypervisorError, match="newer"):
            stale()
    assert disks.find(made.id) == 0
    disks.remove(made.id, 2, 2)
    assert disks.find(made.id) is None


def test_who_slept_between_looking_and_deleting_deletes_only_what_is_old(
        pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    made = make(one, server(generation=5))
    newer = msgspec.structs.replace(made, generation=9, rebuilds=1)
    real = shared_disks._check_unused     # pyright: ignore[reportPrivateUsage]

    def sleeps(directory: Path) -> None:
        monkeypatch.setattr(shared_disks, "_check_unused", real)
        two.disks.make(newer, lambda words: None)

    monkeypatch.setattr(shared_disks, "_check_unused", sleeps)
    with pytest.raises(HypervisorError, match="meanwhile"):
        one.disks.remove(made.id, 1, 6)
    with pytest.raises(HypervisorError, match="newer state"):
        one.disks.remove(made.id, 1, 6)
    two.disks.guard(newer)
    assert two.read(two.disks.paths(newer).root, 4) == IMAGE[:4]


class writer:
    """A QEMU tool that has a disk open, as a guest has."""

    def __init__(self, path: Any) -> None:
        self.process = subprocess.Popen(["qemu-io", "-f", "qcow2", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"write -P 1 0 512\n")
        self.process.stdin.flush()
        assert b"wrote" in self.process.stdout.readline()

    def __exit__(self, *error: object) -> None:
        self.process.communicate(b"quit\n", timeout=30)


def test_a_disk_that_a_qemu_writes_is_neither_started_nor_removed(pair: Pair) -> None:
    one, two = pair
    made = make(one, server())
    one.disks.guard(made)
    moved = change(made)
    with writer(one.disks.paths(made).root):
        with pytest.raises(HypervisorError, match="still open in a QEMU"):
            two.disks.guard(moved)
        with pytest.raises(HypervisorError, match="still open in a QEMU"):
            two.disks.remove(made.id, 1, moved.generation)
    two.disks.guard(moved)
    two.disks.remove(made.id, 1, moved.generation)
    assert (one.left(), two.left()) == ([made.id], [])      # what is local goes with the next tidying
    one.disks.tidy(())
    assert one.left() == []


def test_a_base_is_fetched_once_by_two_machines_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    begun, go = threading.Event(), threading.Event()

    def slowly(disk: Any, write: Callable[[bytes], object]) -> None:
        begun.set()
        assert go.wait(20)
        write(IMAGE)

    monkeypatch.setattr(one.bases, "_fetch", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(make, one, server())
        assert begun.wait(20)
        second = pool.submit(make, two, server())
        time.sleep(0.1)
        assert not second.done()
        go.set()
        disks = [one.disks.paths(first.result(20)).root, two.disks.paths(second.result(20)).root]
    assert two.images.fetched == 0
    assert [one.read(disk, len(IMAGE)) for disk in disks] == [IMAGE, IMAGE]


def test_a_base_that_another_machine_s_server_needs_stays(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    made = make(one, server())
    base, = (path for path in one.place.images.iterdir() if path.suffix == ".raw")
    two.disks.tidy(())
    assert base.exists()
    one.disks.remove(made.id, 1, 1)
    tidy_again(two)
    assert not base.exists()
    assert (one.place.images / "trash" / base.name).exists()
    again = make(one, server())                 # takes it back
    assert one.images.fetched == 1
    assert one.read(one.disks.paths(again).root, len(IMAGE)) == IMAGE
    base.rename(one.place.images / "trash" / base.name)     # as one that tidied while the overlay was made
    tidy_again(two)
    assert base.exists()
    one.disks.remove(again.id, 1, 1)
    tidy_again(two)
    monkeypatch.setattr("stackling.drivers.directory.bases.TRASH_SECONDS", -1.0)
    tidy_again(two)
    assert not (one.place.images / "trash" / base.name).exists()


def tidy_again(machine: Directory) -> None:
    machine.disks._tidied = -shared_disks.TIDY      # pyright: ignore[reportPrivateUsage]
    machine.disks.tidy(())


def test_a_damaged_base_is_fetched_anew_before_a_start(pair: Pair) -> None:
    one, two = pair
    made = make(one, server())
    base, = (path for path in one.place.images.iterdir() if path.suffix == ".raw")
    base.unlink()
    two.disks.guard(change(made))
    assert two.images.fetched == 1
    assert two.read(two.disks.paths(made).root, len(IMAGE)) == IMAGE


def test_a_half_made_set_is_made_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = pair
    made = server(swap_mib=1)
    monkeypatch.setattr(one.disks, "_mark", lambda *_: (_ for _ in ()).throw(HypervisorError("crash")))
    with pytest.raises(HypervisorError, match="crash"):
        make(one, made)
    assert one.disks.find(made.id) == -1
    monkeypatch.undo()
    make(one, made)
    assert one.disks.find(made.id) == 0
    one.disks.remove(made.id, 1, 1)
    assert one.left() == []


def test_nothing_happens_where_the_directory_isnt_mounted(pair: Pair) -> None:
    one, two = pair
    made = make(one, server())
    away = one.shared.rename(one.shared.with_name("away"))
    one.shared.mkdir()                      # the mount point without its mount
    for asked in (lambda: one.disks.find(made.id), lambda: make(two, server()), lambda: one.disks.guard(made)):
        with pytest.raises(HypervisorError, match="isn't mounted"):
            asked()
    one.shared.rmdir()
    away.rename(one.shared)
    assert one.disks.find(made.id) == 0
    third = Directory(one.directory.parent / "m3", one.shared, "m3")
    (one.shared / "proven" / "m3.json").unlink()
    with pytest.raises(HypervisorError, match="has not been proven on this machine: run `stackling storage check`"):
        third.disks.guard(change(made))
    (one.shared / "proven" / "m3.json").write_text('{"kind": "nfs4 local_lock=none vers=4.2"}')
    with pytest.raises(HypervisorError, match="was proven as nfs4"):
        third.disks.guard(change(made))


def test_a_machine_offers_room_only_while_it_can_use_the_directory(pair: Pair) -> None:
    one, _ = pair
    directory, bare = DirectorySettings(one.shared, "d1"), Inventory(vcpus=1, memory_mib=64, disk_gib=7)
    found = agent_directory.measured(bare, directory, one.disks)
    assert (found.storage, found.disk_gib > 0) == ("shared:d1", True)
    (one.shared / "stackling.json").unlink()
    found = agent_directory.measured(bare, directory, one.disks)
    assert (found.storage, found.disk_gib, found.facts["disk_free_gib"]) == ("shared:d1", 0, 0)


def test_what_hangs_is_given_up_and_asked_once(tmp_path: Path) -> None:
    patience, held = Patience("the shared directory", most=2), threading.Event()
    for number in range(2):
        with pytest.raises(HypervisorError, match="doesn't answer; the server goes on"):
            patience.call(0.05, f"s{number}", held.wait)
    with pytest.raises(HypervisorError, match="an earlier request"):
        patience.call(5, "s3", lambda: None)
    held.set()
    for _ in range(200):
        try:
            assert patience.call(5, "s0", lambda: 7) == 7
            return
        except HypervisorError:
            time.sleep(0.01)
    raise AssertionError("it is not taken up again")


# -- owner files

def test_of_many_who_have_read_the_same_one_writes(tmp_path: Path) -> None:
    written: list[str] = []

    def work(seed: int) -> None:
        chance, file, number = random.Random(seed), OwnerFile(tmp_path / "s"), 0
        while number < 10:
            try:
                owner, at = file.read()
                time.sleep(chance.random() / 500)
                mine = f"{seed}.{number}"
                file.replace(Owner(generation=1, bases=(*(owner.bases if owner else ()), mine)), at)
                written.append(mine)
                number += 1
            except Stale:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    owner, number = OwnerFile(tmp_path / "s").read()
    assert owner is not None
    assert len(written) == len(set(written)) == 40
    assert set(owner.bases) == set(written)           # none was lost to another that had read the same
    assert [path.name for path in (tmp_path / "s").iterdir()] == [f"owner.{number}.json"]


def test_a_sleeper_s_write_never_counts(tmp_path: Path) -> None:
    file = OwnerFile(tmp_path / "s")
    old = file.replace(Owner(generation=1), 0)
    newer = file.replace(Owner(generation=2), old)
    with pytest.raises(Stale):
        file.replace(Owner(generation=9), old)
    newest = file.replace(Owner(generation=3), newer)
    with pytest.raises(Stale):
        file.replace(Owner(generation=9), old)          # whose following number is free again
    with pytest.raises(Stale):
        file.replace(Owner(generation=9), 0)
    file.retire(newest)
    time.sleep(0.005)
    again = file.replace(Owner(generation=5), 0)
    with pytest.raises(Stale):
        file.replace(Owner(generation=9), newest)       # of the server's former life
    assert file.read() == (Owner(generation=5), again)


# -- mounts and proofs

def test_the_kind_of_a_mount_is_what_locks_depend_on() -> None:
    table = ("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
             "30 22 0:50 / /srv/in\\040stances rw,relatime - nfs4 nas:/x rw,vers=4.2,rsize=1048576,local_lock=none\n"
             "31 22 0:51 / /old rw - nfs nas:/x rw,vers=3,nolock,local_lock=all\n"
             "32 22 0:52 / /cephfs rw - ceph 10.0.0.1:6789:/ rw,name=x,acl\n")
    assert mount_of(Path("/srv/in stances/a"), table).kind == "nfs4 local_lock=none vers=4.2"
    assert mount_of(Path("/old"), table).kind == "nfs local_lock=all nolock vers=3"
    assert mount_of(Path("/cephfs/x"), table).kind == "ceph"
    assert mount_of(Path("/srv/instances"), table).type == "ext4"


Run = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


def machines(count: int, own: int = 0, **changed: Callable[[dict[str, Any]], dict[str, Any]]) -> tuple[list[str], Run]:
    """Trials in this process; *changed* alters the answers of a step."""
    trials = {f"m{n}": Trial(f"m{n}", account=None, own=lambda: own) for n in range(1, count + 1)}

    def ask(name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            found = trials[name](asked)
        except TrialFailed as error:
            raise NotDone(f"{name}: {error}") from None
        return changed.get(str(asked["step"]), lambda value: value)(found)

    return list(trials), ask


def test_a_directory_is_proven_and_noted(tmp_path: Path) -> None:
    names, ask = machines(3)
    for fresh in (True, False):
        found = proof.prove(ask, names, tmp_path, "d1", fresh=fresh)
        assert [one.what for one in found if not one.ok] == [], found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "instances", "proven", "stackling.json"]
    assert sorted(path.name for path in (tmp_path / "proven").iterdir()) == ["m1.json", "m2.json", "m3.json"]
    Directory(tmp_path / "x", tmp_path, "m1").place.check()
    failed = proof.prove(ask, names, tmp_path, "d2")[-1]
    assert not failed.ok
    assert "of another cloud" in failed.detail


@pytest.mark.parametrize(("changed", "why"), [
    ({"locked": lambda found: {**found, "refused": False}}, "m2 got the lock that m1 holds"),
    ({"locked": lambda found: {**found, "seen": False}}, "m2 does not see the lock that m1 holds"),
    ({"unlocked": lambda found: {"free": False}}, "locks get stuck"),
    ({"link": lambda found: {"first": True}}, "exactly one"),
    ({"look": lambda found: {**found, "type": "nfs"}}, "NFS version 3"),
])
def test_what_a_broken_file_system_does_is_found(tmp_path: Path, changed: Any, why: str) -> None:
    names, ask = machines(2, **changed)
    found = proof.prove(ask, names, tmp_path, "d1")
    assert not found[-1].ok
    assert why in found[-1].detail
    assert list(tmp_path.iterdir()) == []


def test_servers_with_disks_of_their_own_and_missing_directories_are_said(tmp_path: Path) -> None:
    names, ask = machines(2, own=3)
    assert "lost to them (m1: 3, m2: 3)" in proof.prove(ask, names, tmp_path, "d1", fresh=True)[-1].detail
    names, ask = machines(2)
    assert "no directory here" in proof.prove(ask, names, tmp_path / "none", "d1")[-1].detail


@pytest.mark.parametrize("asked", [
    {}, {"step": "end", "path": "x", "trial": "a" * 8}, {"step": "end", "path": "/tmp/../etc", "trial": "a" * 8},
    {"step": "end", "path": "/tmp", "trial": "../../etc"}, {"step": "nothing", "path": "/tmp", "trial": "a" * 8},
    {"step": "locked", "path": "/tmp", "trial": "a" * 8, "machines": ["../x"]}])
def test_an_agent_does_nothing_but_steps_of_proofs(asked: dict[str, Any]) -> None:
    with pytest.raises(TrialFailed, match="no"):
        Trial("m1", account=None, own=lambda: 0)(asked)


def test_locks_are_those_of_qemu(tmp_path: Path) -> None:
    disk = tmp_path / "d.qcow2"
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"])
    assert not locks.is_written(disk)
    with writer(disk):
        assert locks.is_written(disk)
    assert not locks.is_written(disk)
    file = os.open(disk, os.O_RDWR)
    assert locks.take(file, locks.WRITES, exclusive=False)
    assert locks.take(file, locks.LETS_NOBODY_WRITE, exclusive=False)
    refused = subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 512", disk], capture_output=True, text=True,
                             check=False)
    assert 'Failed to get "write" lock' in refused.stderr
    locks.drop(file, locks.WRITES)
    locks.drop(file, locks.LETS_NOBODY_WRITE)
    subprocess.check_call(["qemu-io", "-f", "qcow2", "-c", "write 0 512", disk], stdout=subprocess.DEVNULL)
    os.close(file)
