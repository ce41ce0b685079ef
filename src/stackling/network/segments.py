"""Where a network is outside of the fabric: one segment, or several that are one network together (multi-provider).

Each has a row in ``network_segments``. The network's own row has the first, and in ``segments`` all of them as they are
shown, where there are more: both follow from those rows (``_follow``).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, exists, or_, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.network.errors import conflict, invalid_input, not_found
from stackling.network.resources import NETWORKS, SEGMENTS
from stackling.network.rows import Record, moved, standard, touch
from stackling.network.timeline import announce, describe
from stackling.store.tables.network import network_segments, networks, ports
from stackling.store.transaction import Tx

TYPE, PHYSICAL, ID = "provider:network_type", "provider:physical_network", "provider:segmentation_id"
COLUMNS = {TYPE: "network_type", PHYSICAL: "physical_network", ID: "segmentation_id"}
PHYSICAL_NETWORKS = "network.physical_networks"
TENANT_TYPE = "geneve"
VNIS = 65535
_n, _s = networks, network_segments
_VNI = select(_s.c.id).where(_s.c.segmentation_id == bindparam("vni"), _s.c.network_type == TENANT_TYPE)
_ON_PHYSICAL = select(_s.c.network_type, _s.c.segmentation_id).where(_s.c.physical_network == bindparam("name"))
_BOUND = select(ports.c.id).where(
    ports.c.network_id == bindparam("network"), ports.c.binding_host != "", ports.c.deleting.is_(False))
_FORGET = delete(_s).where(_s.c.network_id == bindparam("network"))


class Segment(NamedTuple):
    """A network's type, and where it has them, its physical network and its number there."""

    network_type: str
    physical_network: str | None
    segmentation_id: int | None


def choose(tx: Tx, spec: Mapping[str, Any]) -> list[Segment]:
    """The segments of a new network: those of the request, or one of the tenants' own. Raises ``Invalid``,
    ``Conflict``."""
    given: Sequence[Mapping[str, Any]] | None = spec.get("segments")
    if given is None or not given:
        return [_chosen(tx, spec, ())]
    if any(spec.get(name) is not None for name in COLUMNS):
        raise Invalid("Segments and provider values cannot both be set.", type="SegmentsSetInConjunctionWithProviders")
    whole = [Segment(one[TYPE], one[PHYSICAL], one[ID]) for one in given if one[ID] is not None or one[TYPE] == "flat"]
    if len(set(whole)) != len(whole):
        raise Invalid("Duplicate segment entry in request.", type="SegmentsContainDuplicateEntry")
    taken = {one.segmentation_id for one in whole if one.network_type == TENANT_TYPE}
    found: list[Segment] = []
    for one in given:
        if one[TYPE] is None:
            raise invalid_input("network_type required")
        found.append(_chosen(tx, one, taken))
        if found[-1].network_type == TENANT_TYPE:
            taken.add(found[-1].segmentation_id)
    return found


def columns(chosen: Sequence[Segment]) -> Record:
    """What the network's row has of them."""
    first = chosen[0]
    return {**first._asdict(), "segments": [dict(zip(COLUMNS, one, strict=True)) for one in chosen]
            if len(chosen) > 1 else None}


def add(tx: Tx, network_id: str, chosen: Sequence[Segment]) -> None:
    """Write the rows of a new network's."""
    SEGMENTS.insert(tx, [_row(tx, new_id(), network_id, at, one) for at, one in enumerate(chosen)])


def _row(tx: Tx, id: str, network_id: str, number: int, one: Segment) -> Record:
    return {**standard(tx, id, "", {}), "name": None, "network_id": network_id, "number": number, **one._asdict()}


def forget(tx: Tx, network_id: str) -> None:
    """The network goes."""
    tx.execute(_FORGET, {"network": network_id})


# -- segments by themselves

def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Give networks further segments. Raises ``NotFound``, ``Invalid``, ``Conflict``."""
    records: list[Record] = []
    for spec in specs:
        network = NETWORKS.locked(tx, spec["network_id"])
        if network is None:
            raise not_found("network", spec["network_id"])
        there = _of(tx, network["id"])
        chosen = _chosen(tx, {name: spec.get(column) for name, column in COLUMNS.items()}, ())
        record: Record = {**_row(tx, spec["id"], network["id"], there[-1]["number"] + 1, chosen),
                          "name": spec.get("name"), "description": spec.get("description") or ""}
        SEGMENTS.insert(tx, [record])
        announce(tx, ctx, "network_segment", record, "create", f"of network {network['id']}")
        _follow(tx, network)
        records.append(record)
    return records


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change its name or its description."""
    return describe(tx, ctx, SEGMENTS, "network_segment", record, changes)


def delete_segment(tx: Tx, ctx: Context, record: Record) -> None:
    """Take it from its network. Refused (SegmentInUse) for the last one, and for the one that ports are bound to, which
    is the first."""
    network = NETWORKS.locked(tx, record["network_id"])
    if network is None:
        raise not_found("segment", record["id"])
    there = _of(tx, network["id"])
    reason = "" if len(there) > 1 else "The network has no other segment"
    if not reason and there[0]["id"] == record["id"] and (bound := tx.all(_BOUND, network=network["id"])):
        reason = "The segment is still bound with port(s) " + ", ".join(sorted(row.id for row in bound))
    if reason:
        raise conflict("SegmentInUse", f"Segment '{record['id']}' cannot be deleted: {reason}.")
    SEGMENTS.delete(tx, record["id"])
    announce(tx, ctx, "network_segment", record, "delete", f"of network {network['id']}")
    _follow(tx, network)


def _of(tx: Tx, network_id: str) -> list[Record]:
    return sorted(SEGMENTS.where(tx, network_id=network_id), key=lambda one: int(one["number"]))


def _follow(tx: Tx, network: Record) -> None:
    """The network's row, and the fabric after it, have the segments that there are."""
    place = columns([Segment(*(one[column] for column in COLUMNS.values())) for one in _of(tx, network["id"])])
    NETWORKS.update(tx, network["id"], {**touch(tx, network), **moved(network), **place})
    tx.nudge("network", network["id"])


def tunnelled(network: Record) -> bool:
    """Whether frames of the network are carried in others'."""
    return network["network_type"] == TENANT_TYPE or any(one[TYPE] == TENANT_TYPE for one in network["segments"] or ())


def having(column: str, values: Sequence[Any]) -> Any:
    """The condition for networks of which a segment has one of *values* (None among them: has none)."""
    given = [value for value in values if value is not None]
    one_of = or_(_s.c[column].in_(given), *([_s.c[column].is_(None)] if len(given) < len(values) else []))
    return exists(select(_s.c.id).where(_s.c.network_id == _n.c.id, one_of))


def _chosen(tx: Tx, asked: Mapping[str, Any], taken: Collection[int | None]) -> Segment:
    kind, physical, number = (asked.get(name) for name in COLUMNS)
    if kind is None and physical is None and number is None:
        return Segment(TENANT_TYPE, None, _free_vni(tx, taken))
    if kind is None:
        raise invalid_input("network_type required")
    if kind == TENANT_TYPE:
        if physical is not None:
            raise invalid_input("provider:physical_network specified for geneve network")
        return Segment(kind, None, _exact_vni(tx, number) if number is not None else _free_vni(tx, taken))
    if kind not in ("flat", "vlan"):
        raise invalid_input(f"network_type value '{kind}' not supported")
    if physical is None:
        raise invalid_input(f"physical_network required for {kind} provider network")
    if physical not in (tx.setting(PHYSICAL_NETWORKS) or []):
        raise invalid_input(f"physical_network '{physical}' unknown for {kind} provider network")
    tx.guard(f"physical-network:{physical}")
    _check_free(tx, kind, physical, number)
    return Segment(kind, physical, number)


def _check_free(tx: Tx, kind: str, physical: str, number: int | None) -> None:
    taken = tx.all(_ON_PHYSICAL, name=physical)
    if kind == "flat":
        if number is not None:
            raise invalid_input("segmentation_id specified for flat network")
        if any(row.network_type == "flat" for row in taken):
            raise conflict("FlatNetworkInUse", "Unable to create the flat network. "
                           f"Physical network {physical} is in use.")
        return
    if number is None or not 1 <= number <= 4094:
        raise invalid_input("segmentation_id out of range (1 through 4094)")
    if any(row.segmentation_id == number for row in taken):
        raise conflict("VlanIdInUse", f"Unable to create the network. The VLAN {number} on physical network "
                       f"{physical} is in use.")


def _free_vni(tx: Tx, taken: Collection[int | None]) -> int:
    for _ in range(64):
        vni = 1 + secrets.randbelow(VNIS)
        if vni not in taken and tx.scalar(_VNI, vni=vni) is None:
            return vni
    raise conflict("NoNetworkAvailable", "Unable to create the network. No available network found in maximum "
                   "allowed attempts.")


def _exact_vni(tx: Tx, vni: int) -> int:
    if not 1 <= vni <= VNIS:
        raise invalid_input(f"segmentation_id out of range (1 through {VNIS})")
    if tx.scalar(_VNI, vni=vni) is not None:
        raise conflict("TunnelIdInUse", f"Unable to create the network. The tunnel ID {vni} is in use.")
    return vni
