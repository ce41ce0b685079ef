"""More of what the victim and the cloud have, so that every route of every service has something real in its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from stackling.network.flavors import DRIVER
from stackling.store.tables.loadbalancer import (
    lb_health_monitors,
    lb_listeners,
    lb_members,
    lb_pools,
    load_balancers,
)

if TYPE_CHECKING:
    from tests.api.hostile import HostileWorld

Make = Callable[..., Any]
V3, N, V, I = "/identity/v3", "/network/v2.0", "/compute/v2.1", "/image/v2"     # noqa: E741
TAGGED = ("networks", "subnets", "ports", "routers", "floatingips", "security-groups", "subnetpools")
WITHOUT_BACKEND = "it wants a volume that is there, and this cloud has no backend"
UNNAMED = {
    "network /v2.0/agents": "there are no agents of networks unless hosts report them",
    **{f"load-balancer /{root}/{path}": "the provider has none" for root in (
        "v2.0/lbaas", "v2/lbaas") for path in (
        "flavors", "flavorprofiles", "availabilityzones", "availabilityzoneprofiles", "l7policies")},
    **{f"load-balancer /{root}/octavia/amphorae": "the provider has none" for root in ("v2.0", "v2")},
    "volumev3 /v3/snapshots/": WITHOUT_BACKEND,
    "volumev3 /v3/attachments/": WITHOUT_BACKEND,
    "volumev3 /v3/os-volume-transfer/": WITHOUT_BACKEND,
    "volumev3 /v3/volume-transfers/": WITHOUT_BACKEND,
    "volumev3 /v3/backups/": WITHOUT_BACKEND,
    "volumev3 /v3/groups/": WITHOUT_BACKEND,
    "volumev3 /v3/group_snapshots/": WITHOUT_BACKEND,
    "volumev3 /v3/cgsnapshots/": WITHOUT_BACKEND,
    "volumev3 /v3/clusters/": "there are none",
    "volumev3 /v3/messages/": "nothing has failed",
    "identity /v3/auth/OS-FEDERATION/websso/": "no provider is asked to sign anybody in here",
    "compute /v2.1/os-instance_usage_audit_log": "an instant, not an id",
    "compute /v2.1/os-console-auth-tokens": "nobody has asked for a console",
    "compute /v2.1/servers/{id}/consoles": "retired",
    "compute /v2.1/os-agents": "retired",
    "compute /v2.1/os-cells": "retired",
    "compute /v2.1/os-certificates": "retired",
    "compute /v2.1/os-cloudpipe": "retired",
    "compute /v2.1/os-fixed-ips": "retired",
    "compute /v2.1/os-floating-ip-dns": "retired",
    "compute /v2.1/os-floating-ips-bulk": "retired",
    "compute /v2.1/os-fping": "retired",
    "compute /v2.1/os-security-group-default-rules": "retired",
    "compute /v2.1/servers/{id}/os-volume_attachments": "it has no volume",
    "compute /v2.1/os-snapshots": WITHOUT_BACKEND,
    "compute /v2.1/os-assisted-volume-snapshots": WITHOUT_BACKEND,
    "compute /v2.1/servers/{id}/migrations": "it is not being moved",
    "identity /v3/OS-OAUTH1/authorize": "a request that has been granted is gone",
    "identity /v3/users/{user_id}/OS-OAUTH1/access_tokens/": "nobody has granted one; test_identity_signatures.py does",
}
"""Where nothing real can stand in a route's path, and why: by how ``service path`` begins."""


def add(world: HostileWorld, make: Make, mark: str) -> dict[str, str]:
    """Make them; ids as in ``Belongings``."""
    return {
        **_identity(world, make), **_image(world, mark), **_network(world, make), **_compute(world, mark),
        **_volume(world, make, mark), **_balancer(world, mark), **_others(world),
    }


def _done(answer: Any) -> Any:
    assert answer.status_code < 300, answer.text
    return answer


def _identity(world: HostileWorld, make: Make) -> dict[str, str]:
    admin, ids = world.admin, world.ids_so_far
    project, user = world.victim.project_id, world.victim.user_id
    group = make(admin, f"{V3}/OS-EP-FILTER/endpoint_groups", {"endpoint_group": {
        "name": "hostile", "filters": {"region_id": "hostile"}}})
    _done(admin.put(f"{V3}/OS-EP-FILTER/endpoint_groups/{group['id']}/projects/{project}"))
    policy = make(admin, f"{V3}/policies", {"policy": {"blob": "{}", "type": "application/json"}})
    of_policy = f"{V3}/policies/{policy['id']}/OS-ENDPOINT-POLICY"
    service, region = ids["identity:services"], ids["identity:regions"]
    _done(admin.put(f"{of_policy}/services/{service}/regions/{region}"))
    _done(admin.put(f"{of_policy}/services/{service}"))
    _done(admin.put(f"{of_policy}/endpoints/{ids['identity:endpoints']}"))
    _done(admin.put(f"{V3}/OS-EP-FILTER/projects/{project}/endpoints/{ids['identity:endpoints']}"))
    consumer = make(admin, f"{V3}/OS-OAUTH1/consumers", {"consumer": {"description": "hostile"}})
    federation = f"{V3}/OS-FEDERATION"
    rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]
    for path, body in (
        ("mappings/hostile", {"mapping": {"rules": rules}}),
        ("identity_providers/hostile", {"identity_provider": {"enabled": True}}),
        ("identity_providers/hostile/protocols/openid", {"protocol": {"mapping_id": "hostile"}}),
        ("service_providers/hostile", {"service_provider": {"sp_url": "https://x/y", "auth_url": "https://x/z"}}),
    ):
        _done(admin.put(f"{federation}/{path}", body))
    _done(admin.put(f"{V3}/domains/default/config", {"config": {"identity": {"driver": "ldap"}}}))
    _done(admin.put(f"{V3}/projects/{project}/tags", {"tags": ["blue"]}))
    _done(admin.put(f"{V3}/groups/{ids['identity:groups']}/users/{user}"))
    return {
        "identity:endpoint_groups": group["id"], "identity:policies": policy["id"],
        "identity:consumers": consumer["id"],
        "identity:identity_providers": "hostile", "identity:protocols": "openid", "identity:mappings": "hostile",
        "identity:service_providers": "hostile", "identity:config": "identity", "identity:{group}": "driver",
    }


def _image(world: HostileWorld, mark: str) -> dict[str, str]:
    admin, victim, image = world.admin, world.victim, world.ids_so_far["image:images"]
    name = f"ns-{mark}"
    _done(admin.post(f"{I}/metadefs/namespaces", {
        "namespace": name, "visibility": "private", "owner": victim.project_id, "description": mark}))
    _done(admin.post(f"{I}/metadefs/namespaces/{name}/objects", {"name": "object", "properties": {}}))
    _done(admin.post(f"{I}/metadefs/namespaces/{name}/properties", {
        "name": "property", "title": "Property", "type": "string"}))
    _done(admin.post(f"{I}/metadefs/namespaces/{name}/tags/blue"))
    _done(admin.post(f"{I}/metadefs/namespaces/{name}/resource_types", {"name": "OS::Nova::Server"}))
    _done(victim.put(f"{I}/images/{image}/tags/blue"))
    _done(victim.post(f"{I}/images/{image}/members", {"member": admin.project_id}))
    staged = victim.post(f"{I}/images", {"name": "staged", "disk_format": "raw", "container_format": "bare"}).json()
    _done(victim.put(f"{I}/images/{staged['id']}/stage", content=mark.encode() * 100,
                     headers={"Content-Type": "application/octet-stream"}))
    _done(victim.post(f"{I}/images/{staged['id']}/import", {"method": {"name": "glance-direct"}}))
    task = victim.get(f"{I}/images/{staged['id']}/tasks").json()["tasks"][0]["id"]
    return {
        "image:namespaces": name, "image:objects": "object", "image:properties": "property",
        "image:resource_types": "OS::Nova::Server", "image:metadefs": "namespace", "image:stores": "local",
        "image:tasks": task, "image:members": admin.project_id,
    }


def _network(world: HostileWorld, make: Make) -> dict[str, str]:
    victim, ids = world.victim, world.ids_so_far
    for kind in TAGGED:
        _done(victim.put(f"{N}/{kind}/{ids[f'network:{kind}']}/tags", {"tags": ["blue"]}))
    rbac = make(victim, f"{N}/rbac-policies", {"rbac_policy": {
        "object_type": "network", "object_id": ids["network:networks"], "action": "access_as_shared",
        "target_tenant": world.admin.project_id}})
    group = make(victim, f"{N}/address-groups", {"address_group": {"addresses": ["192.0.2.0/24"]}})
    scope = make(victim, f"{N}/address-scopes", {"address_scope": {"name": "hostile", "ip_version": 4}})
    return {"network:rbac-policies": rbac["id"], "network:address-groups": group["id"],
            "network:address-scopes": scope["id"], **_qos(world, make), **_forwarding(world, make),
            **_trunk(world, make)}


def _trunk(world: HostileWorld, make: Make) -> dict[str, str]:
    port = make(world.victim, f"{N}/ports", {"port": {"network_id": world.ids_so_far["network:networks"]}})
    trunk = make(world.victim, f"{N}/trunks", {"trunk": {"port_id": port["id"], "tags": ["blue"]}})
    rule = _done(world.admin.get(f"{N}/default-security-group-rules")).json()["default_security_group_rules"][0]
    stateful = make(world.admin, f"{N}/security-groups-default-statefulness", {"security_groups_default_statefulness": {
        "project_id": world.victim.project_id, "stateful": True}})
    flavor = make(world.admin, f"{N}/flavors", {"flavor": {"name": "hostile", "service_type": "L3_ROUTER_NAT"}})
    profile = make(world.admin, f"{N}/service_profiles", {"service_profile": {"driver": DRIVER}})
    _done(world.admin.post(f"{N}/flavors/{flavor['id']}/service_profiles", {"service_profile": {"id": profile["id"]}}))
    segment = make(world.admin, f"{N}/segments", {"segment": {
        "network_id": world.ids_so_far["network:networks"], "network_type": "geneve"}})
    return {"network:segments": segment["id"], "network:flavors": flavor["id"],
            "network:service_profiles": profile["id"],
            "network:security-groups-default-statefulness": stateful["id"],
            "network:trunks": trunk["id"], "network:default-security-group-rules": rule["id"]}


def _forwarding(world: HostileWorld, make: Make) -> dict[str, str]:
    victim, ids = world.victim, world.ids_so_far
    external = victim.get(f"{N}/floatingips/{ids['network:floatingips']}").json()["floatingip"]["floating_network_id"]
    network = make(victim, f"{N}/networks", {"network": {}})
    subnet = make(victim, f"{N}/subnets", {"subnet": {
        "network_id": network["id"], "ip_version": 4, "cidr": "10.77.0.0/24"}})
    router = make(victim, f"{N}/routers", {"router": {"external_gateway_info": {"network_id": external}}})
    _done(victim.put(f"{N}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}))
    port = make(victim, f"{N}/ports", {"port": {"network_id": network["id"]}})
    floating = make(victim, f"{N}/floatingips", {"floatingip": {"floating_network_id": external}})
    path = f"{N}/floatingips/{floating['id']}/port_forwardings"
    made = make(victim, path, {"port_forwarding": {
        "internal_port_id": port["id"], "protocol": "tcp", "external_port": 22, "internal_port": 22}})
    where = "network /v2.0/floatingips/{id}/port_forwardings"
    return {"network:port_forwardings": made["id"], f"{where} id": floating["id"],
            where + "/{forwarding} id": floating["id"]}


def _qos(world: HostileWorld, make: Make) -> dict[str, str]:
    policy = make(world.admin, f"{N}/qos/policies", {"policy": {
        "name": "hostile", "project_id": world.victim.project_id}})
    _done(world.admin.put(f"{N}/policies/{policy['id']}/tags", {"tags": ["blue"]}))
    found = {"network:policies": policy["id"], "network:rule-types": "bandwidth_limit"}
    for kind, body in (("bandwidth_limit", {"max_kbps": 1000}), ("dscp_marking", {"dscp_mark": 8}),
                       ("minimum_bandwidth", {"min_kbps": 10})):
        rule = make(world.admin, f"{N}/qos/policies/{policy['id']}/{kind}_rules", {f"{kind}_rule": body})
        found |= {f"network:{kind}_rules": rule["id"], f"network:alias_{kind}_rules": rule["id"]}
    return found


def _compute(world: HostileWorld, mark: str) -> dict[str, str]:
    victim, admin, ids = world.victim, world.admin, world.ids_so_far
    newest = {"OpenStack-API-Version": "compute 2.90"}
    _done(victim.put(f"{V}/servers/{ids['compute:servers']}/tags", {"tags": ["blue"]}, headers=newest))
    _done(admin.post(f"{V}/flavors/42/os-extra_specs", {"extra_specs": {"hw:cpu_policy": "shared"}}))
    _done(victim.post(f"{V}/images/{ids['image:images']}/metadata", {"metadata": {"color": mark}}))
    return {"compute:os-extra_specs": "hw:cpu_policy", "compute:images": ids["image:images"]}


def _balancer(world: HostileWorld, mark: str) -> dict[str, str]:
    """A whole load balancer, as if it had been realised."""
    pool = {"name": mark, "protocol": "TCP", "lb_algorithm": "SOURCE_IP",
            "members": [{"name": mark, "address": "10.9.0.77", "protocol_port": 80}],
            "healthmonitor": {"name": mark, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}}
    made = _done(world.victim.post("/load-balancer/v2.0/lbaas/loadbalancers", {"loadbalancer": {
        "name": mark, "vip_subnet_id": world.ids_so_far["network:subnets"], "listeners": [
            {"name": mark, "protocol": "TCP", "protocol_port": 80, "default_pool": pool}]}})).json()["loadbalancer"]
    for table in (load_balancers, lb_listeners, lb_pools, lb_members, lb_health_monitors):
        world.cloud.database.write(lambda tx, table=table: tx.execute(update(table).values(
            provisioning_status="ACTIVE")))
    pool = made["pools"][0]
    return {
        "load-balancer:loadbalancers": made["id"], "load-balancer:listeners": made["listeners"][0]["id"],
        "load-balancer:pools": pool["id"], "load-balancer:members": pool["members"][0]["id"],
        "load-balancer:healthmonitors": pool["healthmonitor"]["id"], "load-balancer:providers": "ovn",
        "load-balancer:quotas": world.victim.project_id}


def _volume(world: HostileWorld, make: Make, mark: str) -> dict[str, str]:
    victim, admin, v3 = world.victim, world.admin, "/volume/v3"
    new = {"OpenStack-API-Version": "volume 3.70"}

    def made(client: Any, path: str, body: Any) -> Any:
        return next(iter(_done(client.post(f"{v3}/{path}", body, headers=new)).json().values()))

    volume = made(victim, "volumes", {"volume": {"size": 1, "name": f"vol {mark}", "metadata": {"color": mark}}})
    kind = made(admin, "types", {"volume_type": {"name": "hostile", "extra_specs": {"color": "blue"}}})
    qos = made(admin, "qos-specs", {"qos_specs": {"name": "hostile"}})
    groups = made(admin, "group_types", {"group_type": {"name": "hostile", "group_specs": {"color": "blue"}}})
    consistent = made(victim, "consistencygroups", {"consistencygroup": {"name": mark, "volume_types": kind["id"]}})
    return {
        "compute:os-volumes": volume["id"], "volumev3:consistencygroups": consistent["id"],
        "volumev3:volumes": volume["id"], "volumev3:metadata": "color", "volumev3:types": kind["id"],
        "volumev3:extra_specs": "color", "volumev3:qos-specs": qos["id"], "volumev3:group_types": groups["id"],
        "volumev3:group_specs": "color", "volumev3:os-quota-sets": victim.project_id,
        "volumev3:default-types": victim.project_id, "volumev3:os-quota-class-sets": "default",
        "volumev3:os-services": "enable", "volumev3:encryption": "cipher", "volumev3:os-hosts": "h1",
        "volumev3:capabilities": "h1",
    }


def _others(world: HostileWorld) -> dict[str, str]:
    (machine,) = json.loads(world.admin.get("/stackling/v1/machines").text)["machines"][:1] or [{"name": "h1"}]
    providers = world.admin.get("/placement/resource_providers", headers={"OpenStack-API-Version": "placement 1.39"})
    return {"stackling:machines": machine["name"], "stackling:servers": world.ids_so_far["compute:servers"],
            "placement:resource_providers": providers.json()["resource_providers"][0]["uuid"],
            "placement:inventories": "VCPU", "placement:allocations": world.ids_so_far["compute:servers"],
            "placement:resource_classes": "VCPU", "placement:traits": "COMPUTE_NODE"}
