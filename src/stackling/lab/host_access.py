"""This machine's way into a lab: a pair of interfaces to the client, which forwards to the lab's own addresses.

Nothing else of this machine's network changes. A blackhole route behind the pair's own keeps what is meant for the
lab from ever leaving by an uplink.
"""

from __future__ import annotations

from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.command import run, succeeds
from stackling.lab.networks import batch
from stackling.lab.topology import CLIENT_NETWORKS, Topology

BLACKHOLE_METRIC = "9999"
INSIDE = "host0"
_RULES = """\
table ip host_access
delete table ip host_access
table ip host_access {{
  chain post {{
    type nat hook postrouting priority 100
    ip saddr {here} masquerade
  }}
}}
"""


def outside(topology: Topology) -> str:
    """The interface on this machine."""
    return f"lab-{topology.name}"


def open_(topology: Topology) -> None:
    """Let this machine reach the lab; again when something is missing. Raises ``CommandFailed``."""
    device, here, there = outside(topology), *_addresses(topology)
    _blackhole("replace", topology)
    if not namespaces.has_device(None, device):
        namespaces.ip(None, "link", "add", device, "type", "veth", "peer", "name", INSIDE, "netns", topology.client)
    batch(topology.client, f"address replace {there}/30 dev {INSIDE}", f"link set {INSIDE} up")
    namespaces.set_sysctl(topology.client, "net.ipv4.ip_forward", "1")
    namespaces.ip(None, "address", "replace", f"{here}/30", "dev", device)
    namespaces.ip(None, "link", "set", device, "up")
    for network in CLIENT_NETWORKS:
        namespaces.ip(None, "route", "replace", str(topology.range(network)), "via", there, "dev", device)
    run("nft", "-f", "-", netns=topology.client, input=_RULES.format(here=here))


def close(topology: Topology) -> None:
    """Undo it; nothing happens when it isn't open."""
    namespaces.delete_device(None, outside(topology))
    if succeeds("ip", "route", "show", "type", "blackhole", "exact", topology.whole):
        _blackhole("delete", topology)


def _blackhole(action: str, topology: Topology) -> None:
    command = ("ip", "route", action, "blackhole", topology.whole, "metric", BLACKHOLE_METRIC)
    if action == "delete":
        succeeds(*command)
    else:
        run(*command)


def _addresses(topology: Topology) -> tuple[str, str]:
    """This machine's and the client's end; link-local, so that they mean nothing elsewhere."""
    return f"169.254.77.{topology.index * 4 + 1}", f"169.254.77.{topology.index * 4 + 2}"
