"""Ports: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import (
    addresses,
    fixed_ips,
    floating_release,
    networks,
    qos,
    quotas,
    rules,
    security_groups,
)
from stackling.network.errors import conflict
from stackling.network.resources import NETWORKS, PORTS, SUBNETS
from stackling.network.rows import Record, desired, moved, standard, touch
from stackling.network.timeline import announce, forget_tags, store_tags
from stackling.ports.fabric import PortRole
from stackling.store.tables.network import port_security_groups, ports
from stackling.store.transaction import Tx

MOST_PAIRS = 10
COMPUTE = "compute:"
_psg = port_security_groups
_MAC = select(ports.c.id).where(ports.c.network_id == bindparam("network"), ports.c.mac_address == bindparam("mac"))
_ADD_GROUPS = insert(_psg)
DROP_GROUPS = delete(_psg).where(_psg.c.port_id == bindparam("port"))


class Surroundings:
    """The networks and subnets that one request touches, each read once."""

    def __init__(self, tx: Tx, ctx: Context) -> None:
        self._tx, self._ctx = tx, ctx
        self._networks: dict[str, tuple[Record, list[Record]]] = {}

    def of(self, network_id: str) -> tuple[Record, list[Record]]:
        """The network and its subnets in order of creation; raises NetworkNotFound."""
        found = self._networks.get(network_id)
        if found is None:
            addresses.guard(self._tx, network_id)           # first: what is read then stays so
            network = networks.find(self._tx, self._ctx, network_id)
            subnets = SUBNETS.where(self._tx, network_id=network_id) if network["subnets"] else []
            found = self._networks[network_id] = network, subnets
        return found


def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make ports, all or none."""
    for project_id in {spec["project_id"] for spec in specs}:
        quotas.reserve(tx, project_id, "port", sum(spec["project_id"] == project_id for spec in specs))
    around = Surroundings(tx, ctx)
    records: list[Record] = []
    for spec in specs:
        network, subnets = around.of(spec["network_id"])
        record = make(tx, ctx, network, subnets, spec, PortRole.INTERFACE)
        announce(tx, ctx, "port", record, "create")
        records.append(record)
    return records


def make(tx: Tx, ctx: Context, network: Record, subnets: Sequence[Record], spec: Mapping[str, Any],
         role: PortRole) -> Record:
    """Insert one port; quota and permission are the caller's business, and it holds the network's guard."""
    mac = _mac(tx, network["id"], spec.get("mac_address"))
    owner: str = spec.get("device_owner", "")
    secured: bool = spec.get("port_security_enabled", network["port_security_enabled"])
    if role != PortRole.INTERFACE or owner.startswith("network:"):
        secured = secured and role == PortRole.INTERFACE
    taker = fixed_ips.Taker(tx, network["id"], spec["id"])
    fixed = fixed_ips.choose(taker, subnets, mac, owner, role, spec.get("fixed_ips"))
    record: Record = {
        **standard(tx, spec["id"], spec["project_id"], spec), **desired(),
        "name": spec.get("name", ""), "network_id": network["id"], "role": role,
        "admin_state_up": spec.get("admin_state_up", True), "mac_address": mac,
        "device_id": spec.get("device_id", ""), "device_owner": owner, "fixed_ips": fixed,
        "security_groups": _groups(tx, ctx, spec, secured, owner),
        "allowed_address_pairs": _pairs(spec.get("allowed_address_pairs") or [], mac, secured),
        "extra_dhcp_opts": _options(spec.get("extra_dhcp_opts") or []), "port_security_enabled": secured,
        "binding_host": spec.get("binding:host_id") or "",
        "binding_profile": _profile(spec.get("binding:profile"), spec.get("trusted")), "trusted": spec.get("trusted"),
        "binding_vnic_type": spec.get("binding:vnic_type", "normal"), "dns_name": spec.get("dns_name", ""),
        "dns_domain": spec.get("dns_domain", ""), "up": False, "held": [one["ip_address"] for one in fixed],
        "propagate_uplink_status": spec.get("propagate_uplink_status", True),
        "created_for_server": spec.get("created_for_server", False), "server_id": spec.get("server_id"),
        "attach_tag": spec.get("attach_tag"),
        "attach_order": spec.get("attach_order", 0),
        "qos_policy_id": spec.get("qos_policy_id"), "qos_network_policy_id": network["qos_policy_id"],
        "trunk_id": None, "parent_port_id": None, "trunk_tag": None, "trunk_details": None,
    }
    qos.check_binding(tx, ctx, record["qos_policy_id"])
    record["status"] = rules.port_status(record)
    PORTS.insert(tx, [record])
    _store_groups(tx, record, fresh=True)
    store_tags(tx, record["id"], record["tags"], fresh=True)
    if role == PortRole.INTERFACE:
        tx.nudge("port", record["id"])
    return record


def _profile(given: Mapping[str, Any] | None, trusted: bool | None) -> dict[str, Any]:
    return {**(given or {}), **({} if trusted is None else {"trusted": trusted})}


def _mac(tx: Tx, network_id: str, wanted: str | None) -> str:
    if wanted is not None:
        if tx.scalar(_MAC, network=network_id, mac=wanted) is not None:
            raise conflict("MacAddressInUse", f"Unable to complete operation for network {network_id}. The mac address "
                           f"{wanted} is in use.")
        return wanted
    for _ in range(16):
        mac = rules.new_mac()
        if tx.scalar(_MAC, network=network_id, mac=mac) is None:
            return mac
    raise conflict("MacAddressGenerationFailure", f"Unable to generate unique mac on network {network_id}.")


def _groups(tx: Tx, ctx: Context, spec: Mapping[str, Any], secured: bool, owner: str) -> list[str]:
    wanted: list[str] | None = spec.get("security_groups")
    if wanted is None:
        if not secured or owner.startswith("network:"):
            return []
        group_id = security_groups.default_group(tx, spec["project_id"])
        tx.guard(f"security-group:{group_id}")
        return [group_id]
    if wanted and not secured:
        raise Invalid("Port security must be enabled and port must have an IP address in order to use security groups.",
                      type="PortSecurityAndIPRequiredForSecurityGroups")
    security_groups.check_usable(tx, ctx, wanted)
    return wanted


def _pairs(given: Sequence[Mapping[str, str]], mac: str, secured: bool) -> list[dict[str, str]]:
    if given and not secured:
        raise conflict("AddressPairAndPortSecurityRequired", "Port Security must be enabled in order to have allowed "
                       "address pairs on a port.")
    if len(given) > MOST_PAIRS:
        raise Invalid(f"The number of allowed address pair exceeds the maximum {MOST_PAIRS}.",
                      type="AddressPairExhausted")
    result: list[dict[str, str]] = []
    for one in given:
        pair = {"mac_address": one.get("mac_address") or mac, "ip_address": one["ip_address"]}
        if pair in result:
            raise Invalid(f"Request contains duplicate address pair: mac_address {pair['mac_address']} ip_address "
                          f"{pair['ip_address']}.", type="DuplicateAddressPairInRequest")
        result.append(pair)
    return result


def _options(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"opt_name": one["opt_name"], "opt_value": one["opt_value"], "ip_version": one.get("ip_version", 4)}
            for one in given if one["opt_value"] is not None]


def _store_groups(tx: Tx, record: Record, *, fresh: bool = False) -> None:
    if not fresh:
        tx.execute(DROP_GROUPS, {"port": record["id"]})
    if record["security_groups"]:
        tx.execute(_ADD_GROUPS, [{"port_id": record["id"], "security_group_id": id}
                                 for id in record["security_groups"]])


# -- update

_PLAIN = {
    "name": "name", "description": "description", "admin_state_up": "admin_state_up", "device_id": "device_id",
    "device_owner": "device_owner", "port_security_enabled": "port_security_enabled", "dns_name": "dns_name",
    "dns_domain": "dns_domain", "binding:vnic_type": "binding_vnic_type",
    "propagate_uplink_status": "propagate_uplink_status", "qos_policy_id": "qos_policy_id",
    "trusted": "trusted",
}
_FOLLOWED = {"admin_state_up", "mac_address", "fixed_ips", "security_groups", "allowed_address_pairs",
             "extra_dhcp_opts", "port_security_enabled", "binding_host", "dns_name", "qos_policy_id", "trunk_tag"}


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any], *,
           subnets: Sequence[Record] | None = None) -> Record:
    """Change a port; what depends on it (router, floating IPs, server) is nudged."""
    values: Record = {column: changes[name] for name, column in _PLAIN.items() if name in changes}
    if record["role"] == PortRole.LOAD_BALANCER and {"mac_address", "fixed_ips"} & changes.keys():
        raise conflict("PortInUse", f"Unable to complete operation on port {record['id']} for network "
                       f"{record['network_id']}. It is the address of load balancer "
                       f"{record['device_id'].removeprefix('lb-')}.")
    if "qos_policy_id" in values:
        qos.check_binding(tx, ctx, values["qos_policy_id"], record["qos_policy_id"])
    if record["role"] != PortRole.INTERFACE and any(
            values.get(name, record[name]) != record[name] for name in ("device_id", "device_owner")):
        raise conflict("PortInUse", f"Unable to complete operation on port {record['id']} for network "
                       f"{record['network_id']}. Port already has an attached device {record['device_id']}.")
    if "binding:host_id" in changes:
        values["binding_host"] = changes["binding:host_id"] or ""
    if "binding:profile" in changes:
        values["binding_profile"] = _profile(changes["binding:profile"], values.get("trusted", record["trusted"]))
    elif "trusted" in values:
        values["binding_profile"] = _profile(record["binding_profile"], values["trusted"])
    mac = changes.get("mac_address")
    if mac is not None and mac != record["mac_address"]:
        if record["binding_host"] and record["device_owner"].startswith(COMPUTE):
            raise conflict("PortBound", f"Unable to complete operation on port {record['id']}, port is already bound, "
                           f"port type: ovs, old_mac {record['mac_address']}, new_mac {mac}.")
        addresses.guard(tx, record["network_id"])
        values["mac_address"] = _mac(tx, record["network_id"], mac)
    elif "mac_address" in changes and mac is None:
        values["mac_address"] = _mac(tx, record["network_id"], None)
    if "fixed_ips" in changes:
        values["fixed_ips"] = _change_addresses(tx, record, changes["fixed_ips"], values, subnets)
    _change_security(tx, ctx, record, changes, values)
    if "extra_dhcp_opts" in changes:
        values["extra_dhcp_opts"] = _merge_options(record["extra_dhcp_opts"], changes["extra_dhcp_opts"] or [])
    return save(tx, ctx, record, values)


def _change_addresses(tx: Tx, record: Record, wanted: Sequence[dict[str, Any]], values: Mapping[str, Any],
                      subnets: Sequence[Record] | None) -> list[dict[str, str]]:
    addresses.guard(tx, record["network_id"])
    if subnets is None:
        subnets = SUBNETS.where(tx, network_id=record["network_id"])
    kept, fresh = fixed_ips.keep(record["fixed_ips"], wanted)
    gone = [fixed["ip_address"] for fixed in record["fixed_ips"] if fixed not in kept]
    if len(kept) + len(fresh) > fixed_ips.MOST and record["role"] == PortRole.INTERFACE:
        raise fixed_ips.invalid_input("Exceeded maximum amount of fixed ips per port")
    addresses.release_addresses(tx, record["network_id"], gone)
    taker = fixed_ips.Taker(tx, record["network_id"], record["id"])
    mac = values.get("mac_address", record["mac_address"])
    have = {fixed["subnet_id"] for fixed in kept}
    around = [s for s in subnets if not (rules.is_auto_address(s) and s["id"] in have)] if fresh else []
    new = fixed_ips.choose(taker, around, mac, record["device_owner"], record["role"], fresh) if fresh else []
    floating_release.addresses_gone(tx, record["id"], gone)
    return [*kept, *new]


def _change_security(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any], values: Record) -> None:
    secured = changes.get("port_security_enabled", record["port_security_enabled"])
    if "security_groups" in changes:
        wanted: list[str] = changes["security_groups"] or []
        if wanted and not secured:
            raise Invalid("Port security must be enabled and port must have an IP address in order to use security "
                          "groups.", type="PortSecurityAndIPRequiredForSecurityGroups")
        security_groups.check_usable(tx, ctx, wanted, record["security_groups"])
        values["security_groups"] = wanted
    elif not secured and record["security_groups"]:
        raise conflict("PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port "
                       "security or IP address until security group is removed.")
    if "allowed_address_pairs" in changes:
        mac = values.get("mac_address", record["mac_address"])
        values["allowed_address_pairs"] = _pairs(changes["allowed_address_pairs"] or [], mac, secured)
    elif not secured and record["allowed_address_pairs"]:
        raise conflict("AddressPairAndPortSecurityRequired", "Port Security must be enabled in order to have allowed "
                       "address pairs on a port.")


def _merge_options(current: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    merged = {(one["opt_name"], one["ip_version"]): dict(one) for one in current}
    for one in given:
        key = (one["opt_name"], one.get("ip_version", 4))
        if one["opt_value"] is None:
            merged.pop(key, None)
        else:
            merged[key] = {"opt_name": key[0], "opt_value": one["opt_value"], "ip_version": key[1]}
    return list(merged.values())


def save(tx: Tx, ctx: Context | None, record: Record, values: Mapping[str, Any]) -> Record:
    """Write changed columns of a port and wake whoever must follow."""
    values = {key: value for key, value in values.items() if value != record[key]}
    if not values:
        return record
    follow = bool(_FOLLOWED & values.keys())
    new: Record = {**record, **values, **touch(tx, record)}
    if record["role"] == PortRole.INTERFACE and follow:
        new.update(moved(record))
    if "binding_host" in values:
        new["up"] = False
    if "fixed_ips" in values:
        new["held"] = sorted({*(record["held"] or ()), *(one["ip_address"] for one in new["fixed_ips"])})
    new["status"] = rules.port_status(new)
    PORTS.update(tx, record["id"], {key: new[key] for key in new if new[key] != record[key]})
    if "security_groups" in values:
        _store_groups(tx, new)
    announce(tx, ctx, "port", record, "update", ", ".join(sorted(values)))
    if record["trunk_details"] is not None and "binding_host" in values:
        for subport in PORTS.several(tx, [one["port_id"] for one in record["trunk_details"]["sub_ports"]]):
            save(tx, ctx, subport, {"binding_host": new["binding_host"]})
    if record["parent_port_id"] and "mac_address" in values:
        _tell_parent(tx, new)
    if record["role"] == PortRole.ROUTER and record["device_id"]:
        floating_release.router_moved(tx, record["device_id"])
    elif record["role"] == PortRole.INTERFACE and follow:
        tx.nudge("port", record["id"])
    for server_id in {record["server_id"], new["server_id"]}:
        nudge_server(tx, server_id)
    return new


def follow_host(tx: Tx, record: Record) -> None:
    """The machine that has the port's host is another one."""
    if record["role"] == PortRole.INTERFACE:
        PORTS.update(tx, record["id"], moved(record))
        tx.nudge("port", record["id"])


def _tell_parent(tx: Tx, record: Record) -> None:
    """A parent shows its subports' MAC addresses."""
    parent = PORTS.get(tx, record["parent_port_id"])
    if parent is not None and parent["trunk_details"] is not None:
        PORTS.update(tx, parent["id"], {"trunk_details": {**parent["trunk_details"], "sub_ports": [
            {**one, "mac_address": record["mac_address"]} if one["port_id"] == record["id"] else one
            for one in parent["trunk_details"]["sub_ports"]]}})


def nudge_server(tx: Tx, server_id: str | None) -> None:
    """Something about a server's port changed."""
    if server_id is not None:
        tx.nudge("server", server_id)


# -- delete

def delete_port(tx: Tx, ctx: Context, record: Record) -> None:
    """Delete a port; what a router or a floating IP owns is refused (ServicePortInUse).

    A network's own port for DHCP and metadata is made anew at once, under another id: the network needs it.
    """
    if record["role"] == PortRole.METADATA:
        networks.renew_metadata_port(tx, ctx, record)
        return
    if record["role"] != PortRole.INTERFACE:
        raise conflict("ServicePortInUse", f"Port {record['id']} cannot be deleted directly via the port API: has "
                       f"device owner {record['device_owner']}.")
    if record["trunk_details"] is not None:
        raise conflict("PortInUseAsTrunkParent", f"Port {record['id']} is currently a parent port for trunk "
                       f"{record['trunk_details']['trunk_id']}.")
    if record["parent_port_id"]:
        raise conflict("PortInUseAsSubPort", f"Port {record['id']} is currently a subport for trunk "
                       f"{record['trunk_id']}.")
    remove(tx, ctx, [record])


def remove(tx: Tx, ctx: Context | None, records: Iterable[Record]) -> None:
    """Delete ports of servers or of nobody: their addresses are free at once, the fabric follows."""
    records = list(records)
    for network_id in {record["network_id"] for record in records}:
        addresses.guard(tx, network_id)
    addresses.release(tx, [record["id"] for record in records])
    for record in records:
        floating_release.port_gone(tx, record["id"])
        if record["security_groups"]:
            tx.execute(DROP_GROUPS, {"port": record["id"]})
        forget_tags(tx, record)
        PORTS.update(tx, record["id"], {**moved(record), "deleting": True, "mac_address": None, "device_id": ""})
        announce(tx, ctx, "port", record, "delete")
        tx.nudge("port", record["id"])
        nudge_server(tx, record["server_id"])


def drop_leg(tx: Tx, record: Record) -> None:
    """Delete a router's or a floating IP's port: hidden at once, gone when its owner is realised without it.

    The row is kept while the fabric may hold its addresses; ``kinds`` removes it when its owner settles.
    """
    addresses.release(tx, [record["id"]])
    forget_tags(tx, record)
    if record["security_groups"]:
        tx.execute(DROP_GROUPS, {"port": record["id"]})
    PORTS.update(tx, record["id"], {**moved(record), "deleting": True, "mac_address": None})


def network_of(tx: Tx, record: Record) -> Record | None:
    """The port's network."""
    return NETWORKS.get(tx, record["network_id"])
