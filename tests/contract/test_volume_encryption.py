"""What an encrypted volume is, in a directory and in a pool of a real Ceph cluster: a LUKS container, and nothing in
the clear beside it."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.drivers.ceph.volumes import RbdVolumes
from stackling.drivers.local import luks as containers
from stackling.drivers.local.volumes import LocalVolumes
from stackling.ports.volumes import FromFile, FromSnapshot, FromVolume, Luks, StoreRefused
from tests.ceph import POOLS, RealCeph
from tests.contract.test_volume_store import ceph as ceph
from tests.contract.test_volume_store import rbd as rbd
from tests.contract.test_volume_store import real as real

PATTERN = 0x5A
GIB, MIB = 1 << 30, 1 << 20


def luks(**values: Any) -> Luks:
    return Luks(**{"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256,
                   "passphrase": secrets.token_hex(32), **values})


class Opened:
    """A volume as a guest's QEMU has it, with a key."""

    def __init__(self, store: Any, request: pytest.FixtureRequest) -> None:
        self._store = store
        self._access = None
        if isinstance(store, RbdVolumes):
            found: RealCeph = request.getfixturevalue("ceph")
            self._access = found.machine()

    def __call__(self, id: str, key: Luks, *commands: str) -> str:
        where = f"file.driver=file,file.filename={self._store.location(id).removeprefix('file://').partition('?')[0]}"
        if self._access is not None:
            where = self._access.source(POOLS.volumes, id)
        with containers.secret(key) as secret:
            words = [word for command in commands for word in ("-c", command)]
            done = subprocess.run(["qemu-io", *secret.words, *words, "--image-opts",
                                   f"driver=luks,key-secret=key,{where}"], capture_output=True, text=True,
                                  pass_fds=(secret.fd,), timeout=60, check=False)
        said = done.stdout + done.stderr
        if done.returncode or "verification failed" in said or "failed" in said:
            raise AssertionError(said)
        return said


@pytest.fixture
def opened(real: Any, request: pytest.FixtureRequest) -> Opened:
    return Opened(real, request)


def raw(store: Any, id: str, snapshot: str | None = None, length: int = 16 * MIB) -> bytes:
    """The beginning of what lies in the backend."""
    with store.read(id, "raw", snapshot) as path, path.open("rb") as file:
        return file.read(length)


def test_what_is_written_lies_nowhere_in_the_clear(real: Any, opened: Opened) -> None:
    id, key = new_id(), luks()
    for _ in range(2):
        real.create(id, 1, None, key)
        assert real.size(id) == 1
    assert real.inventory() == {id: 0}
    opened(id, key, f"write -P {PATTERN} 0 {MIB}", f"read -P {PATTERN} 0 {MIB}")
    found = raw(real, id)
    assert found.startswith(containers.MAGIC)
    assert bytes([PATTERN]) * 32 not in found
    assert key.passphrase.encode() not in found
    with pytest.raises(AssertionError, match=r"(?i)invalid password|cannot unlock"):
        opened(id, luks(), f"read 0 {MIB}")
    real.delete(id)
    assert real.size(id) is None
    assert real.inventory() == {}


def test_an_image_is_encrypted_on_its_way_into_a_volume(real: Any, opened: Opened, tmp_path: Path) -> None:
    id, key, image = new_id(), luks(), tmp_path / "image"
    with image.open("wb") as file:
        file.write(bytes([PATTERN]) * MIB)
        os.truncate(file.fileno(), 4 * MIB)
    real.create(id, 1, FromFile(image, "raw"), key)
    opened(id, key, f"read -P {PATTERN} 0 {MIB}", f"read -P 0 {MIB} {3 * MIB}")
    assert bytes([PATTERN]) * 32 not in raw(real, id)
    other = tmp_path / "other.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, "8M"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 1M 64k", other], check=True, capture_output=True)
    real.replace(id, 1, FromFile(other, "qcow2"), key)
    opened(id, key, "read -P 7 1M 64k", f"read -P 0 0 {MIB}")


def test_copies_are_opened_by_the_same_key(real: Any, opened: Opened) -> None:
    id, snapshot, clone, copy, key = new_id(), new_id(), new_id(), new_id(), luks()
    real.create(id, 1, None, key)
    opened(id, key, "write -P 1 0 64k")
    real.snapshot(id, snapshot)
    assert list(real.snapshots(id)) == [snapshot]
    opened(id, key, "write -P 2 0 64k")
    real.create(clone, 2, FromSnapshot(id, snapshot), key)
    real.create(copy, 1, FromVolume(id), key)
    assert [real.size(each) for each in (id, clone, copy)] == [1, 2, 1]
    opened(clone, key, "read -P 1 0 64k", "write -P 3 1500M 64k", "read -P 3 1500M 64k")
    opened(copy, key, "read -P 2 0 64k")
    real.grow(copy, 3)
    opened(copy, key, "read -P 2 0 64k", "write -P 4 2900M 64k")
    assert real.size(copy) == 3
    real.revert(id, snapshot)
    opened(id, key, "read -P 1 0 64k")
    real.delete_snapshot(id, snapshot)
    real.delete(id)
    opened(clone, key, "read -P 1 0 64k")
    for each in (clone, copy):
        real.delete(each)


def test_a_container_goes_elsewhere_as_it_is(real: Any, opened: Opened, tmp_path: Path) -> None:
    id, other, key = new_id(), new_id(), luks()
    real.create(id, 1, None, key)
    opened(id, key, "write -P 5 0 64k")
    with real.read(id, "raw") as path:
        real.create(other, 1, FromFile(path, "luks"), key)
    opened(other, key, "read -P 5 0 64k")
    plain = tmp_path / "plain"
    plain.write_bytes(bytes(MIB))
    with pytest.raises(StoreRefused, match="isn't encrypted"):
        real.create(new_id(), 1, FromFile(plain, "luks"), key)


def test_what_doesnt_fit_beside_the_header_is_refused(real: Any, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, GIB)
    id = new_id()
    with pytest.raises(StoreRefused, match="LUKS header"):
        real.create(id, 1, FromFile(image, "raw"), luks())
    assert real.size(id) is None
    assert real.inventory() == {}


@pytest.mark.parametrize(("values", "words"), [
    ({"provider": "plain"}, "provider must be luks"), ({"provider": "luks2"}, "provider must be luks"),
    ({"cipher": "aes"}, "isn't offered"), ({"cipher": "a,b-c-d"}, "isn't offered"),
    ({"cipher": "serpent-xts-plain64"}, "isn't offered"), ({"key_size": 100}, "a key of 100 bits")])
def test_what_qemu_cant_encrypt_is_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    store, id = LocalVolumes(tmp_path / "volumes"), new_id()
    with pytest.raises(StoreRefused, match=words):
        store.create(id, 1, None, luks(**values))
    assert store.size(id) is None


def test_the_usual_ciphers_work(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = LocalVolumes(tmp_path / "volumes")
    for cipher, size in ((None, None), ("aes-xts-plain64", 512), ("aes-xts-plain64", 128), ("aes-cbc-plain64", 256)):
        id, key = new_id(), luks(cipher=cipher, key_size=size)
        store.create(id, 1, None, key)
        Opened(store, request)(id, key, "write -P 6 700M 64k", "read -P 6 700M 64k")
