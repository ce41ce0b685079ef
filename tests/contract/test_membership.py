"""What every membership and fencer must do, by the simulated one; what it can simulate besides."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from stackling.drivers.simulated.membership import Device, SimulatedCluster
from stackling.ports.membership import MembershipUnknown, Standing


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "cluster" / "machines.json", ["m1", "m2", "m3"], wait=lambda seconds: None)


def test_machines_are_members_until_something_happens(cluster: SimulatedCluster) -> None:
    assert cluster.view().standings == dict.fromkeys(("m1", "m2", "m3"), Standing.MEMBER)
    assert cluster.history("m2") == []
    assert cluster.is_off("m2") is False
    cluster.lose_power("m2")
    assert cluster.view().standings["m2"] is Standing.LOST
    assert cluster.view().missing == 1
    assert cluster.is_off("m2") is True
    cluster.cut("m3")
    assert cluster.view().standings["m3"] is Standing.LOST
    assert cluster.is_off("m3") is False
    cluster.heal("m3")
    assert cluster.view().standings["m3"] is Standing.MEMBER


def test_a_fenced_machine_is_off_absent_and_in_the_history(cluster: SimulatedCluster) -> None:
    began = time.time()
    cluster.cut("m2")
    cluster.off("m2", 5.0)
    event = cluster.history("m2")[0]
    assert (event.machine, event.action, event.status) == ("m2", "off", "success")
    assert began <= event.completed_at <= time.time()
    assert cluster.is_off("m2") is True
    assert cluster.view().standings["m2"] is Standing.ABSENT
    boot = cluster.machine("m2").boot_id
    cluster.give_power("m2")
    cluster.heal("m2")
    assert cluster.view().standings["m2"] is Standing.MEMBER
    assert cluster.machine("m2").boot_id != boot
    cluster.off("m2", 5.0)
    assert [one.status for one in cluster.history("m2")] == ["success", "success"]
    assert cluster.history("m2")[0].completed_at >= event.completed_at


def test_a_machine_is_switched_on_by_a_device_that_works(cluster: SimulatedCluster) -> None:
    cluster.off("m2", 5.0)
    cluster.set_device("m2", Device.FAIL)
    cluster.on("m2", 5.0)
    assert (cluster.history("m2")[0].action, cluster.history("m2")[0].status) == ("on", "failed")
    assert cluster.is_off("m2") is True
    cluster.set_device("m2", Device.OK)
    cluster.on("m2", 5.0)
    assert cluster.history("m2")[0].status == "success"
    assert cluster.is_off("m2") is False
    assert cluster.view().standings["m2"] is Standing.MEMBER


def test_a_machine_that_leaves_in_order_is_absent_and_lives(cluster: SimulatedCluster) -> None:
    cluster.leave("m2")
    assert cluster.view().standings["m2"] is Standing.ABSENT
    assert cluster.is_off("m2") is False
    cluster.join("m2")
    assert cluster.view().standings["m2"] is Standing.MEMBER


def test_without_quorum_nothing_is_known(cluster: SimulatedCluster) -> None:
    cluster.set_quorate(False)
    with pytest.raises(MembershipUnknown):
        cluster.view()
    cluster.set_quorate(True)
    assert cluster.view().missing == 0


def test_devices_that_do_not_do_their_work(cluster: SimulatedCluster) -> None:
    cluster.cut("m2")
    cluster.set_device("m2", Device.ABSENT)
    for call in (lambda: cluster.history("m2"), lambda: cluster.off("m2", 1.0)):
        with pytest.raises(MembershipUnknown, match="m2"):
            call()
    for device, status, reads in ((Device.HANG, "failed", None), (Device.FAIL, "failed", False),
                                  (Device.LIE, "success", False), (Device.BLIND_LIE, "success", None)):
        cluster.set_device("m2", device)
        cluster.off("m2", 1.0)
        assert cluster.history("m2")[0].status == status
        assert cluster.is_off("m2") is reads
        assert cluster.machine("m2").power
    cluster.set_device("m2", Device.BLIND)
    cluster.off("m2", 1.0)
    assert not cluster.machine("m2").power
    assert cluster.is_off("m2") is None


def test_a_machine_that_the_cluster_does_not_know(cluster: SimulatedCluster) -> None:
    with pytest.raises(MembershipUnknown, match="m9"):
        cluster.off("m9", 1.0)


def _fence(path: Path, times: int) -> None:
    cluster = SimulatedCluster(path)
    for _ in range(times):
        cluster.off("m2", 1.0)


def test_processes_share_it(cluster: SimulatedCluster) -> None:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_fence, args=(cluster.path, 5)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join(30)
        assert other.exitcode == 0
    assert len(cluster.history("m2")) == 15
    assert SimulatedCluster(cluster.path).view().standings["m2"] is Standing.ABSENT
