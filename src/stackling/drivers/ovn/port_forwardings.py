"""A port forwarding as a row: a load balancer of one member each port on the floating IP's router, as Neutron's."""

from __future__ import annotations

from stackling.drivers.ovn.rows import Compiled, Member, Row, row_id
from stackling.ports.fabric import FabricKind, FabricPortForwarding


def compile(forwarding: FabricPortForwarding) -> Compiled:
    """The row of *forwarding*."""
    router = Member("Logical_Router", row_id(forwarding.router_id), "load_balancer",
                    (FabricKind.ROUTER, forwarding.router_id))
    row = Row("Load_Balancer", row_id(forwarding.id), f"forwarding of {forwarding.address}", {
        "name": f"stackling-forwarding-{forwarding.id}", "protocol": forwarding.protocol,
        "vips": {f"{forwarding.address}:{outside}": f"{forwarding.inside}:{inside}"
                 for outside, inside in forwarding.ports},
    }, members=(router,))
    return Compiled(forwarding.kind, forwarding.id, forwarding.generation, (row,))
