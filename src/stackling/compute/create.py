"""Making servers: one transaction that checks, counts the quota, chooses hosts, claims them, plugs networks.

A server for which no host has room is made all the same and is in ERROR with the reasons, as Nova does it: the request
was valid, and what it met is the server's story.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert

from stackling.compute import (
    block_devices,
    boot_volumes,
    changes,
    flavors,
    groups,
    hosts,
    keypairs,
    quotas,
    requirements,
    rows,
    rules,
    shares,
    timeline,
    volumes,
)
from stackling.compute.boot_volumes import BuildAborted, Chosen
from stackling.compute.model import ON_VOLUME, Flavor, Host, Need, NewServers, ServerRow, awaits, is_volume_backed
from stackling.compute.volumes import ServerVolume
from stackling.core.context import Context
from stackling.core.errors import Forbidden, Invalid, NotFound
from stackling.image.facade import BootImage
from stackling.network import facade as network
from stackling.network.facade import RequestedNetwork, ServerPort, ServerToPlug
from stackling.ports.document import Power
from stackling.store.tables.compute import server_tags
from stackling.store.transaction import Tx

GIB = 1 << 30
AUTO_FLOATING_IP = "floating_ip"
"""``floating_ip=auto`` in a server's metadata gives it an address with it."""
_TAGS = insert(server_tags)


@dataclass(frozen=True, slots=True)
class Placed:
    """A server's place; ``reason`` (for its owner) and ``details`` (for administrators) when there is none."""

    id: str
    index: int
    name: str
    hostname: str
    host: Host | None
    host_generation: int = 0
    reason: str | None = None
    details: str | None = None
    volumes: tuple[ServerVolume, ...] = ()


def create_servers(tx: Tx, ctx: Context, new: NewServers) -> list[ServerRow]:
    """Make up to ``new.max_count`` servers (as many as the quota allows, at least ``min_count``).

    Raises ``Invalid`` (400), ``Forbidden`` and ``QuotaExceeded`` (403), ``Conflict`` (409: port in use, ambiguous
    network).
    """
    flavor = _flavor(tx, ctx, new.flavor_ref)
    chosen = boot_volumes.choose(tx, ctx, new, flavor)
    image = chosen.image
    check_flavor_for_image(flavor, image, admin=ctx.is_admin, on_volume=chosen.root is not None)
    keypair = _keypair(tx, ctx, new.key_name)
    _check(tx, ctx, new)
    boot_volumes.check(tx, ctx, chosen, flavor, shared=new.shared_volumes)
    count = quotas.claim_servers(tx, ctx.project_id or "", flavor.vcpus, flavor.memory_mib, new.min_count,
                                 new.max_count)
    group = groups.for_hints(tx, ctx, new.placement.hints)
    requested = network.choose_networks(tx, ctx, new.requested)
    if new.max_count > 1:
        _check_networks_of_many(requested)
    placed = _place(tx, new, flavor, image, group, count, on_volume=chosen.root is not None)
    placed = [_with_volumes(tx, ctx, place, chosen, flavor) for place in placed]
    ports = _plug(tx, ctx, new, placed, requested)
    base = _base(tx, ctx, new, flavor, chosen, keypair, group)
    made: list[ServerRow] = [_row(tx, base, place, ports.get(place.id, [])) for place in placed]
    rows.add(tx, made)
    _tell(tx, ctx, new, made)
    if new.metadata.get(AUTO_FLOATING_IP) == "auto":
        made = [_with_floating_ip(tx, ctx, server) for server in made]
    return made


# -- checks

def _flavor(tx: Tx, ctx: Context, ref: str) -> Flavor:
    try:
        flavor = flavors.get_flavor(tx, ctx, ref)
    except NotFound as error:
        raise Invalid(error.message) from None
    if flavor.disabled:
        raise Invalid(f"Flavor {ref} could not be found.")
    return flavor


def check_flavor_for_image(flavor: Flavor, image: BootImage, *, admin: bool, on_volume: bool = False) -> None:
    """Whether the flavor is large enough; its disk doesn't count for a root disk that is a volume. Raises ``Invalid``
    or ``Forbidden``."""
    if flavor.memory_mib < image.min_ram_mib:
        raise Invalid("Flavor's memory is too small for requested image.")
    if on_volume:
        return
    if flavor.root_gib == 0:
        if not admin:
            raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        return
    size = flavor.root_gib * GIB
    if max(image.size, image.virtual_size or 0) > size:
        raise Invalid(f"Flavor's disk is too small for requested image. Flavor disk is {size} bytes, image is "
                      f"{max(image.size, image.virtual_size or 0)} bytes.")
    if image.min_disk_gib > flavor.root_gib:
        raise Invalid("Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
                      f"{size} bytes, minimum size is {image.min_disk_gib * GIB} bytes.")


def _keypair(tx: Tx, ctx: Context, name: str | None) -> dict[str, str] | None:
    if name is None:
        return None
    try:
        row = keypairs.get_keypair(tx, ctx.user_id or "", name)
    except NotFound:
        raise Invalid("Invalid key_name provided.") from None
    return {"name": row.name, "type": row.type, "public_key": row.public_key}


def check_user_data(text: str | None) -> None:
    """Raises ``Invalid`` unless *text* is base64."""
    if text is None:
        return
    try:
        base64.b64decode(text.encode(), validate=False)
        if re.search(r"[^A-Za-z0-9+/=\s]", text):
            raise ValueError
    except (ValueError, binascii.Error):
        raise Invalid("User data needs to be valid base 64.") from None


def _check(tx: Tx, ctx: Context, new: NewServers) -> None:
    check_user_data(new.user_data)
    quotas.check_metadata(tx, ctx.project_id or "", len(new.metadata))
    quotas.check_injected_files(tx, ctx.project_id or "", new.injected_files)
    zone = new.placement.availability_zone
    if zone is not None and not any(h["availability_zone"] == zone for h in hosts.list_hosts(tx)):
        raise Invalid("The requested availability zone is not available")
    if new.placement.host is not None:
        try:
            hosts.get_host(tx, new.placement.host)
        except NotFound:
            raise Invalid(f"Compute host {new.placement.host} could not be found.") from None
    if new.max_count > 1 and new.hostname is not None:
        raise Invalid("Unable to allocate a single hostname to multiple instances")


def _check_networks_of_many(requested: Sequence[RequestedNetwork]) -> None:
    if any(network.fixed_ip for network in requested):
        raise Invalid("Failed to launch instances: Invalid fixed IP Address given, only one instance can have it.")
    if any(network.port_id for network in requested):
        raise Invalid("Failed to launch instances: Unable to launch multiple instances with a single configured port "
                      "ID. Please launch your instance one by one with different ports.")


# -- placing

def need_of(flavor: Flavor, new: NewServers, group: groups.Group | None, *, on_volume: bool = False) -> Need:
    """What the scheduler is asked for."""
    vcpus, memory, disk = shares.of_flavor(flavor_json(flavor, on_volume=on_volume))
    avoid, only = groups.limits(group) if group else (frozenset[str](), None)
    need = Need(vcpus, memory, disk, new.placement.availability_zone, new.placement.host,
                avoid, only)
    return groups.leaning(need, group) if group else need


def _place(tx: Tx, new: NewServers, flavor: Flavor, image: BootImage, group: groups.Group | None,
           count: int, *, on_volume: bool) -> list[Placed]:
    placed: list[Placed] = []
    for index in range(count):
        need = with_hints(tx, need_of(flavor, new, group, on_volume=on_volume), new.placement.hints)
        need = requirements.narrowed(tx, need, flavor.extra_specs, image.properties,
                                     placed=[one.host.id for one in placed if one.host])
        host = hosts.force(tx, need) if new.placement.forced else hosts.place(tx, need)
        name = new.name if new.max_count == 1 else f"{new.name}-{index + 1}"
        hostname = new.hostname or host_name(name, new.ids[index])
        if host is None:
            reason, by_host = hosts.why_not(tx, need)
            placed.append(Placed(new.ids[index], index, name, hostname, None, 0, f"No valid host was found. {reason}.",
                                 _by_host(by_host)))
        else:
            placed.append(Placed(new.ids[index], index, name, hostname, host, hosts.generation(tx, host.id)))
            if group is not None:
                group = groups.joined(group, host.id)
    return placed


def _with_volumes(tx: Tx, ctx: Context, place: Placed, chosen: Chosen, flavor: Flavor) -> Placed:
    """The same with its volumes; on no host, with the reason, where they can't be made."""
    if place.host is None or not any(one.is_volume for one in chosen.devices):
        return place
    try:
        made = boot_volumes.prepare(tx, ctx, place.id, place.host.name, chosen.devices)
    except BuildAborted as error:
        share = shares.of_flavor(flavor_json(flavor, on_volume=chosen.root is not None))
        hosts.release(tx, place.host.id, *share)
        return replace(place, host=None, host_generation=0,
                       reason=f"Build of instance {place.id} aborted: {error}", details=None)
    return replace(place, volumes=tuple(made))


def _by_host(refusals: Sequence[Mapping[str, str]], most: int = 100) -> str:
    text = "; ".join(f"{refusal['host']}: {refusal['reason']}" for refusal in refusals[:most])
    return text if len(refusals) <= most else f"{text}; and {len(refusals) - most} more hosts"


def with_hints(tx: Tx, need: Need, hints: Mapping[str, Any], but: str | None = None) -> Need:
    """``same_host`` and ``different_host`` name servers; *but* isn't counted among them."""
    for hint in ("same_host", "different_host"):
        named = hints.get(hint)
        if not named:
            continue
        ids = [id for id in ([named] if isinstance(named, str) else list(named)) if id != but]
        if not ids:
            continue
        found = frozenset(row["host_id"] for row in rows.get_many(tx, ids).values() if row["host_id"])
        if hint == "same_host":
            need = replace(need, only=found if need.only is None else need.only & found,
                                   only_reason="not the host of the servers named by same_host")
        else:
            need = replace(need, avoid=need.avoid | found,
                                   avoid_reason="it runs a server named by different_host")
    return need


def host_name(name: str, id: str) -> str:
    """A host name from a server's name, by RFC 952 and RFC 1123, as Nova makes it."""
    text = name.encode("latin-1", "ignore").decode("latin-1")[:63]
    text = re.sub(r"[^\w.-]+", "", re.sub(r"[ _.]", "-", text)).lower().strip(".-")
    return text or f"Server-{id}"[:63]


# -- writing

def _plug(tx: Tx, ctx: Context, new: NewServers, placed: Sequence[Placed],
          requested: Sequence[RequestedNetwork]) -> dict[str, list[ServerPort]]:
    to_plug = [ServerToPlug(p.id, p.name, p.host.name) for p in placed if p.host is not None]
    if not to_plug or not requested:
        return {}
    zone = next(p.host.availability_zone for p in placed if p.host is not None)
    try:
        return network.plug_servers(tx, ctx, to_plug, zone, requested, new.security_groups)
    except NotFound as error:
        raise Invalid(error.message, type=error.type) from None


def _base(tx: Tx, ctx: Context, new: NewServers, flavor: Flavor, chosen: Chosen, keypair: dict[str, str] | None,
          group: groups.Group | None) -> dict[str, Any]:
    """The columns that all of the servers share."""
    on_volume, devices = chosen.root is not None, chosen.devices
    return {
        "project_id": ctx.project_id, "user_id": ctx.user_id, "description": new.description,
        "reservation_id": new.reservation_id, "created_at": tx.now, "updated_at": tx.now, "launched_at": None,
        "terminated_at": None, "deleted_at": None, "deleted": 0,
        "flavor_id": flavor.id, "flavor": flavor_json(flavor, on_volume=on_volume),
        "vcpus": flavor.vcpus, "memory_mib": flavor.memory_mib,
        "root_gib": 0 if on_volume else flavor.root_gib,
        "ephemeral_gib": block_devices.ephemeral_gib(devices, flavor),
        "swap_mib": block_devices.swap_mib(devices, flavor),
        "image_id": chosen.image_id, "image": image_json(chosen.image), "key_name": new.key_name, "keypair": keypair,
        "user_data": new.user_data, "injected_files": list(new.injected_files) or None,
        "config_drive": int(new.config_drive or chosen.image.properties.get("img_config_drive") == "mandatory"),
        "metadata": dict(new.metadata),
        "tags": sorted(set(new.tags)), "access_ip_v4": new.access_ip_v4, "access_ip_v6": new.access_ip_v6,
        "disk_config": new.disk_config, "pinned_availability_zone": new.placement.availability_zone,
        "scheduler_hints": dict(new.placement.hints), "server_group_id": group.id if group else None,
        "locked": 0, "locked_by": None, "locked_reason": None, "power": Power.RUNNING.value, "power_generation": 1,
        "deleting": 0, "soft_reboots": 0, "hard_reboots": 0, "rebuilds": 0, "generation": 1,
        "resizes": 0, "kept_resize": 0, "restored_resize": 0, "old_flavor": None, "snapshot_id": None,
        "observed_resizes": 0, "move": None, "migration_id": None, "held": 0, "shelve": None,
        "shelved_image_id": None, "shelved_image": None, "offload_at": None, "root_flat": 0, "rescue": None,
        "rescue_image_id": None,
        "rescues": 0, "observed_rescue": 0,
        "observed_power": None, "observed_generation": 0, "observed_converged": 0, "observed_soft_reboots": 0,
        "observed_hard_reboots": 0, "observed_rebuilds": 0, "observed_step": None, "observed_error": None,
        "observed_terminal": 0, "observed_at": None, "started_at": None, "overdue": 0, "forced_error": 0,
        "fault_code": None, "fault_message": None, "fault_details": None, "fault_at": None, "volumes": "[]",
        "password": None,
    }


def flavor_json(flavor: Flavor, *, on_volume: bool = False) -> dict[str, Any]:
    """The flavor as a server remembers it."""
    return {**({ON_VOLUME: True} if on_volume else {}),
            "id": flavor.id, "name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.memory_mib,
            "disk": flavor.root_gib, "ephemeral": flavor.ephemeral_gib, "swap": flavor.swap_mib,
            "extra_specs": dict(flavor.extra_specs), "description": flavor.description}


def image_json(image: BootImage) -> dict[str, Any]:
    """The image as a server remembers it."""
    return {"name": image.name, "format": image.format, "size": image.size, "sha512": image.sha512,
            "location": image.location, "min_disk": image.min_disk_gib, "min_ram": image.min_ram_mib,
            "properties": dict(image.properties)}


def _row(tx: Tx, base: Mapping[str, Any], place: Placed, ports: Sequence[ServerPort]) -> dict[str, Any]:
    host = place.host
    server: dict[str, Any] = {
        **base, "id": place.id, "number": rows.new_number(tx, place.id), "name": place.name,
        "hostname": place.hostname, "launch_index": place.index,
        "host_id": host.id if host else None, "host": host.name if host else None,
        "host_generation": place.host_generation,
        "availability_zone": host.availability_zone if host else base["pinned_availability_zone"],
        "volumes": volumes.text(place.volumes),
    }
    if host is None:
        server.update(changes.fault(tx, place.reason or "",
                                    details=f"{place.reason} {place.details or ''}".rstrip()))
    server.update(changes.network_values(server, ports))
    state = rules.state(server)
    server.update(status=state.status, vm_state=state.vm_state, task_state=state.task_state,
                  power_state=state.power_state)
    return server


def _tell(tx: Tx, ctx: Context, new: NewServers, made: Sequence[ServerRow]) -> None:
    """Tags, actions, timeline; wake the engine."""
    if new.tags:
        tx.execute(_TAGS, [{"server_id": s["id"], "tag": tag} for s in made for tag in set(new.tags)])
    timeline.add(tx, [timeline.entry(tx, ctx, s, "create", error=s["fault_message"], details=s["fault_details"])
                      for s in made])
    for server in made:
        what = f"{server['flavor']['name']} from " + (
            "a volume" if is_volume_backed(server) else f"image {server['image']['name']}")
        tx.event(ctx, "server", server["id"], "create", what, project_id=server["project_id"])
        if server["host_id"] is None:
            tx.event(ctx, "server", server["id"], "no_valid_host", server["fault_message"], source="scheduler",
                     project_id=server["project_id"])
        else:
            tx.nudge(changes.KIND, server["id"], deadline=changes.DEADLINES["create"] if awaits(server) is None else
                     boot_volumes.DEADLINE)
            tx.nudged.append(("host", server["host_id"]))


def _with_floating_ip(tx: Tx, ctx: Context, server: ServerRow) -> ServerRow:
    if server["host_id"] is None:
        return server
    network.auto_floating_ip(tx, ctx, server["id"])
    return changes.refresh_network(tx, server)
