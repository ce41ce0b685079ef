"""The secrets of a cluster: made once at random, one file 0600 each, and on each machine only what its role needs.

A control machine has all of them. Another one has its own credential and the key of pacemaker_remote, by which the
members reach it; nothing with which it could read the database or sign anything.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

import msgspec

from stackling.deploy.cluster import pki
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths


class Secrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one machine knows. Empty: not for this machine.

    ``credential`` is what its agent sends to control (beside its certificate). ``pacemaker_key`` is
    ``/etc/pacemaker/authkey``, ``corosync_key`` ``/etc/corosync/authkey``. ``cluster_key`` (hex) seals secrets in the
    database. ``database_password`` is that of ``stackling`` in MariaDB, ``replication_password`` that by which
    nodes copy the database to each other. ``rabbitmq_cookie`` joins the brokers, ``rabbitmq_password`` is that of the
    account ``stackling``. ``credentials`` holds, for control, the SHA-256 of each machine's credential. ``fence`` holds
    what the fence agent needs and nobody else may see (as ``{"password" = …}``). ``control_identity`` is a certificate
    and its key (PEM), the same on all control machines and on no other: whoever shows it belongs to the control plane,
    which a certificate of the cluster's authority doesn't say (each machine has one).
    """

    credential: str
    pacemaker_key: bytes
    corosync_key: bytes = b""
    cluster_key: str = ""
    admin_password: str = ""
    database_password: str = ""
    replication_password: str = ""
    rabbitmq_cookie: str = ""
    rabbitmq_password: str = ""
    control_identity: str = ""
    credentials: dict[str, str] = {}
    fence: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Secrets(…)"


CONTROL_ONLY = ("corosync_key", "cluster_key", "admin_password", "database_password", "replication_password",
                "rabbitmq_cookie", "rabbitmq_password", "control_identity", "credentials", "fence")
_TEXT = frozenset(("credential", "cluster_key", "admin_password", "database_password", "replication_password",
                   "rabbitmq_cookie", "rabbitmq_password", "control_identity"))


def make(cluster: Cluster, fence: dict[str, str] | None = None) -> dict[str, Secrets]:
    """New secrets for every machine of *cluster*, by name."""
    credentials = {machine.name: secrets.token_hex(32) for machine in cluster.machines}
    everything = Secrets(
        credential="", pacemaker_key=secrets.token_bytes(128), corosync_key=secrets.token_bytes(128),
        cluster_key=secrets.token_hex(32), admin_password=secrets.token_urlsafe(18),
        database_password=secrets.token_urlsafe(24), replication_password=secrets.token_urlsafe(24),
        rabbitmq_cookie=secrets.token_hex(20), rabbitmq_password=secrets.token_urlsafe(24),
        control_identity=pki.make_identity(cluster.name),
        credentials={name: digest(value) for name, value in credentials.items()}, fence=fence or {})
    return {machine.name: for_machine(everything, machine, credentials[machine.name]) for machine in cluster.machines}


def for_machine(known: Secrets, machine: Machine, credential: str) -> Secrets:
    """What *machine*, whose credential this is, gets of what a control machine knows."""
    own = msgspec.structs.replace(known, credential=credential)
    if machine.control:
        return own
    return Secrets(credential=credential, pacemaker_key=own.pacemaker_key)


def digest(credential: str) -> str:
    """What control keeps of a machine's credential."""
    return hashlib.sha256(credential.encode()).hexdigest()


def files(secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """One file a secret, named as the field; only the owner (root) reads them."""
    found: list[ConfigFile] = []
    for name in secrets.__struct_fields__:
        value = getattr(secrets, name)
        if value:
            content = value if isinstance(value, bytes) else (
                f"{value}\n".encode() if name in _TEXT else msgspec.json.encode(value))
            found.append(ConfigFile(paths.secrets / name, content, 0o600))
    return found


def read(paths: Paths) -> Secrets:
    """This machine's secrets. Raises ``ClusterError``, also when others than the owner may read one."""
    values: dict[str, object] = {}
    for name in Secrets.__struct_fields__:
        path = paths.secrets / name
        try:
            content = _private(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ClusterError(f"{path}: {error.strerror}") from None
        values[name] = (content if name.endswith("_key") and name not in _TEXT
                        else content.decode().strip() if name in _TEXT else msgspec.json.decode(content))
    try:
        return Secrets(**values)    # type: ignore[arg-type]
    except TypeError:
        raise ClusterError(f"{paths.secrets} has no secrets of a cluster; run `stackling cluster init` or `stackling "
                           "cluster join`") from None


def _private(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ClusterError(f"{path} may be read by others (mode {stat.S_IMODE(mode):o}); run `chmod 600 {path}` "
                               "and think about who may have read it")
        return file.read()
