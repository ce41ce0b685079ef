"""Bring a database to this version's tables.

An empty database gets the tables from the metadata, which is quick, and is stamped with the newest migration; a test
holds that to be the same as running all migrations. An older database is migrated by Alembic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from stackling.core.errors import Unavailable
from stackling.store.alone import alone
from stackling.store.database import Database, engine_of
from stackling.store.faults import is_absent, plain
from stackling.store.tables import metadata

MIGRATIONS = Path(__file__).with_name("migrations")
NEWEST = "0001"
"""The newest migration; a start needn't load Alembic to see that there is nothing to do."""


def prepare(database: Database) -> bool:
    """Make or migrate the tables; whether there was anything to do. Raises ``UnknownVersion``, ``Unavailable``.

    Whoever else starts now waits. SQLite does it in one transaction; MariaDB can't, so that every step can be taken
    again after an interruption.
    """
    try:
        return _prepare(database)
    except DBAPIError as error:
        if database.is_sqlite or not is_absent(error):
            raise
        raise Unavailable(f"The database isn't available: {plain(error)}.") from None


def _prepare(database: Database) -> bool:
    with engine_of(database).connect() as connection:
        if _version(connection) == NEWEST:
            return False
        if not database.is_sqlite:
            connection.rollback()
            with alone(engine_of(database)):
                changed = _bring(connection)
                connection.commit()
            return changed
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            changed = _bring(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        return changed


class UnknownVersion(RuntimeError):
    """The database was written by a newer version of Stackling."""


def migrate(connection: Connection, target: str = "head") -> None:
    """Run Alembic's migrations up to *target*."""
    from alembic import command

    command.upgrade(configuration(connection), target)


def configuration(connection: Connection | None = None) -> Any:
    """Alembic's configuration, over an open connection where one is given."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _bring(connection: Connection) -> bool:
    version = _version(connection)
    if version == NEWEST:
        return False
    if version is None:
        _make(connection)
        return True
    if version > NEWEST:
        raise UnknownVersion(f"the database is at version {version}, this program knows up to {NEWEST}; "
                             "install the newer Stackling again")
    migrate(connection)
    return True


def _make(connection: Connection) -> None:
    """Every table, and the version last; what an interrupted start has made already is left alone."""
    if connection.dialect.name == "sqlite":
        metadata.create_all(connection, checkfirst=False)       # in one transaction
    for table in metadata.sorted_tables if connection.dialect.name != "sqlite" else ():
        connection.execute(CreateTable(table, if_not_exists=True))
        there = {index["name"] for index in inspect(connection).get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            if index.name not in there:
                connection.execute(CreateIndex(index))
    connection.execute(text(
        "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": NEWEST})


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
