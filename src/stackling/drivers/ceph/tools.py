"""QEMU's tools on RBD images, in processes limited in memory and time."""

from __future__ import annotations

import subprocess

MEMORY = 4 << 30


class ToolFailed(Exception):
    """It failed or took too long; the message is for people."""


def qemu_img(*words: str, seconds: float, fd: int | None = None) -> str:
    """``qemu-img WORDS``, with the open file *fd*; its standard output. Raises ``ToolFailed``."""
    limits = ("prlimit", f"--cpu={int(seconds)}", f"--as={MEMORY}", "--core=0")
    try:
        done = subprocess.run([*limits, "qemu-img", *words], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False, timeout=seconds, cwd="/", pass_fds=() if fd is None else (fd,),
                              env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MALLOC_ARENA_MAX": "2"})
    except subprocess.TimeoutExpired:
        raise ToolFailed(f"qemu-img took longer than {seconds:.0f} s") from None
    except FileNotFoundError as error:
        raise ToolFailed(f"{error.filename} isn't installed on this machine: run ./setup") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ToolFailed(lines[-1] if lines else f"qemu-img {words[0]} ended with status {done.returncode}")
    return done.stdout.decode(errors="replace")
