"""Hostile values and many clients at once, through HTTP, on the databases that are stricter than SQLite."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stackling.drivers.local.image_store import LocalImageStore
from stackling.store.database import Database
from stackling.store.tables import metadata
from tests import databases
from tests.api.hostile import SERVICES, CloudOn, HostileWorld, Problems
from tests.api.hostile_requests import send, some, version_of, wrong_bodies, wrong_filters, wrong_ids
from tests.api.hostile_samples import FILTERS

_names = count(1)
N, V = "/network/v2.0", "/compute/v2.1"


@pytest.fixture(scope="module", params=[databases.MARIADB, databases.POSTGRESQL])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database_servers: Callable[[str], str]
) -> Iterator[HostileWorld]:
    database = Database(databases.create_database(database_servers(request.param), f"hostile{next(_names)}"))
    metadata.create_all(database.engine)
    directory: Path = tmp_path_factory.mktemp("hostile")
    cloud, store = CloudOn(directory, database), LocalImageStore(directory / "glance", reserve=0)
    made = HostileWorld(cloud, store)
    yield made
    made.close()
    store.close()
    cloud.close()


@pytest.mark.parametrize("service", SERVICES)
def test_values_that_only_sqlite_takes(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.undone():
        for route, path, changes in wrong_bodies(world, service, "databases"):
            for where, changed in some(changes, f"{service} {route.method} {route.path}", 15):
                answer = send(world, route, path, world.admin.token, changed)
                problems.check(service, answer, f"{route.method} {path} {where}", leaks=False)


@pytest.mark.parametrize("service", SERVICES)
def test_queries_and_ids_that_only_sqlite_takes(world: HostileWorld, service: str) -> None:
    admin = world.admin.token
    with Problems() as problems, world.undone():
        for route, path in world.each(service):
            names = some(FILTERS, f"databases {path}", 25)
            lists = route.method == "GET" and not route.path.endswith("}")
            for query in wrong_filters(path, 1, names) if lists else ():
                answer = world.ask("GET", path, token=admin, query=query, headers=version_of(route))
                problems.check(service, answer, f"{path}?{query[:60]}")
            for filled in wrong_ids(world, service, route, 2, "databases "):
                answer = send(world, route, filled, admin)
                problems.check(service, answer, f"{route.method} {filled[:100]}")


def race(world: HostileWorld, *requests: tuple[str, str, Any]) -> Counter[int]:
    """All requests at once, each in a thread and a transaction of its own."""
    client = world.victim

    async def everybody() -> list[Any]:
        return list(
            await asyncio.gather(
                *[
                    world.cloud.http.request(
                        method,
                        path,
                        json=body,
                        headers={"X-Auth-Token": client.token or "", "OpenStack-API-Version": "compute 2.37"},
                    )
                    for method, path, body in requests
                ]
            )
        )

    return Counter(one.status_code for one in world.cloud.run(everybody()))


def test_many_want_the_last_of_something(world: HostileWorld) -> None:
    def make(path: str, body: Any) -> str:
        answer = world.victim.post(path, body)
        assert answer.status_code == 201, answer.text
        return next(iter(answer.json().values()))["id"]

    network = make(f"{N}/networks", {"network": {"name": "race"}})
    subnet = make(
        f"{N}/subnets",
        {
            "subnet": {
                "network_id": network,
                "cidr": "10.50.0.0/24",
                "ip_version": 4,
                "allocation_pools": [{"start": "10.50.0.10", "end": "10.50.0.12"}],
            }
        },
    )
    assert race(world, *[("POST", f"{N}/ports", {"port": {"network_id": network}})] * 8) == {201: 3, 409: 5}
    port = {"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.50.0.99"}]}}
    assert race(world, *[("POST", f"{N}/ports", port)] * 6) == {201: 1, 409: 5}
    router = make(f"{N}/routers", {"router": {"name": "r"}})
    leg = ("PUT", f"{N}/routers/{router}/add_router_interface", {"subnet_id": subnet})
    assert race(world, *[leg] * 6) == {200: 1, 400: 5}
    other = make(f"{N}/networks", {"network": {"name": "race"}})
    overlapping = {"subnet": {"network_id": other, "cidr": "10.51.0.0/24", "ip_version": 4}}
    assert race(world, *[("POST", f"{N}/subnets", overlapping)] * 6) == {201: 1, 400: 5}
    key = {"keypair": {"name": "raced"}}
    assert race(world, *[("POST", f"{V}/os-keypairs", key)] * 6) == {201: 1, 409: 5}
    done = world.admin.put(f"{V}/os-quota-sets/{world.victim.project_id}", {"quota_set": {"instances": 3}})
    assert done.status_code == 200, done.text
    server = {"server": {"name": "s", "imageRef": world.image, "flavorRef": "42", "networks": "none"}}
    assert race(world, *[("POST", f"{V}/servers", server)] * 6) == {202: 2, 403: 4}  # the victim has one
