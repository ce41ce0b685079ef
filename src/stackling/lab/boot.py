"""Switching a machine on: new namespaces, its root, and systemd as process 1 in them.

Theory of operation. Two processes are made. The first enters the machine's control group and network namespace,
leaves the other namespaces for new ones, and stays outside as the parent. The second is the first process of the new
PID namespace: it builds the root and becomes systemd. Each dies when its parent does, so killing the supervisor, or
anything between, is a power loss and never leaves half a machine.

How process 1 ended says why: reboot(2) in a PID namespace ends it by SIGHUP for a restart and by SIGINT for power off
(pid_namespaces(7)); everything else is a power loss.

The root is made the mount namespace's own root, also where the lab itself runs in a chroot: the process first enters
its own mount namespace again, which takes it to that namespace's root, and pivots from there. Nothing of the outer
machine's mounts is left then, and programs inside that enter mount namespaces never come out elsewhere.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
import uuid
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NoReturn

from stackling.lab import kernel, place
from stackling.lab.cgroups import Group
from stackling.lab.kernel import Mount, Namespace

SYSTEMD = "/lib/systemd/systemd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
DEVICES = ("kvm", "net/tun", "vhost-net", "fuse")
SAFE = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC


class End(Enum):
    """Why a machine went off."""

    REBOOT = signal.SIGHUP.value
    POWER_OFF = signal.SIGINT.value
    POWER_LOSS = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a machine is made of. ``hidden`` is covered inside: the disks of the others. ``bound`` is seen from the
    outer machine, for reading."""

    name: str
    disk: Path
    netns: Path
    group: Group
    power: Path
    hidden: Path
    bound: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Booted:
    """A machine that is on: the process beside it, and its process 1, as the outer machine counts."""

    parent: int
    pid: int

    def wait(self) -> End:
        """Wait until it goes off."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.parent, 0)[1])
        return End(code) if code in (End.REBOOT.value, End.POWER_OFF.value) else End.POWER_LOSS


def boot(plan: Plan) -> Booted:
    """Switch the machine on. Raises ``OSError`` when its first process can't be made."""
    answer, telling = os.pipe()
    us = os.getpid()
    parent = os.fork()
    if parent == 0:
        os.close(answer)
        _guarded(lambda: _stand_beside(plan, telling, us))
    os.close(telling)
    with os.fdopen(answer) as reader:
        text = reader.read()
    if not text:
        os.waitpid(parent, 0)
        raise OSError(f"{plan.name} doesn't start; see its console.log")
    return Booted(parent, int(text))


def _stand_beside(plan: Plan, telling: int, supervisor: int) -> NoReturn:
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    plan.group.enter()
    with plan.netns.open() as file:
        kernel.enter(file.fileno(), Namespace.NET)
    kernel.unshare(Namespace.MOUNT | Namespace.PID | Namespace.UTS | Namespace.IPC | Namespace.CGROUP | Namespace.TIME)
    now = int(time.clock_gettime(time.CLOCK_BOOTTIME)), int(time.clock_gettime(time.CLOCK_MONOTONIC))
    Path("/proc/self/timens_offsets").write_text(f"boottime -{now[0]} 0\nmonotonic -{now[1]} 0\n")
    first = os.fork()
    if first == 0:
        kernel.die_with_parent(signal.SIGKILL)
        os.close(telling)
        _guarded(lambda: _become_systemd(plan))
    os.write(telling, str(first).encode())
    os.close(telling)
    code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    os._exit(-code if -code in (End.REBOOT.value, End.POWER_OFF.value) else 99)


def _become_systemd(plan: Plan) -> NoReturn:
    root = plan.disk / "root"
    root.mkdir(exist_ok=True)
    kernel.mount("", "none", "/", Mount.REC | Mount.PRIVATE)
    kernel.mount("overlay", f"lab-{plan.name}", str(root), options=place.overlay("/", plan.disk))
    _system(plan, root)
    _devices(root)
    for name, mode in zip(place.IN_MEMORY, ("755", "1777"), strict=True):
        kernel.mount("tmpfs", "tmpfs", f"{root}{name}", Mount.NOSUID | Mount.NODEV, f"mode={mode}")
    power = root / "run/lab/power"
    power.mkdir(parents=True)
    kernel.bind(str(plan.power), str(power))
    for name in plan.bound:
        inside = root / name.lstrip("/")
        inside.mkdir(parents=True, exist_ok=True)
        kernel.bind(name, str(inside), readonly=True)
    hidden = root / str(plan.hidden).lstrip("/")
    if hidden.is_dir():
        kernel.mount("tmpfs", "tmpfs", str(hidden), SAFE | Mount.RDONLY, "mode=700,size=64k")
    kernel.sethostname(plan.name)
    _change_root(root)
    machine_id = Path("/etc/machine-id").read_text().strip()
    environment = {"container": "lab", "container_uuid": machine_id, "PATH": PATH, "LANG": "C.UTF-8"}
    os.execve(SYSTEMD, [SYSTEMD, "--system", "--show-status=no"], environment)


def _system(plan: Plan, root: Path) -> None:
    """/proc and /sys. As in other containers, settings of the kernel that all machines share are read-only; those of
    its own network aren't."""
    proc = root / "proc"
    kernel.mount("proc", "proc", str(proc), SAFE)
    kernel.bind(str(proc / "sys"), str(proc / "sys"))
    kernel.bind(str(proc / "sys/net"), str(proc / "sys/net"))
    kernel.mount("", "none", str(proc / "sys"), Mount.REMOUNT | Mount.BIND | Mount.RDONLY)
    boot_id = plan.disk / "boot_id"     # the kernel's own is the outer machine's: the journal would see one long boot
    boot_id.write_text(f"{uuid.uuid4()}\n")
    kernel.bind(str(boot_id), str(proc / "sys/kernel/random/boot_id"), readonly=True)
    if (proc / "sysrq-trigger").exists():
        kernel.bind("/dev/null", str(proc / "sysrq-trigger"))
    kernel.mount("sysfs", "sysfs", str(root / "sys"), SAFE | Mount.RDONLY)      # read-only also tells udev to stay off
    kernel.mount("cgroup2", "cgroup2", str(root / "sys/fs/cgroup"), SAFE)


def _devices(root: Path) -> None:
    os.umask(0)
    dev = root / "dev"
    kernel.mount("tmpfs", "tmpfs", str(dev), Mount.NOSUID, "mode=755,size=4m")
    for name, major, minor in NODES:
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name in ("pts", "shm", "mqueue", "net"):
        (dev / name).mkdir(mode=0o755)
    for name in DEVICES:
        outer = Path("/dev") / name
        if outer.is_char_device():
            os.mknod(dev / name, stat.S_IFCHR | 0o666, outer.stat().st_rdev)
    kernel.mount("devpts", "devpts", str(dev / "pts"), Mount.NOSUID | Mount.NOEXEC,
                 "newinstance,ptmxmode=666,mode=620,gid=5")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2")):
        (dev / name).symlink_to(target)
    # A node of its own: systemd changes the console's mode, and through a bind mount that of the outer /dev/null.
    os.mknod(dev / "console", stat.S_IFCHR | 0o620, os.makedev(1, 3))
    kernel.mount("tmpfs", "tmpfs", str(dev / "shm"), Mount.NOSUID | Mount.NODEV, "mode=1777")
    kernel.mount("mqueue", "mqueue", str(dev / "mqueue"), SAFE)
    os.umask(0o022)


def _change_root(root: Path) -> None:
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    ours = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    kernel.enter(ours, Namespace.MOUNT)
    os.fchdir(here)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", detach=True)
    os.chdir("/")


def _guarded(work: object) -> NoReturn:
    """Run *work* in a forked child: nothing of it may return to what the parent was doing."""
    try:
        assert callable(work)
        work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(98)
