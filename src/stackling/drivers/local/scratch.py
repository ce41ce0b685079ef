"""Directories for what is read out of storage for a while."""

from __future__ import annotations

import shutil
from pathlib import Path

PREFIX = ".read-"


def sweep(directory: Path) -> None:
    """Remove what a process that was killed has left there; to be called before anything is read."""
    for path in directory.glob(f"{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
