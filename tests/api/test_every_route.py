"""Every route of every service that clients reach, so that none is forgotten where rights are tested.

``test_bad_callers`` asks each as a stranger, a reader and another tenant. Here it is made sure that it asks with ids of
things that are there (a 404 for what never was proves nothing), and that those who may read do get something.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stackling.api.route import Route
from tests.api.hostile import NOBODY, SERVICES, HostileWorld, Problems, world_in
from tests.api.hostile_belongings import UNNAMED
from tests.api.hostile_requests import version_of
from tests.routes import public_services

RETIRED = 410
NOT_THERE = {
    "identity /v3/auth/tokens": "it shows the token that X-Subject-Token names",
    "identity /v3/auth/tokens/OS-PKI/revoked": "there are no PKI tokens",
    "identity /v3/OS-INHERIT/": "no such grant: the victim is a member of one project and nothing else",
    "identity /v3/domains/{domain_id}/users/{user_id}/roles/{role_id}": "no such grant",
    "identity /v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}": "no such grant",
    "identity /v3/projects/{project_id}/groups/{group_id}/roles/{role_id}": "no such grant",
    "identity /v3/system/": "no such grant",
    "identity /v3/users/{user_id}/access_rules": "the user's own, with an exception for a reader of the system",
    "compute /v2.1/servers/{id}/diagnostics": "there are no agents to be asked",
    "stackling /servers/{id}/metrics": "there are no agents to be asked",
    "volumev3 /v3/types/{id}/os-volume-type-access": "the type is public",
    "volumev3 /v3/types/{id}/encryption/{key}": "the type isn't encrypted",
    "volumev3 /v3/default-types/{project}": "the project has none of its own",
    "volumev3 /v3/os-hosts/{host}": "there is no backend",
    "volumev3 /v3/capabilities/{host}": "there is no backend",
    "volumev3 /v3/group_types/default": "there is no default",
    "volumev3 /v3/manageable_": "it wants a host",
    "volumev3 /v3/qos-specs/{id}/": "it wants a type",
    "image /v2/cache": "there is no cache",
    "placement /usages": "it wants a project",
    "placement /allocation_candidates": "it wants resources",
    "compute /v2.1/flavors/{flavor}/os-flavor-access": "the flavor is public",
    "compute /v2.1/os-keypairs/{name}": "an administrator's own, unless a user is named",
    "compute /v2.1/os-hypervisors/{hypervisor}/": "before microversion 2.53 this is a pattern of names",
    "compute /v2.1/os-hosts/{host}/": "not offered by the driver",
    **{f"load-balancer {root}/lbaas/providers/": "the provider has no flavors and no zones"
       for root in ("/v2.0", "/v2")},
}
"""What not even an administrator reads here, and why: by how ``service path`` begins."""
OWN = {
    "identity /v3/users/{user_id}", "identity /v3/credentials/{credential_id}", "compute /v2.1/os-keypairs/{name}"}
"""What is a user's, whatever the project."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    made, cloud, store = world_in(tmp_path_factory.mktemp("routes"))
    yield made
    made.close()
    store.close()
    cloud.close()


def test_no_service_is_forgotten(world: HostileWorld) -> None:
    missing = {one.name for one in public_services()} - set(SERVICES)
    assert not missing, f"put {missing} into SERVICES and HostileWorld in tests/api/hostile.py"
    for service in public_services():
        routes = {(route.method, route.path) for route in world.by_name[service.name].routes}
        assert {(route.method, route.path) for route in service.routes} <= routes, service.name


def test_every_path_names_something_that_is_there(world: HostileWorld) -> None:
    with Problems() as problems:
        for service in SERVICES:
            for route, path in world.each(service):
                problems.expect(
                    NOBODY not in path or _begins(service, route, UNNAMED),
                    f"{service} {route.method} {route.path}: make one in tests/api/hostile_belongings.py, or say there "
                    "why there is none")


@pytest.mark.parametrize("service", SERVICES)
def test_who_may_read_does(world: HostileWorld, service: str) -> None:
    with Problems() as problems:
        for route, path in world.each(service, "GET"):
            if route.policy is None or NOBODY in path:
                continue
            status = {name: world.ask("GET", path, token=client.token, headers=version_of(route)).status
                      for name, client in (("admin", world.admin), ("member", world.victim), ("reader", world.reader))}
            if status["admin"] == RETIRED:
                continue
            what = f"{route.path}: {status}"
            problems.expect(status["admin"] < 400 or _begins(service, route, NOT_THERE), what)
            if route.path == "/v2/images/{image_id}/file":
                problems.expect(status["reader"] == 403, what)      # upstream's rule: members only
            elif not _begins(service, route, OWN):
                problems.expect(status["reader"] == status["member"], what)


def _begins(service: str, route: Route, known: dict[str, str] | set[str]) -> bool:
    return f"{service} {route.path}".startswith(tuple(known))
