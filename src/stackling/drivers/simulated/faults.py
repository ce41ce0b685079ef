"""Failing, hanging and stepping on demand; shared by the simulated drivers' calls."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stackling.ports.fabric import FabricDown

Error = Callable[[str], Exception]


class Faults:
    """Consulted at the start of every call of a simulated driver. All methods may be called from any thread.

    *deadline* is how many seconds a call that hangs waits before it gives up, as the real driver would.
    """

    def __init__(self, where: str, error: Error = FabricDown, deadline: float = 10.0) -> None:
        self._where, self._error, self.deadline = where, error, deadline
        self._changed = threading.Condition()
        self._fail = 0
        self._with: Error = error
        self._hanging = False
        self._steps: int | None = None
        self.calls: dict[str, int] = {}

    def fail_next(self, calls: int, error: Error | None = None) -> None:
        """Let the next *calls* calls raise *error* (the port's "down" error when None)."""
        with self._changed:
            self._fail, self._with = calls, error or self._error

    def hang(self) -> None:
        """Let every call wait until ``release``, or until its deadline."""
        with self._changed:
            self._hanging = True

    def hold(self) -> None:
        """Let every call wait for a ``step`` of its own, or until its deadline."""
        with self._changed:
            self._steps = 0

    def step(self, calls: int = 1) -> None:
        """Let *calls* of the held calls go on."""
        with self._changed:
            self._steps = (self._steps or 0) + calls
            self._changed.notify_all()

    def release(self) -> None:
        """No faults any more."""
        with self._changed:
            self._fail, self._hanging, self._steps = 0, False, None
            self._changed.notify_all()

    def check(self, call: str) -> None:
        """Count *call*, and fail or wait as ordered."""
        if not (self._fail or self._hanging or self._steps is not None):
            self.calls[call] = self.calls.get(call, 0) + 1
            return
        with self._changed:
            self.calls[call] = self.calls.get(call, 0) + 1
            if self._fail:
                self._fail -= 1
                raise self._with(f"{self._where} was told to fail ({call})")
            if not self._changed.wait_for(lambda: not self._hanging and self._steps != 0, self.deadline):
                raise self._error(f"{self._where} did not answer within {self.deadline:g} s ({call})")
            if self._steps is not None:
                self._steps -= 1
