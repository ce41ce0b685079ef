"""Everything that Stackling puts on a cluster machine, from its description and its secrets. Pure."""

from __future__ import annotations

from stackling.deploy.cluster import services
from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets

PARTS = (services.files,)
"""Each gives its files for ``(cluster, machine, secrets, paths)``."""


def files(cluster: Cluster, machine: Machine, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """All files; the same input gives the same files."""
    return [file for part in PARTS for file in part(cluster, machine, secrets, paths)]


def started_by_systemd(machine: Machine) -> tuple[str, ...]:
    """The units that systemd starts at boot; Pacemaker starts the others."""
    return services.units(machine)
