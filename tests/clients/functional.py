"""``python -m tests.clients.functional SUITE [REGEX]``: the functional tests that a client brings along, unmodified,
against a simulated cloud that is prepared as devstack prepares one; ends with the totals.

SUITE is the client's package: ``openstackclient``, or ``openstack`` for openstacksdk. Its folders of tests are run one
after the other: a folder that can't be loaded would keep the others from being run. REGEX is of the tests' names. What
is left out, tests and whole folders, stands in ``left_out/SUITE.txt``, with the reasons. Tests that need what this
cloud doesn't say it has skip themselves.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients import devstack
from tests.tempest import results
from tests.tempest.cloud import running

HERE = Path(__file__).parent
PROGRAMS = HERE.parent.parent / ".clients/bin"
HOSTS = 2
STESTR = """\
[DEFAULT]
test_path={folder}
top_dir={top}
group_regex=([^\\.]*\\.)*
"""
SUITES: Mapping[str, Mapping[str, str]] = {
    "openstackclient": {},
    "openstack": {"OPENSTACKSDK_IMAGE": devstack.IMAGE, "OPENSTACKSDK_FLAVOR": "m1.tiny", "OS_TEST_TIMEOUT": "600",
                  "OPENSTACKSDK_FUNC_TEST_TIMEOUT": "120"},
}
"""By package, the variables that its tests read: names of what there is, and seconds."""
FILES = {"CONTRIBUTING.rst": "A file at the top of openstacksdk's source, which one of its tests uploads.\n"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of *suite*'s tests (*only* those of a folder) whose names *regex* finds, *workers* at a time."""

    suite: str
    only: str | None
    regex: str
    workers: int
    environment: Mapping[str, str]

    @property
    def left_out(self) -> Path:
        return HERE / "left_out" / f"{self.suite}.txt"

    def folders(self) -> Iterator[Path]:
        """The folders of tests that aren't left out as a whole."""
        lines = (line.partition("#")[0].strip() for line in self.left_out.read_text().splitlines())
        patterns = [re.compile(line) for line in lines if line]
        for found in sorted((self._top() / self.suite / "tests/functional").glob("*/__init__.py")):
            name = f"{self.suite}.tests.functional.{found.parent.name}."
            if self.only in (None, found.parent.name) and not any(pattern.search(name) for pattern in patterns):
                yield found.parent

    def folder(self, folder: Path, workspace: Path) -> tuple[int, dict[str, str]]:
        """Run the tests of *folder* in *workspace*, a new directory; stestr's exit code and how each ended."""
        workspace.mkdir()
        (workspace / ".stestr.conf").write_text(STESTR.format(folder=folder, top=self._top()))
        for name, text in FILES.items():
            (workspace / name).write_text(text)
        self._stestr(workspace, "init").check_returncode()
        chosen = ["--exclude-list", str(self.left_out), *([self.regex] if self.regex else [])]
        listed = self._stestr(workspace, "list", *chosen, stdout=subprocess.PIPE)
        if listed.returncode or not listed.stdout.strip():
            sys.stdout.buffer.write(listed.stdout)
            return listed.returncode, {}
        code = self._stestr(workspace, "run", "--concurrency", str(self.workers), *chosen).returncode
        return code, results.results(workspace, PROGRAMS, self.environment)

    @staticmethod
    def _top() -> Path:
        return next((PROGRAMS.parent / "lib").glob("python3*/site-packages"))

    def _stestr(self, workspace: Path, *words: str, stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([PROGRAMS / "stestr", *words], cwd=workspace, env=self.environment, check=False,
                              stdin=subprocess.DEVNULL, stdout=stdout)


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
    socket = home / "forking"
    environment = {**SUITES[options.suite], "HOME": str(home), "LANG": "C.UTF-8", "FORKING_SOCKET": str(socket),
                   "PATH": f"{HERE / 'front'}:{PROGRAMS}:{os.environ['PATH']}", "PYTHON": str(PROGRAMS / "python"),
                   "PYTHONWARNINGS": "ignore"}
    one = Run(options.suite, options.folder, options.regex, options.workers, environment)
    found: dict[str, str] = {}
    code = 0
    with forking(socket, environment):
        for folder in one.folders():
            workspace = home / "runs" / folder.name
            workspace.parent.mkdir(exist_ok=True)
            ended, tests = one.folder(folder, workspace)
            code = code or ended
            found |= tests
    return results.close(found, code)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients.functional", description="Run a client's own tests.")
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("regex", nargs="?", default="", help="run the tests whose name has a match for it")
    parser.add_argument("--folder", metavar="NAME", help="run the tests of this folder only")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="how many at the same time [default: 2]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackling-functional-") as directory:
        home = Path(directory)
        with running(home / "cloud", HOSTS) as client:
            devstack.prepare(client, home)
            return run(home, options)


if __name__ == "__main__":
    sys.exit(main())
