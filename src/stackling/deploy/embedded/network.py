"""The network of one machine's cloud: a namespace with OVN in it, and the way out."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from dataclasses import replace
from pathlib import Path

from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded import namespaces, ovn, storage_link, uplink
from stackling.deploy.embedded.command import CommandFailed
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.process import ProcessSpec

STEP = "network"
PYTHON = (sys.executable, "-I", "-m")


def paths(directory: StateDirectory) -> ovn.OvnPaths:
    """Where OVN's files are."""
    return ovn.OvnPaths(directory.ovn, directory.run / "ovn", directory.logs)


def prepare(directory: StateDirectory, *, new_boot: bool) -> None:
    """Make the namespace and the databases; before the first process starts. Raises ``CommandFailed``.

    *new_boot*: no process of the cloud is alive. Otherwise it was prepared before they started, and is left alone.
    """
    if not new_boot and namespaces.exists(directory.instance):
        return
    remove(directory)
    namespaces.note_mount(_mount_record(directory))
    namespaces.make(directory.instance)
    _close(directory.instance)
    _datapath_file(directory).write_text(ovn.datapath(directory.instance))
    ovn.prepare(paths(directory), new_boot=True)


def _close(netns: str) -> None:
    """Let the kernel take no part in what the switch forwards: it hears every frame on a guest's interface too, and
    a guest could reach it by that interface's link-local address, or configure it by router advertisements."""
    for which in ("all", "default"):
        namespaces.set_sysctl(netns, f"net.ipv6.conf.{which}.disable_ipv6", "1")


def specs(directory: StateDirectory) -> tuple[ProcessSpec, ...]:
    """OVN's processes, and the step that joins them to this machine. ``prepare`` was before."""
    processes = ovn.ovn_processes(paths(directory), directory.instance, datapath(directory))
    step = ProcessSpec(STEP, (*PYTHON, "stackling.deploy.embedded.network", "--state-dir", str(directory.root)),
                       after=("ovs-db", "ovs-vswitchd"), once=True)
    late = {"ovn-controller": (STEP,)}
    return (*(replace(process, after=(*process.after, *late.get(process.name, ()))) for process in processes), step)


def connect(directory: StateDirectory, configuration: Configuration) -> None:
    """Tell the switch who it is, and join the external network to this machine. Raises ``CommandFailed``."""
    ovn.configure(paths(directory), configuration.machine, datapath(directory))
    uplink.bring_up(way_out(directory, configuration), paths(directory), _record(directory))
    if "rbd" in (configuration.disks, configuration.volumes):
        storage_link.bring_up(storage_link.Link(directory.instance), CephFiles(directory.ceph).conf, directory.root)


def remove(directory: StateDirectory) -> None:
    """Leave nothing of it on this machine; databases stay. Its processes have ended. Raises ``CommandFailed``."""
    storage_link.take_down(storage_link.Link(directory.instance), directory.root)
    uplink.take_down(paths(directory), _record(directory))
    namespaces.delete(directory.instance)
    namespaces.undo_mount(_mount_record(directory))


def _mount_record(directory: StateDirectory) -> Path:
    """In the run directory: with the machine's next boot both are gone."""
    return directory.run / "netns-mount"


def way_out(directory: StateDirectory, configuration: Configuration) -> uplink.Uplink:
    """How the external network meets this machine's."""
    way = uplink.Way(configuration.access)
    prefix = ipaddress.IPv4Network(configuration.floating_range).prefixlen
    gateways = () if way is uplink.Way.UPLINK else (f"{configuration.gateway}/{prefix}",)
    return uplink.Uplink(way=way, cloud=directory.instance, gateways=gateways, device=configuration.uplink or None,
                         datapath=datapath(directory))


def outside(directory: StateDirectory, configuration: Configuration) -> str | None:
    """The namespace from which floating IPs are reached; None: this machine's own."""
    return f"{directory.instance}-outside" if configuration.access == "isolated" else None


def _record(directory: StateDirectory) -> Path:
    return directory.root / "uplink.json"


def _datapath_file(directory: StateDirectory) -> Path:
    return directory.run / "datapath"


def datapath(directory: StateDirectory) -> str:
    """How the switch forwards: ``system`` or ``netdev``."""
    try:
        return _datapath_file(directory).read_text()
    except FileNotFoundError:
        return "netdev"


def main() -> None:
    """The step between OVN's start and the rest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir", required=True)
    directory = StateDirectory.at(parser.parse_args().state_dir)
    try:
        connect(directory, configurations.read(directory.configuration))
    except CommandFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
