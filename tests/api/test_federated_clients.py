"""keystoneauth's plugins of OpenID Connect and openstacksdk, unmodified, over HTTP: from a provider's password to a
scoped token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
import uvicorn
from keystoneauth1.identity.v3 import oidc
from keystoneauth1.session import Session

from stackling.api.app import build_app
from stackling.api.identity.service import service
from stackling.drivers.oidc.providers import HttpProviders
from stackling.ports.oidc import ProviderSettings
from tests import oidc_provider
from tests.api.conftest import CloudUnderTest
from tests.oidc_provider import CLIENT, PASSWORD, SECRET, OidcProvider

RULES = [
    {"remote": [{"type": "OIDC-sub"}, {"type": "OIDC-preferred_username"}],
     "local": [{"user": {"id": "{0}", "name": "{1}"}}]},
    {"remote": [{"type": "HTTP_OIDC_GROUPS"}], "local": [{"groups": "{0}", "domain": {"name": "Default"}}]}]


@pytest.fixture
def idp() -> Iterator[OidcProvider]:
    with oidc_provider.running() as found:
        for name in ("ada", CLIENT):
            found.person(name, groups=["weavers"])
        yield found


@pytest.fixture
def auth_url(cloud: CloudUnderTest, idp: OidcProvider, tmp_path: Path) -> Iterator[str]:
    """Identity on a port of its own, where the weavers are members of the project "cloth"."""
    (tmp_path / "secret").write_text(SECRET)
    providers = HttpProviders([ProviderSettings("acme", idp.issuer, CLIENT, str(tmp_path / "secret"))])
    prepare(cloud, idp)
    app = build_app(cloud.cloud, [service(cloud.identity, oidc=providers)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        cloud.cloud.public_url = f"http://127.0.0.1:{port}"
        yield f"{cloud.cloud.public_url}/identity/v3"
    finally:
        server.should_exit = True
        thread.join()


def prepare(cloud: CloudUnderTest, idp: OidcProvider) -> None:
    """What an administrator does, with openstacksdk's bodies."""
    admin, v3 = cloud.admin(), "/identity/v3"
    for path, body in (
            ("identity_providers/acme", {"identity_provider": {"enabled": True, "remote_ids": [idp.issuer]}}),
            ("mappings/people", {"mapping": {"rules": RULES}}),
            ("identity_providers/acme/protocols/openid", {"protocol": {"mapping_id": "people"}})):
        assert admin.put(f"{v3}/OS-FEDERATION/{path}", body).status_code == 201
    project = cloud.project("cloth")
    group = admin.post(f"{v3}/groups", {"group": {"name": "weavers"}}).json()["group"]["id"]
    role = admin.get(f"{v3}/roles?name=member").json()["roles"][0]["id"]
    assert admin.put(f"{v3}/projects/{project}/groups/{group}/roles/{role}").status_code == 204


Plugin = Callable[[OidcProvider, dict[str, Any]], Any]


def _code(idp: OidcProvider) -> str:
    idp.codes["the-code"] = {"name": "ada", "redirect_uri": "http://localhost:9/back"}
    return "the-code"


@pytest.mark.parametrize("plugin", [
    lambda idp, common: oidc.OidcPassword(username="ada", password=PASSWORD, **common),
    lambda idp, common: oidc.OidcPassword(username="ada", password=PASSWORD, access_token_type="id_token", **common),
    lambda idp, common: oidc.OidcClientCredentials(**common),
    lambda idp, common: oidc.OidcAuthorizationCode(code=_code(idp), redirect_uri="http://localhost:9/back", **common),
    lambda idp, common: oidc.OidcAccessToken(access_token=idp.token("ada"), **_without_client(common)),
    lambda idp, common: oidc.OidcAccessToken(access_token=idp.opaque_token("ada"), **_without_client(common)),
], ids=["password", "password with ID token", "client credentials", "authorization code", "access token",
        "opaque access token"])
def test_a_plugin_of_keystoneauth_gives_a_scoped_token(auth_url: str, idp: OidcProvider, plugin: Plugin) -> None:
    common = {"auth_url": auth_url, "identity_provider": "acme", "protocol": "openid", "client_id": CLIENT,
              "client_secret": SECRET, "discovery_endpoint": f"{idp.issuer}/.well-known/openid-configuration",
              "project_name": "cloth", "project_domain_name": "Default"}
    session = Session(auth=plugin(idp, common))
    access = session.auth.get_access(session)
    assert access.project_name == "cloth"
    assert set(access.role_names) == {"member", "reader"}
    assert access.is_federated
    assert access.has_service_catalog()


def _without_client(common: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in common.items() if not key.startswith(("client_", "discovery_"))}


def test_openstacksdk_works_for_a_federated_user(auth_url: str, idp: OidcProvider) -> None:
    connection = openstack.connect(
        load_yaml_config=False, load_envvars=False, auth_type="v3oidcpassword", region_name="RegionOne", auth={
            "auth_url": auth_url, "identity_provider": "acme", "protocol": "openid", "client_id": CLIENT,
            "client_secret": SECRET, "discovery_endpoint": f"{idp.issuer}/.well-known/openid-configuration",
            "username": "ada", "password": PASSWORD, "project_name": "cloth", "project_domain_name": "Default"})
    with connection:
        assert connection.current_project.name == "cloth"
        user = connection.identity.get_user(connection.current_user_id)
        assert user.name == "ada"
        credential = connection.identity.create_application_credential(user, name="robot")
        assert credential.secret
