"""A security group as rows: a port group, and an access rule for each rule; and the group that closes every port.

OVN keeps the address sets ``<port group>_ip4`` and ``_ip6`` for the members of a port group, which is what a
rule with a remote group refers to.
"""

from __future__ import annotations

import ipaddress

from stackling.drivers.ovn import address_groups
from stackling.drivers.ovn.rows import Compiled, Member, Row, row_id
from stackling.ports.fabric import FabricKind, FabricRule, FabricSecurityGroup

DROP_GROUP = "stackling_drop"
DROP, ALLOW, NEVER = 1001, 1002, 1010          # priorities: closed by default, rules, what no rule can allow
_PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "igmp": 2, "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44,
    "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "udplite": 136,
    "vrrp": 112,
}
_PORTS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "sctp": "sctp", "132": "sctp"}
_ICMP = {"icmp", "1", "icmpv6", "ipv6-icmp", "58"}


def group_name(group_id: str) -> str:
    """The port group's name; OVN's expressions allow no dashes in it."""
    return "pg_" + group_id.replace("-", "_")


def compile(group: FabricSecurityGroup) -> Compiled:
    """The rows of *group*; who its members are is the ports' affair."""
    action = "allow-related" if group.stateful else "allow-stateless"
    name = group_name(group.id)
    rules = [Row("ACL", row_id(group.id, f"rule {rule.id}"), f"rule {rule.id}", {
        "direction": "to-lport" if rule.direction == "ingress" else "from-lport", "priority": ALLOW,
        "match": match(name, rule), "action": action, "options": {},
    }, {"stackling:rule": rule.id}) for rule in group.rules]
    first = Row("Port_Group", row_id(group.id), f"port group of security group {group.id}", {
        "name": name, "acls": tuple(rule.uuid for rule in rules)})
    named = dict.fromkeys((rule.remote_address_group_id, rule.ethertype) for rule in group.rules)
    needs = tuple(Member("Address_Set", address_groups.set_id(id, ethertype), "", (FabricKind.ADDRESS_GROUP, id))
                  for id, ethertype in named if id is not None)
    return Compiled(group.kind, group.id, group.generation, (first, *rules), needs)


def match(group: str, rule: FabricRule) -> str:
    """The rule as an expression of OVN (``ovn-sb``, column ``match`` of Logical_Flow)."""
    ingress = rule.direction == "ingress"
    ip = "ip4" if rule.ethertype == "IPv4" else "ip6"
    terms = [f"outport == @{group}" if ingress else f"inport == @{group}", ip]
    remote = f"{ip}.{'src' if ingress else 'dst'}"
    if rule.remote_ip_prefix is not None:
        terms.append(f"{remote} == {ipaddress.ip_network(rule.remote_ip_prefix, strict=False)}")
    elif rule.remote_group_id is not None:
        terms.append(f"{remote} == ${group_name(rule.remote_group_id)}_{ip}")
    elif rule.remote_address_group_id is not None:
        terms.append(f"{remote} == ${address_groups.set_name(rule.remote_address_group_id, rule.ethertype)}")
    return " && ".join(terms + _protocol(rule))


def _protocol(rule: FabricRule) -> list[str]:
    protocol = str(rule.protocol).lower() if rule.protocol is not None else "any"
    low, high = rule.port_range_min, rule.port_range_max
    if protocol in ("any", "0"):
        return []
    if protocol in _ICMP:
        icmp = "icmp4" if rule.ethertype == "IPv4" else "icmp6"
        terms = [icmp]
        if low is not None:
            terms.append(f"{icmp}.type == {int(low)}")
        if low is not None and high is not None:
            terms.append(f"{icmp}.code == {int(high)}")
        return terms
    if protocol in _PORTS:
        name = _PORTS[protocol]
        if low is None and high is None:
            return [name]
        low, high = int(low if low is not None else high or 0), int(high if high is not None else low or 0)
        if low == high:
            return [name, f"{name}.dst == {low}"]
        return [name, f"{name}.dst >= {low}", f"{name}.dst <= {high}"]
    return [f"ip.proto == {_PROTOCOLS.get(protocol) or int(protocol)}"]


def _drop_rules() -> list[tuple[str, str, int, str, str, dict[str, str]]]:
    """(name, direction, priority, match, action, options) of the group that closes every port.

    Neighbour discovery must pass without a rule, for the anti-spoofing of the port itself looks at it. Router
    advertisements are dropped in the later stage of the pipeline: OVN lets them through the first one unasked.
    """
    outgoing, incoming = f"inport == @{DROP_GROUP}", f"outport == @{DROP_GROUP}"
    return [
        ("in", "to-lport", DROP, f"{incoming} && ip", "drop", {}),
        ("out", "from-lport", DROP, f"{outgoing} && ip", "drop", {}),
        ("nd-in", "to-lport", ALLOW, f"{incoming} && (nd || nd_ra || mldv1 || mldv2)", "allow", {}),
        ("nd-out", "from-lport", ALLOW, f"{outgoing} && (nd || nd_rs || mldv1 || mldv2)", "allow", {}),
        ("dhcp", "from-lport", ALLOW,
         f"{outgoing} && ip4 && ip4.dst == 255.255.255.255 && udp.src == 68 && udp.dst == 67", "allow", {}),
        ("dhcpv6", "from-lport", ALLOW,
         f"{outgoing} && ip6 && ip6.dst == ff02::1:2 && udp.src == 546 && udp.dst == 547", "allow", {}),
        ("no-dhcp-server", "from-lport", NEVER, f"{outgoing} && ip4 && udp.src == 67 && udp.dst == 68", "drop", {}),
        ("no-dhcpv6-server", "from-lport", NEVER, f"{outgoing} && ip6 && udp.src == 547 && udp.dst == 546", "drop", {}),
        ("no-ra", "from-lport", NEVER, f"{outgoing} && ip6 && (icmp6.type == 134 || icmp6.type == 137)", "drop",
         {"apply-after-lb": "true"}),
    ]


def closed() -> Compiled:
    """The one group of all ports with port security: nothing passes that no rule allows."""
    rules = [Row("ACL", row_id(DROP_GROUP, name), f"rule {name} of the closing group", {
        "direction": direction, "priority": priority, "match": text, "action": action, "options": options,
    }) for name, direction, priority, text, action, options in _drop_rules()]
    first = Row("Port_Group", row_id(DROP_GROUP), "closing group", {
        "name": DROP_GROUP, "acls": tuple(rule.uuid for rule in rules)})
    return Compiled("cloud", DROP_GROUP, 1, (first, *rules))


CLOSED = closed()
