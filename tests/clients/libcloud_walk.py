"""Runs in the clients' environment: Apache libcloud's OpenStack driver."""

import os
import sys
import time
import uuid

from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider


def main() -> None:
    name = f"libcloud-{uuid.uuid4().hex[:6]}"
    driver = get_driver(Provider.OPENSTACK)(
        os.environ["OS_USERNAME"], os.environ["OS_PASSWORD"], ex_tenant_name=os.environ["OS_PROJECT_NAME"],
        ex_domain_name=os.environ["OS_USER_DOMAIN_NAME"],
        ex_force_auth_url=os.environ["OS_AUTH_URL"].removesuffix("/v3"),
        ex_force_auth_version="3.x_password", ex_force_service_region=os.environ["OS_REGION_NAME"], api_version="2.2")
    image = next(one for one in driver.list_images() if one.name == "tempest-1")
    size = next(one for one in driver.list_sizes() if one.name == "tempest-1")
    network = driver.ex_create_network(name)
    subnet = driver.ex_create_subnet(name, network, "192.168.72.0/24")
    outside = next(one for one in driver.ex_list_networks() if one.extra.get("router:external"))
    router = driver.ex_create_router(name, external_gateway_info={"network_id": outside.id})
    driver.ex_add_router_subnet(router, subnet)
    key = driver.create_key_pair(name)
    assert key.private_key
    node = driver.create_node(name=name, image=image, size=size, networks=[network], ex_keyname=name,
                              ex_config_drive=True, ex_files={"/etc/motd": "hello"})
    node, addresses = driver.wait_until_running([node], wait_period=1, timeout=120, ssh_interface="private_ips")[0]
    assert addresses[0].startswith("192.168.72.")
    floating = driver.ex_create_floating_ip(outside.name)
    driver.ex_attach_floating_ip_to_node(node, floating)
    ends = time.monotonic() + 60
    seen = node
    while floating.ip_address not in (*seen.public_ips, *seen.private_ips):
        assert time.monotonic() < ends, f"{floating.ip_address} isn't among {seen.public_ips} {seen.private_ips}"
        time.sleep(0.5)
        seen = driver.ex_get_node_details(node.id)
    volume = driver.create_volume(1, name)
    ends = time.monotonic() + 120
    while driver.ex_get_volume(volume.id).extra["state"] != "available":
        assert time.monotonic() < ends
        time.sleep(0.5)
    assert driver.attach_volume(node, volume)
    while driver.ex_get_volume(volume.id).extra["state"] != "in-use":
        assert time.monotonic() < ends
        time.sleep(0.5)
    attached = driver.ex_get_volume(volume.id)
    assert driver.detach_volume(attached)
    while driver.ex_get_volume(volume.id).extra["state"] != "available":
        assert time.monotonic() < ends
        time.sleep(0.5)
    assert driver.reboot_node(node)
    assert driver.destroy_volume(volume)
    driver.ex_detach_floating_ip_from_node(node, floating)
    assert floating.delete()
    assert driver.destroy_node(node)
    while any(one.id == node.id and one.state != NodeState.TERMINATED for one in driver.list_nodes()):
        assert time.monotonic() < ends
        time.sleep(0.5)
    driver.ex_del_router_subnet(router, subnet)
    driver.ex_delete_router(router)
    driver.ex_delete_network(network)
    driver.delete_key_pair(key)


if __name__ == "__main__":
    sys.exit(main())
