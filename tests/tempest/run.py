"""Run OpenStack's own test suite, tempest, against a simulated cloud, or a real one:

    python -m tests.tempest.run [--real [--ceph]] [--list FILE]... [--regex R] [--but R] [--workers N] [--state-dir DIR]

It starts the cloud, makes what tempest needs, writes its configuration from what the cloud says of itself, runs the
tests, prints tempest's own totals and a closing line, and stops the cloud. All traffic stays on the loopback
interface; that of the real cloud (see ``real``; needs root) in namespaces of its own. A listed test that did not run
at all (its class could not be set up, or nobody knows it) counts as failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tempest import cloud, configuration, real, results

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / ".tempest" / "bin"
HOSTS = 3
STESTR = """\
[DEFAULT]
test_path={package}/test_discover
top_dir={package}
group_regex=([^\\.]*\\.)*
"""


def main() -> int:
    """The command; returns its exit code."""
    options = _options()
    if not (PROGRAMS / "tempest").exists():
        print("tempest is not installed; run ./setup tempest", file=sys.stderr)
        return 2
    if options.state_dir:
        return run(options.state_dir.resolve(), options)
    with tempfile.TemporaryDirectory(prefix="stk-tempest-", dir="/var/tmp") as directory:
        Path(directory).chmod(0o711)    # QEMU's own account finds its disks
        return run(Path(directory), options)


def run(directory: Path, options: argparse.Namespace) -> int:
    """Start a cloud in *directory*/cloud, test it from *directory*/tempest, stop it."""
    workspace = directory / "tempest"
    workspace.mkdir(parents=True, exist_ok=True)
    package = next((PROGRAMS.parent / "lib").glob("python3*/site-packages/tempest"))
    (workspace / ".stestr.conf").write_text(STESTR.format(package=package))
    listed = [name for path in options.list for name in _names(path)]
    with _cloud(directory / "cloud", workspace, options) as enter:
        code = _tempest(workspace, enter, listed, options)
    return _close(workspace, listed, code)


@contextmanager
def _cloud(state: Path, workspace: Path, options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """A cloud that tempest is told about; yields the words before a command that runs where tempest has to."""
    configured = workspace / "tempest.conf"
    if options.real:
        guest = workspace / "tiny.qcow2"
        with real.running(state, keep=options.state_dir is not None, ceph=options.ceph) as client:
            configuration.write(configured, client, real.prepare(client, guest, ceph=options.ceph), 1, guest)
            world = real.world(state)
            with real.reachable(client, world):
                yield "nsenter", f"--net=/run/netns/{world}", "--"
    else:
        with cloud.running(state, HOSTS) as client:
            configuration.write(configured, client, cloud.prepare(client), HOSTS)
            yield ()


def _tempest(workspace: Path, enter: tuple[str, ...], listed: list[str], options: argparse.Namespace) -> int:
    command = [
        *enter,
        PROGRAMS / "tempest",
        "run",
        "--config-file",
        workspace / "tempest.conf",
        "--concurrency",
        str(options.workers or (1 if options.real else 2)),
    ]
    if listed:
        path = workspace / "list"
        path.write_text("".join(f"{name}\n{_plain(name)}\n" for name in listed))
        command += ["--load-list", path]
    if options.regex:
        command += ["--regex", options.regex]
    if options.but:
        command += ["--exclude-regex", options.but]
    return subprocess.run(command, cwd=workspace, env=_environment(), check=False).returncode


def _close(workspace: Path, listed: list[str], code: int) -> int:
    found = results.results(workspace, PROGRAMS, _environment())
    for name in listed:
        if _plain(name) in found:
            continue
        found.setdefault(name, found.get(f"setUpClass ({name.partition('[')[0].rpartition('.')[0]})", "not run"))
    return results.close(found, code)


def _plain(name: str) -> str:
    """A test's name where none of its attributes, some of which depend on the configuration, is in force."""
    head, bracket, attributes = name.partition("[")
    return head + bracket + attributes.partition(",")[0].removesuffix("]") + "]" * bool(bracket)


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{PROGRAMS}:{os.environ.get('PATH', '')}", "PYTHON": str(PROGRAMS / "python")}


def _names(path: Path) -> Iterable[str]:
    return (line for line in path.read_text().split() if not line.startswith("#"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.tempest.run", description="Run tempest against a simulated cloud, or a real one."
    )
    parser.add_argument("--real", action="store_true", help="real servers on this machine, to log in to")
    parser.add_argument("--ceph", action="store_true", help="with --real: images, disks and volumes in a real Ceph")
    parser.add_argument(
        "--list",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="run the tests that this file names; may be given several times",
    )
    parser.add_argument("--regex", default="", metavar="R", help="run the tests whose name has a match for R")
    parser.add_argument("--but", default="", metavar="R", help="leave out those whose name has a match for R")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="how many at the same time [default: 2; with --real: 1]"
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="where the cloud and the results are, and stay [default: a temporary directory]",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
