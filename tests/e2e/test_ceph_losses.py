"""Daemons of a Ceph cluster die while a guest writes: it goes on with those that are left, and loses nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.ceph import INSTALLED
from tests.e2e import beside_ceph
from tests.e2e.beside_ceph import BOOTS, World

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow, pytest.mark.storage,
              pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with beside_ceph.world(tmp_path_factory.mktemp("user"), osds=2, monitors=3, store="bluestore") as found:
        yield found


def health(world: World) -> str:
    return json.loads(world.ceph.ceph.command("health", "--format", "json"))["status"]


def test_a_guest_writes_on_when_a_disk_and_a_monitor_die(world: World) -> None:
    """Numbered sectors, each of them waited for: what the guest took for written is there, whoever has died since."""
    ceph = world.ceph.ceph
    data = world.volume("data")
    world.plugged(data, True)
    world.write_numbers("/dev/vdb")
    leader = json.loads(ceph.command("quorum_status", "--format", "json"))["quorum_leader_name"]
    ceph.signal("osd.0", signal.SIGKILL)
    world.writes_on()
    ceph.signal(f"mon.{leader}", signal.SIGKILL)
    world.writes_on()
    late = world.volume("late")
    assert {name for name, _ in ceph.daemons()}.isdisjoint({"osd.0", f"mon.{leader}"})
    ceph.start()
    world.cloud.eventually(lambda: health(world), lambda now: now == "HEALTH_OK", BOOTS)
    ceph.signal("osd.1", signal.SIGKILL)                # what was written meanwhile is on the other one by now
    world.writes_on()
    acked = world.stop_writing()
    world.plugged(data, False)
    assert world.numbers(data, acked) == acked
    ceph.start()
    world.cloud.eventually(lambda: health(world), lambda now: now == "HEALTH_OK", BOOTS)
    for id in (data, late):
        world.cloud.openstack("volume", "delete", id)
    world.cloud.eventually(lambda: world.cloud.openstack("volume", "list"), lambda left: left == [])
