"""Every route: what a stranger, a reader and a member of another project get; and bodies that make no sense."""

from __future__ import annotations

import re

import pytest

from stackling.api.identity.service import service
from stackling.api.route import Route
from stackling.identity.facade import Identity
from tests.api.conftest import Client, CloudUnderTest

OPEN = {("GET", ""), ("GET", "/v3"), ("POST", "/v3/auth/tokens"), ("POST", "/v3/users/{user_id}/password"),
        ("GET", "/v3/users/{user_id}/password"),
        ("POST", "/v3/OS-OAUTH1/request_token"), ("POST", "/v3/OS-OAUTH1/access_token"),     # signed instead
        ("POST", "/v3/OS-OAUTH2/token"), ("GET", "/v3/auth/OS-FEDERATION/oidc/callback"),
        *((method, path) for method in ("GET", "POST") for path in (        # the identity provider's word instead
            "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth",
            "/v3/auth/OS-FEDERATION/websso/{protocol_id}",
            "/v3/auth/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/websso")),
        ("GET", "/v3/OS-SIMPLE-CERT/ca"), ("GET", "/v3/OS-SIMPLE-CERT/certificates")}
FOR_ANYONE = {"/v3/auth/tokens", "/v3/auth/projects", "/v3/auth/domains", "/v3/auth/system", "/v3/auth/catalog",
              "/v3/regions", "/v3/regions/{region_id}", "/v3/credentials", "/v3/limits", "/v3/limits/model",
              "/v3/registered_limits", "/v3/registered_limits/{limit_id}", "/v3/OS-FEDERATION/projects",
              "/v3/OS-FEDERATION/domains"}
"""What a reader may ask for of things that are everyone's."""
TOLD = {("DELETE", "/v3/domains/{domain_id}"), ("DELETE", "/v3/groups/{group_id}"), ("DELETE", "/v3/limits/{limit_id}"),
        ("GET", "/v3/roles/{role_id}"), ("DELETE", "/v3/roles/{role_id}"), ("GET", "/v3/roles/{role_id}/implies"),
        *((method, "/v3/roles/{role_id}/implies/{implied_id}") for method in ("GET", "PUT", "DELETE"))}
"""Where everyone learns that something isn't there, as upstream looks it up before it asks who is asking."""
GRANTS = re.compile(r"/v3/(projects|domains|system)/.*(users|groups)/.*roles")
"""The same for grants, but for inherited ones."""
BODIES = {"POST", "PUT", "PATCH"}
V3 = "/identity/v3"


def routes() -> list[Route]:
    return list(service(Identity(b"k" * 32)).routes)


def is_told(route: Route) -> bool:
    return (route.method, route.path) in TOLD or bool(GRANTS.match(route.path))


def filled(path: str) -> str:
    return "/identity" + re.sub(r"\{[^}]+\}", "f" * 32, path)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> CloudUnderTest:
    cloud = CloudUnderTest(tmp_path_factory.mktemp("cloud"))
    cloud.start()
    return cloud


@pytest.fixture(scope="module")
def foreign(everything: CloudUnderTest) -> Client:
    return everything.actor("elsewhere", "reader")


def test_no_route_is_open_by_accident() -> None:
    assert {(route.method, route.path) for route in routes() if route.policy is None} == OPEN


@pytest.mark.parametrize("route", [r for r in routes() if r.policy is not None], ids=lambda r: f"{r.method} {r.path}")
def test_without_a_token(everything: CloudUnderTest, route: Route) -> None:
    answer = everything.client().request(route.method, filled(route.path),
                                         **({"json": {}} if route.method in BODIES else {}))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401
    assert everything.client("nonsense").request(route.method, filled(route.path)).status_code == 401


@pytest.mark.parametrize("route", [r for r in routes() if r.policy is not None and r.path not in FOR_ANYONE],
                         ids=lambda r: f"{r.method} {r.path}")
def test_what_is_not_theirs(foreign: Client, route: Route) -> None:
    """403 (or 400 for an empty body, 404 for a secret's name): never a success, never a server error."""
    answer = foreign.request(route.method, filled(route.path),
                             **({"json": {}} if route.method in BODIES and route.body else {}))
    assert answer.status_code in (400, 403, 404), answer.text
    if route.body is None and "OS-TRUST" not in route.path and "OS-EC2" not in route.path:
        assert answer.status_code == (404 if is_told(route) else 403), answer.text


def test_what_is_there_is_not_theirs_either(everything: CloudUnderTest, foreign: Client) -> None:
    """The same where everyone is told that something isn't there, and for changes with a body that makes sense."""
    admin = everything.admin()
    made = {kind: admin.post(f"{V3}/{kind}s", {kind: {"name": "theirs"}}).json()[kind]["id"]
            for kind in ("domain", "group", "role")}
    implied = f"{V3}/roles/{made['role']}/implies/{made['role']}"
    for method, path in [("GET", f"{V3}/roles/{made['role']}"), ("GET", f"{V3}/roles/{made['role']}/implies"),
                         *(("DELETE", f"{V3}/{kind}s/{id_}") for kind, id_ in made.items()),
                         *((method, implied) for method in ("GET", "PUT", "DELETE"))]:
        assert foreign.request(method, path).status_code == 403, (method, path)
    domain, role = made["domain"], made["role"]
    for place in (f"projects/{foreign.project_id}", f"domains/{domain}", "system"):
        for actor in (f"users/{foreign.user_id}", f"groups/{made['group']}"):
            path = f"{V3}/{place}/{actor}/roles"
            assert foreign.get(path).status_code == 403, path
            for method in ("GET", "PUT", "DELETE"):
                assert foreign.request(method, f"{path}/{role}").status_code == 403, path
    for kind, id_ in made.items():
        body = {kind: {"description": "mine"}}
        assert foreign.patch(f"{V3}/{kind}s/{id_}", body).status_code == 403, kind
        missing = foreign.patch(f"{V3}/{kind}s/{'f' * 32}", body).status_code
        assert missing == (403 if kind == "group" else 404), kind
    assert foreign.patch(f"{V3}/limits/{'f' * 32}", {"limit": {"resource_limit": 1}}).status_code == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"user": []}', b'{"user": null}',
                                  b'{"user": {}}', b'{"user": {"name": {"a": 1}}}', b"[" * 100_000])
def test_nonsense_bodies(everything: CloudUnderTest, body: bytes) -> None:
    admin = everything.admin()
    answer = admin.request("POST", "/identity/v3/users", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == 400


def test_oversize_and_media_type(everything: CloudUnderTest) -> None:
    admin = everything.admin()
    big = admin.request("POST", "/identity/v3/users", content=b"x" * (2 << 20),
                        headers={"Content-Type": "application/json"})
    assert big.status_code == 413
    other = admin.request("POST", "/identity/v3/users", content=b"<user/>", headers={"Content-Type": "text/xml"})
    assert other.status_code == 415
    assert admin.get("/identity/v3/nothing").json()["error"]["code"] == 404
    assert admin.delete("/identity/v3/users").status_code == 405


@pytest.mark.parametrize("id_", ["..%2f..%2fetc", "%00", "'%20or%201=1--", "a" * 3000, "%F0%9F%92%A9"])
def test_odd_ids(everything: CloudUnderTest, id_: str) -> None:
    assert everything.admin().get(f"/identity/v3/users/{id_}").status_code == 404
