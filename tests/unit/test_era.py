"""When an older database is noticed, and what is done about it."""

from __future__ import annotations

import logging
import shutil
import stat
from pathlib import Path

import pytest

from stackling.store import era
from stackling.store.database import Database
from stackling.store.tables import metadata
from stackling.store.transaction import Tx
from stackling.store.work import SqlWorkQueue


class Cloud:
    """A database with its mark; ``change`` changes it as another process does."""

    def __init__(self, folder: Path) -> None:
        self.file, self.mark = folder / "s.db", folder / "s.mark"
        database = Database(f"sqlite:///{self.file}")
        metadata.create_all(database.engine)
        database.close()
        self.starts = 0

    def start(self) -> bool:
        """Start, change something, stop; whether the era was raised."""
        database, other = Database(f"sqlite:///{self.file}"), Database(f"sqlite:///{self.file}")
        try:
            raised = era.check(database, self.mark)
            keeper = era.Keeper(database, self.mark)
            keeper.look()
            self.starts += 1
            other.write(lambda tx: tx.set_setting("something", self.starts))
            keeper.look()
            return raised
        finally:
            database.close()
            other.close()

    def era(self) -> int:
        database = Database(f"sqlite:///{self.file}")
        try:
            return SqlWorkQueue(database).era()
        finally:
            database.close()

    def restore(self, copy: Path) -> None:
        for left in self.file.parent.glob("s.db-*"):
            left.unlink()
        shutil.copy(copy, self.file)


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def test_nothing_is_raised_while_the_database_goes_on(cloud: Cloud) -> None:
    assert [cloud.start() for _ in range(4)] == [False] * 4
    assert cloud.era() == 1
    assert stat.S_IMODE(cloud.mark.stat().st_mode) == 0o600


def test_an_older_copy_begins_a_new_era_each_time(cloud: Cloud, tmp_path: Path) -> None:
    cloud.start()
    shutil.copy(cloud.file, copy := tmp_path / "copy")
    cloud.start()
    for wanted in (2, 3):
        cloud.restore(copy)
        assert cloud.start()
        assert cloud.era() == wanted
        assert not cloud.start()
        assert cloud.era() == wanted


def test_a_copy_of_the_last_moment_is_no_older_one(cloud: Cloud, tmp_path: Path) -> None:
    cloud.start()
    shutil.copy(cloud.file, copy := tmp_path / "copy")
    cloud.restore(copy)
    assert not cloud.start()


@pytest.mark.parametrize("left", [None, "", "nonsense", '{"era": 1}'])
def test_without_a_readable_file_nothing_is_raised_and_it_is_made_anew(cloud: Cloud, left: str | None,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    cloud.start()
    before = cloud.mark.read_text()
    cloud.mark.unlink() if left is None else cloud.mark.write_text(left)
    with caplog.at_level(logging.WARNING):
        assert not cloud.start()
    assert ("can't be read" in caplog.text) == (left is not None)
    assert cloud.mark.read_text() != before
    assert not cloud.start()


def test_a_crash_between_database_and_file_raises_nothing(cloud: Cloud) -> None:
    cloud.start()
    behind = cloud.mark.read_text()
    cloud.start()
    cloud.mark.write_text(behind)
    assert not cloud.start()


def test_the_new_era_makes_everything_due_and_ends_all_claims(cloud: Cloud, tmp_path: Path) -> None:
    cloud.start()
    database = Database(f"sqlite:///{cloud.file}")
    queue = SqlWorkQueue(database)

    def nudge(tx: Tx) -> None:
        for id in ("claimed", "settled"):
            tx.nudge("network", id)

    database.write(nudge)
    claims = queue.claim(["network"], "me", 1000, 2)
    settled = next(claim for claim in claims if claim.key.id == "settled")
    assert queue.settle(settled, next_due=None, converged=True, error=None, blocked_on=None, write=None)
    database.close()
    shutil.copy(cloud.file, copy := tmp_path / "copy")
    cloud.start()
    cloud.restore(copy)
    assert cloud.start()
    database = Database(f"sqlite:///{cloud.file}")
    assert {claim.key.id for claim in SqlWorkQueue(database).claim(["network"], "new", 60, 9)} == {"claimed", "settled"}
    database.close()


def test_an_idle_database_is_left_alone(cloud: Cloud) -> None:
    database = Database(f"sqlite:///{cloud.file}")
    keeper = era.Keeper(database, cloud.mark)
    keeper.look()
    written = cloud.mark.stat().st_ino
    for _ in range(3):
        keeper.look()
    assert cloud.mark.stat().st_ino == written
    database.close()
