"""Where one cloud of this machine lives: the state directory, its run directory, and names derived from it.

Several clouds may live on one machine, one a state directory. Whatever is visible outside of the directory (network
namespaces, interfaces, the run directory) carries ``instance``, so that they don't collide.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

SYSTEM_DIRECTORY = Path("/var/lib/stackling")
ENVIRONMENT = "STACKLING_STATE_DIR"
REMEMBERED = "run-directory"
"""The file that says where the run directory is, in a cloud without root."""


def default_directory() -> Path:
    """The state directory where none is named: root's or the user's own."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "stackling"


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The files of one cloud. ``root`` is absolute; make it by ``StateDirectory.at``."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> StateDirectory:
        """The state directory at *path*, or the default one."""
        return cls(Path(path if path is not None else default_directory()).absolute())

    @property
    def digest(self) -> str:
        """Eight hex digits that stand for this directory."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]

    @property
    def instance(self) -> str:
        """The name of this cloud on this machine, at most 13 characters, so that it fits in names of interfaces."""
        return "stackling" if self.root == SYSTEM_DIRECTORY else f"stk-{self.digest}"

    @property
    def run(self) -> Path:
        """The run directory: sockets (whose paths are limited to 107 bytes) and what dies with the machine.

        Without root it depends on the environment, so the one that was made is remembered: a shell with another
        environment finds the same cloud.
        """
        if os.geteuid() == 0:
            return Path("/run/stackling") / self.digest
        if made := self._remembered_run():
            return made
        if runtime := os.environ.get("XDG_RUNTIME_DIR"):
            return Path(runtime) / "stackling" / self.digest
        return Path(f"/tmp/stackling-{os.geteuid()}") / self.digest

    def _remembered_run(self) -> Path | None:
        try:
            made = Path((self.root / REMEMBERED).read_text().strip())
            return made if made.stat().st_uid == os.geteuid() else None
        except OSError:
            return None

    @property
    def configuration(self) -> Path:
        return self.root / "stackling.toml"

    @property
    def clouds_yaml(self) -> Path:
        return self.root / "clouds.yaml"

    @property
    def cluster_key(self) -> Path:
        return self.root / "cluster.key"

    @property
    def machine_credential(self) -> Path:
        return self.root / "machine.credential"

    @property
    def database(self) -> Path:
        return self.root / "stackling.db"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def instances(self) -> Path:
        return self.root / "instances"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def ovn(self) -> Path:
        return self.root / "ovn"

    @property
    def ceph(self) -> Path:
        """``ceph.conf`` and keyrings (``deploy.ceph.files``)."""
        return self.root / "ceph"

    @property
    def policies(self) -> Path:
        """Where an administrator may put access rules: ``compute.yaml`` and its like."""
        return self.root / "policy"

    @property
    def simulated_cluster(self) -> Path:
        """Which simulated machines have power and a network."""
        return self.root / "cluster" / "machines.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def pid_file(self, name: str) -> Path:
        """Where the pid of the process *name* is written."""
        return self.root / f"{name}.pid"

    def log_file(self, name: str) -> Path:
        """Where the process *name* logs."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the directories that are missing; the state directory may be entered by others (QEMU's account
        reads images), the run directory may not, except as root, where the directory above it is the gate."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path in (self.images, self.instances, self.ovn, self.logs):
            path.mkdir(mode=0o755, exist_ok=True)
        self.logs.chmod(0o700)
        self.make_run()

    def make_run(self) -> None:
        """Make the run directory, safely under ``/tmp``: one that somebody else made is refused."""
        parent = self.run.parent
        parent.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        if parent.stat().st_uid != os.geteuid() or parent.is_symlink():
            raise PermissionError(f"{parent} belongs to somebody else; set XDG_RUNTIME_DIR to a directory of yours")
        run = self.run
        run.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
        if os.geteuid() != 0:
            (self.root / REMEMBERED).write_text(f"{run}\n")

    def remove(self) -> None:
        """Delete the data. Refuses a directory that doesn't look like one of ours; may be interrupted and repeated,
        since what it is known by goes last. A mount point, or what a link leads to, is emptied and stays."""
        run = self.run
        if self.root.exists():
            if not self.configuration.exists() and any(self.root.iterdir()):
                raise ValueError(f"{self.root} holds no stackling.toml: not deleted")
            kept = [path for path in sorted(self.root.rglob("*")) if path.is_mount()]
            if kept:
                raise ValueError(f"{kept[0]} is a mount point: unmount it first")
            for path in self.root.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path != self.configuration:
                    path.unlink(missing_ok=True)
            self.configuration.unlink(missing_ok=True)
            if not self.root.is_mount() and not self.root.is_symlink():
                self.root.rmdir()
        shutil.rmtree(run, ignore_errors=True)
