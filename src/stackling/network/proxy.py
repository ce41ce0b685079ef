"""Floating IPs as compute asks for them: Nova's proxy calls and the automatic address. Worded as Nova."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, Invalid, NotFound, QuotaExceeded
from stackling.core.ids import is_id, new_id
from stackling.network import floating_ips, networks, server_ports
from stackling.network.attachment import FloatingIP, ServerPort
from stackling.network.resources import FLOATING_IPS, NETWORKS
from stackling.network.routes import router_for
from stackling.network.rows import Record, many
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_f, _n, _p = tables.floating_ips, tables.networks, tables.ports
_SELECT = select(_f, _n.c.name.label("pool"), _p.c.server_id).select_from(
    _f.join(_n, _n.c.id == _f.c.floating_network_id).outerjoin(_p, _p.c.id == _f.c.port_id)).where(
    _f.c.deleting.is_(False))
_OF_PROJECT = _SELECT.where(_f.c.project_id == bindparam("project")).order_by(_f.c.created_at, _f.c.id)
_BY_ID = _SELECT.where(_f.c.id == bindparam("wanted"))
_BY_ADDRESS = _SELECT.where(_f.c.floating_ip_address == bindparam("wanted"))
_AUTO = select(_f).where(_f.c.auto_server_id == bindparam("server"), _f.c.deleting.is_(False))


def _shown(row: Record) -> FloatingIP:
    return FloatingIP(row["id"], row["floating_ip_address"], row["pool"], row["floating_network_id"], row["project_id"],
                      row["fixed_ip_address"], row["port_id"], row["server_id"])


def list_(tx: Tx, ctx: Context) -> list[FloatingIP]:
    """The project's, one query."""
    return [_shown(row) for row in many(tx, _OF_PROJECT, project=ctx.project_id)]


def _find(tx: Tx, ctx: Context, address_or_id: str) -> Record:
    rows = many(tx, _BY_ID if is_id(address_or_id) else _BY_ADDRESS, wanted=address_or_id)
    for row in rows:
        if ctx.is_admin or row["project_id"] == ctx.project_id:
            return row
    if is_id(address_or_id):
        raise NotFound(f"Floating IP not found for ID {address_or_id}", type="FloatingIpNotFound")
    raise NotFound(f"Floating IP not found for address {address_or_id}", type="FloatingIpNotFoundForAddress")


def get(tx: Tx, ctx: Context, address_or_id: str) -> FloatingIP:
    """One of the project's."""
    return _shown(_find(tx, ctx, address_or_id))


def _record(tx: Tx, id: str) -> Record:
    record = FLOATING_IPS.get(tx, id)
    if record is None:
        raise NotFound(f"Floating IP not found for ID {id}", type="FloatingIpNotFound")
    return record


def _pool(tx: Tx, ctx: Context, name_or_id: str | None) -> Record:
    if name_or_id is None:
        pools = [network for network in floating_ips.external_networks(tx) if networks.usable_by(tx, ctx, network)]
        found = networks.default_external(tx) or (pools[0] if len(pools) == 1 else None)
        if found is None:
            raise NotFound("Floating IP pool not found.", type="FloatingIpPoolNotFound")
        return found
    network = NETWORKS.get(tx, name_or_id) if is_id(name_or_id) else next(
        (one for one in floating_ips.external_networks(tx) if one["name"] == name_or_id), None)
    if network is None or not network["external"]:
        raise NotFound("Floating IP pool not found.", type="FloatingIpPoolNotFound")
    return network


def allocate(tx: Tx, ctx: Context, pool: str | None, *, server_id: str | None = None) -> FloatingIP:
    """A new address for the caller's project."""
    network = _pool(tx, ctx, pool)
    spec = {"id": new_id(), "project_id": ctx.project_id, "floating_network_id": network["id"],
            "auto_server_id": server_id}
    try:
        record = floating_ips.create(tx, ctx, [spec])[0]
    except QuotaExceeded:
        raise QuotaExceeded("Maximum number of floating IPs exceeded", type="FloatingIpLimitExceeded") from None
    except Conflict as error:
        if error.type != "IpAddressGenerationFailure":
            raise
        raise NotFound(f"No more floating IPs in pool {network['name']}.", type="NoMoreFloatingIps") from error
    return get(tx, ctx, record["id"])


def _reachable(tx: Tx, own: Sequence[ServerPort], external_id: str) -> tuple[str, str] | None:
    """(port, address) of the first IPv4 address that a router connects with the external network."""
    for port in own:
        for subnet_id, address, version in port.fixed_ips:
            if version == 4 and router_for(tx, subnet_id, external_id) is not None:
                return port.port_id, address
    return None


def associate(tx: Tx, ctx: Context, address_or_id: str, server_id: str, fixed: str | None) -> FloatingIP:
    """Point the address at the server."""
    found = _find(tx, ctx, address_or_id)
    own = server_ports.of_servers(tx, [server_id])[server_id]
    if fixed is not None:
        port_id = next((port.port_id for port in own if any(one[1] == fixed for one in port.fixed_ips)), None)
        if port_id is None:
            raise Invalid("Specified fixed address not assigned to instance", type="FixedIpNotFoundForAddress")
        target = port_id, fixed
    else:
        if not any(one[2] == 4 for port in own for one in port.fixed_ips):
            raise Invalid("No fixed IPs associated to instance", type="NoFixedIp")
        reachable = _reachable(tx, own, found["floating_network_id"])
        if reachable is None:
            raise Invalid("Unable to associate floating IP "
                          f"{found['floating_ip_address']} to the instance: external network "
                          f"{found['floating_network_id']} is not reachable from any of its subnets; connect one with "
                          "a router that has its gateway there.", type="ExternalGatewayForFloatingIPNotFound")
        target = reachable
    record = _record(tx, found["id"])
    floating_ips.update(tx, ctx, record, {"port_id": target[0], "fixed_ip_address": target[1]})
    return get(tx, ctx, record["id"])


def disassociate(tx: Tx, ctx: Context, address_or_id: str, server_id: str) -> None:
    """Take the address off the server."""
    found = _find(tx, ctx, address_or_id)
    if not found["port_id"] or found["server_id"] != server_id:
        raise Conflict(f"Floating IP {found['floating_ip_address']} is not associated with instance {server_id}.",
                       type="FloatingIpNotAssociated")
    floating_ips.disassociate(tx, ctx, _record(tx, found["id"]))


def release(tx: Tx, ctx: Context, address_or_id: str) -> None:
    """Give the address back."""
    floating_ips.delete(tx, ctx, _record(tx, _find(tx, ctx, address_or_id)["id"]))


def automatic(tx: Tx, ctx: Context, server_id: str) -> FloatingIP:
    """See ``facade.auto_floating_ip``."""
    own = server_ports.of_servers(tx, [server_id])[server_id]
    here = {port.port_id for port in own}
    known = list_(tx, ctx)
    already = next((one for one in known if one.port_id in here), None)
    if already is not None:
        return already
    network = networks.default_external(tx)
    if network is None:
        raise Conflict("There is no default external network to take a floating IP from.")
    if not any(one[2] == 4 for port in own for one in port.fixed_ips):
        raise Conflict(f"Server {server_id} has no port with an IPv4 address for a floating IP.")
    target = _reachable(tx, own, network["id"])
    if target is None:
        raise Conflict(f"No router connects server {server_id} with the external network {network['name']}; add one "
                       "with its gateway there and an interface in the server's subnet.")
    tx.guard(f"network-quota:{ctx.project_id}:floatingip")
    free = next((one for one in known if one.port_id is None and one.network_id == network["id"]), None)
    try:
        chosen = free or allocate(tx, ctx, network["id"], server_id=server_id)
    except NotFound as error:
        raise Conflict(error.message, type=error.type) from error
    floating_ips.update(tx, ctx, _record(tx, chosen.id), {"port_id": target[0], "fixed_ip_address": target[1]})
    return get(tx, ctx, chosen.id)


def release_automatic(tx: Tx, server_id: str) -> None:
    """See ``facade.release_auto_floating_ips``."""
    for record in many(tx, _AUTO, server=server_id):
        floating_ips.delete(tx, system_context("req-engine"), record)
