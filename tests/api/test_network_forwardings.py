"""Port forwardings through HTTP, and what of them reaches the fabric."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.ports.fabric import FabricKind, FabricPortForwarding
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, first_start, ok, refused


class Place:
    """A network behind a router, a port and a floating IP."""

    def __init__(self, cloud: CloudUnderTest, admin: Client, member: Client) -> None:
        self.engine = Engine(cloud)
        self.mine = Neutron(member)
        self.external = first_start(cloud, admin.project_id)
        self.network = self.mine.network()
        self.subnet = self.mine.subnet(self.network)
        self.router = self.mine.router(external_gateway_info={"network_id": self.external})
        self.mine.add_interface(self.router, subnet_id=self.subnet["id"])
        self.port = self.mine.port(self.network)
        self.floating = self.mine.floating_ip(self.external)
        self.path = f"floatingips/{self.floating['id']}/port_forwardings"

    def body(self, **more: Any) -> dict[str, Any]:
        return {"port_forwarding": {"internal_port_id": self.port["id"], "protocol": "tcp", "external_port": 2222,
                                    "internal_port": 22, **more}}

    def forward(self, **more: Any) -> dict[str, Any]:
        return ok(self.mine.client.post(f"{N}/{self.path}", self.body(**more)), 201).json()["port_forwarding"]


@pytest.fixture
def place(cloud: CloudUnderTest, admin: Client, member: Client) -> Place:
    return Place(cloud, admin, member)


def test_a_forwarding_lives_and_dies(place: Place, member: Client) -> None:
    made = place.forward(description="ssh")
    inside = place.port["fixed_ips"][0]["ip_address"]
    assert made == {
        "id": made["id"], "protocol": "tcp", "external_port": 2222, "internal_port": 22, "description": "ssh",
        "external_port_range": "2222:2222", "internal_port_range": "22:22", "internal_ip_address": inside,
        "internal_port_id": place.port["id"]}
    floating = place.mine.show("floatingips", place.floating["id"])
    assert floating["router_id"] == place.router["id"]
    assert floating["port_id"] is None
    assert floating["status"] == "ACTIVE"
    assert [one["id"] for one in floating["port_forwardings"]] == [made["id"]]
    place.engine.settle()
    held = place.engine.fabric.holds(FabricKind.PORT_FORWARDING, made["id"])
    assert isinstance(held, FabricPortForwarding)
    assert (held.router_id, held.protocol, held.address) == (place.router["id"], "tcp",
                                                             floating["floating_ip_address"])
    assert held.inside == inside
    assert held.ports == ((2222, 22),)
    one = f"{N}/{place.path}/{made['id']}"
    changed = ok(member.put(one, {"port_forwarding": {"external_port": 2223}}), 200).json()["port_forwarding"]
    assert changed["external_port"] == 2223
    assert place.mine.list(place.path, protocol="tcp", external_port=2223) == [changed]
    assert place.mine.list(place.path, protocol="udp") == []
    place.engine.settle()
    ok(member.delete(one), 204)
    refused(member.get(one), 404, "PortForwardingNotFound")
    place.engine.settle()
    assert place.engine.holds()["port_forwarding"] == set()
    floating = place.mine.show("floatingips", place.floating["id"])
    assert (floating["router_id"], floating["status"]) == (None, "DOWN")


def test_ranges(place: Place, member: Client) -> None:
    made = place.forward(external_port=None, internal_port=None, external_port_range="3000:3002",
                         internal_port_range="4000:4002")
    assert (made["external_port_range"], made["external_port"]) == ("3000:3002", None)
    place.engine.settle()
    held = place.engine.fabric.holds(FabricKind.PORT_FORWARDING, made["id"])
    assert isinstance(held, FabricPortForwarding)
    assert held.ports == ((3000, 4000), (3001, 4001), (3002, 4002))
    for bad in ({"external_port": 3001}, {"external_port": 5, "internal_port": 4001}):
        refused(member.post(f"{N}/{place.path}", place.body(**bad)), 400, "BadRequest")
    refused(member.post(f"{N}/{place.path}", place.body(
        external_port=None, internal_port=None, external_port_range="5000:5005", internal_port_range="6000:6001")),
        400, "BadRequest")


@pytest.mark.parametrize(("change", "status", "type_"), [
    ({"protocol": "icmp"}, 400, "HTTPBadRequest"), ({"external_port": 0}, 400, "HTTPBadRequest"),
    ({"external_port": None}, 400, "BadRequest"), ({"internal_ip_address": "10.0.0.250"}, 400, "BadRequest"),
    ({"internal_port_id": "7b0ac4ba-8e0f-4c06-9a0f-1d41a6ca1f8f"}, 404, "PortNotFound"),
    ({"colour": "red"}, 400, "HTTPBadRequest")])
def test_bad_forwardings_are_refused(place: Place, member: Client, change: dict[str, Any], status: int,
                                     type_: str) -> None:
    refused(member.post(f"{N}/{place.path}", place.body(**change)), status, type_)
    assert place.mine.list(place.path) == []


def test_either_forwarded_or_associated(place: Place, member: Client) -> None:
    floating = f"{N}/floatingips/{place.floating['id']}"
    place.forward()
    refused(member.put(floating, {"floatingip": {"port_id": place.port["id"]}}), 409, "FipInUseByPortForwarding")
    second = place.mine.floating_ip(place.external)
    refused(member.put(f"{N}/floatingips/{second['id']}", {"floatingip": {"port_id": place.port["id"]}}), 409,
            "PortHasPortForwarding")
    refused(member.put(f"{N}/routers/{place.router['id']}/remove_router_interface",
                       {"subnet_id": place.subnet["id"]}), 409, "RouterInterfaceInUseByFloatingIP")
    refused(member.put(f"{N}/routers/{place.router['id']}", {"router": {"external_gateway_info": None}}), 409,
            "RouterExternalGatewayInUseByFloatingIp")
    other = place.mine.port(place.network)
    place.mine.update("floatingips", "floatingip", second["id"], port_id=other["id"])
    path = f"{N}/floatingips/{second['id']}/port_forwardings"
    refused(member.post(path, place.body()), 409, "FloatingIPPortAlreadyAssociated")
    refused(member.post(f"{N}/{place.path}", place.body(internal_port_id=other["id"], external_port=1)), 409,
            "PortHasBindingFloatingIP")
    place.mine.delete("ports", place.port["id"])
    assert place.mine.list(place.path) == []
    place.engine.settle()
    assert place.engine.holds()["port_forwarding"] == set()


def test_a_floating_ip_stays_while_it_forwards(place: Place) -> None:
    made = place.forward()
    place.engine.settle()
    told, = place.mine.show("floatingips", place.floating["id"])["port_forwardings"]
    assert set(told) == {"id", "protocol", "internal_port_id", "internal_ip_address", "internal_port", "external_port"}
    refused(place.mine.client.delete(f"{N}/floatingips/{place.floating['id']}"), 409, "FipInUseByPortForwarding")
    place.mine.delete(place.path, made["id"])
    place.mine.delete("floatingips", place.floating["id"])
    place.engine.settle()
    assert place.engine.holds()["port_forwarding"] == set()
    place.mine.remove_interface(place.router, subnet_id=place.subnet["id"])


def test_who_may_forward(place: Place, other: Client, reader: Client, anonymous: Client, admin: Client) -> None:
    made = place.forward()
    one = f"{N}/{place.path}/{made['id']}"
    assert anonymous.get(one).status_code == 401
    refused(other.get(one), 404, "FloatingIPNotFound")
    refused(other.post(f"{N}/{place.path}", place.body()), 404, "FloatingIPNotFound")
    assert ok(reader.get(one), 200).json()["port_forwarding"] == made
    refused(reader.post(f"{N}/{place.path}", place.body()), 403, "PolicyNotAuthorized")
    refused(reader.delete(one), 403, "PolicyNotAuthorized")
    ok(admin.delete(one), 204)


def test_an_address_is_forwarded_or_translated_never_both(place: Place) -> None:
    """What is no longer wanted leaves the fabric before what comes after it is put there."""
    floating = place.mine.update("floatingips", "floatingip", place.floating["id"], port_id=place.port["id"])
    place.engine.settle()
    fabric, order = place.engine.fabric, []
    put, remove = fabric.put, fabric.remove
    fabric.put = lambda era, one: (order.append(("put", one.kind.value)), put(era, one))[1]
    fabric.remove = lambda era, kind, *more: (order.append(("remove", kind.value)), remove(era, kind, *more))[1]
    place.mine.update("floatingips", "floatingip", floating["id"], port_id=None)
    made = place.forward()
    place.engine.settle()
    assert order.index(("remove", "floating_ip")) < order.index(("put", "port_forwarding"))
    order.clear()
    place.mine.delete(place.path, made["id"])
    place.mine.update("floatingips", "floatingip", floating["id"], port_id=place.port["id"])
    place.engine.settle()
    assert order.index(("remove", "port_forwarding")) < order.index(("put", "floating_ip"))
