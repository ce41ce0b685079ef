"""An administrator's own access rules, in a cloud that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackling.api import policy
from stackling.api.compute.service import service as compute
from stackling.api.identity.service import service as identity
from stackling.api.image.service import service as image
from stackling.api.network.service import service as network
from tests.api.conftest import CloudUnderTest

SERVERS = "/compute/v2.1/servers"


@pytest.fixture
def rules(cloud: CloudUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(policy, "LOOK_EVERY", 0.0)
    directory = tmp_path / "policy"
    directory.mkdir()
    services = [identity(cloud.identity), compute(), image(), network()]
    for one in services:
        one.policy.follow(directory / f"{one.name}.yaml")
    cloud.start(services)
    return directory


def test_rules_hold_from_the_next_request_on(cloud: CloudUnderTest, rules: Path) -> None:
    reader, member = cloud.actor("demo", "reader"), cloud.actor("demo", "member")
    assert reader.get(SERVERS).status_code == 200
    (rules / "compute.yaml").write_text('"os_compute_api:servers:index": "rule:project_member_or_admin"\n')
    refused = reader.get(SERVERS)
    assert refused.status_code == 403
    assert "os_compute_api:servers:index" in refused.json()["forbidden"]["message"]
    assert (member.get(SERVERS).status_code, reader.get(f"{SERVERS}/detail").status_code) == (200, 200)
    (rules / "compute.yaml").unlink()
    assert reader.get(SERVERS).status_code == 200


def test_a_role_of_ones_own_may_what_only_administrators_could(cloud: CloudUnderTest, rules: Path) -> None:
    cloud.admin().post("/identity/v3/roles", {"role": {"name": "helpdesk"}})
    helpdesk = cloud.actor("demo", "helpdesk")
    assert helpdesk.get("/identity/v3/users").status_code == 403
    (rules / "identity.yaml").write_text('"identity:list_users": "role:helpdesk or rule:admin_required"\n')
    assert helpdesk.get("/identity/v3/users").status_code == 200
    assert helpdesk.get("/identity/v3/projects").status_code == 403


def test_a_broken_file_changes_nothing(cloud: CloudUnderTest, rules: Path, caplog: pytest.LogCaptureFixture) -> None:
    member = cloud.actor("demo", "member")
    (rules / "image.yaml").write_text('"communitize_image": "rule:context_is_admin"\n')
    new = {"name": "i", "visibility": "community"}
    assert member.post("/image/v2/images", new).status_code == 403
    (rules / "image.yaml").write_text('# better\n"communitize_image": "rule:nobody or"\n')
    assert member.post("/image/v2/images", new).status_code == 403
    assert f"{rules}/image.yaml, line 2: " in caplog.text


def test_rules_of_attributes_and_fields_of_ports(cloud: CloudUnderTest, rules: Path) -> None:
    member, ports = cloud.actor("demo", "member"), "/network/v2.0/ports"
    made = cloud.admin().post("/network/v2.0/networks", {"network": {"shared": True}}).json()["network"]["id"]

    def status(**port: str) -> int:
        return member.post(ports, {"port": {"network_id": made, **port}}).status_code

    fabric, mac = {"device_owner": "fabric:leaf"}, {"mac_address": "fa:16:3e:00:00:0a"}
    assert (status(**fabric), status(**mac)) == (201, 403)
    (rules / "network.yaml").write_text('"network_device": "field:port:device_owner=~^fabric:"\n'
                                        '"create_port:mac_address": "role:member"\n')
    assert (status(**fabric), status(device_owner="a-fabric:leaf"), status(**mac)) == (403, 201, 201)
