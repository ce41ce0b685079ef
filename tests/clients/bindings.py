"""Runs in the clients' environment: the Python bindings of nova, neutron, glance and cinder, from an image to a server
with a floating IP and a volume, and back. The credentials come from the environment, as for the commands."""

import io
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from cinderclient import client as cinder_client
from glanceclient import Client as GlanceClient
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from neutronclient.v2_0.client import Client as NeutronClient
from novaclient import client as nova_client


def session() -> Session:
    """Of the environment's user."""
    names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
    return Session(Password(**{name: os.environ[f"OS_{name.upper()}"] for name in names}))


def eventually(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What *look* gives once it is *wanted*."""
    ends = time.monotonic() + 120
    while not wanted(found := look()):
        assert time.monotonic() < ends, f"still {found}"
        time.sleep(0.5)
    return found


def gone(look: Callable[[], Any]) -> bool:
    """Whether *look* finds nothing any more."""
    try:
        look()
    except Exception as error:
        if getattr(error, "code", getattr(error, "status_code", None)) != 404:
            raise
        return True
    return False


def main() -> None:
    own, name = session(), f"bindings-{uuid.uuid4().hex[:6]}"
    nova, cinder = nova_client.Client("2.96", session=own), cinder_client.Client("3.71", session=own)
    neutron, glance = NeutronClient(session=own), GlanceClient("2", session=own)
    image = glance.images.create(name=name, disk_format="raw", container_format="bare")
    glance.images.upload(image.id, io.BytesIO(bytes(1 << 20)))
    eventually(lambda: glance.images.get(image.id), lambda one: one.status == "active")
    network = neutron.create_network({"network": {"name": name}})["network"]
    subnet = neutron.create_subnet({"subnet": {
        "network_id": network["id"], "ip_version": 4, "cidr": "192.168.71.0/24"}})["subnet"]
    outside = neutron.list_networks(**{"router:external": True})["networks"][0]["id"]
    gateway = {"network_id": outside}
    router = neutron.create_router({"router": {"name": name, "external_gateway_info": gateway}})["router"]
    neutron.add_interface_router(router["id"], {"subnet_id": subnet["id"]})
    flavor = nova.flavors.create(name, 64, 1, 1)
    server = nova.servers.create(name, image.id, flavor.id, nics=[{"net-id": network["id"]}])
    eventually(lambda: nova.servers.get(server.id), lambda one: one.status == "ACTIVE")
    port = neutron.list_ports(device_id=server.id)["ports"][0]
    address = neutron.create_floatingip({"floatingip": {
        "floating_network_id": outside, "port_id": port["id"]}})["floatingip"]
    assert address["fixed_ip_address"].startswith("192.168.71.")
    volume = cinder.volumes.create(1, name=name)
    eventually(lambda: cinder.volumes.get(volume.id), lambda one: one.status == "available")
    nova.volumes.create_server_volume(server.id, volume.id)
    eventually(lambda: cinder.volumes.get(volume.id), lambda one: one.status == "in-use")
    nova.volumes.delete_server_volume(server.id, volume.id)
    eventually(lambda: cinder.volumes.get(volume.id), lambda one: one.status == "available")
    cinder.volumes.delete(volume.id)
    neutron.delete_floatingip(address["id"])
    nova.servers.delete(server.id)
    eventually(lambda: gone(lambda: nova.servers.get(server.id)), bool)
    eventually(lambda: gone(lambda: cinder.volumes.get(volume.id)), bool)
    nova.flavors.delete(flavor.id)
    neutron.remove_interface_router(router["id"], {"subnet_id": subnet["id"]})
    neutron.delete_router(router["id"])
    neutron.delete_network(network["id"])
    glance.images.delete(image.id)


if __name__ == "__main__":
    sys.exit(main())
