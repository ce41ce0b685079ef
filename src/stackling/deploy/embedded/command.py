"""Running the machine's own tools: bounded, and with an error that says which command failed and why."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping


class CommandFailed(Exception):
    """A tool failed, is missing, or took too long. The message says which, and what it printed."""


def run(*argv: str, netns: str | None = None, env: Mapping[str, str] | None = None, input: str | None = None,
        timeout: float = 20.0) -> str:
    """Run *argv*, in the network namespace *netns* when given; its standard output. Raises ``CommandFailed``."""
    whole = ("ip", "netns", "exec", netns, *argv) if netns is not None else argv
    try:
        done = subprocess.run(whole, capture_output=True, text=True, timeout=timeout, input=input,
                              env=None if env is None else dict(env), check=False)
    except FileNotFoundError as missing:
        raise CommandFailed(f"{missing.filename} is not installed; run ./setup") from missing
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"`{' '.join(argv)}` took longer than {timeout:g} s") from late
    if done.returncode != 0:
        why = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CommandFailed(f"`{' '.join(argv)}` failed: {why[-1] if why else f'exit status {done.returncode}'}")
    return done.stdout


def succeeds(*argv: str, netns: str | None = None) -> bool:
    """Whether *argv* runs and ends well."""
    try:
        run(*argv, netns=netns)
    except CommandFailed:
        return False
    return True
