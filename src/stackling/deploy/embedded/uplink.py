"""How the cloud's external network meets the machine's network, with an exact way back.

Four ways (``Way``). HOST: a pair of interfaces joins ``br-ex`` to the machine, which holds the external gateway's
address; the machine reaches floating IPs, and nothing else changes: guests can't open connections to the machine or
through it, and a blackhole route behind the pair's own keeps what is meant for a VM from ever leaving by the
machine's uplink. ISOLATED: the far end stands in a namespace of its own instead of the machine. NAT: like HOST, and
guests reach the world with the machine's address. UPLINK: an interface of the machine becomes a port of ``br-ex``.

Theory of operation. What is to be undone is written to a record before the first change, with the values that were
there before. Both directions can be repeated and can be cut short anywhere: undoing looks at what is there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from enum import StrEnum
from pathlib import Path

import msgspec

from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.command import CommandFailed, run, succeeds
from stackling.deploy.embedded.namespaces import ip
from stackling.deploy.embedded.ovn import EXTERNAL, OvnPaths, plug, unplug

FORWARD = "net.ipv4.ip_forward"
BLACKHOLE_METRIC = "9999"
INSIDE = "stk-ex"                       # the pair's end in the cloud's namespace


class Way(StrEnum):
    """See the module."""

    HOST = "host"
    ISOLATED = "isolated"
    NAT = "nat"
    UPLINK = "uplink"


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """*gateways* are the external gateway's addresses in CIDR form; *machine*: the machine's namespace, None: ours."""

    way: Way
    cloud: str
    gateways: tuple[str, ...] = ()
    device: str | None = None
    machine: str | None = None
    datapath: str = "netdev"

    @property
    def pair(self) -> str:
        """The pair's end on the machine's side."""
        return "stk-" + hashlib.sha256(self.cloud.encode()).hexdigest()[:8]

    @property
    def outside(self) -> str | None:
        """The namespace that holds the gateway's address."""
        return f"{self.cloud}-outside" if self.way is Way.ISOLATED else self.machine


class Record(msgspec.Struct, kw_only=True):
    """What must be undone."""

    uplink: Uplink
    forwarding: str | None = None       # of the machine, before
    was_up: bool = True                 # the device, before


def bring_up(uplink: Uplink, paths: OvnPaths, record: Path) -> None:
    """Make it so; again when something of it is missing. Raises ``CommandFailed`` with what stands in the way."""
    before = _read(record)
    if before is not None and before.uplink != uplink:
        take_down(paths, record)
        before = None
    if before is None:
        _check(uplink)
        forwarding = namespaces.sysctl(uplink.machine, FORWARD) if uplink.way is Way.NAT else None
        was_up = uplink.device is None or "UP" in _flags(uplink.machine, uplink.device)
        _write(record, Record(uplink=uplink, forwarding=forwarding, was_up=was_up))
    if uplink.way is Way.UPLINK:
        _move_in(uplink, paths)
        return
    if uplink.way is Way.ISOLATED:
        namespaces.make(f"{uplink.cloud}-outside")
    _join(uplink, paths)
    if uplink.way is not Way.ISOLATED:
        _guard(uplink)
    if uplink.way is Way.NAT:
        namespaces.set_sysctl(uplink.machine, FORWARD, "1")


def take_down(paths: OvnPaths, record: Path) -> None:
    """Leave the machine as it was before ``bring_up``. Works also when the cloud's namespace is gone already."""
    before = _read(record)
    if before is None:
        return
    uplink = before.uplink
    if uplink.way is Way.UPLINK:
        _move_out(uplink, paths, before.was_up)
    else:
        if paths.socket("conf").exists():
            unplug(paths, INSIDE)
        if uplink.way is Way.ISOLATED:
            namespaces.delete(f"{uplink.cloud}-outside")
            if namespaces.exists(uplink.cloud):
                namespaces.delete_device(uplink.cloud, INSIDE)
        else:
            if before.forwarding is not None and before.forwarding != namespaces.sysctl(uplink.machine, FORWARD):
                namespaces.set_sysctl(uplink.machine, FORWARD, before.forwarding)
            namespaces.delete_device(uplink.machine, uplink.pair)
            _drop_blackholes(uplink)
            if succeeds("nft", "list", "table", "inet", uplink.pair, netns=uplink.machine):
                run("nft", "delete", "table", "inet", uplink.pair, netns=uplink.machine)
    record.unlink(missing_ok=True)


# -- what may stand in the way


def _check(uplink: Uplink) -> None:
    if uplink.way is Way.UPLINK:
        _check_device(uplink)
        return
    if uplink.way is Way.ISOLATED:
        return
    wanted = [ipaddress.ip_interface(gateway).network for gateway in uplink.gateways]
    for version in ("-4", "-6"):
        for route in namespaces.ip_json(uplink.machine, version, "route", "show", "table", "all"):
            there = route["dst"]
            if there == "default" or route.get("dev") == uplink.pair or route.get("type") in ("multicast", "blackhole"):
                continue
            network = ipaddress.ip_network(there, strict=False)
            for one in wanted:
                if network.version == one.version and network.prefixlen and network.overlaps(one):  # type: ignore[arg-type]
                    raise CommandFailed(
                        f"this machine already has a route to {network} (dev {route.get('dev')}), which overlaps the "
                        f"external network {one}; choose another range")


def _check_device(uplink: Uplink) -> None:
    device = uplink.device
    if device is None or not namespaces.has_device(uplink.machine, device):
        raise CommandFailed(f"there is no network interface {device} on this machine; `ip link` lists them")
    addresses = [address["local"] for link in namespaces.ip_json(uplink.machine, "address", "show", "dev", device)
                 for address in link.get("addr_info", []) if address.get("scope") != "link"]
    if addresses:
        raise CommandFailed(f"{device} holds the machine's own address {addresses[0]}; an uplink must be an interface "
                            "that the machine itself doesn't use")


# -- the pair


def _join(uplink: Uplink, paths: OvnPaths) -> None:
    pair, outside = uplink.pair, uplink.outside
    if not namespaces.has_device(outside, pair):
        namespaces.delete_device(uplink.cloud, INSIDE)
        ip(uplink.cloud, "link", "add", INSIDE, "type", "veth", "peer", "name", pair)
        ip(uplink.cloud, "link", "set", pair, "netns", *_target(outside))
    if uplink.datapath == "netdev":
        namespaces.checksums_in_software(outside, pair)
    ip(uplink.cloud, "link", "set", INSIDE, "up")
    ip(outside, "link", "set", pair, "up")
    for gateway in uplink.gateways:
        interface = ipaddress.ip_interface(gateway)
        nodad = ("nodad",) if interface.version == 6 else ()
        ip(outside, "address", "replace", gateway, "dev", pair, *nodad)
        if uplink.way is not Way.ISOLATED:
            ip(outside, f"-{interface.version}", "route", "replace", "blackhole", str(interface.network), "metric",
               BLACKHOLE_METRIC)
    plug(paths, EXTERNAL, INSIDE)


def _guard(uplink: Uplink) -> None:
    """Guests open no connection to the machine, nor through it without NAT; replacing the table is atomic."""
    pair = uplink.pair
    pings = "\n".join(
        f"        iifname \"{pair}\" {'ip' if one.version == 4 else 'ip6'} daddr {one.ip} "
        f"{'icmp' if one.version == 4 else 'icmpv6'} type echo-request accept"
        for one in map(ipaddress.ip_interface, uplink.gateways))
    ranges = [one.network for one in map(ipaddress.ip_interface, uplink.gateways) if one.version == 4]
    out = "\n".join(f'        iifname "{pair}" ip saddr {one} accept' for one in ranges if uplink.way is Way.NAT)
    nat = "\n".join(f'        oifname != "{pair}" ip saddr {one} masquerade' for one in ranges)
    nat_chain = f"""
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
{nat}
    }}""" if uplink.way is Way.NAT else ""
    run("nft", "-f", "-", netns=uplink.machine, input=f"""
table inet {pair} {{}}
delete table inet {pair}
table inet {pair} {{
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        iifname != "{pair}" accept
        ct state established,related accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
{pings}
        drop
    }}
    chain forward {{
        type filter hook forward priority filter - 5; policy accept;
        iifname != "{pair}" oifname != "{pair}" accept
        ct state established,related accept
{out}
        drop
    }}{nat_chain}
}}
""")


def _drop_blackholes(uplink: Uplink) -> None:
    for one in map(ipaddress.ip_interface, uplink.gateways):
        for route in namespaces.ip_json(uplink.machine, f"-{one.version}", "route", "show", "type", "blackhole"):
            if route.get("dst") == str(one.network) and str(route.get("metric")) == BLACKHOLE_METRIC:
                ip(uplink.machine, f"-{one.version}", "route", "delete", "blackhole", str(one.network), "metric",
                   BLACKHOLE_METRIC)


# -- an interface of the machine


def _move_in(uplink: Uplink, paths: OvnPaths) -> None:
    assert uplink.device is not None
    if namespaces.has_device(uplink.machine, uplink.device):
        ip(uplink.machine, "link", "set", uplink.device, "netns", uplink.cloud)
    ip(uplink.cloud, "link", "set", uplink.device, "up")
    plug(paths, EXTERNAL, uplink.device)


def _move_out(uplink: Uplink, paths: OvnPaths, was_up: bool) -> None:
    assert uplink.device is not None
    if paths.socket("conf").exists():
        unplug(paths, uplink.device)
    if namespaces.exists(uplink.cloud) and namespaces.has_device(uplink.cloud, uplink.device):
        ip(uplink.cloud, "link", "set", uplink.device, "netns", *_target(uplink.machine))
    if namespaces.has_device(uplink.machine, uplink.device):
        ip(uplink.machine, "link", "set", uplink.device, "up" if was_up else "down")


def _target(netns: str | None) -> tuple[str]:
    """How ``ip link set … netns`` names a namespace; ours by its path."""
    return (netns,) if netns is not None else (f"/proc/{os.getpid()}/ns/net",)


def _flags(netns: str | None, device: str) -> list[str]:
    return [flag for link in namespaces.ip_json(netns, "link", "show", "dev", device) for flag in link["flags"]]


def _read(record: Path) -> Record | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=Record)
    except FileNotFoundError:
        return None


def _write(record: Path, what: Record) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    fresh = record.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(what))
    fresh.replace(record)
