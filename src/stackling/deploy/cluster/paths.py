"""Where a cluster machine's files are. ``root`` is ``/`` except in tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.cluster.description import ClusterError


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file to be there: absolute path, content, mode, and whom it belongs to (``user:group``)."""

    path: Path
    content: bytes
    mode: int = 0o644
    owner: str = "root:root"


@dataclass(frozen=True, slots=True)
class Paths:
    """All of them. ``etc`` and ``state`` are kept, ``run`` dies with the machine."""

    root: Path = Path("/")

    @property
    def etc(self) -> Path:
        """Configuration."""
        return self.root / "etc/stackling"

    @property
    def state(self) -> Path:
        """Data."""
        return self.root / "var/lib/stackling"

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.root / "run/stackling"

    @property
    def log(self) -> Path:
        """Logs of what doesn't log to the journal."""
        return self.root / "var/log/stackling"

    @property
    def cluster(self) -> Path:
        """The description of the cluster."""
        return self.etc / "cluster.toml"

    @property
    def generation(self) -> Path:
        """The generation of the description here; a number."""
        return self.etc / "cluster.generation"

    @property
    def secrets(self) -> Path:
        """Directory 0700; one file 0600 a secret (``secrets.py``)."""
        return self.etc / "secrets"

    @property
    def pki(self) -> Path:
        """``ca.crt``, ``machine.crt`` and ``machine.key`` (0600); on control machines ``ca.key``."""
        return self.etc / "pki"

    @property
    def ceph(self) -> Path:
        """``ceph.conf`` and this machine's keyrings (``deploy.ceph.files``)."""
        return self.etc / "ceph"

    @property
    def policies(self) -> Path:
        """Where an administrator may put access rules: ``compute.yaml`` and its like, the same on each machine."""
        return self.etc / "policy"

    @property
    def clouds_yaml(self) -> Path:
        """The administrator's (0600)."""
        return self.etc / "clouds.yaml"

    @property
    def name(self) -> str:
        """Which machine this is. Raises ``ClusterError``."""
        try:
            return (self.etc / "machine").read_text().strip()
        except FileNotFoundError:
            raise ClusterError(f"{self.etc / 'machine'} doesn't exist: this machine is in no cluster") from None
