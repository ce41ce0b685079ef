"""Stands in for compute's part of the contract while it isn't there: the shortest thing that moves a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, update

from stackling.compute import changes, facade, hosts, rows
from stackling.compute.model import Need
from stackling.store.tables.compute import servers
from stackling.store.tables.fleet import hosts as table


@dataclass(frozen=True)
class Moving:
    id: str
    priority: int
    disk: str
    group: str | None = None


def install(patch: pytest.MonkeyPatch) -> None:
    if hasattr(facade, "evacuate"):
        return
    leftovers: dict[str, set[str]] = {}

    def host_lost(tx: Any, host_id: str, proof: str) -> None:
        tx.execute(update(table).where(table.c.id == host_id).values(fenced=True, forced_down=True))

    def host_back(tx: Any, host_id: str) -> None:
        tx.execute(update(table).where(table.c.id == host_id).values(fenced=False, forced_down=False))

    def servers_to_move(tx: Any, host_id: str) -> list[Moving]:
        found = tx.all(select(servers.c.id, servers.c.metadata, servers.c.server_group_id).where(
            servers.c.host_id == host_id, servers.c.deleted == 0, servers.c.deleting == 0).order_by(
            servers.c.created_at, servers.c.id))
        moving = [Moving(row.id, int(row.metadata.get("ha_priority", 0)), row.metadata.get("disk", "rbd"))
                  for row in found]
        return sorted(moving, key=lambda one: -one.priority)

    def evacuate(tx: Any, server_id: str, *, reason: str, host: str | None = None) -> str | None:
        server = rows.get(tx, server_id)
        assert server is not None
        old = hosts.get_host(tx, server["host_id"])
        if not old["fenced"]:
            return "its host isn't fenced"
        disk = server["root_gib"]
        need = Need(server["vcpus"], server["memory_mib"], disk, host=host, avoid=frozenset({old["id"]}))
        new = hosts.place(tx, need)
        if new is None:
            return hosts.why_not(tx, need)[0]
        hosts.release(tx, old["id"], server["vcpus"], server["memory_mib"], disk)
        hosts.bump(tx, old["id"])
        leftovers.setdefault(old["id"], set()).add(server_id)
        changes.apply(tx, server, {
            "host_id": new.id, "host": new.name, "observed_converged": 0, "observed_generation": 0,
            "power_generation": server["generation"] + 1}, desired=True)
        return None

    def move_lease(tx: Any, host_id: str, machine_id: str) -> int:
        tx.execute(update(table).where(table.c.id == host_id).values(
            machine_id=machine_id, lease_epoch=table.c.lease_epoch + 1, report_sequence=0,
            generation=table.c.generation + 1))
        return int(tx.scalar(select(table.c.lease_epoch).where(table.c.id == host_id)))

    def to_give_up(tx: Any, host_id: str) -> list[str]:
        return []

    for function in (host_lost, host_back, servers_to_move, evacuate, move_lease, to_give_up):
        patch.setattr(facade, function.__name__, function, raising=False)
