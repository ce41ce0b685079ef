"""Servers and the network service: ports, addresses, floating IPs, security groups, interfaces, metadata."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]
N = "/network/v2.0"


class Net:
    """A project's network behind a router to the external one."""

    def __init__(self, world: World, client: Client) -> None:
        self.client = client
        self.external = world.admin.get(f"{N}/networks?router:external=true").json()["networks"][0]
        self.network = self.post("networks", name="private")
        self.subnet = self.post("subnets", network_id=self.network["id"], cidr="10.0.0.0/24", ip_version=4,
                                dns_nameservers=["9.9.9.9"])
        self.router = self.post("routers", name="r", external_gateway_info={"network_id": self.external["id"]})
        done = client.put(f"{N}/routers/{self.router['id']}/add_router_interface", {"subnet_id": self.subnet["id"]})
        assert done.status_code == 200, done.text

    def post(self, collection: str, **values: Any) -> dict[str, Any]:
        single = collection[:-1]
        answer = self.client.post(f"{N}/{collection.replace('_', '-')}", {single: values})
        assert answer.status_code == 201, answer.text
        return answer.json()[single]


@pytest.fixture
def net(world: World, member: Client) -> Net:
    return Net(world, member)


def addresses(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(a["OS-EXT-IPS:type"], a["addr"]) for listed in shown["addresses"].values() for a in listed]


def test_the_only_network_is_taken_and_its_address_shown(world: World, member: Client, net: Net) -> None:
    shown = world.active(member, networks=[{"uuid": net.network["id"]}])
    assert list(shown["addresses"]) == ["private"]
    [(kind, address)] = addresses(shown)
    assert kind == "fixed"
    assert address.startswith("10.0.0.")
    assert shown["security_groups"] == [{"name": "default"}]
    interfaces = member.get(f"{V}/servers/{shown['id']}/os-interface").json()["interfaceAttachments"]
    assert [i["fixed_ips"][0]["ip_address"] for i in interfaces] == [address]
    assert member.get(f"{V}/servers/{shown['id']}/ips").json() == {"addresses": {"private": [
        {"version": 4, "addr": address}]}}
    found = member.get(f"{V}/servers?ip={address}").json()["servers"]
    assert [s["id"] for s in found] == [shown["id"]]
    agent = world.agents[0]
    desired = agent.wanted[shown["id"]]
    assert [nic.port_id for nic in desired.nics] == [interfaces[0]["port_id"]]
    assert desired.metadata.meta_data["uuid"] == shown["id"]
    assert desired.metadata.network_data["networks"][0]["type"] == "ipv4_dhcp"
    assert desired.metadata.ec2["local-ipv4"] == address
    member.delete(f"{V}/servers/{shown['id']}")
    world.settle()
    assert member.get(f"{N}/ports?device_id={shown['id']}").json()["ports"] == []


def test_the_document_names_the_networks_that_need_metadata(world: World, member: Client, net: Net) -> None:
    from stackling.compute import facade as compute

    shown = world.active(member, networks=[{"uuid": net.network["id"]}])

    def look(tx: Any) -> Any:
        return compute.documents(tx, compute.machine_of(tx, world.agents[0].credential), "h1", 0, None)

    document = world.cloud.database.read(look)
    assert [n.network_id for n in document.networks] == [net.network["id"]]
    assert shown["id"] in document.networks[0].servers.values()


def test_floating_ip_by_address_and_by_id(world: World, member: Client, net: Net) -> None:
    id = world.active(member, networks=[{"uuid": net.network["id"]}])["id"]
    made = member.post(f"{V}/os-floating-ips", {"pool": "public"})
    assert made.status_code == 200, made.text
    floating = made.json()["floating_ip"]
    assert floating["pool"] == "public"
    assert member.get(f"{V}/os-floating-ip-pools").json() == {"floating_ip_pools": [{"name": "public"}]}
    for name in (floating["ip"], floating["id"]):
        assert world.act(member, id, "addFloatingIp", {"address": name}).status_code == 202
        assert ("floating", floating["ip"]) in addresses(world.show(member, id))
        assert member.get(f"{V}/os-floating-ips/{floating['id']}").json()["floating_ip"]["instance_id"] == id
        world.settle()
        assert world.agents[0].wanted[id].metadata.ec2["public-ipv4"] == floating["ip"]
        assert world.act(member, id, "removeFloatingIp", {"address": name}).status_code == 202
        assert ("floating", floating["ip"]) not in addresses(world.show(member, id))
    assert world.act(member, id, "addFloatingIp", {"address": floating["ip"]}, headers=version(44)).status_code == 404
    assert member.delete(f"{V}/os-floating-ips/{floating['id']}").status_code == 202
    assert member.get(f"{V}/os-floating-ips").json() == {"floating_ips": []}
    assert member.get(f"{V}/os-floating-ips", headers=version(36)).status_code == 404


def test_floating_ip_auto(world: World, member: Client, net: Net) -> None:
    made = world.create(member, networks=[{"uuid": net.network["id"]}], metadata={"floating_ip": "auto"})
    world.settle()
    shown = world.show(member, made["id"])
    assert [kind for kind, _ in addresses(shown)] == ["fixed", "floating"]
    member.delete(f"{V}/servers/{made['id']}")
    world.settle()
    assert member.get(f"{N}/floatingips").json() == {"floatingips": []}


def test_interfaces_come_and_go(world: World, member: Client, net: Net) -> None:
    id = world.active(member)["id"]
    path = f"{V}/servers/{id}/os-interface"
    made = member.post(path, {"interfaceAttachment": {"net_id": net.network["id"]}})
    assert made.status_code == 200, made.text
    port = made.json()["interfaceAttachment"]["port_id"]
    world.settle()
    assert [nic.port_id for nic in world.agents[0].wanted[id].nics] == [port]
    assert len(addresses(world.show(member, id))) == 1
    assert member.get(f"{path}/{port}").status_code == 200
    assert member.delete(f"{path}/{port}").status_code == 202
    world.settle()
    assert world.agents[0].wanted[id].nics == ()
    assert member.get(f"{path}/{port}").status_code == 404
    assert member.delete(f"{path}/{port}").status_code == 404
    own = net.post("ports", network_id=net.network["id"])
    assert member.post(path, {"interfaceAttachment": {"port_id": own["id"]}}).status_code == 200
    assert member.post(path, {"interfaceAttachment": {"port_id": own["id"]}}).status_code in (400, 409)
    both = {"interfaceAttachment": {"port_id": own["id"], "net_id": net.network["id"]}}
    assert member.post(path, both).status_code == 400
    assert member.delete(f"{path}/{own['id']}").status_code == 202
    assert member.get(f"{N}/ports/{own['id']}").json()["port"]["device_id"] == ""


def test_fixed_ips_by_the_old_calls(world: World, member: Client, net: Net) -> None:
    id = world.active(member, networks=[{"uuid": net.network["id"]}])["id"]
    assert world.act(member, id, "addFixedIp", {"networkId": net.network["id"]}).status_code == 202
    world.settle()
    found = [address for _, address in addresses(world.show(member, id))]
    assert len(found) == 2
    assert world.act(member, id, "removeFixedIp", {"address": found[1]}).status_code == 202
    world.settle()
    assert [address for _, address in addresses(world.show(member, id))] == found[:1]
    assert world.act(member, id, "removeFixedIp", {"address": "10.0.0.250"}).status_code == 400


def test_security_groups(world: World, member: Client, net: Net) -> None:
    group = net.post("security_groups", name="web")
    id = world.active(member, networks=[{"uuid": net.network["id"]}])["id"]
    assert world.act(member, id, "addSecurityGroup", {"name": "web"}).status_code == 202
    assert world.show(member, id)["security_groups"] == [{"name": "default"}, {"name": "web"}]
    listed = member.get(f"{V}/servers/{id}/os-security-groups").json()["security_groups"]
    assert {g["name"] for g in listed} == {"default", "web"}
    assert group["id"] in {g["id"] for g in listed}
    assert world.act(member, id, "removeSecurityGroup", {"name": group["id"]}).status_code == 202
    assert world.show(member, id)["security_groups"] == [{"name": "default"}]
    assert world.act(member, id, "removeSecurityGroup", {"name": "nope"}).status_code == 404
    assert world.try_create(member, networks=[{"uuid": net.network["id"]}],
                            security_groups=[{"name": "nope"}]).status_code == 400


def test_networks_that_cannot_be_had(world: World, member: Client, other: Client, net: Net) -> None:
    foreign = "00000000-0000-4000-8000-000000000001"
    assert world.try_create(member, networks=[{"uuid": foreign}]).status_code == 400
    assert world.try_create(other, networks=[{"uuid": net.network["id"]}]).status_code == 400
    assert world.try_create(member, networks=[{"port": foreign}]).status_code == 400
    second = net.post("subnets", network_id=net.post("networks", name="third")["id"], cidr="10.1.0.0/24", ip_version=4)
    assert second
    several = member.post(f"{V}/servers", {"server": {"name": "x", "imageRef": world.image, "flavorRef": "42"}})
    assert several.status_code == 409, several.text
    assert "more specific" in several.json()["conflictingRequest"]["message"]
    fixed = [{"uuid": net.network["id"], "fixed_ip": "10.0.0.77"}]
    assert world.try_create(member, networks=fixed, min_count=2).status_code == 400
    shown = world.active(member, networks=fixed)
    assert addresses(shown) == [("fixed", "10.0.0.77")]
    assert world.try_create(member, networks=fixed).status_code in (400, 409)
    before = member.get(f"{N}/ports").json()["ports"]
    assert world.try_create(member, networks=[{"uuid": net.network["id"]}, {"uuid": foreign}]).status_code == 400
    assert len(member.get(f"{N}/ports").json()["ports"]) == len(before)


def test_auto_allocated_network(world: World, other: Client) -> None:
    shown = world.active(other, networks="auto")
    assert {kind for kind, _ in addresses(shown)} == {"fixed"}


def test_extra_versions_show_what_they_should(world: World, member: Client, net: Net) -> None:
    id = world.active(member, networks=[{"uuid": net.network["id"]}])["id"]
    old, new = world.show(member, id, version(1)), world.show(member, id, LATEST)
    assert set(new) - set(old) == {
        "locked", "description", "tags", "trusted_image_certificates", "server_groups", "locked_reason",
        "OS-EXT-SRV-ATTR:hostname", "pinned_availability_zone", "scheduler_hints"}
    assert old["flavor"]["id"] == "42"
    assert new["flavor"]["original_name"] == "m1.nano"


def test_the_networks_own_port_stays_while_a_server_needs_it(world: World, member: Client, net: Net) -> None:
    world.active(member, networks=[{"uuid": net.network["id"]}])
    path = f"{N}/ports?network_id={net.network['id']}&device_owner=network:distributed"
    [own] = world.admin.get(path).json()["ports"]
    answer = world.admin.delete(f"{N}/ports/{own['id']}")
    assert answer.status_code == 409
    assert answer.json()["NeutronError"]["type"] == "ServicePortInUse"
