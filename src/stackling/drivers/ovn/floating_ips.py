"""A floating IP as a row: address translation both ways on its router."""

from __future__ import annotations

from stackling.drivers.ovn import limits
from stackling.drivers.ovn.routers import leg_name
from stackling.drivers.ovn.rows import Compiled, Member, Row, row_id
from stackling.ports.fabric import FabricFloatingIP, FabricKind


def compile(floating: FabricFloatingIP) -> Compiled:
    """The row of *floating*. Distributed: the port's own chassis translates and answers for the address.

    Moving it to another port alters the row in place: a row that is deleted and one of the same address that is
    added in one transaction would collide in OVN.
    """
    gateway = floating.gateway_port_id if floating.one_of_several else None
    router = Member("Logical_Router", row_id(floating.router_id), "nat", (FabricKind.ROUTER, floating.router_id))
    row = Row("NAT", row_id(floating.id), f"address translation of {floating.address}", {
        "type": "dnat_and_snat", "external_ip": floating.address, "logical_ip": floating.fixed_ip,
        "external_mac": floating.mac if floating.distributed else None,
        "logical_port": floating.port_id if floating.distributed else None,
        "gateway_port": None if gateway is None else row_id(gateway, "leg"),
    }, members=(router,))
    needs = (Member("Logical_Switch_Port", row_id(floating.port_id), "", (FabricKind.PORT, floating.port_id)),)
    return Compiled(floating.kind, floating.id, floating.generation, (row, *_qos(floating)), needs)


def _qos(floating: FabricFloatingIP) -> list[Row]:
    """Limits apply where the router's gateway meets the external network, on the machine that has the gateway."""
    gateway, network = floating.gateway_port_id, floating.network_id
    if gateway is None or network is None:
        return []
    here = f'is_chassis_resident("cr-{leg_name(gateway)}")'
    ends = {"egress": f"ip4.src == {floating.address}", "ingress": f"ip4.dst == {floating.address}"}
    return [limits.row(floating.id, one, (FabricKind.NETWORK, network), (
        f'{limits.side(one)} == "{gateway}" && {ends[one.direction]} && {here}'), limits.FLOATING)
        for one in floating.qos]
