"""What administrators are shown of the configuration. Secrets are not in it; tables, which may lead to some, are shown
key by key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from typing import Any

from stackling.api.stackling.settings import Setting
from stackling.deploy.cluster.description import Cluster
from stackling.deploy.embedded.configuration import HELP, Configuration
from stackling.ports.oidc import ProviderSettings

_GROUPS = {
    "Cloud": ("driver", "instance", "machine", "hosts", "region", "log_level", "durable", "engine_lease"),
    "APIs": ("public_url", "listen", "port", "trusted_dashboards"),
    "External network": ("access", "uplink", "floating_range", "floating_gateway", "floating_pool"),
    "Servers": ("disks", "disk_pool", "simulated_disks", "shelved_offload_time",
                "resume_guests_state_on_host_boot"),
    "Images": ("images", "image_pool", "web_download", "glance_download", "require_image_format_match"),
    "Volumes": ("volumes", "volume_pool"),
    "Identity": ("lockout_failure_attempts", "lockout_duration", "unique_last_password_count"),
}
_CLUSTER = {
    "name": "the name of the cluster", "virtual_ip": "where clients reach the APIs, in CIDR form",
    "driver": HELP["driver"], "region": HELP["region"], "log_level": HELP["log_level"],
    "take_over": 'what is done with the servers of a machine that is lost: "evacuate" (they are made elsewhere) or '
                 '"identity" (another machine takes the host over)',
    "trusted_dashboards": HELP["trusted_dashboards"],
    "resume_guests_state_on_host_boot": "whether servers that ran are started again after their machine has booted",
    "web_download": HELP["web_download"], "glance_download": HELP["glance_download"]}
_EXTERNAL = {"range": HELP["floating_range"], "gateway": HELP["floating_gateway"], "pool": HELP["floating_pool"],
             "device": "the interface of each machine that is handed over to the external network; empty: none"}
_STORAGE = {"disks": 'where servers\' disks lie: "local", "rbd" (in Ceph) or "directory" (one of all machines)',
            "disk_directory": "the directory of all machines", "disk_pool": HELP["disk_pool"], "images": HELP["images"],
            "image_pool": HELP["image_pool"], "volumes": HELP["volumes"], "volume_pool": HELP["volume_pool"],
            "backup_pool": "the pool of volumes' backups, without a directory for them",
            "backup_directory": "the directory of all control machines that backups lie in; empty: they lie in Ceph"}
_FENCING = {"agent": "the fence agent that switches machines off; empty: nothing is ever evacuated by itself",
            "return_after": "seconds after its loss when a machine that was fenced is switched on again; 0: somebody "
                            "does that"}
_KEPT_BACK = {"run_directory", "identity_providers"}
_PROVIDER = ("issuer", "client_id", "audiences", "scopes", "introspect")
"""The keys of an identity provider that say who it is, and let nobody in."""


def of_directory(configuration: Configuration, providers: Iterable[ProviderSettings]) -> tuple[Setting, ...]:
    """What ``stackling.toml`` says, or would say."""
    defaults = {one.name: one.default for one in fields(Configuration) if one.default is not MISSING}
    named = {name for names in _GROUPS.values() for name in names} | _KEPT_BACK
    rest = tuple(one.name for one in fields(Configuration)
                 if one.name not in named and isinstance(getattr(configuration, one.name), (str, int, float, bool)))
    own = [Setting(group, name, _plain(getattr(configuration, name)), _plain(defaults.get(name)), HELP.get(name, ""))
           for group, names in {**_GROUPS, "Other": rest}.items() for name in names]
    return (*own, *_providers(providers))


def of_cluster(cluster: Cluster, providers: Iterable[ProviderSettings]) -> tuple[Setting, ...]:
    """What ``cluster.toml`` says, or would say."""
    machines = [Setting("Machines", machine.name, ", ".join(
        role for role, has in (("control", machine.control), ("compute", machine.compute)) if has), None,
        f"at {machine.address}") for machine in cluster.machines]
    return (*_of("Cloud", cluster, _CLUSTER), *_of("Fencing", cluster.fencing, _FENCING),
            *_of("External network", cluster.external, _EXTERNAL), *_of("Storage", cluster.storage, _STORAGE),
            *machines, *_providers(providers))


def _of(group: str, struct: Any, names: dict[str, str]) -> list[Setting]:
    import msgspec

    defaults = {one.name: one.default for one in msgspec.structs.fields(struct) if one.default is not msgspec.NODEFAULT}
    return [Setting(group, name, _plain(getattr(struct, name)), _plain(defaults.get(name)), help)
            for name, help in names.items()]


def _providers(providers: Iterable[ProviderSettings]) -> list[Setting]:
    return [Setting("Identity providers", f"{one.id}.{name}", _without_user(_plain(getattr(one, name))))
            for one in providers for name in _PROVIDER if hasattr(one, name)]


def _without_user(value: Any) -> Any:
    """A URL without the name and password that somebody wrote into it."""
    return re.sub(r"//[^/@]*@", "//", value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)      # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value
