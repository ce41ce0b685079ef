"""The configuration of one cloud: written at the first ``up``, read once by each process. Unknown keys are errors."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from stackling.deploy import federation
from stackling.deploy import image_stores as image_stores_

Driver = Literal["simulated", "libvirt"]
Access = Literal["isolated", "host", "nat", "uplink"]
Place = Literal["local", "rbd"]
DEFAULT_PORT = 8700
MOST_WATCHED = 64
"""Simulated machines above which nobody watches their lives: they are there for their number."""

HELP = {
    "driver": 'what runs servers: "libvirt" (real ones) or "simulated"',
    "machine": "the name of this machine in the cloud, and of its host",
    "hosts": "how many hosts there are (simulated only)",
    "listen": "address on which the APIs listen",
    "port": "TCP port on which the APIs listen",
    "public_url": "how clients reach the APIs; stands in the catalog",
    "region": "the name of the region",
    "access": 'who reaches floating IPs: "isolated" (nobody), "host" (this machine), "nat" (and servers reach the '
              'world through it), "uplink" (the network of an interface)',
    "uplink": 'the interface that is handed over to the cloud, with access = "uplink"',
    "floating_range": "the external network's range, in CIDR form",
    "floating_gateway": "the external network's gateway; empty: its first address, which this machine gets",
    "floating_pool": 'the first and the last floating IP, as "172.24.4.10-172.24.4.200"; empty: all of the range',
    "instance": "the name of this cloud on this machine: namespaces and interfaces carry it",
    "run_directory": "where sockets are",
    "durable": "whether every commit is flushed to the disk (a power cut then loses nothing that was answered)",
    "engine_lease": "for how many seconds an engine's claim of a piece of work holds: then another engine takes over "
                    "what one that hangs has begun",
    "lockout_failure_attempts": "wrong passwords in a row after which a user is locked out; 0: never",
    "lockout_duration": "for how many seconds",
    "unique_last_password_count": "how many of a user's passwords, the new one included, must differ; 0: any may be "
                                  "used again",
    "web_download": "whether images may be fetched from URLs (http and https, never from private addresses)",
    "glance_download": "whether images may be fetched from the image services of other regions, as the catalog names "
                       "them (glance-download), which are told the token of who asks",
    "require_image_format_match": "whether image data must be what disk_format says; where it needn't, data that "
                                  "isn't is stored and nothing boots from it (dangerous data is refused always)",
    "shelved_offload_time": "for how many seconds a shelved server stays on its host; 0: not at all, -1: until it is "
                            "asked to leave",
    "resume_guests_state_on_host_boot": "whether servers that ran are started again after this machine has booted",
    "disks": 'where servers\' disks lie: "local", or "rbd" (in Ceph; see `stackling storage add ceph`)',
    "simulated_disks": 'where simulated servers\' disks lie: "shared" (all hosts reach them, as in Ceph), "directory" '
                       '(in a shared directory: moved only when the power reads off) or "local"',
    "images": 'where images lie: "local" or "rbd"',
    "volumes": 'where new volumes lie: "local" or "rbd"; those in the other place stay usable',
    "volume_pool": 'the pool of volumes, with volumes = "rbd"',
    "disk_pool": 'the pool of servers\' disks, with disks = "rbd"',
    "image_pool": 'the pool of images, with images = "rbd"',
    "log_level": "debug, info, warning or error",
    "trusted_dashboards": "the URLs of dashboards that may have a token sent after a login in the browser, as "
                          "https://dashboard.example.org/auth/websso/",
    "identity_providers": "OpenID Connect providers through which people may log in: a table "
                          "[identity_providers.NAME] each (see operations.md)",
    "image_stores": "more places for images, side by side with the one above: a table [image_stores.NAME] each "
                    "(see operations.md)",
}


class ConfigurationError(Exception):
    """The file can't be used. The message says which key of which file, and what it may be."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What ``stackling.toml`` says; the keys are explained in ``HELP``."""

    instance: str
    run_directory: str
    machine: str = "host-1"
    driver: Driver = "libvirt"
    hosts: int = 1
    listen: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    public_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    region: str = "RegionOne"
    access: Access = "host"
    uplink: str = ""
    floating_range: str = "172.24.4.0/24"
    floating_gateway: str = ""
    floating_pool: str = ""
    durable: bool = True
    engine_lease: int = 60
    lockout_failure_attempts: int = 0
    lockout_duration: int = 1800
    unique_last_password_count: int = 0
    web_download: bool = False
    glance_download: bool = False
    require_image_format_match: bool = True
    shelved_offload_time: int = 0
    resume_guests_state_on_host_boot: bool = True
    disks: Place = "local"
    simulated_disks: Literal["shared", "directory", "local"] = "shared"
    images: Place = "local"
    disk_pool: str = "stackling-disks"
    image_pool: str = "stackling-images"
    volumes: Place = "local"
    volume_pool: str = "stackling-volumes"
    log_level: str = "info"
    trusted_dashboards: Sequence[str] = ()
    identity_providers: federation.Tables = field(default_factory=dict[str, Mapping[str, Any]])
    """Through whom people may log in, by the id that the identity provider has in Identity; tables at the end."""
    image_stores: image_stores_.Tables = field(default_factory=dict[str, Mapping[str, Any]])
    """More stores of images by their names; tables at the end."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def simulated(self) -> bool:
        """Whether nothing outside of our processes is touched."""
        return self.driver == "simulated"

    @property
    def fails_over(self) -> bool:
        """Whether servers of a simulated machine that is lost are moved."""
        return self.simulated and 3 <= self.hosts <= MOST_WATCHED

    @property
    def host_names(self) -> tuple[str, ...]:
        """The names of the hosts in the API."""
        if not self.simulated:
            return (self.machine,)
        return tuple(f"host-{number}" for number in range(1, self.hosts + 1))

    @property
    def gateway(self) -> str:
        """The external network's gateway."""
        return self.floating_gateway or str(ipaddress.IPv4Network(self.floating_range)[1])

    @property
    def pool(self) -> tuple[str, str]:
        """The first and the last floating IP."""
        return pool(ipaddress.IPv4Network(self.floating_range), self.gateway, self.floating_pool)

    @property
    def own_image_store(self) -> str:
        """The name of the image store that the cloud has by itself."""
        return "local" if self.images == "local" else "ceph"

    def changed(self, **changes: Any) -> Configuration:
        """A copy with *changes*; raises ``ConfigurationError``."""
        return replace(self, **changes)


_NESTED = ("trusted_dashboards", "identity_providers", "image_stores")
_TABLES = ("identity_providers", "image_stores")
_CHOICES = {
    "driver": ("simulated", "libvirt"),
    "access": ("isolated", "host", "nat", "uplink"),
    "disks": ("local", "rbd"),
    "volumes": ("local", "rbd"),
    "simulated_disks": ("shared", "directory", "local"),
    "images": ("local", "rbd"),
    "log_level": ("debug", "info", "warning", "error"),
}


def _check(configuration: Configuration) -> None:
    for one in fields(configuration):
        if one.name in _NESTED:
            continue
        value = getattr(configuration, one.name)
        kind = {"int": int, "bool": bool}.get(str(one.type), str)
        if type(value) is not kind:
            raise ConfigurationError(f"{one.name} must be a {kind.__name__}, not {value!r}")
        choices = _CHOICES.get(one.name)
        if choices and value not in choices:
            raise ConfigurationError(f"{one.name} must be one of {', '.join(choices)}; it is {value!r}")
    try:
        federation.check(configuration.identity_providers, configuration.trusted_dashboards)
        object.__setattr__(configuration, "trusted_dashboards", tuple(configuration.trusted_dashboards))
        image_stores_.settings(configuration.image_stores, configuration.own_image_store)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if not 1 <= configuration.hosts <= 10_000:
        raise ConfigurationError(f"hosts must be between 1 and 10000; it is {configuration.hosts}")
    if configuration.hosts > 1 and configuration.driver == "libvirt":
        raise ConfigurationError("more than one host on this machine is possible only with --simulated")
    for name in ("lockout_failure_attempts", "lockout_duration", "unique_last_password_count"):
        if getattr(configuration, name) < 0:
            raise ConfigurationError(f"{name} must not be negative; it is {getattr(configuration, name)}")
    if not 5 <= configuration.engine_lease <= 3600:
        raise ConfigurationError(f"engine_lease must be between 5 and 3600 seconds; it is {configuration.engine_lease}")
    if not 1 <= configuration.port <= 65535:
        raise ConfigurationError(f"port must be between 1 and 65535; it is {configuration.port}")
    if (configuration.access == "uplink") != bool(configuration.uplink):
        raise ConfigurationError('uplink names an interface exactly when access is "uplink"')
    try:
        network = ipaddress.ip_network(configuration.floating_range)
    except ValueError as error:
        raise ConfigurationError(f"floating_range: {error}") from None
    if network.version != 4 or network.prefixlen > 29:
        raise ConfigurationError("floating_range must be an IPv4 network of at least 8 addresses, as 172.24.4.0/24")
    for name, addresses in (("floating_gateway", [configuration.gateway]), ("floating_pool", configuration.pool)):
        for address in addresses:
            try:
                inside = ipaddress.IPv4Address(address) in network
            except ValueError:
                inside = False
            if not inside:
                raise ConfigurationError(f"{name}: {address!r} is not an address in {network}")


def pool(network: ipaddress.IPv4Network, gateway: str, written: str) -> tuple[str, str]:
    """The first and the last floating IP: as *written* (``FIRST-LAST``), or all of *network* but the gateway."""
    if written:
        first, _, last = written.partition("-")
        return first.strip(), last.strip()
    inside = [network[1], network[-2]]
    address = ipaddress.IPv4Address(gateway)
    if address in inside:
        inside[inside.index(address)] += 1 if address == inside[0] else -1
    return str(inside[0]), str(inside[1])


def read(path: Path) -> Configuration:
    """The configuration in *path*. Raises ``ConfigurationError``, or ``FileNotFoundError`` before the first ``up``."""
    try:
        found = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    known = {one.name for one in fields(Configuration)}
    if unknown := sorted(set(found) - known):
        raise ConfigurationError(f"{path}: unknown key {unknown[0]!r}; there are {', '.join(sorted(known))}")
    try:
        return Configuration(**found)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except TypeError as error:
        raise ConfigurationError(f"{path}: {str(error).partition(') ')[2] or error}") from None


def write(path: Path, configuration: Configuration) -> None:
    """Replace *path*; a crash leaves the old file or the new one."""
    lines = ["# The configuration of this cloud. Stop the cloud before you change it.", ""]
    for one in fields(configuration):
        if one.name not in _TABLES:
            lines += [f"# {HELP[one.name]}", f"{one.name} = {toml(getattr(configuration, one.name))}", ""]
    for what in _TABLES:
        lines += [f"# {HELP[what]}", ""]
        for name, table in getattr(configuration, what).items():
            lines += [f"[{what}.{toml(name)}]"]
            lines += [f"{key} = {toml(value)}" for key, value in table.items()] + [""]
    replace_file(path, "\n".join(lines), 0o644)


def toml(value: Any) -> str:
    """*value* as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml(one) for one in value)}]"     # pyright: ignore[reportUnknownVariableType]
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def replace_file(path: Path, text: str, mode: int) -> None:
    """Write *path* with *mode* as a whole or not at all, and flush it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
