"""Images that aren't what they claim, or that reach for more than themselves."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stackling.drivers.local import inspection
from stackling.drivers.local.inspection import inspect
from stackling.ports.images import Inspection

MIB = 1 << 20
CAP = 1 << 40
needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def qcow2_header(*, size: int = MIB, backing: int = 0, incompatible: int = 0, crypt: int = 0, cluster_bits: int = 16,
                 l1_entries: int = 1, extensions: bytes = b"") -> bytes:
    """A qcow2 of version 3 with nothing allocated: header, refcount table, refcount block, L1 table."""
    cluster = 1 << cluster_bits
    head = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, backing, 0, cluster_bits, size, crypt, l1_entries,
                       3 * cluster, cluster, 1, 0, 0, incompatible, 0, 0, 4, 104)
    refcounts = struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
    block = (b"\0\1" * 4).ljust(cluster, b"\0")
    return (head + extensions).ljust(cluster, b"\0") + refcounts + block + b"\0" * cluster


@pytest.fixture
def look(tmp_path: Path) -> Callable[[bytes, str], Inspection]:
    def found(data: bytes, declared: str) -> Inspection:
        path = tmp_path / "image"
        path.write_bytes(data)
        return inspect(path, declared, CAP)

    return found


Look = Callable[[bytes, str], Inspection]


def test_an_honest_qcow2(look: Look) -> None:
    assert look(qcow2_header(), "qcow2") == Inspection("qcow2", MIB)


def test_honest_raw_data(look: Look) -> None:
    mbr = b"\0" * 510 + b"\x55\xaa" + b"\0" * 1000
    assert look(mbr, "raw") == Inspection("raw", len(mbr))
    assert look(b"", "raw") == Inspection("raw", 0)
    assert look(b"kernel", "aki") == Inspection("raw", 6)


@pytest.mark.parametrize(("header", "word"), [
    (qcow2_header(backing=512), "backing file"),
    (qcow2_header(incompatible=4), "external"),
    (qcow2_header(extensions=struct.pack(">II", 0x44415441, 8) + b"/etc/pwd"), "external"),
    (qcow2_header(incompatible=1 << 40), "features"),
    (qcow2_header(incompatible=2), "corrupt"),
    (qcow2_header(crypt=2), "encrypted"),
    (qcow2_header(cluster_bits=16)[:20] + struct.pack(">I", 40) + qcow2_header()[24:], "impossible"),
    (qcow2_header(size=0), "no size"),
    (qcow2_header(size=1 << 50), "too small"),
    (qcow2_header(size=1 << 50, l1_entries=1 << 21), "cut off"),
    (qcow2_header(l1_entries=1 << 31), "can't be"),
    (qcow2_header()[:60], "cut off"),
    (qcow2_header()[:100], "cut off"),
    (qcow2_header()[:3 << 16], "cut off"),
])
def test_dangerous_qcow2(look: Look, header: bytes, word: str) -> None:
    found = look(header, "qcow2")
    assert found.problem is not None
    assert word in found.problem
    assert not found.mismatch


def test_a_disk_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(qcow2_header(size=512 * MIB))
    assert "at most" in str(inspect(path, "qcow2", 511 * MIB).problem)
    assert inspect(path, "qcow2", 512 * MIB).problem is None


def test_one_pebibyte(look: Look) -> None:
    """Tables that fit such a size, all holes: small to upload, endless to boot from."""
    size, cluster_bits = 1 << 50, 21
    entries = size >> (2 * cluster_bits - 3)
    data = bytearray(qcow2_header(size=size, cluster_bits=cluster_bits, l1_entries=entries))
    found = look(bytes(data), "qcow2")
    assert found.problem is not None
    assert "at most" in found.problem


@needs_qemu
def test_a_truncated_qcow2(tmp_path: Path) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(b"x" * (4 * MIB))
    for compressed in ([], ["-c"]):
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", *compressed, raw, path], check=True)
        assert inspect(path, "qcow2", CAP) == Inspection("qcow2", 4 * MIB)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, path], check=True)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 2 * MIB)
    assert "cut off" in str(inspect(path, "qcow2", CAP).problem)


@needs_qemu
def test_a_real_backing_file(tmp_path: Path) -> None:
    base, path = tmp_path / "base", tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", base, "1M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path], check=True)
    assert inspect(path, "qcow2", CAP).problem == "has a backing file"


@needs_qemu
@pytest.mark.parametrize(("qemu", "ours"), [
    ("vmdk", "vmdk"), ("vdi", "vdi"), ("vpc", "vhd"), ("vhdx", "vhdx"), ("qcow2", "qcow2"), ("qed", "qed"),
    ("parallels", "ploop")])
def test_nothing_passes_for_raw(tmp_path: Path, qemu: str, ours: str) -> None:
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", qemu, path, "4M"], check=True)
    found = inspect(path, "raw", CAP)
    assert found.mismatch
    assert found.problem is not None
    assert ours in found.problem
    if ours != "qed":
        honest = inspect(path, ours, CAP)
        assert (honest.format, honest.problem) == (ours, None)
        assert honest.virtual_size >= 4 * MIB


def test_raw_data_isnt_qcow2(look: Look) -> None:
    for declared in ("qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"):
        found = look(b"\0" * 100_000, declared)
        assert found.mismatch
        assert found.problem == f"says that it is {declared} and isn't"


def test_an_image_of_two_formats(look: Look) -> None:
    data = bytearray(qcow2_header())
    data[0x8001:0x8006] = b"CD001"
    assert "iso" in str(look(bytes(data), "qcow2").problem)
    assert "qcow2" in str(look(bytes(data), "iso").problem)


def test_a_vmdk_descriptor_that_names_a_file_of_the_host(look: Look) -> None:
    descriptor = b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'
    assert "names other files" in str(look(descriptor.ljust(2048, b"\0"), "vmdk").problem)
    sparse = struct.pack("<4sIIQQQQ", b"KDMV", 1, 0, 2048, 128, 1, 2).ljust(512, b"\0")
    inside = descriptor.replace(b"monolithicFlat", b"monolithicSparse")
    assert "other files" in str(look((sparse + inside).ljust(4096, b"\0"), "vmdk").problem)


def test_an_inspector_that_dies_or_hangs_refuses(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broken.py"
    monkeypatch.setattr(inspection.inspector, "__file__", str(program))
    monkeypatch.setattr(inspection, "WALL_SECONDS", 0.3)
    for code in ("import os; os.abort()", "while True: pass", "print('raw')"):
        program.write_text(code)
        assert look(b"x", "raw").problem == inspection.FAILED
