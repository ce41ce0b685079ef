"""The agent's parts on a real machine: libvirt, local disks, image cache, metadata service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from stackling.agent import inventory
from stackling.agent.converge import Everything
from stackling.agent.host import HostAgent
from stackling.agent.images import ImageFetch
from stackling.agent.ledger import Ledger
from stackling.agent.metadata.passwords import Passwords
from stackling.agent.metadata.service import MetadataService
from stackling.agent.metadata.wiring import Plant
from stackling.agent.run import Run, in_threads
from stackling.agent.wire import Lane
from stackling.deploy.embedded import command
from stackling.deploy.embedded.probe import probe
from stackling.drivers.ceph.disks import RbdDisks
from stackling.drivers.directory.disks import SharedDisks
from stackling.drivers.libvirt.domain import Platform
from stackling.drivers.libvirt.hypervisor import LibvirtHypervisor
from stackling.drivers.local.disks import LocalDisks, takes_direct_io
from stackling.drivers.local.image_cache import ImageCache, Limits
from stackling.drivers.local.volume_copies import LocalVolumeCopies
from stackling.main import agent_ceph, agent_directory
from stackling.main.agent_settings import LibvirtSettings
from stackling.ports.disks import Fetch, InstanceDisks
from stackling.ports.document import Inventory, MetadataNetwork, ServerDesired
from stackling.ports.volume_copies import VolumeCopies

if TYPE_CHECKING:
    from stackling.main.agent import Wiring

log = logging.getLogger(__name__)
THREADS = 12
FIRMWARE = Path("/usr/share/qemu/firmware")
ACCOUNT, GROUP = "libvirt-qemu", "kvm"


async def wire(wiring: Wiring) -> Run:
    """Put together the one host of this machine; what runs blocking calls."""
    settings, libvirt = wiring.settings, wiring.settings.libvirt
    assert libvirt is not None
    run = in_threads(ThreadPoolExecutor(THREADS, thread_name_prefix="driver"))
    writing = in_threads(ThreadPoolExecutor(1, thread_name_prefix="ledger"))
    kvm = await run(_kvm, wiring, libvirt)
    netdev = await _netdev(libvirt, run)
    fetch = ImageFetch(wiring.endpoints, wiring.headers, wiring.tls)
    cache = ImageCache(libvirt.images, fetch, Limits(libvirt.image_days, libvirt.image_gib), group=GROUP)
    disks = _disks(wiring, libvirt, cache, fetch)
    wiring.trial = agent_directory.trial(settings, libvirt, ACCOUNT)
    secret = agent_ceph.secret(settings.ceph) if settings.ceph else None
    hypervisor = LibvirtHypervisor(libvirt.uri, libvirt.instances, Platform(
        kvm=kvm, sockets=libvirt.consoles, bridge=libvirt.bridge, netdev=netdev,
        uefi=any(FIRMWARE.glob("*.json")), direct=settings.directory is not None or takes_direct_io(libvirt.instances),
        shared=settings.directory.path if settings.directory else None,
        secret=secret.uuid if secret else "", ceph=agent_ceph.reached(settings.ceph)),
        consoles=libvirt.consoles_here, secret=secret, peer=libvirt.migrate_uri)
    wiring.stack.callback(hypervisor.close)
    if secret is not None:
        wiring.more.append(agent_ceph.follow_keyring(hypervisor, secret.keyring, run))
    (machine, home), = settings.names()
    networks = Networks()
    copies: VolumeCopies = LocalVolumeCopies()
    if settings.ceph is not None:
        copies = in_ceph = agent_ceph.copies(settings.ceph)
        wiring.stack.callback(in_ceph.close)
        wiring.ceph = agent_ceph.trial(settings.ceph, settings.machine)
    metadata = MetadataService(Plant(libvirt.instance, libvirt.netns, libvirt.bridge, libvirt.ovs_socket), run,
                               lambda id: _desired(wiring, id), Passwords(wiring.lane(), machine))
    networks.changed = metadata.set_networks

    def measure() -> Inventory:
        found = inventory.measure(hypervisor.inventory(), libvirt.instances, reserved_mib=libvirt.reserved_memory_mib)
        if address := urlsplit(settings.listen).hostname:
            found = msgspec.structs.replace(found, facts={**found.facts, "address": address})
        if settings.directory is not None and isinstance(disks, SharedDisks):
            return agent_directory.measured(found, settings.directory, disks)
        if settings.ceph is None or not isinstance(disks, RbdDisks):
            return found
        return msgspec.structs.replace(found, storage=f"rbd:{settings.ceph.disk_pool}",
                                       disk_gib=agent_ceph.capacity_gib(disks, found.disk_gib))

    def build(host: str, lanes: tuple[Lane, Lane], held: asyncio.Event | None, everything: Everything | None,
              ) -> tuple[HostAgent, Path, Callable[[], None]]:
        path = settings.ledger(host)
        ledger = Ledger(path, host, run=writing)
        return HostAgent(
            machine=machine, host=host, ledger=ledger, hypervisor=hypervisor, disks=disks,
            copies=copies, lanes=lanes, hand_over=wiring.sender(), keys=wiring.keys(),
            boot_id=wiring.boot_id, run=run, address=wiring.address, timing=wiring.timing,
            inventory=measure if host == home else lambda: None,
            networks_changed=lambda found: networks.set(host, found), held=held, everything=everything,
        ), path, ledger.close

    if settings.leases:
        wiring.more.append(wiring.follow_leases(machine, build, settings.ledgers(), run, networks.drop).run())
    else:
        agent, _, close = build(home, wiring.lanes(), None, None)
        wiring.agents.append(agent)
        wiring.stack.callback(close)
    if libvirt.ovs_socket:
        wiring.more.append(metadata.run())
    return run


class Networks:
    """The networks whose metadata is served here: those of all hosts of this machine."""

    def __init__(self) -> None:
        self.changed: Callable[[Sequence[MetadataNetwork]], None] = lambda networks: None
        self._by_host: dict[str, tuple[MetadataNetwork, ...]] = {}

    def set(self, host: str, networks: tuple[MetadataNetwork, ...]) -> None:
        """Those of *host* are these now."""
        self._by_host[host] = networks
        self.changed(self._merged())

    def drop(self, host: str) -> None:
        """*host* isn't here any more."""
        if self._by_host.pop(host, None) is not None:
            self.changed(self._merged())

    def _merged(self) -> list[MetadataNetwork]:
        found: dict[str, MetadataNetwork] = {}
        for network in (network for networks in self._by_host.values() for network in networks):
            known = found.get(network.network_id)
            found[network.network_id] = network if known is None else msgspec.structs.replace(
                network, servers={**known.servers, **network.servers})
        return list(found.values())


def _desired(wiring: Wiring, server_id: str) -> ServerDesired | None:
    """A server of any host's document."""
    found = [agent.ledger.servers[server_id] for agent in wiring.agents if server_id in agent.ledger.servers]
    return next((server for server in found if server.present), found[0] if found else None)


def _disks(wiring: Wiring, libvirt: LibvirtSettings, cache: ImageCache, fetch: Fetch) -> InstanceDisks:
    if wiring.settings.directory is not None:
        return agent_directory.disks(wiring.settings.directory, wiring.settings, libvirt, fetch, ACCOUNT)
    ceph = wiring.settings.ceph
    if ceph is None or not ceph.disks:
        return LocalDisks(libvirt.instances, cache, account=ACCOUNT)
    disks = agent_ceph.disks(ceph, libvirt.instances, cache, wiring.settings.machine)
    wiring.stack.callback(disks.close)
    return disks


async def _netdev(libvirt: LibvirtSettings, run: Run) -> bool:
    """Whether Open vSwitch forwards in user space; waits for it where that is to be asked."""
    while libvirt.datapath == "probe":
        try:
            said = await run(lambda: command.run(
                "ovs-vsctl", f"--db=unix:{libvirt.ovs_socket}", "--timeout=5", "get", "Bridge", libvirt.bridge,
                "datapath_type"))
            return said.strip().strip('"') == "netdev"
        except command.CommandFailed as error:
            log.warning("Open vSwitch isn't there yet: %s", error)
            await asyncio.sleep(2.0)
    return libvirt.datapath == "netdev"


def _kvm(wiring: Wiring, libvirt: LibvirtSettings) -> bool:
    if libvirt.accelerator != "probe":
        return libvirt.accelerator == "kvm"
    return probe(wiring.settings.state_dir / "accelerator.json", wiring.boot_id).kvm

