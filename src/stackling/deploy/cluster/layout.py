"""Everything that Stackling puts on a cluster machine, from its description and its secrets. Pure."""

from __future__ import annotations

from stackling.deploy.cluster import services, unit
from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.galera import configuration as galera
from stackling.deploy.cluster.galera.layout import UNIT as DATABASE
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets


def files(cluster: Cluster, machine: Machine, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """All files; the same input gives the same files. Raises ``ClusterError``."""
    units = galera.units(cluster, machine.name, paths)
    return [*galera.files(cluster, machine.name, secrets, paths),
            *(ConfigFile(unit.directory(paths) / name, text.encode()) for name, text in units.items()),
            *services.files(cluster, machine, secrets, paths)]


def started_by_systemd(machine: Machine) -> tuple[str, ...]:
    """The units that systemd starts at boot; Pacemaker starts the others."""
    return (*((DATABASE,) if machine.control else ()), *services.units(machine))
