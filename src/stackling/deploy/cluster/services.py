"""Our own processes on a cluster machine: their units, the agent's settings, the administrator's ``clouds.yaml``."""

from __future__ import annotations

import sys
from typing import Any

from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import machine_user_name
from stackling.deploy.cluster import libvirt
from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.secrets import Secrets
from stackling.deploy.cluster.toml import toml
from stackling.deploy.cluster.unit import CONFINED, IN_THE_MACHINE, Section, unit

AGENT_PORT = 8702
POLL = 10            # seconds that control may hold a question open: how late a hanging node is noticed
HEARTBEAT = 2.0      # seconds between two reports of an agent
PYTHON = f"{sys.executable} -I -m"
API, ENGINE, AGENT = "stackling-api.service", "stackling-engine.service", "stackling-agent.service"
SYNC, SYNC_TIMER = "stackling-sync.service", "stackling-sync.timer"
_WATCHED: Section = {
    # Ready when it answers; ended and started again when its event loop hangs.
    "Type": "notify", "NotifyAccess": "main", "WatchdogSec": "10s", "Restart": "always", "RestartSec": "500ms",
}
_CLOUDS = """\
# Written by Stackling. Use it as `openstack --os-cloud stackling …` with OS_CLIENT_CONFIG_FILE set to this file, or
# copied to ~/.config/openstack/clouds.yaml; then copy the file that cacert names, too.
clouds:
  stackling:
    auth:
      auth_url: {auth_url}
      username: admin
      password: "{password}"
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: {region}
    interface: public
    identity_api_version: 3
    cacert: {ca}
"""


def files(cluster: Cluster, machine: Machine, secrets: Secrets, paths: Paths) -> list[ConfigFile]:
    """Everything of ours that *machine* needs to run."""
    found = [_directories(paths), *_sync(paths)]
    if machine.control:
        found += [_api(paths), _engine(paths), _clouds(cluster, secrets, paths)]
    if machine.compute:
        found += [_agent(paths), _agent_settings(cluster, machine, paths)]
    return found


def _directories(paths: Paths) -> ConfigFile:
    lines = [
        "# Written by Stackling.", "d /run/stackling 0755 root root", "d /run/stackling/guests 0750 libvirt-qemu kvm",
        "d /var/lib/stackling 0755 root root", "d /var/lib/stackling/images 0750 root root",
        "d /var/lib/stackling/instances 0711 root root", "d /var/lib/stackling/image-cache 0711 root root",
        "d /var/lib/stackling/agent 0700 root root", "d /var/log/stackling 0755 root root"]
    return ConfigFile(paths.root / "etc/tmpfiles.d/stackling.conf", ("\n".join(lines) + "\n").encode())


def _sync(paths: Paths) -> list[ConfigFile]:
    """Every minute or so each machine looks whether the cluster's description has changed."""
    return [
        unit(paths, SYNC, {
            "Unit": {"Description": "Bring this machine to the cluster's present description",
                     "ConditionPathExists": str(paths.cluster)},
            "Service": {"Type": "oneshot", "ExecStart": f"{PYTHON} stackling.cli.main cluster sync --quiet",
                        "TimeoutStartSec": "120s"},
        }),
        unit(paths, SYNC_TIMER, {
            "Unit": {"Description": "Look for changes of the cluster's description"},
            "Timer": {"OnBootSec": "60s", "OnUnitInactiveSec": "60s", "RandomizedDelaySec": "20s",
                      "AccuracySec": "10s"},
            "Install": {"WantedBy": "timers.target"},
        })]


def _api(paths: Paths) -> ConfigFile:
    return unit(paths, API, {
        "Unit": {"Description": "Stackling APIs", **_AFTER_DATABASE},
        "Service": {"ExecStart": f"{PYTHON} stackling.main.control --cluster --role api", **_WATCHED, **CONFINED,
                    "CapabilityBoundingSet": "", **_OF_CONTROL},
        "Install": {"WantedBy": "multi-user.target"},
    })


def _engine(paths: Paths) -> ConfigFile:
    return unit(paths, ENGINE, {
        "Unit": {"Description": "Stackling engine and the agents' API", **_AFTER_DATABASE},
        "Service": {"ExecStart": f"{PYTHON} stackling.main.control --cluster --role engine,stream", **_WATCHED,
                    **CONFINED, "CapabilityBoundingSet": "CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER", **_OF_CONTROL},
        "Install": {"WantedBy": "multi-user.target"},
    })


_AFTER_DATABASE: Section = {
    "Wants": "network-online.target",
    # Not after the broker and OVN: a broker may take a minute to start, and nothing here needs it.
    "After": "network-online.target stackling-database.service",
    "StartLimitIntervalSec": "0",
}
_OF_CONTROL: Section = {
    "ReadWritePaths": "/var/lib/stackling /run/stackling", "TimeoutStartSec": "180s", "TimeoutStopSec": "15s",
    "LimitNOFILE": "20000",
}


def _agent(paths: Paths) -> ConfigFile:
    return unit(paths, AGENT, {
        "Unit": {"Description": "Stackling agent", "Wants": "network-online.target libvirtd.service",
                 "After": "network-online.target libvirtd.service stackling-ovs-switch.service",
                 "StartLimitIntervalSec": "0"},
        "Service": {"ExecStart": f"{PYTHON} stackling.main.agent --config {paths.etc / 'agent.toml'}", **_WATCHED,
                    **IN_THE_MACHINE, "KillMode": "mixed", "TimeoutStartSec": "180s", "TimeoutStopSec": "20s",
                    "LimitNOFILE": "20000"},
        "Install": {"WantedBy": "multi-user.target"},
    })


def _agent_settings(cluster: Cluster, machine: Machine, paths: Paths) -> ConfigFile:
    settings: dict[str, Any] = {
        "state_dir": str(paths.state / "agent"), "machine": machine.name, "host": machine.name,
        "credential_file": str(paths.secrets / "credential"), "control": _nearest_first(cluster, machine),
        "driver": cluster.driver, "wait": POLL, "socket": str(paths.run / "agent.sock"), "log_level": cluster.log_level,
        "heartbeat": HEARTBEAT, "leases": True,
        "resume_guests_state_on_host_boot": cluster.resume_guests_state_on_host_boot,
        "listen": f"https://{machine.address}:{AGENT_PORT}", "callers": [one.name for one in cluster.control],
        "ca_file": str(paths.pki / "ca.crt"), "certificate_file": str(paths.pki / "machine.crt"),
        "key_file": str(paths.pki / "machine.key"),
    }
    if cluster.driver == "libvirt":
        settings["libvirt"] = {
            "instances": str(paths.state / "instances"), "images": str(paths.state / "image-cache"),
            "uri": "qemu:///system", "consoles": str(paths.run / "guests"), "datapath": "probe",
            "ovs_socket": str(paths.run / "ovs/conf.sock"), "migrate_uri": libvirt.uri(machine, paths),
        }
        if "rbd" in (cluster.storage.disks, cluster.storage.volumes):
            settings["ceph"] = _ceph_settings(cluster, machine, CephFiles(paths.ceph))
        if cluster.storage.disks == "directory":
            settings["directory"] = {"path": cluster.storage.disk_directory, "id": cluster.storage.disk_directory_id}
    return ConfigFile(paths.etc / "agent.toml", ("# Written by Stackling.\n" + toml(settings)).encode())


def _ceph_settings(cluster: Cluster, machine: Machine, files: CephFiles) -> dict[str, Any]:
    return {"conf": str(files.conf), "user": machine_user_name(machine.name),
            "keyring": str(files.machine_keyring(machine.name)), "disk_pool": cluster.storage.disk_pool,
            "addresses": [machine.storage_address], "images": cluster.storage.images == "rbd",
            "disks": cluster.storage.disks == "rbd"}


def _nearest_first(cluster: Cluster, machine: Machine) -> list[str]:
    """The control machines, beginning with this one or, over all machines, with each of them equally often."""
    urls = list(cluster.internal_urls)
    first = cluster.control.index(machine) if machine.control else cluster.machines.index(machine) % len(urls)
    return urls[first:] + urls[:first]


def _clouds(cluster: Cluster, secrets: Secrets, paths: Paths) -> ConfigFile:
    text = _CLOUDS.format(auth_url=f"{cluster.public_url}/identity/v3", password=secrets.admin_password,
                          region=cluster.region, ca=paths.pki / "ca.crt")
    return ConfigFile(paths.clouds_yaml, text.encode(), 0o600)
