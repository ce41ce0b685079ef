"""The fencer's history and devices, from what Pacemaker 2.1.5 printed (recorded)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from stackling.drivers.pacemaker.fencing import BY_HAND, PacemakerFence, devices, events
from stackling.drivers.pacemaker.programs import Result
from stackling.drivers.pacemaker.status import parse
from stackling.ports.membership import MembershipUnknown

HERE = Path(__file__).parent
RESOURCES = """<resources>
  <primitive id="a" class="stonith" type="fence_ipmilan"><instance_attributes id="a-params">
    <nvpair id="1" name="pcmk_host_list" value="m1"/><nvpair id="2" name="ip" value="10.0.0.1"/>
    <nvpair id="3" name="password_script" value="/x password"/></instance_attributes></primitive>
  <primitive id="b" class="stonith" type="fence_apc"><instance_attributes id="b-params">
    <nvpair id="4" name="pcmk_host_map" value="m1:7;m2:8"/><nvpair id="5" name="ip" value="10.0.0.9"/>
    </instance_attributes></primitive>
  <primitive id="c" class="stonith" type="../../bin/sh"><instance_attributes id="c-params">
    <nvpair id="6" name="pcmk_host_list" value="m1"/></instance_attributes></primitive>
  <primitive id="d" class="ocf" provider="heartbeat" type="Dummy"/>
</resources>"""


def recorded(name: str) -> ET.Element:
    return ET.fromstring((HERE / f"{name}.xml").read_text())


def test_the_latest_comes_first_and_what_is_under_way_before_it() -> None:
    found = events(recorded("history"), "m3")
    assert [event.status for event in found[:3]] == ["pending", "success", "success"]
    assert found[0].completed_at == 0
    assert found[2].completed_at == 1795379922.0        # 2026-11-22 20:38:42Z
    assert found[2].action == "off"
    assert found[2].origin == "m1"
    assert found[2].device == ""
    assert "done by m1" in found[2].detail
    assert [event.completed_at for event in found[1:]] == sorted(
        (event.completed_at for event in found[1:]), reverse=True)
    assert sum(event.status == "failed" for event in found) == 9


def test_the_word_of_a_human_is_told_from_a_device() -> None:
    assert events(recorded("history"), "m3")[1].device == BY_HAND


def test_other_machines_are_left_out() -> None:
    assert events(recorded("history"), "m1") == []


def test_devices_of_a_machine_with_what_they_call_it() -> None:
    found = devices(ET.fromstring(RESOURCES), "m1")
    assert found == [
        ("fence_ipmilan", {"port": "m1", "ip": "10.0.0.1", "password_script": "/x password"}),
        ("fence_apc", {"port": "7", "ip": "10.0.0.9"})]
    assert devices(ET.fromstring(RESOURCES), "m2") == [("fence_apc", {"port": "8", "ip": "10.0.0.9"})]
    assert devices(ET.fromstring(RESOURCES), "m3") == []


@pytest.mark.parametrize(("codes", "expected"), [
    ({"fence_ipmilan": 2, "fence_apc": 2}, True), ({"fence_ipmilan": 2, "fence_apc": 0}, False),
    ({"fence_ipmilan": 2, "fence_apc": 1}, None), ({"fence_ipmilan": 1, "fence_apc": 0}, False)])
def test_off_is_what_every_device_reads(codes: dict[str, int], expected: bool | None) -> None:
    asked: list[str] = []

    def execute(command: Sequence[str], *, deadline: float = 0, given: str = "") -> Result:
        if command[0] == "cibadmin":
            return Result(0, RESOURCES, "")
        asked.append(given)
        assert len(command) == 1            # nothing of it is on the command line
        return Result(codes[Path(command[0]).name], "", "")

    assert PacemakerFence(execute).is_off("m1") is expected
    assert all("action=status\n" in given for given in asked)


def test_nobody_is_fenced_without_quorum() -> None:
    asked: list[str] = []

    def execute(command: Sequence[str], *, deadline: float = 0, given: str = "") -> Result:
        asked.append(command[0])
        return Result(106, "0\n", "")

    with pytest.raises(MembershipUnknown, match="no quorum"):
        PacemakerFence(execute).off("m3", 5)
    assert asked == ["crm_node"]


def test_everything_that_crm_mon_shows() -> None:
    found = parse(recorded("everything"), recorded("history"))
    assert found.quorum
    assert found.controller == "m2"
    assert {node.name for node in found.nodes} == {"m1", "m2", "m3"}
    assert [one.node for one in found.instances if one.resource == "stackling-vip"] == ["m3"]
    northd = [(one.node, one.state) for one in found.instances if one.resource == "stackling-ovn-northd"]
    assert sorted(northd) == [("", "stopped"), ("m2", "started"), ("m3", "started")]
    failure = next(one for one in found.failures if one.resource == "stackling-ovn-nb")
    assert (failure.node, failure.operation) == ("m1", "start")
    assert failure.reason.startswith("stackling-ovn-nb.service is failed")
    assert found.fencing[0].status == "pending"
