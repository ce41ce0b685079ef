"""The broker: one RabbitMQ on each control machine, each by itself, empty at every start.

Why not clustered. The brokers carry wake-ups, which may be lost (ADR 10). Everybody who listens does so at all of them,
and whoever sends does so by all that it reaches; hence one broker that lives is enough, losing one costs nothing, not
even a pause, and no broker ever has to wait for another one, to agree with it, or to be healed: there are no
partitions to handle, and a cold start needs no order. A cluster of them would pause for 6 s when it loses a member,
wait for the last one that ran when it starts, and refuse one that comes back empty.

So nothing is kept: the data directory is below ``/run``. Clients come by TLS with the control machines' identity and a
password; on the loopback, where the resource agent looks, without TLS.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from stackling.deploy.cluster.description import Cluster
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets
from stackling.deploy.cluster.unit import unit

UNIT = "stackling-rabbitmq.service"
PORT, PLAIN_PORT = 5671, 5672
ACCOUNT, USER = "stackling", "rabbitmq"
_PLUGINS = "[].\n"

_CONF = """\
# Written by Stackling.
listeners.tcp.local = 127.0.0.1:{plain}
listeners.ssl.control = {address}:{port}
ssl_options.cacertfile = {identity}
ssl_options.certfile = {identity}
ssl_options.keyfile = {identity}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
heartbeat = 6
load_definitions = {definitions}
loopback_users = none
default_pass = {unused}
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 16MB
log.console = true
log.console.level = warning
log.file = false
"""


def files(cluster: Cluster, name: str, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """The files of machine *name*, its unit among them; none on one that isn't for control."""
    machine = cluster.machine(name)
    if not machine.control:
        return []
    etc, run = paths.etc / "rabbitmq", paths.run / "rabbitmq"
    conf = _CONF.format(plain=PLAIN_PORT, address=machine.address, port=PORT, identity=run / "identity.pem",
                        definitions=etc / "definitions.json", unused=_derived(secrets, "unused").hex())
    return [
        # In it stands a password that nobody uses, so that there is none that everybody knows.
        ConfigFile(etc / "rabbitmq.conf", conf.encode(), 0o640, f"root:{USER}"),
        ConfigFile(etc / "definitions.json", _definitions(secrets), 0o640, f"root:{USER}"),
        ConfigFile(etc / "enabled_plugins", _PLUGINS.encode()),
        _unit(paths),
    ]


def password_hash(password: str, salt: bytes) -> str:
    """As RabbitMQ keeps it (rabbit_password_hashing_sha256): 4 bytes of salt, and the SHA-256 of salt and password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _definitions(secrets: Secrets) -> bytes:
    user = {"name": ACCOUNT, "tags": [], "hashing_algorithm": "rabbit_password_hashing_sha256",
            "password_hash": password_hash(secrets.rabbitmq_password, _derived(secrets, "salt")[:4])}
    permission = {"user": ACCOUNT, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return msgspec.json.format(msgspec.json.encode(
        {"vhosts": [{"name": "/"}], "users": [user], "permissions": [permission]})) + b"\n"


def _derived(secrets: Secrets, what: str) -> bytes:
    """Bytes that are always the same for these secrets, so that the files are."""
    return hashlib.sha256(f"{what}:{secrets.rabbitmq_password}:{secrets.rabbitmq_cookie}".encode()).digest()


def _unit(paths: Paths) -> ConfigFile:
    etc, run = paths.etc / "rabbitmq", paths.run / "rabbitmq"
    copy = f"+/usr/bin/install -o {USER} -g {USER} -m 0400"
    # Erlang's own network (between this node and rabbitmqctl) stays on the loopback; one core and no busy waiting.
    erlang = ("+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none +A 16 "
              "-kernel inet_dist_use_interface {127,0,0,1} -kernel net_ticktime 5")
    environment = {
        "HOME": run, "RABBITMQ_HOME_DIR": run, "RABBITMQ_NODENAME": "stackling@localhost",
        "RABBITMQ_CONFIG_FILE": etc / "rabbitmq.conf", "RABBITMQ_ENABLED_PLUGINS_FILE": etc / "enabled_plugins",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_MNESIA_BASE": run / "mnesia", "RABBITMQ_LOG_BASE": run / "log",
        "RABBITMQ_SCHEMA_DIR": run / "schema", "RABBITMQ_GENERATED_CONFIG_DIR": run / "config",
        "RABBITMQ_FEATURE_FLAGS_FILE": run / "feature_flags", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang,
        "ERL_EPMD_ADDRESS": "127.0.0.1", "LANG": "C.UTF-8"}
    return unit(paths, UNIT, {
        "Unit": {"Description": "Stackling's broker (RabbitMQ)", "After": "network-online.target",
                 "Wants": "network-online.target", "StartLimitIntervalSec": "0"},
        "Service": {
            "Type": "notify", "NotifyAccess": "all", "User": USER, "Group": USER, "UMask": "0027",
            "Environment": [f'"{key}={value}"' for key, value in environment.items()],
            "RuntimeDirectory": "stackling/rabbitmq", "RuntimeDirectoryMode": "0750", "WorkingDirectory": f"-{run}",
            "ExecStartPre": [f"+/bin/rm -rf {run / 'mnesia'} {run / 'feature_flags'}",
                             f"{copy} {paths.secrets / 'rabbitmq_cookie'} {run / '.erlang.cookie'}",
                             f"{copy} {paths.secrets / 'control_identity'} {run / 'identity.pem'}"],
            "ExecStart": "/usr/lib/rabbitmq/bin/rabbitmq-server",
            # There is nothing that it would have to save.
            "KillSignal": "SIGKILL", "SuccessExitStatus": "SIGKILL", "TimeoutStartSec": "300s", "Restart": "always",
            "RestartSec": "2s", "LimitNOFILE": "20000", "OOMScoreAdjust": "-300",
        },
        "Install": {"WantedBy": "multi-user.target"},
    })
