"""What can happen to the machines of a simulated cloud."""

from __future__ import annotations

from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.directory import StateDirectory
from stackling.drivers.simulated.membership import Device, SimulatedCluster

HAPPENINGS = ("off", "on", "cut", "heal", "leave", "join", "device")
BEHAVIOURS = tuple(device.value for device in Device)


class NoSuchMachine(Exception):
    """The cloud has no machine of that name; the message names those that there are."""


def happen(directory: StateDirectory, configuration: Configuration, what: str, machine: str,
           behaviour: str | None) -> None:
    """Let *what* (of ``HAPPENINGS``) happen to *machine*; ``device`` takes one of ``BEHAVIOURS``."""
    cluster = SimulatedCluster(directory.simulated_cluster, configuration.host_names)
    if machine not in cluster.names():
        raise NoSuchMachine(f"there is no machine {machine}; there are {', '.join(cluster.names())}")
    if behaviour is not None:
        cluster.set_device(machine, Device(behaviour))
        return
    {"off": cluster.lose_power, "on": cluster.give_power, "cut": cluster.cut, "heal": cluster.heal,
     "leave": cluster.leave, "join": cluster.join}[what](machine)
