"""libvirtd of one machine's cloud: its configuration, its private view of the file system, and its guests' end.

libvirtd runs in the cloud's network namespace (so that guests' interfaces are made there) and in a mount namespace of
its own, in which ``/etc/libvirt``, ``/var/lib/libvirt``, ``/var/cache/libvirt`` and ``/var/log/libvirt`` are
directories of the state directory, ``/run`` is one of the run directory, and ``/sys`` is new: a libvirt of the
machine's own is neither seen nor touched. No process namespace: guests outlive libvirtd, the supervisor and the
agent, and a libvirtd that is started again finds them, because what it finds them by are plain directories.

``/sys`` is replaced, not covered: a control group hierarchy that is shadowed makes a restarted libvirtd take its
guests for dead. Without control groups in sight libvirt asks neither systemd nor machined to register guests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.process import ProcessSpec

ACCOUNT, GROUP = "libvirt-qemu", "kvm"
NAME = "libvirtd"
_VIEWS = {"etc": "/etc/libvirt", "lib": "/var/lib/libvirt", "cache": "/var/cache/libvirt", "log": "/var/log/libvirt"}
_QEMU = """\
# Written by Stackling at every start.
security_driver = "none"
user = "{user}"
group = "{group}"
dynamic_ownership = 1
remember_owner = 0
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
seccomp_sandbox = 1
max_core = 0
vnc_listen = "127.0.0.1"
"""
_LIBVIRTD = """\
# Written by Stackling at every start.
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
host_uuid = "{uuid}"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
max_clients = 64
keepalive_interval = 5
"""
# Arguments: the run directory's view of /run, the directory that must stay visible in it, its place there (or ""),
# the machine id, a file to hide /dev/kvm behind (or ""), then pairs of source and target, "--", and the command.
_ENTER = """\
set -e
run=$1 kept=$2 place=$3 machine_id=$4 no_kvm=$5
shift 5
while [ "$1" != -- ]; do
  [ -d "$2" ] || mkdir -p "$2"
  mount --bind "$1" "$2"
  shift 2
done
shift
[ -z "$place" ] || mount --rbind "$kept" "$run/$place"
mount --rbind "$run" /run
[ ! -e /etc/machine-id ] || mount --bind "$machine_id" /etc/machine-id
[ -z "$no_kvm" ] || [ ! -e /dev/kvm ] || mount --bind "$no_kvm" /dev/kvm
umount -R -l /sys
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class LibvirtPaths:
    """Where it all lies, as the machine sees it. ``state`` is kept; ``run`` dies with the machine."""

    state: Path
    run: Path
    instances: Path

    @property
    def view(self) -> Path:
        """What libvirtd sees as ``/run``."""
        return self.run / "lv"

    @property
    def socket(self) -> Path:
        """libvirtd's socket."""
        return self.view / "libvirt" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """What the agent connects to."""
        return f"qemu:///system?socket={self.socket}"

    @property
    def consoles(self) -> Path:
        """Where the guests' consoles listen."""
        return self.view / "guests"

    @property
    def consoles_inside(self) -> Path:
        """The same directory as libvirtd and QEMU see it."""
        return Path("/run/guests")

    @property
    def images(self) -> Path:
        """The agent's image cache."""
        return self.state / "images"


def prepare(paths: LibvirtPaths, ovs_socket: Path | None = None) -> None:
    """Make directories and configuration files. May be called again while libvirtd runs."""
    user = _account()
    for name in _VIEWS:
        (paths.state / name).mkdir(mode=0o711, parents=True, exist_ok=True)
    for path in (paths.state, paths.instances, paths.images, paths.view, paths.view / "libvirt",
                 paths.view / "openvswitch", paths.view / "lock", paths.consoles):
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.chmod(0o711)
    shutil.chown(paths.consoles, user, GROUP)
    paths.consoles.chmod(0o750)
    if place := _place(paths):
        (paths.view / place).mkdir(mode=0o711, parents=True, exist_ok=True)
    identity = paths.state / "machine-id"
    if not identity.exists():
        identity.write_text(f"{uuid.uuid4().hex}\n")
    host = uuid.UUID(identity.read_text().strip())
    no_kvm = paths.state / "no-kvm"
    no_kvm.touch(mode=0)
    configuration = paths.state / "etc"
    (configuration / "qemu.conf").write_text(_QEMU.format(user=user, group=GROUP))
    (configuration / "libvirtd.conf").write_text(_LIBVIRTD.format(uuid=host))
    shutil.rmtree(configuration / "qemu" / "autostart", ignore_errors=True)
    link = paths.view / "openvswitch" / "db.sock"
    link.unlink(missing_ok=True)
    if ovs_socket is not None:
        link.symlink_to(ovs_socket)


def process(paths: LibvirtPaths, netns: str | None, *, kvm: bool, after: tuple[str, ...] = (),
            env: Mapping[str, str] | None = None) -> ProcessSpec:
    """libvirtd in the foreground; ready when its socket is there.

    Without *kvm* (``probe`` says that it doesn't work) ``/dev/kvm`` is hidden from it: a device that root may open and
    QEMU's account may not makes libvirt ask QEMU anew at every turn what it is able to do.
    """
    place = _place(paths)
    pairs = [word for name, target in _VIEWS.items() for word in (str(paths.state / name), target)]
    argv = ("unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "enter-libvirtd", str(paths.view),
            f"/run/{place}", place, str(paths.state / "machine-id"), "" if kvm else str(paths.state / "no-kvm"),
            *pairs, "--", "/usr/sbin/libvirtd")
    return ProcessSpec(NAME, argv, netns=netns, after=after, ready=paths.socket, stop_timeout=10.0,
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(env or {})})


def _place(paths: LibvirtPaths) -> str:
    """The entry of ``/run`` below which the run directory is, "" when it isn't (and stays visible by itself)."""
    return paths.run.parts[2] if paths.run.is_relative_to("/run") else ""


def _account() -> str:
    import pwd
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise RuntimeError(f"there is no account {ACCOUNT} on this machine; run ./setup") from None
    return ACCOUNT


# -- guests

@dataclass(frozen=True, slots=True)
class GuestProcess:
    """A QEMU of ours, its domain's name, and the id of its server."""

    pid: int
    name: str
    server_id: str


def guest_processes(paths: LibvirtPaths) -> Iterator[GuestProcess]:
    """Every QEMU of ours, with or without libvirtd: found by its command line, which names our instance directory, or
    (its disks may lie elsewhere) by the file in which libvirt keeps its pid."""
    mark = os.fsencode(f"{paths.instances}/")
    kept = {_pid(path): path.stem for path in (paths.view / "libvirt" / "qemu").glob("*.pid")}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            if b"qemu-system" not in words[0]:
                continue
            name = _after(b"-name", words).removeprefix("guest=").partition(",")[0]
            if any(mark in word for word in words) or kept.get(int(entry.name)) == name:
                yield GuestProcess(int(entry.name), name, _after(b"-uuid", words))


def _after(option: bytes, words: list[bytes]) -> str:
    return os.fsdecode(words[words.index(option) + 1]) if option in words[:-1] else ""


def _pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def forget_metadata(instance: str) -> None:
    """Remove the namespaces of the metadata service, after the agent has ended."""
    if namespaces.NAMED.exists():
        for path in sorted(namespaces.NAMED.glob(f"{instance}-md-*")):
            namespaces.delete(path.name)
