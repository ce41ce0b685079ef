"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from stackling.store.database import Database
from stackling.store.tables import metadata
from tests import databases

_names = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what only root can do when we are somebody else."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def database_servers() -> Iterator[Callable[[str], str]]:
    """Starts a database server at its first use; stops all at the end."""
    urls: dict[str, str] = {}
    with ExitStack() as stack:
        def url(backend: str) -> str:
            if backend not in urls:
                start = databases.mariadb if backend == databases.MARIADB else databases.postgresql
                urls[backend] = stack.enter_context(start())
            return urls[backend]

        yield url


@pytest.fixture(params=[databases.SQLITE, databases.MARIADB, databases.POSTGRESQL])
def database(request: pytest.FixtureRequest, tmp_path: Path,
             database_servers: Callable[[str], str]) -> Iterator[Database]:
    """An empty database with our tables: SQLite, MariaDB and PostgreSQL in turn."""
    if request.param == databases.SQLITE:
        url = f"sqlite:///{tmp_path / 'stackling.db'}"
    else:
        url = databases.create_database(database_servers(request.param), f"t{next(_names)}")
    found = Database(url)
    metadata.create_all(found.engine)
    yield found
    found.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database with our tables."""
    found = Database(f"sqlite:///{tmp_path / 'stackling.db'}", durable=False)
    metadata.create_all(found.engine)
    yield found
    found.close()
