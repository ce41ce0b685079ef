"""What QoS limits and marks, as rows of a logical switch (ovn-nb(5), table QoS; priorities as Neutron's driver)."""

from __future__ import annotations

from stackling.drivers.ovn.rows import Member, Row, row_id
from stackling.ports.fabric import FabricKind, FabricLimit

PORT, FLOATING = 2002, 2003


def side(limit: FabricLimit) -> str:
    """How an expression names the port that the packet passes."""
    return "inport" if limit.direction == "egress" else "outport"


def row(id: str, limit: FabricLimit, network: tuple[FabricKind, str], match: str, priority: int = PORT) -> Row:
    """The row for one direction of the object *id*, on the switch of *network*."""
    bandwidth: dict[str, int] = {}
    if limit.max_kbps:
        bandwidth["rate"] = limit.max_kbps
        if limit.max_burst_kbps:
            bandwidth["burst"] = limit.max_burst_kbps
    return Row("QoS", row_id(id, f"qos {limit.direction}"), f"{limit.direction} QoS", {
        "direction": "from-lport" if limit.direction == "egress" else "to-lport", "priority": priority,
        "match": match, "bandwidth": bandwidth, "action": {} if limit.dscp is None else {"dscp": limit.dscp},
    }, members=(Member("Logical_Switch", row_id(network[1]), "qos_rules", network),))
