"""Find out what a disk image really is, without trusting it.

Run as a program (``python -I -S inspector.py DECLARED_FORMAT`` with the image as standard input) it first limits
itself (CPU seconds, address space, files), then prints four fields, separated by tabs: format, virtual size,
``mismatch`` or ``unsafe`` or nothing, and the problem. It imports the standard library only and reads little:
headers, and for qcow2 the tables that say where the data lies. With the image's size as second argument it asks for
what it wants to read (``read OFFSET LENGTH``, a line each, never beyond the end) and takes it from standard input.

Sources: docs/interop/qcow2.txt, docs/interop/parallels.txt and block/{vdi,vpc,vhdx,qed}.c of QEMU for the layouts;
ECMA-119 for ISO 9660; VMware's "Virtual Disk Format 1.1".
"""

from __future__ import annotations

import os
import struct
import sys
from array import array

KNOWN = ("raw", "qcow2", "qcow", "qed", "vmdk", "vdi", "vhd", "vhdx", "iso", "ploop", "luks")
OPAQUE = ("ami", "ari", "aki")
"""Formats of which nothing can be seen: plain data."""
CPU_SECONDS, ADDRESS_SPACE = 20, 512 << 20
SECTOR = 512
TABLE_MOST = 32 << 20
"""Bytes of the largest table that is read, which is QEMU's own limit."""
DIRTY, CORRUPT, EXTERNAL, COMPRESSION, EXTENDED_L2 = 1, 2, 4, 8, 16
OFFSET_MASK = 0x00FFFFFFFFFFFE00
COMPRESSED_FLAG = 1 << 62


class Refused(Exception):
    """Why the image isn't accepted."""


class Mismatch(Refused):
    """It isn't what it is said to be."""


class File:
    """An image opened for reading."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size

    def at(self, offset: int, length: int) -> bytes:
        """The bytes there; fewer at the end."""
        if offset >= self.size or offset < 0:
            return b""
        return os.pread(self.fd, length, offset)


class Asked(File):
    """An image of *size* bytes that lies elsewhere: whoever started this process reads it for us."""

    def __init__(self, size: int) -> None:
        self.size = size

    def at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        print(f"read {offset} {length}", flush=True)
        return sys.stdin.buffer.read(length)


def formats(file: File) -> list[str]:
    """Every format whose signature is there; none: raw."""
    head = file.at(0, 1024)
    found: list[str] = []
    if head[:4] == b"QFI\xfb":
        found.append("qcow2" if head[4:8] in (b"\0\0\0\2", b"\0\0\0\3") else "qcow")
    if head[:4] == b"QED\0":
        found.append("qed")
    if head[:4] in (b"KDMV", b"COWD") or head.lstrip()[:21].lower() == b"# disk descriptorfile":
        found.append("vmdk")
    if head[64:68] == b"\x7f\x10\xda\xbe":
        found.append("vdi")
    if head[:8] == b"vhdxfile":
        found.append("vhdx")
    if head[:8] == b"conectix" or (file.size >= 2 * SECTOR and file.at(file.size - SECTOR, 8) == b"conectix"):
        found.append("vhd")
    if head[:6] == b"LUKS\xba\xbe":
        found.append("luks")
    if head[:16] in (b"WithoutFreeSpace", b"WithouFreSpacExt"):
        found.append("ploop")
    if file.at(0x8001, 5) in (b"CD001", b"NSR02", b"NSR03", b"BEA01"):
        found.append("iso")
    return found


def inspect(file: File, declared: str) -> tuple[str, int]:
    """(format, virtual size in bytes). Raises ``Refused``.

    What is declared raw may hold an ISO 9660 file system or LUKS, which are data of the guest like any other; it
    may not look like a format that a program would interpret.
    """
    found = formats(file)
    guest_data = {"iso", "luks"} if declared == "raw" else set()
    others = [name for name in found if name != declared and name not in guest_data]
    if others:
        raise Mismatch(f"says that it is {declared} and is {' and '.join(others)}")
    if declared == "raw" or declared in OPAQUE or (declared == "ploop" and not found):
        return "raw", file.size
    if declared not in found:
        raise Mismatch(f"says that it is {declared} and isn't")
    sizes = {"qcow2": qcow2, "vmdk": vmdk, "vdi": vdi, "vhd": vhd, "vhdx": vhdx, "iso": iso, "ploop": ploop}
    return declared, sizes[declared](file)


# -- qcow2


def qcow2(file: File) -> int:
    """Virtual size, when it is whole and depends on no other file. Raises ``Refused``."""
    head = file.at(0, 104)
    if len(head) < 72:
        raise Refused("is cut off within its header")
    (_, version, backing, _, cluster_bits, size, crypt, l1_entries, l1_offset, refcount_offset, refcount_clusters,
     snapshots, _) = struct.unpack(">4sIQIIQIIQQIIQ", head[:72])
    if backing:
        raise Refused("has a backing file")
    if not 9 <= cluster_bits <= 21:
        raise Refused("has clusters of an impossible size")
    if crypt:
        raise Refused("is encrypted")
    if size == 0:
        raise Refused("holds a disk of no size")
    incompatible, header_length, extended = 0, 72, False
    if version == 3:
        if len(head) < 104:
            raise Refused("is cut off within its header")
        incompatible = struct.unpack(">Q", head[72:80])[0]
        refcount_order, header_length = struct.unpack(">II", head[96:104])
        if refcount_order > 6 or not 104 <= header_length <= 1 << cluster_bits:
            raise Refused("has a header that can't be")
    if incompatible & EXTERNAL:
        raise Refused("keeps its data in an external file")
    if incompatible & CORRUPT:
        raise Refused("is marked as corrupt")
    if incompatible & ~(DIRTY | CORRUPT | EXTERNAL | COMPRESSION | EXTENDED_L2):
        raise Refused(f"uses features that nobody knows ({incompatible:#x})")
    extended = bool(incompatible & EXTENDED_L2)
    _extensions(file, header_length, 1 << cluster_bits)
    _table(file, "refcount table", refcount_offset, refcount_clusters << cluster_bits, 1 << cluster_bits)
    _table(file, "L1 table", l1_offset, l1_entries * 8, 1 << cluster_bits)
    per_l2 = (1 << cluster_bits) // (16 if extended else 8)
    needed = -(-size // (per_l2 << cluster_bits))
    if l1_entries < needed:
        raise Refused("has tables too small for its size")
    if snapshots > 65536:
        raise Refused("has more snapshots than can be")
    _clusters(file, l1_offset, min(l1_entries, needed), cluster_bits, extended)
    return size


def _table(file: File, name: str, offset: int, length: int, cluster: int) -> None:
    if offset == 0 or offset % cluster or length == 0 or length > TABLE_MOST:
        raise Refused(f"has a {name} that can't be")
    if offset + length > file.size:
        raise Refused(f"is cut off: its {name} lies beyond its end")


def _extensions(file: File, offset: int, cluster: int) -> None:
    for _ in range(256):
        head = file.at(offset, 8)
        if len(head) < 8 or offset + 8 > cluster:
            return
        kind, length = struct.unpack(">II", head)
        if kind == 0:
            return
        if kind == 0x44415441:
            raise Refused("names an external data file")
        if kind == 0x0537BE77:
            raise Refused("is encrypted")
        if length > cluster:
            raise Refused("has a header extension that can't be")
        offset += 8 + (length + 7) // 8 * 8
    raise Refused("has more header extensions than can be")


def _clusters(file: File, l1_offset: int, l1_entries: int, cluster_bits: int, extended: bool) -> None:
    """Every cluster that is referred to must lie within the file."""
    cluster = 1 << cluster_bits
    compressed_mask = (1 << (62 - (cluster_bits - 8))) - 1
    for l2_offset in set(_words(file.at(l1_offset, l1_entries * 8))):
        l2_offset &= OFFSET_MASK
        if l2_offset == 0:
            continue
        if l2_offset % cluster or l2_offset >= file.size:
            raise Refused("is cut off: a table of it lies beyond its end")
        words = _words(file.at(l2_offset, cluster))
        if extended:
            words = words[::2]
        last = 0
        for word in set(words):
            offset = word & compressed_mask if word & COMPRESSED_FLAG else word & OFFSET_MASK
            if offset > last:
                last = offset
        if last >= file.size:
            raise Refused("is cut off: data of it lies beyond its end")


def _words(data: bytes) -> array[int]:
    words = array("Q", data[:len(data) // 8 * 8])
    if sys.byteorder == "little":
        words.byteswap()
    return words


# -- the others: virtual size, and nothing that names another file


def vmdk(file: File) -> int:
    """Only single files with a sparse header: a descriptor can name any file of the host."""
    head = file.at(0, SECTOR)
    if head[:4] != b"KDMV" or len(head) < SECTOR:
        raise Refused("is a VMDK descriptor that names other files; convert it to one monolithicSparse or "
                      "streamOptimized file")
    _, version, _, capacity, _, descriptor_at, descriptor_sectors = struct.unpack("<4sIIQQQQ", head[:44])
    if version not in (1, 2, 3):
        raise Refused("has a VMDK version that nobody knows")
    if not 0 < descriptor_sectors <= 64:
        raise Refused("has a VMDK descriptor that can't be")
    text = file.at(descriptor_at * SECTOR, descriptor_sectors * SECTOR).split(b"\0")[0]
    kinds: list[str] = []
    extents: list[str] = []
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.strip().split(None, 1)
        if line.strip().lower().startswith("createtype"):
            kinds.append(line.partition("=")[2].strip().strip('"'))
        if line.strip().lower().startswith("parentfilenamehint"):
            raise Refused("has a parent file")
        if words and words[0].upper() in ("RW", "RDONLY", "NOACCESS"):
            extents.append(line.strip())
    if kinds not in (["monolithicSparse"], ["streamOptimized"]):
        raise Refused(f"is a VMDK of a type that isn't accepted ({', '.join(kinds)})")
    if len(extents) != 1 or "/" in extents[0]:
        raise Refused("is a VMDK with extents in other files")
    return capacity * SECTOR


def vdi(file: File) -> int:
    """VirtualBox: size at 0x170; a differencing image (type 4) has a parent."""
    head = file.at(0, 0x178)
    if len(head) < 0x178:
        raise Refused("is cut off within its header")
    if struct.unpack("<I", head[0x4C:0x50])[0] not in (1, 2):
        raise Refused("is a VDI that depends on another file")
    return struct.unpack("<Q", head[0x170:0x178])[0]


def vhd(file: File) -> int:
    """Size in the footer, of which a dynamic disk has a copy at its start; type 4 has a parent."""
    head = file.at(0, SECTOR)
    if head[:8] != b"conectix":
        head = file.at(file.size - SECTOR, SECTOR)
    if len(head) < SECTOR:
        raise Refused("is cut off within its header")
    if struct.unpack(">I", head[60:64])[0] not in (2, 3):
        raise Refused("is a VHD that depends on another file")
    return struct.unpack(">Q", head[48:56])[0]


_METADATA = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
_VIRTUAL_SIZE = bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8")
_FILE_PARAMETERS = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")


def vhdx(file: File) -> int:
    """Region table → metadata table → virtual disk size; refused when the parameters say that it has a parent."""
    region = file.at(192 << 10, 64 << 10)
    if region[:4] != b"regi":
        raise Refused("has no VHDX region table")
    at = _entry(region, 16, struct.unpack("<I", region[8:12])[0], _METADATA)
    metadata = file.at(at, 64 << 10)
    if metadata[:8] != b"metadata":
        raise Refused("has no VHDX metadata")
    count = struct.unpack("<H", metadata[10:12])[0]
    items: dict[bytes, tuple[int, int]] = {}
    for i in range(min(count, 2047)):
        entry = metadata[32 + i * 32:64 + i * 32]
        if len(entry) == 32:
            items[entry[:16]] = struct.unpack("<II", entry[16:24])
    if _VIRTUAL_SIZE not in items or _FILE_PARAMETERS not in items:
        raise Refused("has no VHDX size")
    parameters = file.at(at + items[_FILE_PARAMETERS][0], 8)
    size = file.at(at + items[_VIRTUAL_SIZE][0], 8)
    if len(parameters) < 8 or len(size) < 8:
        raise Refused("is cut off within its metadata")
    if struct.unpack("<I", parameters[4:8])[0] & 2:
        raise Refused("is a VHDX that depends on another file")
    return struct.unpack("<Q", size)[0]


def _entry(table: bytes, start: int, count: int, wanted: bytes) -> int:
    for i in range(min(count, 2047)):
        entry = table[start + i * 32:start + 32 + i * 32]
        if entry[:16] == wanted and len(entry) == 32:
            return struct.unpack("<Q", entry[16:24])[0]
    raise Refused("has no VHDX metadata region")


def iso(file: File) -> int:
    """The whole file."""
    return file.size


def ploop(file: File) -> int:
    """Sectors at 36 (for the extended kind 64 bits of it)."""
    head = file.at(0, 64)
    if len(head) < 64:
        raise Refused("is cut off within its header")
    return struct.unpack("<Q", head[36:44])[0] * SECTOR


def limit_this_process() -> None:
    """Only so much CPU, memory and no files at all."""
    import resource

    for what, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_AS, ADDRESS_SPACE),
                       (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 16)):
        resource.setrlimit(what, (most, most))


def main(declared: str, size_of_asked: str | None = None) -> int:
    """Inspect standard input."""
    limit_this_process()
    file = File(0) if size_of_asked is None else Asked(int(size_of_asked))
    try:
        format, size = inspect(file, declared)
    except Refused as refused:
        found = formats(file)
        kind = "mismatch" if isinstance(refused, Mismatch) else "unsafe"
        print(f"{found[0] if found else 'raw'}\t0\t{kind}\t{refused}")
        return 0
    print(f"{format}\t{size}\t\t")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
