"""Ports of servers: what compute asks for. Errors are worded as Nova words them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, QuotaExceeded, StacklingError
from stackling.core.ids import new_id
from stackling.network import access, addresses, networks, ports, quotas, security_groups, topology
from stackling.network.attachment import PortSubnet, Requested, RequestedNetwork, ServerPort, ServerToPlug
from stackling.network.resources import NETWORKS, PORTS
from stackling.network.rows import Record, many
from stackling.ports.document import MetadataNetwork
from stackling.ports.fabric import PortRole
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx
from stackling.store.types import Id

_p, _n, _f, _s = tables.ports, tables.networks, tables.floating_ips, tables.subnets
_g, _psg, _a = tables.security_groups, tables.port_security_groups, tables.ip_allocations
_AVAILABLE = select(_n).where(_n.c.deleting.is_(False), _n.c.external.is_(False),
                              (_n.c.project_id == bindparam("project")) | access.granted(
                                  "network", _n.c.id, bindparam("project", type_=Id))).order_by(
    _n.c.created_at, _n.c.id)
_OF_SERVERS = select(_p, _n.c.name.label("network_name"), _n.c.mtu).join(_n, _n.c.id == _p.c.network_id).where(
    _p.c.server_id.in_(bindparam("servers", expanding=True)), _p.c.role == PortRole.INTERFACE,
    _p.c.deleting.is_(False)).order_by(_p.c.attach_order, _p.c.created_at, _p.c.id)
_ORDER = select(_p.c.attach_order).where(_p.c.server_id == bindparam("server")).order_by(_p.c.attach_order.desc())
_FLOATING = select(_f.c.port_id, _f.c.fixed_ip_address, _f.c.floating_ip_address).where(
    _f.c.port_id.in_(bindparam("ports", expanding=True)), _f.c.deleting.is_(False))
_SUBNETS = select(_s).where(_s.c.id.in_(bindparam("ids", expanding=True)))
_NAMES = select(_g.c.id, _g.c.name).where(_g.c.id.in_(bindparam("ids", expanding=True)))
_ON_HOST = select(_p.c.network_id, _p.c.server_id, _p.c.fixed_ips).where(
    _p.c.binding_host == bindparam("host"), _p.c.server_id.is_not(None), _p.c.deleting.is_(False))
_OF_NETWORKS = select(_n.c.id, _n.c.mtu, _n.c.metadata_port_id, _n.c.metadata_mac).where(
    _n.c.id.in_(bindparam("ids", expanding=True)))
_OWN_ADDRESSES = select(_s.c.network_id, _s.c.metadata_ip, _s.c.cidr).where(
    _s.c.network_id.in_(bindparam("ids", expanding=True)), _s.c.metadata_ip.is_not(None))
_SEARCH = select(_p.c.server_id, _a.c.address).join(_a, _a.c.port_id == _p.c.id).where(
    _p.c.server_id.is_not(None), _p.c.deleting.is_(False))


# -- choosing

def choose(tx: Tx, ctx: Context, requested: Requested) -> list[RequestedNetwork]:
    """See ``facade.choose_networks``."""
    if requested == "none" or requested == []:
        return []
    if requested is None or requested == "auto":
        available = many(tx, _AVAILABLE, project=ctx.project_id)
        if len(available) > 1:
            raise Conflict("Multiple possible networks found, use a Network ID to be more specific.",
                           type="NetworkAmbiguous")
        if available:
            if not available[0]["subnets"]:
                return []
            return [RequestedNetwork(network_id=available[0]["id"])]
        return [] if requested is None else [RequestedNetwork(network_id=topology.default_topology(tx, ctx))]
    return _validated(tx, ctx, requested)


def _validated(tx: Tx, ctx: Context, requested: Sequence[RequestedNetwork]) -> list[RequestedNetwork]:
    result: list[RequestedNetwork] = []
    seen: set[str] = set()
    for one in requested:
        if one.port_id is not None:
            if one.port_id in seen:
                raise Invalid(f"Port {one.port_id} is duplicated in the request.", type="NetworkDuplicated")
            seen.add(one.port_id)
            port = _free_port(tx, ctx, one.port_id)
            result.append(RequestedNetwork(port["network_id"], one.port_id, None, one.tag))
            continue
        network = NETWORKS.get(tx, one.network_id or "")
        if network is None or not networks.usable_by(tx, ctx, network):
            raise Invalid(f"Network {one.network_id} could not be found.", type="NetworkNotFound")
        if network["external"] and not ctx.is_admin and not access.is_shared(tx, ctx, "network", network["id"]):
            raise Forbidden(f"It is not allowed to create an interface on external network {network['id']}",
                            type="ExternalNetworkAttachForbidden")
        if not network["subnets"]:
            raise Invalid(f"Network {network['id']} requires a subnet in order to boot instances on.",
                          type="NetworkRequiresSubnet")
        if one.fixed_ip is not None and network["project_id"] != ctx.project_id and not ctx.is_admin:
            raise Forbidden(f"Only the owner of network {network['id']} chooses addresses in it.")
        if one.fixed_ip is not None and addresses.is_taken(tx, network["id"], _address(one.fixed_ip)):
            raise Invalid(f"Fixed IP address {one.fixed_ip} is already in use on instance.",
                          type="FixedIpAlreadyInUse")
        result.append(one)
    return result


def _address(text: str) -> str:
    try:
        addresses.key(text)
    except ValueError:
        raise Invalid(f"Invalid fixed IP Address {text} in request.") from None
    return text


def _free_port(tx: Tx, ctx: Context, port_id: str) -> Record:
    port = PORTS.locked(tx, port_id) if tx.writing else PORTS.get(tx, port_id)
    if port is None or not (ctx.is_admin or port["project_id"] == ctx.project_id):
        raise Invalid(f"Port id {port_id} could not be found.", type="PortNotFound")
    if port["device_id"] or port["server_id"] or port["role"] != PortRole.INTERFACE:
        raise Conflict(f"Port {port_id} is still in use.", type="PortInUse")
    if not port["fixed_ips"]:
        raise Invalid(f"Port {port_id} requires a FixedIP in order to be used.", type="PortRequiresFixedIP")
    return port


# -- plugging

def plug(tx: Tx, ctx: Context, servers: Sequence[ServerToPlug], zone: str | None,
         requested: Sequence[RequestedNetwork], groups: Sequence[str]) -> dict[str, list[ServerPort]]:
    """See ``facade.plug_servers``."""
    if not requested:
        return {server.server_id: [] for server in servers}
    assert ctx.project_id is not None
    made = sum(one.port_id is None for one in requested) * len(servers)
    group_ids = security_groups.resolve(tx, ctx.project_id, groups)
    around = ports.Surroundings(tx, ctx)
    try:
        if made:
            quotas.reserve(tx, ctx.project_id, "port", made)
        for server in servers:
            for order, one in enumerate(requested):
                _plug_one(tx, ctx, around, server, zone, one, group_ids, order)
    except QuotaExceeded:
        raise QuotaExceeded("Maximum number of ports exceeded", type="PortLimitExceeded") from None
    except StacklingError as error:
        raise _as_nova(error) from error
    return of_servers(tx, [server.server_id for server in servers])


def _plug_one(tx: Tx, ctx: Context, around: ports.Surroundings, server: ServerToPlug, zone: str | None,
              one: RequestedNetwork, groups: Sequence[str], order: int) -> Record:
    owner = ports.COMPUTE + (zone or "nova")
    binding: Record = {"server_id": server.server_id, "device_id": server.server_id, "device_owner": owner}
    if one.port_id is not None:
        port = _free_port(tx, ctx, one.port_id)
        return ports.save(tx, ctx, port, {**binding, "binding_host": server.host_name or "", "attach_tag": one.tag,
                                          "attach_order": order, "dns_name": port["dns_name"] or _label(server.name)})
    network, subnets = around.of(one.network_id or "")
    spec: Record = {**binding, "id": new_id(), "project_id": ctx.project_id, "created_for_server": True,
                    "binding:host_id": server.host_name, "attach_tag": one.tag, "attach_order": order,
                    "dns_name": _label(server.name)}
    if groups and network["port_security_enabled"]:
        spec["security_groups"] = list(groups)
    if one.fixed_ip is not None:
        spec["fixed_ips"] = [{"ip_address": one.fixed_ip}]
    if network["external"] and not ctx.is_admin and not access.is_shared(tx, ctx, "network", network["id"]):
        raise Forbidden(f"It is not allowed to create an interface on external network {network['id']}",
                        type="ExternalNetworkAttachForbidden")
    return ports.make(tx, ctx, network, subnets, spec, PortRole.INTERFACE)


def _label(name: str) -> str:
    """A server's name as a host name (Nova's ``sanitize_hostname``)."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" if c in " _" else "" for c in name.lower())
    return plain.replace(".", "-").strip("-")[:63].rstrip("-")


def _as_nova(error: StacklingError) -> StacklingError:
    """Neutron's refusals in the words and with the status that Nova has for them."""
    if error.type == "IpAddressAlreadyAllocated":
        return Invalid(error.message, type="FixedIpAlreadyInUse")
    if error.type == "IpAddressGenerationFailure":
        return Invalid(error.message, type="NoMoreFixedIps")
    if error.type in ("NetworkNotFound", "SecurityGroupNotFound", "PortNotFound"):
        return Invalid(error.message, type=error.type)
    return error


def plug_one(tx: Tx, ctx: Context, server: ServerToPlug, zone: str | None, requested: RequestedNetwork) -> ServerPort:
    """See ``facade.plug_port``."""
    chosen = choose(tx, ctx, [requested])[0]
    try:
        if chosen.port_id is None:
            quotas.reserve(tx, ctx.project_id or "", "port")
        last = tx.scalar(_ORDER, server=server.server_id)
        order = 0 if last is None else int(last) + 1
        port = _plug_one(tx, ctx, ports.Surroundings(tx, ctx), server, zone, chosen, (), order)
    except QuotaExceeded:
        raise QuotaExceeded("Maximum number of ports exceeded", type="PortLimitExceeded") from None
    except StacklingError as error:
        raise _as_nova(error) from error
    tx.nudge("server", server.server_id)
    return next(one for one in of_servers(tx, [server.server_id])[server.server_id] if one.port_id == port["id"])


# -- unplugging

def unplug(tx: Tx, server_ids: Sequence[str]) -> None:
    """See ``facade.unplug_servers``."""
    rows = _rows(tx, server_ids)
    ports.remove(tx, None, [row for row in rows if row["created_for_server"]])
    for row in rows:
        if not row["created_for_server"]:
            _unbind(tx, row)


def unplug_one(tx: Tx, server_id: str, port_id: str) -> None:
    """See ``facade.unplug_port``."""
    row = next((row for row in _rows(tx, [server_id]) if row["id"] == port_id), None)
    if row is None:
        raise NotFound(f"Port {port_id} is not attached", type="PortNotFound")
    if row["created_for_server"]:
        ports.remove(tx, None, [row])
    else:
        _unbind(tx, row)


def _unbind(tx: Tx, row: Record) -> None:
    ports.save(tx, None, row, {"server_id": None, "device_id": "", "device_owner": "", "binding_host": "",
                               "attach_tag": None})


def bind(tx: Tx, server_id: str, host_name: str | None) -> None:
    """See ``facade.bind_server``."""
    for row in _rows(tx, [server_id]):
        ports.save(tx, None, row, {"binding_host": host_name or ""})


def host_moved(tx: Tx, host_name: str) -> None:
    """See ``facade.host_moved``."""
    for row in PORTS.where(tx, binding_host=host_name):
        ports.follow_host(tx, row)


def _rows(tx: Tx, server_ids: Sequence[str]) -> list[Record]:
    """The servers' ports as rows of ``ports``."""
    found = many(tx, _OF_SERVERS, servers=list(server_ids))
    for row in found:
        del row["network_name"], row["mtu"]
    return found


# -- reading

def of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[ServerPort]]:
    """See ``facade.ports_of_servers``."""
    result: dict[str, list[ServerPort]] = {id: [] for id in server_ids}
    for start in range(0, len(server_ids), 500):
        rows = many(tx, _OF_SERVERS, servers=list(server_ids[start:start + 500]))
        _append(tx, rows, result)
    return result


def _append(tx: Tx, rows: Sequence[Record], result: dict[str, list[ServerPort]]) -> None:
    if not rows:
        return
    floating: dict[str, list[tuple[str, str]]] = {}
    for row in tx.all(_FLOATING, ports=[row["id"] for row in rows]):
        floating.setdefault(row.port_id, []).append((row.fixed_ip_address, row.floating_ip_address))
    wanted = {fixed["subnet_id"] for row in rows for fixed in row["fixed_ips"]}
    subnets = {one["id"]: _subnet(one) for one in many(tx, _SUBNETS, ids=sorted(wanted))} if wanted else {}
    groups = {id for row in rows for id in row["security_groups"]}
    names = {one.id: one.name for one in tx.all(_NAMES, ids=sorted(groups))} if groups else {}
    for row in rows:
        result[row["server_id"]].append(ServerPort(
            port_id=row["id"], server_id=row["server_id"], network_id=row["network_id"],
            network_name=row["network_name"], mac=row["mac_address"], mtu=row["mtu"],
            fixed_ips=tuple((one["subnet_id"], one["ip_address"], 6 if ":" in one["ip_address"] else 4)
                            for one in row["fixed_ips"]),
            created=row["created_for_server"], tag=row["attach_tag"],
            security_groups=tuple((id, names.get(id, id)) for id in row["security_groups"]), dns_name=row["dns_name"],
            host=row["binding_host"] or None, status=row["status"], up=row["up"],
            floating=tuple(floating.get(row["id"], ())),
            subnets=tuple(subnets[one["subnet_id"]] for one in row["fixed_ips"] if one["subnet_id"] in subnets)))


def _subnet(one: Record) -> PortSubnet:
    return PortSubnet(
        one["id"], one["cidr"], one["ip_version"], one["gateway_ip"], one["enable_dhcp"],
        tuple(one["dns_nameservers"]),
        tuple((route["destination"], route["nexthop"]) for route in one["host_routes"]), one["ipv6_address_mode"])


def of_addresses(tx: Tx, ctx: Context, ip: str | None, ip6: str | None) -> set[str]:
    """See ``facade.servers_of_addresses``."""
    found: set[str] | None = None
    for part, version in ((ip, 4), (ip6, 6)):
        if part:
            rows = tx.all(_SEARCH.where(_a.c.address.contains(part, autoescape=True), _a.c.ip.startswith(str(version)),
                                        *(() if ctx.is_admin else (_p.c.project_id == ctx.project_id,))))
            ids = {row.server_id for row in rows}
            found = ids if found is None else found & ids
    return found or set()


def metadata(tx: Tx, host_name: str) -> list[MetadataNetwork]:
    """See ``facade.metadata_networks``; three queries."""
    servers: dict[str, dict[str, str]] = {}
    for row in tx.all(_ON_HOST, host=host_name):
        known = servers.setdefault(row.network_id, {})
        for one in row.fixed_ips:
            known[one["ip_address"]] = row.server_id
    if not servers:
        return []
    ids = sorted(servers)
    own: dict[str, list[str]] = {}
    for row in tx.all(_OWN_ADDRESSES, ids=ids):
        own.setdefault(row.network_id, []).append(f"{row.metadata_ip}/{row.cidr.split('/')[1]}")
    return [MetadataNetwork(network_id=row.id, port_id=row.metadata_port_id, mac=row.metadata_mac, mtu=row.mtu,
                            addresses=tuple(own.get(row.id, ())), servers=servers[row.id])
            for row in tx.all(_OF_NETWORKS, ids=ids) if row.metadata_port_id]


# -- security groups

def groups_of(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """See ``facade.security_groups_of_servers``."""
    found: dict[str, set[tuple[str, str]]] = {id: set() for id in server_ids}
    for id, own in of_servers(tx, server_ids).items():
        for port in own:
            found[id].update(port.security_groups)
    return {id: sorted(groups, key=lambda group: group[1]) for id, groups in found.items()}


def add_group(tx: Tx, ctx: Context, server_id: str, name_or_id: str) -> None:
    """See ``facade.add_security_group``."""
    group = _group(tx, ctx, name_or_id)
    rows = _rows(tx, [server_id])
    if not rows:
        raise Invalid(f"instance_id {server_id} could not be found as device id on any ports",
                      type="SecurityGroupCannotBeApplied")
    usable = [row for row in rows if row["port_security_enabled"] and row["fixed_ips"]]
    if not usable:
        raise Invalid("Network requires port_security_enabled and subnet associated in order to apply security groups.",
                      type="SecurityGroupCannotBeApplied")
    for row in usable:
        if group not in row["security_groups"]:
            ports.update(tx, ctx, row, {"security_groups": [*row["security_groups"], group]})


def remove_group(tx: Tx, ctx: Context, server_id: str, name_or_id: str) -> None:
    """See ``facade.remove_security_group``."""
    group = _group(tx, ctx, name_or_id)
    found = False
    for row in _rows(tx, [server_id]):
        if group in row["security_groups"]:
            found = True
            ports.update(tx, ctx, row, {"security_groups": [id for id in row["security_groups"] if id != group]})
    if not found:
        raise NotFound(f"Security group {name_or_id} not associated with the instance {server_id}",
                       type="SecurityGroupNotFound")


def _group(tx: Tx, ctx: Context, name_or_id: str) -> str:
    project = ctx.project_id or ""
    return security_groups.resolve(tx, project, [name_or_id])[0]

