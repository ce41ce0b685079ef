"""A database that is away for long costs no memory."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackling.core.errors import Unavailable
from stackling.store import database as store
from stackling.store.database import Database
from stackling.store.transaction import Tx


@pytest.fixture
def lazy_collector() -> Iterator[None]:
    """As in the control process, which looks for garbage seldom."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_failed_connections_are_not_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy_collector: None) -> None:
    monkeypatch.setattr(store, "READERS_WAIT", 0.0)
    absent = Database(f"mysql+pymysql://root@localhost/x?unix_socket={tmp_path}/none")

    def use_case(_tx: Tx) -> None:
        raise AssertionError("there is a database")

    for _ in range(12):
        with pytest.raises(Unavailable):
            absent.read(use_case)
    absent.close()
    assert sum(isinstance(one, ssl.SSLContext) for one in gc.get_objects()) < 5
