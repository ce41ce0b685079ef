"""Trunks through HTTP, and what of them reaches the fabric."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.ports.fabric import FabricKind, FabricPort
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, ok, refused


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


def sub(port: dict[str, Any], tag: int = 100, kind: str = "vlan") -> dict[str, Any]:
    return {"port_id": port["id"], "segmentation_type": kind, "segmentation_id": tag}


def ports(by: Neutron, count: int) -> list[dict[str, Any]]:
    network = by.network()
    by.subnet(network)
    return [by.port(network) for _ in range(count)]


def test_a_trunk_lives_and_dies(cloud: CloudUnderTest, mine: Neutron, member: Client, admin: Client) -> None:
    engine = Engine(cloud)
    parent, one, two = ports(mine, 3)
    trunk = mine.create("trunks", "trunk", port_id=parent["id"], name="t", sub_ports=[sub(one)])
    assert trunk["sub_ports"] == [sub(one)]
    assert trunk["status"] == "DOWN"
    assert mine.show("ports", one["id"])["device_owner"] == "trunk:subport"
    details = {"trunk_id": trunk["id"], "sub_ports": [{**sub(one), "mac_address": one["mac_address"]}]}
    assert mine.show("ports", parent["id"])["trunk_details"] == details
    assert mine.list("ports", id=parent["id"])[0]["trunk_details"] == details
    assert "trunk_details" not in mine.show("ports", one["id"])
    path = f"{N}/trunks/{trunk['id']}"
    added = ok(member.put(f"{path}/add_subports", {"sub_ports": [sub(two, 7)]}), 200).json()
    assert added["sub_ports"] == [sub(two, 7), sub(one)]
    assert ok(member.get(f"{path}/get_subports"), 200).json() == {"sub_ports": [sub(two, 7), sub(one)]}
    ok(admin.put(f"{N}/ports/{parent['id']}", {"port": {"binding:host_id": "host-1", "device_owner": "compute:nova"}}),
       200)
    engine.settle()
    held = engine.fabric.holds(FabricKind.PORT, one["id"])
    assert isinstance(held, FabricPort)
    assert (held.parent, held.tag, held.host) == (parent["id"], 100, "host-1")
    assert mine.show("trunks", trunk["id"])["status"] == "ACTIVE"
    assert [found["id"] for found in mine.list("trunks", status="ACTIVE", port_id=parent["id"])] == [trunk["id"]]
    removed = ok(member.put(f"{path}/remove_subports", {"sub_ports": [{"port_id": two["id"]}]}), 200).json()
    assert removed["sub_ports"] == [sub(one)]
    refused(member.put(f"{path}/remove_subports", {"sub_ports": [{"port_id": two["id"]}]}), 404, "SubPortNotFound")
    refused(member.delete(f"{N}/ports/{parent['id']}"), 409, "PortInUseAsTrunkParent")
    refused(member.delete(f"{N}/ports/{one['id']}"), 409, "PortInUseAsSubPort")
    mine.delete("trunks", trunk["id"])
    engine.settle()
    held = engine.fabric.holds(FabricKind.PORT, one["id"])
    assert isinstance(held, FabricPort)
    assert (held.parent, held.tag, held.host) == (None, None, None)
    for port in (parent, one, two):
        mine.delete("ports", port["id"])


def test_a_trunk_that_is_off_stays(mine: Neutron, member: Client) -> None:
    trunk = mine.create("trunks", "trunk", port_id=mine.port(mine.network())["id"], admin_state_up=False)
    refused(member.delete(f"{N}/trunks/{trunk['id']}"), 409, "TrunkDisabled")
    mine.update("trunks", "trunk", trunk["id"], admin_state_up=True)
    mine.delete("trunks", trunk["id"])


def test_bad_trunks_are_refused(mine: Neutron, member: Client) -> None:
    parent, one, two = ports(mine, 3)

    def refuse(status: int, type_: str, **body: Any) -> None:
        refused(member.post(f"{N}/trunks", {"trunk": {"port_id": parent["id"], **body}}), status, type_)

    refuse(400, "HTTPBadRequest", sub_ports=[{}])
    refuse(400, "InvalidInput", sub_ports=[sub(one, 4095)])
    refuse(400, "InvalidInput", sub_ports=[sub(one, 1, "geneve")])
    refuse(400, "InvalidInput", sub_ports=[{"port_id": one["id"]}])
    refuse(400, "HTTPBadRequest", sub_ports=[sub(one), sub(two)])
    refuse(400, "HTTPBadRequest", sub_ports=[{"port_id": one["id"], "segmentation_type": "vlan"}])
    refuse(409, "PortInUseAsTrunkParent", sub_ports=[sub(parent)])
    refuse(404, "PortNotFound", port_id="7b0ac4ba-8e0f-4c06-9a0f-1d41a6ca1f8f")
    assert mine.list("trunks") == []
    trunk = mine.create("trunks", "trunk", port_id=parent["id"], sub_ports=[sub(one)])
    refuse(409, "ParentPortInUse")
    refuse(409, "PortInUseAsSubPort", port_id=one["id"])
    mine.update("trunks", "trunk", trunk["id"], admin_state_up=False)
    refused(member.put(f"{N}/trunks/{trunk['id']}/add_subports", {"sub_ports": [sub(two, 3)]}), 409, "TrunkDisabled")
    refused(member.put(f"{N}/trunks/{trunk['id']}", {"trunk": {"port_id": two["id"]}}), 400, "HTTPBadRequest")


def test_who_may_use_trunks(mine: Neutron, other: Client, reader: Client, anonymous: Client) -> None:
    parent, one = ports(mine, 2)
    trunk = mine.create("trunks", "trunk", port_id=parent["id"])
    path = f"{N}/trunks/{trunk['id']}"
    assert anonymous.get(path).status_code == 401
    refused(other.get(path), 404, "TrunkNotFound")
    refused(other.put(f"{path}/add_subports", {"sub_ports": [sub(one)]}), 404, "TrunkNotFound")
    refused(other.post(f"{N}/trunks", {"trunk": {"port_id": one["id"]}}), 404, "PortNotFound")
    assert ok(reader.get(f"{path}/get_subports"), 200).json() == {"sub_ports": []}
    refused(reader.put(f"{path}/add_subports", {"sub_ports": [sub(one)]}), 403, "PolicyNotAuthorized")
    refused(reader.delete(path), 403, "PolicyNotAuthorized")
