"""Ended processes whose parents are gone: guests' QEMU, and whatever else detaches itself.

They belong to the machine's process 1, which on some machines (containers, small virtual machines) collects them late
or never. libvirt waits for that when it ends a guest, and before it can tell what QEMU is able to do: seconds that
add up. So the supervisor asks to inherit its descendants' orphans, and collects them at once. Nobody depends on it:
when the supervisor is gone they fall to process 1 as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Collection

_PR_SET_CHILD_SUBREAPER = 36


def inherit() -> bool:
    """From now on orphaned descendants become our children; whether the kernel agreed."""
    return ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def collect(others: Collection[int]) -> None:
    """Collect every ended child except *others*, whose parents wait for them themselves. Never blocks."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in others:
                return
            os.waitpid(ended.si_pid, 0)
