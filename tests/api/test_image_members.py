"""Sharing images."""

from __future__ import annotations

from tests.api.conftest import Client, CloudUnderTest
from tests.api.image_clients import create, image_path, patch


def listed(client: Client, query: str = "") -> list[str]:
    return [image["id"] for image in client.get(f"/image/v2/images{query}").json()["images"]]


def test_share_accept_reject_remove(member: Client, other: Client, reader: Client) -> None:
    image = create(member)
    members = f"{image_path(image)}/members"
    one = f"{members}/{other.project_id}"
    assert other.get(image_path(image)).status_code == 404
    made = member.post(members, {"member": other.project_id})
    assert made.status_code == 200
    assert made.json() | {"created_at": "", "updated_at": ""} == {
        "member_id": other.project_id, "image_id": image["id"], "status": "pending", "schema": "/v2/schemas/member",
        "created_at": "", "updated_at": ""}
    assert member.post(members, {"member": other.project_id}).status_code == 409
    assert other.get(image_path(image)).status_code == 200
    assert listed(other) == []
    assert listed(other, "?visibility=shared&member_status=pending") == [image["id"]]
    assert member.put(one, {"status": "accepted"}).status_code == 403
    assert other.put(one, {"status": "perhaps"}).status_code == 400
    assert other.put(one, {"status": "accepted"}).json()["status"] == "accepted"
    assert listed(other) == [image["id"]]
    assert reader.get(members).json()["members"][0]["status"] == "accepted"
    assert other.get(one).json()["member_id"] == other.project_id
    assert other.put(one, {"status": "rejected"}).status_code == 200
    assert listed(other) == []
    assert listed(other, "?member_status=all") == [image["id"]]
    assert other.delete(one).status_code == 403
    assert member.delete(one).status_code == 204
    assert member.get(one).status_code == 404
    assert other.get(image_path(image)).status_code == 404


def test_a_member_sees_itself_alone(cloud: CloudUnderTest, member: Client, other: Client) -> None:
    image, third = create(member), cloud.actor("third", "member")
    members = f"{image_path(image)}/members"
    for one in (other, third):
        member.post(members, {"member": one.project_id})
    assert [one["member_id"] for one in other.get(members).json()["members"]] == [other.project_id]
    assert other.get(f"{members}/{third.project_id}").status_code == 404
    assert third.get(f"{members}/{third.project_id}").status_code == 200
    assert len(member.get(members).json()["members"]) == 2


def test_members_refused(member: Client, other: Client, reader: Client) -> None:
    private, shared = create(member, visibility="private"), create(member)
    for body in ({}, {"member": ""}, {"member": None}, {"member": "x" * 100}, []):
        assert member.post(f"{image_path(shared)}/members", body).status_code == 400
    assert member.post(f"{image_path(private)}/members", {"member": "x"}).status_code == 403
    assert member.get(f"{image_path(private)}/members").status_code == 403
    assert reader.post(f"{image_path(shared)}/members", {"member": "x"}).status_code == 403
    assert other.post(f"{image_path(shared)}/members", {"member": other.project_id}).status_code == 404
    assert other.get(f"{image_path(shared)}/members").status_code == 404


def test_sharing_ends_with_the_visibility_and_the_image(member: Client, other: Client) -> None:
    image = create(member)
    member.post(f"{image_path(image)}/members", {"member": other.project_id})
    patch(member, image["id"], {"op": "replace", "path": "/visibility", "value": "private"})
    assert other.get(image_path(image)).status_code == 404
    patch(member, image["id"], {"op": "replace", "path": "/visibility", "value": "shared"})
    assert other.get(image_path(image)).status_code == 200
    assert other.delete(image_path(image)).status_code == 403
    assert member.delete(image_path(image)).status_code == 204
    assert other.get(image_path(image)).status_code == 404
