"""The guest image, built from Debian packages and booted by an emulator that has no network."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackling.deploy.guest import packages
from stackling.deploy.guest.build import GuestImage, build

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs qemu-system-x86"),
]
BOOT_LIMIT = 60.0  # seconds; the machine may be busy with other tests
STOP_LIMIT = 20.0
USER_DATA = '#!/bin/sh\necho user data has $(df -m / | awk \'END { print ($2 > 150) ? "a grown" : "the old" }\') root\n'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> GuestImage:
    """Really built: the cache is a new one that has the packages but no image."""
    cache = tmp_path_factory.mktemp("cache")
    packages.fetch(packages.default_cache())
    (cache / "packages").symlink_to(packages.default_cache() / "packages")
    return build(cache / "guest.qcow2", cache=cache)


@pytest.fixture
def guest(image: GuestImage, tmp_path: Path) -> Iterator["Guest"]:
    guest = Guest(image, tmp_path)
    yield guest
    guest.process.kill()
    guest.process.wait()


class Guest:
    """A virtual machine with a config drive, its console in a file."""

    def __init__(self, image: GuestImage, directory: Path) -> None:
        disk = directory / "disk.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image.path), "-F", "qcow2", str(disk), "200M"],
            check=True,
        )
        self.console = directory / "console.log"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-m", str(image.min_ram_mib), "-display", "none", "-nic", "none",
             "-serial", f"file:{self.console}", "-monitor", "stdio",
             "-drive", f"file={disk},if=virtio",
             "-drive", f"file={config_drive(directory)},if=virtio,format=raw,readonly=on"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def wait_for(self, text: str, limit: float = BOOT_LIMIT) -> str:
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and self.process.poll() is None:
            log = self.console.read_text(errors="replace") if self.console.exists() else ""
            if text in log:
                return log
            time.sleep(0.05)
        pytest.fail(f"{text!r} never came:\n{self.console.read_text(errors='replace')[-2000:]}")

    def press_power_button(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("system_powerdown\n")
        self.process.stdin.flush()


def config_drive(directory: Path) -> Path:
    latest = directory / "drive" / "openstack" / "latest"
    latest.mkdir(parents=True)
    metadata = {"uuid": "5f0c", "hostname": "web1.example.org", "public_keys": {}, "meta": {"hostname": "wrong"}}
    (latest / "meta_data.json").write_text(json.dumps(metadata))
    (latest / "user_data").write_text(USER_DATA)
    iso = directory / "config.iso"
    subprocess.run(
        ["genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", str(iso), str(directory / "drive")], check=True
    )
    return iso


def test_image_is_small_and_whole(image: GuestImage) -> None:
    assert image.size < 20_000_000
    subprocess.run(["qemu-img", "check", "-q", str(image.path)], check=True)


def test_second_build_comes_from_the_cache(image: GuestImage, tmp_path: Path) -> None:
    started = time.monotonic()
    again = build(tmp_path / "again.qcow2", cache=image.path.parent)
    assert time.monotonic() - started < 1.0
    assert again.digest == image.digest
    assert again.path.read_bytes() == image.path.read_bytes()


def test_guest_boots_reads_its_config_drive_and_stops_on_the_power_button(guest: Guest) -> None:
    log = guest.wait_for("user data ended with exit code 0")
    assert "stackling-guest: web1 is up" in log
    assert "stackling-guest: ready" in log
    assert "user data has a grown root" in log
    guest.press_power_button()
    guest.process.wait(STOP_LIMIT)
    assert guest.process.returncode == 0
