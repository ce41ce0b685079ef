"""What a cluster is: ``cluster.toml``, the same file on every machine. Unknown keys are errors.

Secrets are not in it (``secrets.py``), nor is which machine this is (``paths.Paths.name``).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from stackling.deploy import federation, image_stores

PUBLIC_PORT, INTERNAL_PORT = 8700, 8701
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62})")


class ClusterError(Exception):
    """The description can't be used; the message says why and what to do next."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the description's parts."""


class Machine(Struct, frozen=True):
    """One machine. Addresses are IPv4; ``storage`` and ``tenant`` default to the management ``address``.

    ``control`` machines run the database, the message broker, OVN's databases and the control plane, and are full
    cluster members; others are members by pacemaker_remote. ``compute`` machines run servers. ``fence`` holds what
    the fence agent needs to know of this machine (as ``{"port" = "m1"}``), apart from secrets.
    """

    name: str
    address: str
    storage: str = ""
    tenant: str = ""
    control: bool = True
    compute: bool = True
    fence: dict[str, str] = {}

    @property
    def storage_address(self) -> str:
        """Its address on the storage network."""
        return self.storage or self.address

    @property
    def tenant_address(self) -> str:
        """Its address on the network of tunnels."""
        return self.tenant or self.address


class Fencing(Struct, frozen=True):
    """How machines are switched off: a fence agent (``fence_ipmilan`` …) and what it needs for all of them.

    An empty ``agent`` means that there is no fencing: then nothing is ever evacuated automatically. ``return_after``:
    seconds after its loss when a machine that was fenced is switched on again, once; 0: somebody does that.
    """

    agent: str = ""
    parameters: dict[str, str] = {}
    return_after: int = 0


class External(Struct, frozen=True):
    """The external network: ``device`` is the interface of each machine that is handed over to it ("": none)."""

    range: str = "172.24.4.0/24"
    gateway: str = ""
    pool: str = ""
    device: str = ""


class Storage(Struct, frozen=True):
    """Where images and servers' disks lie: ``local`` directories or ``rbd`` pools (see ``stackling storage``). Disks
    also in ``disk_directory``, which all machines have mounted, and which has the cluster's ``disk_directory_id``.
    A cluster has volumes where they are ``rbd``; backups go to a pool, or to ``backup_directory``, a file system that
    all control machines have mounted there."""

    disks: Literal["local", "rbd", "directory"] = "local"
    images: Literal["local", "rbd"] = "local"
    disk_pool: str = "stackling-disks"
    disk_directory: str = ""
    disk_directory_id: str = ""
    volumes: Literal["local", "rbd"] = "local"
    image_pool: str = "stackling-images"
    volume_pool: str = "stackling-volumes"
    backup_pool: str = "stackling-backups"
    backup_directory: str = ""


class Cluster(Struct, frozen=True):
    """The whole file. ``virtual_ip`` is in CIDR form, on the management network.

    ``driver`` "simulated" runs no real servers and needs no libvirt and no OVN: to try the control plane alone.
    """

    name: str
    virtual_ip: str
    machines: tuple[Machine, ...]
    region: str = "RegionOne"
    external: External = External()
    fencing: Fencing = Fencing()
    storage: Storage = Storage()
    driver: Literal["libvirt", "simulated"] = "libvirt"
    take_over: Literal["evacuate", "identity"] = "evacuate"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trusted_dashboards: tuple[str, ...] = ()
    identity_providers: dict[str, dict[str, Any]] = {}
    image_stores: dict[str, dict[str, Any]] = {}
    web_download: bool = False
    glance_download: bool = False
    resume_guests_state_on_host_boot: bool = True

    @property
    def own_image_store(self) -> str:
        """The name of the image store that the cloud has by itself."""
        return "local" if self.storage.images == "local" else "ceph"

    @property
    def control(self) -> tuple[Machine, ...]:
        """The control machines, in the order of the file."""
        return tuple(machine for machine in self.machines if machine.control)

    @property
    def compute(self) -> tuple[Machine, ...]:
        """The machines that run servers."""
        return tuple(machine for machine in self.machines if machine.compute)

    @property
    def public_url(self) -> str:
        """How clients reach the APIs."""
        return f"https://{self.virtual_ip.partition('/')[0]}:{PUBLIC_PORT}"

    @property
    def internal_urls(self) -> tuple[str, ...]:
        """How agents reach the control machines; any will do."""
        return tuple(f"https://{machine.address}:{INTERNAL_PORT}" for machine in self.control)

    def machine(self, name: str) -> Machine:
        """By name; raises ``ClusterError``."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise ClusterError(f"there is no machine {name!r} in cluster {self.name}; there are "
                           f"{', '.join(machine.name for machine in self.machines)}")


def read(path: Path) -> Cluster:
    """The cluster in *path*. Raises ``ClusterError``."""
    try:
        return check(msgspec.convert(tomllib.loads(path.read_text()), Cluster))
    except FileNotFoundError:
        raise ClusterError(f"{path} doesn't exist: this machine is in no cluster; run `stackling cluster init` or "
                           "`stackling cluster join`") from None
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ClusterError(f"{path}: {error}") from None


def check(cluster: Cluster) -> Cluster:
    """*cluster* itself when it makes sense; raises ``ClusterError``."""
    for name in (cluster.name, *(machine.name for machine in cluster.machines)):
        if not _NAME.fullmatch(name):
            raise ClusterError(f"{name!r} must be lower-case letters, digits and hyphens")
    seen: set[str] = set()
    for machine in cluster.machines:
        for word in (machine.name, _address(machine.address)):
            if word in seen:
                raise ClusterError(f"{word} belongs to two machines")
            seen.add(word)
        _address(machine.storage_address)
        _address(machine.tenant_address)
    if not cluster.control:
        raise ClusterError("a cluster needs at least one control machine")
    try:
        virtual = ipaddress.IPv4Interface(cluster.virtual_ip)
        ipaddress.IPv4Network(cluster.external.range)
        federation.check(cluster.identity_providers, cluster.trusted_dashboards)
        image_stores.settings(cluster.image_stores, cluster.own_image_store)
    except ValueError as error:
        raise ClusterError(str(error)) from None
    if cluster.fencing.return_after < 0:
        raise ClusterError("fencing: return_after is a number of seconds, or 0 for never")
    storage = cluster.storage
    if storage.disks == "directory" and not (storage.disk_directory.startswith("/") and storage.disk_directory_id):
        raise ClusterError("storage: disks = \"directory\" is set by `stackling storage add directory PATH`, which "
                           "proves that the directory is shared")
    if str(virtual.ip) in seen:
        raise ClusterError(f"virtual_ip {virtual.ip} is a machine's own address")
    return cluster


def write(cluster: Cluster) -> str:
    """*cluster* as the text of ``cluster.toml``."""
    from stackling.deploy.cluster.toml import toml

    return "# The cluster; the same file on every machine.\n" + toml(msgspec.to_builtins(cluster))


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ClusterError(f"{text!r} is not an IPv4 address") from None


