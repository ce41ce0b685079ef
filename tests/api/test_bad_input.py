"""Hostile requests to every route of every service, driven by the route tables: how they ask, and with what.

Whatever comes in, the answer is a clear refusal in the service's own shape (or the thing that was asked for), and
nothing changes for a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.hostile import SERVICES, HostileWorld, Problems, world_in
from tests.api.hostile_requests import (
    NO_BODY_READ,
    bodies_of,
    send,
    some,
    valid,
    version_of,
    wrong_bodies,
    wrong_filters,
    wrong_ids,
)
from tests.api.hostile_samples import BROKEN, FILTERS, HEADERS, MEDIA, QUERIES, SHAPES

NEEDS_NOTHING = ("/v2.1/os-floating-ips",)
"""Routes whose body says nothing that isn't also a default."""
LATEST = {"OpenStack-API-Version": "compute 2.90"}
ENOUGH = 60         # problems after which one stops looking


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    made, cloud, store = world_in(tmp_path_factory.mktemp("hostile"))
    yield made
    made.close()
    store.close()
    cloud.close()


def test_the_bodies_are_for_routes_that_exist(world: HostileWorld) -> None:
    known = {f"{name} {route.method} {route.path}" for name in SERVICES for route, _ in world.each(name)}
    assert set(valid(world)) - known == set()


# -- how


@pytest.mark.parametrize("service", SERVICES)
def test_methods_that_a_path_does_not_have(world: HostileWorld, service: str) -> None:
    have: dict[str, set[str]] = {}
    for route, path in world.each(service):
        have.setdefault(path, set()).add(route.method)
    hides = world.by_name[service].hides_methods
    with Problems() as problems, world.undone():
        for path, methods in have.items():
            for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - methods:
                if method == "HEAD" and "GET" in methods:
                    continue
                answer = world.ask(method, path, token=world.admin.token, body=b"{}" if method == "PUT" else None)
                problems.check(service, answer, f"{method} {path}")
                problems.expect(answer.status == (404 if hides else 405), f"{method} {path}: {answer.status}")
            for method in some(("HEAD", "TRACE", "CONNECT", "PROPFIND", "FOO", "get", ""), path, 2):
                answer = world.ask(method, path, token=world.admin.token)
                problems.check(service, answer, f"{method} {path}")
                problems.expect(
                    method == "HEAD" or answer.status in (400, 404, 405), f"{method} {path}: {answer.status}")


@pytest.mark.parametrize("service", SERVICES)
def test_bodies_that_are_not_json(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            for body in some(BROKEN, path, 8) if route.path not in NO_BODY_READ else ():
                what = f"{route.method} {path} {body[:20]!r}"
                answer = send(world, route, path, world.admin.token, body)
                problems.check(service, answer, what)
                problems.expect(answer.status >= 400, f"{what}: {answer.status} {answer.text[:200]}")


@pytest.mark.parametrize("service", SERVICES)
def test_bodies_of_another_shape(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            wants = bodies_of(known, service, route) != [None] and route.path not in NEEDS_NOTHING
            for body in some(SHAPES, path, 10) if route.path not in NO_BODY_READ else ():
                what = f"{route.method} {path} {body[:20]!r}"
                answer = send(world, route, path, world.admin.token, body)
                problems.check(service, answer, what)
                empty = body in (b"{}", b"[]")
                problems.expect(answer.status >= 400 or empty or not wants or service == "image",
                                f"{what}: {answer.status} {answer.text[:200]}")


@pytest.mark.parametrize("service", SERVICES)
def test_another_media_type(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            body = bodies_of(known, service, route)[0]
            for media in some(MEDIA, path, 3) if body is not None and route.path not in NO_BODY_READ else ():
                what = f"{route.method} {path} {media[:30]}"
                answer = world.ask(route.method, path, token=world.admin.token, body=body, media=media)
                problems.check(service, answer, what)
                problems.expect(answer.status in (415, 404), f"{what}: {answer.status} {answer.text[:200]}")


@pytest.mark.parametrize("service", SERVICES)
def test_bodies_beyond_the_limit(world: HostileWorld, service: str) -> None:
    declared = [(b"content-length", str(10**15).encode())]
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            if route.path in NO_BODY_READ:
                continue
            large = b'{"a":"' + b"x" * route.limit + b'"}'
            for who in (world.admin.token, None):
                answer = world.ask(route.method, path, token=who, body=large, headers=version_of(route))
                problems.check(service, answer, f"{route.method} {path}")
                problems.expect(answer.status in (413, 401, 404), f"{route.method} {path}: {answer.status}")
            told = world.ask(route.method, path, token=world.admin.token, headers=version_of(route),
                             raw_headers=declared)
            problems.expect(told.status in (413, 404), f"{route.method} {path}, told: {told.status}")


@pytest.mark.parametrize("service", SERVICES)
def test_headers_of_every_kind(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.undone():
        for route, path in world.each(service, "GET", "DELETE", "POST"):
            for name, value in some(HEADERS, path + route.method, 12):
                what = f"{route.method} {path} {name}: {value[:30]}"
                answer = world.ask(route.method, path, token=world.victim.token, headers={name: value})
                problems.check(service, answer, what)
                for shown in answer.headers.values():
                    problems.expect("\r" not in shown and "\n" not in shown, f"{what}: a broken header {shown!r}")


# -- with what


@pytest.mark.parametrize("service", SERVICES)
def test_ids_that_are_none(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, _ in world.each(service):
            body = bodies_of(known, service, route)[0]
            for path in wrong_ids(world, service, route, 8):
                answer = send(world, route, path, world.admin.token, body)
                what = f"{route.method} {path[:120]}"
                problems.check(service, answer, what)
                for shown in answer.headers.values():
                    problems.expect("\n" not in shown and "\r" not in shown, f"{what}: {shown!r} in a header")


@pytest.mark.parametrize("service", SERVICES)
def test_queries_of_every_kind(world: HostileWorld, service: str) -> None:
    with Problems() as problems:
        for route, path in world.each(service, "GET"):
            names = FILTERS[:6] if route.path.endswith("}") else FILTERS
            for query in (*wrong_filters(path, 2 if service == "identity" else 3, names), *QUERIES):
                answer = world.ask("GET", path, token=world.admin.token, query=query, headers=LATEST)
                problems.check(service, answer, f"{path}?{query[:60]}")
                if len(problems.found) > ENOUGH:
                    return


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("who", ["admin", "victim"])
def test_one_wrong_value_anywhere(world: HostileWorld, service: str, who: str) -> None:
    if who == "victim" and service == "identity":
        return
    token = getattr(world, who).token
    with Problems() as problems, world.undone():
        for route, path, changes in wrong_bodies(world, service, who):
            hashes = service == "identity" and route.mode == "stream"       # passwords: each costs 50 ms
            for where, changed in some(changes, f"{service} {route.method} {route.path}", 25) if hashes else changes:
                answer = send(world, route, path, token, changed)
                what = f"{route.method} {path} {where}"
                problems.check(service, answer, what, leaks=False)
                problems.expect(answer.status < 400 or "Traceback" not in answer.text, f"{what}: {answer.text[:300]}")
                if len(problems.found) > ENOUGH:
                    return
