"""Our copy of the northbound database, kept current by OVSDB's monitor, with an index by what a row is for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from ovs.db import data, idl, types
from ovsdbapp.backend.ovs_idl import connection

from stackling.drivers.ovn.rows import GENERATION, ID, KIND, Plain
from stackling.drivers.ovn.schema import SHARED, TABLES, schema_json

log = logging.getLogger(__name__)
Key = tuple[str, str]
PROBE = 2000                # milliseconds of silence, after which the server is asked, and as many until it is left
CLOUD = "cloud"             # the kind of what belongs to no object but to all


class Replica(connection.OvsdbIdl):
    """The rows as they are (``rows.Actual``). Everything here is called under the link's lock.

    ``told`` is called with the kind and id of an object of ours whose rows were altered or deleted, by whomever.
    A reconnection clears the copy silently, so the index may name rows that are gone: it is checked when read, and
    once the copy is complete again ``told`` is called for whatever was lost meanwhile.
    """

    def __init__(self, remote: str, told: Callable[[str, str], None]) -> None:
        helper = idl.SchemaHelper(schema_json=schema_json())
        helper.register_all()
        self._owned: dict[Key, dict[UUID, str]] = {}
        self._told = told
        self.touched = {CLOUD}              # kinds whose rows came, changed or went since somebody cleared it
        super().__init__(remote, helper, leader_only=True)
        reconnect = self._session.reconnect
        reconnect.min_backoff, reconnect.max_backoff = 100, 1000            # milliseconds
        if not remote.startswith("unix:"):
            reconnect.set_probe_interval(PROBE)     # a machine without power doesn't hang up

    @property
    def current(self) -> bool:
        """Whether the copy is complete and the connection stands."""
        return self.state == idl.Idl.IDL_S_MONITORING and self._session.is_connected()

    @property
    def backlog(self) -> bool:
        """Whether something is still to be sent."""
        return self._session.get_backlog() > 0

    def run(self) -> bool:
        """Read what has come (called by the link's thread)."""
        before = self.state
        changed = super().run()
        if before != self.state == idl.Idl.IDL_S_MONITORING:
            self._tell_what_is_lost()
        return bool(changed)

    def _tell_what_is_lost(self) -> None:
        lost = [key for key, rows in self._owned.items()
                if any(uuid not in self.tables[table].rows for uuid, table in rows.items())]
        if lost:
            log.warning("OVN's northbound database came back without %d objects; they are put there again", len(lost))
        for kind, id in lost:
            self._told(kind, id)

    # -- rows.Actual

    def has(self, table: str, uuid: UUID) -> bool:
        return uuid in self.tables[table].rows

    def column(self, table: str, uuid: UUID, column: str) -> Plain:
        datum = self.tables[table].rows[uuid]._data[column]
        if datum.type.is_map():
            return {key.value: value.value for key, value in datum.values.items()}
        return frozenset(atom.value for atom in datum.values)

    def member(self, table: str, uuid: UUID, column: str, member: UUID) -> bool:
        row = self.tables[table].rows.get(uuid)
        if row is None:
            return False
        return data.Atom(types.UuidType, member) in row._data[column].values

    def owned(self, kind: str, id: str) -> list[tuple[str, UUID]]:
        rows = self._owned.get((kind, id))
        if not rows:
            return []
        found = [(table, uuid) for uuid, table in rows.items() if self._marks(table, uuid)[:2] == (kind, id)]
        if len(found) != len(rows):
            self._owned[kind, id] = {uuid: table for table, uuid in found}
        return found

    # -- the audit

    def ids(self, kind: str) -> Iterator[tuple[str, int]]:
        """Every id of *kind* with a row, and the highest generation that its rows name."""
        for of, id in list(self._owned):
            if of == kind and (rows := self.owned(of, id)):
                yield id, max(self._marks(table, uuid)[2] for table, uuid in rows)

    def rows(self, table: str) -> Iterable[UUID]:
        """Every row of *table*."""
        return list(self.tables[table].rows)

    # -- ovs.db.idl

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """A row came, changed or went (called by the library while it reads an update)."""
        table = row._table.name
        if table not in TABLES:
            return
        kind, id, _ = _read(row)
        if not kind:
            return
        self.touched.add(kind)
        if event == idl.ROW_CREATE:
            self._owned.setdefault((kind, id), {})[row.uuid] = table
            return
        if event == idl.ROW_DELETE:
            self._owned.get((kind, id), {}).pop(row.uuid, None)
        elif updates is not None and not set(updates._data) - SHARED:
            return
        self._told(kind, id)

    def _marks(self, table: str, uuid: UUID) -> tuple[str, str, int]:
        row = self.tables[table].rows.get(uuid)
        return ("", "", 0) if row is None else _read(row)


def _read(row: Any) -> tuple[str, str, int]:
    marks = {key.value: value.value for key, value in row._data["external_ids"].values.items()}
    generation = marks.get(GENERATION, "0")
    return marks.get(KIND, ""), marks.get(ID, ""), int(generation) if generation.isdigit() else 0
