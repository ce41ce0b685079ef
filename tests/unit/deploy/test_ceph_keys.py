"""Which keys follow which, and what a machine's files say of them, decided without a Ceph cluster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackling.deploy.ceph import add, install, rotate
from stackling.deploy.ceph.admin import CephRefused
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import Pools
from stackling.deploy.ceph.target import WholeCluster
from stackling.deploy.cluster import remote
from stackling.deploy.cluster.paths import Paths
from stackling.drivers.ceph import keyring
from stackling.drivers.ceph.client import CephAccess
from stackling.drivers.ceph.keyring import Login

USERS = add.users(Pools(), ["m1"])
BASE = ["stackling-images", "stackling-volumes", "stackling-m1"]


def second(names: list[str]) -> list[str]:
    return [f"{name}_2" for name in names]


def test_a_new_rotation_gives_each_user_a_successor_with_the_same_rights() -> None:
    found = rotate.plan(USERS, ["admin", "other_2", *BASE])
    assert {name: user.name for name, user in found.users.items()} == dict(zip(BASE, second(BASE), strict=True))
    assert {name: user.osd for name, user in found.users.items()} == {user.name: user.osd for user in USERS}
    assert found.former == tuple(BASE)
    assert [step.text.split()[-1] for step in rotate.removed(found)] == [f"client.{name}" for name in BASE]


@pytest.mark.parametrize("known", [
    [*BASE, *second(BASE[:1])],                         # stopped while the new ones were made
    [*BASE, *second(BASE)],                             # … before the former ones were removed
    [*BASE[2:], *second(BASE)]])                        # … while they were
def test_a_rotation_that_was_stopped_goes_on(known: list[str]) -> None:
    found = rotate.plan(USERS, known)
    assert [user.name for user in found.users.values()] == second(BASE)
    assert found.former == tuple(name for name in BASE if name in known)


def test_the_next_rotation_counts_on_and_takes_in_who_has_joined() -> None:
    found = rotate.plan(add.users(Pools(), ["m1", "m2"]), [*second(BASE), "stackling-m2"])
    assert {user.name for user in found.users.values()} == {f"{name}_3" for name in (*BASE, "stackling-m2")}
    assert found.former == ("stackling-images_2", "stackling-volumes_2", "stackling-m1_2", "stackling-m2")


def test_nothing_is_rotated_where_nothing_is() -> None:
    with pytest.raises(CephRefused, match="storage add ceph"):
        rotate.plan(USERS, ["admin"])


def test_a_keyring_says_who_counts_and_keeps_the_former_one_for_a_while(tmp_path: Path) -> None:
    files = CephFiles(tmp_path)
    conf = "[global]\nmon host = [v2:10.0.0.1:3300]\n"
    access = CephAccess(files.conf, "stackling-m1", files.machine_keyring("m1"))
    assert access.now == "stackling-m1"                 # nothing is there yet
    install.write(files, conf, {"stackling-m1": "A"})
    assert access.now == "stackling-m1"
    names = {"stackling-m1": "stackling-m1_2"}
    install.write(files, conf, {"stackling-m1": "B"}, names)
    assert access.now == "stackling-m1_2"
    assert access.source("p", "i").endswith("file.user=stackling-m1_2")
    assert keyring.logins(access.keyring.read_text()) == [Login("stackling-m1_2", "B"), Login("stackling-m1", "A")]
    for user in ("stackling-m1", "stackling-m1_2"):
        assert f"[client.{user}]\nkeyring = {access.keyring}\n" in files.conf.read_text()
    assert access.keyring.stat().st_mode & 0o777 == 0o600
    install.write(files, files.conf.read_text(), {"stackling-m1": "B"}, names)
    assert keyring.logins(access.keyring.read_text()) == [Login("stackling-m1_2", "B")]
    assert "[client.stackling-m1]" not in files.conf.read_text()


def test_every_other_machine_proves_it_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [SimpleNamespace(name=name) for name in ("m1", "m2", "m3")]
    here = WholeCluster(
        files=CephFiles(Path("/ceph")), pools=Pools(), machine="m1", machines=("m1", "m2", "m3"), control=True,
        images="rbd", disks="rbd", volumes="rbd", configuration=Path("/cluster.toml"), paths=Paths(Path("/nowhere")),
        cluster=cast(Any, SimpleNamespace(compute=machines)))

    def ask(paths: Paths, machine: Any, pools: dict[str, str]) -> list[dict[str, Any]]:
        assert pools["disks"] == "stackling-disks"
        if machine.name == "m3":
            raise ConnectionRefusedError("connection refused")
        return [{"what": "a disk is made", "ok": True, "detail": "in the pool", "seconds": 0.5}]

    monkeypatch.setattr(remote, "try_ceph", ask)
    assert [(check.what, check.ok) for check in here.prove_others()] == [
        ("m2: a disk is made", True), ("m3 answers", False)]


def test_others_in_a_keyring_are_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    path.write_text("[client.admin]\n\tkey = X\n[client.stackling-m10]\nkey=Y\n[client.stackling-m1_x]\nkey = Z\n"
                    "[client.stackling-m1]\n\tcaps mon = \"allow r\"\n\tkey = A==\n")
    assert keyring.current(path, "stackling-m1") == Login("stackling-m1", "A==")
    assert keyring.current(path, "stackling-m3") is None
    assert "A==" not in repr(keyring.current(path, "stackling-m1"))
