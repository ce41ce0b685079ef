"""One machine of a lab, from outside: its power, its cables, and what runs in it.

Theory of operation of a power loss. The links go first, then process 1 gets SIGKILL and with it everything in its PID
namespace. The other way round the kernel would close the dying processes' connections in good order, with FIN and
RST, which nobody hears from a machine without power: peers would know at once what they must find out by time-outs.
The network namespace is deleted afterwards, or the kernel would go on answering ping and ARP for it. What dies are
processes, not the page cache: this finds no missing fsync.

Power is switched under a lock a machine, by whoever comes: commands, tests, and the power switch on behalf of a fence
agent. Switching on what is on, or off what is off, does nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackling.lab import networks, record, units
from stackling.lab.boot import PATH
from stackling.lab.cgroups import Group, memory
from stackling.lab.problem import LabError
from stackling.lab.record import LabDirectory, Member
from stackling.lab.supervisor import LOCK, STATE
from stackling.lab.topology import Network, Topology

SIGRTMIN_POWEROFF, SIGRTMIN_REBOOT = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5     # systemd(1)
EXEC_GROUP = "lab-exec"
UP = ("running", "degraded")


@dataclass(frozen=True, slots=True)
class Life:
    """From a boot to the next: process 1 as the outer machine counts, when it began (seconds since the epoch), and
    the how manyth boot it is since power came."""

    pid: int
    since: float
    boots: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the lab in *directory*. Methods raise ``LabError``; they may be called from several processes."""

    directory: LabDirectory
    member: Member
    places: Topology
    group: Group

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def home(self) -> Path:
        """Its directory outside."""
        return self.directory.machine(self.name)

    def address(self, network: Network | str = Network.MGMT) -> str:
        """Its address in a network."""
        return self.places.address(Network(network), self.member.number)

    # --- power

    def is_on(self) -> bool:
        """Whether it has power: the truth, whatever the power switch says."""
        try:
            descriptor = os.open(self.home / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def life(self) -> Life | None:
        """The present one; None when it is off, and for a moment in a reboot."""
        try:
            life = Life(**json.loads((self.home / STATE).read_bytes()))
        except (FileNotFoundError, ValueError):
            return None
        return life if self.is_on() and self.group.holds(life.pid) else None

    def on(self) -> None:
        """Switch it on. Returns when its first process runs; ``wait_running`` waits for more."""
        with self._switching():
            if self.is_on():
                return
            done = subprocess.run([sys.executable, "-I", "-m", "stackling.lab.supervisor", "--directory",
                                   str(self.directory.root), self.name], capture_output=True, text=True, timeout=30,
                                  check=False, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise LabError((done.stderr or done.stdout).strip().splitlines()[-1] + self._last_words())

    def kill(self) -> None:
        """Power loss. Returns when nothing of it is left; at once when it is off."""
        with self._switching():
            self._until(lambda: not self.is_on(), 15, self._cut_power, "doesn't go off")

    def off(self, timeout: float = 90) -> None:
        """An orderly shutdown, as by its power button."""
        with self._switching():
            if life := self.life():
                os.kill(life.pid, SIGRTMIN_POWEROFF)
            self._until(lambda: not self.is_on(), timeout, None, "doesn't shut down; `stackling lab kill` will do")

    def reboot(self) -> None:
        """An orderly reboot; returns when it goes down. ``wait_running`` with the *life* before waits for the next."""
        life = self._living()
        os.kill(life.pid, SIGRTMIN_REBOOT)

    def _cut_power(self) -> None:
        with contextlib.suppress(networks.CommandFailed):       # it may be just unplugging them itself
            networks.set_links(self.places, self.name, tuple(Network), up=False)
        if life := self.life():
            with contextlib.suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)
        # The parents of what was run from outside, too: frozen, they would never collect their children, and a PID
        # namespace ends only when its last process is collected.
        self.group.signal_all(signal.SIGKILL)

    def wait_running(self, timeout: float = 60, after: Life | None = None) -> str:
        """Wait until systemd has started everything, in a life other than *after*; ``running``, or ``degraded`` when
        some unit failed."""
        deadline, state = time.monotonic() + timeout, "off"
        while time.monotonic() < deadline:
            if (life := self.life()) and (after is None or life.pid != after.pid):
                state = self.system_state(wait=deadline - time.monotonic())
                if state in UP:
                    return state
            time.sleep(0.03)
        raise LabError(f"{self.name} isn't running after {timeout:g} s; it is {state}{self._last_words()}")

    def system_state(self, wait: float = 0) -> str:
        """What ``systemctl is-system-running`` says; *wait* up to so many seconds for the end of the start."""
        how = ["timeout", f"{wait:g}", "systemctl", "is-system-running", "--wait"] if wait > 0 else \
            ["timeout", "3", "systemctl", "is-system-running"]
        try:
            return self.run(how, check=False, timeout=wait + 5).stdout.strip() or "unknown"
        except LabError:
            return "off"

    # --- inside

    def command(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> list[str]:
        """*argv* as it is run inside, for those who run it themselves."""
        life = self._living()
        group = self.group.path / EXEC_GROUP
        more = [f"{name}={value}" for name, value in (environment or {}).items()]
        enter = ["nsenter", "-t", str(life.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-T", "-r", "-w"]
        return ["sh", "-c", f'mkdir -p {group} && echo 0 > {group}/cgroup.procs && exec "$@"', "sh", *enter,
                "env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", f"TERM={os.environ.get('TERM', 'dumb')}",
                *more, *argv]

    def run(self, argv: Sequence[str], *, check: bool = True, timeout: float = 60, input: str | None = None,
            environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program inside, as root. ``LabError`` when it fails (unless *check* is false) or takes too long."""
        return _run(f"{self.name}: ", self.command(argv, environment), argv, check, timeout, input)

    def path(self, inside: str) -> Path:
        """A file of the machine that is on, as seen from outside."""
        return Path(f"/proc/{self._living().pid}/root") / inside.lstrip("/")

    def processes(self) -> list[int]:
        """Its processes, as the outer machine counts."""
        return self.group.processes()

    def memory(self) -> int:
        """Of all its processes, in bytes (proportional set size)."""
        return memory(self.processes())

    def hang(self, what: str | None = None) -> None:
        """Stop everything that runs in it, or the main process of the unit (or any process of the name) *what*."""
        self._living()
        if what is None:
            self.group.freeze(True)
        else:
            units.send(self.run, what, signal.SIGSTOP)

    def resume(self, what: str | None = None) -> None:
        """Let go on what ``hang`` stopped."""
        self._living()
        if what is None:
            self.group.freeze(False)
        else:
            units.send(self.run, what, signal.SIGCONT)

    @property
    def hanging(self) -> bool:
        """Whether all of it is stopped."""
        return self.group.frozen

    # --- cables

    @property
    def cut_networks(self) -> frozenset[Network]:
        """The networks whose cables are pulled out."""
        return record.cut_links(self.directory, self.name)

    def cut(self, *wanted: Network | str) -> None:
        """Pull cables out (default: all). They stay out over power cycles, until ``heal``."""
        self._set_cut(_networks(wanted), cut=True)

    def heal(self, *wanted: Network | str) -> None:
        """Plug cables in again (default: all)."""
        self._set_cut(_networks(wanted), cut=False)

    def _set_cut(self, chosen: Collection[Network], *, cut: bool) -> None:
        with self._switching():
            before = self.cut_networks
            record.write_cut_links(self.directory, self.name, before | set(chosen) if cut else before - set(chosen))
            if self.is_on():
                networks.set_links(self.places, self.name, chosen, up=not cut)

    # ---

    @contextmanager
    def _switching(self) -> Iterator[None]:
        with record.lock(self.home):
            yield

    def _living(self) -> Life:
        life = self.life()
        if life is None:
            raise LabError(f"{self.name} is {'between two boots' if self.is_on() else 'off'}; `stackling lab on "
                           f"{self.name}` switches it on")
        return life

    def _until(self, done: Callable[[], bool], timeout: float, again: Callable[[], None] | None, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            if again is not None:
                again()
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} {what} ({timeout:g} s)")
            time.sleep(0.01)

    def _last_words(self) -> str:
        try:
            lines = (self.home / "console.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f" (its console: {lines[-1]})" if lines else ""


@dataclass(frozen=True, slots=True)
class Client:
    """Where the machines' users are: on the management and the external network, with an address of its own."""

    namespace: str

    def command(self, argv: Sequence[str]) -> list[str]:
        """*argv* as it is run there."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *argv]

    def run(self, argv: Sequence[str], *, check: bool = True, timeout: float = 60, input: str | None = None,
            ) -> subprocess.CompletedProcess[str]:
        """Run a program of the outer machine there. ``LabError`` as in ``Machine.run``."""
        return _run("", self.command(argv), argv, check, timeout, input)


def _networks(wanted: Sequence[Network | str]) -> tuple[Network, ...]:
    try:
        return tuple(Network(one) for one in wanted) or tuple(Network)
    except ValueError as error:
        raise LabError(f"{error}; there are {', '.join(Network)}") from None


def _run(where: str, command: Sequence[str], argv: Sequence[str], check: bool, timeout: float, input: str | None,
         ) -> subprocess.CompletedProcess[str]:
    shown = " ".join(argv)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, input=input or "", check=False,
                              errors="replace")
    except subprocess.TimeoutExpired:
        raise LabError(f"{where}`{shown}` took longer than {timeout:g} s") from None
    if check and done.returncode:
        why = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"{where}`{shown}` failed: {why[-1] if why else f'exit status {done.returncode}'}")
    return done
