"""What this machine can do for a cloud, found by looking and trying. Nothing is changed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stackling.deploy.embedded import accelerator, layout, namespaces, processes
from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded.command import CommandFailed, succeeds
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.uplink import Uplink, Way

GIB = 1 << 30
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "libvirtd": "libvirt-daemon",
    "ovsdb-server": "openvswitch-switch", "ovs-vswitchd": "openvswitch-switch", "ovn-northd": "ovn-central",
    "ovn-controller": "ovn-host", "ip": "iproute2", "nft": "nftables", "ethtool": "ethtool", "ssh": "openssh-client",
    "genisoimage": "genisoimage", "sysctl": "procps",
}
"""What a real cloud runs, and Debian's packages for it."""


class Verdict(StrEnum):
    """``warn``: it works, with less."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what it says; where the verdict isn't ok, also what to do."""

    check: str
    verdict: Verdict
    message: str


def examine(directory: StateDirectory) -> Iterator[Finding]:
    """Every check in turn."""
    yield _rights()
    yield _programs()
    yield _accelerator()
    yield from _modules()
    yield _port(directory)
    yield _disk(directory)
    yield _memory()
    yield _time()
    yield _leftovers(directory)


def _rights() -> Finding:
    if os.geteuid() == 0:
        return Finding("rights", Verdict.OK, "we are root")
    return Finding("rights", Verdict.WARN, "we aren't root: only `stackling up --simulated` is possible")


def _programs() -> Finding:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)})
    if missing:
        return Finding("packages", Verdict.FAIL, f"missing: {', '.join(missing)}; `./setup` installs them")
    return Finding("packages", Verdict.OK, "all programs are installed")


def _accelerator() -> Finding:
    works, why = accelerator.try_now()
    if works:
        return Finding("KVM", Verdict.OK, why)
    return Finding("KVM", Verdict.WARN, f"{why}; servers are emulated (TCG), which is several times slower")


def _modules() -> Iterator[Finding]:
    for name, without in (("openvswitch", "the switch forwards in userspace, which is slower"),
                          ("geneve", "tunnels between machines are made in userspace")):
        if Path(f"/sys/module/{name}").exists() or succeeds("modprobe", "--dry-run", "--quiet", name):
            yield Finding(f"module {name}", Verdict.OK, "the kernel has it")
        else:
            yield Finding(f"module {name}", Verdict.WARN, f"the kernel lacks it: {without}")


def _port(directory: StateDirectory) -> Finding:
    try:
        found = configurations.read(directory.configuration)
        address, port = found.listen, found.port
    except (OSError, configurations.ConfigurationError):
        address, port = "127.0.0.1", configurations.DEFAULT_PORT
    ours = processes.find(directory.pid_file(layout.API), directory.digest, layout.API)
    if ours:
        ours.close()
        return Finding("port", Verdict.OK, f"this cloud listens on {address} port {port}")
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        return Finding("port", Verdict.WARN, f"{address} port {port}: {why}; choose one with --port")
    return Finding("port", Verdict.OK, f"{address} port {port} is free")


def _disk(directory: StateDirectory) -> Finding:
    place = next(path for path in (directory.root, *directory.root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / GIB:.1f} GiB free in {place}"
    if free < GIB:
        return Finding("disk", Verdict.FAIL, f"{text}; at least 1 GiB is needed, and room for images and servers")
    return Finding("disk", Verdict.WARN if free < 5 * GIB else Verdict.OK, text)


def _memory() -> Finding:
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(facts["MemAvailable"].split()[0]) * 1024
    text = f"{available / GIB:.1f} GiB available"
    if available < GIB // 2:
        return Finding("memory", Verdict.FAIL, f"{text}; a cloud with one small server needs 0.5 GiB")
    return Finding("memory", Verdict.WARN if available < 2 * GIB else Verdict.OK, text)


def _time() -> Finding:
    """``adjtimex(2)``: state 5 (TIME_ERROR) says that nobody keeps the clock."""
    buffer = ctypes.create_string_buffer(256)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    if state == 5:
        return Finding("time", Verdict.WARN, "nothing keeps the clock right; tokens and logs depend on it (install "
                                             "systemd-timesyncd or chrony)")
    return Finding("time", Verdict.OK, "the clock is synchronised")


def _leftovers(directory: StateDirectory) -> Finding:
    """What a cloud of this directory left without being up."""
    if processes.find(directory.pid_file("supervisor"), directory.digest, "supervisor"):
        return Finding("leftovers", Verdict.OK, "the cloud is up")
    found = sorted({name for _, name in processes.everyone(directory.digest)})
    found += [f"namespace {name}" for name in (directory.instance, f"{directory.instance}-outside")
              if namespaces.exists(name)]
    with contextlib.suppress(CommandFailed):
        found += [f"interface {link['ifname']}" for link in namespaces.ip_json(None, "link", "show")
                  if link["ifname"] == Uplink(way=Way.HOST, cloud=directory.instance).pair]
    if found:
        return Finding("leftovers", Verdict.WARN, f"of a cloud that isn't up: {', '.join(found)}; `stackling up` takes "
                                                  "them over, `stackling down` removes them")
    return Finding("leftovers", Verdict.OK, "none")
