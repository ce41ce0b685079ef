"""Making the tables at once and running every migration come to the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from stackling.store import schema
from stackling.store.database import Database, engine_of
from stackling.store.tables import metadata
from tests import databases


def _shape(connection: Connection) -> dict[str, Any]:
    found = inspect(connection)
    return {
        table: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)),
            found.get_pk_constraint(table)["constrained_columns"],
            sorted((i["name"] or "", tuple(i["column_names"]), bool(i["unique"])) for i in found.get_indexes(table)),
            sorted(tuple(u["column_names"]) for u in found.get_unique_constraints(table)),
            sorted((tuple(f["constrained_columns"]), f["referred_table"]) for f in found.get_foreign_keys(table)),
        ) for table in found.get_table_names() if table not in ("alembic_version", "schema_lock")
    }


@pytest.fixture(params=[databases.SQLITE, databases.MARIADB, databases.POSTGRESQL])
def two(request: pytest.FixtureRequest, tmp_path: Path, database_servers: Callable[[str], str]) -> Any:
    """Two empty databases of the same kind."""
    backend = request.param
    urls = [f"sqlite:///{tmp_path / name}.db" if backend == databases.SQLITE
            else databases.create_database(database_servers(backend), f"{name}_{tmp_path.name[-8:].strip('_').lower()}")
            for name in ("made", "migrated")]
    pair = [Database(url) for url in urls]
    yield pair
    for one in pair:
        one.close()


def test_a_new_database_is_what_the_migrations_make(two: list[Database]) -> None:
    made, migrated = two
    assert schema.prepare(made)
    with engine_of(migrated).connect() as connection:
        schema.migrate(connection)
        connection.commit()
    with engine_of(made).connect() as one, engine_of(migrated).connect() as other:
        assert _shape(one) == _shape(other)
        assert compare_metadata(MigrationContext.configure(other), metadata) == []


def test_a_prepared_database_is_left_alone(sqlite_file: Database) -> None:
    assert schema.prepare(sqlite_file)
    assert not schema.prepare(sqlite_file)


def test_a_newer_database_is_refused(sqlite_file: Database) -> None:
    schema.prepare(sqlite_file)
    with engine_of(sqlite_file).connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.UnknownVersion, match="9999"):
        schema.prepare(sqlite_file)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Any:
    """An empty SQLite file."""
    found = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    yield found
    found.close()
