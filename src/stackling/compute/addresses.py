"""A server's addresses, security groups and interfaces: the network service does it, the server's caches follow."""

from __future__ import annotations

from stackling.compute import changes, servers, timeline
from stackling.compute.model import ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.network import facade as network
from stackling.network.facade import RequestedNetwork, ServerPort
from stackling.store.transaction import Tx

ATTACHABLE = ("active", "paused", "stopped")


def refresh(tx: Tx, server: ServerRow) -> ServerRow:
    """Take over what the network says now."""
    return changes.refresh_network(tx, server)


def ports(tx: Tx, server: ServerRow) -> list[ServerPort]:
    """The server's ports in the order of attachment."""
    return network.ports_of_servers(tx, [server["id"]])[server["id"]]


# -- floating and fixed addresses

def add_floating_ip(tx: Tx, ctx: Context, server: ServerRow, address_or_id: str, fixed: str | None) -> None:
    """Point a floating IP, by address or id, at the server."""
    network.associate_floating_ip(tx, ctx, address_or_id, server["id"], fixed)
    tx.event(ctx, "server", server["id"], "add_floating_ip", address_or_id, project_id=server["project_id"])
    refresh(tx, server)


def remove_floating_ip(tx: Tx, ctx: Context, server: ServerRow, address_or_id: str) -> None:
    """Take it off the server again."""
    network.disassociate_floating_ip(tx, ctx, address_or_id, server["id"])
    tx.event(ctx, "server", server["id"], "remove_floating_ip", address_or_id, project_id=server["project_id"])
    refresh(tx, server)


def add_fixed_ip(tx: Tx, ctx: Context, server: ServerRow, network_id: str) -> None:
    """One more address from that network, on one more interface."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "addFixedIp", ("active", "paused", "stopped"), launched=False)
    attach(tx, ctx, server, RequestedNetwork(network_id=network_id))


def remove_fixed_ip(tx: Tx, ctx: Context, server: ServerRow, address: str) -> None:
    """Take away the interface that has *address*. Raises ``Invalid`` when the server hasn't it, or when the interface
    has other addresses too."""
    servers.check_unlocked(ctx, server)
    for port in ports(tx, server):
        held = [ip for _, ip, _ in port.fixed_ips]
        if address in held:
            if len(held) > 1:
                raise Conflict(f"The interface with {address} has other addresses too; change its port by the network "
                               "API.")
            detach(tx, ctx, server, port.port_id)
            return
    raise Invalid(f"Instance {server['id']} does not have fixed IP '{address}'.")


# -- security groups

def add_security_group(tx: Tx, ctx: Context, server: ServerRow, name_or_id: str) -> None:
    """Add the group to all interfaces."""
    network.add_security_group(tx, ctx, server["id"], name_or_id)
    refresh(tx, server)


def remove_security_group(tx: Tx, ctx: Context, server: ServerRow, name_or_id: str) -> None:
    """Take it off all interfaces."""
    network.remove_security_group(tx, ctx, server["id"], name_or_id)
    refresh(tx, server)


# -- interfaces

def get_port(tx: Tx, server: ServerRow, port_id: str) -> ServerPort:
    """Raises ``NotFound`` for a port that isn't the server's."""
    for port in ports(tx, server):
        if port.port_id == port_id:
            return port
    raise NotFound(f"Instance {server['id']} does not have port with id {port_id}")


def attach(tx: Tx, ctx: Context, server: ServerRow, requested: RequestedNetwork | None) -> ServerPort:
    """One more interface; None: the project's only network. Raises as the network service does."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "attach_interface", ATTACHABLE)
    chosen = network.choose_networks(tx, ctx, [requested] if requested else None)
    if not chosen:
        raise Invalid("No network to attach to: name one.")
    port = network.plug_port(tx, ctx, server["id"], server["name"], server["host"], server["availability_zone"],
                             chosen[0])
    timeline.begin(tx, ctx, server, "attach_interface", port.port_id, done=True)
    refresh(tx, server)
    return port


def detach(tx: Tx, ctx: Context, server: ServerRow, port_id: str) -> None:
    """Take an interface away. Raises ``NotFound``."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "detach_interface", ATTACHABLE)
    get_port(tx, server, port_id)
    network.unplug_port(tx, server["id"], port_id)
    timeline.begin(tx, ctx, server, "detach_interface", port_id, done=True)
    refresh(tx, server)


