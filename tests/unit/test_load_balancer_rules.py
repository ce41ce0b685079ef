"""What load balancers may be, and how they are."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.core.errors import Invalid, NotImplementedHere, StacklingError
from stackling.core.ids import new_id
from stackling.drivers.ovn.load_balancers import compile, endpoint
from stackling.loadbalancer import rules
from stackling.loadbalancer.model import Operating
from stackling.ports.fabric import FabricHealthCheck, FabricListener, FabricLoadBalancer, FabricMember, FabricVip

UP, DOWN = {"admin_state_up": True}, {"admin_state_up": False}
ONLINE, ERROR, OFFLINE, DEGRADED, UNKNOWN = (
    Operating.ONLINE, Operating.ERROR, Operating.OFFLINE, Operating.DEGRADED, Operating.NO_MONITOR)


@pytest.mark.parametrize(("member", "monitored", "reachable", "answers", "status"), [
    (UP, False, False, None, UNKNOWN), (DOWN, True, True, True, OFFLINE), (UP, True, True, None, ONLINE),
    (UP, True, True, True, ONLINE), (UP, True, True, False, ERROR), (UP, True, False, None, ERROR)])
def test_a_members_status(member: Any, monitored: bool, reachable: bool, answers: bool | None,
                          status: Operating) -> None:
    assert rules.member_status(member, monitored, reachable, answers) is status


@pytest.mark.parametrize(("pool", "members", "used", "status"), [
    (UP, [], False, OFFLINE), (UP, [], True, ONLINE), (DOWN, [ONLINE], True, OFFLINE), (UP, [UNKNOWN], True, ONLINE),
    (UP, [ERROR, ERROR], True, ERROR), (UP, [ERROR, ONLINE], True, DEGRADED), (UP, [ERROR, OFFLINE], True, DEGRADED)])
def test_a_pools_status(pool: Any, members: list[str], used: bool, status: Operating) -> None:
    assert rules.pool_status(pool, members, used) is status


@pytest.mark.parametrize(("record", "below", "status"), [
    (UP, [], ONLINE), (DOWN, [ERROR], OFFLINE), (UP, [ONLINE, DEGRADED], DEGRADED), (UP, [DEGRADED, ERROR], ERROR),
    (UP, [OFFLINE], ONLINE)])
def test_the_status_of_what_is_above(record: Any, below: list[str], status: Operating) -> None:
    assert rules.above_status(record, below) is status


@pytest.mark.parametrize(("protocol", "persistence", "refused"), [
    ("TCP", None, None), ("TCP", {"type": "SOURCE_IP"}, None),
    ("UDP", {"type": "SOURCE_IP", "persistence_timeout": 5}, None),
    ("TCP", {"type": "SOURCE_IP", "persistence_timeout": 5}, Invalid),
    ("UDP", {"type": "APP_COOKIE"}, Invalid), ("UDP", {"type": "SOURCE_IP", "cookie_name": "x"}, Invalid),
    ("TCP", {"type": "APP_COOKIE"}, Invalid), ("TCP", {"type": "HTTP_COOKIE", "cookie_name": "x"}, Invalid),
    ("TCP", {"type": "APP_COOKIE", "cookie_name": "x"}, NotImplementedHere),
    ("TCP", {"type": "HTTP_COOKIE"}, NotImplementedHere)])
def test_session_persistence(protocol: str, persistence: Any, refused: type[StacklingError] | None) -> None:
    if refused is None:
        rules.check_persistence(protocol, persistence)
        return
    with pytest.raises(refused):
        rules.check_persistence(protocol, persistence)


@pytest.mark.parametrize(("pool", "kind", "delay", "refused"), [
    ("TCP", "TCP", 1, None), ("UDP", "UDP-CONNECT", 3, None), ("UDP", "TCP", 1, None),
    ("TCP", "UDP-CONNECT", 5, Invalid), ("UDP", "UDP-CONNECT", 2, Invalid), ("UDP", "PING", 5, Invalid),
    ("TCP", "HTTP", 5, NotImplementedHere), ("UDP", "SCTP", 5, NotImplementedHere),
    ("SCTP", "TCP", 5, NotImplementedHere)])
def test_health_monitors(pool: str, kind: str, delay: int, refused: type[StacklingError] | None) -> None:
    if refused is None:
        rules.check_monitor(pool, kind, delay)
        return
    with pytest.raises(refused):
        rules.check_monitor(pool, kind, delay)


def balancer(**more: Any) -> FabricLoadBalancer:
    members = (FabricMember(new_id(), "10.0.0.4", 8080, new_id(), "10.0.0.9"), FabricMember(new_id(), "fd00::4", 8080))
    vips = (FabricVip(new_id(), new_id(), "fa:16:3e:00:00:01", "10.0.0.3/24", floating=("192.0.2.4",)),
            FabricVip(new_id(), new_id(), "fa:16:3e:00:00:02", "fd00::3/64"))
    listener = FabricListener(new_id(), "tcp", 80, members, ("ip_src",), FabricHealthCheck(5, 3, 2, 1))
    return FabricLoadBalancer(**({
        "id": new_id(), "generation": 1, "name": "x", "vips": vips, "listeners": (listener,), "networks": (new_id(),),
        "routers": (new_id(),)} | more))


def test_ends_of_ipv6_have_brackets() -> None:
    assert (endpoint("10.0.0.1", 80), endpoint("fd00::1", 80)) == ("10.0.0.1:80", "[fd00::1]:80")


def test_each_version_is_balanced_over_its_own_members() -> None:
    rows = {row.label.split()[-1]: row for row in compile(balancer()).rows if row.label.startswith("listener")}
    assert rows["inside"].columns["vips"] == {
        "10.0.0.3:80": "10.0.0.4:8080", "192.0.2.4:80": "10.0.0.4:8080", "[fd00::3]:80": "[fd00::4]:8080"}
    assert rows["outside"].columns["vips"] == {"192.0.2.4:80": "10.0.0.4:8080"}
    checks = [row for row in compile(balancer()).rows if row.table == "Load_Balancer_Health_Check"]
    assert sorted(str(row.columns["vip"]) for row in checks) == [
        "10.0.0.3:80", "192.0.2.4:80", "192.0.2.4:80", "[fd00::3]:80"]


def test_without_members_there_is_nothing_to_balance_and_the_address_is_there() -> None:
    empty = compile(balancer(listeners=(FabricListener(new_id(), "udp", 53),)))
    assert [row.columns["vips"] for row in empty.rows if row.label.startswith("listener")] == [{}, {}]
    assert sum(row.table == "Logical_Router" for row in empty.rows) == 2


def test_an_address_in_an_external_network_has_no_port_there() -> None:
    vip = FabricVip(new_id(), new_id(), "fa:16:3e:00:00:01", "198.51.100.9/24", inside=False)
    rows = compile(balancer(vips=(vip,))).rows
    assert not [row for row in rows if row.table == "Logical_Switch_Port"]
    outside = next(row for row in rows if row.label.endswith("outside") and row.table == "Load_Balancer")
    assert outside.columns["vips"] == {"198.51.100.9:80": "10.0.0.4:8080"}
