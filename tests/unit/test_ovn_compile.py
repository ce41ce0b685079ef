"""Objects of the fabric as rows of OVN, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.drivers.ovn import networks, ports, routers, security_groups
from stackling.drivers.ovn.ports import PortFacts
from stackling.drivers.ovn.rows import Compiled, Row, row_id
from stackling.drivers.ovn.schema import TABLES
from stackling.ports.fabric import FabricRule, FabricSubnet
from tests.fabric_objects import Cloud, network, port, router, rule


def row(compiled: Compiled, table: str, **columns: Any) -> Row:
    return next(one for one in compiled.rows if one.table == table
                and all(one.columns.get(name) == value for name, value in columns.items()))


def test_only_columns_that_are_replicated_are_written() -> None:
    cloud = Cloud()
    for compiled in (networks.compile(cloud.public), networks.compile(replace(cloud.one, admin_state_up=False)),
                     ports.compile(cloud.port), routers.compile(cloud.router), security_groups.compile(cloud.group),
                     security_groups.CLOSED):
        for one in compiled.rows:
            assert set(one.columns) < set(TABLES[one.table][1]), one.label


def test_an_object_s_first_row_has_its_id() -> None:
    cloud = Cloud()
    assert str(networks.compile(cloud.one).rows[0].uuid) == cloud.one.id
    assert str(ports.compile(cloud.port).rows[0].uuid) == cloud.port.id
    assert row_id("not-a-uuid") == row_id("not-a-uuid") != row_id("other")


@pytest.mark.parametrize(("given", "expected"), [
    (rule(), "outport == @pg_g && ip4"),
    (rule("egress", "IPv6"), "inport == @pg_g && ip6"),
    (rule(protocol="tcp", port_range_min=22, port_range_max=22), "outport == @pg_g && ip4 && tcp && tcp.dst == 22"),
    (rule(protocol="17", port_range_min=1, port_range_max=9),
     "outport == @pg_g && ip4 && udp && udp.dst >= 1 && udp.dst <= 9"),
    (rule(protocol="icmp", port_range_min=8, port_range_max=0),
     "outport == @pg_g && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0"),
    (rule(protocol="icmp", port_range_min=0), "outport == @pg_g && ip4 && icmp4 && icmp4.type == 0"),
    (rule(ethertype="IPv6", protocol="ipv6-icmp"), "outport == @pg_g && ip6 && icmp6"),
    (rule(protocol="vrrp"), "outport == @pg_g && ip4 && ip.proto == 112"),
    (rule(protocol="47"), "outport == @pg_g && ip4 && ip.proto == 47"),
    (rule(protocol="any"), "outport == @pg_g && ip4"),
    (rule(remote_ip_prefix="10.0.0.5/8"), "outport == @pg_g && ip4 && ip4.src == 10.0.0.0/8"),
    (rule("egress", remote_ip_prefix="192.0.2.1/32", protocol="sctp"),
     "inport == @pg_g && ip4 && ip4.dst == 192.0.2.1/32 && sctp"),
    (rule(ethertype="IPv6", remote_group_id="a-b"), "outport == @pg_g && ip6 && ip6.src == $pg_a_b_ip6"),
])
def test_rules_become_expressions(given: FabricRule, expected: str) -> None:
    assert security_groups.match("pg_g", given) == expected


def test_a_subnet_without_dhcp_keeps_an_inert_row() -> None:
    net = network()
    off = replace(net, subnets=(replace(net.subnets[0], enable_dhcp=False),))
    assert row(networks.compile(off), "DHCP_Options").columns == {"cidr": "0.0.0.0/32", "options": {}}
    assert row(networks.compile(off), "DHCP_Options").uuid == row(networks.compile(net), "DHCP_Options").uuid


def test_dhcp_routes_and_defaults() -> None:
    subnet = FabricSubnet("s", "10.0.0.0/24", 4, None, True, host_routes=(("192.0.2.7/24", "10.0.0.9"),),
                          metadata_ip="10.0.0.2")
    options = networks.dhcp_v4(replace(network(), dns_domain="cloud.test."), subnet)
    assert options["server_id"] == "10.0.0.2"
    assert "router" not in options
    assert options["classless_static_route"] == "{169.254.169.254/32,10.0.0.2, 192.0.2.0/24,10.0.0.9}"
    assert options["domain_name"] == '"cloud.test"'


@pytest.mark.parametrize(("mode", "options"), [
    ("slaac", set()), ("dhcpv6-stateful", {"server_id"}), ("dhcpv6-stateless", {"server_id", "dhcpv6_stateless"})])
def test_dhcpv6_by_address_mode(mode: str, options: set[str]) -> None:
    subnet = FabricSubnet("s", "fd00::/64", 6, "fd00::1", True, ipv6_ra_mode=mode, ipv6_address_mode=mode)
    assert set(networks.dhcp_v6(network(), subnet)) == options


@pytest.mark.parametrize("domain", ['x"); drop; (', "a b", "-x", "x..y"])
def test_what_is_no_domain_name_stays_out_of_flows(domain: str) -> None:
    compiled = networks.compile(replace(network(), dns_domain=domain))
    assert domain not in str([one.columns for one in compiled.rows])


def test_extra_dhcp_options_cannot_leave_their_value() -> None:
    given = [("mtu", "1300"), ("router", "10.0.0.1); next; ("), ("bootfile-name", 'x"; drop;'),
             ("domain-name", "a.test"), ("nonsense", "1"), ("dns-server", "{10.0.0.3, 10.0.0.4}")]
    assert ports.extra_options(given, 4) == {"mtu": "1300", "domain_name": '"a.test"',
                                             "dns_server": "{10.0.0.3, 10.0.0.4}"}


def test_own_dhcp_options_start_from_the_subnet_s() -> None:
    one = port(network(), dhcp_options=(("mtu", "1300", 4),))
    facts = PortFacts({one.ips[0][0]: ("10.1.0.0/24", {"mtu": "1442", "lease_time": "60"})})
    compiled = ports.compile(one, facts)
    own = row(compiled, "DHCP_Options")
    assert own.columns["options"] == {"mtu": "1300", "lease_time": "60"}
    assert compiled.rows[0].columns["dhcpv4_options"] == own.uuid
    off = ports.compile(replace(one, dhcp_options=(("dhcp_disabled", "true", 4),)), facts)
    assert off.rows[0].columns["dhcpv4_options"] is None


def test_port_security_has_a_line_for_each_mac() -> None:
    one = port(network(ipv6=True), mac="FA:16:3E:00:00:01", allowed_address_pairs=(
        (None, "10.1.0.99/32"), ("fa:16:3e:00:00:02", "10.1.0.64/26"), ("FA:16:3E:00:00:01", "10.1.0.98")))
    first, second = ports.port_security(one)
    assert first.split() == ["fa:16:3e:00:00:01", *(ip for _, ip in one.ips), "10.1.0.99", "10.1.0.98",
                             "fe80::f816:3eff:fe00:1"]
    assert second == "fa:16:3e:00:00:02 10.1.0.64/26"
    assert ports.addresses(one)[1:] == ("fa:16:3e:00:00:02",)
    open_port = replace(one, port_security=False)
    assert ports.port_security(open_port) == ()
    assert ports.addresses(open_port)[1:] == ("unknown",)
    assert [member.table for member in ports.compile(open_port).rows[0].members] == ["Logical_Switch"]


def test_source_nat_covers_ipv4_subnets_once_and_can_be_off() -> None:
    cloud = Cloud(one=network(1, ipv6=True))
    snat = [one.columns["logical_ip"] for one in routers.compile(cloud.router).rows if one.table == "NAT"]
    assert snat == ["10.1.0.0/24", "10.2.0.0/24"]
    assert cloud.router.gateway is not None
    off = replace(cloud.router, gateway=replace(cloud.router.gateway, snat=False))
    assert not [one for one in routers.compile(off).rows if one.table == "NAT"]


def test_gateway_chassis_keep_their_order_of_preference() -> None:
    cloud = Cloud()
    assert cloud.router.gateway is not None
    wide = replace(cloud.router, gateway=replace(cloud.router.gateway, chassis=("b", "a")))
    chassis = [one.columns for one in routers.compile(wide).rows if one.table == "Gateway_Chassis"]
    assert [one["chassis_name"] for one in sorted(chassis, key=lambda one: -int(str(one["priority"])))] == ["b", "a"]


@pytest.mark.parametrize("ecmp", [False, True])
def test_several_gateways_have_a_source_nat_each_and_default_routes_only_when_asked(ecmp: bool) -> None:
    cloud = Cloud()
    first = cloud.router.gateway
    assert first is not None
    second = replace(first, port_id=new_id(), addresses=("198.51.100.7/24",), next_hops=("198.51.100.1",))
    compiled = routers.compile(replace(cloud.router, more_gateways=(second,), ecmp=ecmp))
    legs = {one.columns["name"]: one.uuid for one in compiled.rows if one.table == "Logical_Router_Port"}
    nat = {(one.columns["logical_ip"], one.columns["external_ip"], one.columns["gateway_port"])
           for one in compiled.rows if one.table == "NAT"}
    assert nat == {(inside, gateway.addresses[0].partition("/")[0], legs[f"lrp-{gateway.port_id}"])
                   for inside in ("10.1.0.0/24", "10.2.0.0/24") for gateway in (first, second)}
    routes = [(one.columns["nexthop"], one.columns["output_port"])
              for one in compiled.rows if one.table == "Logical_Router_Static_Route"]
    wanted = [(gateway.next_hops[0], f"lrp-{gateway.port_id}") for gateway in (first, second)]
    assert routes == (wanted if ecmp else wanted[:1])
    assert len({one.uuid for one in compiled.rows}) == len(compiled.rows)


def test_default_routes_are_watched_where_asked() -> None:
    compiled = routers.compile(replace(Cloud().router, bfd=True, routes=(("10.7.0.0/24", "10.1.0.9"),)))
    watches = {one.uuid: one.columns["dst_ip"] for one in compiled.rows if one.table == "BFD"}
    routes = {one.columns["nexthop"]: one.columns["bfd"] for one in compiled.rows
              if one.table == "Logical_Router_Static_Route"}
    assert routes.pop("10.1.0.9") is None
    assert watches == {uuid: hop for hop, uuid in routes.items()}
    assert not any(one.table == "BFD" for one in routers.compile(Cloud().router).rows)


def test_router_advertisements_only_where_asked() -> None:
    compiled = routers.compile(router(network(1, ipv6=True), network(2)))
    legs = [one.columns["ipv6_ra_configs"] for one in compiled.rows if one.table == "Logical_Router_Port"]
    assert [bool(one) for one in legs] == [True, False]
