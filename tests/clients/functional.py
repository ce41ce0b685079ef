"""``python -m tests.clients.functional SUITE [REGEX]``: the functional tests that a client brings along, unmodified,
against a simulated cloud that is prepared as devstack prepares one; ends with the totals.

SUITE is the client's package: ``openstackclient``. REGEX is of the tests' names. What is left out stands in
``left_out/SUITE.txt``, with the reasons. Tests that need what this cloud doesn't say it has skip themselves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.clients import devstack
from tests.tempest import results
from tests.tempest.cloud import running

HERE = Path(__file__).parent
PROGRAMS = HERE.parent.parent / ".clients/bin"
HOSTS = 2
SUITES = ("openstackclient",)
STESTR = """\
[DEFAULT]
test_path={top}/{suite}/tests/functional
top_dir={top}
group_regex=([^\\.]*\\.)*
"""


@contextmanager
def forking(socket: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Have ``front/openstack`` answered at *socket*."""
    with subprocess.Popen([PROGRAMS / "python", HERE / "forking.py", socket], env=environment, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise SystemExit("the client could not be loaded")
            yield
        finally:
            process.terminate()


def run(home: Path, options: argparse.Namespace) -> int:
    """Run the tests of the cloud whose ``clouds.yaml`` is under *home*."""
    top = next((PROGRAMS.parent / "lib").glob("python3*/site-packages"))
    (home / ".stestr.conf").write_text(STESTR.format(top=top, suite=options.suite))
    socket = home / "forking"
    environment = {"HOME": str(home), "LANG": "C.UTF-8", "FORKING_SOCKET": str(socket), "PYTHONWARNINGS": "ignore",
                   "PATH": f"{HERE / 'front'}:{PROGRAMS}:{os.environ['PATH']}", "PYTHON": str(PROGRAMS / "python")}
    subprocess.run([PROGRAMS / "stestr", "init"], cwd=home, env=environment, check=True)
    with forking(socket, environment):
        code = subprocess.run(
            [PROGRAMS / "stestr", "run", "--concurrency", str(options.workers), "--exclude-list",
             HERE / "left_out" / f"{options.suite}.txt", *([options.regex] if options.regex else [])],
            cwd=home, env=environment, check=False, stdin=subprocess.DEVNULL).returncode
    return results.close(results.results(home, PROGRAMS, environment), code)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients.functional", description="Run a client's own tests.")
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("regex", nargs="?", default="", help="run the tests whose name has a match for it")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="how many at the same time [default: 2]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackling-functional-") as directory:
        home = Path(directory)
        with running(home / "cloud", HOSTS) as client:
            devstack.prepare(client, home)
            return run(home, options)


if __name__ == "__main__":
    sys.exit(main())
