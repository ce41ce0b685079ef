"""Routers and floating IPs through HTTP, and what the fabric makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from stackling.core.ids import new_id
from stackling.ports.fabric import FabricKind
from stackling.store.tables.fleet import hosts
from stackling.store.transaction import Tx
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, first_start, ok, refused


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def external(cloud: CloudUnderTest, admin: Client) -> str:
    return first_start(cloud, admin.project_id)


@pytest.fixture
def engine(cloud: CloudUnderTest) -> Engine:
    return Engine(cloud)


class Site:
    """A network with a subnet, a router to the outside, and a port."""

    def __init__(self, mine: Neutron, external: str, cidr: str = "10.0.0.0/24") -> None:
        self.network = mine.network()
        self.subnet = mine.subnet(self.network, cidr)
        self.router = mine.router(external_gateway_info={"network_id": external})
        self.interface = mine.add_interface(self.router, subnet_id=self.subnet["id"])
        self.port = mine.port(self.network)


@pytest.fixture
def site(mine: Neutron, external: str) -> Site:
    return Site(mine, external)


def test_a_router_lives_and_dies(mine: Neutron, member: Client, external: str) -> None:
    router = mine.router(name="r", admin_state_up=False)
    assert router["status"] == "ACTIVE"
    assert router["admin_state_up"] is False
    assert router["external_gateway_info"] is None
    assert router["routes"] == []
    assert "ha" not in router
    assert "distributed" not in router
    changed = mine.update("routers", "router", router["id"], admin_state_up=True, name="s",
                          external_gateway_info={"network_id": external})
    gateway = changed["external_gateway_info"]
    assert gateway["network_id"] == external
    assert gateway["enable_snat"] is True
    assert gateway["external_fixed_ips"][0]["ip_address"] == "203.0.113.10"
    cleared = mine.update("routers", "router", router["id"], external_gateway_info={})
    assert cleared["external_gateway_info"] is None
    mine.delete("routers", router["id"])
    refused(member.get(f"{N}/routers/{router['id']}"), 404, "RouterNotFound")


def test_bad_gateways(mine: Neutron, member: Client, external: str) -> None:
    router, network = mine.router(), mine.network()
    path = f"{N}/routers/{router['id']}"
    for info, status, type_ in (
            ({"network_id": router["id"]}, 404, "NetworkNotFound"), ({"network_id": network["id"]}, 400, "BadRequest"),
            ({"enable_snat": True}, 400, "HTTPBadRequest"),
            ({"network_id": external, "enable_snat": False}, 403, "PolicyNotAuthorized"),
            ({"network_id": external, "external_fixed_ips": [{"ip_address": "203.0.113.15"}]}, 403,
             "PolicyNotAuthorized")):
        refused(member.put(path, {"router": {"external_gateway_info": info}}), status, type_)
    refused(member.post(f"{N}/routers", {"router": {"distributed": True}}), 403, "PolicyNotAuthorized")


def test_an_administrator_chooses_the_gateways_address(admin: Client, external: str) -> None:
    root = Neutron(admin)
    router = root.router(external_gateway_info={
        "network_id": external, "enable_snat": False, "external_fixed_ips": [{"ip_address": "203.0.113.15"}]})
    assert router["external_gateway_info"]["enable_snat"] is False
    assert [one["ip_address"] for one in router["external_gateway_info"]["external_fixed_ips"]] == ["203.0.113.15"]
    assert router["ha"] is True
    assert router["distributed"] is False
    ports = root.list("ports", device_owner="network:router_gateway")
    assert [one["device_id"] for one in ports] == [router["id"]]
    assert ports[0]["project_id"] == ""


def test_interfaces_by_subnet(mine: Neutron, member: Client, site: Site) -> None:
    assert site.interface["subnet_id"] == site.subnet["id"]
    assert site.interface["id"] == site.router["id"]
    port = mine.show("ports", site.interface["port_id"])
    assert port["device_id"] == site.router["id"]
    assert port["device_owner"] == "network:router_interface"
    assert port["fixed_ips"] == [{"subnet_id": site.subnet["id"], "ip_address": "10.0.0.1"}]
    path = f"{N}/routers/{site.router['id']}"
    refused(member.put(path + "/add_router_interface", {"subnet_id": site.subnet["id"]}), 400, "BadRequest")
    refused(member.delete(path), 409, "RouterInUse")
    refused(member.delete(f"{N}/ports/{port['id']}"), 409, "ServicePortInUse")
    refused(member.delete(f"{N}/subnets/{site.subnet['id']}"), 409, "SubnetInUse")
    mine.remove_interface(site.router, subnet_id=site.subnet["id"])
    refused(member.put(path + "/remove_router_interface", {"subnet_id": site.subnet["id"]}), 404,
            "RouterInterfaceNotFoundForSubnet")
    refused(member.get(f"{N}/ports/{port['id']}"), 404, "PortNotFound")
    mine.delete("routers", site.router["id"])


def test_interfaces_by_port(mine: Neutron, member: Client, engine: Engine) -> None:
    network = mine.network()
    mine.subnet(network)
    router, port = mine.router(), mine.port(network)
    engine.settle()
    info = mine.add_interface(router, port_id=port["id"])
    assert info["port_id"] == port["id"]
    refused(member.put(f"{N}/routers/{mine.router()['id']}/add_router_interface", {"port_id": port["id"]}), 409,
            "PortInUse")
    engine.settle()
    holds = engine.holds()
    assert port["id"] not in holds["port"]
    assert router["id"] in holds["router"]
    assert mine.show("ports", port["id"])["status"] == "ACTIVE"
    mine.remove_interface(router, port_id=port["id"])
    refused(member.get(f"{N}/ports/{port['id']}"), 404, "PortNotFound")
    engine.settle()


def test_bad_interfaces(mine: Neutron, member: Client, other: Client, site: Site) -> None:
    path = f"{N}/routers/{site.router['id']}/add_router_interface"
    twin = mine.network()
    overlapping, gateless = mine.subnet(twin), mine.subnet(twin, "10.8.0.0/24", gateway_ip=None)
    theirs = Neutron(other)
    foreign = theirs.subnet(theirs.network(), "10.7.0.0/24")
    for body, status, type_ in (
            ({"subnet_id": overlapping["id"]}, 400, "BadRequest"), ({"subnet_id": gateless["id"]}, 400, "BadRequest"),
            ({"subnet_id": foreign["id"]}, 404, "SubnetNotFound"),
            ({"port_id": site.router["id"]}, 404, "PortNotFound"),
            ({}, 400, "BadRequest"), ({"subnet_id": "x"}, 400, "HTTPBadRequest"),
            ({"subnet_id": overlapping["id"], "port_id": site.port["id"]}, 400, "BadRequest")):
        refused(member.put(path, body), status, type_)


def test_extra_routes(mine: Neutron, member: Client, site: Site) -> None:
    route = {"destination": "172.16.0.0/16", "nexthop": "10.0.0.9"}
    path = f"{N}/routers/{site.router['id']}"
    assert mine.update("routers", "router", site.router["id"], routes=[route])["routes"] == [route]
    refused(member.put(path, {"router": {"routes": [{**route, "nexthop": "192.0.2.9"}]}}), 400, "InvalidRoutes")
    refused(member.put(path, {"router": {"routes": [{**route, "nexthop": "10.0.0.1"}]}}), 400, "InvalidRoutes")
    refused(member.put(path + "/remove_router_interface", {"subnet_id": site.subnet["id"]}), 409,
            "RouterInterfaceInUseByRoute")
    more = {"destination": "172.17.0.0/16", "nexthop": "10.0.0.8"}
    added = ok(member.put(path + "/add_extraroutes", {"router": {"routes": [more]}}), 200).json()["router"]
    assert added["routes"] == [route, more]
    left = ok(member.put(path + "/remove_extraroutes", {"router": {"routes": [route]}}), 200).json()["router"]
    assert left["routes"] == [more]
    assert mine.update("routers", "router", site.router["id"], routes=None)["routes"] == []


def test_the_whole_way_of_a_floating_ip(mine: Neutron, member: Client, external: str, site: Site, engine: Engine,
                                        admin: Client) -> None:
    floating = mine.floating_ip(external)
    assert floating["status"] == "DOWN"
    assert floating["port_id"] is None
    assert floating["router_id"] is None
    engine.settle()
    bound = mine.update("floatingips", "floatingip", floating["id"], port_id=site.port["id"])
    assert bound["fixed_ip_address"] == site.port["fixed_ips"][0]["ip_address"]
    assert bound["router_id"] == site.router["id"]
    assert bound["port_details"]["network_id"] == site.network["id"]
    engine.settle()
    assert mine.show("floatingips", floating["id"])["status"] == "ACTIVE"
    assert engine.holds()["floating_ip"] == {floating["id"]}
    refused(member.put(f"{N}/routers/{site.router['id']}", {"router": {"external_gateway_info": {}}}), 409,
            "RouterExternalGatewayInUseByFloatingIp")
    refused(member.put(f"{N}/routers/{site.router['id']}/remove_router_interface", {"subnet_id": site.subnet["id"]}),
            409, "RouterInterfaceInUseByFloatingIP")
    free = mine.update("floatingips", "floatingip", floating["id"], port_id=None)
    assert free["port_id"] is None
    assert free["fixed_ip_address"] is None
    assert free["status"] == "DOWN"
    engine.settle()
    assert engine.holds()["floating_ip"] == set()
    mine.delete("floatingips", floating["id"])
    refused(member.get(f"{N}/floatingips/{floating['id']}"), 404, "FloatingIPNotFound")
    engine.settle()
    assert Neutron(admin).list("ports", device_owner="network:floatingip") == []


def test_deleting_the_port_frees_the_floating_ip(mine: Neutron, external: str, site: Site, engine: Engine) -> None:
    floating = mine.floating_ip(external, port_id=site.port["id"])
    engine.settle()
    mine.delete("ports", site.port["id"])
    shown = mine.show("floatingips", floating["id"])
    assert [shown[name] for name in ("port_id", "fixed_ip_address", "router_id")] == [None, None, None]
    assert shown["status"] == "DOWN"
    engine.settle()
    assert engine.holds()["floating_ip"] == set()


def test_several_addresses_need_a_choice(mine: Neutron, member: Client, external: str, site: Site) -> None:
    port = mine.port(site.network, fixed_ips=[{"ip_address": "10.0.0.30"}, {"ip_address": "10.0.0.31"}])
    body = {"floating_network_id": external, "port_id": port["id"]}
    refused(member.post(f"{N}/floatingips", {"floatingip": body}), 400, "BadRequest")
    wrong = {**body, "fixed_ip_address": "10.0.0.99"}
    refused(member.post(f"{N}/floatingips", {"floatingip": wrong}), 400, "BadRequest")
    floating = mine.floating_ip(external, port_id=port["id"], fixed_ip_address="10.0.0.30")
    assert floating["fixed_ip_address"] == "10.0.0.30"
    moved = mine.update("floatingips", "floatingip", floating["id"], port_id=port["id"], fixed_ip_address="10.0.0.31")
    assert moved["fixed_ip_address"] == "10.0.0.31"


def test_bad_floating_ips(mine: Neutron, member: Client, other: Client, external: str, site: Site) -> None:
    lonely = mine.network()
    mine.subnet(lonely, "10.3.0.0/24")
    unreachable = mine.port(lonely)
    first = mine.floating_ip(external, port_id=site.port["id"])
    for body, status, type_ in (
            ({"floating_network_id": site.network["id"]}, 400, "BadRequest"),
            ({"floating_network_id": external, "port_id": unreachable["id"]}, 404,
             "ExternalGatewayForFloatingIPNotFound"),
            ({"floating_network_id": external, "port_id": external}, 404, "PortNotFound"),
            ({"floating_network_id": external, "port_id": site.port["id"]}, 409, "FloatingIPPortAlreadyAssociated"),
            ({"floating_network_id": external, "floating_ip_address": "203.0.113.20"}, 403, "PolicyNotAuthorized"),
            ({"floating_network_id": external, "subnet_id": site.subnet["id"]}, 404, "SubnetNotFound"),
            ({}, 400, "HTTPBadRequest"),
            ({"floating_network_id": external, "fixed_ip_address": "10.0.0.5"}, 400, "BadRequest")):
        refused(member.post(f"{N}/floatingips", {"floatingip": body}), status, type_)
    refused(other.get(f"{N}/floatingips/{first['id']}"), 404, "FloatingIPNotFound")
    refused(other.put(f"{N}/floatingips/{first['id']}", {"floatingip": {"port_id": None}}), 404, "FloatingIPNotFound")
    assert len(mine.list("floatingips")) == 1


def test_a_manager_chooses_a_floating_address(cloud: CloudUnderTest, member: Client, external: str) -> None:
    manager = cloud.actor(member.body["project"]["name"], "manager")
    body = {"floatingip": {"floating_network_id": external, "floating_ip_address": "203.0.113.20"}}
    refused(member.post(f"{N}/floatingips", body), 403, "PolicyNotAuthorized")
    made = ok(manager.post(f"{N}/floatingips", body), 201).json()["floatingip"]
    assert made["floating_ip_address"] == "203.0.113.20"


def test_the_pool_runs_dry(mine: Neutron, member: Client, external: str) -> None:
    made = [mine.floating_ip(external) for _ in range(11)]
    body = {"floatingip": {"floating_network_id": external}}
    refused(member.post(f"{N}/floatingips", body), 409, "IpAddressGenerationFailure")
    mine.delete("floatingips", made[4]["id"])
    again = ok(member.post(f"{N}/floatingips", body), 201).json()["floatingip"]
    assert again["floating_ip_address"] == made[4]["floating_ip_address"]


def test_an_address_in_use_by_the_old_one_is_taken_over_in_order(mine: Neutron, external: str, site: Site,
                                                                  engine: Engine) -> None:
    """The fabric never holds one address twice, in whatever order turns run."""
    first = mine.floating_ip(external, port_id=site.port["id"])
    engine.settle()
    holder: dict[str, set[str]] = {}
    put = engine.fabric.put

    def watched(era: int, desired: Any) -> None:
        if hasattr(desired, "fixed_ip"):
            holder["before"] = engine.holds()["floating_ip"] - {desired.id}
        put(era, desired)

    engine.fabric.put = watched    # type: ignore[method-assign]
    mine.delete("floatingips", first["id"])
    second = mine.floating_ip(external, port_id=site.port["id"])
    engine.settle()
    assert holder["before"] == set()
    assert engine.holds()["floating_ip"] == {second["id"]}


def test_the_auto_allocated_topology(mine: Neutron, member: Client, external: str, engine: Engine) -> None:
    path = f"{N}/auto-allocated-topology/{member.project_id}"
    dry = ok(member.get(path, params={"fields": "dry-run"}), 200).json()["auto_allocated_topology"]
    assert dry["id"] == "dry-run=pass"
    found = ok(member.get(path), 200).json()["auto_allocated_topology"]
    assert ok(member.get(path), 200).json()["auto_allocated_topology"] == found
    network = mine.show("networks", found["id"])
    assert len(network["subnets"]) == 2
    routers = mine.list("routers")
    assert [one["external_gateway_info"]["network_id"] for one in routers] == [external]
    engine.settle()
    ok(member.delete(path), 204)
    assert mine.list("networks", **{"router:external": False}) == []
    assert mine.list("routers") == []
    engine.settle()
    assert engine.holds()["router"] == set()


def test_without_an_external_network_there_is_no_topology(member: Client) -> None:
    answer = member.get(f"{N}/auto-allocated-topology/{member.project_id}", params={"fields": "dry-run"})
    refused(answer, 400, "AutoAllocationFailure")


def test_the_fabric_follows_a_site_up_and_down(mine: Neutron, site: Site, engine: Engine) -> None:
    engine.settle()
    holds = engine.holds()
    assert site.router["id"] in holds["router"]
    assert site.port["id"] in holds["port"]
    mine.delete("ports", site.port["id"])
    mine.remove_interface(site.router, subnet_id=site.subnet["id"])
    mine.delete("routers", site.router["id"])
    mine.delete("networks", site.network["id"])
    engine.settle()
    after = engine.holds()
    assert after["router"] == set()
    assert after["port"] == set()
    assert site.network["id"] not in after["network"]


def test_administrators_read_where_gateways_may_be(cloud: CloudUnderTest, mine: Neutron, member: Client, admin: Client,
                                                   external: str, engine: Engine) -> None:
    cloud.database.write(_add_hosts, [f"host-{number}" for number in range(7)])
    root = Neutron(admin)
    inside, outside = mine.router(), mine.router(external_gateway_info={"network_id": external})
    engine.settle()
    held: Any = engine.fabric.holds(FabricKind.ROUTER, outside["id"])
    agents = root.list(f"routers/{outside['id']}/l3-agents")
    assert [agent["host"] for agent in agents] == list(held.gateway.chassis)
    assert [agent["ha_chassis_priority"] for agent in agents] == [32767, 32766, 32765, 32764, 32763]
    assert {agent["id"] for agent in agents} < {agent["id"] for agent in root.list("agents")}
    assert root.list(f"routers/{inside['id']}/l3-agents") == []
    assert [one["id"] for one in root.list(f"agents/{agents[-1]['id']}/l3-routers")] == [outside["id"]]
    (elsewhere, _) = (one["id"] for one in root.list("agents") if one["host"] not in held.gateway.chassis)
    assert root.list(f"agents/{elsewhere}/l3-routers") == []
    refused(admin.get(f"{N}/agents/nowhere/l3-routers"), 404, "InvalidL3Agent")
    for path in (f"routers/{outside['id']}/l3-agents", f"agents/{elsewhere}/l3-routers"):
        refused(member.get(f"{N}/{path}"), 403, "PolicyNotAuthorized")


def _add_hosts(tx: Tx, names: list[str]) -> None:
    tx.execute(insert(hosts), [{"id": new_id(), "number": number, "name": name, "created_at": tx.now}
                               for number, name in enumerate(names, 1)])
