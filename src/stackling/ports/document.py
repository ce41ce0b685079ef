"""What control and agent say to each other: the host document down, the report up. JSON by msgspec.

Theory of operation. A *document* is all that a machine needs to run one host identity's servers. The host row's
``generation`` counts every change of it; an agent asks "what changed after N" and gets the servers changed since
(``since == 0``: all of them, ``complete`` is then true), merges them into its ledger on disk, and only then acts.
``era`` and ``epoch`` (of the host's lease) make an older document recognisable; it is refused. A server leaves
the document only after its absence was reported: ``present`` false asks for removal. A guest that the agent finds
and no document names is reported as ``unknown`` and left alone.

``power`` is a request, acted on once for each ``power_generation``: a guest that powers itself off afterwards is
reported as stopped (and converged), not started again; control then makes "stopped" the desired state.

A server that moves is in two documents: in that of its former host as not present, its disks kept, until that host has
reported it absent; in that of its new host with an ``arrival``, which says whether it must still wait for that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

IMAGE_LOCATION = "X-Image-Location"
"""Header of ``PUT /internal/images/{id}/file``: instead of a body, where a copy lies in the shared storage."""


class Power(StrEnum):
    """A guest's power state, desired or observed (``crashed`` and ``absent`` are only observed)."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    CRASHED = "crashed"
    ABSENT = "absent"


class Struct(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything on this wire: unknown fields are ignored, so that versions can differ by one."""


class Nic(Struct, frozen=True):
    """A network interface: ``port_id`` is the OVN logical port's name."""

    port_id: str
    mac: str
    network_id: str
    mtu: int = 1442
    tag: str | None = None


class RootDisk(Struct, frozen=True):
    """The root disk, an overlay of an image: ``size_gib`` 0 means the image's own virtual size."""

    image_id: str
    image_format: str                       # qcow2 or raw, as declared and inspected; never probed again
    image_size: int                         # bytes of the file in the store
    image_checksum: str                     # SHA-512 of that file, checked after download
    size_gib: int = 0
    bus: str = "virtio"
    image_location: str = ""                # where it lies, for a driver that can use it in place (rbd://…)
    flat: bool = False                      # made whole: it must not need its image later on


class VolumeDisk(Struct, frozen=True):
    """A volume of a server. ``id`` is its attachment's, by which the host knows it."""

    id: str
    volume_id: str
    location: str                           # ports.volumes.VolumeStore.location
    size_gib: int
    device: str
    readonly: bool = False
    shared: bool = False                    # other servers may have it as well
    boot_index: int | None = None           # 0: the server boots from it; others after it in order; None or less: never
    bus: str = ""                           # "": what the server's disks are plugged into
    type: str = "disk"                      # disk, cdrom …
    key_id: str = ""                        # of the key that opens it; "": it isn't encrypted
    snapshots: tuple[str, ...] = ()         # to be made of it beside it, once each (ports.volume_copies)


class VolumeKey(Struct, frozen=True):
    """Answer of ``GET /internal/volume-keys/{key}``, to a machine that has the volume in a document: the passphrase of
    its LUKS container. It isn't part of documents, which machines write to their disks."""

    passphrase: str

    def __repr__(self) -> str:
        return "VolumeKey(…)"


class RescueDisk(Struct, frozen=True):
    """A disk made of an image that the guest boots from, with its own disks beside it.

    ``stable``: its own disks stay where they are and this one is added behind them, as *device* (disk or cdrom) on
    *bus* ("": the usual one); otherwise it takes the root disk's place, and the root disk comes second.
    """

    number: int
    root: RootDisk
    stable: bool = False
    device: str = "disk"
    bus: str = ""


class InjectedFile(Struct, frozen=True):
    """A file that its owner wants in the guest: where, and what (base64)."""

    path: str
    contents: str


class MetadataDocument(Struct, frozen=True):
    """What the metadata service and the config drive show (OpenStack's ``meta_data.json`` and its parts)."""

    meta_data: dict[str, Any] = {}          # uuid, name, hostname, meta, public_keys, keys, availability_zone …
    network_data: dict[str, Any] = {}
    vendor_data: dict[str, Any] = {}
    ec2: dict[str, Any] = {}                # instance-type, local-ipv4, public-ipv4, security-groups …
    user_data: str | None = None            # base64
    files: tuple[InjectedFile, ...] = ()    # in the config drive only, as with Nova


class Arrival(Struct, frozen=True):
    """A server that comes from another host. ``hold``: that one hasn't let go of it yet, so nothing is done here.

    ``source`` is where the former host's agent answers, when its disks are to be fetched from there.
    """

    hold: bool = False
    source: str = ""


class LiveMove(Struct, frozen=True):
    """A running guest on its way between two hosts; in both hosts' documents. Only the source begins, once it is told
    the *peer*: where the target's hypervisor takes the guest, as the target has reported it.

    ``own_disks``: each host has its own, so they are copied with the guest. ``hurry``: end it even at the price of a
    pause.
    """

    number: int
    target: bool
    own_disks: bool = False
    peer: str = ""
    abort: bool = False
    hurry: bool = False


class MoveState(StrEnum):
    """How far a live move is, seen from one of its hosts."""

    WAITING = "waiting"         # source: not begun; target: not ready
    READY = "ready"             # target: the guest may come
    RUNNING = "running"         # source: memory is being copied
    LEFT = "left"               # source: the guest isn't here any more
    ARRIVED = "arrived"         # target: the guest runs (or is paused) here, and nowhere else
    FAILED = "failed"           # source: it won't go on by itself, and the guest is here


class MoveReport(Struct, frozen=True):
    """A host's word on a live move. ``progress``: bytes, by Nova's names (``memory_total_bytes`` …)."""

    number: int
    state: MoveState
    peer: str = ""
    error: str | None = None
    progress: dict[str, int] = {}


class ServerDesired(Struct, frozen=True):
    """One server as it should be. Counters ask for an action once each: the agent's ledger has what was done."""

    id: str
    generation: int
    present: bool = True
    keep_disks: bool = False                # not present: the definition goes, the disks stay as they are
    politely: bool = False                  # not present: the guest may shut down first
    arrival: Arrival | None = None
    live: LiveMove | None = None
    name: str = ""
    number: int = 0                         # of which the hypervisor's name for it is made
    project_id: str = ""
    power: Power = Power.RUNNING
    power_generation: int = 0               # the generation in which ``power`` was last asked for; 0: ``generation``
    vcpus: int = 1
    memory_mib: int = 64
    root: RootDisk | None = None
    ephemeral_gib: int = 0
    swap_mib: int = 0
    nics: tuple[Nic, ...] = ()
    volumes: tuple[VolumeDisk, ...] = ()
    config_drive: bool = False
    metadata: MetadataDocument = MetadataDocument()
    machine_type: str | None = None         # hw_machine_type
    hardware: dict[str, str] = {}           # hw_* image properties and extra specs that the driver knows
    soft_reboots: int = 0
    hard_reboots: int = 0
    rebuilds: int = 0                       # a higher number throws the root disk away and makes it anew
    resizes: int = 0                        # a higher number fits the disks to the sizes here, the guest being off
    kept_resize: int = 0                    # the resize before which the root disk is kept as it was (0: none is)
    restored_resize: int = 0                # the next resize first brings back what was kept before this one
    snapshot: str | None = None             # the image that the root disk is to be saved as, once for each id
    rescue: RescueDisk | None = None        # another disk to boot from; another number switches the guest off for it
    resume_on_boot: bool = True             # resume_guests_state_on_host_boot
    stop_timeout: int = 60                  # seconds that the guest gets to shut down before it is switched off


class MetadataNetwork(Struct, frozen=True):
    """A network whose metadata this machine serves: the localport's address and who asks from which address."""

    network_id: str
    port_id: str
    mac: str
    mtu: int = 1442
    addresses: tuple[str, ...] = ()         # in CIDR form, of the metadata port
    servers: dict[str, str] = {}            # fixed IP → server id


class HostDocument(Struct, frozen=True):
    """Answer of ``GET /internal/machines/{machine}/documents``, one for each host that the machine holds."""

    host: str
    era: int
    epoch: int
    generation: int
    complete: bool
    servers: tuple[ServerDesired, ...] = ()
    networks: tuple[MetadataNetwork, ...] = ()      # always all of them


class Documents(Struct, frozen=True):
    """All documents of a machine that have changed; empty when the long poll ran out."""

    documents: tuple[HostDocument, ...] = ()


class HeldHost(Struct, frozen=True):
    """A host identity that a machine holds. ``releasing``: it shall stop the host's guests and let go."""

    host: str
    epoch: int
    releasing: bool = False


class HeldHosts(Struct, frozen=True):
    """Answer of ``GET /internal/machines/{machine}/hosts``; ``digest`` stands for the whole of it."""

    hosts: tuple[HeldHost, ...] = ()
    digest: str = ""


class GuestReport(Struct, frozen=True):
    """What the agent sees of one server. ``error`` explains why ``generation`` isn't reached."""

    id: str
    generation: int                         # the document's generation that this state answers to; 0: unknown guest
    power: Power
    converged: bool
    step: str | None = None                 # what is under way: "downloading image", "starting" …
    error: str | None = None
    terminal: bool = False                  # trying again won't help
    soft_reboots: int = 0                   # done so far
    hard_reboots: int = 0
    rebuilds: int = 0
    resizes: int = 0
    rescue: int = 0                         # the number of the rescue disk that it boots from (0: its own)
    snapshot: str | None = None             # the last image whose data was handed over (or wasn't wanted any more)
    started_at: str | None = None
    nics: tuple[str, ...] = ()              # port ids that are plugged in
    unknown: bool = False
    move: MoveReport | None = None
    volume_snapshots: dict[str, str] = {}   # what became of ``VolumeDisk.snapshots``: "" made, else why it can't be


class Inventory(Struct, frozen=True):
    """What the machine has to give, and facts about it."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    hypervisor_type: str = "QEMU"           # QEMU or KVM
    hypervisor_version: int = 0             # 7002000 for 7.2.0
    cpu_info: dict[str, Any] = {}
    storage: str = "local"                  # where disks lie: ``local``, ``shared:<which>``, ``rbd:<which>``
    facts: dict[str, Any] = {}


class Report(Struct, frozen=True):
    """``POST /internal/machines/{machine}/report``. ``sequence`` rises by one each; an older one is refused."""

    machine: str
    boot_id: str
    sequence: int
    host: str
    epoch: int
    document_generation: int                # up to which the ledger is merged
    guests: tuple[GuestReport, ...] = ()    # those that changed, or all when ``complete``
    complete: bool = False
    inventory: Inventory | None = None
    address: str | None = None              # where the agent's own socket answers


class ReportAnswer(Struct, frozen=True):
    """``resend``: control wants a complete report (it has lost track)."""

    accepted: bool
    resend: bool = False
