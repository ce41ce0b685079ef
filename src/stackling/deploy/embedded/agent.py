"""The agent of this machine: its settings, written at each ``up`` from the cloud's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from stackling.deploy.embedded import life
from stackling.deploy.embedded.configuration import Configuration, replace_file, toml
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.process import ProcessSpec

AGENT = "agent"
SIMULATED_STORAGE = {"shared": "rbd:simulated", "directory": "shared:simulated", "local": "local:simulated"}
PYTHON = (sys.executable, "-I", "-m")


def spec(directory: StateDirectory, after: tuple[str, ...] = ()) -> ProcessSpec:
    """Its process."""
    return ProcessSpec(AGENT, (*PYTHON, "stackling.main.agent", "--config", str(_file(directory))), after=after,
                       ready=directory.run / "ready" / AGENT, stop_timeout=15.0)


def write(directory: StateDirectory, configuration: Configuration) -> None:
    """Write its settings."""
    settings: dict[str, Any] = {
        "state_dir": directory.root / "agent", "machine": configuration.machine, "host": configuration.machine,
        "hosts": configuration.hosts, "credential_file": directory.machine_credential,
        "control": [f"http+unix://{directory.run}/internal.sock"], "driver": configuration.driver,
        "socket": directory.run / "agent.sock", "pid_file": directory.pid_file(AGENT),
        "ready_file": directory.run / "ready" / AGENT, "boot_id_file": life.boot_id_file(directory),
        "log_file": directory.log_file(AGENT), "log_level": configuration.log_level,
        "resume_guests_state_on_host_boot": configuration.resume_guests_state_on_host_boot,
    }
    lines = ["# Written by `stackling up` from stackling.toml."]
    if configuration.simulated:
        prefix = "host" if configuration.hosts > 1 else configuration.host_names[0]
        settings.update(machine=prefix, host=prefix)
    if configuration.fails_over:
        settings.update(heartbeat=2.0, leases=True)
    lines += [f"{name} = {toml(value)}" for name, value in settings.items()]
    if configuration.simulated:
        lines += ["", "[simulated]", f"storage = {toml(SIMULATED_STORAGE[configuration.simulated_disks])}"]
    if configuration.fails_over:
        lines.append(f"cluster = {toml(directory.simulated_cluster)}")
    if not configuration.simulated:
        lines += ["", "[libvirt]", *(f"{name} = {toml(value)}" for name, value in _libvirt(directory).items())]
        if "rbd" in (configuration.disks, configuration.volumes):
            ceph = _ceph(directory, configuration)
            lines += ["", "[ceph]", *(f"{name} = {toml(value)}" for name, value in ceph.items())]
    replace_file(_file(directory), "\n".join(lines) + "\n", 0o600)


def _libvirt(directory: StateDirectory) -> dict[str, Any]:
    from stackling.deploy.embedded import accelerator, engines, network

    paths = engines.libvirt_paths(directory)
    return {"instances": directory.instances, "images": paths.images, "uri": paths.uri, "netns": directory.instance,
            "instance": directory.instance, "datapath": network.datapath(directory),
            "consoles_here": paths.consoles, "accelerator": "kvm" if accelerator.known(directory) else "tcg",
            "ovs_socket": network.paths(directory).socket("conf")}


def _ceph(directory: StateDirectory, configuration: Configuration) -> dict[str, Any]:
    from stackling.deploy.ceph.files import CephFiles
    from stackling.deploy.ceph.rights import machine_user_name
    from stackling.deploy.embedded import storage_link

    files = CephFiles(directory.ceph)
    return {"conf": files.conf, "user": machine_user_name(configuration.machine),
            "keyring": files.machine_keyring(configuration.machine), "disk_pool": configuration.disk_pool,
            "addresses": [storage_link.Link(directory.instance).inside, storage_link.Link(directory.instance).outside],
            "images": configuration.images == "rbd", "disks": configuration.disks == "rbd"}


def _file(directory: StateDirectory) -> Path:
    return directory.root / "agent.toml"
