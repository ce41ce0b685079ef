"""Flavors of routers and service profiles."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.network.flavors import DRIVER
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import N, Neutron, ok, refused


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


@pytest.fixture
def member(cloud: CloudUnderTest) -> Neutron:
    return Neutron(cloud.actor("demo", "member"))


def flavor(client: Neutron, **values: Any) -> dict[str, Any]:
    return client.create("flavors", "flavor", service_type="L3_ROUTER_NAT", **values)


def profile(client: Neutron, **values: Any) -> dict[str, Any]:
    return client.create("service_profiles", "service_profile", **values)


def bind(client: Neutron, one: dict[str, Any], with_: dict[str, Any]) -> Any:
    return client.client.post(f"{N}/flavors/{one['id']}/service_profiles", {"service_profile": {"id": with_["id"]}})


def test_a_flavor_and_its_profile(root: Neutron, member: Neutron) -> None:
    one = flavor(root, name="usual", description="x")
    assert one == {"id": one["id"], "name": "usual", "description": "x", "service_type": "L3_ROUTER_NAT",
                   "enabled": True, "service_profiles": []}
    driven = profile(root, driver=DRIVER, description="y")
    assert driven == {"id": driven["id"], "description": "y", "driver": DRIVER, "metainfo": "", "enabled": True,
                      "flavors": []}
    assert ok(bind(root, one, driven), 201).json()["service_profile"]["service_profiles"] == [driven["id"]]
    refused(bind(root, one, driven), 409, "FlavorServiceProfileBindingExists")
    assert root.show("service_profiles", driven["id"])["flavors"] == [one["id"]]
    refused(root.client.put(f"{N}/service_profiles/{driven['id']}", {"service_profile": {"description": "z"}}), 409,
            "ServiceProfileInUse")
    refused(root.client.delete(f"{N}/service_profiles/{driven['id']}"), 409, "ServiceProfileInUse")
    chosen = root.client.get(f"{N}/flavors/{one['id']}/next_providers").json()
    assert chosen == {"next_providers": [{"driver": DRIVER, "provider": "ovn"}]}
    router = member.create("routers", "router", flavor_id=one["id"])
    assert router["flavor_id"] == one["id"]
    assert [found["id"] for found in member.list("routers", flavor_id=one["id"])] == [router["id"]]
    refused(root.client.delete(f"{N}/flavors/{one['id']}"), 409, "FlavorInUse")
    ok(member.client.delete(f"{N}/routers/{router['id']}"), 204)
    ok(root.client.delete(f"{N}/flavors/{one['id']}/service_profiles/{driven['id']}"), 204)
    refused(root.client.delete(f"{N}/flavors/{one['id']}/service_profiles/{driven['id']}"), 404,
            "FlavorServiceProfileBindingNotFound")
    ok(root.client.delete(f"{N}/flavors/{one['id']}"), 204)
    ok(root.client.delete(f"{N}/service_profiles/{driven['id']}"), 204)


def test_flavors_that_make_no_router(root: Neutron, member: Neutron) -> None:
    def asked(one: dict[str, Any]) -> Any:
        return member.client.post(f"{N}/routers", {"router": {"flavor_id": one["id"]}})

    empty = flavor(root)
    refused(asked(empty), 404, "FlavorServiceProfileBindingNotFound")
    ok(bind(root, empty, profile(root, metainfo="{}")), 201)
    refused(asked(empty), 404, "ServiceProfileDriverNotFound")
    off = flavor(root, enabled=False)
    refused(asked(off), 503, "FlavorDisabled")
    other = root.create("flavors", "flavor", service_type="QOS")
    refused(asked(other), 400, "InvalidServiceType")
    refused(asked({"id": "00000000-dead-4bad-8bad-000000000000"}), 404, "FlavorNotFound")
    stopped = flavor(root)
    ok(bind(root, stopped, profile(root, driver=DRIVER, enabled=False)), 201)
    refused(asked(stopped), 503, "ServiceProfileDisabled")
    assert member.list("routers") == []


def test_what_cant_be_made(root: Neutron) -> None:
    refused(root.client.post(f"{N}/flavors", {"flavor": {"service_type": "COFFEE"}}), 400, "InvalidServiceType")
    refused(root.client.post(f"{N}/flavors", {"flavor": {"name": "x"}}), 400, "HTTPBadRequest")
    refused(root.client.post(f"{N}/service_profiles", {"service_profile": {}}), 400, "ServiceProfileEmpty")
    refused(root.client.post(f"{N}/service_profiles", {"service_profile": {"driver": "x"}}), 404,
            "ServiceProfileDriverNotFound")
    one = flavor(root, name="x")
    refused(root.client.put(f"{N}/flavors/{one['id']}", {"flavor": {"service_type": "QOS"}}), 400,
            "HTTPBadRequest")
    changed = ok(root.client.put(f"{N}/flavors/{one['id']}", {"flavor": {"name": "y", "enabled": False}}), 200)
    assert (changed.json()["flavor"]["name"], changed.json()["flavor"]["enabled"]) == ("y", False)
    assert [found["id"] for found in root.list("flavors", name="y")] == [one["id"]]


def test_members_read_flavors_and_change_nothing(root: Neutron, member: Neutron) -> None:
    one, driven = flavor(root), profile(root, driver=DRIVER)
    assert member.list("flavors") == root.list("flavors") != []
    assert member.list("service_profiles") == []
    refused(member.client.get(f"{N}/service_profiles/{driven['id']}"), 404, "ServiceProfileNotFound")
    refused(member.client.put(f"{N}/flavors/{one['id']}", {"flavor": {"name": "mine"}}), 403,
            "PolicyNotAuthorized")
    refused(member.client.delete(f"{N}/flavors/{one['id']}"), 403, "PolicyNotAuthorized")
    refused(member.client.post(f"{N}/flavors", {"flavor": {"service_type": "L3_ROUTER_NAT"}}), 403,
            "PolicyNotAuthorized")
    refused(bind(member, one, driven), 403, "PolicyNotAuthorized")
