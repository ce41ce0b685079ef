"""Backends, and what clients know as the services of Block Storage.

A backend's row is written by the engine that holds its driver; which one a volume goes to is chosen in the transaction
that makes it, by the type's extra specs and by the room that is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from stackling.core import clock
from stackling.core.errors import Invalid, NotFound, Unavailable
from stackling.core.ids import new_id
from stackling.ports.volumes import Capacity
from stackling.store.tables.volume import volume_services, volume_snapshots, volumes
from stackling.store.transaction import Tx
from stackling.volume.model import ZONE, VolumeType
from stackling.volume.rows import AnyRow, mapping

VOLUME, SCHEDULER, BACKUP = "cinder-volume", "cinder-scheduler", "cinder-backup"
UP_WITHIN = 180.0
"""Seconds after which a backend whose engine says nothing is shown as down."""
OVERSUBSCRIPTION = 20.0
"""How much may be promised for each GiB that there is: volumes take room only for what was written."""
_ALL = select(volume_services).order_by(volume_services.c.host, volume_services.c.binary)
_ONE = select(volume_services).where(
    volume_services.c.host == bindparam("h"), volume_services.c.binary == bindparam("b"))
_GIVEN = select(volumes.c.backend, func.sum(volumes.c.size_gib).label("gib"), func.count().label("number")).where(
    volumes.c.backend.isnot(None)).group_by(volumes.c.backend)


def register(tx: Tx, host: str, driver: str, *, shared: bool = True, live: bool = True, backups: bool = True) -> None:
    """Make a backend known, by its engine's start; what an administrator said of it stays. *backups*: there is a place
    for them."""
    where = host.partition("@")[0]
    for name, binary in ((host, VOLUME), (where, SCHEDULER), *(((where, BACKUP),) if backups else ())):
        values = {"driver": driver, "shared": shared, "live": live, "pool": host.partition("@")[2]} if (
            binary == VOLUME) else {}
        if tx.one(_ONE, h=name, b=binary) is None:
            tx.execute(insert(volume_services), {
                "host": name, "binary": binary, "id": new_id(), "availability_zone": ZONE, "disabled": False,
                "frozen": False, "driver": None, "pool": None, "shared": True, "live": True, "total_gib": 0.0,
                "free_gib": 0.0, "updated_at": tx.now, **values})
        elif values:
            tx.execute(update(volume_services).where(
                volume_services.c.host == name, volume_services.c.binary == binary).values(**values))


def seen(tx: Tx, host: str, capacity: Capacity | None, error: str | None) -> None:
    """What an engine found of a backend."""
    values: dict[str, Any] = {"error": error}
    if capacity is not None:
        values.update(total_gib=capacity.total_gib, free_gib=capacity.free_gib)
    tx.execute(update(volume_services).where(
        volume_services.c.host == host, volume_services.c.binary == VOLUME).values(**values, updated_at=tx.now))
    tx.execute(update(volume_services).where(
        volume_services.c.host == host.partition("@")[0]).values(updated_at=tx.now))


def all_services(tx: Tx) -> list[AnyRow]:
    """Every row."""
    return [mapping(row) for row in tx.all(_ALL)]


def is_up(service: AnyRow, now: float) -> bool:
    """Whether its engine has told of it lately, and could reach it."""
    return service["error"] is None and now - clock.epoch(service["updated_at"]) < UP_WITHIN


def backend(tx: Tx, host: str) -> AnyRow:
    """A backend's row; *host* may have a pool. Raises ``NotFound``."""
    row = tx.one(_ONE, h=host.partition("#")[0], b=VOLUME)
    if row is None:
        raise NotFound(f"Service {host} could not be found.")
    return mapping(row)


def usable(tx: Tx, host: str) -> AnyRow:
    """A backend that takes orders now. Raises ``NotFound``, ``Unavailable``."""
    found = backend(tx, host)
    if found["disabled"]:
        raise Unavailable(f"Service {host} is disabled.")
    if not is_up(found, tx.time):
        raise Unavailable(f"Service {host} is not available.")
    return found


def full_host(service: AnyRow) -> str:
    """``where@backend#pool``, as Cinder names it."""
    return f"{service['host']}#{service['pool']}"


def set_enabled(tx: Tx, host: str, binary: str, enabled: bool, reason: str | None) -> AnyRow:
    """Let a service take new work or not. Raises ``NotFound``."""
    row = tx.one(_ONE, h=host, b=binary)
    if row is None:
        raise NotFound(f"Service {host} could not be found.")
    tx.execute(update(volume_services).where(volume_services.c.host == host, volume_services.c.binary == binary).values(
        disabled=not enabled, disabled_reason=None if enabled else reason))
    return {**mapping(row), "disabled": not enabled, "disabled_reason": None if enabled else reason}


def set_frozen(tx: Tx, host: str, frozen: bool) -> None:
    """Let a backend make and delete nothing, or again. Raises ``NotFound``."""
    found = backend(tx, host)
    tx.execute(update(volume_services).where(
        volume_services.c.host == found["host"], volume_services.c.binary == VOLUME).values(
        frozen=frozen, disabled=frozen, disabled_reason="frozen" if frozen else None))


def zones(tx: Tx) -> list[tuple[str, bool]]:
    """Availability zones, and whether anything in them takes volumes."""
    found: dict[str, bool] = {}
    for row in all_services(tx):
        if row["binary"] == VOLUME:
            found[row["availability_zone"]] = found.get(row["availability_zone"], False) or not row["disabled"]
    return sorted(found.items()) or [(ZONE, False)]


def given(tx: Tx) -> dict[str, tuple[int, int]]:
    """(GiB, number) of the volumes of each backend."""
    return {row.backend: (int(row.gib), int(row.number)) for row in tx.all(_GIVEN)}


def choose(tx: Tx, type: VolumeType | None, size_gib: int, zone: str | None, *, but: str | None = None,
           only: str | None = None) -> tuple[AnyRow | None, str]:
    """The backend that suits, or None and why: one that works beneath a running guest before a directory, then the one
    with the most room. Raises ``Invalid`` for a zone that isn't there."""
    found = [row for row in all_services(tx) if row["binary"] == VOLUME]
    if zone is not None and found and zone not in {row["availability_zone"] for row in found}:
        raise Invalid(f"Availability zone '{zone}' is invalid.", type="InvalidAvailabilityZone")
    taken, why = given(tx), [] if found else ["there is no backend"]
    fitting: list[tuple[bool, float, AnyRow]] = []
    for row in found:
        promised = taken.get(row["host"], (0, 0))[0]
        reason = _unsuited(row, type, size_gib, zone, but, only)
        if reason is None and promised + size_gib > row["total_gib"] * OVERSUBSCRIPTION:
            reason = f"{promised} GiB are promised already"
        if reason is None:
            fitting.append((bool(row["live"]), row["total_gib"] - promised, row))
        else:
            why.append(f"{row['host']}: {reason}")
    if not fitting:
        return None, f"No valid backend was found. {'; '.join(why)}"
    return max(fitting, key=lambda each: (each[0], each[1], each[2]["host"]))[2], ""


def _unsuited(row: AnyRow, type: VolumeType | None, size_gib: int, zone: str | None, but: str | None,
              only: str | None) -> str | None:
    if row["host"] == but or (only is not None and row["host"] != only):
        return "it isn't the one asked for"
    if row["disabled"]:
        return "it is disabled"
    if zone is not None and row["availability_zone"] != zone:
        return f"it isn't in zone {zone}"
    if row["free_gib"] < size_gib:
        return f"{row['free_gib']:.0f} GiB are free"
    specs: Mapping[str, str] = type.extra_specs if type is not None else {}
    for key, wanted in specs.items():
        scope, _, name = key.rpartition(":")
        if scope in ("", "capabilities") and not _suits(capabilities(row), name, wanted):
            return f"{name} isn't {wanted}"
    return None


def capabilities(row: AnyRow) -> dict[str, Any]:
    """What a backend can do, by the names that extra specs and clients use."""
    return {
        "volume_backend_name": row["pool"], "vendor_name": "Stackling", "driver_version": "1.0", "multiattach": True,
        "storage_protocol": "ceph" if row["driver"] == "rbd" else "file", "thin_provisioning_support": True,
        "thick_provisioning_support": False, "QoS_support": False, "online_extend_support": True,
        "total_capacity_gb": row["total_gib"], "free_capacity_gb": row["free_gib"], "reserved_percentage": 0,
        "max_over_subscription_ratio": str(OVERSUBSCRIPTION), "location_info": f"{row['driver']}:{row['pool']}",
        "backend_state": "up" if row["error"] is None else "down", "timestamp": row["updated_at"],
    }


def _suits(found: Mapping[str, Any], name: str, wanted: str) -> bool:
    """The extra specs that Cinder's scheduler understands: ``<is> True``, ``<in> text``, ``s== text``, ``text``."""
    if name not in found:
        return False
    have = str(found[name])
    operator, _, operand = wanted.partition(" ")
    if operator == "<is>":
        return have.lower() == operand.lower()
    if operator == "<in>":
        return operand in have
    if operator == "s==":
        return have == operand
    return have == wanted


def held_by_projects(tx: Tx, host: str) -> list[tuple[str, int, int, int, int]]:
    """(project, volumes, GiB, snapshots, GiB) of what a backend holds; the first row is the sum, ``(total)``."""
    found: dict[str, list[int]] = {}
    for at, table in ((0, volumes), (2, volume_snapshots)):
        for row in tx.all(select(table.c.project_id, func.count().label("number"),
                                 func.sum(table.c.size_gib).label("gib")).where(
                table.c.backend == host).group_by(table.c.project_id)):
            counts = found.setdefault(row.project_id, [0, 0, 0, 0])
            counts[at:at + 2] = [int(row.number), int(row.gib)]
    total = [sum(counts[i] for counts in found.values()) for i in range(4)]
    return [(project, counts[0], counts[1], counts[2], counts[3])
            for project, counts in [("(total)", total), *sorted(found.items())]]
