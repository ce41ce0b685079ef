"""What agents report: observed columns, and what follows from them.

Theory of operation. A report counts only if the machine holds the host under the report's epoch, and if its number
is higher than the last accepted of that epoch: a report that was held up somewhere can't turn observation back. All of
it is one transaction, so an accepted report is wholly taken in. What control changed since the agent looked is seen by
``generation``: only a report of the current generation may end a deletion or decide about power.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from stackling.compute import (
    boot_volumes,
    changes,
    departures,
    hosts,
    live_migration,
    migrations,
    moving,
    resize,
    rows,
    servers,
    shelving,
    volumes,
)
from stackling.compute.migrations import Status, Type
from stackling.compute.model import Awaits, ServerRow, Shelve, awaits
from stackling.image import facade as images
from stackling.ports.document import GuestReport, Power, Report, ReportAnswer
from stackling.store.tables.fleet import hosts as hosts_table
from stackling.store.tables.fleet import machines
from stackling.store.transaction import Tx

log = logging.getLogger(__name__)
_HOST = select(hosts_table, machines.c.boot_id, machines.c.address).select_from(
    hosts_table.join(machines, machines.c.id == hosts_table.c.machine_id),
).where(hosts_table.c.name == bindparam("host"))
_SEEN = update(machines).where(machines.c.id == bindparam("machine")).values(last_seen=bindparam("now"))
_SEQUENCE = update(hosts_table).where(
    hosts_table.c.id == bindparam("host"), hosts_table.c.report_sequence < bindparam("sequence"),
    hosts_table.c.lease_epoch == bindparam("epoch")).values(report_sequence=bindparam("sequence"))


def accept_report(tx: Tx, machine_id: str, report: Report) -> ReportAnswer:
    """Take *report* in; refused (``accepted`` false) when it is another machine's host, or older than the last."""
    row = tx.one(_HOST, host=report.host)
    if row is None or row.machine_id != machine_id or row.lease_epoch != report.epoch:
        return ReportAnswer(accepted=False)
    host = rows.mapping(row)
    if not tx.changed(_SEQUENCE, host=host["id"], sequence=report.sequence, epoch=report.epoch):
        return ReportAnswer(accepted=False)
    tx.changed(_SEEN, machine=machine_id, now=tx.time)
    _machine(tx, machine_id, host, report)
    if report.inventory is not None:
        hosts.set_inventory(tx, host, report.inventory)
    known = rows.get_many(tx, [guest.id for guest in report.guests])
    unknown: set[str] = set()
    for guest in report.guests:
        server = known.get(guest.id)
        if guest.unknown or server is None or server["deleted"]:
            if guest.power in _LIVES:
                unknown.add(guest.id)
            elif guest.power is Power.ABSENT and not guest.unknown and guest.converged:
                _left(tx, host, guest)
        elif server["host_id"] == host["id"]:
            _guest(tx, server, guest)
        elif server["move"] == Type.LIVE and guest.move is not None:
            live_migration.heard_from_target(tx, server, host["id"], guest)
        elif guest.power is Power.ABSENT and guest.converged:
            _left(tx, host, guest)
    _unknown(tx, host, unknown, {guest.id for guest in report.guests} - unknown, report.complete)
    return ReportAnswer(accepted=True, resend=False)


_LIVES = (Power.RUNNING, Power.PAUSED)


def _machine(tx: Tx, machine_id: str, host: Mapping[str, Any], report: Report) -> None:
    values: dict[str, Any] = {}
    if host["boot_id"] != report.boot_id:
        values["boot_id"] = report.boot_id
        if host["boot_id"] is not None:
            tx.event(None, "host", host["id"], "machine_booted", f"boot id {report.boot_id}", source="agent")
    if report.address is not None and report.address != host["address"]:
        values["address"] = report.address
    if report.inventory is not None:
        values["facts"] = report.inventory.facts
    if values:
        tx.execute(update(machines).where(machines.c.id == machine_id).values(**values))


def _unknown(tx: Tx, host: Mapping[str, Any], unknown: set[str], others: set[str], complete: bool) -> None:
    """Guests that run and belong to nobody are reported, never touched. *others*: what the report names besides."""
    before: list[str] = host["unknown_guests"] or []
    now = sorted(unknown if complete else (set(before) - others) | unknown)
    if now != before:
        for id in set(now) - set(before):
            log.warning("host %s runs guest %s, which no document names; it is left alone", host["name"], id)
            tx.event(None, "host", host["id"], "unknown_guest", f"guest {id} is in no document; left alone",
                     source="agent")
        tx.execute(update(hosts_table).where(hosts_table.c.id == host["id"]).values(unknown_guests=now))


def _guest(tx: Tx, server: ServerRow, guest: GuestReport) -> None:
    if (server["deleting"] and guest.power is Power.ABSENT and guest.converged and not server["held"]
            and guest.generation >= server["generation"]):
        servers.finish_deletion(tx, {**server, **_observed(tx, guest)})
        return
    if (server["shelve"] == Shelve.OFFLOADED and guest.power is Power.ABSENT and guest.converged
            and guest.generation >= server["generation"]):
        shelving.left_host(tx, server)
        return
    if server["move"] == Type.LIVE and live_migration.heard_from_source(tx, server, guest):
        return
    values = {**_observed(tx, guest), **volumes.snapshots_ended(tx, server, guest.volume_snapshots)}
    current = guest.generation >= server["generation"]
    settled = current and guest.converged
    if settled:
        values.update(overdue=0, **volumes.settled(tx, {**server, **values}))
        if server["launched_at"] is None and guest.power is not Power.ABSENT:
            values["launched_at"] = tx.now
            tx.event(None, "server", server["id"], "launched", source="agent", project_id=server["project_id"])
        if not server["forced_error"]:
            values.update(fault_code=None, fault_message=None, fault_details=None, fault_at=None)
        if awaits(server) is Awaits.OFF:
            values.update(boot_volumes.guest_is_off(tx, {**server, **values}))
        if server["snapshot_id"] is not None and guest.snapshot == server["snapshot_id"]:
            images.drop_empty(tx, server["snapshot_id"])
            values.update(snapshot_id=None)
            if server["shelve"] is not None:
                values.update(shelving.saved(tx, server))
        if server["shelve"] == Shelve.BACK:
            values.update(shelving.came_back(tx, server))
        if server["old_flavor"] is not None and server["observed_resizes"] < server["resizes"] == guest.resizes:
            migrations.resized_here(tx, server["id"], Status.FINISHED)
        if server["restored_resize"] and server["resizes"] == guest.resizes:
            values.update(resize.reverted(tx, server))
        if server["move"] not in (None, Type.LIVE):
            values.update(moving.arrived(tx, server))
    elif guest.terminal and current:
        values.update(changes.fault(tx, guest.error or "The host can't run the server."))
    if guest.error and guest.error != server["observed_error"]:
        tx.event(None, "server", server["id"], "host_error", guest.error, source="agent",
                 project_id=server["project_id"])
    desired = settled and _adopt_power(tx, server, guest, values)
    desired |= values.get("shelve") == Shelve.OFFLOADED
    changes.apply(tx, server, values, desired=desired)
    if (settled or guest.terminal) and not desired:
        tx.nudge(changes.KIND, server["id"])


def _left(tx: Tx, host: Mapping[str, Any], guest: GuestReport) -> None:
    """A former host of a server says that nothing of it runs there: all that it may say of it."""
    if departures.reported_absent(tx, host["id"], guest.id, guest.generation):
        moving.let_go(tx, guest.id)
    migrations.left(tx, guest.id, host["id"])


def _observed(tx: Tx, guest: GuestReport) -> dict[str, Any]:
    return {
        "observed_power": guest.power.value, "observed_generation": guest.generation,
        "observed_converged": int(guest.converged), "observed_soft_reboots": guest.soft_reboots,
        "observed_hard_reboots": guest.hard_reboots, "observed_rebuilds": guest.rebuilds,
        "observed_step": guest.step[:255] if guest.step else None, "observed_error": guest.error,
        "observed_terminal": int(guest.terminal), "observed_at": tx.now, "started_at": guest.started_at,
        **({"observed_resizes": guest.resizes, "observed_rescue": guest.rescue} if guest.converged else {}),
    }


def _adopt_power(tx: Tx, server: ServerRow, guest: GuestReport, values: dict[str, Any]) -> bool:
    """A guest that changed its power by itself (it shut down, it crashed) is as it shall be from now on."""
    found = Power.STOPPED if guest.power is Power.CRASHED else guest.power
    if awaits(server) is not None:
        return False
    if found is Power.ABSENT or found == server["power"] or server["deleting"] or server["move"] == Type.LIVE:
        return False
    values["power"] = found.value
    tx.event(None, "server", server["id"], "power_changed", f"the guest is {guest.power.value}, of its own accord",
             source="agent", project_id=server["project_id"])
    return True
