"""What a machine's Open vSwitch needs around it: ``prepare`` before its database starts, ``configure`` when that runs,
``interfaces`` when the switch runs, and ``guard`` beside it.

Where the kernel can't forward for Open vSwitch, it does so itself, as a process. Then tunnels must enter and leave by
one of its own bridges: the interface with the tenant network's address becomes a port of ``br-phy``, which takes the
address over. That must not be the interface of the management network, which would stand and fall with that process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from stackling.deploy.cluster import description
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.ovn.layout import Layout, southbound
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.embedded import namespaces, ovn
from stackling.deploy.embedded.command import CommandFailed, run

PROBE = 3000                # milliseconds after which ovn-controller tests whether the southbound database is there
PHYSICAL = "br-phy"
PATIENCE = 20.0
_KIND = "SWITCH_DATAPATH"


def prepare(at: Layout) -> None:
    """The database, once a boot, and which datapath there is. Raises ``CommandFailed``."""
    switch = at.switch
    for directory in (switch.run, switch.log):
        directory.mkdir(parents=True, exist_ok=True)
    switch.run.chmod(0o700)
    file = switch.database("conf")
    (file.parent / f".{file.name}.~lock~").unlink(missing_ok=True)
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        run("ovsdb-tool", "create", str(fresh), str(ovn.SCHEMA_FILES["conf"]))
        fresh.replace(file)
    if not at.options.exists():
        kind = ovn.datapath(None)
        at.options.write_text(f"{_KIND}={kind}\nSWITCH_OPTIONS={'--disable-system' if kind == 'netdev' else ''}\n")


def configure(cluster: Cluster, machine: Machine, at: Layout) -> None:
    """Who this machine is, where OVN is, and the bridges. Raises ``CommandFailed``."""
    _wait_for(at.switch.socket("conf"))
    ovn.configure(at.switch, machine.name, datapath(at), southbound=southbound(cluster),
                  tunnel_ip=machine.tenant_address)
    ovn.vsctl(at.switch, "--no-wait", "set", "Open_vSwitch", ".",
              f"external_ids:ovn-remote-probe-interval={PROBE}", "external_ids:ovn-openflow-probe-interval=30")


def interfaces(cluster: Cluster, machine: Machine, at: Layout) -> None:
    """The machine's own interfaces that belong to the switch. Raises ``CommandFailed`` and ``ClusterError``."""
    if cluster.external.device:
        ovn.plug(at.switch, ovn.EXTERNAL, cluster.external.device)
        namespaces.ip(None, "link", "set", cluster.external.device, "up")
    if datapath(at) == "netdev":
        _take_over(machine, at)


def datapath(at: Layout) -> str:
    """What ``prepare`` found."""
    return dict(line.split("=", 1) for line in at.options.read_text().splitlines())[_KIND]


class Physical(msgspec.Struct, frozen=True):
    """The interface below the tunnels, and what it had: its MTU, and its IPv4 addresses in CIDR form."""

    device: str
    mac: str
    mtu: int
    addresses: tuple[str, ...]


def _take_over(machine: Machine, at: Layout) -> None:
    """Give the address of the tunnels to a bridge of the switch. The bridge is made anew whenever the switch starts, so
    what it had is noted until the machine's end.
    """
    note = at.switch.run / "physical.json"
    if note.exists():
        found = msgspec.json.decode(note.read_bytes(), type=Physical)
    else:
        found = _physical(machine)
        note.write_bytes(msgspec.json.encode(found))
    ovn.vsctl(at.switch, "--may-exist", "add-br", PHYSICAL, "--", "set", "Bridge", PHYSICAL, "datapath_type=netdev",
              f'other_config:hwaddr="{found.mac}"', "--", "--may-exist", "add-port", PHYSICAL, found.device)
    namespaces.checksums_in_software(None, PHYSICAL)
    namespaces.ip(None, "link", "set", PHYSICAL, "mtu", str(found.mtu), "up")
    namespaces.ip(None, "-4", "address", "flush", "dev", found.device)
    for address in found.addresses:
        namespaces.ip(None, "address", "replace", address, "dev", PHYSICAL)


def _physical(machine: Machine) -> Physical:
    links = namespaces.ip_json(None, "address", "show")
    link = _holder(links, machine.tenant_address)
    if link is None:
        raise ClusterError(f"no interface has the tenant network's address {machine.tenant_address}")
    if link is _holder(links, machine.address):
        raise ClusterError(
            f"the kernel has no Open vSwitch, and {link['ifname']} carries the tenant and the management network; load "
            "the module openvswitch, or give the machine an interface of its own for tunnels (tenant = address)")
    return Physical(link["ifname"], link["address"], link["mtu"],
                    tuple(f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["family"] == "inet"))


def _holder(links: list[dict[str, Any]], address: str) -> dict[str, Any] | None:
    return next((link for link in links for one in link.get("addr_info", ()) if one.get("local") == address), None)


def guard(at: Layout) -> None:
    """Become the program that keeps the guard's flow in place."""
    os.execvp("sh", ["sh", "-c", ovn.GUARD, "ovn-guard", f"unix:{at.switch.run}/{ovn.INTEGRATION}.mgmt",
                     ovn.GUARD_FLOW, ovn.GUARD_WATCH])


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise CommandFailed(f"{path} isn't there after {PATIENCE:g} s")
        time.sleep(0.02)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="stackling-switch", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("what", choices=("prepare", "configure", "interfaces", "guard"))
    options = parser.parse_args()
    paths = Paths(options.root)
    cluster, at = description.read(paths.cluster), Layout(paths)
    machine = cluster.machine(paths.name)
    try:
        match options.what:
            case "prepare":
                prepare(at)
            case "configure":
                configure(cluster, machine, at)
            case "interfaces":
                interfaces(cluster, machine, at)
            case _:
                guard(at)
    except (CommandFailed, ClusterError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
