"""Byte locks on files of a shared directory: open file description locks, as QEMU takes them (``fcntl(2)``).

QEMU marks what it does with an image by *read* locks on single bytes, one for what it needs and one for what it doesn't
let others do, and looks with ``F_OFD_GETLK`` whether somebody else has marked what conflicts (``block/file-posix.c``:
bytes from 100 and from 200 on, in the order of the permissions read, write …). A file system that keeps such locks on
one machine only, as ``nolock`` and ``local_lock`` do with NFS, lets two machines write the same disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

WRITES, LETS_NOBODY_WRITE = 101, 201
"""The bytes that QEMU marks when it writes an image, and when it lets nobody else do so."""
WHOLE = 300
"""A byte that QEMU doesn't use, for locks of our own."""
_FLOCK = struct.Struct("hhqqi4x")


def take(file: int, byte: int, *, exclusive: bool) -> bool:
    """Lock a byte; whether it was free. Raises ``OSError`` where locks don't work."""
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def drop(file: int, byte: int) -> None:
    """Let go of a byte."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))


def is_taken(file: int, byte: int) -> bool:
    """Whether another open file has the byte locked in any way. Raises ``OSError`` where locks don't work."""
    found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    return _FLOCK.unpack(found)[0] != fcntl.F_UNLCK


def is_written(path: Path) -> bool:
    """Whether some QEMU, on any machine, has the image at *path* open to write. Raises ``OSError``."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return is_taken(file, WRITES) or is_taken(file, LETS_NOBODY_WRITE)
    finally:
        os.close(file)
