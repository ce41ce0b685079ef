"""All that other services may use of the network service.

Every function takes an open transaction first and does its part in it; the caller's rollback undoes it. Errors are
``core.errors`` with the status and the wording that Nova gives them, so compute passes them on unchanged.
What load balancers need is in ``balancing``.
When something about a server's ports changes (addresses, groups, floating IP, deleted, up or down) the work item
``("server", server_id)`` is nudged; when floating IPs or routers around a load balancer change, ``("load_balancer",
id)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackling.core.context import Context
from stackling.network import balancing, proxy, quotas, server_ports, topology
from stackling.network.attachment import (
    External,
    FloatingIP,
    PortSubnet,
    Requested,
    RequestedNetwork,
    ServerPort,
    ServerToPlug,
)
from stackling.ports.document import MetadataNetwork
from stackling.store.transaction import Tx

__all__ = [
    "External", "FloatingIP", "PortSubnet", "Requested", "RequestedNetwork", "ServerPort", "ServerToPlug",
    "add_security_group", "allocate_floating_ip", "associate_floating_ip", "auto_floating_ip", "balancing",
    "bind_server",
    "bootstrap", "choose_networks", "default_topology", "disassociate_floating_ip", "fabric_changed", "get_floating_ip",
    "lift_quotas", "list_floating_ips", "metadata_networks", "plug_port", "plug_server", "plug_servers",
    "ports_of_servers", "release_auto_floating_ips", "release_floating_ip", "remove_security_group",
    "security_groups_of_servers",
    "servers_of_addresses", "unplug_port", "unplug_server", "unplug_servers",
]


# -- servers' ports

def choose_networks(tx: Tx, ctx: Context, requested: Requested) -> list[RequestedNetwork]:
    """Nova's rules for ``networks`` (https://docs.openstack.org/api-ref/compute/#create-server).

    ``"none"``: []. ``None``: the only network available to the project (none: []; several: ``Conflict``).
    ``"auto"``: as None with one; else the project's auto-allocated topology, made when missing. A list is
    validated: unknown network or port ``Invalid``, port in use ``Conflict``, port without address ``Invalid``,
    external network for a non-administrator ``Forbidden``, network without subnet ``Invalid``, address in use
    ``Invalid``.
    """
    return server_ports.choose(tx, ctx, requested)


def plug_server(tx: Tx, ctx: Context, server_id: str, server_name: str, host_name: str | None,
                availability_zone: str | None, requested: Sequence[RequestedNetwork],
                security_groups: Sequence[str] = ()) -> list[ServerPort]:
    """``plug_servers`` for one server."""
    server = ServerToPlug(server_id, server_name, host_name)
    return plug_servers(tx, ctx, [server], availability_zone, requested, security_groups)[server_id]


def plug_servers(tx: Tx, ctx: Context, servers: Sequence[ServerToPlug], availability_zone: str | None,
                 requested: Sequence[RequestedNetwork],
                 security_groups: Sequence[str] = ()) -> dict[str, list[ServerPort]]:
    """Give each server one port per item of *requested* (what ``choose_networks`` returned), in that order.

    A ``network_id`` makes a port (quota checked, addresses chosen, *security_groups* by name or id, default: the
    project's ``default``); a ``port_id`` is taken over. Ports get ``device_id``, ``device_owner``
    ``compute:<availability zone>`` and the binding host. Raises ``QuotaExceeded``, ``Invalid``, ``Conflict``.
    """
    return server_ports.plug(tx, ctx, servers, availability_zone, requested, security_groups)


def unplug_server(tx: Tx, server_id: str) -> None:
    """The guest is gone: delete the ports made for it, unbind the others."""
    unplug_servers(tx, [server_id])


def unplug_servers(tx: Tx, server_ids: Sequence[str]) -> None:
    """``unplug_server`` for several."""
    server_ports.unplug(tx, server_ids)


def bind_server(tx: Tx, server_id: str, host_name: str | None) -> None:
    """Move the bindings of all of a server's ports to *host_name* (None: unbound, as when shelved)."""
    server_ports.bind(tx, server_id, host_name)


def host_moved(tx: Tx, host_name: str) -> None:
    """Another machine has taken over the identity of the host: its ports are where it is."""
    server_ports.host_moved(tx, host_name)


def plug_port(tx: Tx, ctx: Context, server_id: str, server_name: str, host_name: str | None,
              availability_zone: str | None, requested: RequestedNetwork) -> ServerPort:
    """Attach one more interface; *requested* goes through ``choose_networks``'s rules."""
    server = ServerToPlug(server_id, server_name, host_name)
    return server_ports.plug_one(tx, ctx, server, availability_zone, requested)


def unplug_port(tx: Tx, server_id: str, port_id: str) -> None:
    """Detach: delete the port when it was made for the server, else unbind it. ``NotFound`` when it isn't its."""
    server_ports.unplug_one(tx, server_id, port_id)


def ports_of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[ServerPort]]:
    """Every server's ports in the order of attachment, floating addresses included; two queries in all.

    A server without ports has an empty list.
    """
    return server_ports.of_servers(tx, server_ids)


def servers_of_addresses(tx: Tx, ctx: Context, *, ip: str | None = None, ip6: str | None = None) -> set[str]:
    """Ids of servers with a fixed address that contains *ip* (or *ip6*), for ``GET /servers?ip=``."""
    return server_ports.of_addresses(tx, ctx, ip, ip6)


def metadata_networks(tx: Tx, host_name: str) -> list[MetadataNetwork]:
    """The networks that ports bound to *host_name* use, for its document."""
    return server_ports.metadata(tx, host_name)


# -- security groups of servers

def add_security_group(tx: Tx, ctx: Context, server_id: str, name_or_id: str) -> None:
    """Add the group to all ports of the server that have port security. Raises ``NotFound``, ``Conflict`` (name
    names several groups), ``Invalid`` (no port)."""
    server_ports.add_group(tx, ctx, server_id, name_or_id)


def remove_security_group(tx: Tx, ctx: Context, server_id: str, name_or_id: str) -> None:
    """Take the group off all ports of the server; ``NotFound`` when no port has it."""
    server_ports.remove_group(tx, ctx, server_id, name_or_id)


def security_groups_of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """(id, name) of the groups of each server's ports, without repetition, sorted by name."""
    return server_ports.groups_of(tx, server_ids)


# -- floating IPs by proxy, and automatic ones

def list_floating_ips(tx: Tx, ctx: Context) -> list[FloatingIP]:
    """The project's floating IPs."""
    return proxy.list_(tx, ctx)


def get_floating_ip(tx: Tx, ctx: Context, address_or_id: str) -> FloatingIP:
    """One of the project's floating IPs; raises ``NotFound``."""
    return proxy.get(tx, ctx, address_or_id)


def allocate_floating_ip(tx: Tx, ctx: Context, pool_name_or_id: str | None = None) -> FloatingIP:
    """A new address of that external network (None: the default one). Raises ``NotFound`` (no such pool),
    ``QuotaExceeded``, ``NotFound`` (no more addresses, Nova's NoMoreFloatingIps)."""
    return proxy.allocate(tx, ctx, pool_name_or_id)


def associate_floating_ip(tx: Tx, ctx: Context, address_or_id: str, server_id: str,
                          fixed_address: str | None = None) -> FloatingIP:
    """Point the address at the server's *fixed_address* (None: its first IPv4 address that a router connects).

    An association with another server is moved, as Nova did. Raises ``NotFound``, ``Invalid``, ``Conflict``.
    """
    return proxy.associate(tx, ctx, address_or_id, server_id, fixed_address)


def disassociate_floating_ip(tx: Tx, ctx: Context, address_or_id: str, server_id: str) -> None:
    """Raises ``NotFound`` (no such address), ``Conflict`` (not associated with this server)."""
    proxy.disassociate(tx, ctx, address_or_id, server_id)


def release_floating_ip(tx: Tx, ctx: Context, address_or_id: str) -> None:
    """Give the address back, disassociating it first."""
    proxy.release(tx, ctx, address_or_id)


def auto_floating_ip(tx: Tx, ctx: Context, server_id: str) -> FloatingIP:
    """Reuse a free address of the project or allocate one from the default external network, and associate it
    with the server's first IPv4 address that a router connects. The one allocated is released with the server.
    Raises ``Conflict`` with what is missing (no port, no router, no external network, pool empty)."""
    return proxy.automatic(tx, ctx, server_id)


def release_auto_floating_ips(tx: Tx, server_id: str) -> None:
    """Release what ``auto_floating_ip`` allocated for the server; call before ``unplug_server``."""
    proxy.release_automatic(tx, server_id)


# -- the fabric's own news

def fabric_changed(tx: Tx, keys: Sequence[tuple[str, str]]) -> None:
    """The fabric changed these by itself (``Fabric.watch``): look at them soon."""
    for kind, id in keys:
        tx.nudge(kind, id)


# -- first start

def bootstrap(tx: Tx, project_id: str, *, external: External | None = None,
              quotas: Mapping[str, int] | None = None) -> str | None:
    """First start: the external network (shared False, default True) with its subnet, owned by *project_id*, the
    default IPv4 and IPv6 subnet pools, and default quotas. Idempotent. Returns the external network's id."""
    return topology.bootstrap(tx, project_id, external, quotas)


def lift_quotas(tx: Tx, project_id: str) -> None:
    """No limits for the project (the administrator's own)."""
    quotas.update(tx, project_id, dict.fromkeys(quotas.DEFAULTS, -1))


def default_topology(tx: Tx, ctx: Context) -> str:
    """The project's auto-allocated network, subnet and router to the default external network, made when missing;
    returns the network's id. Raises ``Conflict`` when there is no default external network."""
    return topology.default_topology(tx, ctx)
