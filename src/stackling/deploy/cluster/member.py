"""Becoming a machine of a cluster: the first one makes everything, the others take what was made for them.

Both write the description last, so that whatever was interrupted is simply done again.
"""

from __future__ import annotations

from pathlib import Path

from stackling.deploy.cluster import apply, bundle, description, layout, secrets
from stackling.deploy.cluster.bundle import Bundle
from stackling.deploy.cluster.description import Cluster, ClusterError
from stackling.deploy.cluster.paths import ConfigFile, Paths


def init(cluster: Cluster, name: str, paths: Paths, fence: dict[str, str] | None = None) -> dict[str, Path]:
    """Make *cluster* with this machine, *name*, as its first one: secrets, certificates, and a bundle for each other
    machine, by name. Raises ``ClusterError`` where there is a cluster."""
    if not description.check(cluster).machine(name).control:
        raise ClusterError(f"{name} must be a control machine: the first one makes what the others join")
    _refuse_second(paths)
    made = bundle.make(cluster, fence, first=name)
    others = {other: bundles(paths) / f"{other}.bundle" for other in made if other != name}
    apply.apply(ConfigFile(path, bundle.pack(made[other]), 0o600) for other, path in others.items())
    _take(made[name], paths)
    return others


def join(found: Bundle, paths: Paths) -> None:
    """Become the machine that *found* is for. Raises ``ClusterError`` where there is another cluster or machine."""
    if paths.cluster.exists() and description.read(paths.cluster).name != found.cluster.name:
        raise ClusterError(f"this is a machine of cluster {description.read(paths.cluster).name}")
    refuse_other(paths, found.machine)
    _take(found, paths)


def refuse_other(paths: Paths, name: str) -> None:
    """Raises ``ClusterError`` when this is a machine of a cluster by another name."""
    if paths.cluster.exists() and paths.name != name:
        raise ClusterError(f"this is machine {paths.name} of cluster {description.read(paths.cluster).name}")


def install(paths: Paths) -> list[Path]:
    """Write every file that this machine must have; those that were altered. Raises ``ClusterError``."""
    cluster, known = description.read(paths.cluster), secrets.read(paths)
    return apply.apply(layout.files(cluster, cluster.machine(paths.name), known, paths))


def generation(paths: Paths) -> int:
    """That of the description here; 0 when it isn't known."""
    try:
        return int(paths.generation.read_text())
    except (OSError, ValueError):
        return 0


def take(generation: int, cluster: Cluster, paths: Paths) -> list[Path]:
    """Put a newer description in place; what was altered."""
    cluster.machine(paths.name)
    return apply.apply([ConfigFile(paths.cluster, description.write(cluster).encode()),
                        ConfigFile(paths.generation, f"{generation}\n".encode())])


def bundles(paths: Paths) -> Path:
    """Where the first machine keeps the bundles of the others (0700)."""
    return paths.state / "bundles"


def _take(found: Bundle, paths: Paths) -> None:
    files = bundle.files(found, paths)
    if found.first:
        files += layout.first(found.cluster, paths)
    apply.apply(sorted(files, key=lambda file: file.path == paths.cluster))


def _refuse_second(paths: Paths) -> None:
    if paths.cluster.exists():
        raise ClusterError(f"{paths.cluster} exists: this machine is one of cluster "
                           f"{description.read(paths.cluster).name} already")
    if (paths.state / "stackling.toml").exists():
        raise ClusterError(f"{paths.state} holds a cloud of this machine alone (`stackling up`); `stackling purge` "
                           "removes it, with all its data")
