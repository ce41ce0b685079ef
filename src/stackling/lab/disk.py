"""A machine's disk: what it holds besides, or instead of, what the outer machine's root holds.

A machine's root is an overlay: below the outer machine's root, shared by all and never written, above it this disk.
Whatever gives a machine its identity or is the state of a service must not shine through from below; those
directories are made *opaque*: they start empty, with the permissions of the original.

Files that a machine has written stay its own for ever, also when the outer machine's change later.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackling.lab.record import Member, Record, topology
from stackling.lab.topology import VIRTUAL, Network

ROOT = Path("/")

EMPTY = (
    "/etc/systemd/system", "/etc/systemd/network", "/etc/rc0.d", "/etc/rc1.d", "/etc/rc2.d", "/etc/rc3.d", "/etc/rc4.d",
    "/etc/rc5.d", "/etc/rc6.d", "/etc/rcS.d", "/etc/stackling", "/etc/rabbitmq", "/etc/pacemaker", "/etc/openvswitch",
    "/etc/ovn", "/etc/ceph", "/etc/libvirt/qemu", "/etc/libvirt/secrets", "/etc/libvirt/storage", "/etc/iscsi",
    "/etc/nvme", "/etc/pki/CA", "/etc/pki/libvirt", "/etc/pki/qemu", "/var/lib/stackling", "/var/lib/mysql",
    "/var/lib/rabbitmq", "/var/lib/corosync", "/var/lib/openvswitch", "/var/lib/etcd", "/var/lib/iscsi",
    "/var/lib/postgresql", "/var/tmp", "/var/crash", "/var/spool/cron", "/root/.ssh", "/root/.config/openstack",
)
"""Directories that start with nothing in them."""

BARE = ("/etc/corosync", "/var/lib/pacemaker", "/var/lib/libvirt", "/var/lib/ovn", "/var/lib/ceph", "/var/lib/systemd",
        "/var/log", "/var/cache/libvirt", "/var/lib/crmsh")
"""Directories whose directories remain, without the files."""

MASKED = (
    "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
    "systemd-udev-trigger.service", "systemd-modules-load.service", "getty@.service", "getty.target",
    "console-getty.service", "systemd-resolved.service", "systemd-timesyncd.service", "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "dev-hugepages.mount", "tmp.mount",
    "systemd-remount-fs.service", "systemd-firstboot.service", "systemd-sysctl.service", "systemd-random-seed.service",
    "systemd-machine-id-commit.service", "systemd-pstore.service", "modprobe@.service", "apt-daily.timer",
    "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "dpkg-db-backup.timer",
    "man-db.timer", "logrotate.timer", "ifupdown-pre.service", "networking.service", "systemd-networkd.service",
    "systemd-networkd.socket", "unattended-upgrades.service",
    "nvmefc-boot-connections.service", "nvmf-autoconnect.service",
)
"""Units that belong to hardware, to the outer machine, or to times of day."""

JOURNAL = """[Journal]
Storage=persistent
SystemMaxUse=200M
SyncIntervalSec=5s
ForwardToSyslog=no
ForwardToConsole=no
ForwardToKMsg=no
ReadKMsg=no
Audit=no
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """A machine's disk: the overlay's two directories."""

    root: Path

    @property
    def upper(self) -> Path:
        return self.root / "upper"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def make(self, record: Record, member: Member) -> None:
        """Format it: a machine that has never been on."""
        for path in (self.upper, self.work):
            path.mkdir(parents=True, exist_ok=True)
        _like(ROOT, self.upper)
        for name in EMPTY:
            self._opaque(name)
        for name in BARE:
            self._opaque(name)
            self._directories(name)
        for unit in MASKED:
            self.link(f"/etc/systemd/system/{unit}", "/dev/null")
        self.link("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
        self._identity(member)
        self.write("/etc/hosts", hosts(record))
        self.write("/etc/systemd/journald.conf.d/lab.conf", JOURNAL)
        # Debian's empties /tmp at boot: it is empty, but for our program where that lies there.
        self.write("/etc/tmpfiles.d/tmp.conf", "d /tmp 1777 root root 10d\nd /var/tmp 1777 root root 30d\n")
        self._programs()

    def _identity(self, member: Member) -> None:
        self.write("/etc/hostname", f"{member.name}\n")
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
        self.link("/var/lib/dbus/machine-id", "/etc/machine-id")
        self.write("/etc/fstab", "")
        self.write("/etc/resolv.conf", "")
        initiator = f"iqn.1993-08.org.debian:01:{uuid.uuid4().hex[:12]}"
        self.write("/etc/iscsi/initiatorname.iscsi", f"InitiatorName={initiator}\n", 0o600)
        host = uuid.uuid4()
        self.write("/etc/nvme/hostnqn", f"nqn.2014-08.org.nvmexpress:uuid:{host}\n")
        self.write("/etc/nvme/hostid", f"{host}\n")
        for key in sorted(Path("/etc/ssh").glob("ssh_host_*")):
            self._hide(str(key))

    def _programs(self) -> None:
        """The command and the fence agent. The program itself is seen through the overlay."""
        command = Path(sys.executable).parent / "stackling"
        if command.exists():
            self.link("/usr/local/bin/stackling", str(command))
        agent = Path(__file__).parent / "files" / "fence_lab"
        self.write("/usr/sbin/fence_lab", agent.read_text(), 0o755)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """A file on the disk of a machine that is off."""
        path = self._place(name)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        path = self._place(name)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def _hide(self, name: str) -> None:
        path = self._place(name)
        path.unlink(missing_ok=True)
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))      # how an overlay says: deleted

    def _place(self, name: str) -> Path:
        """Where *name* lies on this disk, its directories being there."""
        self._make_directories(Path(name).parent)
        return self.upper / name.lstrip("/")

    def _opaque(self, name: str) -> None:
        self._make_directories(Path(name))
        os.setxattr(self.upper / name.lstrip("/"), "trusted.overlay.opaque", b"y")

    def _directories(self, name: str) -> None:
        """Those below *name*, without what is in them."""
        for directory, _, _ in os.walk(name):
            self._make_directories(Path(directory))

    def _make_directories(self, path: Path) -> None:
        for one in (*reversed(path.parents), path):
            place = self.upper / one.relative_to(ROOT)
            if not place.is_dir():
                place.mkdir()
                if one.is_dir():
                    _like(one, place)

    def remove(self) -> None:
        """Delete it; the machine is off and its root unmounted."""
        shutil.rmtree(self.root, ignore_errors=False)


def hosts(record: Record) -> str:
    """``/etc/hosts`` of every machine."""
    places = topology(record)
    lines = ["127.0.0.1 localhost"]
    lines += [f"{places.address(Network.MGMT, one.number)} {one.name}" for one in record.machines]
    lines += [f"{places.address(Network.MGMT, VIRTUAL)} cloud"]
    return "\n".join(lines) + "\n"


def missing(programs: Iterable[str]) -> list[str]:
    """Those of *programs* that aren't installed."""
    return [program for program in programs if shutil.which(program) is None and not Path(program).exists()]


def _like(original: Path, copy: Path) -> None:
    found = original.stat()
    os.chown(copy, found.st_uid, found.st_gid)
    copy.chmod(stat.S_IMODE(found.st_mode))
