"""Corosync's and Pacemaker's files on a machine. What Pacemaker runs is ``deploy.pacemaker``'s.

Quorum. A majority of the control machines decides, and one that never returns after a power cut keeps nobody:
``wait_for_all`` is off. (It guards against a lone node that fences what it can't see; a lone node of three has no
quorum and fences nobody.) Two machines have no majority without each other: there ``two_node`` lets one go on alone,
which is safe only with fencing, and after a cold start they wait for each other.

One ring, on the management network: a machine that is cut off from it can't serve, and is to lose its membership.
"""

from __future__ import annotations

from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets
from stackling.deploy.cluster.unit import unit
from stackling.deploy.pacemaker.files import LIBRARY

TOKEN = 1300                # milliseconds of silence, after which a machine counts as lost
UNITS = ("corosync.service", "pacemaker.service")
REMOTE_UNITS = ("pacemaker_remote.service", "stackling-connection.service")
REMOTE_PORT = 3121
_PYTHON = "/usr/bin/python3 -IS"

_CONF = """\
# Written by Stackling.
totem {{
    version: 2
    cluster_name: {cluster}
    transport: knet
    ip_version: ipv4
    crypto_cipher: aes256
    crypto_hash: sha256
    token: {token}
    token_coefficient: 0
}}

quorum {{
    provider: corosync_votequorum
    wait_for_all: {wait}
    two_node: {two}
}}

logging {{
    to_stderr: no
    to_logfile: no
    to_syslog: yes
}}

nodelist {{
{nodes}}}
"""
_NODE = """\
    node {{
        name: {name}
        nodeid: {id}
        ring0_addr: {address}
    }}
"""


def files(cluster: Cluster, name: str, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """The files of machine *name*: as a full member, or as one that members reach by pacemaker_remote."""
    machine = cluster.machine(name)
    remote = ConfigFile(paths.root / "etc/pacemaker/authkey", secrets.pacemaker_key, 0o400, "hacluster:haclient")
    settings = ConfigFile(paths.root / "etc/default/pacemaker", _pacemaker(machine).encode())
    if not machine.control:
        return [remote, settings, _remote(paths), _connection(paths)]
    etc = paths.root / "etc/corosync"
    return [remote, settings, ConfigFile(etc / "corosync.conf", _corosync(cluster).encode()),
            ConfigFile(etc / "authkey", secrets.corosync_key, 0o400)]


def units(machine: Machine) -> tuple[str, ...]:
    """Debian's units that systemd starts at boot."""
    return UNITS if machine.control else REMOTE_UNITS


def _corosync(cluster: Cluster) -> str:
    # An id stays with its machine while the order of the description does; it is never given to another one.
    nodes = "".join(_NODE.format(name=machine.name, id=number, address=machine.address)
                    for number, machine in enumerate(cluster.machines, 1) if machine.control)
    two = "1" if len(cluster.control) == 2 else "0"
    return _CONF.format(cluster=cluster.name, token=TOKEN, wait=two, two=two, nodes=nodes)


def _remote(paths: Paths) -> ConfigFile:
    """Debian's package conflicts with that of full members; where both kinds share their programs, as in a lab, setup
    keeps this one apart.
    """
    return unit(paths, REMOTE_UNITS[0], {
        "Unit": {"Description": "Pacemaker Remote", "Documentation": "man:pacemaker-remoted(8)",
                 "After": "network-online.target dbus.service", "Wants": "network-online.target",
                 "StartLimitIntervalSec": "0"},
        "Service": {"EnvironmentFile": "-/etc/default/pacemaker",
                    "ExecStartPre": f"-{_PYTHON} /{LIBRARY}/before-joining",
                    "ExecStart": "/bin/sh -c 'exec \"$$(command -v pacemaker-remoted || echo "
                                 "/usr/lib/stackling/pacemaker-remoted)\"'",
                    "KillMode": "process", "TasksMax": "infinity", "SuccessExitStatus": "100",
                    "TimeoutStartSec": "infinity", "TimeoutStopSec": "120s", "Restart": "on-failure",
                    "RestartSec": "2s", "Nice": "-10", "OOMScoreAdjust": "-500"},
        "Install": {"WantedBy": "multi-user.target"},
    })


def _connection(paths: Paths) -> ConfigFile:
    """Stopped before pacemaker_remote is, whoever stops that: then the connection to it is ended first."""
    return unit(paths, REMOTE_UNITS[1], {
        "Unit": {"Description": "Have the cluster connect to this machine, and end that before it stops",
                 "After": f"network-online.target {REMOTE_UNITS[0]}", "Wants": "network-online.target",
                 "PartOf": REMOTE_UNITS[0]},
        "Service": {"Type": "exec", "RemainAfterExit": "yes", "ExecStart": f"{_PYTHON} /{LIBRARY}/connect",
                    "ExecStop": f"-{_PYTHON} /{LIBRARY}/disconnect", "TimeoutStopSec": "60s", "Restart": "on-failure",
                    "RestartSec": "2s"},
        "Install": {"WantedBy": REMOTE_UNITS[0]},
    })


def _pacemaker(machine: Machine) -> str:
    lines = ["# Written by Stackling.", "PCMK_logfile=none"]
    if not machine.control:
        lines += [f"PCMK_remote_address={machine.address}", f"PCMK_remote_port={REMOTE_PORT}"]
    return "\n".join(lines) + "\n"


