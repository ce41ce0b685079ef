"""Insert-or-update in the three dialects, built once a dialect."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


class Upsert:
    """``on(dialect)`` gives the statement; key columns are bound by their own names."""

    def __init__(self, table: Table, keys: list[str], insert: Mapping[str, Any], update: Mapping[str, Any]) -> None:
        self._table, self._keys, self._insert, self._update = table, keys, dict(insert), dict(update)
        self._built: dict[str, Any] = {}

    def on(self, dialect: str) -> Any:
        """The statement for *dialect* (``sqlite``, ``postgresql``, ``mysql`` or ``mariadb``)."""
        statement = self._built.get(dialect)
        if statement is None:
            statement = self._built[dialect] = self._build(dialect)
        return statement

    def _build(self, dialect: str) -> Any:
        from sqlalchemy import bindparam

        values = {**{k: bindparam(k) for k in self._keys}, **self._insert}
        if dialect in ("mysql", "mariadb"):
            return mysql_insert(self._table).values(values).on_duplicate_key_update(self._update)
        build = postgresql_insert if dialect == "postgresql" else sqlite_insert
        return build(self._table).values(values).on_conflict_do_update(index_elements=self._keys, set_=self._update)


def upsert(table: Table, keys: list[str], *, insert: Mapping[str, Any], update: Mapping[str, Any]) -> Upsert:
    """Insert a row with *insert*, or apply *update* to the row that has the same *keys*."""
    return Upsert(table, keys, insert, update)
