"""The initial RAM disk's archive, read back by a reader of the same form."""

import os
from pathlib import Path

import pytest

from stackling.deploy.guest import cpio


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Names with mode and content; asserts on the form of each header."""
    found: dict[str, tuple[int, bytes]] = {}
    offset = 0
    while True:
        assert data[offset : offset + 6] == b"070701"
        fields = [int(data[offset + 6 + 8 * n : offset + 14 + 8 * n], 16) for n in range(13)]
        mode, owner, group, time, size, length = (fields[n] for n in (1, 2, 3, 5, 6, 11))
        assert (owner, group, time) == (0, 0, 0)
        name = data[offset + 110 : offset + 110 + length - 1].decode()
        start = -(-(offset + 110 + length) // 4) * 4
        if name == "TRAILER!!!":
            assert start == len(data)
            return found
        found[name] = (mode, data[start : start + size])
        offset = -(-(start + size) // 4) * 4


def test_files_directories_and_links(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "busybox").write_bytes(b"12345")
    (tmp_path / "bin" / "busybox").chmod(0o755)
    (tmp_path / "bin" / "sh").symlink_to("busybox")
    found = entries(cpio.archive(tmp_path))
    assert list(found) == ["bin", "bin/busybox", "bin/sh"]
    assert found["bin/busybox"] == (0o100755, b"12345")
    assert found["bin/sh"] == (0o120777, b"busybox")
    assert found["bin"][0] & 0o170000 == 0o040000


def test_equal_trees_give_equal_archives(tmp_path: Path) -> None:
    for tree, time in (("a", 1_000_000_000), ("b", 1_500_000_000)):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "init").write_bytes(b"#!/bin/sh\n")
        os.utime(tmp_path / tree / "init", (time, time))
    assert cpio.archive(tmp_path / "a") == cpio.archive(tmp_path / "b")


def test_a_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="neither a file"):
        cpio.archive(tmp_path)
