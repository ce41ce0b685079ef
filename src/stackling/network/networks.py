"""Networks: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.network import access, addresses, qos, quotas, rules, segments
from stackling.network.errors import conflict, invalid_input, not_found
from stackling.network.resources import NETWORKS, PORTS, SUBNETS
from stackling.network.rows import Record, desired, moved, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables.network import networks, ports, subnets
from stackling.store.transaction import Tx

_n = networks
_DEFAULT_EXTERNAL = select(_n).where(_n.c.is_default.is_(True), _n.c.external.is_(True), _n.c.deleting.is_(False))
_SERVERS_HERE = select(ports.c.id).where(
    ports.c.network_id == bindparam("network"), ports.c.server_id.is_not(None), ports.c.deleting.is_(False)).limit(1)
_USERS = select(ports.c.id, ports.c.device_owner, ports.c.project_id).where(
    ports.c.network_id == bindparam("network"), ports.c.deleting.is_(False))
_SUBNETS_OF = delete(subnets).where(subnets.c.network_id == bindparam("network"))


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make networks, all or none. Each spec has ``id``, ``project_id`` and Neutron's attributes, validated."""
    for project_id in {spec["project_id"] for spec in specs}:
        quotas.reserve(tx, project_id, "network", sum(spec["project_id"] == project_id for spec in specs))
    records: list[Record] = []
    for spec in specs:
        chosen = segments.choose(tx, spec)
        record = _record(tx, ctx, spec, chosen)
        NETWORKS.insert(tx, [record])
        segments.add(tx, record["id"], chosen)
        for action, wanted in ((access.SHARED, spec.get("shared")), (access.EXTERNAL, record["external"])):
            if wanted:
                access.grant(tx, "network", record, action)
        store_tags(tx, record["id"], record["tags"], fresh=True)
        announce(tx, ctx, "network", record, "create")
        tx.nudge("network", record["id"])
        records.append(record)
    return records


def _record(tx: Tx, ctx: Context, spec: Mapping[str, Any], chosen: Sequence[segments.Segment]) -> Record:
    external = spec.get("router:external", False)
    if spec.get("is_default"):
        _check_default(tx, spec["id"], external)
    place = segments.columns(chosen)
    transparent = spec.get("vlan_transparent", False)
    if transparent and any(one.network_type == "flat" for one in chosen):
        raise Invalid("Backend does not support VLAN Transparency.", type="VlanTransparencyDriverError")
    record: Record = {
        **standard(tx, spec["id"], spec["project_id"], spec), **desired(),
        "name": spec.get("name", ""), "admin_state_up": spec.get("admin_state_up", True),
        "external": external, "is_default": spec.get("is_default", False),
        "port_security_enabled": spec.get("port_security_enabled", True), "mtu": _mtu(spec.get("mtu") or 0, place),
        **place, "vlan_transparent": transparent,
        "dns_domain": spec.get("dns_domain", ""), "availability_zone_hints": spec.get("availability_zone_hints", []),
        "subnets": [], "metadata_port_id": None, "metadata_mac": None,
        "qos_policy_id": spec["qos_policy_id"] if spec.get("qos_policy_id") else qos.default_id(tx, spec["project_id"]),
    }
    qos.check_binding(tx, ctx, spec.get("qos_policy_id"))
    record["status"] = rules.network_status(record)
    return record


def _mtu(wanted: int, place: Record) -> int:
    most = rules.DEFAULT_MTU - (rules.GENEVE_OVERHEAD if segments.tunnelled(place) else 0)
    if not wanted:
        return most
    if wanted > most:
        raise invalid_input(f"Requested MTU is too big, maximum is {most}")
    return wanted


def check_mtu(network_id: str, mtu: int, versions: Iterable[int]) -> None:
    """Subnets of these IP versions can be in a network with this MTU; raises NetworkMTUSubnetConflict."""
    least = max((rules.LEAST_MTU[version] for version in versions), default=0)
    if mtu < least:
        raise conflict("NetworkMTUSubnetConflict", f"MTU of {network_id} is not valid, subnet requires {least}.")


def default_external(tx: Tx) -> Record | None:
    """The external network that is used where none is named."""
    row = tx.one(_DEFAULT_EXTERNAL)
    return None if row is None else dict(row._mapping)    # pyright: ignore[reportPrivateUsage]


def _check_default(tx: Tx, id: str, external: bool) -> None:
    tx.guard("default-external-network")
    found = default_external(tx)
    if external and found is not None and found["id"] != id:
        raise conflict("DefaultExternalNetworkExists", f"A default external network already exists: {found['id']}.")


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change a network."""
    for name, column in (*segments.COLUMNS.items(), ("segments", "segments")):
        if name in changes and changes[name] != record[column]:
            raise invalid_input(f"Plugin does not support updating the following provider network attributes: {name}")
    values = {column: changes[name] for name, column in _UPDATABLE.items() if name in changes}
    if "mtu" in values:
        values["mtu"] = _mtu(values["mtu"], record)
        if values["mtu"] < record["mtu"]:
            check_mtu(record["id"], values["mtu"], [one["ip_version"] for one in SUBNETS.where(
                tx, network_id=record["id"])])
    shared = access.EVERYBODY in access.targets(tx, "network", record["id"], access.SHARED)
    sharing: bool | None = changes.get("shared") if changes.get("shared") not in (None, shared) else None
    _check_sharing(tx, record, values, closing=sharing is False)
    if values.get("is_default"):
        _check_default(tx, record["id"], values.get("external", record["external"]))
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values and sharing is None:
        return record
    if "qos_policy_id" in values:
        addresses.guard(tx, record["id"])
        qos.check_binding(tx, ctx, values["qos_policy_id"], record["qos_policy_id"])
        qos.network_changed(tx, record["id"], values["qos_policy_id"])
    _open(tx, record, sharing, values.get("external"))
    follow = any(key in values for key in ("name", "admin_state_up", "mtu", "dns_domain"))
    new: Record = {**record, **values, **touch(tx, record), **(moved(record) if follow else {})}
    new["status"] = rules.network_status(new)
    changed: Record = {key: new[key] for key in new if new[key] != record[key]}
    NETWORKS.update(tx, record["id"], changed)
    announce(tx, ctx, "network", record, "update", ", ".join(sorted({*values} | ({"shared"} & changes.keys()))))
    if follow:
        tx.nudge("network", record["id"])
    return new


_UPDATABLE = {
    "name": "name", "description": "description", "admin_state_up": "admin_state_up",
    "router:external": "external", "is_default": "is_default", "port_security_enabled": "port_security_enabled",
    "mtu": "mtu", "dns_domain": "dns_domain", "qos_policy_id": "qos_policy_id",
}


def _open(tx: Tx, record: Record, shared: bool | None, external: bool | None) -> None:
    """Let everybody in, or nobody any more."""
    if shared:
        access.grant(tx, "network", record)
    elif shared is False:
        access.revoke(tx, "network", record["id"], access.SHARED, access.EVERYBODY)
    if external:
        access.grant(tx, "network", record, access.EXTERNAL)
    elif external is False:
        access.revoke(tx, "network", record["id"], access.EXTERNAL)


def _check_sharing(tx: Tx, record: Record, values: Mapping[str, Any], *, closing: bool) -> None:
    inward = values.get("external") is False and record["external"]
    if not closing and not inward:
        return
    users = tx.all(_USERS, network=record["id"])
    if inward and any(row.device_owner in (rules.Owner.ROUTER_GATEWAY, rules.Owner.FLOATING_IP) for row in users):
        raise conflict("ExternalNetworkInUse", f"External network {record['id']} cannot be updated to be made "
                       "non-external, since it has existing gateway ports.")
    own = ("", record["project_id"])
    if closing and any(row.project_id not in own for row in users):
        raise conflict("InvalidSharedSetting", f"Unable to reconfigure sharing settings for network {record['id']}. "
                       "Multiple tenants are using it.")


def delete_network(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a network with its subnets and its own ports; NetworkInUse while anybody else has a port there."""
    addresses.guard(tx, record["id"])
    users = tx.all(_USERS, network=record["id"])
    others = sorted(row.id for row in users if row.device_owner not in rules.AUTO_DELETED)
    if others:
        raise conflict("NetworkInUse", f"Unable to complete operation on network {record['id']}. There are one or more "
                       f"ports still in use on the network, id for these ports is: {','.join(others)}.")
    own = [row.id for row in users]
    addresses.release(tx, own)
    for port_id in own:
        PORTS.delete(tx, port_id)
    if record["subnets"]:
        for subnet in SUBNETS.where(tx, network_id=record["id"]):
            forget_tags(tx, subnet)
        tx.execute(_SUBNETS_OF, {"network": record["id"]})
    forget_tags(tx, record)
    segments.forget(tx, record["id"])
    access.forget(tx, "network", record["id"])
    NETWORKS.update(tx, record["id"], {**moved(record), "deleting": True, "is_default": False, "subnets": []})
    announce(tx, ctx, "network", record, "delete")
    tx.nudge("network", record["id"])


def usable_by(tx: Tx, ctx: Context, network: Record) -> bool:
    """Whether the caller may see the network: own, shared or external for it, or anything for an administrator or a
    service."""
    return (ctx.is_admin or ctx.is_service or network["project_id"] == ctx.project_id
            or bool(access.actions(tx, ctx, "network", network["id"])))


def find(tx: Tx, ctx: Context, id: str, *, lock: bool = False) -> Record:
    """A network that the caller may see; raises NetworkNotFound. *lock*: it will be changed."""
    network = NETWORKS.locked(tx, id) if lock else NETWORKS.get(tx, id)
    if network is None or not usable_by(tx, ctx, network):
        raise not_found("network", id)
    return network


def follow_subnets(tx: Tx, network: Record, subnet_ids: list[str], **values: Any) -> Record:
    """A subnet came, changed or went: the network's desired state moved with it."""
    changed: Record = {**touch(tx, network), **moved(network), "subnets": subnet_ids, **values}
    NETWORKS.update(tx, network["id"], changed)
    tx.nudge("network", network["id"])
    return {**network, **changed}


def renew_metadata_port(tx: Tx, ctx: Context, port: Record) -> None:
    """Somebody deletes the network's own port: another one takes its place and its addresses. Refused while servers
    are there, which would lose their metadata for a while (ServicePortInUse)."""
    addresses.guard(tx, port["network_id"])
    if tx.one(_SERVERS_HERE, network=port["network_id"]) is not None:
        raise conflict("ServicePortInUse", f"Port {port['id']} cannot be deleted directly via the port API: servers on "
                       "its network get DHCP and metadata from it.")
    network = NETWORKS.locked(tx, port["network_id"])
    addresses.release(tx, [port["id"]])
    forget_tags(tx, port)
    PORTS.delete(tx, port["id"])
    announce(tx, ctx, "port", port, "delete")
    if network is None:
        return
    if not port["fixed_ips"]:
        follow_subnets(tx, network, network["subnets"], metadata_port_id=None, metadata_mac=None)
        return
    new = {**metadata_port(tx, network), "fixed_ips": port["fixed_ips"], "status": port["status"]}
    PORTS.insert(tx, [new])
    addresses.take(tx, network["id"], new["id"], port["fixed_ips"])
    follow_subnets(tx, network, network["subnets"], metadata_port_id=new["id"], metadata_mac=new["mac_address"])


def metadata_port(tx: Tx, network: Record) -> Record:
    """The network's own port for DHCP and metadata, as a new row (device owner ``network:distributed``)."""
    return {
        **standard(tx, new_id(), network["project_id"], {}), **desired(), "settled": True,
        "name": "", "network_id": network["id"], "role": PortRole.METADATA, "admin_state_up": True, "status": "DOWN",
        "mac_address": rules.new_mac(), "device_id": f"ovnmeta-{network['id']}", "device_owner": rules.Owner.METADATA,
        "fixed_ips": [], "security_groups": [], "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "port_security_enabled": False, "binding_host": "", "binding_profile": {}, "binding_vnic_type": "normal",
        "dns_name": "", "dns_domain": "", "propagate_uplink_status": True, "up": True, "held": None,
        "qos_policy_id": None, "qos_network_policy_id": None,
        "trunk_id": None, "parent_port_id": None, "trunk_tag": None, "trunk_details": None,
        "created_for_server": False, "server_id": None, "attach_tag": None, "attach_order": 0,
    }

