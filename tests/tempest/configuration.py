"""What tempest is told about the cloud. What can be seen through the APIs is read there; the rest stands here."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

from tests.tempest.cloud import SECURITY, Client, Prepared

# What a simulated cloud lacks, with the reason. Everything else that tempest asks about is said to be there.
ABSENT: dict[str, dict[str, Any]] = {
    "validation": {"run_validation": False},  # a simulated server has nothing to log in to
    "compute-feature-enabled": {
        "spice_console": False,
        "swap_volume": False,  # gone upstream for users
        "unified_limits": False,
    },
    "identity-feature-enabled": {"domain_specific_drivers": False},  # users live in one database
    "image-feature-enabled": {
        "image_format_enforcement": False,  # set so for this cloud, since tempest's images are random data
        "manage_locations": False,  # upstream's default as well: locations are secret
        "http_store_enabled": False,
        "image_conversion": False,
    },
    # Octavia's plugin, where it is installed: as upstream's job of the OVN provider has it
    "loadbalancer-feature-enabled": {
        "not_implemented_is_error": False,  # what the provider lacks (layer 7, TLS, ...) is refused with 501
        "l7_protocol_enabled": False,
        "pool_algorithms_enabled": False,
        "session_persistence_enabled": False,
    },
}
PRESENT: dict[str, dict[str, Any]] = {
    "compute-feature-enabled": {
        "change_password": True,
        "resize": True,
        "pause": True,
        "suspend": True,
        "console_output": True,
        "personality": True,
        "config_drive": True,
        "metadata_service": True,
        "interface_attach": True,
        "enable_instance_password": True,
        "snapshot": True,
        "shelve": True,
        "rescue": True,
        "stable_rescue": True,
        "ide_bus": True,
        "cold_migration": True,
        "live_migration": True,
        "block_migration_for_live_migration": True,
        "volume_backed_live_migration": True,
        "nova_policy_roles": "member,reader,manager",
        "vnc_console": True,
        "serial_console": False,  # the one test of it can't pass: it sends text where bytes are wanted
        "hostname_fqdn_sanitization": True,
        "attach_encrypted_volume": True,
        "scheduler_enabled_filters": "all",
    },
    "enforce_scope": dict.fromkeys(("cinder", "glance", "keystone", "neutron", "nova", "placement"), True),
    "network-feature-enabled": {
        "ipv6": True,
        "ipv6_subnet_attributes": True,
        "floating_ips": True,
        "port_security": True,
        "port_admin_state_change": True,
    },
    "volume": {
        "build_interval": 1,
        "build_timeout": 60,
        "vendor_name": "Stackling",
        "min_microversion": "3.0",
        "max_microversion": "latest",
        "backup_driver": "posix",
    },
    "volume-feature-enabled": {
        "manage_volume": True,
        "manage_snapshot": True,
        "volume_revert": True,
        "extend_attached_volume": True,
        "extend_attached_encrypted_volume": True,
        "consistency_group": True,
    },
    "image-feature-enabled": {"store_weight_enabled": True},
    "neutron_plugin_options": {
        "available_type_drivers": "flat,geneve,vlan",
        "create_shared_resources": True,
        "agent_availability_zone": "nova",
    },
    "load_balancer": {
        "RBAC_test_type": "keystone_default_roles",
        "enable_security_groups": True,
        "build_interval": 0.2,
        "check_interval": 0.2,
        "lb_build_interval": 0.2,
        "check_timeout": 60,
        "lb_build_timeout": 60,
    },
    "identity-feature-enabled": {"trust": True, "access_rules": True, "security_compliance": True},
}
# What is different in a real cloud of one machine, whose servers can be logged in to.
REAL: dict[str, dict[str, Any]] = {
    "validation": {
        "run_validation": True,
        "connect_method": "floating",
        "image_ssh_user": "root",
        "image_alt_ssh_user": "root",
        "ssh_timeout": 900,
        "ping_timeout": 300,
        "connect_timeout": 60,
    },
    "scenario": {
        "dhcp_client": "udhcpc",
        "target_dir": "/root",  # /tmp is in memory
        "img_disk_format": "qcow2",
    },
    "compute": {
        "build_interval": 2,
        "build_timeout": 900,
        "target_hosts_to_avoid": "none",  # by default every host with a hyphen in its name
    },
    "network": {"build_interval": 2, "build_timeout": 900, "project_networks_reachable": False},
    "image": {"build_interval": 2, "build_timeout": 900},
    "compute-feature-enabled": {
        "cold_migration": False,  # one host
        "live_migration": False,
        "block_migration_for_live_migration": False,
        "volume_backed_live_migration": False,
        "change_password": False,  # the guest lets nobody in by password
        "personality": False,  # such files are in the config drive, for which the tests don't ask
    },
    "volume": {"build_interval": 2, "build_timeout": 900},
}
SERVICES = {"cinder": "volumev3", "neutron": "network", "glance": "image", "nova": "compute", "swift": "object-store"}


def write(path: Path, client: Client, prepared: Prepared, hosts: int, guest: Path | None = None) -> None:
    """Write tempest's configuration file for the cloud that *client* speaks to; *guest*: the image, in a real one."""
    parser = configparser.RawConfigParser({"log_file": str(path.with_name("tempest.log"))})
    sections = _sections(path, client, prepared, hosts)
    if guest is not None:
        for table in (REAL, {"scenario": {"img_file": guest}}):
            for section, options in table.items():
                sections.setdefault(section, {}).update(options)
    for section, options in sections.items():
        parser.add_section(section)
        for name, value in options.items():
            parser.set(section, name, str(value))
    path.touch(mode=0o600)
    with path.open("w") as file:
        parser.write(file)


def _sections(path: Path, client: Client, prepared: Prepared, hosts: int) -> dict[str, dict[str, Any]]:
    auth = client.auth
    sections: dict[str, dict[str, Any]] = {
        "oslo_concurrency": {"lock_path": path.parent / "lock"},
        "auth": {
            "use_dynamic_credentials": True,
            "create_isolated_networks": True,
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": auth["project_name"],
            "admin_domain_name": auth["project_domain_name"],
        },
        "identity": {
            "auth_version": "v3",
            "uri_v3": auth["auth_url"],
            "region": client.region,
            **{f"user_{name}": value for name, value in SECURITY.items()},
        },
        "compute": {
            "image_ref": prepared.images[0],
            "image_ref_alt": prepared.images[1],
            "flavor_ref": prepared.flavors[0],
            "flavor_ref_alt": prepared.flavors[1],
            "min_compute_nodes": hosts,
            "shelved_offload_time": 0,
            "max_microversion": "latest",
            "build_interval": 1,
            "build_timeout": 60,
            "ready_wait": 0,
        },
        "network": {
            "public_network_id": prepared.public_network,
            "floating_network_name": prepared.public_network_name,
            "build_interval": 1,
            "build_timeout": 60,
        },
        "image": {"build_interval": 1, "build_timeout": 60},
        "volume": {"volume_type_multiattach": prepared.shared_type},
        "compute-feature-enabled": {"volume_multiattach": bool(prepared.shared_type)},
        "service_available": _services(client),
    }
    for table in (PRESENT, ABSENT, _seen(client)):
        for section, options in table.items():
            sections.setdefault(section, {}).update(options)
    return sections


def _services(client: Client) -> dict[str, bool]:
    return {name: client.has(type) for name, type in SERVICES.items()} | {"horizon": False}


def _seen(client: Client) -> dict[str, dict[str, Any]]:
    """What the APIs themselves tell."""
    seen: dict[str, dict[str, Any]] = {}
    if client.has("network"):
        extensions = client.get("network", "/v2.0/extensions")["extensions"]
        aliases = ",".join(sorted(entry["alias"] for entry in extensions))
        seen["network-feature-enabled"] = {"api_extensions": aliases}
    if client.has("image"):
        methods = client.get("image", "/v2/info/import")["import-methods"]["value"]
        seen["image-feature-enabled"] = {"import_image": bool(methods)}
    if client.has("volumev3"):
        pools = client.get("volumev3", "/v3/scheduler-stats/get_pools?detail=true")["pools"]
        names = [pool["capabilities"]["volume_backend_name"] for pool in pools]
        seen["volume"] = {"backend_names": ",".join(names),
                          "storage_protocol": pools[0]["capabilities"]["storage_protocol"]}
        seen["volume-feature-enabled"] = {"multi_backend": len(names) > 1}
    if client.has("load-balancer"):
        drivers = client.get("load-balancer", "/v2.0/lbaas/providers")["providers"]
        enabled = ",".join(f"{one['name']}:{one['description']}" for one in drivers)
        seen["load_balancer"] = {"provider": drivers[0]["name"], "enabled_provider_drivers": enabled}
    return seen
