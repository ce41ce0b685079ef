"""Load balancers through HTTP: what a user makes, sees and is refused, and what the fabric gets of it."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.engine.worker import Worker
from stackling.loadbalancer.kinds import kinds as balancer_kinds
from stackling.network.kinds import kinds as network_kinds
from stackling.ports.fabric import FabricDown, FabricKind
from tests.api.balancer_cloud import BalancerEngine, L, Octavia, fault
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Neutron, first_start, ok, refused
from tests.api.test_network_engine import Failing


@pytest.fixture
def engine(cloud: CloudUnderTest) -> BalancerEngine:
    return BalancerEngine(cloud)


@pytest.fixture
def neutron(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def octavia(member: Client, engine: BalancerEngine) -> Octavia:
    return Octavia(member, engine)


@pytest.fixture
def subnet(neutron: Neutron) -> dict[str, Any]:
    return neutron.subnet(neutron.network(name="inside"))


@pytest.fixture
def balancer(octavia: Octavia, subnet: dict[str, Any]) -> dict[str, Any]:
    return octavia.balancer(name="web", vip_subnet_id=subnet["id"])


def test_a_load_balancer_lives_and_dies(octavia: Octavia, neutron: Neutron, engine: BalancerEngine,
                                        subnet: dict[str, Any], member: Client) -> None:
    answer = ok(member.post(f"{L}/loadbalancers", {"loadbalancer": {
        "name": "web", "description": "d", "vip_subnet_id": subnet["id"], "tags": ["a"]}}), 201)
    made = answer.json()["loadbalancer"]
    assert {key: made[key] for key in (
        "provisioning_status", "operating_status", "admin_state_up", "provider", "listeners", "pools", "updated_at",
        "flavor_id", "additional_vips", "vip_vnic_type", "tags", "project_id", "tenant_id")} == {
        "provisioning_status": "PENDING_CREATE", "operating_status": "OFFLINE", "admin_state_up": True,
        "provider": "ovn", "listeners": [], "pools": [], "updated_at": None, "flavor_id": None, "additional_vips": [],
        "vip_vnic_type": "normal", "tags": ["a"], "project_id": member.project_id, "tenant_id": member.project_id}
    port = neutron.show("ports", made["vip_port_id"])
    assert port["name"] == f"ovn-lb-vip-{made['id']}"
    assert port["device_id"] == f"lb-{made['id']}"
    assert port["device_owner"] == "ovn-lb:vip"
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": made["vip_address"]}]
    engine.settle()
    shown = octavia.show("loadbalancers", made["id"])
    assert (shown["provisioning_status"], shown["operating_status"]) == ("ACTIVE", "ONLINE")
    assert shown["updated_at"]
    assert len(shown["created_at"]) == len("2026-11-22T22:00:00")
    assert neutron.show("ports", made["vip_port_id"])["status"] == "ACTIVE"
    vip = engine.balancer(made["id"]).vips[0]
    assert (vip.address, vip.network_id, vip.mac) == (made["vip_address"], subnet["network_id"], port["mac_address"])
    octavia.delete("loadbalancers", made["id"])
    assert member.get(f"/network/v2.0/ports/{made['vip_port_id']}").status_code == 404
    assert engine.holds()["load_balancer"] == set()
    neutron.delete("networks", subnet["network_id"])


def test_nothing_can_be_changed_while_it_is_pending(octavia: Octavia, engine: BalancerEngine, subnet: dict[str, Any],
                                                    member: Client) -> None:
    id = ok(member.post(f"{L}/loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet["id"]}}), 201).json()[
        "loadbalancer"]["id"]
    message = f"Invalid state PENDING_CREATE of loadbalancer resource {id}"
    assert fault(member.put(f"{L}/loadbalancers/{id}", {"loadbalancer": {"name": "x"}}), 409) == message
    assert fault(member.delete(f"{L}/loadbalancers/{id}"), 409) == message
    listener = {"listener": {"loadbalancer_id": id, "protocol": "TCP", "protocol_port": 80}}
    assert fault(member.post(f"{L}/listeners", listener), 409) == (
        f"Load Balancer {id} is immutable and cannot be updated.")
    engine.settle()
    made = ok(member.post(f"{L}/listeners", listener), 201).json()["listener"]
    assert octavia.show("loadbalancers", id)["provisioning_status"] == "PENDING_UPDATE"
    fault(member.put(f"{L}/listeners/{made['id']}", {"listener": {"name": "x"}}), 409, "immutable")
    assert octavia.list("listeners") == [made]
    engine.settle()
    ok(member.put(f"{L}/listeners/{made['id']}", {"listener": {"name": "x"}}), 200)


def test_a_whole_one_piece_by_piece(octavia: Octavia, engine: BalancerEngine, neutron: Neutron,
                                    balancer: dict[str, Any], subnet: dict[str, Any]) -> None:
    server = neutron.port({"id": subnet["network_id"]})
    address = server["fixed_ips"][0]["ip_address"]
    listener = octavia.listener(balancer, name="http", timeout_client_data=1000)
    assert listener["loadbalancers"] == [{"id": balancer["id"]}]
    assert (listener["timeout_client_data"], listener["timeout_member_data"]) == (1000, 50000)
    assert listener["allowed_cidrs"] is None
    pool = octavia.pool(listener_id=listener["id"], name="webs")
    assert pool["listeners"] == [{"id": listener["id"]}]
    assert pool["loadbalancers"] == [{"id": balancer["id"]}]
    assert octavia.show("listeners", listener["id"])["default_pool_id"] == pool["id"]
    member = octavia.member(pool, address, weight=5, backup=True)
    assert (member["weight"], member["backup"], member["operating_status"]) == (5, True, "NO_MONITOR")
    monitor = octavia.monitor(pool)
    assert monitor["pools"] == [{"id": pool["id"]}]
    assert (monitor["max_retries_down"], monitor["operating_status"]) == (3, "ONLINE")
    assert octavia.show("pools", pool["id"])["healthmonitor_id"] == monitor["id"]
    held = engine.balancer(balancer["id"]).listeners[0]
    assert (held.protocol, held.port, held.fields) == ("tcp", 80, ("ip_src", "ip_dst", "tp_src", "tp_dst"))
    assert [(one.address, one.port, one.port_id) for one in held.members] == [(address, 8080, server["id"])]
    assert held.check is not None
    assert (held.check.interval, held.check.timeout, held.check.successes, held.check.failures) == (5, 3, 2, 3)
    source = next(one for one in neutron.list("ports") if one["device_owner"] == "ovn-lb-hm:distributed")
    assert held.members[0].source == source["fixed_ips"][0]["ip_address"]
    assert octavia.show("loadbalancers", balancer["id"])["listeners"] == [{"id": listener["id"]}]
    octavia.delete("healthmonitors", monitor["id"])
    assert engine.balancer(balancer["id"]).listeners[0].check is None
    assert not [one for one in neutron.list("ports") if one["device_owner"] == "ovn-lb-hm:distributed"]
    octavia.delete(f"pools/{pool['id']}/members", member["id"])
    octavia.delete("pools", pool["id"])
    assert octavia.show("listeners", listener["id"])["default_pool_id"] is None
    octavia.delete("listeners", listener["id"])
    assert engine.balancer(balancer["id"]).listeners == ()


FULL: dict[str, Any] = {
    "name": "all", "listeners": [
        {"name": "http", "protocol": "TCP", "protocol_port": 80, "default_pool": {"name": "webs"}},
        {"name": "dns", "protocol": "UDP", "protocol_port": 53, "default_pool": {
            "name": "names", "protocol": "UDP", "lb_algorithm": "SOURCE_IP_PORT", "session_persistence": {
                "type": "SOURCE_IP", "persistence_timeout": 30}}}],
    "pools": [{"name": "webs", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "healthmonitor": {
        "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}, "members": [
        {"address": "10.0.0.50", "protocol_port": 8080}, {"address": "10.0.0.51", "protocol_port": 8080}]}]}


def test_all_at_once_and_gone_at_once(octavia: Octavia, engine: BalancerEngine, neutron: Neutron,
                                      subnet: dict[str, Any], member: Client) -> None:
    made = ok(member.post(f"{L}/loadbalancers", {"loadbalancer": {**FULL, "vip_subnet_id": subnet["id"]}}), 201).json()[
        "loadbalancer"]
    assert {one["name"] for one in made["listeners"]} == {"http", "dns"}
    shown = {one["name"]: one for one in made["pools"]}
    assert {name: len(one["members"]) for name, one in shown.items()} == {"webs": 2, "names": 0}
    assert shown["webs"]["healthmonitor"]["type"] == "TCP"
    engine.settle()
    held = {one.port: one for one in engine.balancer(made["id"]).listeners}
    assert len(held[80].members) == 2
    assert (held[53].protocol, held[53].fields) == ("udp", ("ip_src", "ip_dst"))
    tree = ok(member.get(f"{L}/loadbalancers/{made['id']}/status"), 200).json()["statuses"]["loadbalancer"]
    webs = next(one for one in tree["listeners"] if one["name"] == "http")["pools"][0]
    assert {one["address"] for one in webs["members"]} == {"10.0.0.50", "10.0.0.51"}
    assert webs["health_monitor"]["provisioning_status"] == "ACTIVE"
    assert ok(member.get(f"{L}/loadbalancers/{made['id']}/stats"), 200).json() == {"stats": {
        "bytes_in": 0, "bytes_out": 0, "active_connections": 0, "total_connections": 0, "request_errors": 0}}
    fault(member.delete(f"{L}/loadbalancers/{made['id']}"), 400, "it has children")
    octavia.delete("loadbalancers", made["id"], cascade="true")
    for path in ("loadbalancers", "listeners", "pools", "healthmonitors"):
        assert octavia.list(path) == []
    assert [one["device_owner"] for one in neutron.list("ports")] == ["network:distributed"]


@pytest.mark.parametrize(("change", "words"), [
    ({"pools": []}, "Pool 'webs' was referenced but no full definition was found."),
    ({"pools": [FULL["pools"][0]] * 2}, "Pool names must be unique"),
    ({"listeners": [{**FULL["listeners"][0], "default_pool": {"protocol": "TCP"}}]}, "Pools must be named"),
    ({"pools": [{"name": "webs", "protocol": "TCP"}]}, "missing required attribute: lb_algorithm"),
])
def test_what_is_made_at_once_must_fit(octavia: Octavia, subnet: dict[str, Any], member: Client,
                                       change: dict[str, Any], words: str) -> None:
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {**FULL, "vip_subnet_id": subnet["id"], **change}}), 400,
          words)
    assert octavia.list("loadbalancers") == []


def test_a_listener_with_its_pool(octavia: Octavia, engine: BalancerEngine, balancer: dict[str, Any]) -> None:
    pool = FULL["pools"][0]
    made = octavia.listener(balancer, default_pool=pool)
    shown = octavia.show("pools", made["default_pool_id"])
    assert (shown["name"], len(shown["members"])) == ("webs", 2)
    assert len(engine.balancer(balancer["id"]).listeners[0].members) == 2


def test_a_members_subnet_may_go_before_it(octavia: Octavia, neutron: Neutron, engine: BalancerEngine,
                                           balancer: dict[str, Any]) -> None:
    pool = octavia.pool(listener_id=octavia.listener(balancer)["id"])
    far = neutron.subnet(neutron.network(), "10.7.0.0/24")
    member = octavia.member(pool, "10.7.0.9", subnet_id=far["id"])
    neutron.delete("networks", far["network_id"])
    octavia.monitor(pool)
    assert octavia.show(f"pools/{pool['id']}/members", member["id"])["operating_status"] == "ERROR"
    octavia.delete(f"pools/{pool['id']}/members", member["id"])


def test_members_in_one_request(octavia: Octavia, engine: BalancerEngine, balancer: dict[str, Any],
                                member: Client) -> None:
    pool = octavia.pool(loadbalancer_id=balancer["id"])
    path = f"{L}/pools/{pool['id']}/members"

    def replace(*members: dict[str, Any], **query: str) -> set[tuple[str, int]]:
        ok(member.put(path, {"members": [{"protocol_port": 80, **one} for one in members]}, params=query), 202)
        engine.settle()
        return {(one["address"], one["weight"]) for one in octavia.list(f"pools/{pool['id']}/members")}

    assert replace({"address": "10.0.0.50"}, {"address": "10.0.0.51"}) == {("10.0.0.50", 1), ("10.0.0.51", 1)}
    assert replace({"address": "10.0.0.51", "weight": 7}, {"address": "10.0.0.52"}) == {
        ("10.0.0.51", 7), ("10.0.0.52", 1)}
    assert replace({"address": "10.0.0.53"}, additive_only="true") == {
        ("10.0.0.51", 7), ("10.0.0.52", 1), ("10.0.0.53", 1)}
    fault(member.put(path, {"members": [{"address": "10.0.0.51", "protocol_port": 80}] * 2}), 400, "only once")
    fault(member.put(path, {"members": [{"address": "10.0.0.60", "protocol_port": 80},
                                        {"address": "fd00::1", "protocol_port": 80}]}), 501, "mixing IPv4/IPv6")
    assert replace() == set()
    ok(member.post(path, {"member": {"address": "10.0.0.70", "protocol_port": 80}}), 201)
    fault(member.put(path, {"members": []}), 409, f"Load Balancer {balancer['id']} is immutable")
    engine.settle()
    assert replace() == set()
    assert replace() == set()


def test_a_member_is_shown_as_it_was_spelled(octavia: Octavia, engine: BalancerEngine, neutron: Neutron,
                                             member: Client) -> None:
    subnet = neutron.subnet(neutron.network(), "2001:db8::/64", ip_version=6)
    balancer = octavia.balancer(vip_subnet_id=subnet["id"])
    pool = octavia.pool(listener_id=octavia.listener(balancer)["id"])
    server = neutron.port({"id": subnet["network_id"]}, fixed_ips=[{
        "subnet_id": subnet["id"], "ip_address": "2001:db8::50"}])
    long, path = "2001:0db8:0:0:0:0:0:50", f"{L}/pools/{pool['id']}/members"
    made = octavia.member(pool, long)
    assert made["address"] == long
    assert [one["id"] for one in octavia.list(f"pools/{pool['id']}/members", address=long)] == [made["id"]]
    held = engine.balancer(balancer["id"]).listeners[0].members
    assert [(one.address, one.port_id) for one in held] == [("2001:db8::50", server["id"])]
    fault(member.post(path, {"member": {"address": "2001:db8::50", "protocol_port": 8080}}), 409, "already using ip")
    ok(member.put(path, {"members": [{"address": "2001:db8::50", "protocol_port": 8080, "weight": 9}]}), 202)
    engine.settle()
    assert [(one["id"], one["weight"]) for one in octavia.list(f"pools/{pool['id']}/members")] == [(made["id"], 9)]
    fault(member.post(path, {"member": {"address": "2001:db8::g", "protocol_port": 8080}}), 400, "IPv4 or IPv6")


def test_an_address_can_be_asked_for_or_be_a_port_of_ones_own(octavia: Octavia, neutron: Neutron,
                                                              engine: BalancerEngine, subnet: dict[str, Any],
                                                              member: Client) -> None:
    asked = octavia.balancer(vip_network_id=subnet["network_id"], vip_address="10.0.0.77")
    assert (asked["vip_address"], asked["vip_subnet_id"]) == ("10.0.0.77", subnet["id"])
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {
        "vip_subnet_id": subnet["id"], "vip_address": "10.0.0.77"}}), 409, "already in use")
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {
        "vip_network_id": subnet["network_id"], "vip_address": "10.9.0.77"}}), 400, "does not contain a subnet")
    port = neutron.port({"id": subnet["network_id"]}, name="mine")
    engine.settle()
    mine = octavia.balancer(vip_port_id=port["id"])
    assert mine["vip_address"] == port["fixed_ips"][0]["ip_address"]
    assert port["id"] not in engine.holds()["port"]
    refused(member.delete(f"/network/v2.0/ports/{port['id']}"), 409, "ServicePortInUse")
    refused(member.put(f"/network/v2.0/ports/{port['id']}", {"port": {"fixed_ips": []}}), 409, "PortInUse")
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {"vip_port_id": port["id"]}}), 400, "already used")
    octavia.delete("loadbalancers", mine["id"])
    left = neutron.show("ports", port["id"])
    assert (left["name"], left["device_id"]) == ("mine", "")
    engine.settle()
    assert port["id"] in engine.holds()["port"]
    neutron.delete("ports", port["id"])


def test_several_addresses(octavia: Octavia, neutron: Neutron, engine: BalancerEngine, subnet: dict[str, Any],
                           member: Client) -> None:
    second = neutron.subnet({"id": subnet["network_id"]}, "10.1.0.0/24")
    made = octavia.balancer(vip_subnet_id=subnet["id"], additional_vips=[{"subnet_id": second["id"]}])
    assert [one["subnet_id"] for one in made["additional_vips"]] == [second["id"]]
    assert {vip.address for vip in engine.balancer(made["id"]).vips} == {
        made["vip_address"], made["additional_vips"][0]["ip_address"]}
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {
        "vip_subnet_id": subnet["id"], "additional_vips": [{"subnet_id": subnet["id"]}]}}), 400, "Duplicate VIP subnet")
    other = neutron.subnet(neutron.network(), "10.2.0.0/24")
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {
        "vip_subnet_id": subnet["id"], "additional_vips": [{"subnet_id": other["id"]}]}}), 400, "same network")


def test_an_address_is_used_again_only_when_the_fabric_has_let_go(octavia: Octavia, neutron: Neutron,
                                                                  engine: BalancerEngine, balancer: dict[str, Any],
                                                                  subnet: dict[str, Any], member: Client) -> None:
    ok(member.delete(f"{L}/loadbalancers/{balancer['id']}"), 204)
    port = neutron.port({"id": subnet["network_id"]}, fixed_ips=[{"ip_address": balancer["vip_address"]}])
    engine.fabric.faults.fail_next(1, FabricDown)
    engine.settle()
    held = engine.holds()
    assert balancer["id"] not in held["load_balancer"]
    assert port["id"] in held["port"]


def test_how_members_are_shows_everywhere_above(octavia: Octavia, engine: BalancerEngine, neutron: Neutron,
                                                balancer: dict[str, Any], subnet: dict[str, Any]) -> None:
    listener = octavia.listener(balancer)
    pool = octavia.pool(listener_id=listener["id"])
    ports = [neutron.port({"id": subnet["network_id"]}) for _ in range(2)]
    one, two = (octavia.member(pool, port["fixed_ips"][0]["ip_address"]) for port in ports)
    octavia.monitor(pool)

    def statuses() -> list[str]:
        engine.settle()
        return [octavia.show(path, id)["operating_status"] for path, id in (
            (f"pools/{pool['id']}/members", one["id"]), (f"pools/{pool['id']}/members", two["id"]),
            ("pools", pool["id"]), ("listeners", listener["id"]), ("loadbalancers", balancer["id"]))]

    assert statuses() == ["ONLINE"] * 5
    engine.fabric.set_health(balancer["id"], two["id"], False)
    assert statuses() == ["ONLINE", "ERROR", "DEGRADED", "DEGRADED", "DEGRADED"]
    engine.fabric.set_health(balancer["id"], one["id"], False)
    assert statuses() == ["ERROR"] * 5
    engine.fabric.set_health(balancer["id"], two["id"], True)
    assert statuses() == ["ERROR", "ONLINE", "DEGRADED", "DEGRADED", "DEGRADED"]
    assert octavia.show("loadbalancers", balancer["id"])["provisioning_status"] == "ACTIVE"
    octavia.update(f"pools/{pool['id']}/members", "member", one["id"], admin_state_up=False)
    assert statuses() == ["OFFLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE"]
    assert [held.id for held in engine.balancer(balancer["id"]).listeners[0].members] == [two["id"]]
    octavia.update("listeners", "listener", listener["id"], admin_state_up=False)
    assert statuses() == ["OFFLINE", "ONLINE", "ONLINE", "OFFLINE", "ONLINE"]
    assert engine.balancer(balancer["id"]).listeners == ()
    octavia.update("loadbalancers", "loadbalancer", balancer["id"], admin_state_up=False)
    assert statuses()[-1] == "OFFLINE"
    stranger = octavia.member(pool, "10.0.0.99")
    assert stranger["operating_status"] in ("ERROR", "OFFLINE")        # nobody has the address


def test_a_floating_ip_and_routers_around(octavia: Octavia, engine: BalancerEngine, neutron: Neutron, cloud: Any,
                                          admin: Client, balancer: dict[str, Any], subnet: dict[str, Any]) -> None:
    external = first_start(cloud, admin.project_id)
    far = neutron.subnet(neutron.network(name="far"), "10.5.0.0/24")
    router = neutron.router(external_gateway_info={"network_id": external})
    neutron.add_interface(router, subnet_id=subnet["id"])
    neutron.add_interface(router, subnet_id=far["id"])
    listener = octavia.listener(balancer)
    pool = octavia.pool(listener_id=listener["id"])
    octavia.member(pool, "10.5.0.20", subnet_id=far["id"])
    held = engine.balancer(balancer["id"])
    assert set(held.networks) == {subnet["network_id"], far["network_id"]}
    assert held.routers == ()
    assert dict(held.vips[0].routes) == {"0.0.0.0/0": "10.0.0.1", "10.5.0.0/24": "10.0.0.1"}
    floating = neutron.floating_ip(external, port_id=balancer["vip_port_id"])
    engine.settle()
    held = engine.balancer(balancer["id"])
    assert held.vips[0].floating == (floating["floating_ip_address"],)
    assert held.routers == (router["id"],)
    neutron.update("floatingips", "floatingip", floating["id"], port_id=None)
    engine.settle()
    assert engine.balancer(balancer["id"]).vips[0].floating == ()
    third = neutron.subnet(neutron.network(name="third"), "10.6.0.0/24")
    neutron.add_interface(router, subnet_id=third["id"])
    engine.settle()
    assert third["network_id"] in engine.balancer(balancer["id"]).networks
    neutron.remove_interface(router, subnet_id=third["id"])
    engine.settle()
    assert third["network_id"] not in engine.balancer(balancer["id"]).networks


def test_an_address_in_the_external_network_is_balanced_by_the_router(
        octavia: Octavia, engine: BalancerEngine, neutron: Neutron, cloud: Any, admin: Client,
        subnet: dict[str, Any]) -> None:
    external = first_start(cloud, admin.project_id)
    router = neutron.router(external_gateway_info={"network_id": external})
    neutron.add_interface(router, subnet_id=subnet["id"])
    made = octavia.balancer(vip_network_id=external)
    pool = octavia.pool(listener_id=octavia.listener(made)["id"])
    octavia.member(pool, "10.0.0.20", subnet_id=subnet["id"])
    fault(octavia.client.post(f"{L}/loadbalancers", {"loadbalancer": {
        "vip_network_id": external, "vip_address": "203.0.113.200"}}), 400, "not a valid IP")
    held = engine.balancer(made["id"])
    assert not held.vips[0].inside
    assert held.routers == (router["id"],)
    assert held.networks == (subnet["network_id"],)


def test_an_address_means_nothing_in_other_projects_networks(
        octavia: Octavia, engine: BalancerEngine, neutron: Neutron, admin: Client, other: Client) -> None:
    """A router of one's own in a shared network gets at nothing that its other users send elsewhere."""
    root = Neutron(admin)
    shared = root.network(shared=True)
    commons = root.subnet(shared, "10.8.0.0/24")
    own = neutron.subnet(neutron.network(), "192.0.2.0/24")
    router = neutron.router()
    neutron.add_interface(router, subnet_id=own["id"])
    neutron.add_interface(router, port_id=neutron.port(shared)["id"])
    made = octavia.balancer(vip_subnet_id=own["id"], vip_address="192.0.2.53")
    assert engine.balancer(made["id"]).networks == (own["network_id"],)
    there = octavia.balancer(vip_subnet_id=commons["id"])
    assert shared["id"] in engine.balancer(there["id"]).networks


def test_what_the_provider_does_not_have_is_501(octavia: Octavia, balancer: dict[str, Any], subnet: dict[str, Any],
                                                member: Client, admin: Client) -> None:
    listener = octavia.listener(balancer)
    pool = octavia.pool(listener_id=listener["id"])
    lb = {"loadbalancer_id": balancer["id"]}
    for path, resource, body, message in (
            ("listeners", "listener", {**lb, "protocol": "HTTP", "protocol_port": 81}, "HTTP protocol"),
            ("listeners", "listener", {**lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 81,
                                       "default_tls_container_ref": "x"}, "TERMINATED_HTTPS protocol"),
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 81, "allowed_cidrs": ["10.0.0.0/8"]},
             "allowed_cidrs option"),
            ("pools", "pool", {**lb, "protocol": "HTTP", "lb_algorithm": "SOURCE_IP_PORT"}, "HTTP protocol"),
            ("pools", "pool", {**lb, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}, "ROUND_ROBIN algorithm"),
            ("pools", "pool", {**lb, "protocol": "TCP", "lb_algorithm": "SOURCE_IP", "session_persistence": {
                "type": "HTTP_COOKIE"}}, "HTTP_COOKIE session persistence. Only SOURCE_IP"),
            (f"pools/{pool['id']}/members", "member", {"address": "10.0.0.5", "protocol_port": 1, "monitor_port": 2},
             "different member monitor"),
            (f"pools/{pool['id']}/members", "member", {"address": "10.9.0.5", "protocol_port": 1},
             "Subnet is required"),
            (f"pools/{pool['id']}/members", "member", {"address": "fd00::5", "protocol_port": 1,
                                                       "subnet_id": subnet["id"]}, "mixing IPv4/IPv6"),
            ("healthmonitors", "healthmonitor", {"pool_id": pool["id"], "type": "HTTP", "delay": 5, "timeout": 3,
                                                 "max_retries": 2},
             "HTTP health monitor type. Supported types: UDP-CONNECT, TCP"),
            ("l7policies", "l7policy", {"listener_id": listener["id"], "action": "REJECT"}, "creating l7policies")):
        fault(member.post(f"{L}/{path}", {resource: body}), 501, "Provider 'ovn' does not support a requested", message)
    assert octavia.show("loadbalancers", balancer["id"])["provisioning_status"] == "ACTIVE"
    assert fault(admin.put(f"{L}/loadbalancers/{balancer['id']}/failover"), 501) == (
        "Provider 'ovn' does not support a requested option: OVN provider does not support loadbalancer failover")
    fault(admin.get(f"{L}/providers/ovn/flavor_capabilities"), 501, "getting the supported flavor metadata")
    fault(admin.get(f"{L}/providers/ovn/availability_zone_capabilities"), 501)
    fault(admin.post(f"{L}/flavorprofiles", {"flavorprofile": {
        "name": "f", "provider_name": "ovn", "flavor_data": "{}"}}), 501, "validating flavors")
    fault(admin.post(f"{L}/availabilityzoneprofiles", {"availability_zone_profile": {
        "name": "f", "provider_name": "ovn", "availability_zone_data": "{}"}}), 501, "validating availability zones")
    fault(admin.post(f"{L}/flavorprofiles", {"flavorprofile": {
        "name": "f", "provider_name": "amphora", "flavor_data": "{}"}}), 400, "Provider 'amphora' is not enabled.")
    assert octavia.list("providers") == [{"name": "ovn", "description": "OVN provider driver"}]
    assert octavia.list("providers", fields="name") == [{"name": "ovn"}]
    for path in ("flavors", "availabilityzones", "l7policies"):
        assert octavia.list(path) == []
    fault(member.get(f"{L}/flavors/x"), 404, "Flavor x not found.")


@pytest.mark.parametrize(("body", "words"), [
    ({}, "VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."),
    ({"vip_subnet_id": "00000000-0000-0000-0000-000000000001"}, "Subnet 00000000"),
    ({"vip_network_id": "00000000-0000-0000-0000-000000000001"}, "Network 00000000"),
    ({"vip_port_id": "00000000-0000-0000-0000-000000000001"}, "Port 00000000"),
    ({"vip_subnet_id": "nonsense"}, "Value should be UUID format"), ({"vip_address": "10.0.0"}, "IPv4 or IPv6"),
    ({"name": 5}, "Wrong type"), ({"name": "x" * 256}, "maximum character requirement of 255"),
    ({"nonsense": 1}, "Unknown attribute"), ({"admin_state_up": "maybe"}, "bool"), ({"listeners": 5}, "list"),
    ({"listeners": [{"protocol": "TCP"}]}, "protocol_port"), ({"tags": ["a,b"]}, "comma"),
])
def test_bad_load_balancers_are_400(octavia: Octavia, member: Client, body: dict[str, Any], words: str) -> None:
    fault(member.post(f"{L}/loadbalancers", {"loadbalancer": body}), 400, words)
    assert octavia.list("loadbalancers") == []


def test_bad_parts_are_refused(octavia: Octavia, balancer: dict[str, Any], subnet: dict[str, Any], member: Client
                               ) -> None:
    listener = octavia.listener(balancer)
    pool = octavia.pool(listener_id=listener["id"])
    octavia.member(pool, "10.0.0.50")
    octavia.monitor(pool)
    lb = {"loadbalancer_id": balancer["id"]}
    monitor = {"pool_id": pool["id"], "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
    members = f"pools/{pool['id']}/members"
    nobody = "00000000-0000-0000-0000-000000000001"
    for path, resource, body, status, words in (
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 80}, 409, "already using"),
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 0}, 400, "greater or equal to 1"),
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 70000}, 400, "lower or equal"),
            ("listeners", "listener", {**lb, "protocol": "XMPP", "protocol_port": 80}, 400, "one of"),
            ("listeners", "listener", {**lb, "protocol": "UDP", "protocol_port": 80, "default_pool_id": pool["id"]},
             400, "The pool protocol 'TCP' is invalid while the listener protocol is 'UDP'."),
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 81, "default_pool_id": nobody}, 404,
             "Pool"),
            ("listeners", "listener", {"loadbalancer_id": nobody, "protocol": "TCP", "protocol_port": 81}, 404, "Load"),
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 81, "insert_headers": {
                "X-Forwarded-For": "true"}}, 400, "insert-headers"),
            ("listeners", "listener", {**lb, "protocol": "TCP", "protocol_port": 81, "sni_container_refs": ["x"]}, 400,
             "Certificate container references are not allowed on TCP"),
            ("pools", "pool", {"protocol": "TCP", "lb_algorithm": "SOURCE_IP"}, 400, "Must provide at least one of"),
            ("pools", "pool", {"listener_id": listener["id"], "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}, 409,
             "This listener already has a default pool"),
            ("pools", "pool", {**lb, "protocol": "TCP", "lb_algorithm": "SOURCE_IP", "session_persistence": {
                "type": "SOURCE_IP", "persistence_timeout": 5}}, 400, "only for UDP and SCTP"),
            (members, "member", {"address": "10.0.0.50", "protocol_port": 8080}, 409, "already using ip 10.0.0.50"),
            (members, "member", {"address": "169.254.169.254", "protocol_port": 80, "subnet_id": subnet["id"]}, 400,
             "not a valid option for member address"),
            (members, "member", {"address": "10.0.0.51", "protocol_port": 80, "subnet_id": nobody}, 400, "Subnet"),
            (members, "member", {"address": "10.0.0.51", "protocol_port": 80, "weight": 257}, 400, "lower or equal"),
            ("healthmonitors", "healthmonitor", monitor, 409, "This pool already has a health monitor"),
            ("healthmonitors", "healthmonitor", {**monitor, "type": "UDP-CONNECT"}, 400, "only supported for pools"),
            ("healthmonitors", "healthmonitor", {**monitor, "max_retries": 11}, 400, "lower or equal to 10"),
            ("healthmonitors", "healthmonitor", {**monitor, "url_path": "/"}, 400, "url_path"),
            ("healthmonitors", "healthmonitor", {**monitor, "domain_name": "a.test"}, 400, "'http_version' must be"),
            ("healthmonitors", "healthmonitor", {**monitor, "domain_name": "a.test", "http_version": 1.0}, 400,
             "http_version 1.0 is not a valid option for health monitors HTTP 1.1 domain name health check"),
            ("healthmonitors", "healthmonitor", {"pool_id": pool["id"], "type": "TCP"}, 400, "Mandatory field missing"),
            ("healthmonitors", "healthmonitor", {**monitor, "pool_id": nobody}, 404, "Pool")):
        fault(member.post(f"{L}/{path}", {resource: body}), status, words)
    fault(member.post(f"{L}/listeners", {"pool": {}}), 400, "Mandatory field missing")
    fault(member.put(f"{L}/listeners/{listener['id']}", {"listener": {"protocol_port": 81}}), 400, "Unknown attribute")
    fault(member.put(f"{L}/{members}/{nobody}", {"member": {"weight": 2}}), 404, "Member")
    assert octavia.show("loadbalancers", balancer["id"])["provisioning_status"] == "ACTIVE"


def test_filters_sorting_pages_fields_and_tags(octavia: Octavia, balancer: dict[str, Any], member: Client) -> None:
    for number, tags in ((80, ["a", "b"]), (81, ["a"]), (82, [])):
        octavia.listener(balancer, name=f"l{number}", protocol_port=number, tags=tags)

    def names(**query: Any) -> list[str]:
        return [one["name"] for one in octavia.list("listeners", **query)]

    assert names() == ["l80", "l81", "l82"]
    assert names(protocol_port=81) == names(name="l81") == ["l81"]
    assert names(loadbalancer_id=balancer["id"], admin_state_up="true", sort="protocol_port:desc") == [
        "l82", "l81", "l80"]
    assert names(sort_key="name", sort_dir="desc", limit=1) == ["l82"]
    assert names(tags="a") == ["l80", "l81"]
    assert names(tags="a,b") == ["l80"]
    assert names(**{"tags-any": "b,c"}) == ["l80"]
    assert names(**{"not-tags": "a"}) == ["l82"]
    assert names(**{"not-tags-any": "b"}) == ["l81", "l82"]
    assert octavia.list("listeners", fields="name", name="l80") == [{"name": "l80"}]
    first = ok(member.get(f"{L}/listeners", params={"limit": 2}), 200).json()
    assert [one["name"] for one in first["listeners"]] == ["l80", "l81"]
    link = {one["rel"]: one["href"] for one in first["listeners_links"]}["next"]
    second = ok(member.get(link), 200).json()
    assert [one["name"] for one in second["listeners"]] == ["l82"]
    back = {one["rel"]: one["href"] for one in second["listeners_links"]}["previous"]
    assert [one["name"] for one in ok(member.get(back), 200).json()["listeners"]] == ["l80", "l81"]
    for query in ({"nonsense": "1"}, {"sort": "nonsense"}, {"sort": "name:up"}, {"limit": "many"}, {"marker": "x"},
                  {"protocol_port": "x"}):
        fault(member.get(f"{L}/listeners", params=query), 400)
    listener = octavia.list("listeners", name="l82")[0]
    assert octavia.update("listeners", "listener", listener["id"], tags=["c"])["tags"] == ["c"]
    assert names(tags="c") == ["l82"]


def test_filters_by_what_the_provider_does_not_have(octavia: Octavia, balancer: dict[str, Any],
                                                    member: Client) -> None:
    octavia.listener(balancer)
    assert octavia.list("loadbalancers", flavor_id="x") == octavia.list("loadbalancers", availability_zone="x") == []
    assert octavia.list("listeners", client_authentication="MANDATORY") == []
    assert len(octavia.list("listeners", client_authentication="NONE", hsts_preload="false", sort="tls_ciphers")) == 1
    assert len(octavia.list("loadbalancers", vip_vnic_type="normal")) == 1
    octavia.pool(loadbalancer_id=balancer["id"])
    assert (len(octavia.list("pools", tls_enabled="false")), octavia.list("pools", tls_enabled="true")) == (1, [])
    fault(member.get(f"{L}/pools", params={"tls_enabled": "maybe"}), 400, "tls_enabled")


def test_quotas(octavia: Octavia, subnet: dict[str, Any], member: Client, admin: Client) -> None:
    path = f"{L}/quotas/{member.project_id}"
    assert ok(member.get(path), 200).json()["quota"]["loadbalancer"] == -1
    answer = ok(admin.put(path, {"quota": {"load_balancer": 1, "listener": 2}}), 202).json()["quota"]
    assert (answer["loadbalancer"], answer["load_balancer"], answer["listener"]) == (1, 1, 2)
    assert [one["project_id"] for one in ok(admin.get(f"{L}/quotas"), 200).json()["quotas"]] == [member.project_id]
    made = octavia.balancer(vip_subnet_id=subnet["id"])
    assert fault(member.post(f"{L}/loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet["id"]}}), 403) == (
        "Quota has been met for resources: Load Balancer")
    for number in (80, 81):
        octavia.listener(made, protocol_port=number)
    fault(member.post(f"{L}/listeners", {"listener": {
        "loadbalancer_id": made["id"], "protocol": "TCP", "protocol_port": 82}}), 403, "Listener")
    fault(member.put(path, {"quota": {"listener": 5}}), 403)
    ok(admin.delete(path), 202)
    assert ok(member.get(path), 200).json()["quota"]["listener"] == -1
    assert ok(member.get(f"{path}/default"), 200).json()["quota"]["pool"] == -1


def test_a_fabric_that_does_not_answer_ends_in_error_and_heals(octavia: Octavia, engine: BalancerEngine,
                                                               balancer: dict[str, Any], member: Client,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackling.loadbalancer.changes.DEADLINE", 0.05)
    engine.fabric.faults.fail_next(3, FabricDown)
    ok(member.post(f"{L}/listeners", {"listener": {
        "loadbalancer_id": balancer["id"], "protocol": "TCP", "protocol_port": 80}}), 201)
    seen: set[str] = set()
    for _ in range(200):
        engine.worker.step(50)
        seen.add(octavia.show("loadbalancers", balancer["id"])["provisioning_status"])
        if "ERROR" in seen:
            break
        engine.queue.sweep(engine.kinds, 0.0, 100)
    assert "ERROR" in seen
    fault(member.post(f"{L}/listeners", {"listener": {
        "loadbalancer_id": balancer["id"], "protocol": "TCP", "protocol_port": 81}}), 409, "immutable")
    engine.settle()
    assert octavia.show("loadbalancers", balancer["id"])["provisioning_status"] == "ACTIVE"
    assert engine.balancer(balancer["id"]).generation == 2


@pytest.mark.parametrize("late", [False, True])
def test_every_call_of_the_fabric_may_fail(cloud: CloudUnderTest, neutron: Neutron, admin: Client, member: Client,
                                           engine: BalancerEngine, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails, before or after it was done: it ends up as it should, and nothing is left behind."""
    monkeypatch.setattr("stackling.engine.turn.delay", lambda attempts: 0.005)
    external = first_start(cloud, admin.project_id)
    subnet = neutron.subnet(neutron.network())
    router = neutron.router(external_gateway_info={"network_id": external})
    neutron.add_interface(router, subnet_id=subnet["id"])
    engine.settle()
    at, reached = 0, True
    while reached:
        at += 1
        failing: Any = Failing(engine.fabric, at, late)
        engine.worker = Worker(engine.queue, [*network_kinds(failing), *balancer_kinds(failing)])
        made = ok(member.post(f"{L}/loadbalancers", {"loadbalancer": {**FULL, "vip_subnet_id": subnet["id"]}}),
                  201).json()["loadbalancer"]
        floating = neutron.floating_ip(external, port_id=made["vip_port_id"])
        engine.settle(20)
        held = engine.balancer(made["id"])
        assert (len(held.listeners), held.vips[0].floating) == (2, (floating["floating_ip_address"],)), at
        shown = ok(member.get(f"{L}/loadbalancers/{made['id']}"), 200).json()["loadbalancer"]
        assert shown["provisioning_status"] == "ACTIVE", at
        ok(member.delete(f"{L}/loadbalancers/{made['id']}", params={"cascade": "true"}), 204)
        neutron.delete("floatingips", floating["id"])
        engine.settle(20)
        assert engine.holds()["load_balancer"] == set(), at
        assert member.get(f"{L}/loadbalancers/{made['id']}").status_code == 404
        assert not [one for one in neutron.list("ports") if one["device_owner"].startswith("ovn-lb")]
        reached = failing.calls >= at
    assert at > 10


def test_drift_is_mended(engine: BalancerEngine, balancer: dict[str, Any], octavia: Octavia) -> None:
    engine.fabric.damage(FabricKind.LOAD_BALANCER, balancer["id"])
    engine.settle()
    assert engine.balancer(balancer["id"]).generation == 1
    engine.fabric.lose(FabricKind.LOAD_BALANCER, balancer["id"])
    engine.settle()
    assert engine.holds()["load_balancer"] == {balancer["id"]}


def test_versions_are_told_to_everybody(anonymous: Client, member: Client) -> None:
    versions = ok(anonymous.get("/load-balancer"), 200).json()["versions"]
    assert versions[0]["id"] == "v2.0"
    assert (versions[-1]["id"], versions[-1]["status"]) == ("v2.30", "CURRENT")
    assert all(one["links"][0]["href"].endswith("/load-balancer/v2") for one in versions)
    assert ok(member.get("/load-balancer/v2/lbaas/loadbalancers"), 200).json()["loadbalancers"] == []


# -- who may

def test_nobody_gets_in_without_a_token(anonymous: Client, balancer: dict[str, Any]) -> None:
    for method, path in (("GET", "loadbalancers"), ("POST", "loadbalancers"), ("DELETE", "loadbalancers/x"),
                         ("GET", "pools/x/members"), ("PUT", "pools/x/members"), ("GET", "quotas"),
                         ("GET", "providers"), ("POST", "l7policies")):
        assert anonymous.request(method, f"{L}/{path}").status_code == 401, path


def test_a_reader_reads_and_changes_nothing(octavia: Octavia, reader: Client, balancer: dict[str, Any]) -> None:
    listener = octavia.listener(balancer)
    pool = octavia.pool(listener_id=listener["id"])
    member = octavia.member(pool, "10.0.0.50")
    monitor = octavia.monitor(pool)
    shown = {f"loadbalancers/{balancer['id']}": "loadbalancer", f"listeners/{listener['id']}": "listener",
             f"pools/{pool['id']}": "pool", f"pools/{pool['id']}/members/{member['id']}": "member",
             f"healthmonitors/{monitor['id']}": "healthmonitor"}
    for path, resource in shown.items():
        collection = path.rpartition("/")[0]
        assert len(next(iter(ok(reader.get(f"{L}/{collection}"), 200).json().values()))) == 1
        ok(reader.get(f"{L}/{path}"), 200)
        assert fault(reader.put(f"{L}/{path}", {resource: {"name": "x"}}), 403) == (
            "Policy does not allow this request to be performed.")
        fault(reader.delete(f"{L}/{path}"), 403)
        fault(reader.post(f"{L}/{collection}", {resource: {}}), 403)
    fault(reader.put(f"{L}/pools/{pool['id']}/members", {"members": []}), 403)
    ok(reader.get(f"{L}/loadbalancers/{balancer['id']}/status"), 200)
    ok(reader.get(f"{L}/listeners/{listener['id']}/stats"), 200)
    ok(reader.get(f"{L}/quotas/{reader.project_id}"), 200)
    fault(reader.put(f"{L}/loadbalancers/{balancer['id']}/failover"), 403)
    for path in ("flavorprofiles", "availabilityzoneprofiles", "providers/ovn/flavor_capabilities"):
        fault(reader.get(f"{L}/{path}"), 403)
    fault(reader.get("/load-balancer/v2.0/octavia/amphorae"), 403)
    assert octavia.show("listeners", listener["id"])["name"] == ""


def test_a_foreign_project_is_refused_as_octavia_does(octavia: Octavia, other: Client, balancer: dict[str, Any],
                                                      subnet: dict[str, Any], admin: Client) -> None:
    listener = octavia.listener(balancer)
    pool = octavia.pool(listener_id=listener["id"])
    member = octavia.member(pool, "10.0.0.50")
    monitor = octavia.monitor(pool)
    for path in ("loadbalancers", "listeners", "pools", "healthmonitors"):
        assert next(iter(ok(other.get(f"{L}/{path}"), 200).json().values())) == []
        fault(other.get(f"{L}/{path}", params={"project_id": octavia.client.project_id}), 403)
    for path, resource in ((f"loadbalancers/{balancer['id']}", "loadbalancer"),
                           (f"listeners/{listener['id']}", "listener"), (f"pools/{pool['id']}", "pool"),
                           (f"pools/{pool['id']}/members/{member['id']}", "member"),
                           (f"healthmonitors/{monitor['id']}", "healthmonitor")):
        fault(other.get(f"{L}/{path}"), 403)
        fault(other.put(f"{L}/{path}", {resource: {"name": "x"}}), 403)
        fault(other.delete(f"{L}/{path}"), 403)
    fault(other.post(f"{L}/listeners", {"listener": {
        "loadbalancer_id": balancer["id"], "protocol": "TCP", "protocol_port": 82}}), 403)
    fault(other.put(f"{L}/pools/{pool['id']}/members", {"members": []}), 403)
    fault(other.get(f"{L}/quotas/{octavia.client.project_id}"), 403)
    fault(other.post(f"{L}/loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet["id"]}}), 400,
          f"Subnet {subnet['id']} not found.")
    fault(other.post(f"{L}/loadbalancers", {"loadbalancer": {"vip_port_id": balancer["vip_port_id"]}}), 400,
          "not found")
    fault(other.post(f"{L}/loadbalancers", {"loadbalancer": {
        "vip_subnet_id": subnet["id"], "project_id": octavia.client.project_id}}), 403)
    assert [one["id"] for one in ok(admin.get(f"{L}/loadbalancers"), 200).json()["loadbalancers"]] == [balancer["id"]]


@pytest.mark.parametrize(("role", "reads", "writes", "limits"), [
    ("load-balancer_member", True, True, False), ("load-balancer_observer", True, False, False),
    ("load-balancer_admin", True, True, True), ("load-balancer_global_observer", True, False, False),
    ("load-balancer_quota_admin", False, False, True),
])
def test_octavias_own_roles(cloud: CloudUnderTest, octavia: Octavia, balancer: dict[str, Any], admin: Client,
                            engine: BalancerEngine, role: str, reads: bool, writes: bool, limits: bool) -> None:
    ok(admin.post("/identity/v3/roles", {"role": {"name": role}}), 201)
    user = cloud.actor("demo", role)
    assert user.get(f"{L}/loadbalancers/{balancer['id']}").status_code == (200 if reads else 403)
    changed = user.put(f"{L}/loadbalancers/{balancer['id']}", {"loadbalancer": {"name": "x"}})
    assert changed.status_code == (200 if writes else 403)
    quota = user.put(f"{L}/quotas/{user.project_id}", {"quota": {"pool": 5}})
    assert quota.status_code == (202 if limits else 403)
