"""Whether new security groups are stateful where nobody says it."""

from __future__ import annotations

import pytest

from tests.api.conftest import Client
from tests.api.network_cloud import N, Neutron, refused

PATH = "security-groups-default-statefulness"
NAME = "security_groups_default_statefulness"


@pytest.fixture
def root(admin: Client) -> Neutron:
    return Neutron(admin)


def test_a_projects_setting_and_everybodys(root: Neutron, member: Client, other: Client) -> None:
    mine, theirs = Neutron(member), Neutron(other)
    assert mine.group("a")["stateful"] is True
    everybody = root.create(PATH, NAME, project_id=None, stateful=False)
    assert (everybody["project_id"], everybody["stateful"]) == (None, False)
    assert mine.group("b")["stateful"] is False
    own = root.create(PATH, NAME, project_id=member.project_id)
    assert (own["project_id"], own["stateful"]) == (member.project_id, True)
    assert (mine.group("c")["stateful"], theirs.group("c")["stateful"]) == (True, False)
    assert mine.group("d", stateful=False)["stateful"] is False
    assert root.update(PATH, NAME, own["id"], stateful=False)["stateful"] is False
    assert mine.group("e")["stateful"] is False
    root.delete(PATH, own["id"])
    root.delete(PATH, everybody["id"])
    assert mine.group("f")["stateful"] is True


def test_who_sees_and_changes_it(root: Neutron, admin: Client, member: Client, other: Client) -> None:
    own = root.create(PATH, NAME, project_id=member.project_id, stateful=False)
    everybody = root.create(PATH, NAME, project_id=None, stateful=False)
    assert root.list(PATH, stateful=False, project_id=member.project_id) == [own]
    assert {one["id"] for one in root.list(PATH)} == {own["id"], everybody["id"]}
    assert Neutron(member).list(PATH) == [own]
    assert Neutron(member).show(PATH, own["id"]) == own
    assert Neutron(other).list(PATH) == []
    refused(other.get(f"{N}/{PATH}/{own['id']}"), 404, "SecurityGroupDefaultStatefulnessNotFound")
    refused(member.put(f"{N}/{PATH}/{own['id']}", {NAME: {"stateful": True}}), 403, "PolicyNotAuthorized")
    refused(other.post(f"{N}/{PATH}", {NAME: {"stateful": True}}), 403, "PolicyNotAuthorized")
    refused(other.post(f"{N}/{PATH}", {NAME: {"project_id": None, "stateful": True}}), 403, "PolicyNotAuthorized")
    for project, owner in ((member.project_id, member.project_id), (None, "system-wide")):
        message = refused(admin.post(f"{N}/{PATH}", {NAME: {"project_id": project}}), 409,
                          "SecurityGroupDefaultStatefulnessAlreadyExists")
        assert owner in message
    refused(admin.put(f"{N}/{PATH}/{own['id']}", {NAME: {"project_id": other.project_id}}), 400, "HTTPBadRequest")
    refused(admin.post(f"{N}/{PATH}", {NAME: {"stateful": "perhaps"}}), 400, "HTTPBadRequest")
