"""Where scenarios take place: a cluster of three machines in a lab, made once for all of them.

``STACKLING_LAB_KEEP=1`` leaves the cluster for a look, and uses one that is there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from stackling.lab import lab as labs
from tests.lab.cloud import Cloud
from tests.lab.story import SERVERS

KEEP = os.environ.get("STACKLING_LAB_KEEP", "0") != "0"


class Stage:
    """One cluster at a time, of three machines of which so many only compute."""

    def __init__(self, directory: Path, *, keep: bool) -> None:
        self._directory, self._keep = directory, keep
        self._compute_only, self._name = -1, ""
        self._cloud: Cloud | None = None

    def cloud(self, compute_only: int) -> Cloud:
        """The cluster, made when it isn't the one that is there."""
        if self._cloud is None or self._compute_only != compute_only:
            self.clear()
            self._cloud, self._compute_only = self._made(compute_only), compute_only
        return self._cloud

    def _made(self, compute_only: int) -> Cloud:
        from stackling.lab import cluster as bootstrapping

        kind = "har" if compute_only else "ha"
        self._name = kind if self._keep else f"{kind}{os.getpid() % 10_000}"
        directory = self._directory / kind
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        began = time.monotonic()
        lab = labs.up(self._name, machines=3, compute_only=compute_only, progress=print)
        bootstrapping.bootstrap(lab, ceph=True, progress=print)
        print(f"[seconds] three machines from nothing: {time.monotonic() - began:.1f}")
        made = Cloud(lab, directory / "key")
        made.furnish(guest_image(), list(SERVERS))
        return made

    def clear(self) -> None:
        """Take away what there is, or, to be kept, let go of it."""
        if self._cloud is not None:
            self._cloud.close()
            self._cloud = None
        if self._name and not self._keep:
            labs.down(self._name)
        self._name = ""


def guest_image() -> Path:
    """The tiny guest, built if need be."""
    from stackling.deploy.guest import build

    path = Path(os.environ.get("STACKLING_GUEST_IMAGE", "/var/tmp/stackling-tests/tiny.qcow2"))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        build.build(path)
    return path
