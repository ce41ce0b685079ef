"""Hostile requests to every route of every service, driven by the route tables: who asks, how, and with what.

Whatever comes in, the answer is a clear refusal in the service's own shape (or the thing that was asked for), nothing
changes for a refusal, and nothing of our insides or of another tenant is in it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import pytest

from stackling.api.route import Route
from stackling.core import clock
from tests.api.hostile import MARK, SERVICES, HostileWorld, Problems, sample, world_in
from tests.api.hostile_bodies import bodies

WRITES = ("POST", "PUT", "PATCH", "DELETE")
NO_BODY_READ = frozenset({"/v2/images/{image_id}/file", "/v2/images/{image_id}/stage"})
"""Streams: what comes is data, whatever it is."""
T = TypeVar("T")
FULL = os.environ.get("STACKLING_HOSTILE") == "full"
LATEST = {"OpenStack-API-Version": "compute 2.90"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    made, cloud, store = world_in(tmp_path_factory.mktemp("hostile"))
    yield made
    made.close()
    store.close()
    cloud.close()


def valid(world: HostileWorld) -> dict[str, list[Any]]:
    """Bodies of every route that takes one: written ones, and else what its schema describes."""
    found = bodies(world.ids, world.image, world.victim.project_id, world.victim.user_id)
    for service in SERVICES:
        for route, _ in world.each(service, "POST", "PUT", "PATCH"):
            if route.body is not None:
                found.setdefault(f"{service} {route.method} {route.path}", [sample(route.body.newest)])
    return found


def some(values: Sequence[T], seed: str, count: int) -> Sequence[T]:
    """A choice of *values*, always the same for *seed*; all of them with ``STACKLING_HOSTILE=full``."""
    return values if FULL or count >= len(values) else random.Random(seed).sample(values, count)


def version_of(route: Route) -> dict[str, str]:
    minor = route.max[1] if route.max else 90
    return {"OpenStack-API-Version": f"compute 2.{min(minor, 90)}"}


def test_the_bodies_are_for_routes_that_exist(world: HostileWorld) -> None:
    known = {f"{name} {route.method} {route.path}" for name in SERVICES for route, _ in world.each(name)}
    assert set(valid(world)) - known == set()


# -- who asks


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
                problems.expect(
                    "keystone" in answer.headers.get("www-authenticate", "").lower(), f"{what}: no challenge"
                )


def _bad_tokens(world: HostileWorld) -> list[str]:
    good = world.victim.token or ""
    flipped = good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:]
    return [
        "x",
        "",
        " ",
        good[:-1],
        good[:100],
        good[1:],
        flipped,
        good + "A",
        good * 2,
        "gAAAAA" + "A" * 200,
        "é" * 90,
        "A" * 10_000,
        "' or 1=1 --",
        "../../../etc/passwd",
        good.swapcase(),
        good[: len(good) // 2] * 2,
        "\x00",
        "%00",
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_token_that_we_never_issued_opens_nothing(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service):
            if route.policy is not None:
                for token in some(_bad_tokens(world), path, 6):
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


_OWN = (
    "/v3/auth/tokens",
    "/v3/users/{user_id}/application_credentials",
    "/v3/credentials",
    "/v3/OS-TRUST/trusts",
    "/v3/users/{user_id}/credentials/OS-EC2",
    "/v2.1/os-keypairs",
)
"""What is a user's own and not a project's, whatever roles the user has."""


@pytest.mark.parametrize("service", SERVICES)
def test_a_reader_changes_nothing(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, path in world.each(service, *WRITES):
            if route.policy is None or route.path.startswith(_OWN):
                continue
            for body in known.get(f"{service} {route.method} {route.path}", [None]):
                what = f"{route.method} {path} {body}"
                answer = world.ask(
                    route.method,
                    path,
                    token=world.reader.token,
                    body=body,
                    media=route.content_types[0],
                    headers=version_of(route),
                )
                problems.check(service, answer, what)
                problems.expect(answer.status >= 400, f"{what}: {answer.status} {answer.text[:200]}")


_PUBLIC = (
    "/v2.1/flavors",
    "/v2.1/extensions",
    "/v2.1/os-quota-class-sets",
    "/v2/schemas",
    "/v2.0/extensions",
    "/v2.1/versions",
    "/v3/domains",
    "/v3/roles",
    "/v3/regions",
    "/v3/services",
    "/v3/endpoints",
    "/v3/registered_limits",
    "/v3/role_inferences",
    "/v2.1/os-quota-sets/{project}/defaults",
)
"""What has a name in its path and is everybody's to read."""


@pytest.mark.parametrize("service", SERVICES)
def test_another_tenants_things_are_not_there(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, path in world.each(service):
            if (
                "{" not in route.path
                or route.policy is None
                or (route.method == "GET" and route.path.startswith(_PUBLIC))
            ):
                continue
            for body in known.get(f"{service} {route.method} {route.path}", [None]):
                what = f"{route.method} {path} {body}"
                answer = world.ask(
                    route.method,
                    path,
                    token=world.attacker.token,
                    body=body,
                    media=route.content_types[0],
                    headers=version_of(route),
                )
                problems.check(service, answer, what)
                problems.expect(answer.status >= 400, f"{what}: {answer.status} {answer.text[:300]}")
                problems.expect(MARK not in answer.text or MARK in str(body) or MARK in path, f"{what}: {answer.text}")


@pytest.mark.parametrize("service", SERVICES)
def test_lists_show_nothing_of_another_tenant(world: HostileWorld, service: str) -> None:
    queries = (
        "",
        "all_tenants=1",
        "all_projects=true",
        f"project_id={world.victim.project_id}",
        f"tenant_id={world.victim.project_id}",
        f"owner={world.victim.project_id}",
        "visibility=all",
        "member_status=all",
        "visibility=shared&member_status=all",
        f"user_id={world.victim.user_id}",
        f"name=net%20{MARK}",
        "is_admin=1",
        "limit=1000",
        "deleted=true",
        "changes-since=2000-01-01T00:00:00Z",
    )
    with Problems() as problems:
        for route, path in world.each(service, "GET"):
            if "{" in route.path:
                continue
            for query in queries:
                answer = world.ask("GET", path, token=world.attacker.token, query=query, headers=version_of(route))
                problems.check(service, answer, f"{path}?{query}")
                body = answer.text.replace(f"net%20{MARK}", "").replace(f"net+{MARK}", "")
                problems.expect(MARK not in body, f"{path}?{query}: {answer.text[:300]}")


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
                    method == "HEAD" or answer.status in (400, 404, 405), f"{method} {path}: {answer.status}"
                )


DEEP = b"[" * 100_000 + b"]" * 100_000
BROKEN: list[bytes] = [
    b"{",
    b"}",
    b"[",
    b"nul",
    b'{"a":',
    b'{"a":1,}',
    b"{'a':1}",
    b'"',
    b"\xff\xfe",
    b'{"a":"\xff"}',
    b"\xef\xbb\xbf{}",
    b"NaN",
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":1e}',
    b'{"a":01}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\x"}',
    b'{"a":"\x01"}',
    b'{"a":1}{"b":2}',
    b"\x00",
    b"<?xml version='1.0'?><a/>",
    b"a=b&c=d",
    DEEP,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
]
SHAPES: list[bytes] = [
    b"[]",
    b"{}",
    b"null",
    b"true",
    b'""',
    b'"x"',
    b"0",
    b"-1",
    b"1e400",
    b"1" * 5000,
    b"-" + b"9" * 400,
    b"[[]]",
    b"[{}]",
    b"[null]",
    b'{"":null}',
    b'{"\\u0000":1}',
    b'{"a":"\\u0000"}',
    b'{"a":{"a":{"a":[]}}}',
    b'["a","b"]',
    b'{"a":1,"a":2}',
    b'{"__class__":1}',
    b'[{"op":"add"}]',
    b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
]


@pytest.mark.parametrize("service", SERVICES)
def test_bodies_that_are_not_json(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            if route.path in NO_BODY_READ:
                continue
            for body in some(BROKEN, path, 8):
                what = f"{route.method} {path} {body[:20]!r}"
                answer = world.ask(
                    route.method,
                    path,
                    token=world.admin.token,
                    body=body,
                    media=route.content_types[0],
                    headers=version_of(route),
                )
                problems.check(service, answer, what)
                problems.expect(answer.status >= 400, f"{what}: {answer.status} {answer.text[:200]}")


NEEDS_NOTHING = ("/v2.1/os-floating-ips",)
"""Routes whose body says nothing that isn't also a default."""


@pytest.mark.parametrize("service", SERVICES)
def test_bodies_of_another_shape(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.undone():
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            if route.path in NO_BODY_READ:
                continue
            for body in some(SHAPES, path, 10):
                what = f"{route.method} {path} {body[:20]!r}"
                answer = world.ask(
                    route.method,
                    path,
                    token=world.admin.token,
                    body=body,
                    media=route.content_types[0],
                    headers=version_of(route),
                )
                problems.check(service, answer, what)
                takes = f"{service} {route.method} {route.path}" in known and body not in (b"{}", b"[]")
                takes = takes and route.path not in NEEDS_NOTHING
                problems.expect(
                    answer.status >= 400 or not takes or service == "image",
                    f"{what}: {answer.status} {answer.text[:200]}",
                )


MEDIA = (
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "*/*",
    "json",
    ";",
    "x" * 5000,
    "multipart/form-data; boundary=x",
    "application/json-patch+json",
)


@pytest.mark.parametrize("service", SERVICES)
def test_another_media_type(world: HostileWorld, service: str) -> None:
    known = valid(world)
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            if route.path in NO_BODY_READ:
                continue
            for body in known.get(f"{service} {route.method} {route.path}", [])[:1]:
                for media in some(MEDIA, path, 3):
                    what = f"{route.method} {path} {media[:30]}"
                    answer = world.ask(route.method, path, token=world.admin.token, body=body, media=media)
                    problems.check(service, answer, what)
                    problems.expect(answer.status in (415, 404), f"{what}: {answer.status} {answer.text[:200]}")


@pytest.mark.parametrize("service", SERVICES)
def test_bodies_beyond_the_limit(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.unchanged(service):
        for route, path in world.each(service, "POST", "PUT", "PATCH"):
            if route.path in NO_BODY_READ:
                continue
            large = b'{"a":"' + b"x" * route.limit + b'"}'
            for who in (world.admin.token, None):
                answer = world.ask(route.method, path, token=who, body=large, headers=version_of(route))
                problems.check(service, answer, f"{route.method} {path}")
                problems.expect(answer.status in (413, 401, 404), f"{route.method} {path}: {answer.status}")
            told = world.ask(
                route.method,
                path,
                token=world.admin.token,
                headers=version_of(route),
                raw_headers=[(b"content-length", str(10**15).encode())],
            )
            problems.expect(told.status in (413, 404), f"{route.method} {path}, told: {told.status}")


_HEADERS: list[tuple[str, str]] = [
    *(
        ("OpenStack-API-Version", value)
        for value in (
            "compute",
            "compute x",
            "compute 2",
            "compute 2.1.1",
            "compute 99.99",
            "compute -1.0",
            "compute 2.01",
            "2.1",
            "compute " + "9" * 5000,
            "compute 2.1, compute 2.2",
            ",,,",
            "compute latest latest",
            "compute\t2.1",
            "é",
            "compute 2.\u00b2",
            "volume 3.0",
            "compute 0.0",
            "compute 2.99999",
        )
    ),
    *(("X-OpenStack-Nova-API-Version", value) for value in ("x", "9.9", "latest", "2.\u00b2", "1" * 9000)),
    *(("X-Openstack-Request-Id", value) for value in ("x", "req-" + "a" * 9000, "req-1\r\nSet-Cookie: a=b")),
    *(
        ("If-Match", value)
        for value in (
            "x",
            "revision_number=",
            "revision_number=x",
            "revision_number=" + "9" * 5000,
            "*",
            "revision_number=-1",
            "revision_number=\u00b2",
        )
    ),
    *(("If-None-Match", value) for value in ("x", "*")),
    *(("If-Modified-Since", value) for value in ("x", "0")),
    *(
        ("Range", value)
        for value in (
            "x",
            "bytes=",
            "bytes=9-1",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-9999999999999999999",
            "bytes=" + "0-1," * 3000,
            "bytes=-0",
            "bytes=\u00b2-3",
            "lines=1-2",
        )
    ),
    *(("Content-Length", value) for value in ("x", "-1", "1.5", "\u00b2", "9" * 5000)),
    *(("Accept", value) for value in ("x", "application/xml", "*/*;q=x", ";;;", "a" * 9000)),
    *(("Accept-Language", value) for value in ("x", "é;q=9")),
    ("Expect", "100-continue"),
    *(("X-Forwarded-Proto", value) for value in ("x", "javascript", "https, http")),
    ("Forwarded", "proto=;;;host="),
    ("Forwarded", 'for="[::1'),
    ("X-Forwarded-Host", "evil.example"),
    ("Host", ""),
    ("Host", "a:b:c"),
    ("Transfer-Encoding", "x"),
    ("X-Subject-Token", "x"),
    ("X-Image-Meta-Location", "file:///etc/passwd"),
    ("X-Project-Id", "x"),
    ("X-User-Id", "x"),
    ("X-Roles", "admin"),
    ("X-Is-Admin-Project", "True"),
    ("X-Service-Token", "x"),
    ("Cookie", "a" * 9000),
    ("X-HTTP-Method-Override", "DELETE"),
]


@pytest.mark.parametrize("service", SERVICES)
def test_headers_of_every_kind(world: HostileWorld, service: str) -> None:
    with Problems() as problems, world.undone():
        for route, path in world.each(service, "GET", "DELETE", "POST"):
            for name, value in some(_HEADERS, path + route.method, 12):
                what = f"{route.method} {path} {name}: {value[:30]}"
                answer = world.ask(route.method, path, token=world.victim.token, headers={name: value})
                problems.check(service, answer, what)
                for shown in answer.headers.values():
                    problems.expect("\r" not in shown and "\n" not in shown, f"{what}: a broken header {shown!r}")


# -- with what

PLACES = [
    "..%2f..%2fetc%2fpasswd",
    "..",
    "%2e%2e",
    "%00",
    "a%00b",
    "%0a%0d",
    "%ff%fe",
    "%ed%a0%80",
    "x" * 10_000,
    "%25",
    "-1",
    "0",
    "99999999999999999999999",
    "1%27%20or%201=1--",
    "%2f",
    ".",
    "*",
    "%20",
    "null",
    "None",
    "%F0%9F%92%A9",
    "00000000-0000-0000-0000-000000000000",
    "{id}",
    "%7Bid%7D",
    "a%3Bb",
    "\u00b2",
    "1.5",
    "1e5",
    "NaN",
    "%E2%80%AE",
    "0x10",
    "true",
    "[]",
    "id%0aX-Evil:%201",
]


@pytest.mark.parametrize("service", SERVICES)
def test_ids_that_are_none(world: HostileWorld, service: str) -> None:
    known = valid(world)
    prefix = world.by_name[service].prefix
    with Problems() as problems, world.undone():
        for route, _ in world.each(service):
            places = [part for part in route.path.split("/") if part.startswith("{")]
            for part in places:
                body = (known.get(f"{service} {route.method} {route.path}") or [None])[0]
                for value in some(PLACES, route.method + route.path, 8):
                    # every other place of the path keeps the victim's id
                    name = part.strip("{}")
                    path = world.path(service, route, {name: "PLACE-TO-FILL"}).replace("PLACE-TO-FILL", value)
                    what = f"{route.method} {path[:120]}"
                    answer = world.ask(
                        route.method,
                        path,
                        token=world.admin.token,
                        body=body,
                        media=route.content_types[0],
                        headers=version_of(route),
                    )
                    problems.check(service, answer, what)
                    for shown in answer.headers.values():
                        problems.expect("\n" not in shown and "\r" not in shown, f"{what}: {shown!r} in a header")
    assert prefix


VALUES = [
    "",
    "x",
    "-1",
    "0",
    "1",
    "99999999999999999999999",
    "1.5",
    "1e5",
    "NaN",
    "true",
    "null",
    "%00",
    "a%00b",
    "%ff",
    "%ed%a0%80",
    "%27",
    "%25",
    "%5C",
    "(a+)+$",
    "[",
    "*",
    "x" * 10_000,
    "%F0%9F%92%A9",
    "in:a,b",
    "in:",
    "gt:x",
    "gte:2020",
    "neq:",
    "in:%22",
    "2020-01-01T00:00:00Z",
    "9999999-01-01",
    "0001-01-01T00:00:00%2B23:59",
    "[]",
    "%C2%B2",
    "%E2%88%921",
    "+5",
    "5_0",
    "%0a",
    "asc",
    "id",
    "id:asc",
    "name:,",
    "0-0-0",
]
FILTERS = (
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "sort",
    "fields",
    "name",
    "id",
    "status",
    "page_reverse",
    "page_size",
    "project_id",
    "tenant_id",
    "user_id",
    "changes-since",
    "changes-before",
    "created_at",
    "updated_at",
    "tags",
    "tags-any",
    "not-tags",
    "all_tenants",
    "deleted",
    "flavor",
    "image",
    "ip",
    "ip6",
    "host",
    "fixed_ips",
    "network_id",
    "mtu",
    "port_range_min",
    "ip_version",
    "shared",
    "router:external",
    "admin_state_up",
    "revision_number",
    "size_min",
    "size_max",
    "visibility",
    "member_status",
    "protected",
    "os_hidden",
    "disk_format",
    "checksum",
    "owner",
    "enabled",
    "domain_id",
    "parent_id",
    "is_domain",
    "parents_as_list",
    "subtree_as_ids",
    "effective",
    "scope.project.id",
    "scope.system",
    "user.id",
    "role.id",
    "include_names",
    "include_subtree",
    "password_expires_at",
    "name__contains",
    "type",
    "interface",
    "minRam",
    "minDisk",
    "is_public",
    "detailed",
    "start",
    "end",
    "reserved",
    "usage_type",
    "hypervisor_hostname_pattern",
    "with_servers",
    "binary",
    "availability_zone",
    "locked",
    "power_state",
    "launch_index",
    "vm_state",
    "task_state",
    "provider:segmentation_id",
    "binding:host_id",
    "device_id",
    "mac_address",
    "security_groups",
    "allow",
    "nocatalog",
    "group.id",
    "unknown",
    "__class__",
    "",
    "_x",
    "metadata",
    "tag",
    "not-tags-any",
)


@pytest.mark.parametrize("service", SERVICES)
def test_queries_of_every_kind(world: HostileWorld, service: str) -> None:
    with Problems() as problems:
        for route, path in world.each(service, "GET"):
            listing = not route.path.endswith("}")
            for name in FILTERS if listing else FILTERS[:6]:
                for value in some(VALUES, path + name, 2 if service == "identity" else 3):
                    answer = world.ask("GET", path, token=world.admin.token, query=f"{name}={value}", headers=LATEST)
                    problems.check(service, answer, f"{path}?{name}={value[:30]}")
                    if len(problems.found) > 60:
                        return
            for query in (
                "&&&",
                "=",
                "=&=",
                "a=1&" * 999,
                "a=1&" * 2000,
                "%",
                "%zz",
                "a=%zz",
                "?",
                "limit=1&limit=2",
                "sort_key=id&sort_key=name&sort_dir=asc",
                "x" * 60_000,
                "\x7f",
                "limit[]=1",
                ";a=b",
            ):
                answer = world.ask("GET", path, token=world.admin.token, query=query, headers=LATEST)
                problems.check(service, answer, f"{path}?{query[:30]}")


WRONG: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    2**64,
    -(2**70),
    10**400,
    1e308,
    "",
    " ",
    "x",
    "x" * 10_000,
    "\x00",
    "a\x00b",
    "\n",
    "\u202e",
    "💩",
    "\ud800",
    "'; drop table servers; --",
    "../../etc/passwd",
    "$(reboot)",
    "%s%n",
    "{0.__class__}",
    [],
    [[]],
    [None],
    [1],
    ["x"] * 300,
    {},
    {"": ""},
    {"a": {"a": {}}},
    {"x" * 300: "y"},
    ["a", "a"],
    "-1",
    "1" * 30,
    "0.0.0.0/0",
    "::",
    "2020-02-30T00:00:00Z",
    "\u00b2",
    "+5",
    "Infinity",
    "169.254.169.254",
    "default",
    "http://127.0.0.1/",
]


EXTRA = (
    "unknown",
    "id",
    "project_id",
    "status",
    "revision_number",
    "created_at",
    "x" * 10_000,
    "\x00",
    "",
    "__proto__",
    "deleting",
    "generation",
)


def mutations(body: Any, path: str) -> Iterator[tuple[str, Any]]:
    """*body* with one value replaced, taken away or added, anywhere in it, and which."""
    if isinstance(body, dict):
        for key, value in body.items():
            rest = {k: v for k, v in body.items() if k != key}
            yield f"no {key}", rest
            for wrong in some(WRONG, f"{path}.{key}", 10):
                yield f"{key}={str(wrong)[:20]!r}", {**body, key: wrong}
            for where, changed in mutations(value, f"{path}.{key}"):
                yield f"{key}.{where}", {**body, key: changed}
        for extra in some(EXTRA, path, 3):
            if extra not in body:
                yield f"with {extra[:20]!r}", {**body, extra: "x"}
                yield f"with {extra[:20]!r}", {**body, extra: None}
    elif isinstance(body, list):
        yield "no items", []
        yield "twice", [*body, *body]
        yield "many", body * 1500
        for index, value in enumerate(body[:2]):
            for wrong in some(WRONG, f"{path}[{index}]", 8):
                yield f"[{index}]={str(wrong)[:20]!r}", [*body[:index], wrong, *body[index + 1 :]]
            for where, changed in mutations(value, f"{path}[]"):
                yield f"[{index}].{where}", [*body[:index], changed, *body[index + 1 :]]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("who", ["admin", "victim"])
def test_one_wrong_value_anywhere(world: HostileWorld, service: str, who: str) -> None:
    token = getattr(world, who).token
    with Problems() as problems, world.undone():
        for name, found in valid(world).items():
            route = next((r for r, _ in world.each(service) if f"{service} {r.method} {r.path}" == name), None)
            if route is None or (who == "victim" and service == "identity"):
                continue
            path = world.path(service, route)
            for body in found:
                changes = list(mutations(body, f"{who} {name}"))
                hashes = service == "identity" and route.mode == "stream"  # passwords: each costs 50 ms
                for where, changed in some(changes, name, 25) if hashes else changes:
                    answer = world.ask(
                        route.method,
                        path,
                        token=token,
                        body=changed,
                        media=route.content_types[0],
                        headers=version_of(route),
                    )
                    problems.check(service, answer, f"{route.method} {path} {where}", leaks=False)
                    if answer.status >= 400 and "Traceback" in answer.text:
                        problems.found.append(f"{route.method} {path} {where}: {answer.text[:300]}")
                if len(problems.found) > 60:
                    return
