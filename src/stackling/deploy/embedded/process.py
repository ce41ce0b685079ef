"""A process as data: what to run, where, and how to know that it is ready."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bind:
    """A bind mount inside the process's own mount namespace: *target* shows *source*."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process that runs in the foreground as a child of the supervisor.

    ``env`` is added to the supervisor's environment. ``netns`` names the network namespace to enter (None: stay).
    ``binds`` asks for a mount namespace of its own with these mounts. ``before`` is a line of shell that is run before
    it at each start. ``after`` names processes that must be ready
    first. It is ready when the socket or file ``ready`` exists (None: as soon as it runs). ``listen`` is an address
    and port whose listening socket the supervisor opens once and passes as the descriptor ``STACKLING_LISTEN_FD``, so
    that clients of a process that is restarted wait instead of being refused. ``stop_signal`` is sent first, SIGKILL
    after ``stop_timeout`` seconds. ``restart``: it is started again when it dies. ``once``: it does something and
    ends; it is ready when it has ended well, and tried again when it hasn't.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    netns: str | None = None
    binds: tuple[Bind, ...] = ()
    before: str = ""
    after: tuple[str, ...] = ()
    ready: Path | None = None
    listen: tuple[str, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 5.0
    restart: bool = True
    once: bool = False

    def command(self) -> tuple[str, ...]:
        """``argv`` with the programs before it that enter its namespaces; each replaces itself by the next, so that
        the pid stays."""
        command = self.argv
        if self.before:
            command = ("sh", "-c", f'{self.before}; exec "$@"', "sh", *command)
        if self.binds:
            mounts = " && ".join('mount --bind "$1" "$2" && shift 2' for _ in self.binds)
            paths = tuple(str(path) for bind in self.binds for path in (bind.source, bind.target))
            command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f'{mounts} && exec "$@"', "sh",
                       *paths, *command)
        if self.netns:
            command = ("nsenter", f"--net=/run/netns/{self.netns}", "--", *command)
        return command
