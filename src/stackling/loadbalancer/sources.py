"""The addresses that members are checked from: one port in each subnet with members of a pool that has a monitor."""

from __future__ import annotations

from stackling.core.context import Context
from stackling.loadbalancer.model import Provisioning
from stackling.loadbalancer.rows import MEMBERS, MONITORS, Record
from stackling.network.facade import balancing
from stackling.store.transaction import Tx


def follow(tx: Tx, ctx: Context, balancer: Record) -> None:
    """Make the ports that are wanted now, and give back the others."""
    monitored = {one["pool_id"] for one in MONITORS.of(tx, [balancer["id"]])
                 if one["provisioning_status"] != Provisioning.PENDING_DELETE}
    wanted = {one["subnet_id"] or balancer["vip_subnet_id"] for one in MEMBERS.of(tx, [balancer["id"]])
              if one["pool_id"] in monitored and one["provisioning_status"] != Provisioning.PENDING_DELETE} \
        if monitored else set[str]()
    there = {fixed[0]: port.id for port in balancing.own_ports(tx, balancer["id"], sources=True)
             for fixed in port.fixed_ips}
    gone = [port for subnet, port in there.items() if subnet not in wanted]
    if gone:
        balancing.drop_ports(tx, balancer["id"], gone)
    for subnet in sorted(balancing.subnets_left(tx, wanted - there.keys())):
        balancing.make_port(tx, ctx, balancer["project_id"], balancer["id"], subnet, f"ovn-lb-hm-{subnet}", source=True)
