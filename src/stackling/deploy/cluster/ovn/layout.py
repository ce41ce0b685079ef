"""Where OVN's and the switch's files are, and which ports the databases have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.cluster.description import Cluster
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.embedded.ovn import OvnPaths

NB_PORT, SB_PORT = 6641, 6642
RAFT_PORTS = {"nb": 6643, "sb": 6644}
SCHEMAS = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}


@dataclass(frozen=True, slots=True)
class Layout:
    """OVN's share of ``Paths``."""

    paths: Paths

    @property
    def centre(self) -> OvnPaths:
        """The databases of control machines."""
        return OvnPaths(self.paths.state / "ovn", self.paths.run / "ovn", self.paths.log)

    @property
    def switch(self) -> OvnPaths:
        """The switch of any machine. Its database dies with the machine, as do the interfaces that it names."""
        return OvnPaths(self.paths.run / "ovs", self.paths.run / "ovs", self.paths.log)

    @property
    def options(self) -> Path:
        """Environment file: what the switch found out about the machine."""
        return self.switch.run / "switch.env"

    @property
    def identity(self) -> Path:
        """Certificate and key of the control machines."""
        return self.paths.secrets / "control_identity"

    def token(self, database: str) -> Path:
        """There from ``cluster init`` until this machine has made the first *database* (``nb`` or ``sb``)."""
        return self.paths.state / f"ovn-{database}-first"

    @property
    def tokens(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(self.token(database) for database in SCHEMAS)


def northbound(cluster: Cluster) -> str:
    """What the control plane connects to."""
    return ",".join(f"ssl:{machine.address}:{NB_PORT}" for machine in cluster.control)


def southbound(cluster: Cluster) -> str:
    """What every machine's ovn-controller connects to."""
    return ",".join(f"ssl:{machine.address}:{SB_PORT}" for machine in cluster.control)
