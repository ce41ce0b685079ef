"""What makes a machine a member: the description, its name, its secrets and its certificate. A file 0600, or an answer
to a machine that joins by a token."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stackling.deploy.cluster import description, pki, secrets
from stackling.deploy.cluster.description import Cluster, ClusterError
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.pki import Pair, Pki
from stackling.deploy.cluster.secrets import Secrets

FORMAT = 1


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For one machine. ``first``: the machine that begins the cluster's database. ``generation`` is that of the
    description."""

    format: int = FORMAT
    machine: str
    first: bool = False
    generation: int = 1
    cluster: Cluster
    secrets: Secrets
    ca: str
    certificate: str
    key: str
    ca_key: str = ""

    def __repr__(self) -> str:
        return f"Bundle({self.machine} of {self.cluster.name})"

    @property
    def pki(self) -> Pki:
        """Its certificates."""
        return Pki(self.ca.encode(), Pair(self.certificate.encode(), self.key.encode()), self.ca_key.encode())


def make(cluster: Cluster, fence: dict[str, str] | None = None, *, first: str) -> dict[str, Bundle]:
    """New secrets and certificates for a new cluster: one bundle a machine, by name."""
    authority, known = pki.make_authority(cluster.name), secrets.make(cluster, fence)
    return {machine.name: bundle(cluster, machine.name, known[machine.name], authority, first=machine.name == first)
            for machine in cluster.machines}


def bundle(cluster: Cluster, name: str, known: Secrets, authority: Pair, *, first: bool = False,
           generation: int = 1) -> Bundle:
    """For the machine *name*."""
    issued = pki.for_machine(authority, cluster, cluster.machine(name))
    return Bundle(
        machine=name, first=first, generation=generation, cluster=cluster, secrets=known, ca=issued.ca.decode(),
        certificate=issued.machine.certificate.decode(), key=issued.machine.key.decode(), ca_key=issued.ca_key.decode())


def files(bundle: Bundle, paths: Paths) -> list[ConfigFile]:
    """What lies under ``/etc/stackling`` because of it."""
    return [ConfigFile(paths.cluster, description.write(bundle.cluster).encode()),
            ConfigFile(paths.generation, f"{bundle.generation}\n".encode()),
            ConfigFile(paths.etc / "machine", f"{bundle.machine}\n".encode()),
            *secrets.files(bundle.secrets, paths), *pki.files(bundle.pki, paths)]


def pack(bundle: Bundle) -> bytes:
    """As a file."""
    return msgspec.json.encode(bundle)


def unpack(data: bytes, where: str) -> Bundle:
    """The bundle in *data*. Raises ``ClusterError``."""
    try:
        found = msgspec.json.decode(data, type=Bundle)
    except msgspec.MsgspecError as error:
        raise ClusterError(f"{where} is no bundle of a cluster: {error}") from None
    if found.format != FORMAT:
        raise ClusterError(f"{where} was made by another version of Stackling; install the same one here")
    description.check(found.cluster)
    found.cluster.machine(found.machine)
    return found


def read(path: Path) -> Bundle:
    """The bundle in the file *path*. Raises ``ClusterError``."""
    try:
        return unpack(path.read_bytes(), str(path))
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
