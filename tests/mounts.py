"""Machines as mount namespaces, each with a mount of its own at one path; what happens on them happens in processes."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stackling.deploy.directory.proof import NotDone


class Mounted:
    """A mount namespace named *name* in which the shell commands *mounts* have run; at the end, those of *ends* do."""

    def __init__(self, name: str, mounts: Sequence[str], ends: Sequence[str] = (), account: str = "") -> None:
        self.name = name
        steps = shlex.join([sys.executable, "-m", "tests.mounts", name, account])
        quiet = [f"{{ {one}; }} >/dev/null" for one in mounts]
        script = "; ".join([" && ".join([*quiet, "echo ready", steps]), *ends])
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        said = self.process.stdout.readline().strip()
        assert said == "ready", f"{name}: the mounts failed: {said}"

    @property
    def enter(self) -> tuple[str, ...]:
        """What runs a command there."""
        return ("nsenter", f"--target={self.process.pid}", "--mount", "--root", "--wd", "--")

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """A step of a proof. Raises ``NotDone``."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise NotDone(f"{self.name}: {answer['error']}")
        return answer

    def end(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(30)


@contextlib.contextmanager
def mounted(ends: Sequence[str] = (), account: str = "", **mounts: Sequence[str]) -> Iterator[dict[str, Mounted]]:
    """Several, by name."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Mounted] = {}
        for name, commands in mounts.items():
            found[name] = Mounted(name, commands, ends, account)
            stack.callback(found[name].end)
        yield found


def main() -> None:
    """Do the steps that come as lines, until there are no more."""
    from stackling.drivers.directory.trial import Trial
    from stackling.ports.disks import TrialFailed

    trial = Trial(sys.argv[1], account=sys.argv[2] or None, own=lambda: 0)
    for line in sys.stdin:
        try:
            answer = trial(json.loads(line))
        except TrialFailed as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
