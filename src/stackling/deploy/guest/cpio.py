"""Archives in the `newc` form of cpio, the one that the kernel unpacks as its first root file system.

The form is described in the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Everything belongs
to root and carries the time zero, so that equal trees give equal archives.
"""

import stat
from pathlib import Path

_TRAILER = "TRAILER!!!"


def archive(tree: Path) -> bytes:
    """The files, directories and symbolic links below `tree`, sorted by name."""
    parts: list[bytes] = []
    for inode, path in enumerate(sorted(tree.rglob("*")), start=1):
        status = path.lstat()
        if path.is_symlink():
            body = str(path.readlink()).encode()
        elif stat.S_ISREG(status.st_mode):
            body = path.read_bytes()
        elif stat.S_ISDIR(status.st_mode):
            body = b""
        else:
            raise ValueError(f"{path} is neither a file, a directory nor a symbolic link")
        parts.append(_entry(str(path.relative_to(tree)), body, inode=inode, mode=status.st_mode))
    parts.append(_entry(_TRAILER, b"", inode=0, mode=0))
    return b"".join(parts)


def _entry(name: str, body: bytes, *, inode: int, mode: int) -> bytes:
    encoded = name.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, device (2), special device (2), length of the name, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(body)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
