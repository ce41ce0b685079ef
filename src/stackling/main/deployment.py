"""What a process is part of, as one value: everything that its composition needs to know, wherever it was read.

``embedded.deployment`` makes it of one machine's state directory, ``cluster.deployment`` of a cluster's description and
a machine's secrets. What is chosen here is data; ``wiring`` makes the drivers of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackling.api.stackling.settings import Setting
from stackling.ha.model import Settings
from stackling.identity.facade import IdentityConfig
from stackling.main.tls import Tls
from stackling.network.facade import External
from stackling.ports.oidc import ProviderSettings

PHYSICAL_NETWORK = "public"


@dataclass(frozen=True, slots=True)
class Listener:
    """Where an API listens: a unix socket, or an address and port. *mutual*: every client must show a certificate.

    A TCP socket that the supervisor holds open is taken over instead of a new one (``server.listening``).
    """

    path: Path | None = None
    address: str = ""
    port: int = 0
    tls: Tls | None = None
    mutual: bool = False


# -- wake-ups

@dataclass(frozen=True, slots=True)
class LocalWakeups:
    """Unix datagrams in a directory."""

    directory: Path


@dataclass(frozen=True, slots=True)
class BrokerWakeups:
    """RabbitMQ at *addresses*, with the control machines' *identity* (PEM); between the processes of this *machine*
    a *directory*, which needs no broker."""

    addresses: tuple[str, ...]
    password: str = field(repr=False)
    identity: Path
    machine: str
    directory: Path


# -- the network

@dataclass(frozen=True, slots=True)
class SimulatedNetwork:
    """The simulated fabric, with its journal in a directory."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Northbound:
    """OVN's northbound database, and the southbound one, which is only read: remotes as OVSDB writes them,
    comma-separated."""

    remote: str
    tls: Tls | None = None
    southbound: str | None = None


# -- images

@dataclass(frozen=True, slots=True)
class LocalImages:
    """A directory; in a cluster also those of the other control machines, whose internal APIs are at *others*."""

    directory: Path
    others: tuple[tuple[str, int], ...] = ()
    control: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RbdImages:
    """A pool of a Ceph cluster, as a user (without ``client.``) with a keyring; ``before``: where images were put
    until then, and may still be."""

    conf: Path
    user: str
    keyring: Path
    pool: str
    before: LocalImages


@dataclass(frozen=True, slots=True)
class ImagePool:
    """A pool of a Ceph cluster, as a user (without ``client.``) with a keyring."""

    conf: Path
    user: str
    keyring: Path
    pool: str


@dataclass(frozen=True, slots=True)
class MoreImages:
    """One more store of images, in a directory (of somebody else's, in a cluster the same one everywhere) or a pool;
    without a *place* it says only how the cloud's own store of that name is described and preferred."""

    name: str
    place: Path | ImagePool | None = None
    description: str = ""
    weight: int = 0
    default: bool = False


# -- volumes

@dataclass(frozen=True, slots=True)
class LocalVolumes:
    """Files in a directory that the servers' hosts see under the same path; backups in another one."""

    directory: Path
    backups: Path


@dataclass(frozen=True, slots=True)
class RbdVolumes:
    """A pool of a Ceph cluster, as a user (without ``client.``) with a keyring. *scratch*: a directory for what is read
    out of it; ``before``: where volumes were made until then, and may still be; ``backups``: a directory that every
    machine with the control plane reaches, or a pool of the same cluster."""

    conf: Path
    user: str
    keyring: Path
    pool: str
    scratch: Path
    before: LocalVolumes | None = None
    backups: Path | str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedVolumes:
    """Nothing but their sizes, in a journal."""

    directory: Path


# -- servers' disks

@dataclass(frozen=True, slots=True)
class RbdDisks:
    """They are shared, in a Ceph cluster: who may shut machines out of it, and the machines' addresses there."""

    conf: Path
    user: str
    keyring: Path
    addresses: Mapping[str, str]


# -- who is alive

@dataclass(frozen=True, slots=True)
class SimulatedMembership:
    """Machines that have power and a network when *file* says so."""

    file: Path
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PacemakerMembership:
    """This machine's Pacemaker. ``machines`` are all of the cluster's; ``fencing``: whether there are fence devices;
    ``addresses``: where each machine would answer if it weren't off."""

    machines: tuple[str, ...]
    fencing: bool
    addresses: Mapping[str, tuple[str, ...]]


# -- who there is

@dataclass(frozen=True, slots=True)
class Registered:
    """A machine that the database must know: its name, the SHA-256 of its credential, and the host that it holds (None:
    it runs no servers)."""

    name: str
    credential_hash: str
    host: str | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything. ``node`` is this machine's name among those that run control, ``directory`` is where processes of
    this machine find each other (ready files); the secrets are not shown.

    ``first_start_lock`` is a file by which processes of one machine wait for each other at the first start; in a
    cluster (None) the database does it.
    """

    node: str
    directory: Path
    database_url: str = field(repr=False)
    cluster_key: bytes = field(repr=False)
    admin_password: str = field(repr=False)
    public_url: str
    region: str
    public: Listener
    internal: Listener
    wakeups: LocalWakeups | BrokerWakeups
    network: SimulatedNetwork | Northbound
    images: LocalImages | RbdImages
    external: External
    volumes: LocalVolumes | RbdVolumes | SimulatedVolumes | None = None
    """Where volumes lie; None: there are none."""
    more_images: tuple[MoreImages, ...] = ()
    machines: tuple[Registered, ...] = ()
    membership: SimulatedMembership | PacemakerMembership | None = None
    """Where the lives of machines are known; None: there is no high availability."""
    disks: RbdDisks | None = None
    """Where servers' disks are, when every machine reaches them; None: each machine has its own."""
    availability: Settings = field(default_factory=Settings)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    identity_providers: tuple[ProviderSettings, ...] = ()
    trusted_dashboards: tuple[str, ...] = ()
    """Where tokens may be sent after a login in a browser."""
    durable: bool = True
    engine_lease: float = 60.0
    web_download: bool = False
    glance_download: bool = False
    require_image_format_match: bool = True
    shelved_offload_time: int = 0
    policies: Path | None = None
    """A directory where an administrator may put access rules: ``compute.yaml`` and its like."""
    first_start_lock: Path | None = None
    cluster: Path | None = None
    """The root of a cluster machine's files (``deploy.cluster.paths``); None: this is no machine of a cluster."""
    mark_file: Path | None = None
    """Follows the database, to notice an older one (``store.era``); None where others keep the database."""
    agents: Tls | None = None               # how we show ourselves when we ask an agent
    log_directory: Path | None = None       # None: standard error, which systemd keeps
    log_level: str = "info"
    configured: tuple[Setting, ...] = ()    # what administrators are shown
