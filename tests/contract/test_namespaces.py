"""The mount that iproute2 makes for named namespaces: away again if nobody else had or has any."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root
PREPARE = "{ ! mountpoint -q /run/netns || umount --lazy --recursive /run/netns; } && mount -t tmpfs tmpfs /run"
SCRIPT = """
import sys
from pathlib import Path
from stackling.deploy.embedded import namespaces
ours, theirs = Path("/run/ours"), Path("/run/theirs")
assert not namespaces.mounted()
namespaces.note_mount(ours)
namespaces.make("stk-ours")
namespaces.note_mount(theirs)
namespaces.make("stk-theirs")
assert namespaces.mounted()
namespaces.delete("stk-ours")
if sys.argv[1] == "alone":
    namespaces.delete("stk-theirs")
namespaces.undo_mount(theirs)
assert namespaces.mounted(), "it isn't theirs to take"
namespaces.undo_mount(ours)
print(namespaces.mounted())
"""


@pytest.mark.parametrize(("others", "stays"), [("alone", False), ("theirs", True)])
def test_the_mount_of_namespaces(others: str, stays: bool) -> None:
    """In a mount namespace with a /run of its own, which goes with the process."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{PREPARE} && exec "$@"', "sh",
         sys.executable, "-c", SCRIPT, others], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(stays)), done.stderr
