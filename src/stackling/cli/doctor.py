"""``stackling doctor``."""

from __future__ import annotations

from dataclasses import asdict

import click

from stackling.cli import options, output
from stackling.cli.problem import FAILED
from stackling.deploy.embedded import doctor
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.doctor import Verdict

COLORS = {Verdict.OK: output.GREEN, Verdict.WARN: output.YELLOW, Verdict.FAIL: output.RED}


@click.command()
@options.state_dir
@options.output_format
def command(directory: StateDirectory, style: str) -> int:
    """Check what this machine can do for a cloud: programs, KVM, kernel modules, port, disk, memory, time, leftovers.

    Exit code 1 when something is missing that a real cloud can't do without.
    """
    found = list(doctor.examine(directory))
    rows = [[one.check, output.colored(one.verdict, COLORS[one.verdict]), one.message] for one in found]
    output.show(style, [asdict(one) for one in found], (["check", "verdict", "what was found"], rows))
    return FAILED if any(one.verdict is Verdict.FAIL for one in found) else 0
