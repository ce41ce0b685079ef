"""What an agent process is told, read once from a TOML file. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from stackling.main.tls import Tls


class SettingsError(Exception):
    """The file can't be used; the message says why."""


class LibvirtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[libvirt]``: where libvirtd answers, and how guests are plugged in.

    ``uri`` may name a socket; ``netns`` is the cloud's network namespace ("" for the machine's own); ``instance`` is
    the prefix of what is visible on the machine; ``datapath`` is Open vSwitch's, ``netdev`` or ``system``, or
    ``probe``: what its bridge has;
    ``accelerator`` is ``probe``, ``kvm`` or ``tcg``; ``consoles`` is the directory in which guests' consoles listen, as
    libvirtd sees it; ``ovs_socket`` is where Open vSwitch's database answers, for
    the interfaces of the metadata service ("" turns the service off); ``migrate_uri`` is how other machines' libvirtd
    reach this one ("" if they don't: no live migration to here).
    """

    instances: Path
    images: Path
    uri: str = "qemu:///system"
    netns: str = ""
    instance: str = "stackling"
    bridge: str = "br-int"
    datapath: Literal["netdev", "system", "probe"] = "netdev"
    accelerator: Literal["probe", "kvm", "tcg"] = "probe"
    consoles: Path = Path("/run/guests")
    consoles_here: Path | None = None       # the same directory as the agent sees it
    ovs_socket: str = ""
    image_days: float = 7.0
    image_gib: float = 50.0
    reserved_memory_mib: int | None = None
    migrate_uri: str = ""


class CephSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[ceph]``: volumes may lie in a Ceph cluster, which is reached as ``user`` (without ``client.``) with the key in
    ``keyring``; ``conf`` is readable for QEMU. ``disks``: servers' disks are there, too, in the pool ``disk_pool``.
    ``addresses`` are this machine's own as the cluster sees its guests, besides the agent's. ``images``: control keeps
    images in the same cluster.
    """

    conf: Path
    user: str
    keyring: Path
    disk_pool: str = "stackling-disks"
    addresses: tuple[str, ...] = ()
    images: bool = True
    disks: bool = True


class DirectorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[directory]``: servers' disks lie in a directory that all machines have mounted at ``path``; ``id`` is what
    ``stackling storage add directory`` has written there."""

    path: Path
    id: str


class SimulatedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[simulated]``: what each host pretends to have; ``storage``: where its disks are, ``local:…`` or what all hosts
    share (``shared:…``, ``rbd:…``); ``persistent``: guests survive the process; ``cluster``: the file that says which
    machines have power and a network (all of them where there is none)."""

    vcpus: int = 64
    memory_mib: int = 262_144
    disk_gib: int = 10_000
    storage: str = "rbd:simulated"
    persistent: bool = True
    cluster: Path | None = None


class AgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Times are in seconds.

    ``control`` lists URLs (``http+unix:///path``, ``http://…``, ``https://…``), tried in turn. ``credential_file``
    holds one line. ``listen`` (``https://address:port``) is where control on other machines asks this agent, those
    named ``callers`` in their certificates. With ``hosts`` above 1 (simulated only) the process is that many machines,
    named ``<machine>-1`` and so on, with hosts ``<host>-1`` and so on, all with the same credential. With ``leases``
    the agent asks control which hosts it holds, one or several; without, ``host`` is the one.
    ``resume_guests_state_on_host_boot`` is Nova's option: whether servers that ran are started after the machine has
    booted.
    """

    state_dir: Path
    machine: str
    host: str
    credential_file: Path
    control: tuple[str, ...]
    driver: Literal["libvirt", "simulated"]
    hosts: int = 1
    leases: bool = False
    socket: Path | None = None              # <state_dir>/agent.sock
    listen: str = ""
    callers: tuple[str, ...] = ()
    pid_file: Path | None = None            # <state_dir>/agent.pid
    ready_file: Path | None = None          # made when the agent runs
    boot_id_file: Path | None = None        # instead of the kernel's boot id
    log_file: Path | None = None            # standard error
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    heartbeat: float = 10.0
    wait: int = 30
    sweep: float = 60.0
    resume_guests_state_on_host_boot: bool = True
    ca_file: Path | None = None             # for https
    certificate_file: Path | None = None
    key_file: Path | None = None
    libvirt: LibvirtSettings | None = None
    ceph: CephSettings | None = None
    directory: DirectorySettings | None = None
    simulated: SimulatedSettings = SimulatedSettings()

    @property
    def own(self) -> Tls | None:
        """This machine's certificate, where it has one."""
        if self.certificate_file and self.key_file and self.ca_file:
            return Tls(self.certificate_file, self.key_file, self.ca_file)
        return None

    def ledger(self, host: str) -> Path:
        """Where the document of a host is kept."""
        return self.state_dir / "ledger" if host == self.host else self.state_dir / "hosts" / host / "ledger"

    def ledgers(self) -> list[str]:
        """The hosts of which there is one."""
        others = sorted(path.parent.name for path in (self.state_dir / "hosts").glob("*/ledger"))
        return ([self.host] if self.ledger(self.host).exists() else []) + others

    def names(self) -> list[tuple[str, str]]:
        """(machine, host) of each agent in this process."""
        if self.hosts == 1:
            return [(self.machine, self.host)]
        return [(f"{self.machine}-{n}", f"{self.host}-{n}") for n in range(1, self.hosts + 1)]


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and Path(value).is_absolute():
        return Path(value)
    raise ValueError(f"{value!r} must be an absolute path")


def read(path: Path) -> AgentSettings:
    """The settings in *path*. Raises ``SettingsError``."""
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text()), AgentSettings, dec_hook=_path)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{path}: {error}") from None
    if settings.hosts < 1 or (settings.hosts > 1 and settings.driver != "simulated"):
        raise SettingsError(f"{path}: hosts must be 1, or more with driver = \"simulated\"")
    if settings.driver == "libvirt" and settings.libvirt is None:
        raise SettingsError(f"{path}: driver = \"libvirt\" needs a section [libvirt] with instances and images")
    if settings.directory and settings.ceph and settings.ceph.disks:
        raise SettingsError(f"{path}: servers' disks lie in one place: with [directory], [ceph] needs disks = false")
    if settings.listen and settings.own is None:
        raise SettingsError(f"{path}: listen needs certificate_file, key_file and ca_file")
    if not settings.control:
        raise SettingsError(f"{path}: control must list at least one URL")
    return settings
