"""Networks of several segments (multi-provider), guests' own VLAN tags, published addresses, trusted ports."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.network import segments
from stackling.ports.fabric import FabricKind
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, N, Neutron, first_start, ok, refused


@pytest.fixture
def root(cloud: CloudUnderTest, admin: Client) -> Neutron:
    first_start(cloud, admin.project_id)        # takes the flat network of "external"
    cloud.database.write(lambda tx: tx.set_setting(segments.PHYSICAL_NETWORKS, ["external", "left", "right"]))
    return Neutron(admin)


def segment(kind: str | None = "vlan", physical: str | None = "left", number: int | None = 7) -> dict[str, Any]:
    given = {segments.TYPE: kind, segments.PHYSICAL: physical, segments.ID: number}
    return {name: value for name, value in given.items() if value is not None}


LEFT, RIGHT = segment(), segment(physical="right", number=8)


def try_create(client: Client, **body: Any) -> Any:
    return client.post(f"{N}/networks", {"network": body})


def test_a_network_of_several_segments(cloud: CloudUnderTest, root: Neutron) -> None:
    engine = Engine(cloud)
    network = root.network(segments=[LEFT, RIGHT, segment("flat", "right", None)])
    assert network["segments"] == [LEFT, RIGHT, {**segment("flat", "right", None), segments.ID: None}]
    assert not [name for name in network if name.startswith("provider:")]
    assert network["mtu"] == 1500
    assert root.show("networks", network["id"])["segments"] == network["segments"]
    engine.settle()
    found = engine.fabric.find(FabricKind.NETWORK, network["id"])
    assert found.generation == 1
    root.delete("networks", network["id"])
    engine.settle()
    root.network(segments=[RIGHT, LEFT])        # all of them are free again


def test_one_segment_is_a_provider_network(root: Neutron) -> None:
    network = root.network(segments=[LEFT])
    assert "segments" not in network
    assert {name: network[name] for name in LEFT} == LEFT
    tenants = root.network(segments=[])
    assert tenants["provider:network_type"] == "geneve"


def test_tunnels_among_them(root: Neutron) -> None:
    network = root.network(segments=[segment("geneve", None, None), LEFT, segment("geneve", None, 42)])
    kinds = [one[segments.TYPE] for one in network["segments"]]
    assert kinds == ["geneve", "vlan", "geneve"]
    assert network["segments"][0][segments.ID] not in (None, 42)
    assert network["mtu"] == 1442
    refused(root.client.put(f"{N}/networks/{network['id']}", {"network": {"mtu": 1500}}), 400, "InvalidInput")
    refused(try_create(root.client, **segment("geneve", None, 42)), 409, "TunnelIdInUse")


def test_a_segment_is_given_once(root: Neutron) -> None:
    network = root.network(segments=[LEFT, RIGHT])
    for body in (RIGHT, {"segments": [segment(number=9), RIGHT]}, LEFT):
        refused(try_create(root.client, **body), 409, "VlanIdInUse")
    root.network(segments=[segment(number=9), segment("flat", "right", None)])
    refused(try_create(root.client, **segment("flat", "right", None)), 409, "FlatNetworkInUse")
    root.delete("networks", network["id"])
    root.network(**RIGHT)


def test_what_is_refused(root: Neutron, member: Client) -> None:
    both = refused(try_create(root.client, segments=[LEFT], **RIGHT), 400, "SegmentsSetInConjunctionWithProviders")
    assert both == "Segments and provider values cannot both be set."
    twice = refused(try_create(root.client, segments=[LEFT, LEFT]), 400, "SegmentsContainDuplicateEntry")
    assert twice == "Duplicate segment entry in request."
    for wrong in ([{}], [segment("vxlan")], [segment(physical=None)], [segment("geneve", "left", None)],
                  [segment(number=5000), RIGHT], [segment(physical="nowhere")]):
        refused(try_create(root.client, segments=wrong), 400, "InvalidInput")
    for wrong in ([{**LEFT, "x": 1}], "x", ["x"], [{segments.TYPE: 7}], [{**LEFT, segments.ID: "x"}], {"a": 1}):
        refused(try_create(root.client, segments=wrong), 400, "HTTPBadRequest")
    refused(try_create(member, segments=[LEFT]), 403, "PolicyNotAuthorized")
    network = root.network(segments=[LEFT, RIGHT])
    path = f"{N}/networks/{network['id']}"
    ok(root.client.put(path, {"network": {"segments": network["segments"], "name": "n"}}), 200)
    refused(root.client.put(path, {"network": {"segments": [LEFT]}}), 400, "InvalidInput")
    shared = root.network(segments=[segment(number=70), segment(number=71)], shared=True)
    assert "segments" not in ok(member.get(f"{N}/networks/{shared['id']}"), 200).json()["network"]


def test_networks_are_found_by_any_of_their_segments(root: Neutron) -> None:
    several, one = root.network(segments=[LEFT, RIGHT]), root.network(**segment(number=9))

    def found(**query: Any) -> set[str]:
        return {each["id"] for each in root.list("networks", **query)}

    assert found(**{segments.PHYSICAL: "right"}) == {several["id"]}
    assert found(**{segments.PHYSICAL: "left"}) == {several["id"], one["id"]}
    assert found(**{segments.ID: 8}) == {several["id"]}
    assert found(**{segments.TYPE: "vlan"}) == {several["id"], one["id"]}
    assert several["id"] not in found(**{segments.TYPE: "flat"})


def test_tags_of_guests_go_through(root: Neutron, member: Client) -> None:
    mine = Neutron(member)
    network = mine.network(vlan_transparent=True)
    assert network["vlan_transparent"] is True
    assert mine.network()["vlan_transparent"] is False
    assert [one["id"] for one in mine.list("networks", vlan_transparent="True")] == [network["id"]]
    refused(member.put(f"{N}/networks/{network['id']}", {"network": {"vlan_transparent": False}}), 400,
            "HTTPBadRequest")
    words = refused(try_create(root.client, vlan_transparent=True, **segment("flat", "left", None)), 400,
                    "VlanTransparencyDriverError")
    assert words == "Backend does not support VLAN Transparency."


def test_a_subnets_addresses_are_published_or_not(root: Neutron) -> None:
    network = root.network()
    subnet = root.subnet(network)
    assert subnet["dns_publish_fixed_ip"] is False
    assert root.update("subnets", "subnet", subnet["id"], dns_publish_fixed_ip=True)["dns_publish_fixed_ip"] is True
    assert root.subnet(network, "10.1.0.0/24", dns_publish_fixed_ip=True)["dns_publish_fixed_ip"] is True


def test_they_are_told_of(root: Neutron) -> None:
    aliases = {one["alias"] for one in root.list("extensions")}
    assert {"multi-provider", "port-trusted-vif", "segment", "subnet-dns-publish-fixed-ip",
            "vlan-transparent"} <= aliases


def test_trusted_ports(cloud: CloudUnderTest, root: Neutron, member: Client) -> None:
    nova = cloud.actor("service", "service")
    network = root.network(shared=True)
    port = root.port(network)
    assert (port["trusted"], port["binding:profile"]) == (None, {})
    changed = root.update("ports", "port", port["id"], trusted=True)
    assert (changed["trusted"], changed["binding:profile"]) == (True, {"trusted": True})
    ok(nova.put(f"{N}/ports/{port['id']}", {"port": {"binding:profile": {"a": "b"}}}), 200)
    assert root.show("ports", port["id"])["binding:profile"] == {"a": "b", "trusted": True}
    made = root.port(network, trusted=False)
    assert (made["trusted"], made["binding:profile"]) == (False, {"trusted": False})
    listed = {one["id"]: one["trusted"] for one in root.list("ports", network_id=network["id"])}
    assert listed == {port["id"]: True, made["id"]: False}
    refused(member.post(f"{N}/ports", {"port": {"network_id": network["id"], "trusted": True}}), 403,
            "PolicyNotAuthorized")
    own = Neutron(member).port(network)
    assert "trusted" not in own
    refused(member.put(f"{N}/ports/{own['id']}", {"port": {"trusted": True}}), 403, "PolicyNotAuthorized")


# -- segments by themselves

def seen(root: Neutron, network: dict[str, Any]) -> list[dict[str, Any]]:
    return root.list("segments", network_id=network["id"])


def test_every_network_has_a_segment(root: Neutron, member: Client) -> None:
    network = Neutron(member).network()
    one, = seen(root, network)
    shown = root.show("networks", network["id"])
    assert {name: one[name] for name in ("name", "network_id", "network_type", "physical_network", "segmentation_id")
            } == {"name": None, "network_id": network["id"], "network_type": "geneve", "physical_network": None,
                  "segmentation_id": shown[segments.ID]}
    message = refused(root.client.delete(f"{N}/segments/{one['id']}"), 409, "SegmentInUse")
    assert message == f"Segment '{one['id']}' cannot be deleted: The network has no other segment."
    root.delete("networks", network["id"])
    assert seen(root, network) == []


def test_segments_come_and_go(cloud: CloudUnderTest, root: Neutron) -> None:
    engine = Engine(cloud)
    network = root.network()
    engine.settle()
    made = root.create("segments", "segment", network_id=network["id"], network_type="vlan", physical_network="left",
                       segmentation_id=7, name="s", description="d")
    assert (made["name"], made["description"], made["revision_number"]) == ("s", "d", 0)
    assert made["created_at"].endswith("Z")
    shown = root.show("networks", network["id"])
    assert shown["segments"][1] == LEFT
    assert shown["revision_number"] == network["revision_number"] + 1
    engine.settle()
    wide = engine.fabric.find(FabricKind.NETWORK, network["id"]).generation
    refused(try_create(root.client, **LEFT), 409, "VlanIdInUse")
    changed = root.update("segments", "segment", made["id"], name=None, description="e")
    assert (changed["name"], changed["description"], changed["revision_number"]) == (None, "e", 1)
    assert [one["id"] for one in root.list("segments", physical_network="left")] == [made["id"]]
    root.delete("segments", made["id"])
    refused(root.client.get(f"{N}/segments/{made['id']}"), 404, "SegmentNotFound")
    assert root.show("networks", network["id"])[segments.TYPE] == "geneve"
    engine.settle()
    assert (engine.fabric.find(FabricKind.NETWORK, network["id"]).generation or 0) > (wide or 0)
    root.network(**LEFT)


def test_the_first_segment_goes_unless_ports_are_bound(root: Neutron) -> None:
    network = root.network(**LEFT)
    first, = seen(root, network)
    second = root.create("segments", "segment", network_id=network["id"], network_type="geneve", segmentation_id=42)
    bound = root.port(network, **{"binding:host_id": "h1"})
    message = refused(root.client.delete(f"{N}/segments/{first['id']}"), 409, "SegmentInUse")
    assert message.endswith(f"cannot be deleted: The segment is still bound with port(s) {bound['id']}.")
    root.delete("ports", bound["id"])
    root.delete("segments", first["id"])
    shown = root.show("networks", network["id"])
    assert (shown[segments.TYPE], shown[segments.PHYSICAL], shown[segments.ID]) == ("geneve", None, 42)
    assert [one["id"] for one in seen(root, network)] == [second["id"]]


def test_segments_that_cannot_be(root: Neutron, member: Client) -> None:
    network = root.network()

    def refused_with(type_: str, status: int, **body: Any) -> None:
        refused(root.client.post(f"{N}/segments", {"segment": {"network_id": network["id"], **body}}), status, type_)

    refused_with("InvalidInput", 400, network_type="vxlan")
    refused_with("InvalidInput", 400, network_type="vlan", segmentation_id=3)
    refused_with("TunnelIdInUse", 409, network_type="geneve", segmentation_id=network[segments.ID])
    refused_with("HTTPBadRequest", 400)
    refused_with("NetworkNotFound", 404, network_type="geneve", network_id="11111111-2222-4333-8444-555555555555")
    one = seen(root, network)[0]
    path = f"{N}/segments/{one['id']}"
    refused(root.client.put(path, {"segment": {"segmentation_id": 5}}), 400, "HTTPBadRequest")
    refused(root.client.post(f"{N}/subnets", {"subnet": {
        "network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24", "segment_id": one["id"]}}), 400,
        "BadRequest")
    assert Neutron(member).list("segments") == []
    refused(member.get(path), 404, "SegmentNotFound")
    refused(member.post(f"{N}/segments", {"segment": {"network_id": network["id"], "network_type": "geneve"}}), 403,
            "PolicyNotAuthorized")
