"""The database's files, as pure functions of the cluster's description."""

from __future__ import annotations

import sys
from pathlib import Path

from stackling.deploy.cluster.description import Cluster, ClusterError
from stackling.deploy.cluster.galera.layout import COPY_PORT, GROUP_PORT, TRANSFER_PORT, UNIT, USER, Layout
from stackling.deploy.cluster.galera.rules import MOST_NODES
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")

_SERVER = """\
# Written by Stackling. Put settings of your own into {local}/*.cnf
[mysqld]
user = {user}
datadir = {data}
socket = {socket}
pid-file = {run}/server.pid
# SQL by the unix socket only.
skip-networking = ON
skip-name-resolve = ON
character-set-server = utf8mb4
binlog_format = ROW
default_storage_engine = InnoDB
innodb_autoinc_lock_mode = 2
innodb_flush_log_at_trx_commit = 1
innodb_buffer_pool_size = 128M
innodb_log_file_size = 64M
performance_schema = OFF
key_buffer_size = 1M
aria_pagecache_buffer_size = 8M
max_connections = 300
wsrep_on = ON
wsrep_provider = {provider}
wsrep_cluster_name = {cluster}
wsrep_cluster_address = gcomm://{addresses}
wsrep_node_name = {name}
wsrep_node_address = {address}
wsrep_sync_wait = 1
wsrep_sst_method = mariabackup
wsrep_sst_receive_address = {address}:{copy}
wsrep_sst_auth = {user}:
wsrep_provider_options = "{options}"

[sst]
encrypt = 4
tca = {identity}
tcert = {identity}
tkey = {identity}
sst-log-archive = 0

!includedir {local}
"""

_UNIT = """\
[Unit]
Description=Stackling's database (MariaDB with Galera)
Documentation=man:mariadbd(8)
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
# The service is up when its start program is. That it may be written to shows in {socket}.
Type=notify
NotifyAccess=main
ExecStart={python} -I -m stackling.deploy.cluster.galera.start{root}
Restart=always
RestartSec=2
# The start program stops the server; what is left after it has no business here.
KillMode=mixed
TimeoutStopSec=90
UMask=0077
LimitNOFILE=16384
OOMScoreAdjust=-600
ProtectHome=read-only
PrivateDevices=true

[Install]
WantedBy=multi-user.target
"""


def check(cluster: Cluster) -> None:
    """Raises ``ClusterError`` for a number of control machines on which the database isn't safe."""
    if len(cluster.control) > MOST_NODES:
        raise ClusterError(f"the database runs on every control machine, and on at most {MOST_NODES}; there are "
                           f"{len(cluster.control)}: set control = false on the others")


def files(cluster: Cluster, name: str, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """The files of machine *name*; none on one that isn't for control. Raises ``ClusterError``."""
    check(cluster)
    machine = cluster.machine(name)
    if not machine.control:
        return []
    at = Layout(paths)
    text = _SERVER.format(
        user=USER, data=at.data, socket=at.private_socket, run=at.run, provider=PROVIDER, cluster=cluster.name,
        addresses=",".join(f"{one.address}:{GROUP_PORT}" for one in cluster.control), name=name, copy=COPY_PORT,
        address=machine.address, options=_options(machine.address, at.identity), identity=at.identity, local=at.local)
    return [
        ConfigFile(at.configuration, text.encode()),
        ConfigFile(at.local / "README", b"Option files of your own (*.cnf); they override ../server.cnf.\n"),
        ConfigFile(at.identity, secrets.control_identity.encode() + b"\n", 0o400, f"{USER}:{USER}"),
    ]


def units(cluster: Cluster, name: str, paths: Paths) -> dict[str, str]:
    """The unit of machine *name*, by file name."""
    if not cluster.machine(name).control:
        return {}
    root = "" if paths.root == Path("/") else f" --root {paths.root}"
    return {UNIT: _UNIT.format(socket=Layout(paths).socket, python=sys.executable, root=root)}


def _options(address: str, identity: Path) -> str:
    """Galera's. A silent node is suspected after 2 s and given up after 4; ``pc.recovery`` is off because the start
    program decides who goes first (``rules``).
    """
    options = {
        "gmcast.listen_addr": f"ssl://{address}:{GROUP_PORT}", "ist.recv_addr": f"{address}:{TRANSFER_PORT}",
        "socket.ssl_ca": identity, "socket.ssl_cert": identity, "socket.ssl_key": identity,
        "evs.keepalive_period": "PT0.5S", "evs.inactive_check_period": "PT0.5S", "evs.suspect_timeout": "PT2S",
        "evs.inactive_timeout": "PT4S", "evs.install_timeout": "PT4S", "gmcast.peer_timeout": "PT2S",
        "pc.recovery": "false", "pc.wait_prim_timeout": "PT20S", "gcache.size": "128M", "gcache.recover": "yes",
    }
    return ";".join(f"{key}={value}" for key, value in options.items())
