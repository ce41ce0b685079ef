"""Trunks: a port that carries other ports' traffic with VLAN tags. Use-cases, one transaction each.

Which trunk a subport is in stands in its own row (``trunk_id``, ``parent_port_id``, ``trunk_tag``), and a parent keeps
what a client sees of its subports in ``trunk_details``. Subports are bound where their parent is (``ports.save``).
Whoever changes a trunk holds ``trunk:<id>``; a port's row is locked before it goes into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import NotFound
from stackling.network import ports, quotas
from stackling.network.errors import conflict, invalid_input, not_found
from stackling.network.resources import NETWORKS, PORTS, TRUNKS
from stackling.network.rows import Record, many, standard, touch
from stackling.network.timeline import announce, describe, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables.network import ports as table
from stackling.store.transaction import Tx

OWNER = "trunk:subport"
_SUBPORTS = select(table).where(table.c.trunk_id.in_(bindparam("trunks", expanding=True)), table.c.deleting.is_(False),
                                table.c.parent_port_id.is_not(None)).order_by(table.c.trunk_tag)
_STATUS = select(table.c.id, table.c.status).where(table.c.id.in_(bindparam("ids", expanding=True)))


def subports_of(tx: Tx, trunk_ids: Sequence[str]) -> dict[str, list[Record]]:
    """The subports of each trunk, in one query."""
    found: dict[str, list[Record]] = {id: [] for id in trunk_ids}
    for start in range(0, len(trunk_ids), 500):
        for port in many(tx, _SUBPORTS, trunks=list(trunk_ids[start:start + 500])):
            found[port["trunk_id"]].append(port)
    return found


def statuses(tx: Tx, port_ids: Sequence[str]) -> dict[str, str]:
    """A trunk is ACTIVE when its parent port is."""
    return {row.id: row.status for start in range(0, len(port_ids), 500)
            for row in tx.all(_STATUS, ids=list(port_ids[start:start + 500]))}


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make trunks with their first subports, all or none."""
    return [_create(tx, ctx, spec) for spec in specs]


def _create(tx: Tx, ctx: Context, spec: Mapping[str, Any]) -> Record:
    quotas.reserve(tx, spec["project_id"], "trunk")
    parent = _port(tx, ctx, spec["port_id"])
    if parent["trunk_details"] is not None or parent["role"] != PortRole.INTERFACE:
        raise conflict("ParentPortInUse", f"Port {parent['id']} is currently in use and is not eligible for use as a "
                       "parent port.")
    if parent["parent_port_id"]:
        raise _in_use_as_subport(parent)
    record: Record = {
        **standard(tx, spec["id"], spec["project_id"], spec), "name": spec.get("name", ""), "port_id": parent["id"],
        "admin_state_up": spec.get("admin_state_up", True)}
    TRUNKS.insert(tx, [record])
    store_tags(tx, record["id"], record["tags"], fresh=True)
    PORTS.update(tx, parent["id"], {"trunk_details": {"trunk_id": record["id"], "sub_ports": []}})
    announce(tx, ctx, "trunk", record, "create")
    return _add(tx, ctx, record, spec.get("sub_ports") or [])


def _port(tx: Tx, ctx: Context, id: str) -> Record:
    port = PORTS.locked(tx, id)
    if port is None or not (ctx.is_admin or port["project_id"] == ctx.project_id):
        raise not_found("port", id)
    return port


def _in_use_as_subport(port: Record) -> Exception:
    return conflict("PortInUseAsSubPort", f"Port {port['id']} is currently a subport for trunk {port['trunk_id']}.")


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change name, description or state."""
    return describe(tx, ctx, TRUNKS, "trunk", record, changes)


def delete(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a trunk; its ports are ordinary ones again."""
    _check_enabled(record)
    tx.guard(f"trunk:{record['id']}")
    for port in subports_of(tx, [record["id"]])[record["id"]]:
        _release(tx, ctx, port)
    PORTS.update(tx, record["port_id"], {"trunk_details": None})
    forget_tags(tx, record)
    TRUNKS.delete(tx, record["id"])
    announce(tx, ctx, "trunk", record, "delete")


# -- subports

def add(tx: Tx, ctx: Context, record: Record, wanted: Sequence[Mapping[str, Any]]) -> Record:
    """Add subports, all or none."""
    _check_enabled(record)
    return _add(tx, ctx, record, wanted)


def _check_enabled(record: Record) -> None:
    if not record["admin_state_up"]:
        raise conflict("TrunkDisabled", f"Trunk {record['id']} is currently disabled.")


def _add(tx: Tx, ctx: Context, record: Record, wanted: Sequence[Mapping[str, Any]]) -> Record:
    tx.guard(f"trunk:{record['id']}")
    if not wanted:
        return record
    parent = _port(tx, ctx, record["port_id"])
    tags = {port["trunk_tag"] for port in subports_of(tx, [record["id"]])[record["id"]]}
    for one in wanted:
        port = _port(tx, ctx, one["port_id"])
        tag = _tag(tx, port, one)
        _check_subport(tx, parent, port)
        if tag in tags:
            raise conflict("DuplicateSubPort", f"segmentation_type vlan and segmentation_id {tag} already in use on "
                           f"trunk {record['id']}.")
        tags.add(tag)
        ports.save(tx, ctx, port, {
            "trunk_id": record["id"], "parent_port_id": parent["id"], "trunk_tag": tag, "device_owner": OWNER,
            "binding_host": parent["binding_host"]})
    return _changed(tx, ctx, record, "subports added")


def _tag(tx: Tx, port: Record, one: Mapping[str, Any]) -> int:
    kind, tag = one.get("segmentation_type"), one.get("segmentation_id")
    if kind == "inherit":
        network = NETWORKS.get(tx, port["network_id"])
        if network is None or network["network_type"] != "vlan":
            raise invalid_input(f"Cannot inherit segmentation details from network {port['network_id']}")
        return int(network["segmentation_id"])
    if kind is None or tag is None:
        raise invalid_input("Invalid subport details: segmentation_type and segmentation_id must be specified")
    if kind != "vlan":
        raise invalid_input(f"Unknown segmentation type '{kind}'")
    if not 1 <= tag <= 4094:
        raise invalid_input(f"{tag} is not in range 1 through 4094")
    return int(tag)


def _check_subport(tx: Tx, parent: Record, port: Record) -> None:
    if port["id"] == parent["id"] or port["trunk_details"] is not None:
        holder = parent["trunk_details"] if port["id"] == parent["id"] else port["trunk_details"]
        raise conflict("PortInUseAsTrunkParent", f"Port {port['id']} is currently a parent port for trunk "
                       f"{holder['trunk_id']}.")
    if port["parent_port_id"]:
        raise _in_use_as_subport(port)
    if port["device_id"] or port["binding_host"] or port["role"] != PortRole.INTERFACE:
        raise conflict("PortInUse", f"Unable to complete operation on port {port['id']} for network "
                       f"{port['network_id']}. Port already has an attached device {port['device_id']}.")
    networks = {one["id"]: one for one in NETWORKS.several(tx, [port["network_id"], parent["network_id"]])}
    mine, theirs = networks[port["network_id"]]["mtu"], networks[parent["network_id"]]["mtu"]
    if mine > theirs:
        raise conflict("SubPortMtuGreaterThanTrunkPortMtu", f"MTU {mine} of subport {port['id']} cannot be greater "
                       f"than MTU {theirs} of trunk port {parent['id']}.")


def remove(tx: Tx, ctx: Context, record: Record, port_ids: Sequence[str]) -> Record:
    """Take subports out, all or none."""
    _check_enabled(record)
    tx.guard(f"trunk:{record['id']}")
    present = {port["id"]: port for port in subports_of(tx, [record["id"]])[record["id"]]}
    for id in dict.fromkeys(port_ids):
        if id not in present:
            raise NotFound(f"SubPort on trunk {record['id']} with parent port {id} could not be found.",
                           type="SubPortNotFound")
        _release(tx, ctx, present[id])
    return _changed(tx, ctx, record, "subports removed") if port_ids else record


def _release(tx: Tx, ctx: Context, port: Record) -> None:
    ports.save(tx, ctx, port, {"trunk_id": None, "parent_port_id": None, "trunk_tag": None, "device_owner": "",
                               "binding_host": ""})


def _changed(tx: Tx, ctx: Context, record: Record, what: str) -> Record:
    """The parent's details follow, and the trunk's revision rises."""
    subports = [detail(port) | {"mac_address": port["mac_address"]}
                for port in subports_of(tx, [record["id"]])[record["id"]]]
    PORTS.update(tx, record["port_id"], {"trunk_details": {"trunk_id": record["id"], "sub_ports": subports}})
    changed = touch(tx, record)
    TRUNKS.update(tx, record["id"], changed)
    announce(tx, ctx, "trunk", record, "update", what)
    return {**record, **changed}


def detail(port: Record) -> dict[str, Any]:
    """A subport as clients see it."""
    return {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": port["trunk_tag"]}

