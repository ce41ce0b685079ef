"""What devstack makes in a new cloud, as far as the functional tests that clients bring along expect it: projects and
users, an image, a private network behind a router, and a ``clouds.yaml`` with devstack's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.tempest.cloud import Client

IMAGE = "cirros-0.6.3-x86_64-disk"
IMAGE_BYTES = 1 << 20
VOLUME_TYPE = "lvmdriver-1"
EXTRA_FLAVORS = ("42", "84")
"""m1.nano and m1.micro, which devstack makes for tempest only; openstacksdk's tests count the small flavors."""
PASSWORD = "devstack-demo-1"
USERS = {"demo": "demo", "alt_demo": "alt_demo"}
"""Users, and the project in which each is a member, and the administrator is one."""


def prepare(client: Client, home: Path) -> None:
    """Make it all in a cloud that is new; ``clouds.yaml`` goes where clients find it under *home*."""
    roles = {role["name"]: role["id"] for role in client.get("identity", "/v3/roles")["roles"]}
    admin = client.get("identity", "/v3/users?name=admin")["users"][0]
    own = client.get("identity", "/v3/projects?name=admin")["projects"][0]["id"]
    projects = {name: _made(client, "identity", "/v3/projects", "project", name=name)["id"] for name in USERS.values()}
    for name, project in USERS.items():
        user = _made(client, "identity", "/v3/users", "user", name=name, password=PASSWORD)
        for one, role in ((user, "member"), (admin, "admin")):
            path = f"/v3/projects/{projects[project]}/users/{one['id']}/roles/{roles[role]}"
            client.request("PUT", "identity", path)
    # ours has no limits at first, and lists of quotas would begin with it
    for service, path in (("network", "/v2.0/quotas/"), ("compute", "/v2.1/os-quota-sets/"),
                          ("volumev3", "/v3/os-quota-sets/")):
        client.request("DELETE", service, path + own)
    for flavor in EXTRA_FLAVORS:
        client.request("DELETE", "compute", f"/v2.1/flavors/{flavor}")
    _networks(client, projects["demo"])
    _image(client)
    _made(client, "volumev3", "/v3/types", "volume_type", name=VOLUME_TYPE)
    for project in (own, *projects.values()):
        client.request("PUT", "volumev3", f"/v3/default-types/{project}", headers={
            "OpenStack-API-Version": "volume 3.62"}, json={"default_type": {"volume_type": VOLUME_TYPE}})
    path = home / ".config/openstack/clouds.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"clouds": clouds(client)}))


def clouds(client: Client) -> dict[str, Any]:
    """The clouds of devstack's ``clouds.yaml``."""
    admin = {key: client.auth[key] for key in ("auth_url", "username", "password", "user_domain_name")}
    in_project = {"project_domain_name": client.auth["project_domain_name"]}
    demo = {name: {**admin, "username": name, "password": PASSWORD, **in_project, "project_name": project}
            for name, project in USERS.items()}
    users = {
        "devstack": demo["demo"], "devstack-alt": demo["alt_demo"],
        "devstack-admin": {**admin, **in_project, "project_name": "admin"},
        "devstack-admin-demo": {**admin, **in_project, "project_name": "demo"},
        "devstack-system-admin": {**admin, "system_scope": "all"}}
    # openstacksdk's tests ask for "volume", which it takes for no service unless it is told
    return {name: {"auth": auth, "region_name": client.region, "identity_api_version": "3", "has_volume": True}
            for name, auth in users.items()}


def _made(client: Client, service: str, path: str, kind: str, **wanted: Any) -> dict[str, Any]:
    return client.request("POST", service, path, json={kind: wanted}).json()[kind]


def _networks(client: Client, demo: str) -> None:
    public = client.get("network", "/v2.0/networks?router:external=true")["networks"][0]
    private = _made(client, "network", "/v2.0/networks", "network", name="private", project_id=demo)
    router = _made(client, "network", "/v2.0/routers", "router", name="router1", project_id=demo,
                   external_gateway_info={"network_id": public["id"]})
    for version, cidr in (4, "10.1.0.0/26"), (6, "fd53:9a1b:40dc::/64"):
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}
        subnet = _made(client, "network", "/v2.0/subnets", "subnet", network_id=private["id"], ip_version=version,
                       cidr=cidr, project_id=demo, name=f"{'ipv6-' if modes else ''}private-subnet", **modes)
        client.request("PUT", "network", f"/v2.0/routers/{router['id']}/add_router_interface",
                       json={"subnet_id": subnet["id"]})


def _image(client: Client) -> None:
    wanted = {"name": IMAGE, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    image = client.request("POST", "image", "/v2/images", json=wanted).json()
    client.request("PUT", "image", f"/v2/images/{image['id']}/file", content=bytes(IMAGE_BYTES),
                   headers={"Content-Type": "application/octet-stream"})
