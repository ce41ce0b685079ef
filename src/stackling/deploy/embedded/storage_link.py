"""The way from guests' QEMU, which runs in the cloud's network namespace, to a Ceph cluster outside of it.

A pair of interfaces of its own with link-local addresses joins the namespace to the machine, and only for Ceph: the
machine lets new connections through it to Ceph's ports alone, on itself or (by its own address) on others. Guests have
no part in it: inside, the kernel takes nothing that doesn't come by the pair, and forwards nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.command import run, succeeds
from stackling.deploy.embedded.namespaces import ip

INSIDE = "stk-storage"
FORWARD = "net.ipv4.ip_forward"
PORTS = ("3300", "6789", "6800-7568")       # monitors and everything else of Ceph, by default
_RECORD = "storage-link"


@dataclass(frozen=True, slots=True)
class Link:
    """The pair of one cloud, called after it; addresses follow from its name."""

    cloud: str

    @property
    def pair(self) -> str:
        """The machine's end."""
        return "sts-" + self._digest.hex()[:8]

    @property
    def outside(self) -> str:
        """The machine's address on it."""
        return str(self._network[1])

    @property
    def inside(self) -> str:
        """The namespace's address on it."""
        return str(self._network[2])

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(f"storage {self.cloud}".encode()).digest()

    @property
    def _network(self) -> ipaddress.IPv4Network:
        third = 1 + self._digest[4] % 160       # not 169.254.169.254, which is the metadata service's
        return ipaddress.IPv4Network((f"169.254.{third}.{self._digest[5] & 0xfc}", 30))


def bring_up(link: Link, conf: Path, state: Path) -> None:
    """Make it so; again when something of it is missing. Raises ``CommandFailed``.

    *conf* is the cluster's ``ceph.conf``; *state* is where what has to be undone is kept.
    """
    cloud, pair = link.cloud, link.pair
    if not namespaces.has_device(None, pair):
        namespaces.delete_device(cloud, INSIDE)
        ip(None, "link", "add", pair, "type", "veth", "peer", "name", INSIDE, "netns", cloud)
    ip(None, "address", "replace", f"{link.outside}/30", "dev", pair)
    ip(cloud, "address", "replace", f"{link.inside}/30", "dev", INSIDE)
    ip(None, "link", "set", pair, "up")
    ip(cloud, "link", "set", INSIDE, "up")
    ip(cloud, "route", "replace", "default", "via", link.outside)
    namespaces.set_sysctl(cloud, FORWARD, "0")
    run("nft", "-f", "-", netns=cloud, input=_GUARD_INSIDE)
    ports = ceph_ports(conf.read_text())
    run("nft", "-f", "-", input=_GUARD.format(
        pair=pair, inside=link.inside, here="\n        ".join(f"tcp dport {port} accept" for port in ports),
        through="\n        ".join(f'iifname "{pair}" tcp dport {port} accept' for port in ports)))
    record = state / _RECORD
    if not record.exists():
        record.write_text(namespaces.sysctl(None, FORWARD))
    namespaces.set_sysctl(None, FORWARD, "1")


def take_down(link: Link, state: Path) -> None:
    """Leave the machine as it was."""
    record = state / _RECORD
    if not record.exists():
        return
    before = record.read_text().strip()
    if before != namespaces.sysctl(None, FORWARD):
        namespaces.set_sysctl(None, FORWARD, before)
    namespaces.delete_device(None, link.pair)
    if succeeds("nft", "list", "table", "inet", link.pair):
        run("nft", "delete", "table", "inet", link.pair)
    record.unlink()


def ceph_ports(conf: str) -> list[str]:
    """The TCP ports on which the cluster of a ``ceph.conf`` may listen: the usual ones, and what it names. Pure."""
    found: list[str] = list(PORTS)
    lines = (line.partition("=") for line in conf.splitlines())
    options = {re.sub(r"[\s_-]+", " ", name.strip()): value.strip() for name, equals, value in lines if equals}
    for port in re.findall(r"[\d\]]:(\d{2,5})(?=[/,\]\s]|$)", options.get("mon host", "")):
        if port not in found:
            found.append(port)
    least, most = options.get("ms bind port min"), options.get("ms bind port max")
    if least and most and least.isdecimal() and most.isdecimal():
        found.append(f"{least}-{most}")
    return found


_GUARD = """
table inet {pair} {{}}
delete table inet {pair}
table inet {pair} {{
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        iifname != "{pair}" accept
        ct state established,related accept
        {here}
        drop
    }}
    chain forward {{
        type filter hook forward priority filter - 5; policy accept;
        iifname != "{pair}" oifname != "{pair}" accept
        ct state established,related accept
        {through}
        drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "{pair}" ip saddr {inside} masquerade
    }}
}}
"""
_GUARD_INSIDE = f"""
table inet stackling-storage {{}}
delete table inet stackling-storage
table inet stackling-storage {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        iifname "{INSIDE}" ct state established,related accept
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
    }}
}}
"""
