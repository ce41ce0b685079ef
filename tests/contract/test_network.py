"""The network service's rules over several rows, on each database, with clients that race."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from stackling.core.context import Context
from stackling.core.errors import StacklingError
from stackling.network import facade, floating_ips, networks, ports, quotas, routers, security_groups, subnets
from stackling.network.facade import RequestedNetwork, ServerToPlug
from stackling.network.lists import LISTED, ListQuery, find
from stackling.network.resources import FLOATING_IPS, PORTS
from stackling.store.database import Database
from stackling.store.transaction import Tx

CTX = Context("req-test", user_id="u", project_id="p", roles=frozenset({"member", "reader"}))
ADMIN = Context("req-test", user_id="a", project_id="admin", roles=frozenset({"admin", "member", "reader"}))


def new(**body: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "project_id": "p", **body}


def make_network(database: Database, pool: tuple[str, str] | None = None) -> dict[str, Any]:
    network = database.write(networks.create, CTX, [new(name="n")])[0]
    given = {} if pool is None else {"allocation_pools": [{"start": pool[0], "end": pool[1]}]}
    database.write(subnets.create, CTX, [new(network_id=network["id"], ip_version=4, cidr="10.0.0.0/24", **given)])
    return network


def race(database: Database, *calls: Callable[[Tx], Any]) -> list[Any]:
    """Run all at once; each one's result or refusal."""
    results: list[Any] = [None] * len(calls)
    ready = threading.Barrier(len(calls))

    def run(index: int) -> None:
        ready.wait()
        try:
            results[index] = database.write(calls[index])
        except StacklingError as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def won(results: list[Any]) -> list[Any]:
    return [one for one in results if not isinstance(one, Exception)]


def lost(results: list[Any]) -> set[str]:
    return {one.type for one in results if isinstance(one, StacklingError)}


def test_one_gets_the_last_address(database: Database) -> None:
    network = make_network(database, ("10.0.0.10", "10.0.0.10"))
    results = race(database, *[lambda tx: ports.create(tx, CTX, [new(network_id=network["id"])])] * 4)
    assert len(won(results)) == 1
    assert lost(results) == {"IpAddressGenerationFailure"}


def test_one_gets_the_exact_address(database: Database) -> None:
    network = make_network(database)
    wanted = [{"ip_address": "10.0.0.50"}]
    results = race(database, *[lambda tx: ports.create(tx, CTX, [new(network_id=network["id"], fixed_ips=wanted)])] * 4)
    assert len(won(results)) == 1
    assert lost(results) == {"IpAddressAlreadyAllocated"}


def test_many_get_different_addresses(database: Database) -> None:
    network = make_network(database)
    results = race(database, *[lambda tx: ports.create(tx, CTX, [new(network_id=network["id"])])] * 8)
    assert len({one[0]["fixed_ips"][0]["ip_address"] for one in won(results)}) == 8


def test_overlapping_subnets_race(database: Database) -> None:
    network = database.write(networks.create, CTX, [new(name="n")])[0]
    results = race(database, *[lambda tx: subnets.create(tx, CTX, [
        new(network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")])] * 3)
    assert len(won(results)) == 1
    assert lost(results) == {"InvalidInput"}


def test_the_quota_races(database: Database) -> None:
    database.write(quotas.update, "p", {"network": 2})
    results = race(database, *[lambda tx: networks.create(tx, CTX, [new(name="n")])] * 5)
    assert len(won(results)) == 2
    assert lost(results) == {"OverQuota"}


def test_the_default_group_is_made_once(database: Database) -> None:
    results = race(database, *[lambda tx: security_groups.default_group(tx, "p")] * 4)
    assert len(set(results)) == 1
    assert isinstance(results[0], str)


def test_the_same_rule_races(database: Database) -> None:
    group = database.write(security_groups.create, CTX, [new(name="g")])[0]
    results = race(database, *[lambda tx: security_groups.create_rules(tx, CTX, [
        new(security_group_id=group["id"], direction="ingress", protocol="tcp")])] * 3)
    assert len(won(results)) == 1
    assert lost(results) == {"SecurityGroupRuleExists"}


def test_a_router_takes_a_subnet_once(database: Database) -> None:
    network = make_network(database)
    subnet = database.read(lambda tx: find(tx, CTX, LISTED["subnet"], ListQuery()))[0]
    router = database.write(routers.create, CTX, [new(name="r")])[0]
    results = race(database, *[lambda tx: routers.add_interface(tx, CTX, router, {"subnet_id": subnet["id"]})] * 3)
    assert len(won(results)) == 1
    assert network["id"] == won(results)[0]["network_id"]


def test_deleting_a_network_and_making_a_port_race(database: Database) -> None:
    for _ in range(3):
        network = make_network(database)
        results = race(
            database,
            lambda tx, id=network["id"]: networks.delete_network(tx, CTX, networks.find(tx, CTX, id)),
            lambda tx, id=network["id"]: ports.create(tx, CTX, [new(network_id=id)]))
        made = results[1]
        if isinstance(made, StacklingError):
            assert made.type == "NetworkNotFound"
        else:
            assert isinstance(results[0], StacklingError)
            assert results[0].type == "NetworkInUse"


@pytest.fixture
def site(database: Database) -> dict[str, Any]:
    external = facade.External("203.0.113.0/24", "203.0.113.1", ("203.0.113.10", "203.0.113.11"), "external")
    external_id = database.write(facade.bootstrap, "admin", external=external)
    network_id = database.write(facade.default_topology, CTX)
    return {"external": external_id, "network": network_id}


def plug(database: Database, *names: str) -> dict[str, list[facade.ServerPort]]:
    servers = [ServerToPlug(f"server-{name}", name, "h") for name in names]
    requested = database.write(facade.choose_networks, CTX, None)
    return database.write(facade.plug_servers, CTX, servers, "nova", requested)


def test_one_fixed_address_has_one_floating_ip(database: Database, site: dict[str, Any]) -> None:
    port = plug(database, "a")["server-a"][0]
    results = race(database, *[lambda tx: floating_ips.create(tx, CTX, [
        new(floating_network_id=site["external"], port_id=port.port_id)])] * 2)
    assert len(won(results)) == 1
    assert lost(results) <= {"FloatingIPPortAlreadyAssociated", "IpAddressGenerationFailure"}


def test_servers_are_plugged_and_unplugged(database: Database, site: dict[str, Any]) -> None:
    plugged = plug(database, "a", "b")
    first = plugged["server-a"][0]
    assert first.created
    assert first.host == "h"
    assert first.network_name == "auto_allocated_network"
    assert [version for _, _, version in first.fixed_ips] == [4, 6]
    assert first.security_groups[0][1] == "default"
    assert first.dns_name == "a"
    assert len(first.subnets) == 2
    assert database.read(facade.ports_of_servers, ["server-a", "server-b", "server-c"]) == {**plugged, "server-c": []}
    seen = database.read(facade.metadata_networks, "h")
    assert len(seen) == 1
    assert set(seen[0].servers.values()) == {"server-a", "server-b"}
    assert seen[0].addresses
    assert database.read(facade.servers_of_addresses, CTX, ip=first.fixed_ips[0][1]) >= {"server-a"}
    database.write(facade.bind_server, "server-a", "other")
    assert database.read(facade.ports_of_servers, ["server-a"])["server-a"][0].host == "other"
    database.write(facade.unplug_server, "server-a")
    assert database.read(facade.ports_of_servers, ["server-a"]) == {"server-a": []}


def test_a_given_port_is_taken_over_and_given_back(database: Database, site: dict[str, Any]) -> None:
    port = database.write(ports.create, CTX, [new(network_id=site["network"], name="mine")])[0]
    chosen = database.read(facade.choose_networks, CTX, [RequestedNetwork(port_id=port["id"])])
    database.write(facade.plug_server, CTX, "server-a", "a", "h", None, chosen)
    with pytest.raises(StacklingError, match="still in use"):
        database.read(facade.choose_networks, CTX, [RequestedNetwork(port_id=port["id"])])
    extra = database.write(facade.plug_port, CTX, "server-a", "a", "h", None, RequestedNetwork(site["network"]))
    own = database.read(facade.ports_of_servers, ["server-a"])["server-a"]
    assert [one.port_id for one in own] == [port["id"], extra.port_id]
    assert [one.created for one in own] == [False, True]
    database.write(facade.unplug_port, "server-a", extra.port_id)
    database.write(facade.unplug_server, "server-a")
    back = database.read(PORTS.get, port["id"])
    assert back is not None
    assert back["device_id"] == ""
    assert back["binding_host"] == ""


def test_floating_ips_by_proxy(database: Database, site: dict[str, Any]) -> None:
    plug(database, "a", "b")
    given = database.write(facade.allocate_floating_ip, CTX, "public")
    bound = database.write(facade.associate_floating_ip, CTX, given.address, "server-a")
    assert bound.server_id == "server-a"
    assert bound.pool == "public"
    own = database.read(facade.ports_of_servers, ["server-a"])["server-a"][0]
    assert own.floating == ((bound.fixed_ip, given.address),)
    moved = database.write(facade.associate_floating_ip, CTX, given.id, "server-b")
    assert moved.server_id == "server-b"
    with pytest.raises(StacklingError, match="not associated"):
        database.write(facade.disassociate_floating_ip, CTX, given.address, "server-a")
    database.write(facade.disassociate_floating_ip, CTX, given.address, "server-b")
    assert [one.server_id for one in database.read(facade.list_floating_ips, CTX)] == [None]
    database.write(facade.release_floating_ip, CTX, given.id)
    assert database.read(facade.list_floating_ips, CTX) == []


def test_automatic_floating_ips(database: Database, site: dict[str, Any]) -> None:
    plug(database, "a", "b", "c")
    spare = database.write(facade.allocate_floating_ip, CTX, None)
    first = database.write(facade.auto_floating_ip, CTX, "server-a")
    assert first.id == spare.id
    assert database.write(facade.auto_floating_ip, CTX, "server-a").id == first.id
    with pytest.raises(StacklingError, match="No more floating IPs"):
        database.write(facade.auto_floating_ip, CTX, "server-b")     # two addresses: the router's gateway has the other
    database.write(facade.release_auto_floating_ips, "server-a")
    assert database.read(FLOATING_IPS.get, spare.id) is not None     # was the project's before
    with pytest.raises(StacklingError, match="no port"):
        database.write(facade.auto_floating_ip, CTX, "server-x")


def test_groups_of_servers(database: Database, site: dict[str, Any]) -> None:
    plug(database, "a")
    group = database.write(security_groups.create, CTX, [new(name="web")])[0]
    database.write(facade.add_security_group, CTX, "server-a", "web")
    assert [name for _, name in database.read(facade.security_groups_of_servers, ["server-a"])["server-a"]] == [
        "default", "web"]
    database.write(facade.remove_security_group, CTX, "server-a", group["id"])
    with pytest.raises(StacklingError, match="not associated"):
        database.write(facade.remove_security_group, CTX, "server-a", "web")
    with pytest.raises(StacklingError, match="not found"):
        database.write(facade.add_security_group, CTX, "server-a", "nothing")


def test_lists_page_in_order(database: Database) -> None:
    for index in range(5):
        database.write(networks.create, CTX, [new(name=f"n{index % 2}")])
    seen: list[str] = []
    query = ListQuery(sorts=[("name", True)], limit=2)
    while page := database.read(find, CTX, LISTED["network"], query):
        seen += [one["id"] for one in page]
        query.marker = page[-1]["id"]
    whole = database.read(find, CTX, LISTED["network"], ListQuery(sorts=[("name", True)]))
    assert seen == [one["id"] for one in whole]
    for listed in LISTED.values():
        assert isinstance(database.read(find, CTX, listed, ListQuery()), list)
        assert isinstance(database.read(find, ADMIN, listed, ListQuery(limit=1)), list)
