"""Bring a database to this version's tables."""

from sqlalchemy import inspect

from stackling.store.database import Database, engine_of
from stackling.store.tables import metadata


def prepare(database: Database) -> bool:
    """Make the tables in an empty database; whether there was anything to do.

    SQLite gets them in one transaction, which also makes a second process that starts now wait.
    """
    with engine_of(database).connect() as connection:
        if inspect(connection).has_table("settings"):
            return False
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                empty = not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'settings'").first()
                if empty:
                    metadata.create_all(connection, checkfirst=False)
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            return empty
        metadata.create_all(connection)
        connection.commit()
    return True
