"""What commands say where something doesn't fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from stackling.cli import main, room
from stackling.cli.problem import Problem
from stackling.deploy.embedded.directory import StateDirectory

FLAVORS = [{"name": name, "id": f"id-{name}", "ram": ram, "vcpus": 1, "disk": disk}
           for name, ram, disk in (("large", 2048, 20), ("nano", 64, 1), ("small", 512, 5))]


def image(gib: float, min_ram: int = 0, min_disk: int = 0) -> dict[str, Any]:
    return {"name": "debian", "id": "x", "min_disk": min_disk, "min_ram": min_ram, "virtual_size": int(gib * 2**30)}


def test_the_smallest_flavor_that_fits_is_taken() -> None:
    assert room.flavor_that_fits(FLAVORS, None, image(0.5))["name"] == "nano"
    assert room.flavor_that_fits(FLAVORS, None, image(1.5))["name"] == "small"
    assert room.flavor_that_fits(FLAVORS, None, image(0.5, min_ram=600))["name"] == "large"


def test_a_flavor_that_is_too_small_is_refused_with_one_that_is_not() -> None:
    with pytest.raises(Problem, match="image debian needs 3 GiB of disk, and flavor nano has 1 GiB and 64 MiB; "
                                      "choose --flavor small, which has room for it"):
        room.flavor_that_fits(FLAVORS, "nano", image(2.1))
    assert room.flavor_that_fits(FLAVORS, "id-large", image(2.1))["name"] == "large"


@pytest.mark.parametrize("wanted", [None, "nano"])
def test_where_none_is_large_enough_it_says_how_to_make_one(wanted: str | None) -> None:
    with pytest.raises(Problem, match=r"needs 30 GiB of disk.*openstack flavor create --disk 30 --ram 512"):
        room.flavor_that_fits(FLAVORS, wanted, image(1, min_disk=30))


def test_a_first_server_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = StateDirectory.at(tmp_path / "not" / "yet")
    room.require_disk(directory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: shutil._ntuple_diskusage(1 << 40, 1 << 40, 100 << 20))
    with pytest.raises(Problem, match=f"only 100 MiB are free in {tmp_path}, .* needs 512: free some space, or "):
        room.require_disk(directory)


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/var/lib/stackling/stackling.toml")

    monkeypatch.setattr(main.stackling, "main", full)
    assert main.run(["up"]) == 1
    said = capsys.readouterr().err
    assert said == ("stackling: the disk is full (/var/lib/stackling/stackling.toml): free some space and run the same "
                    "command again\n")
