"""Load order of the guest's kernel modules."""

from pathlib import Path

from stackling.deploy.guest.modules import dependencies, load_order


def module(tree: Path, name: str, depends: str) -> None:
    directory = tree / "kernel" / "drivers"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0")


def test_a_module_comes_after_all_that_it_depends_on(tmp_path: Path) -> None:
    module(tmp_path, "virtio_pci", "virtio_ring,virtio")
    module(tmp_path, "virtio_ring", "virtio")
    module(tmp_path, "virtio", "")
    module(tmp_path, "unwanted", "")
    names = [file.stem for file in load_order(tmp_path, ["virtio_pci", "virtio"])]
    assert names == ["virtio", "virtio_ring", "virtio_pci"]


def test_dashes_and_underscores_are_one(tmp_path: Path) -> None:
    module(tmp_path, "virtio-rng", "rng-core")
    module(tmp_path, "rng_core", "")
    assert [file.stem for file in load_order(tmp_path, ["virtio_rng"])] == ["rng_core", "virtio-rng"]


def test_a_driver_that_is_built_in_is_left_out(tmp_path: Path) -> None:
    module(tmp_path, "isofs", "")
    assert [file.stem for file in load_order(tmp_path, ["ext4", "isofs"])] == ["isofs"]


def test_no_dependencies() -> None:
    assert dependencies(b"\0depends=\0") == []
    assert dependencies(b"no section at all") == []
