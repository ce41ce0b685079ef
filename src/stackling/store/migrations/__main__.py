"""``python -m stackling.store.migrations MESSAGE``: write the migration from the newest to the tables as they are."""

import sys
import tempfile
from pathlib import Path

from alembic import command

from stackling.store import schema
from stackling.store.database import Database, engine_of


def main() -> None:
    """Migrate an empty database as far as there are migrations, compare, write what is missing."""
    number = f"{len(list((schema.MIGRATIONS / 'versions').glob('[0-9]*.py'))) + 1:04d}"
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{Path(directory) / 'empty.db'}", durable=False)
        with engine_of(database).connect() as connection:
            if number != "0001":
                schema.migrate(connection)
            command.revision(
                schema.configuration(connection),
                " ".join(sys.argv[1:]) or "Change the tables",
                autogenerate=True,
                rev_id=number,
            )
        database.close()


if __name__ == "__main__":
    main()
