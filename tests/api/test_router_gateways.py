"""Several external gateways of one router, through HTTP and in the fabric."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.ports.fabric import FabricRouter
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, first_start, ok, refused


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


@pytest.fixture
def external(cloud: CloudUnderTest, admin: Client) -> str:
    return first_start(cloud, admin.project_id)


@pytest.fixture
def second(root: Neutron) -> str:
    """Another external network."""
    network = root.network(**{"router:external": True, "name": "second"})
    root.subnet(network, "198.51.100.0/24", enable_dhcp=False)
    return network["id"]


@pytest.fixture
def engine(cloud: CloudUnderTest) -> Engine:
    return Engine(cloud)


def change(client: Neutron, what: str, router: dict[str, Any], *gateways: dict[str, Any]) -> Any:
    body = {"router": {"external_gateways": list(gateways)}}
    return client.client.put(f"{N}/routers/{router['id']}/{what}_external_gateways", body)


def changed(client: Neutron, what: str, router: dict[str, Any], *gateways: dict[str, Any]) -> list[tuple[str, str]]:
    """(network, address) of each gateway afterwards."""
    found = ok(change(client, what, router, *gateways), 200).json()["router"]
    assert client.show("routers", router["id"])["external_gateways"] == found["external_gateways"]
    first = found["external_gateway_info"]
    known = [(one["network_id"], one["external_fixed_ips"][0]["ip_address"]) for one in found["external_gateways"]]
    assert known[:1] == ([] if first is None else [
        (first["network_id"], first["external_fixed_ips"][0]["ip_address"])])
    return known


def test_a_router_goes_with_its_routes_and_its_gateway(root: Neutron, external: str) -> None:
    router = root.router(external_gateway_info={"network_id": external, "enable_snat": False})
    assert router["enable_snat"] is False
    routes = [{"destination": "192.0.2.0/24", "nexthop": "203.0.113.99"}]
    assert root.update("routers", "router", router["id"], routes=routes)["routes"] == routes
    assert [one["id"] for one in root.list("routers", enable_snat="false")] == [router["id"]]
    assert root.list("routers", enable_snat="true") == []
    root.delete("routers", router["id"])
    assert root.list("routers") == []


def test_nothing_in_braces_is_no_gateway(root: Neutron, external: str) -> None:
    """What ``openstack router unset`` sends before it changes anything else."""
    router = root.router(external_gateway_info={"network_id": external})
    path = f"{N}/routers/{router['id']}"
    for what in ("add", "remove"):
        answer = root.client.put(f"{path}/{what}_external_gateways", {"router": {"external_gateways": {}}})
        assert len(ok(answer, 200).json()["router"]["external_gateways"]) == 1
    gone = root.client.put(f"{path}/update_external_gateways", {"router": {"external_gateways": {}}})
    assert ok(gone, 200).json()["router"]["external_gateways"] == []


def test_the_first_gateway_is_the_one_of_old(root: Neutron, external: str, second: str) -> None:
    router = root.router()
    assert (router["external_gateways"], router["enable_default_route_ecmp"]) == ([], False)
    assert router["enable_default_route_bfd"] is False
    gateways = changed(root, "add", router, {"network_id": external}, {"network_id": second})
    assert gateways == [(external, "203.0.113.10"), (second, gateways[1][1])]
    assert gateways[1][1].startswith("198.51.100.")
    old = root.router(external_gateway_info={"network_id": second})
    assert [one["network_id"] for one in old["external_gateways"]] == [second]
    ports = root.list("ports", device_id=router["id"])
    assert {port["device_owner"] for port in ports} == {"network:router_gateway"}
    assert len(ports) == 2


def test_two_in_one_network_are_told_apart_by_their_addresses(root: Neutron, external: str) -> None:
    router = root.router(external_gateway_info={"network_id": external})
    fixed = [{"ip_address": "203.0.113.15"}]
    gateways = changed(root, "add", router, {"network_id": external, "external_fixed_ips": fixed})
    assert gateways == [(external, "203.0.113.10"), (external, "203.0.113.15")]
    message = refused(change(root, "remove", router, {"network_id": external}), 400, "UnableToMatchGateways")
    assert "external_fixed_ips parameter is not specified" in message
    refused(change(root, "remove", router, {"network_id": external, "external_fixed_ips": [
        {"ip_address": "203.0.113.16"}]}), 400, "UnableToMatchGateways")
    assert changed(root, "remove", router, {"network_id": external, "external_fixed_ips": [
        {"ip_address": "203.0.113.10"}]}) == [(external, "203.0.113.15")]
    assert changed(root, "remove", router, {"network_id": external}) == []
    refused(change(root, "remove", router, {"network_id": external}), 400, "UnableToRemoveGateways")


def test_where_the_first_one_goes_the_next_takes_its_place(root: Neutron, external: str, second: str) -> None:
    router = root.router()
    changed(root, "add", router, {"network_id": external}, {"network_id": second})
    cleared = root.update("routers", "router", router["id"], external_gateway_info={})
    assert cleared["external_gateway_info"]["network_id"] == second
    assert [one["network_id"] for one in cleared["external_gateways"]] == [second]
    cleared = root.update("routers", "router", router["id"], external_gateway_info={})
    assert (cleared["external_gateway_info"], cleared["external_gateways"]) == (None, [])


def test_update_leaves_what_is_named_and_nothing_else(root: Neutron, external: str, second: str) -> None:
    router = root.router()
    before = changed(root, "add", router, {"network_id": external}, {"network_id": second})
    assert changed(root, "update", router, {"network_id": second}, {"network_id": external}) == before[::-1]
    after = changed(root, "update", router, {"network_id": external, "external_fixed_ips": [
        {"ip_address": before[0][1]}]}, {"network_id": external, "external_fixed_ips": [
            {"ip_address": "203.0.113.17"}]})
    assert after == [before[0], (external, "203.0.113.17")]
    assert [network for network, _ in changed(root, "update", router, {"network_id": second})] == [second]
    assert len(root.list("ports", device_id=router["id"])) == 1
    assert changed(root, "update", router) == []
    assert root.list("ports", device_id=router["id"]) == []


def test_a_policy_is_the_routers_whatever_its_first_gateway_is(root: Neutron, external: str, second: str) -> None:
    policy = root.create("qos/policies", "policy", name="slow")["id"]
    router = root.router()
    changed(root, "update", router, {"network_id": external, "qos_policy_id": policy}, {"network_id": second})
    assert root.show("routers", router["id"])["external_gateway_info"]["qos_policy_id"] == policy
    changed(root, "update", router, {"network_id": second}, {"network_id": external})
    assert root.show("routers", router["id"])["external_gateway_info"]["qos_policy_id"] == policy
    moved = root.update("routers", "router", root.router(external_gateway_info={
        "network_id": external, "qos_policy_id": policy})["id"], external_gateway_info={"network_id": second})
    assert moved["external_gateway_info"]["qos_policy_id"] == policy
    changed(root, "update", router, {"network_id": second, "qos_policy_id": None})
    assert root.show("routers", router["id"])["external_gateway_info"]["qos_policy_id"] is None
    message = refused(change(root, "add", router, {"network_id": second, "color": "red"}), 400, "HTTPBadRequest")
    assert message == "Invalid input for external_gateways. Reason: Unexpected keys supplied: color."


def test_what_floating_ips_need_stays(root: Neutron, external: str, second: str) -> None:
    network = root.network()
    subnet = root.subnet(network)
    router = root.router()
    changed(root, "add", router, {"network_id": external}, {"network_id": second})
    root.add_interface(router, subnet_id=subnet["id"])
    port = root.port(network)
    floating = root.floating_ip(second, port_id=port["id"])
    assert floating["router_id"] == router["id"]
    refused(change(root, "remove", router, {"network_id": second}), 409, "RouterExternalGatewayInUseByFloatingIp")
    refused(change(root, "update", router), 409, "RouterExternalGatewayInUseByFloatingIp")
    assert len(root.show("routers", router["id"])["external_gateways"]) == 2
    assert changed(root, "remove", router, {"network_id": external}) == [
        (second, root.show("routers", router["id"])["external_gateways"][0]["external_fixed_ips"][0]["ip_address"])]
    root.update("floatingips", "floatingip", floating["id"], port_id=None)
    root.remove_interface(router, subnet_id=subnet["id"])
    root.delete("routers", router["id"])
    assert root.list("ports", device_id=router["id"]) == []


def test_bad_gateways(root: Neutron, member: Client, external: str, second: str) -> None:
    mine = Neutron(member)
    router, network = mine.router(), mine.network()
    for info, status, type_ in (
            ({"network_id": router["id"]}, 404, "NetworkNotFound"), ({"network_id": network["id"]}, 400, "BadRequest"),
            ({"enable_snat": True}, 400, "HTTPBadRequest"), ({"network_id": external, "x": 1}, 400, "HTTPBadRequest"),
            ({"network_id": external, "enable_snat": False}, 403, "PolicyNotAuthorized"),
            ({"network_id": external, "external_fixed_ips": [{"ip_address": "203.0.113.15"}]}, 403,
             "PolicyNotAuthorized")):
        refused(change(mine, "add", router, info), status, type_)
    for body in ({}, {"router": {}}, {"router": {"external_gateways": external}}):
        assert member.put(f"{N}/routers/{router['id']}/add_external_gateways", body).status_code == 400
    refused(member.put(f"{N}/routers/{router['id']}", {"router": {"external_gateways": []}}), 400, "HTTPBadRequest")
    refused(member.post(f"{N}/routers", {"router": {"external_gateways": []}}), 400, "HTTPBadRequest")
    assert changed(mine, "add", router, {"network_id": external}, {"network_id": second})
    overlapping = root.network(**{"router:external": True})
    root.subnet(overlapping, "198.51.100.128/25", enable_dhcp=False)
    refused(change(mine, "add", router, {"network_id": overlapping["id"]}), 400, "BadRequest")
    assert len(mine.show("routers", router["id"])["external_gateways"]) == 2
    aliases = {one["alias"] for one in mine.list("extensions")}
    assert {"external-gateway-multihoming", "enable-default-route-bfd", "enable-default-route-ecmp"} <= aliases


def test_the_fabric_gets_them_all(root: Neutron, engine: Engine, external: str, second: str) -> None:
    from stackling.ports.fabric import FabricKind

    network = root.network()
    router = root.router(enable_default_route_ecmp=True, enable_default_route_bfd=True)
    root.add_interface(router, subnet_id=root.subnet(network)["id"])
    changed(root, "add", router, {"network_id": external}, {"network_id": second})
    engine.settle()
    held = engine.fabric.holds(FabricKind.ROUTER, router["id"])
    assert isinstance(held, FabricRouter)
    assert held.gateway is not None
    assert (held.gateway.network_id, [one.network_id for one in held.more_gateways]) == (external, [second])
    assert (held.ecmp, held.bfd) == (True, True)
    assert [one.network_id for one in held.interfaces] == [network["id"]]
    changed(root, "remove", router, {"network_id": external})
    engine.settle()
    held = engine.fabric.holds(FabricKind.ROUTER, router["id"])
    assert isinstance(held, FabricRouter)
    assert held.gateway is not None
    assert (held.gateway.network_id, held.more_gateways) == (second, ())
