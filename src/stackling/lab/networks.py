"""The lab's networks: a bridge each, in one namespace; a cable to each machine; the client at the edge.

All of it lives in namespaces that the lab made. Cables are pairs of interfaces; pulling one is taking the switch's
end down, so that the machine loses its carrier as it would with a real one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.command import CommandFailed, run
from stackling.lab.record import Member
from stackling.lab.topology import CLIENT, CLIENT_NETWORKS, Network, Topology, port

RAW = (Network.TENANT, Network.EXTERNAL)
"""Networks that Open vSwitch's userspace datapath may read frames from: the kernel must finish its checksums."""


def make(topology: Topology) -> None:
    """Switches and client; again when something is missing. Raises ``CommandFailed``."""
    switches, client = topology.switches, topology.client
    _make_quiet_namespace(switches)
    _make_quiet_namespace(client)
    for network in Network:
        if not namespaces.has_device(switches, network.bridge):
            batch(switches, f"link add {network.bridge} type bridge", f"link set {network.bridge} up")
    for network in CLIENT_NETWORKS:
        if namespaces.has_device(client, network.device):
            continue
        end = port("client", network)
        batch(switches, f"link add {end} type veth peer name {network.device} netns {client}",
              f"link set {end} master {network.bridge} up")
        batch(client, f"address add {topology.interface(network, CLIENT)} dev {network.device}",
              f"link set {network.device} up")
        if network in RAW:
            namespaces.checksums_in_software(client, network.device)


def remove(topology: Topology, machines: Collection[str]) -> None:
    """Leave none of its namespaces. Their processes have ended."""
    for name in (*map(topology.namespace, machines), topology.ceph, topology.client, topology.switches):
        namespaces.delete(name)


def plug(topology: Topology, member: Member, cut: Collection[Network]) -> None:
    """A machine's network namespace with its network cards, anew; those in *cut* have no carrier."""
    unplug(topology, member)
    name = topology.namespace(member.name)
    namespaces.make(name)
    switch: list[str] = []
    machine: list[str] = []
    for network in Network:
        end, device = port(member.name, network), network.device
        mac = topology.mac(network, member.number)
        switch += [f"link add {end} type veth peer name {device} address {mac} netns {name}",
                   f"link set {end} master {network.bridge} {'down' if network in cut else 'up'}"]
        if network is not Network.EXTERNAL:     # this one is the cloud's
            machine.append(f"address add {topology.interface(network, member.number)} dev {device}")
        machine.append(f"link set {device} up")
    batch(topology.switches, *switch)
    batch(name, *machine)
    for network in RAW:
        namespaces.checksums_in_software(name, network.device)


def unplug(topology: Topology, member: Member) -> None:
    """The machine's network cards are no more: nothing answers for a machine without power."""
    if namespaces.exists(topology.switches):
        ends = "".join(f"link delete {port(member.name, network)}\n" for network in Network)
        with contextlib.suppress(CommandFailed):        # -force: those that are there are gone all the same
            run("ip", "-n", topology.switches, "-force", "-batch", "-", input=ends)
    namespaces.delete(topology.namespace(member.name))


def set_links(topology: Topology, machine: str, links: Collection[Network], *, up: bool) -> None:
    """Plug in or pull out a machine's cables, all at the same time as far as anybody could tell."""
    if links:
        batch(topology.switches, *(f"link set {port(machine, network)} {'up' if up else 'down'}" for network in links))


def batch(namespace: str, *lines: str) -> None:
    """Several commands of ``ip`` in one process."""
    run("ip", "-n", namespace, "-batch", "-", input="\n".join(lines) + "\n")


def _make_quiet_namespace(name: str) -> None:
    if namespaces.make(name):
        for which in ("all", "default"):
            namespaces.set_sysctl(name, f"net.ipv6.conf.{which}.disable_ipv6", "1")


__all__ = ["CommandFailed", "batch", "make", "plug", "remove", "set_links", "unplug"]
