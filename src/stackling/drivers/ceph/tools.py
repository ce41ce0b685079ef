"""QEMU's tools on RBD images, in processes limited in memory and time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

MEMORY = 4 << 30
LOOK = 5.0          # seconds between two looks at whether there is any hope


class ToolFailed(Exception):
    """It failed or took too long; the message is for people."""


def qemu_img(*words: str, seconds: float, fd: int | None = None, hopeless: Callable[[], str] = lambda: "") -> str:
    """``qemu-img WORDS``, with the open file *fd*; its standard output. Raises ``ToolFailed``.

    *hopeless* is asked now and then, and says why it can't succeed (a pool that is full makes it wait for ever).
    """
    limits = ("prlimit", f"--cpu={int(seconds)}", f"--as={MEMORY}", "--core=0")
    try:
        process = subprocess.Popen(
            [*limits, "qemu-img", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/", pass_fds=() if fd is None else (fd,),
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MALLOC_ARENA_MAX": "2"})
    except FileNotFoundError as error:
        raise ToolFailed(f"{error.filename} isn't installed on this machine: run ./setup") from None
    with process:
        try:
            output, errors = _finish(process, seconds, hopeless)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise ToolFailed(lines[-1] if lines else f"qemu-img {words[0]} ended with status {process.returncode}")
    return output.decode(errors="replace")


def _finish(process: subprocess.Popen[bytes], seconds: float, hopeless: Callable[[], str]) -> tuple[bytes, bytes]:
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        try:
            return process.communicate(timeout=max(0.0, min(LOOK, left)))
        except subprocess.TimeoutExpired:
            if left <= LOOK:
                raise ToolFailed(f"qemu-img took longer than {seconds:.0f} s") from None
            if why := hopeless():
                raise ToolFailed(why) from None
