"""The engines under a real cloud: OVN, Open vSwitch and libvirt, as one thing to prepare, run and remove."""

from __future__ import annotations

from collections.abc import Callable

from stackling.deploy.embedded import accelerator, guests, libvirt, network
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.libvirt import LibvirtPaths
from stackling.deploy.embedded.process import ProcessSpec

NEEDED_BY_AGENT = (libvirt.NAME, network.STEP)
GUESTS = "servers"
GUEST_PATIENCE = 15.0       # seconds that guests get to end


def libvirt_paths(directory: StateDirectory) -> LibvirtPaths:
    """Where libvirt's files are."""
    return LibvirtPaths(directory.root / "libvirt", directory.run, directory.instances)


def prepare(directory: StateDirectory, *, new_boot: bool) -> None:
    """What must be there before the first process starts. Raises ``CommandFailed``."""
    network.prepare(directory, new_boot=new_boot)
    accelerator.find_out(directory)
    libvirt.prepare(libvirt_paths(directory), network.paths(directory).socket("conf"))


def guests_live(directory: StateDirectory) -> bool:
    """Whether a guest runs: they carry no mark of ours, and outlive everything else."""
    return any(True for _ in libvirt.guest_processes(libvirt_paths(directory)))


def specs(directory: StateDirectory) -> tuple[ProcessSpec, ...]:
    """Their processes."""
    process = libvirt.process(libvirt_paths(directory), directory.instance, kvm=accelerator.known(directory),
                              after=("ovs-db",))
    return (*network.specs(directory), process)


def ended(directory: StateDirectory, name: str, progress: Callable[[str], None]) -> None:
    """End the guests between libvirtd and the switch; the agent has ended."""
    if name == libvirt.NAME:
        progress(GUESTS)
        guests.end_guests(libvirt_paths(directory), GUEST_PATIENCE)


def remove(directory: StateDirectory) -> None:
    """Leave nothing outside of the state directory; every process has ended. Raises ``CommandFailed``."""
    libvirt.forget_metadata(directory.instance)
    network.remove(directory)
