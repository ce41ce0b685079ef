"""How the tests of stestr's last run ended."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Mapping
from pathlib import Path

PASSED, SKIPPED = {"success", "xfail"}, {"skip"}


def results(workspace: Path, programs: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The end of each test of the last run in *workspace*; *programs* has stestr."""
    stream = subprocess.run([programs / "stestr", "last", "--subunit"], cwd=workspace, env=environment,
                            stdout=subprocess.PIPE, check=False).stdout
    table = subprocess.run([programs / "subunit2csv"], input=stream, env=environment, stdout=subprocess.PIPE,
                           check=False).stdout.decode()
    return {row["test"]: row["status"] for row in csv.DictReader(io.StringIO(table))}


def close(found: Mapping[str, str], code: int) -> int:
    """Print what failed and the totals; the exit code of the whole, where stestr's was *code*."""
    failed = sorted(name for name, status in found.items() if status not in PASSED | SKIPPED)
    for name in failed:
        print(f"{found[name]}: {name}")
    passed = sum(status in PASSED for status in found.values())
    print(f"{passed} passed, {len(failed)} failed, {len(found) - passed - len(failed)} skipped")
    return code or bool(failed) or not passed
