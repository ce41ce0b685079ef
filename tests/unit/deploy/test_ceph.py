"""What is written and asked of a Ceph cluster, decided without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackling.deploy.ceph import admin, install, rights
from stackling.deploy.ceph.admin import Size
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import Pools
from stackling.deploy.embedded.storage_link import Link, ceph_ports
from stackling.drivers.ceph import names
from stackling.drivers.ceph.names import Location

POOLS = Pools()


@pytest.mark.parametrize(("osds", "groups"), [(1, 16), (2, 32), (3, 32), (8, 128), (60, 256)])
def test_placement_groups_are_a_power_of_two_that_fits_the_cluster(osds: int, groups: int) -> None:
    assert rights.placement_groups(osds) == groups


def test_a_small_cluster_gets_as_many_copies_as_it_has_hosts() -> None:
    assert [rights.copies(hosts) for hosts in (1, 2, 3, 9)] == [(1, 1), (2, 1), (3, 2), (3, 2)]
    texts = [step.text for step in admin.steps(POOLS, [], Size(2, 1))]
    assert "ceph osd pool set stackling-disks size 1 --yes-i-really-mean-it" in texts
    assert not [step for step in admin.steps(POOLS, [], Size(9, 3)) if "size" in step.command]


def test_nobody_may_write_what_isnt_theirs() -> None:
    control, machine = rights.images_user(POOLS), rights.machine_user("m1", POOLS)
    assert "profile rbd-read-only pool=stackling-disks" in control.osd
    assert "profile rbd-read-only pool=stackling-images" in machine.osd
    assert "blocklist" in control.mon
    assert "blocklist" not in machine.mon
    volumes = rights.volumes_user(POOLS)
    assert "profile rbd-read-only pool=stackling-images" in volumes.osd
    assert "stackling-disks" not in volumes.osd
    assert "blocklist" not in volumes.mon
    assert "profile rbd pool=stackling-volumes" not in machine.osd
    assert "allow rwx pool=stackling-volumes object_prefix rbd_data." in machine.osd
    assert "allow *" not in "".join(user.osd + user.mon + user.mgr for user in (control, machine, volumes))


def test_the_conf_names_our_keyrings_and_no_others(tmp_path: Path) -> None:
    files = CephFiles(tmp_path / "ceph")
    given = ("[global]\nfsid = f\nmon host = [v2:10.0.0.1:3300]\nkeyring = /etc/ceph/all.keyring\nadmin socket = /x\n"
             "osd pool default size = 3\n[mon]\nmon data = /x\n[client.admin]\nkeyring = /etc/ceph/admin\n"
             "[client]\nrbd cache = true\n")
    written = install.write(files, given, {"stackling-images": "A", "stackling-m1": "B"})
    text = files.conf.read_text()
    assert "mon host = [v2:10.0.0.1:3300]" in text
    assert "rbd cache = true" in text
    for gone in ("all.keyring", "client.admin", "mon data", "admin socket", "osd pool"):
        assert gone not in text
    assert f"[client.stackling-m1]\nkeyring = {files.machine_keyring('m1')}" in text
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644, 0o600}
    assert files.conf.stat().st_mode & 0o777 == 0o644
    install.write(files, text, {"stackling-m1": "C"})       # again, with a new key
    assert files.conf.read_text() == text
    assert "key = C" in files.machine_keyring("m1").read_text()


def test_the_ports_of_a_cluster() -> None:
    usual = ["3300", "6789", "6800-7568"]
    assert ceph_ports("mon host = 10.0.0.1,10.0.0.2") == usual
    assert ceph_ports("mon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]") == usual
    assert ceph_ports("mon host = [v2:10.0.0.1:13300]\nms bind port min = 13400\nms bind port max = 13600") == [
        *usual, "13300", "13400-13600"]


def test_the_link_s_addresses_are_its_own() -> None:
    link = Link("stk-01234567")
    assert link.outside.startswith("169.254.")
    assert link.outside.rpartition(".")[0] == link.inside.rpartition(".")[0]
    assert not link.inside.startswith("169.254.169.")
    assert len(link.pair) <= 15


def test_locations_are_those_of_glance() -> None:
    where = Location("f", "images", "a.1")
    assert str(where) == "rbd://f/images/a.1/snap"
    assert Location.parse(str(where)) == where
    assert where.disk.name == "a.1.raw"
    assert Location.parse(str(Location("f", "a/b", "c d"))) == Location("f", "a/b", "c d")
    for alien in ("", "rbd://a", "rbd://a/b/c", "rbd://a/b/c/d/e", "images/a.1", "rbd://a//c/d"):
        assert Location.parse(alien) is None


def test_a_set_of_disks_says_by_which_order_it_was_made() -> None:
    disk = names.disk("id", names.disk_set(3, 2, 17), "root")
    assert disk == "id.3-2-17.root"
    assert names.order_of(disk) == (2, 17)
    assert names.order_of("base.abc.raw.1234") == (0, 0)
