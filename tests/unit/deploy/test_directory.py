"""The state directory: what ``purge`` deletes, and what it leaves alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stackling.deploy.embedded.directory import StateDirectory


def made(path: Path) -> StateDirectory:
    directory = StateDirectory.at(path)
    directory.make()
    (directory.images / "image").write_text("data")
    (directory.root / "stackling.db").write_text("data")
    directory.configuration.write_text("")
    return directory


def test_everything_goes(tmp_path: Path) -> None:
    directory = made(tmp_path / "state")
    directory.remove()
    assert list(tmp_path.iterdir()) == []
    assert not directory.run.exists()


def test_an_interrupted_purge_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, rmtree = made(tmp_path / "state"), shutil.rmtree

    def interrupted(path: Path, **options: bool) -> None:
        rmtree(path, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            directory.remove()
    monkeypatch.undo()
    directory.remove()
    assert not directory.root.exists()


def test_a_link_to_the_state_directory_is_no_obstacle(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "state").symlink_to(elsewhere)
    made(tmp_path / "state").remove()
    assert list(elsewhere.iterdir()) == []
