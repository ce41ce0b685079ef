"""Services whose every policy has ``scope_types=["project"]`` upstream, asked with other tokens."""

from __future__ import annotations

import pytest

from tests.api.conftest import ADMIN_PASSWORD, Client, CloudUnderTest
from tests.api.image_clients import create, image_path

LISTS = ("/compute/v2.1/servers", "/network/v2.0/networks", "/image/v2/images", "/placement/resource_providers",
         "/load-balancer/v2/lbaas/loadbalancers")


@pytest.fixture(params=[{"system": {"all": True}}, {"domain": {"id": "default"}}], ids=["system", "domain"])
def elsewhere(cloud: CloudUnderTest, request: pytest.FixtureRequest) -> Client:
    """The administrator, who acts in no project."""
    admin = cloud.admin()
    role = admin.get("/identity/v3/roles", params={"name": "admin"}).json()["roles"][0]["id"]
    me = admin.body["user"]["id"]
    admin.put(f"/identity/v3/domains/default/users/{me}/roles/{role}")
    return cloud.client().login("admin", ADMIN_PASSWORD, scope=request.param)


def test_only_a_projects_token_is_let_in(admin: Client, elsewhere: Client) -> None:
    for path in LISTS:
        assert admin.get(path).status_code == 200
        assert elsewhere.get(path).status_code == 403
    assert elsewhere.get("/identity/v3/projects").status_code == 200


def test_what_is_a_projects_isnt_there_for_it(member: Client, elsewhere: Client) -> None:
    image = create(member)
    assert elsewhere.get(image_path(image)).status_code == 404
    assert elsewhere.delete(image_path(image)).status_code == 404
    assert elsewhere.post("/image/v2/images", {"name": "x"}).status_code == 403
    assert elsewhere.get(f"/network/v2.0/networks/{image['id']}").status_code == 404
    assert elsewhere.post("/network/v2.0/networks", {"network": {}}).status_code == 403
    assert elsewhere.get(f"/compute/v2.1/servers/{image['id']}").status_code == 403
    assert member.get(image_path(image)).status_code == 200
