"""The host documents: what a machine must know to run a host's servers (``ports.document``)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
from sqlalchemy import bindparam, or_, select
from sqlalchemy.engine import Row

from stackling.compute import departures, live_migration, rows, shares, volumes
from stackling.compute import migrations as known
from stackling.compute.migrations import Type
from stackling.compute.model import Awaits, Shelve, awaits, is_volume_backed
from stackling.core.errors import Forbidden, NotFound, Unauthorized
from stackling.network import facade as network
from stackling.ports.document import (
    Arrival,
    HostDocument,
    LiveMove,
    MetadataDocument,
    Nic,
    Power,
    RescueDisk,
    RootDisk,
    ServerDesired,
)
from stackling.store.tables.compute import migrations, servers
from stackling.store.tables.fleet import hosts, machines
from stackling.store.transaction import Tx
from stackling.volume import facade as volume_service

ARRIVING = (Type.EVACUATION, Type.MIGRATION, Type.RESIZE)
_HOST = select(hosts.c.id, hosts.c.name, hosts.c.machine_id, hosts.c.lease_epoch, hosts.c.generation).where(
    hosts.c.name == bindparam("host"))
_COLUMNS = (
    servers.c.id, servers.c.number, servers.c.generation, servers.c.deleting, servers.c.name, servers.c.project_id,
    servers.c.power, servers.c.power_generation, servers.c.vcpus, servers.c.memory_mib, servers.c.root_gib,
    servers.c.ephemeral_gib, servers.c.swap_mib, servers.c.image_id, servers.c.image, servers.c.flavor,
    servers.c.nics, servers.c.config_drive, servers.c.volumes,
    servers.c.document, servers.c.soft_reboots, servers.c.hard_reboots, servers.c.rebuilds,
    servers.c.resizes, servers.c.kept_resize, servers.c.restored_resize, servers.c.snapshot_id,
    servers.c.move, servers.c.held, servers.c.migration_id, servers.c.shelve, servers.c.shelved_image_id,
    servers.c.shelved_image, servers.c.root_flat, servers.c.rescue, servers.c.rescue_image_id,
)
_CHANGED = select(*_COLUMNS).where(servers.c.host_id == bindparam("host_id"),
    servers.c.host_generation > bindparam("since"), servers.c.deleted == 0).order_by(servers.c.host_generation)
_COMING = select(*_COLUMNS).select_from(migrations.join(servers, servers.c.migration_id == migrations.c.id)).where(
    migrations.c.dest_id == bindparam("host_id"), migrations.c.host_generation > bindparam("since"),
    servers.c.move == Type.LIVE.value, servers.c.deleted == 0)
_MACHINE = select(machines.c.id, machines.c.credential_hash).where(
    or_(machines.c.name == bindparam("machine"), machines.c.id == bindparam("machine")))
_BY_HASH = select(machines.c.id).where(machines.c.credential_hash == bindparam("hash"))
_ON_MACHINE = select(servers.c.id).select_from(servers.join(hosts, hosts.c.id == servers.c.host_id)).where(
    hosts.c.machine_id == bindparam("machine"), servers.c.deleted == 0).limit(1)
_NAMES_IMAGE = _ON_MACHINE.where(servers.c.image_id == bindparam("image"))
_RESCUED_BY = _ON_MACHINE.where(servers.c.rescue_image_id == bindparam("image"))
_COMES_BACK = _ON_MACHINE.where(servers.c.shelved_image_id == bindparam("image"), servers.c.shelve == Shelve.BACK.value)
_ARRIVES = select(servers.c.id).select_from(servers.join(
    migrations, migrations.c.id == servers.c.migration_id).join(hosts, hosts.c.id == migrations.c.dest_id)).where(
    hosts.c.machine_id == bindparam("machine"), servers.c.move == Type.LIVE.value).limit(1)
_AWAITS_IMAGE = _ARRIVES.where(servers.c.image_id == bindparam("image"))
_HAS, _AWAITS = (statement.where(servers.c.id.in_(bindparam("ids", expanding=True)))
                 for statement in (_ON_MACHINE, _ARRIVES))
_SAVES_IMAGE = select(servers.c.id).select_from(servers.join(hosts, hosts.c.id == servers.c.host_id).join(
    machines, machines.c.id == hosts.c.machine_id)).where(
    machines.c.credential_hash == bindparam("hash"), servers.c.snapshot_id == bindparam("image"),
    servers.c.deleted == 0)
_SOURCE = select(migrations.c.storage, machines.c.address).select_from(migrations.join(
    hosts, hosts.c.id == migrations.c.source_id).join(machines, machines.c.id == hosts.c.machine_id)).where(
    migrations.c.id == bindparam("migration"))
_metadata = msgspec.json.Decoder(MetadataDocument)
_nics = msgspec.json.Decoder(tuple[Nic, ...])


def check_machine(tx: Tx, machine: str, credential: str | None) -> str:
    """The id of the machine that *credential* belongs to. Raises ``Unauthorized``."""
    row = tx.one(_MACHINE, machine=machine)
    given = hashlib.sha256((credential or "").encode()).hexdigest()
    if row is None or not credential or not hmac.compare_digest(given, row.credential_hash):
        raise Unauthorized("This credential isn't that of the machine.")
    return str(row.id)


def machine_of(tx: Tx, credential: str | None) -> str:
    """The id of the machine whose credential this is. Raises ``Unauthorized``."""
    row = tx.one(_BY_HASH, hash=credential_hash(credential)) if credential else None
    if row is None:
        raise Unauthorized("This credential is no machine's.")
    return str(row.id)


def credential_hash(credential: str) -> str:
    """What the database keeps of a machine's credential."""
    return hashlib.sha256(credential.encode()).hexdigest()


def documents(tx: Tx, machine_id: str, host: str, since: int, epoch: int | None) -> HostDocument | None:
    """What changed for *host* after *since*; None when nothing did. Raises ``Forbidden`` when the machine doesn't
    hold the host.

    All of it (``complete``) when *since* is 0, of another epoch, or of a future that a restored backup doesn't know.
    """
    row = tx.one(_HOST, host=host)
    if row is None:
        raise NotFound(f"Host {host} could not be found.")
    if row.machine_id != machine_id:
        raise Forbidden(f"Host {host} is not held by this machine.")
    if since > 0 and (epoch != row.lease_epoch or since > row.generation):
        since = 0
    if since == row.generation and since > 0:
        return None
    return HostDocument(
        host=row.name, era=int(tx.setting("era") or 1), epoch=row.lease_epoch, generation=row.generation,
        complete=since == 0, servers=(
            *(_desired(tx, server) for server in tx.all(_CHANGED, host_id=row.id, since=since) if _is_due(server)),
            *(_desired(tx, server, coming=True) for server in tx.all(_COMING, host_id=row.id, since=since)),
            *departures.changed(tx, row.id, since)),
        networks=tuple(network.metadata_networks(tx, row.name)))


def _is_due(row: Row[Any]) -> bool:
    """Whether the host shall know of the server: not before its volumes are made."""
    return bool(row.deleting) or awaits(rows.mapping(row)) is not Awaits.MADE


def names_image(tx: Tx, machine_id: str, image_id: str) -> bool:
    """Whether a document of this machine names the image."""
    return any(tx.one(statement, machine=machine_id, image=image_id) is not None
               for statement in (_NAMES_IMAGE, _AWAITS_IMAGE, _COMES_BACK, _RESCUED_BY))


def volume_key(tx: Tx, machine_id: str, key_id: str) -> str:
    """What opens a volume that a document of this machine names. Raises ``Forbidden`` for any other one."""
    ids = volume_service.servers_with_key(tx, key_id)
    if not ids or all(tx.one(statement, machine=machine_id, ids=ids) is None for statement in (_HAS, _AWAITS)):
        raise Forbidden(f"No document of this machine names a volume with key {key_id}.")
    return volume_service.passphrase(tx, key_id)


def saves_image(tx: Tx, credential: str | None, image_id: str) -> str | None:
    """The server whose root disk a document of a machine with this credential asks for as this image."""
    row = tx.one(_SAVES_IMAGE, hash=credential_hash(credential), image=image_id) if credential else None
    return str(row.id) if row is not None else None


def _desired(tx: Tx, row: Row[Any], *, coming: bool = False) -> ServerDesired:
    """One server of the document of its host, or (*coming*) of the host to which it migrates live."""
    if row.move is None:
        return desired(row)
    if row.move == Type.LIVE:
        return desired(row, live=live_migration.move_of(known.get(tx, row.migration_id), target=coming))
    return desired(row, _source(tx, row))


def desired(row: Row[Any], source: str = "", live: LiveMove | None = None) -> ServerDesired:
    """One server of a document. *source* is where the agent of its former host answers, if its disks are there."""
    arrival = Arrival(hold=bool(row.held), source=source) if row.move in ARRIVING else None
    if row.deleting or row.shelve == Shelve.OFFLOADED:
        return ServerDesired(id=row.id, generation=row.generation, present=False, name=row.name,
                             project_id=row.project_id, arrival=arrival,
                             politely=not row.deleting and is_volume_backed(rows.mapping(row)))
    waits = awaits(rows.mapping(row)) is not None
    properties: dict[str, str] = row.image["properties"] if row.image else {}
    return ServerDesired(
        id=row.id, generation=row.generation, name=row.name, number=row.number, project_id=row.project_id,
        power=Power.STOPPED if waits else Power(row.power),
        power_generation=row.power_generation, vcpus=row.vcpus, memory_mib=row.memory_mib, root=_root(row),
        ephemeral_gib=row.ephemeral_gib, swap_mib=row.swap_mib, nics=_nics.decode(row.nics),
        volumes=volumes.disks(row.volumes),
        config_drive=bool(row.config_drive), metadata=_metadata.decode(row.document),
        machine_type=properties.get("hw_machine_type"), hardware=_hardware(properties, row.flavor["extra_specs"]),
        soft_reboots=row.soft_reboots, hard_reboots=row.hard_reboots, rebuilds=row.rebuilds,
        resizes=row.resizes, kept_resize=row.kept_resize, restored_resize=row.restored_resize,
        snapshot=row.snapshot_id, arrival=arrival, live=live, rescue=_rescue(row))


def _source(tx: Tx, row: Row[Any]) -> str:
    if row.move not in (Type.MIGRATION, Type.RESIZE) or row.restored_resize:
        return ""
    if not shares.has_local_disk(rows.mapping(row)):
        return ""
    found = tx.one(_SOURCE, migration=row.migration_id)
    return found.address or "" if found is not None and departures.is_local(found.storage) else ""


def _root(row: Row[Any]) -> RootDisk | None:
    if row.image_id is None or row.image is None or is_volume_backed(rows.mapping(row)):
        return None
    bus = row.image["properties"].get("hw_disk_bus", "virtio")
    back = row.shelve == Shelve.BACK and row.shelved_image_id is not None
    id, image = (str(row.shelved_image_id), row.shelved_image) if back else (str(row.image_id), row.image)
    return _of_image(id, image, size_gib=row.root_gib, bus=bus, flat=bool(row.root_flat))


def _rescue(row: Row[Any]) -> RescueDisk | None:
    if row.rescue is None:
        return None
    how: dict[str, Any] = row.rescue
    return RescueDisk(number=how["number"], root=_of_image(row.rescue_image_id, how["image"], flat=True),
                      stable=how["stable"], device=how["device"], bus=how["bus"])


def _of_image(id: str, image: dict[str, Any], **values: Any) -> RootDisk:
    return RootDisk(image_id=id, image_format=image["format"], image_size=image["size"],
                    image_checksum=image["sha512"], image_location=image.get("location", ""), **values)


def _hardware(properties: dict[str, str], extra_specs: dict[str, str]) -> dict[str, str]:
    found = {name: str(value) for name, value in properties.items() if name.startswith(("hw_", "os_"))}
    return found | {name: str(value) for name, value in extra_specs.items() if name.startswith(("hw:", "hw_rng:"))}


def host_id(tx: Tx, host: str) -> str:
    """The id of the host called *host*. Raises ``NotFound``."""
    row = tx.one(_HOST, host=host)
    if row is None:
        raise NotFound(f"Host {host} could not be found.")
    return str(row.id)
