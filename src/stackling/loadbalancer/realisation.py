"""What the fabric should hold of a load balancer: records to the values of ``ports.fabric``. Pure."""

from __future__ import annotations

from stackling.loadbalancer import rules
from stackling.loadbalancer.model import ALGORITHMS, Provisioning
from stackling.loadbalancer.rows import Record
from stackling.loadbalancer.tree import Tree
from stackling.network.facade import balancing
from stackling.ports.fabric import FabricHealthCheck, FabricListener, FabricLoadBalancer, FabricMember


def load_balancer(record: Record, tree: Tree, around: balancing.Surroundings) -> FabricLoadBalancer:
    """What is switched off, or going, isn't there; the address stays."""
    listeners = [_listener(record, one, tree, around) for one in tree.listeners] if record["admin_state_up"] else []
    return FabricLoadBalancer(
        record["id"], record["generation"], record["name"], around.vips, tuple(one for one in listeners if one),
        around.networks, around.routers)


def reachable(balancer: Record, tree: Tree, around: balancing.Surroundings) -> frozenset[str]:
    """The members that have a port to be checked through, and an address to be checked from."""
    found = [_member(balancer, one, around) for one in tree.members]
    return frozenset(one.id for one in found if one.port_id and one.source)


def lives(record: Record) -> bool:
    """Whether it is on and stays."""
    return bool(record["admin_state_up"]) and record["provisioning_status"] != Provisioning.PENDING_DELETE


def is_monitored(monitor: Record | None) -> bool:
    """Whether members are checked by it."""
    return monitor is not None and lives(monitor)


def _listener(balancer: Record, listener: Record, tree: Tree, around: balancing.Surroundings) -> FabricListener | None:
    pool = next((one for one in tree.pools if one["id"] == listener["default_pool_id"]), None)
    if not lives(listener) or pool is None or not lives(pool):
        return None
    members, monitor = tree.of_pool(pool["id"])
    return FabricListener(
        listener["id"], listener["protocol"].lower(), listener["protocol_port"],
        tuple(_member(balancer, one, around) for one in members if lives(one)), _fields(pool),
        _check(monitor) if monitor is not None and is_monitored(monitor) else None)


def _member(balancer: Record, member: Record, around: balancing.Surroundings) -> FabricMember:
    subnet = member["subnet_id"] or balancer["vip_subnet_id"]
    address = rules.canonical(member["address"])
    return FabricMember(member["id"], address, member["protocol_port"], around.ports.get((subnet, address)),
                        around.sources.get(subnet))


def _fields(pool: Record) -> tuple[str, ...]:
    """A client that is to stay with its member is told from others by its address alone.

    OVN could remember clients (``affinity_timeout``), but 23.03 loses the first connection of each.
    """
    return ALGORITHMS["SOURCE_IP" if pool["session_persistence"] else pool["lb_algorithm"]]


def _check(monitor: Record) -> FabricHealthCheck:
    """The API takes intervals of nothing; nobody is asked more often than once a second."""
    return FabricHealthCheck(max(1, monitor["delay"]), max(1, monitor["timeout"]), monitor["max_retries"],
                             monitor["max_retries_down"])
