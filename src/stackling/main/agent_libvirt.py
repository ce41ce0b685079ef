"""The agent's parts on a real machine: libvirt, local disks, image cache, metadata service."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from stackling.agent import inventory
from stackling.agent.host import HostAgent
from stackling.agent.images import ImageFetch
from stackling.agent.ledger import Ledger
from stackling.agent.metadata.service import MetadataService
from stackling.agent.metadata.wiring import Plant
from stackling.agent.run import Run, in_threads
from stackling.deploy.embedded import command
from stackling.deploy.embedded.probe import probe
from stackling.drivers.libvirt.domain import Platform
from stackling.drivers.libvirt.hypervisor import LibvirtHypervisor
from stackling.drivers.local.disks import LocalDisks, takes_direct_io
from stackling.drivers.local.image_cache import ImageCache, Limits
from stackling.main.agent_settings import LibvirtSettings

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
    disks = LocalDisks(libvirt.instances, cache, account=ACCOUNT)
    hypervisor = LibvirtHypervisor(libvirt.uri, libvirt.instances, Platform(
        kvm=kvm, sockets=libvirt.consoles, bridge=libvirt.bridge, netdev=netdev,
        uefi=any(FIRMWARE.glob("*.json")), direct=takes_direct_io(libvirt.instances)),
        consoles=libvirt.consoles_here)
    wiring.stack.callback(hypervisor.close)
    (machine, host), = settings.names()
    ledger = Ledger(settings.state_dir / "ledger", host, run=writing)
    wiring.stack.callback(ledger.close)
    metadata = MetadataService(Plant(libvirt.instance, libvirt.netns, libvirt.bridge, libvirt.ovs_socket), run,
                               ledger.servers.get)
    wiring.agents.append(HostAgent(
        machine=machine, host=host, ledger=ledger, hypervisor=hypervisor, disks=disks, lanes=wiring.lanes(),
        hand_over=wiring.sender(), boot_id=wiring.boot_id, run=run, address=wiring.address, timing=wiring.timing,
        inventory=lambda: inventory.measure(hypervisor.inventory(), libvirt.instances,
                                            reserved_mib=libvirt.reserved_memory_mib),
        networks_changed=metadata.set_networks))
    if libvirt.ovs_socket:
        wiring.more.append(metadata.run())
    return run


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

