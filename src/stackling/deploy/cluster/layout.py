"""Everything that Stackling puts on a cluster machine, from its description and its secrets. Pure."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from stackling.deploy.cluster import corosync, libvirt, ovn, rabbitmq, services, unit
from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.galera import configuration as galera
from stackling.deploy.cluster.galera.layout import UNIT as DATABASE
from stackling.deploy.cluster.galera.layout import Layout as Database
from stackling.deploy.cluster.ovn.configuration import SWITCH_UNITS
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets
from stackling.deploy.pacemaker import files as pacemaker


def files(cluster: Cluster, machine: Machine, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """All files; the same input gives the same files. Raises ``ClusterError``."""
    units = galera.units(cluster, machine.name, paths)
    return [*galera.files(cluster, machine.name, secrets, paths),
            *(ConfigFile(unit.directory(paths) / name, text.encode()) for name, text in units.items()),
            *rabbitmq.files(cluster, machine.name, secrets, paths), *_real(cluster, machine, paths),
            *corosync.files(cluster, machine.name, secrets, paths), *pacemaker.files(paths),
            *services.files(cluster, machine, secrets, paths)]


def first(cluster: Cluster, paths: Paths) -> list[ConfigFile]:
    """What only the machine that begins the cluster has: leave to make the first of what the others join."""
    tokens = [Database(paths).token, *(ovn.Layout(paths).tokens if cluster.driver == "libvirt" else ())]
    return [ConfigFile(token, b"", 0o600) for token in tokens]


def _real(cluster: Cluster, machine: Machine, paths: Paths) -> list[ConfigFile]:
    """What real servers need."""
    if cluster.driver == "simulated":
        return []
    return [*ovn.files(cluster, machine.name, paths), *libvirt.files(cluster, machine.name, paths)]


def started_by_systemd(cluster: Cluster, machine: Machine) -> tuple[str, ...]:
    """The units that systemd starts at boot; Pacemaker starts the others."""
    real = cluster.driver == "libvirt"
    return (*corosync.units(machine), *((DATABASE,) if machine.control else ()), *(SWITCH_UNITS if real else ()),
            *(libvirt.UNITS if real and machine.compute else ()), *((services.AGENT,) if machine.compute else ()),
            services.SYNC_TIMER)


def restarted_for(changed: Collection[Path], machine: Machine, paths: Paths) -> tuple[str, ...]:
    """Which of the processes that run must be started again because these files have changed.

    The engines' own configuration (database, broker, OVN) comes into effect when they are started for another reason.
    """
    found: list[str] = []
    if machine.control and not {paths.cluster, unit.directory(paths) / services.ENGINE}.isdisjoint(changed):
        found.append(services.ENGINE)
    if machine.control and unit.directory(paths) / services.API in changed:
        found.append(services.API)
    if machine.compute and not {paths.etc / "agent.toml", unit.directory(paths) / services.AGENT}.isdisjoint(changed):
        found.append(services.AGENT)
    return tuple(found)
