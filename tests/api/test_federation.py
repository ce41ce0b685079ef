"""Logging in through an OpenID Connect provider: tokens that are good, tokens that aren't, and what comes of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.drivers.oidc.providers import HttpProviders
from stackling.ports.oidc import ProviderSettings
from tests import oidc_provider
from tests.api.conftest import Client, CloudUnderTest
from tests.oidc_provider import CLIENT, SECRET, OidcProvider

V3 = "/identity/v3"
FED = f"{V3}/OS-FEDERATION"
AUTH = f"{FED}/identity_providers/acme/protocols/openid/auth"
SSO = f"{V3}/auth/OS-FEDERATION"
DASHBOARD = "https://dashboard.example.org/auth/websso/"
RULES: list[dict[str, Any]] = [
    {"remote": [{"type": "OIDC-sub"}, {"type": "OIDC-preferred_username"}, {"type": "OIDC-email"}],
     "local": [{"user": {"id": "{0}", "name": "{1}", "email": "{2}"}}]},
    {"remote": [{"type": "OIDC-groups", "whitelist": ["weavers", "dyers"]}],
     "local": [{"groups": "{0}", "domain": {"id": "default"}}]}]


@pytest.fixture
def idp() -> Iterator[OidcProvider]:
    with oidc_provider.running() as found:
        found.person("ada", groups=["weavers"])
        found.person("bob")
        yield found


@pytest.fixture
def service_arguments(idp: OidcProvider, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    providers = HttpProviders([
        ProviderSettings("acme", idp.issuer, CLIENT, str(secret)), ProviderSettings("public", idp.issuer, CLIENT)])
    arguments = {"oidc": providers, "trusted_dashboards": (DASHBOARD,)}
    return lambda name: arguments if name == "identity" else {}


@pytest.fixture
def world(cloud: CloudUnderTest, idp: OidcProvider) -> Client:
    """The administrator, with a provider, its mapping, and two groups of which the weavers may use a project."""
    admin = cloud.admin()
    make(admin, "identity_providers/acme", {"identity_provider": {"enabled": True, "remote_ids": [idp.issuer]}})
    make(admin, "mappings/people", {"mapping": {"rules": RULES}})
    make(admin, "identity_providers/acme/protocols/openid", {"protocol": {"mapping_id": "people"}})
    project = cloud.project("cloth")
    for name in ("weavers", "dyers"):
        group = admin.post(f"{V3}/groups", {"group": {"name": name, "domain_id": "default"}}).json()["group"]["id"]
        if name == "weavers":
            role = admin.get(f"{V3}/roles?name=member").json()["roles"][0]["id"]
            assert admin.put(f"{V3}/projects/{project}/groups/{group}/roles/{role}").status_code == 204
    return admin


def make(admin: Client, path: str, body: dict[str, Any]) -> None:
    answer = admin.put(f"{FED}/{path}", body)
    assert answer.status_code == 201, answer.text


def remap(admin: Client, rules: list[dict[str, Any]], version: str = "1.0") -> None:
    done = admin.patch(f"{FED}/mappings/people", {"mapping": {"rules": rules, "schema_version": version}})
    assert done.status_code == 200, done.text


def bearer(cloud: CloudUnderTest, token: str, path: str = AUTH) -> Any:
    return cloud.client().post(path, headers={"Authorization": f"Bearer {token}"})


def enter(cloud: CloudUnderTest, token: str) -> Client:
    answer = bearer(cloud, token)
    assert answer.status_code == 201, answer.text
    found = cloud.client(answer.headers["X-Subject-Token"])
    found.body = answer.json()["token"]
    return found


def rescoped(cloud: CloudUnderTest, client: Client, project: str = "cloth", method: str = "token") -> Any:
    return cloud.client().post(f"{V3}/auth/tokens", {"auth": {
        "identity": {"methods": [method], method: {"id": client.token}},
        "scope": {"project": {"name": project, "domain": {"id": "default"}}}}})


# -- good tokens


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_an_access_token_becomes_an_unscoped_token(cloud: CloudUnderTest, world: Client, idp: OidcProvider, alg: str
                                                   ) -> None:
    shown = enter(cloud, idp.token("ada", alg=alg)).body
    assert shown["methods"] == ["openid"]
    assert shown["user"]["name"] == "ada"
    weavers = world.get(f"{V3}/groups?name=weavers").json()["groups"][0]["id"]
    assert shown["user"]["OS-FEDERATION"] == {
        "groups": [{"id": weavers}], "identity_provider": {"id": "acme"}, "protocol": {"id": "openid"}}
    assert not {"password_expires_at"} & set(shown["user"])
    assert not {"project", "roles", "catalog"} & set(shown)
    domain = world.get(f"{FED}/identity_providers/acme").json()["identity_provider"]["domain_id"]
    assert shown["user"]["domain"]["id"] == domain
    user = world.get(f"{V3}/users/{shown['user']['id']}").json()["user"]
    assert (user["email"], user["federated"]) == ("ada@example.org", [
        {"idp_id": "acme", "protocols": [{"protocol_id": "openid", "unique_id": "id-of-ada"}]}])
    assert [one["id"] for one in world.get(f"{V3}/users?unique_id=id-of-ada").json()["users"]] == [user["id"]]


def test_a_federated_token_is_scoped_by_its_groups(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    unscoped = enter(cloud, idp.token("ada"))
    assert [one["name"] for one in unscoped.get(f"{V3}/auth/projects").json()["projects"]] == ["cloth"]
    assert [one["name"] for one in unscoped.get(f"{FED}/projects").json()["projects"]] == ["cloth"]
    assert unscoped.get(f"{V3}/auth/domains").json()["domains"] == []
    for method in ("token", "mapped", "openid"):
        answer = rescoped(cloud, unscoped, method=method)
        assert answer.status_code == 201, answer.text
        shown = answer.json()["token"]
        assert {role["name"] for role in shown["roles"]} == {"member", "reader"}
        assert shown["user"]["OS-FEDERATION"] == unscoped.body["user"]["OS-FEDERATION"]
        assert shown["expires_at"] == unscoped.body["expires_at"]
        assert shown["audit_ids"][1] == unscoped.body["audit_ids"][0]
    scoped = cloud.client(answer.headers["X-Subject-Token"])
    assert scoped.get("/compute/v2.1/servers").status_code == 200
    assert rescoped(cloud, unscoped, "admin").status_code == 401
    assert rescoped(cloud, enter(cloud, idp.token("bob"))).status_code == 401
    assert world.get(f"{V3}/auth/tokens", headers={"X-Subject-Token": scoped.token}).json()["token"]["user"][
        "OS-FEDERATION"]["identity_provider"] == {"id": "acme"}


def test_who_comes_again_is_the_same_user_with_the_present_name(cloud: CloudUnderTest, world: Client,
                                                                idp: OidcProvider) -> None:
    first = enter(cloud, idp.token("ada"))
    second = enter(cloud, idp.token("ada", preferred_username="ada lovelace"))
    assert (second.user_id, second.body["user"]["name"]) == (first.user_id, "ada lovelace")
    third = enter(cloud, idp.token("bob", preferred_username="ada lovelace"))
    assert third.user_id != first.user_id


def test_a_name_from_a_provider_is_no_local_login(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    remap(world, [{**RULES[0], "local": [{"user": {"name": "{1}", "domain": {"id": "default"}}}]}])
    intruder = enter(cloud, idp.token("bob", preferred_username="admin"))
    assert intruder.user_id != world.user_id
    assert rescoped(cloud, intruder, "admin").status_code == 401
    assert cloud.admin().user_id == world.user_id


def test_keys_may_change_at_any_time(cloud: CloudUnderTest, world: Client, idp: OidcProvider,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackling.drivers.oidc.provider.KEYS_PAUSE", 0.0)
    old = idp.token("ada")
    enter(cloud, old)
    idp.rotate()
    enter(cloud, idp.token("ada"))
    assert bearer(cloud, old).status_code == 401
    assert idp.asked.count("keys") >= 2


def test_unknown_keys_are_not_asked_for_all_the_time(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    for _ in range(5):
        assert bearer(cloud, idp.token("ada", header={"kid": "unknown"})).status_code == 401
    assert idp.asked.count("keys") == 1


def test_the_last_keys_are_used_while_the_provider_is_away(cloud: CloudUnderTest, world: Client, idp: OidcProvider,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    enter(cloud, idp.token("ada"))
    monkeypatch.setattr("stackling.drivers.oidc.provider.KEYS_FRESH", 0.0)
    monkeypatch.setattr("stackling.drivers.oidc.provider.KEYS_PAUSE", 0.0)
    idp.down = True
    enter(cloud, idp.token("ada"))
    monkeypatch.setattr("stackling.drivers.oidc.provider.KEYS_USABLE", 0.0)
    away = bearer(cloud, idp.token("ada"))
    assert (away.status_code, "acme" in away.text) == (503, True)


def test_an_opaque_token_is_asked_about(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    assert enter(cloud, idp.opaque_token("ada")).body["user"]["name"] == "ada"
    for changes in ({"active": False}, {"client_id": "other"}, {"aud": "other"}, {"exp": 1}, {"iss": "https://x.test"}):
        assert bearer(cloud, idp.opaque_token("ada", **changes)).status_code == 401, changes
    assert bearer(cloud, "never-issued").status_code == 401


# -- attackers


def _attack(name: str, idp: OidcProvider) -> str:
    now = int(time.time())
    with oidc_provider.running() as foreign:
        foreign.person("ada")
        foreign_key = foreign.keys[0]
        foreign_token = foreign.token("ada")
        forged = foreign.token("ada", iss=idp.issuer, header={"kid": idp.keys[0].kid})
    good = idp.token("ada")
    return {
        "wrong issuer": lambda: idp.token("ada", iss="https://evil.example.org"),
        "foreign provider": lambda: foreign_token,
        "foreign key under our key's name": lambda: forged,
        "foreign key in the header": lambda: idp.token(
            "ada", key=foreign_key, header={"jwk": foreign_key.as_dict(private=False)}),
        "wrong audience": lambda: idp.token("ada", aud="another-client"),
        "no audience": lambda: idp.token("ada", aud=None),
        "several wrong audiences": lambda: idp.token("ada", aud=["a", "b"]),
        "expired": lambda: idp.token("ada", exp=now - 60),
        "without end": lambda: idp.token("ada", exp=None),
        "end is text": lambda: idp.token("ada", exp=str(now + 100)),
        "not yet valid": lambda: idp.token("ada", nbf=now + 600),
        "from the future": lambda: idp.token("ada", iat=now + 600),
        "no subject": lambda: idp.token("ada", sub=None),
        "algorithm none": lambda: idp.unsigned("ada"),
        "HMAC with the public key": lambda: idp.signed_with_public_key("ada"),
        "a logout token": lambda: idp.token("ada", header={"typ": "logout+jwt"}),
        "bound to a key": lambda: idp.token("ada", cnf={"jkt": "x"}),
        "without signature": lambda: good.rpartition(".")[0] + ".",
        "changed": lambda: good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB"),
        "no JWT": lambda: "a.b.c",
        "very long": lambda: "a" * 20_000,
    }[name]()


@pytest.mark.parametrize("name", [
    "wrong issuer", "foreign provider", "foreign key under our key's name", "foreign key in the header",
    "wrong audience", "no audience", "several wrong audiences", "expired", "without end", "end is text",
    "not yet valid", "from the future", "no subject", "algorithm none", "HMAC with the public key", "a logout token",
    "bound to a key", "without signature", "changed", "no JWT", "very long"])
def test_attackers_get_nothing(cloud: CloudUnderTest, world: Client, idp: OidcProvider, name: str) -> None:
    token = _attack(name, idp)
    answer = bearer(cloud, token)
    assert answer.status_code == 401, answer.text
    assert token[:40] not in answer.text
    assert "X-Subject-Token" not in answer.headers
    assert world.get(f"{V3}/users?unique_id=id-of-ada").json()["users"] == []


def test_without_a_bearer_token_nobody_enters(cloud: CloudUnderTest, world: Client) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        assert cloud.client().get(AUTH, headers=headers).status_code == 401
    claims = {"OIDC-sub": "id-of-ada", "HTTP_OIDC_SUB": "id-of-ada", "REMOTE_USER": "admin"}
    assert cloud.client().get(AUTH, headers=claims).status_code == 401


def test_providers_that_are_unknown_or_disabled(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    token, unscoped = idp.token("ada"), enter(cloud, idp.token("ada"))
    assert bearer(cloud, token, AUTH.replace("acme", "nobody")).status_code == 404
    assert bearer(cloud, token, AUTH.replace("openid", "saml2")).status_code == 404
    make(world, "identity_providers/unconfigured", {"identity_provider": {"enabled": True}})
    make(world, "identity_providers/unconfigured/protocols/openid", {"protocol": {"mapping_id": "people"}})
    assert bearer(cloud, token, AUTH.replace("acme", "unconfigured")).status_code == 401
    disable = {"identity_provider": {"enabled": False}}
    assert world.patch(f"{FED}/identity_providers/acme", disable).status_code == 200
    assert bearer(cloud, token).status_code == 403
    assert rescoped(cloud, unscoped).status_code == 403


def test_a_provider_that_is_deleted_ends_its_tokens(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    unscoped = enter(cloud, idp.token("ada"))
    assert unscoped.get(f"{V3}/auth/projects").status_code == 200
    assert world.delete(f"{FED}/identity_providers/acme").status_code == 204
    assert unscoped.get(f"{V3}/auth/projects").status_code == 401


def test_another_remote_id_is_refused(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    body = {"identity_provider": {"remote_ids": ["https://other.example.org"]}}
    assert world.patch(f"{FED}/identity_providers/acme", body).status_code == 200
    assert bearer(cloud, idp.token("ada")).status_code == 403


def test_a_discovery_document_that_leads_elsewhere(cloud: CloudUnderTest, world: Client, idp: OidcProvider,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    for changes in ({"jwks_uri": "http://127.0.0.1:9/keys"}, {"jwks_uri": "file:///etc/passwd"},
                    {"issuer": "https://x"}):
        monkeypatch.setattr("stackling.drivers.oidc.provider.KEYS_PAUSE", 0.0)
        idp.document = changes
        assert bearer(cloud, idp.token("ada")).status_code == 503, changes


# -- memberships and mappings


def test_memberships_last_as_long_as_the_provider_says(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    user = enter(cloud, idp.token("ada")).user_id
    listed = f"{V3}/users/{user}/groups"
    assert world.get(listed).json()["groups"] == []
    body = {"identity_provider": {"authorization_ttl": 10}}
    assert world.patch(f"{FED}/identity_providers/acme", body).status_code == 200
    shown = world.get(listed).json()["groups"]
    assert [(one["name"], one["membership_expires_at"] is None) for one in shown] == [("weavers", False)]
    enter(cloud, idp.token("ada", groups=["dyers"]))
    assert [one["name"] for one in world.get(listed).json()["groups"]] == ["dyers"]


def test_tokens_end_when_the_groups_change(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    before = enter(cloud, idp.token("ada"))
    enter(cloud, idp.token("ada"))
    assert before.get(f"{V3}/auth/projects").status_code == 200
    enter(cloud, idp.token("ada", groups=[]))
    assert before.get(f"{V3}/auth/projects").status_code == 401


def test_an_application_credential_lives_on_an_expiring_membership(cloud: CloudUnderTest, world: Client,
                                                                  idp: OidcProvider) -> None:
    body = {"identity_provider": {"authorization_ttl": 10}}
    assert world.patch(f"{FED}/identity_providers/acme", body).status_code == 200
    scoped = rescoped(cloud, enter(cloud, idp.token("ada")))
    client, user = cloud.client(scoped.headers["X-Subject-Token"]), scoped.json()["token"]["user"]["id"]
    made = client.post(f"{V3}/users/{user}/application_credentials", {"application_credential": {"name": "robot"}})
    assert made.status_code == 201, made.text
    credential = made.json()["application_credential"]
    auth = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
        "id": credential["id"], "secret": credential["secret"]}}}}
    answer = cloud.client().post(f"{V3}/auth/tokens", auth)
    assert answer.status_code == 201, answer.text
    cloud.client(answer.headers["X-Subject-Token"])
    assert world.patch(f"{FED}/identity_providers/acme", {"identity_provider": {"authorization_ttl": 0}}
                       ).status_code == 200
    assert cloud.client().post(f"{V3}/auth/tokens", auth).status_code == 401


def test_projects_are_made_for_who_comes(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    local = {"user": {"name": "{0}"}, "projects": [{"name": "of {0}", "roles": [{"name": "member"}]}]}
    rules = [{"remote": [{"type": "OIDC-preferred_username"}], "local": [local]}]
    remap(world, rules)
    client = enter(cloud, idp.token("bob"))
    shown = client.get(f"{V3}/auth/projects").json()["projects"]
    assert [one["name"] for one in shown] == ["of bob"]
    domain = world.get(f"{FED}/identity_providers/acme").json()["identity_provider"]["domain_id"]
    assert shown[0]["domain_id"] == domain
    local["projects"][0]["roles"] = [{"name": "sorcerer"}]
    remap(world, rules)
    assert bearer(cloud, idp.token("bob")).status_code == 404


def test_schema_3_takes_away_what_the_provider_names_no_more(cloud: CloudUnderTest, world: Client, idp: OidcProvider
                                                             ) -> None:
    remap(world, [{"remote": [{"type": "OIDC-preferred_username"}, {"type": "OIDC-projects"}],
                   "local": [{"user": {"name": "{0}"}, "domain": {"id": "default"}, "projects_json": "{1}"}]}], "3.0")
    projects = [{"name": name, "roles": [{"name": "member"}]} for name in ("warp", "weft")]
    enter(cloud, idp.token("bob", projects=projects))
    client = enter(cloud, idp.token("bob", projects=projects[:1]))
    shown = client.get(f"{V3}/auth/projects").json()["projects"]
    assert [(one["name"], one["domain_id"]) for one in shown] == [("warp", "default")]
    assert bearer(cloud, idp.token("bob", projects=[{"name": 1}])).status_code == 401


def test_a_mapping_to_a_local_user(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    member = cloud.actor("cloth", "member", "ada")
    remap(world, [{"remote": [{"type": "OIDC-preferred_username"}], "local": [
        {"user": {"name": "{0}", "type": "local", "domain": {"id": "default"}}}]}])
    client = enter(cloud, idp.token("ada"))
    assert client.user_id == member.user_id
    assert "OS-FEDERATION" not in client.body["user"]
    assert client.body["project"]["name"] == "cloth"
    assert bearer(cloud, idp.token("bob")).status_code == 401


def test_who_no_rule_is_for_stays_outside(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    remap(world, [{**RULES[0], "remote": [*RULES[0]["remote"], {"type": "OIDC-department"}]}])
    assert bearer(cloud, idp.token("ada")).status_code == 401


@pytest.mark.parametrize("rule", [
    {"local": [{"user": {"name": "{0}", "colour": "red"}}], "remote": [{"type": "a"}]},
    {"local": [{"group": {"name": "g"}}], "remote": [{"type": "a"}]},
    {"local": [], "remote": []},
    {"local": [], "remote": [{"type": "a", "any_one_of": [], "not_any_of": []}]},
    {"local": [{"projects_json": "{0}"}], "remote": [{"type": "a"}]},
    {"local": [{"projects": [{"name": "p", "roles": [], "domain": {"id": "x"}}]}], "remote": [{"type": "a"}]}])
def test_mappings_that_keystone_refuses(cloud: CloudUnderTest, world: Client, rule: dict[str, Any]) -> None:
    assert world.put(f"{FED}/mappings/new", {"mapping": {"rules": [rule]}}).status_code == 400
    unknown = {"mapping": {"rules": [RULES[0]], "schema_version": "9"}}
    assert world.put(f"{FED}/mappings/new", unknown).status_code == 400


# -- in a browser


class Browser:
    """It keeps the one cookie, and follows nothing by itself."""

    def __init__(self, cloud: CloudUnderTest) -> None:
        self._cloud, self.cookie = cloud, ""

    def get(self, url: str) -> Any:
        self._cloud.http.cookies.clear()
        headers = {"Cookie": self.cookie} if self.cookie else {}
        answer = self._cloud.client().get(url, headers=headers)
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def begin(self, path: str = f"{SSO}/websso/openid") -> str:
        answer = self.get(f"{path}?origin={DASHBOARD}")
        assert answer.status_code == 302, answer.text
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        return answer.headers["Location"]


@pytest.mark.parametrize("path", ["websso/openid", "identity_providers/acme/protocols/openid/websso"])
def test_a_sign_in_hands_a_token_to_the_dashboard(cloud: CloudUnderTest, world: Client, idp: OidcProvider, path: str
                                                  ) -> None:
    browser = Browser(cloud)
    away = browser.begin(f"{SSO}/{path}")
    assert away.startswith(f"{idp.issuer}/authorize?")
    page = browser.get(idp.authorize(away, "ada"))
    assert page.status_code == 200, page.text
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'action="{DASHBOARD}"' in page.text
    token = re.search(r'name="token" id="token" value="([^"]+)"', page.text)
    assert token is not None
    shown = cloud.client(token[1]).get(f"{V3}/auth/projects").json()["projects"]
    assert [one["name"] for one in shown] == ["cloth"]


def test_a_sign_in_comes_back_once_and_to_the_same_browser(cloud: CloudUnderTest, world: Client, idp: OidcProvider
                                                           ) -> None:
    browser = Browser(cloud)
    back = idp.authorize(browser.begin(), "ada")
    assert Browser(cloud).get(back).status_code == 401
    cookie = browser.cookie
    assert browser.get(back).status_code == 200
    browser.cookie = cookie
    again = idp.authorize(back.replace("code=", "response_type=code&client_id=stackling&redirect_uri=x&x="), "ada")
    assert browser.get(f"{back.partition('?')[0]}?{again.partition('?')[2]}").status_code == 401


def test_a_nonce_of_another_sign_in_is_refused(cloud: CloudUnderTest, world: Client, idp: OidcProvider) -> None:
    first = Browser(cloud)
    earlier = re.search(r"nonce=([\w-]+)", first.begin())
    assert earlier is not None
    browser = Browser(cloud)
    for changes in ({"nonce": earlier[1]}, {"nonce": None}, {"aud": "another"}, {"azp": "another"}, {"exp": 1}):
        idp.id_token = changes
        answer = browser.get(idp.authorize(browser.begin(), "ada"))
        assert answer.status_code == 401, changes


def test_only_trusted_dashboards_get_tokens(cloud: CloudUnderTest, world: Client) -> None:
    client = cloud.client()
    assert client.get(f"{SSO}/websso/openid").status_code == 400
    assert client.get(f"{SSO}/websso/openid?origin=https://evil.test/").status_code == 401
    assert client.get(f"{SSO}/websso/openid?origin={DASHBOARD}x").status_code == 401
    assert client.get(f"{SSO}/websso/unknown?origin={DASHBOARD}").status_code == 401


def test_with_two_providers_the_person_chooses(cloud: CloudUnderTest, world: Client) -> None:
    make(world, "identity_providers/public", {"identity_provider": {"enabled": True}})
    make(world, "identity_providers/public/protocols/openid", {"protocol": {"mapping_id": "people"}})
    page = cloud.client().get(f"{SSO}/websso/openid?origin={DASHBOARD}")
    assert page.status_code == 200
    links = re.findall(r'href="([^"]+)"', page.text)
    assert [link.split("/")[6] for link in links] == ["acme", "public"]
    assert cloud.client().get(links[0].replace("&amp;", "&")).status_code == 302
