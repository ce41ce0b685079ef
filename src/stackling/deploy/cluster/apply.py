"""Put files in place. Nothing is decided here: what must be there was computed before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from stackling.deploy.cluster.paths import ConfigFile

PRIVATE, OPEN = 0o700, 0o755


def apply(files: Iterable[ConfigFile]) -> list[Path]:
    """Make each file as described, whole or not at all; those that were altered. Raises ``OSError``."""
    return [file.path for file in files if put(file)]


def put(file: ConfigFile) -> bool:
    """Whether anything had to be changed. A private file's directory, where it is missing, is made private, too."""
    user, _, group = file.owner.partition(":")
    if _is_there(file):
        return False
    file.path.parent.mkdir(mode=OPEN if file.mode & 0o044 else PRIVATE, parents=True, exist_ok=True)
    temporary = file.path.with_name(f".{file.path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.content)
        if os.geteuid() == 0:
            shutil.chown(temporary, user, group or None)
        os.fchmod(descriptor, file.mode)
        stream.flush()
        os.fsync(descriptor)
    temporary.replace(file.path)
    return True


def _is_there(file: ConfigFile) -> bool:
    try:
        state = file.path.lstat()
        if state.st_mode & 0o7777 != file.mode or file.path.is_symlink() or file.path.read_bytes() != file.content:
            return False
        return os.geteuid() != 0 or f"{file.path.owner()}:{file.path.group()}" == file.owner
    except (OSError, KeyError):
        return False
