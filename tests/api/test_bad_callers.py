"""Every route of every service, asked by those who must not: strangers, forgers, readers, another tenant.

Whatever comes in, the answer is a clear refusal in the service's own shape, nothing changes, and nothing of our insides
or of another tenant is in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stackling.core import clock
from tests.api.hostile import MARK, SERVICES, HostileWorld, Problems, world_in
from tests.api.hostile_requests import bodies_of, send, some, valid, version_of

WRITES = ("POST", "PUT", "PATCH", "DELETE")
OWN = ("/v3/auth/tokens", "/v3/users/{user_id}/application_credentials", "/v3/credentials", "/v3/OS-TRUST/trusts",
       "/v3/users/{user_id}/credentials/OS-EC2", "/v2.1/os-keypairs")
"""What is a user's own and not a project's, whatever roles the user has."""
PUBLIC = ("/v2.1/flavors", "/v2.1/extensions", "/v2.1/os-quota-class-sets", "/v2/schemas", "/v2.0/extensions",
          "/v2.1/versions", "/v3/domains", "/v3/roles", "/v3/regions", "/v3/services", "/v3/endpoints",
          "/v3/types", "/v3/group_types", "/v3/registered_limits", "/v3/role_inferences",
          "/v2.1/os-quota-sets/{project}/defaults",
          "/v2.0/default-security-group-rules", "/v2.0/flavors")
"""What has a name in its path and is everybody's to read."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    made, cloud, store = world_in(tmp_path_factory.mktemp("hostile"))
    yield made
    made.close()
    store.close()
    cloud.close()


@pytest.mark.parametrize("service", SERVICES)
def test_a_stranger_learns_nothing(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service):
            if route.policy is None:
                continue
            for body in (None, b"{", {"x": 1}):
                answer = world.ask(route.method, path, body=body, headers=version_of(route))
                what = f"{route.method} {path} {body!r}"
                problems.check(service, answer, what)
                problems.expect(answer.status == 401, f"{what}: {answer.status}")
                challenge = answer.headers.get("www-authenticate", "")
                problems.expect("keystone" in challenge.lower(), f"{what}: no challenge")


def bad_tokens(world: HostileWorld) -> list[str]:
    good = world.victim.token or ""
    flipped = good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:]
    return ["x", "", " ", good[:-1], good[:100], good[1:], flipped, good + "A", good * 2, "gAAAAA" + "A" * 200,
            "é" * 90, "A" * 10_000, "' or 1=1 --", "../../../etc/passwd", good.swapcase(), good[: len(good) // 2] * 2,
            "\x00", "%00"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_token_that_we_never_issued_opens_nothing(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service):
            for token in some(bad_tokens(world), path, 6) if route.policy is not None else ():
                answer = world.ask(route.method, path, token=token, headers=version_of(route))
                problems.check(service, answer, f"{route.method} {path}")
                problems.expect(answer.status == 401, f"{route.method} {path} with {token[:20]!r}: {answer.status}")


@pytest.mark.parametrize("service", SERVICES)
def test_an_expired_token_opens_nothing(world: HostileWorld, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.wall
    assert world.ask("GET", "/compute/v2.1/servers", token=world.victim.token).status == 200
    monkeypatch.setattr(clock, "wall", lambda: now() + 2 * 86400)
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service):
            if route.policy is not None:
                answer = world.ask(route.method, path, token=world.victim.token, headers=version_of(route))
                problems.expect(answer.status == 401, f"{route.method} {path}: {answer.status}")


@pytest.mark.parametrize("service", SERVICES)
def test_a_reader_changes_nothing(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, path in world.each(service, *WRITES):
            if route.policy is None or route.path.startswith(OWN):
                continue
            for body in bodies_of(known, service, route):
                what = f"{route.method} {path} {body}"
                answer = send(world, route, path, world.reader.token, body)
                problems.check(service, answer, what)
                problems.expect(answer.status >= 400, f"{what}: {answer.status} {answer.text[:200]}")


@pytest.mark.parametrize("service", SERVICES)
def test_another_tenants_things_are_not_there(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, path in world.each(service):
            public = route.policy is None or (route.method == "GET" and route.path.startswith(PUBLIC))
            for body in bodies_of(known, service, route) if "{" in route.path and not public else ():
                what = f"{route.method} {path} {body}"
                answer = send(world, route, path, world.attacker.token, body)
                problems.check(service, answer, what)
                problems.expect(answer.status >= 400, f"{what}: {answer.status} {answer.text[:300]}")
                problems.expect(MARK not in answer.text or MARK in str(body) or MARK in path, f"{what}: {answer.text}")


@pytest.mark.parametrize("service", SERVICES)
def test_lists_show_nothing_of_another_tenant(world: HostileWorld, service: str) -> None:
    project, user = world.victim.project_id, world.victim.user_id
    queries = ("", "all_tenants=1", "all_projects=true", f"project_id={project}", f"tenant_id={project}",
               f"owner={project}", "visibility=all", "member_status=all", "visibility=shared&member_status=all",
               f"user_id={user}", f"name=net%20{MARK}", "is_admin=1", "limit=1000", "deleted=true",
               "changes-since=2000-01-01T00:00:00Z")
    with Problems() as problems:
        for route, path in world.each(service, "GET"):
            for query in queries if "{" not in route.path else ():
                answer = world.ask("GET", path, token=world.attacker.token, query=query, headers=version_of(route))
                problems.check(service, answer, f"{path}?{query}")
                body = answer.text.replace(f"net%20{MARK}", "").replace(f"net+{MARK}", "")
                problems.expect(MARK not in body, f"{path}?{query}: {answer.text[:300]}")
