"""A valid body for every route that takes one, from which the tests of hostile requests make invalid ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.api.hostile import MARK, NOBODY

FIXED = frozenset(
    {
        "availability_zone_hints",
        "network_id",
        "cidr",
        "ip_version",
        "project_id",
        "tenant_id",
        "floating_network_id",
        "floating_ip_address",
        "security_group_id",
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "provider:network_type",
        "provider:segmentation_id",
        "provider:physical_network",
        "segments",
        "vlan_transparent",
        "mac_address",
        "dns_name",
        "dns_domain",
        "distributed",
        "ha",
    }
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCqmzAeY6bGxmxnV2mn4Ry8cHEJ4WcAGzVYvFkSTYlm x@y"


def bodies(ids: Mapping[str, str], image: str, project: str, user: str) -> dict[str, list[Any]]:
    """By ``service METHOD path``: valid bodies, as far as ids of the victim are valid."""
    return {
        **_identity(ids, project, user),
        **_network(ids, project),
        **_image(ids, project),
        **_compute(ids, image, project),
        **_load_balancer(ids),
    }


def _load_balancer(ids: Mapping[str, str]) -> dict[str, list[Any]]:
    balancer, pool = ids["load-balancer:loadbalancers"], ids["load-balancer:pools"]
    subnet, root = ids["network:subnets"], "/v2.0/lbaas"
    listener = {"name": "l", "protocol": "TCP", "protocol_port": 81, "connection_limit": 5, "tags": ["a"],
                "timeout_client_data": 100}
    member = {"name": "m", "address": "10.9.0.78", "protocol_port": 80, "weight": 2, "backup": False,
              "subnet_id": subnet, "tags": ["a"]}
    monitor = {"name": "h", "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2, "max_retries_down": 2}
    made = {"name": "p", "protocol": "TCP", "lb_algorithm": "SOURCE_IP", "session_persistence": {"type": "SOURCE_IP"}}
    found: dict[str, list[Any]] = {
        "POST {}/loadbalancers": [{"loadbalancer": {
            "name": "lb", "vip_subnet_id": subnet, "vip_address": "10.9.0.99", "tags": ["a"], "listeners": [
                {**listener, "default_pool": {**made, "members": [member], "healthmonitor": monitor}}]}}],
        "PUT {}/loadbalancers/{id}": [{"loadbalancer": {"name": "x", "admin_state_up": False, "tags": ["b"]}}],
        "POST {}/listeners": [{"listener": {**listener, "loadbalancer_id": balancer, "default_pool_id": pool}}],
        "PUT {}/listeners/{id}": [{"listener": {"name": "x", "connection_limit": 7, "default_pool_id": pool}}],
        "POST {}/pools": [{"pool": {**made, "loadbalancer_id": balancer}}],
        "PUT {}/pools/{id}": [{"pool": {"name": "x", "lb_algorithm": "SOURCE_IP_PORT", "tags": ["c"]}}],
        "POST {}/pools/{id}/members": [{"member": member}],
        "PUT {}/pools/{id}/members": [{"members": [member]}],
        "PUT {}/pools/{id}/members/{member}": [{"member": {"name": "x", "weight": 4}}],
        "POST {}/healthmonitors": [{"healthmonitor": {**monitor, "pool_id": pool}}],
        "PUT {}/healthmonitors/{id}": [{"healthmonitor": {"name": "x", "delay": 7}}],
        "PUT {}/quotas/{project}": [{"quota": {"loadbalancer": 5, "pool": 7}}],
        "POST {}/flavorprofiles": [{"flavorprofile": {"name": "f", "provider_name": "ovn", "flavor_data": "{}"}}],
        "POST {}/l7policies": [{"l7policy": {"listener_id": ids["load-balancer:listeners"], "action": "REJECT"}}],
    }
    return {f"load-balancer {name.replace('{}', root, 1)}": bodies for name, bodies in found.items()}


def _identity(ids: Mapping[str, str], project: str, user: str) -> dict[str, list[Any]]:
    login = {"user": {"name": "victim", "domain": {"id": "default"}, "password": "x"}}
    v3 = "/v3"
    return {
        f"identity {name}": found
        for name, found in {
            f"POST {v3}/auth/tokens": [
                {
                    "auth": {
                        "identity": {"methods": ["password"], "password": login},
                        "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
                    }
                },
                {
                    "auth": {
                        "identity": {"methods": ["token"], "token": {"id": "x"}},
                        "scope": {"system": {"all": True}},
                    }
                },
                {
                    "auth": {
                        "identity": {
                            "methods": ["application_credential"],
                            "application_credential": {"id": ids["identity:application_credentials"], "secret": "x"},
                        }
                    }
                },
                {
                    "auth": {
                        "identity": {"methods": ["totp"], "totp": {"user": {"id": user, "passcode": "123456"}}},
                        "scope": {"domain": {"id": "default"}},
                    }
                },
                {
                    "auth": {
                        "identity": {"methods": ["password"], "password": login},
                        "scope": {"OS-TRUST:trust": {"id": ids["identity:trusts"]}},
                    }
                },
            ],
            f"POST {v3}/projects": [
                {
                    "project": {
                        "name": "p",
                        "description": "d",
                        "domain_id": "default",
                        "enabled": True,
                        "parent_id": None,
                        "tags": ["a"],
                        "options": {},
                        "more": 1,
                    }
                }
            ],
            f"PATCH {v3}/projects/{{project_id}}": [
                {"project": {"name": "p", "description": "d", "enabled": True, "tags": ["x"], "domain_id": "default"}}
            ],
            f"PUT {v3}/projects/{{project_id}}/tags": [{"tags": ["a", "b"]}],
            f"POST {v3}/domains": [{"domain": {"name": "d", "description": "", "enabled": True, "tags": []}}],
            f"PATCH {v3}/domains/{{domain_id}}": [{"domain": {"name": "d", "description": "", "enabled": True}}],
            f"POST {v3}/users": [
                {
                    "user": {
                        "name": "u",
                        "password": "secret-enough",
                        "email": "a@b",
                        "enabled": True,
                        "default_project_id": project,
                        "domain_id": "default",
                        "options": {"lock_password": True, "multi_factor_auth_rules": [["password"]]},
                    }
                }
            ],
            f"PATCH {v3}/users/{{user_id}}": [
                {"user": {"name": "u", "password": "x", "enabled": True, "email": "x", "default_project_id": project}}
            ],
            f"POST {v3}/users/{{user_id}}/password": [{"user": {"original_password": "a", "password": "b"}}],
            f"POST {v3}/groups": [{"group": {"name": "g", "description": "", "domain_id": "default"}}],
            f"PATCH {v3}/groups/{{group_id}}": [{"group": {"name": "g", "description": ""}}],
            f"POST {v3}/roles": [{"role": {"name": "r", "domain_id": None, "description": "", "options": {}}}],
            f"PATCH {v3}/roles/{{role_id}}": [{"role": {"name": "r", "description": ""}}],
            f"POST {v3}/regions": [{"region": {"id": "r", "description": "", "parent_region_id": None}}],
            f"PUT {v3}/regions/{{region_id}}": [{"region": {"description": ""}}],
            f"PATCH {v3}/regions/{{region_id}}": [{"region": {"description": "", "parent_region_id": "hostile"}}],
            f"POST {v3}/services": [{"service": {"type": "t", "name": "n", "description": "", "enabled": True}}],
            f"PATCH {v3}/services/{{service_id}}": [{"service": {"type": "t", "name": "n", "enabled": False}}],
            f"POST {v3}/endpoints": [
                {
                    "endpoint": {
                        "service_id": ids["identity:services"],
                        "interface": "public",
                        "url": "http://x/$(project_id)s",
                        "region_id": "hostile",
                    }
                }
            ],
            f"PATCH {v3}/endpoints/{{endpoint_id}}": [
                {"endpoint": {"url": "http://x/%(tenant_id)s", "enabled": False}}
            ],
            f"POST {v3}/registered_limits": [
                {
                    "registered_limits": [
                        {
                            "service_id": ids["identity:services"],
                            "resource_name": "n",
                            "default_limit": 1,
                            "description": "",
                        }
                    ]
                }
            ],
            f"PATCH {v3}/registered_limits/{{limit_id}}": [{"registered_limit": {"default_limit": 3}}],
            f"POST {v3}/limits": [
                {
                    "limits": [
                        {
                            "service_id": ids["identity:services"],
                            "resource_name": "thing",
                            "resource_limit": 1,
                            "project_id": project,
                        }
                    ]
                }
            ],
            f"PATCH {v3}/limits/{{limit_id}}": [{"limit": {"resource_limit": 3, "description": ""}}],
            f"POST {v3}/users/{{user_id}}/application_credentials": [
                {
                    "application_credential": {
                        "name": "a",
                        "secret": "s",
                        "description": "",
                        "expires_at": "2099-01-01T00:00:00",
                        "unrestricted": False,
                        "roles": [{"name": "member"}],
                        "access_rules": [{"service": "x", "method": "GET", "path": "/**"}],
                    }
                }
            ],
            f"POST {v3}/credentials": [
                {
                    "credential": {
                        "type": "ec2",
                        "blob": '{"access": "a", "secret": "s"}',
                        "user_id": user,
                        "project_id": project,
                    }
                }
            ],
            f"PATCH {v3}/credentials/{{credential_id}}": [{"credential": {"type": "x", "blob": "y", "user_id": user}}],
            f"POST {v3}/users/{{user_id}}/credentials/OS-EC2": [{"tenant_id": project}],
            f"POST {v3}/OS-TRUST/trusts": [
                {
                    "trust": {
                        "trustor_user_id": user,
                        "trustee_user_id": user,
                        "impersonation": True,
                        "project_id": project,
                        "expires_at": "2099-01-01T00:00:00.000000Z",
                        "remaining_uses": 3,
                        "roles": [{"name": "member"}],
                        "allow_redelegation": True,
                        "redelegation_count": 2,
                    }
                }
            ],
        }.items()
    }


def _network(ids: Mapping[str, str], project: str) -> dict[str, list[Any]]:
    net, subnet, port, group = (ids[f"network:{name}"] for name in ("networks", "subnets", "ports", "security-groups"))
    external = ids["network:external"]
    plain: dict[str, list[Any]] = {
        "networks": [
            {
                "network": {
                    "name": "n",
                    "description": "d",
                    "admin_state_up": True,
                    "shared": False,
                    "router:external": False,
                    "mtu": 1400,
                    "dns_domain": "a.example.",
                    "port_security_enabled": True,
                    "availability_zone_hints": ["nova"],
                    "provider:network_type": "geneve",
                    "provider:segmentation_id": 77,
                    "is_default": False,
                    "provider:physical_network": None,
                    "project_id": project,
                    "tenant_id": project,
                    "vlan_transparent": True,
                }
            },
            {
                "network": {
                    "segments": [
                        {
                            "provider:network_type": "geneve",
                            "provider:segmentation_id": 78,
                            "provider:physical_network": None,
                        }
                    ],
                }
            },
        ],
        "subnets": [
            {
                "subnet": {
                    "name": "s",
                    "network_id": net,
                    "cidr": "10.44.0.0/24",
                    "ip_version": 4,
                    "gateway_ip": "10.44.0.1",
                    "allocation_pools": [{"start": "10.44.0.5", "end": "10.44.0.9"}],
                    "dns_nameservers": ["10.44.0.2"],
                    "host_routes": [{"destination": "10.45.0.0/24", "nexthop": "10.44.0.3"}],
                    "enable_dhcp": True,
                    "dns_publish_fixed_ip": True,
                    "description": "",
                }
            },
            {
                "subnet": {
                    "network_id": net,
                    "cidr": "fd00:1::/64",
                    "ip_version": 6,
                    "ipv6_ra_mode": "slaac",
                    "ipv6_address_mode": "slaac",
                }
            },
            {
                "subnet": {
                    "network_id": net,
                    "subnetpool_id": ids["network:subnetpools"],
                    "prefixlen": 26,
                    "ip_version": 4,
                }
            },
        ],
        "ports": [
            {
                "port": {
                    "name": "p",
                    "network_id": net,
                    "admin_state_up": True,
                    "mac_address": "fa:16:3e:00:00:01",
                    "fixed_ips": [{"subnet_id": subnet, "ip_address": "10.9.0.77"}],
                    "security_groups": [group],
                    "device_id": "",
                    "device_owner": "",
                    "allowed_address_pairs": [{"ip_address": "10.9.0.99", "mac_address": "fa:16:3e:00:00:02"}],
                    "dns_name": "p",
                    "description": "",
                    "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
                    "port_security_enabled": True,
                    "binding:vnic_type": "normal",
                    "binding:host_id": "h1",
                    "binding:profile": {"a": 1},
                }
            }
        ],
        "routers": [
            {
                "router": {
                    "name": "r",
                    "admin_state_up": True,
                    "description": "",
                    "distributed": False,
                    "ha": False,
                    "availability_zone_hints": ["nova"],
                    "external_gateway_info": {
                        "network_id": external,
                        "enable_snat": True,
                        "external_fixed_ips": [{"ip_address": "203.0.113.50"}],
                    },
                }
            }
        ],
        "floatingips": [
            {
                "floatingip": {
                    "floating_network_id": external,
                    "port_id": port,
                    "fixed_ip_address": None,
                    "description": "",
                    "floating_ip_address": "203.0.113.51",
                    "dns_name": "",
                    "dns_domain": "",
                }
            }
        ],
        "security-groups": [{"security_group": {"name": "g", "description": "", "stateful": True}}],
        "security-group-rules": [
            {
                "security_group_rule": {
                    "security_group_id": group,
                    "direction": "ingress",
                    "ethertype": "IPv4",
                    "protocol": "udp",
                    "port_range_min": 5,
                    "port_range_max": 9,
                    "remote_ip_prefix": "10.0.0.0/8",
                    "description": "",
                }
            },
            {
                "security_group_rule": {
                    "security_group_id": group,
                    "direction": "egress",
                    "protocol": "icmp",
                    "port_range_min": 8,
                    "port_range_max": 0,
                    "remote_group_id": group,
                }
            },
        ],
        "subnetpools": [
            {
                "subnetpool": {
                    "name": "p",
                    "prefixes": ["10.50.0.0/16"],
                    "default_prefixlen": 26,
                    "min_prefixlen": 8,
                    "max_prefixlen": 30,
                    "default_quota": 100,
                    "shared": False,
                    "is_default": False,
                }
            }
        ],
    }
    found: dict[str, list[Any]] = {}
    for name, created in plain.items():
        found[f"network POST /v2.0/{name}"] = created
        found[f"network PUT /v2.0/{name}/{{id}}"] = [
            {
                key: {
                    a: value for a, value in inner.items() if a not in FIXED and (name, a) != ("subnetpools", "shared")
                }
                for key, inner in body.items()
            }
            for body in created[:1]
        ]
        if name == "security-group-rules":
            continue
        found[f"network PUT /v2.0/{name}/{{id}}/tags"] = [{"tags": ["a", "b"]}]
        found[f"network POST /v2.0/{name}/{{id}}/tags"] = [{"tags": ["a", "b"]}]
    one = "network PUT /v2.0/routers/{id}"
    routes = [{"destination": "10.60.0.0/24", "nexthop": "10.9.0.5"}]
    return {
        **found,
        f"{one}/add_router_interface": [{"subnet_id": subnet}, {"port_id": port}],
        f"{one}/remove_router_interface": [{"subnet_id": subnet}, {"port_id": port}],
        f"{one}/add_extraroutes": [{"router": {"routes": routes}}],
        f"{one}/remove_extraroutes": [{"router": {"routes": routes}}],
        **{f"{one}/{change}_external_gateways": [{"router": {"external_gateways": [
            {"network_id": external, "enable_snat": True, "external_fixed_ips": [{"ip_address": "203.0.113.52"}]}]}}]
           for change in ("add", "update", "remove")},
        "network POST /v2.0/security-groups-default-statefulness": [
            {"security_groups_default_statefulness": {"project_id": None, "stateful": True}}],
        "network PUT /v2.0/security-groups-default-statefulness/{id}": [
            {"security_groups_default_statefulness": {"stateful": False}}],
        "network POST /v2.0/segments": [{"segment": {
            "network_id": ids["network:networks"], "network_type": "geneve", "physical_network": None,
            "segmentation_id": 79, "name": "s", "description": "x"}}],
        "network PUT /v2.0/segments/{id}": [{"segment": {"name": "s", "description": "x"}}],
        "network POST /v2.0/flavors": [{"flavor": {
            "name": "f", "description": "x", "service_type": "QOS", "service_profiles": [], "enabled": True}}],
        "network PUT /v2.0/flavors/{id}": [{"flavor": {"name": "f", "description": "x", "enabled": True}}],
        "network POST /v2.0/flavors/{id}/service_profiles": [{"service_profile": {"id": NOBODY}}],
        "network POST /v2.0/service_profiles": [{"service_profile": {
            "description": "x", "driver": "", "metainfo": "{}", "enabled": True}}],
        "network PUT /v2.0/service_profiles/{id}": [{"service_profile": {"description": "x", "enabled": False}}],
        "network PUT /v2.0/quotas/{project}": [{"quota": {"network": 5, "port": -1, "floatingip": 7}}],
        "network PUT /v2.0/agents/{id}": [{"agent": {"admin_state_up": False, "description": "x"}}],
    }


def _image(ids: Mapping[str, str], project: str) -> dict[str, list[Any]]:
    one = "/v2/images/{image_id}"
    return {
        "image POST /v2/images": [
            {
                "name": "i",
                "disk_format": "qcow2",
                "container_format": "bare",
                "visibility": "private",
                "min_disk": 1,
                "min_ram": 1,
                "protected": False,
                "tags": ["a"],
                "os_hidden": False,
                "id": NOBODY,
                "owner": project,
                "hw_disk_bus": "virtio",
                "other": "x",
            }
        ],
        f"image PATCH {one}": [
            [{"op": "replace", "path": "/name", "value": "x"}, {"op": "add", "path": "/a~1b", "value": "y"}],
            [{"op": "remove", "path": "/secret"}],
            [{"op": "replace", "path": "/tags", "value": ["x"]}],
            [{"op": "replace", "path": "/visibility", "value": "public"}],
            [{"op": "replace", "path": "/min_disk", "value": 3}],
            [{"op": "add", "path": "/locations/-", "value": {"url": "file:///etc/passwd", "metadata": {}}}],
            [{"op": "replace", "path": "/owner", "value": "elsewhere"}],
        ],
        f"image POST {one}/locations": [{"url": "file:///etc/passwd", "validation_data": {}}],
        f"image POST {one}/members": [{"member": "other"}],
        f"image PUT {one}/members/{{member_id}}": [{"status": "accepted"}],
        f"image POST {one}/import": [
            {"method": {"name": "web-download", "uri": "http://169.254.169.254/latest/meta-data/"}},
            {"method": {"name": "glance-direct"}},
            {"method": {"name": "copy-image"}, "stores": ["local"]},
        ],
        "image POST /v2/tasks": [
            {
                "type": "import",
                "input": {
                    "import_from": "http://127.0.0.1:22/",
                    "import_from_format": "raw",
                    "image_properties": {"name": "x"},
                },
            }
        ],
    }


def _compute(ids: Mapping[str, str], image: str, project: str) -> dict[str, list[Any]]:
    v, net = "/v2.1", ids["network:networks"]
    hints = {"group": ids["compute:os-server-groups"], "same_host": [ids["compute:servers"]]}
    found: dict[str, list[Any]] = {
        f"POST {v}/servers": [
            {
                "server": {
                    "name": "s",
                    "imageRef": image,
                    "flavorRef": "42",
                    "networks": [{"uuid": net, "fixed_ip": "10.9.0.70"}],
                    "metadata": {"a": "b"},
                    "key_name": ids["compute:os-keypairs"],
                    "user_data": "YQ==",
                    "min_count": 1,
                    "max_count": 2,
                    "config_drive": True,
                    "security_groups": [{"name": "default"}],
                    "description": "d",
                    "tags": ["a"],
                    "availability_zone": "nova",
                    "accessIPv4": "10.0.0.1",
                    "hostname": "h",
                    "block_device_mapping_v2": [
                        {
                            "boot_index": 0,
                            "uuid": image,
                            "source_type": "image",
                            "destination_type": "local",
                            "delete_on_termination": True,
                        }
                    ],
                },
                "os:scheduler_hints": hints,
            },
            {
                "server": {
                    "name": "s",
                    "imageRef": image,
                    "flavorRef": 42,
                    "networks": [{"port": ids["network:ports"], "tag": "t"}],
                }
            },
        ],
        f"PUT {v}/servers/{{id}}": [
            {
                "server": {
                    "name": "n",
                    "description": "d",
                    "accessIPv4": "10.0.0.1",
                    "accessIPv6": "::1",
                    "OS-DCF:diskConfig": "AUTO",
                }
            }
        ],
        f"POST {v}/servers/{{id}}/action": _actions(ids, image),
        f"POST {v}/servers/{{id}}/metadata": [{"metadata": {"a": "b"}}],
        f"PUT {v}/servers/{{id}}/metadata": [{"metadata": {"a": "b"}}],
        f"PUT {v}/servers/{{id}}/metadata/{{key}}": [{"meta": {"color": "b"}}],
        f"PUT {v}/servers/{{id}}/tags": [{"tags": ["a", "b"]}],
        f"POST {v}/servers/{{id}}/os-interface": [
            {"interfaceAttachment": {"net_id": net, "fixed_ips": [{"ip_address": "10.9.0.88"}], "tag": "x"}},
            {"interfaceAttachment": {"port_id": ids["network:ports"]}},
        ],
        f"POST {v}/servers/{{id}}/os-volume_attachments": [
            {"volumeAttachment": {"volumeId": NOBODY, "device": "/dev/vdb"}}
        ],
        f"POST {v}/servers/{{id}}/remote-consoles": [{"remote_console": {"protocol": "vnc", "type": "novnc"}}],
        f"POST {v}/flavors": [
            {
                "flavor": {
                    "name": "f",
                    "ram": 64,
                    "vcpus": 1,
                    "disk": 1,
                    "id": "f",
                    "OS-FLV-EXT-DATA:ephemeral": 0,
                    "swap": 0,
                    "rxtx_factor": 1.0,
                    "os-flavor-access:is_public": True,
                    "description": "d",
                }
            }
        ],
        f"PUT {v}/flavors/{{flavor}}": [{"flavor": {"description": "d"}}],
        f"POST {v}/flavors/{{flavor}}/action": [
            {"addTenantAccess": {"tenant": project}},
            {"removeTenantAccess": {"tenant": project}},
        ],
        f"POST {v}/flavors/{{flavor}}/os-extra_specs": [{"extra_specs": {"hw:cpu_policy": "shared", "a": "1"}}],
        f"PUT {v}/flavors/{{flavor}}/os-extra_specs/{{key}}": [{"a": "b"}],
        f"POST {v}/os-keypairs": [{"keypair": {"name": "k", "public_key": KEY, "type": "ssh", "user_id": "x"}}],
        f"PUT {v}/os-quota-sets/{{project}}": [{"quota_set": {"cores": 5, "ram": -1, "force": True, "instances": 3}}],
        f"PUT {v}/os-quota-class-sets/{{name}}": [{"quota_class_set": {"cores": 5, "ram": -1}}],
        f"PUT {v}/os-services/{{service}}": [
            {"status": "disabled", "disabled_reason": "x", "forced_down": False},
            {"host": "h1", "binary": "nova-compute", "disabled_reason": "x"},
        ],
        f"POST {v}/os-aggregates": [{"aggregate": {"name": "a", "availability_zone": "z"}}],
        f"PUT {v}/os-aggregates/{{aggregate}}": [{"aggregate": {"name": "b", "availability_zone": "z"}}],
        f"POST {v}/os-aggregates/{{aggregate}}/action": [
            {"add_host": {"host": "h1"}},
            {"remove_host": {"host": "h1"}},
            {"set_metadata": {"metadata": {"a": "b"}}},
        ],
        f"POST {v}/os-aggregates/{{aggregate}}/images": [{"cache": [{"id": image}]}],
        f"POST {v}/os-server-groups": [
            {"server_group": {"name": "g", "policies": ["affinity"]}},
            {"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}}},
        ],
        f"POST {v}/os-floating-ips": [{"pool": "public"}],
        f"POST {v}/os-security-groups": [{"security_group": {"name": "g", "description": "d"}}],
        f"PUT {v}/os-security-groups/{{group}}": [{"security_group": {"name": "g", "description": "d"}}],
        f"POST {v}/os-security-group-rules": [
            {
                "security_group_rule": {
                    "parent_group_id": ids["network:security-groups"],
                    "ip_protocol": "tcp",
                    "from_port": 1,
                    "to_port": 2,
                    "cidr": "10.0.0.0/8",
                    "group_id": None,
                }
            }
        ],
        f"POST {v}/os-server-external-events": [
            {
                "events": [
                    {
                        "name": "network-changed",
                        "server_uuid": ids["compute:servers"],
                        "tag": "x",
                        "status": "completed",
                    }
                ]
            }
        ],
    }
    return {f"compute {name}": one for name, one in found.items()}


def _actions(ids: Mapping[str, str], image: str) -> list[Any]:
    address, net = ids["floating address"], ids["network:networks"]
    plain = (
        "os-start",
        "os-stop",
        "pause",
        "unpause",
        "suspend",
        "resume",
        "lock",
        "unlock",
        "confirmResize",
        "revertResize",
        "forceDelete",
        "restore",
        "resetNetwork",
        "injectNetworkInfo",
        "shelve",
        "unshelve",
        "shelveOffload",
        "migrate",
        "rescue",
        "unrescue",
        "trigger_crash_dump",
        "createBackup",
        "evacuate",
        "os-migrateLive",
    )
    return [
        *({name: None} for name in plain),
        {"reboot": {"type": "SOFT"}},
        {"os-getConsoleOutput": {"length": 5}},
        {"resize": {"flavorRef": "1", "OS-DCF:diskConfig": "AUTO"}},
        {
            "rebuild": {
                "imageRef": image,
                "name": "x",
                "metadata": {"a": "b"},
                "adminPass": "x",
                "accessIPv4": "10.0.0.1",
                "preserve_ephemeral": False,
            }
        },
        {"createImage": {"name": "i", "metadata": {"a": "b"}}},
        {"changePassword": {"adminPass": "x"}},
        {"addFloatingIp": {"address": address, "fixed_address": "10.9.0.5"}},
        {"removeFloatingIp": {"address": address}},
        {"addFixedIp": {"networkId": net}},
        {"removeFixedIp": {"address": "10.9.0.5"}},
        {"addSecurityGroup": {"name": f"sg {MARK}"}},
        {"removeSecurityGroup": {"name": "default"}},
        {"os-resetState": {"state": "active"}},
        {"lock": {"locked_reason": "x"}},
        {"os-getVNCConsole": {"type": "novnc"}},
    ]
