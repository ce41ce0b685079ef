"""Bring a database to this version's tables.

An empty database gets the tables from the metadata, which is quick, and is stamped with the newest migration; a test
holds that to be the same as running all migrations. An older database is migrated by Alembic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from stackling.store.database import Database, engine_of
from stackling.store.tables import metadata

MIGRATIONS = Path(__file__).with_name("migrations")
NEWEST = "0001"
"""The newest migration; a start needn't load Alembic to see that there is nothing to do."""


def prepare(database: Database) -> bool:
    """Make or migrate the tables; whether there was anything to do. Raises ``UnknownVersion``.

    SQLite does it in one transaction, which also makes a second process that starts now wait.
    """
    with engine_of(database).connect() as connection:
        if _version(connection) == NEWEST:
            return False
        if not database.is_sqlite:
            _bring(connection)
            connection.commit()
            return True
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
        metadata.create_all(connection, checkfirst=False)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": NEWEST})
        return True
    if version > NEWEST:
        raise UnknownVersion(f"the database is at version {version}, this program knows up to {NEWEST}; "
                             "install the newer Stackling again")
    migrate(connection)
    return True


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
