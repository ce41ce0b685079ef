"""LUKS containers: their headers, and how QEMU's tools are told what opens them.

The header is written here (LUKS On-Disk Format Specification 1.2.3) and not by ``qemu-img create``, which measures
seconds of processor time to find out how often a passphrase should be hashed, and fails or goes on for ever where the
kernel counts that time in ticks. Ours is 256 random bits: it needs no stretching, and opening a container costs
milliseconds. Everything else is QEMU's: it opens the container, for guests and for its tools.

A passphrase reaches a tool through an open file in memory, never by its arguments or a file on a disk.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from stackling.ports.volumes import Luks, StoreRefused

MAGIC = b"LUKS\xba\xbe"
HEADER = 2 << 20            # bytes before the data
PROVIDERS = ("luks", "luks1", "nova.volume.encryptors.luks.LuksEncryptor", "LuksEncryptor")
CIPHER, KEY_SIZE = "aes-xts-plain64", 256
_SECTOR, _SLOTS, _STRIPES, _ITERATIONS = 512, 8, 4000, 10_000
_FIRST = 8                  # sector of the first slot's key material, and what slots are aligned to
_ACTIVE, _FREE = 0x00AC71F3, 0x0000DEAD
_HASH = "sha256"
_HEAD = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT = struct.Struct(">II32sII")


@dataclass(frozen=True, slots=True)
class Secret:
    """An open passphrase: the *fd* to hand to the tool, and the *words* that name it as the object ``key``."""

    fd: int
    words: tuple[str, ...]


@contextmanager
def secret(luks: Luks) -> Iterator[Secret]:
    """For as long as the context lasts."""
    fd = os.memfd_create("key")
    try:
        os.write(fd, luks.passphrase.encode())
        yield Secret(fd, ("--object", f"secret,id=key,file=/dev/fd/{fd}"))
    finally:
        os.close(fd)


def is_container(path: Path) -> bool:
    """Whether a file begins as one."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def header(luks: Luks) -> bytes:
    """The first ``HEADER`` bytes of a new container. Raises ``StoreRefused`` for a cipher that isn't offered."""
    cipher, mode, key_bytes = _chosen(luks)
    master, salt = secrets.token_bytes(key_bytes), secrets.token_bytes(32)
    digest = hashlib.pbkdf2_hmac(_HASH, master, salt, _ITERATIONS, 20)
    found = bytearray(HEADER)
    _HEAD.pack_into(found, 0, MAGIC, 1, cipher.encode(), mode.encode(), _HASH.encode(), HEADER // _SECTOR, key_bytes,
                    digest, salt, _ITERATIONS, str(uuid.uuid4()).encode())
    sectors = -(-key_bytes * _STRIPES // _SECTOR // _FIRST) * _FIRST
    salt = secrets.token_bytes(32)
    for slot in range(_SLOTS):
        state, iterations, its_salt = (_FREE, 0, bytes(32)) if slot else (_ACTIVE, _ITERATIONS, salt)
        _SLOT.pack_into(found, _HEAD.size + slot * _SLOT.size, state, iterations, its_salt, _FIRST + slot * sectors,
                        _STRIPES)
    opener = hashlib.pbkdf2_hmac(_HASH, luks.passphrase.encode(), salt, _ITERATIONS, key_bytes)
    material = _encrypted(mode, opener, _split(master))
    found[_FIRST * _SECTOR:_FIRST * _SECTOR + len(material)] = material
    return bytes(found)


def _chosen(luks: Luks) -> tuple[str, str, int]:
    """Cipher, mode and the bytes of the key, of what dm-crypt and Cinder call them."""
    if luks.provider not in PROVIDERS:
        raise StoreRefused(f"volumes can't be encrypted by {luks.provider} here; the provider must be luks")
    cipher, _, mode = (luks.cipher or CIPHER).partition("-")
    if cipher != "aes" or mode not in ("xts-plain64", "xts-plain", "cbc-plain64", "cbc-plain"):
        raise StoreRefused(f"the cipher {luks.cipher} isn't offered for volumes; {CIPHER} is")
    size = luks.key_size or KEY_SIZE
    if mode.startswith("xts"):      # Cinder's 256 is AES with 256 bits, of which XTS takes two; dm-crypt counts both
        size = {128: 256, 256: 512}.get(size, size)
    if size not in ((256, 512) if mode.startswith("xts") else (128, 192, 256)):
        raise StoreRefused(f"a key of {luks.key_size} bits isn't offered for {luks.cipher or CIPHER}")
    return cipher, mode, size // 8


def _split(key: bytes) -> bytes:
    """The key spread over stripes, all of which are needed to have it (the specification's AFsplit)."""
    spread, before = bytearray(), bytes(len(key))
    for _ in range(_STRIPES - 1):
        stripe = secrets.token_bytes(len(key))
        spread += stripe
        before = _diffused(_xor(before, stripe))
    return bytes(spread + _xor(before, key))


def _diffused(block: bytes) -> bytes:
    size = hashlib.new(_HASH).digest_size
    parts = (block[at:at + size] for at in range(0, len(block), size))
    return b"".join(hashlib.new(_HASH, number.to_bytes(4, "big") + part).digest()[:len(part)]
                    for number, part in enumerate(parts))


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _encrypted(mode: str, key: bytes, data: bytes) -> bytes:
    """As the sectors of a disk, which are numbered from 0."""
    data, found = data + bytes(-len(data) % _SECTOR), bytearray()
    for number in range(len(data) // _SECTOR):
        vector = number.to_bytes(16, "little")
        how = modes.XTS(vector) if mode.startswith("xts") else modes.CBC(vector)
        sector = Cipher(algorithms.AES(key), how).encryptor()
        found += sector.update(data[number * _SECTOR:(number + 1) * _SECTOR]) + sector.finalize()
    return bytes(found)
