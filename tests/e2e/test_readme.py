"""The README's tour, copied: every command of it as it stands there, in its order, with the unmodified client.

On a simulated cloud: what a real server says by SSH is ``test_main_path.py``'s. The outputs that the README shows must
have the fields and columns that come out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.clouds import BIN, TestCloud, cloud

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.slow]     # root: the guest image is built
README = Path(__file__).parents[2] / "README.md"
TOUR = re.compile(r"## The same with the client you know\n(.*?)\n## Without root", re.DOTALL)
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FOR_THE_DOTS = "--image mine --flavor m1.nano --network net --wait"
REFUSED = "launch big"


@dataclass
class Step:
    """A command of the README, and the lines that it shows of its output."""

    command: str
    shown: list[str] = field(default_factory=list[str])


def steps() -> list[Step]:
    """The tour's commands. Remarks beside them, and their prompts, are taken off."""
    tour = TOUR.search(README.read_text())
    assert tour
    found: list[Step] = []
    for block in BLOCK.findall(tour[1]):
        for line in block.replace("\\\n    ", "").splitlines():
            if line.startswith("# "):
                found.append(Step(re.split(r" {3,}", line[2:])[0]))
            else:
                found[-1].shown.append(line)
    return found


def names(lines: list[str]) -> list[str]:
    """What names the facts of an output: a table's heading, or the first column where that is ``Field``, or the first
    words of lines."""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if table:
        return [row[0] for row in table] if table[0][0] == "Field" else table[0]
    return [line.split("  ")[0] for line in lines if re.match(r"[a-z ]+  ", line)]


@dataclass(frozen=True)
class Copier:
    """Somebody who copies one command after the other."""

    made: TestCloud
    home: Path

    def copy(self, command: str, code: int = 0) -> list[str]:
        """Run it as a shell would; the lines that come out."""
        directory = self.made.directory
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.home, capture_output=True, text=True, timeout=120, check=False, env={
                "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.home), "LANG": "C.UTF-8",
                "STACKLING_STATE_DIR": str(directory.root), "OS_CLIENT_CONFIG_FILE": str(directory.clouds_yaml),
                "OS_CLOUD": "stackling"})
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return (done.stdout + (done.stderr if code else "")).splitlines()


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copier]:
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir(mode=0o700)
    with cloud("--simulated") as made:
        yield Copier(made, home)


def test_the_readme_s_tour_works_as_it_stands(copier: Copier) -> None:
    done: list[str] = []
    theirs: dict[str, str] = {}         # the ids and addresses of whoever wrote the README, and ours
    for step in steps():
        command = step.command.replace("…", FOR_THE_DOTS)
        if command.startswith(("export ", "ssh ", "python3 -m venv")):
            continue
        for old, new in theirs.items():
            command = command.replace(old, new)
        said = copier.copy(command, 1 if REFUSED in command else 0)
        done.append(command)
        if step.shown and "explain" not in command:
            assert names(said)[:len(names(step.shown))] == names(step.shown), said
        if "floating ip create" in command:
            theirs[address(step.shown)] = address(said)
        if "port list" in command:
            theirs[uuid(step.shown)] = uuid(said)
    assert len(done) > 15
    servers = {one["Name"]: one for one in json.loads("\n".join(copier.copy("openstack server list -f json")))}
    assert {name: one["Status"] for name, one in servers.items()} == {
        "web": "ACTIVE", "web2": "ACTIVE", "web3": "ACTIVE", "big": "ERROR"}
    assert all(len(servers[name]["Networks"]["net"]) == 2 for name in ("web", "web2", "web3")), servers
    told = copier.copy("stackling explain web")
    assert "server web: as it should be" in told
    assert any("floating_ip: create" in line for line in told)


def address(lines: list[str]) -> str:
    found = re.search(r"floating_ip_address +\| ([0-9.]+)", "\n".join(lines))
    assert found
    return found[1]


def uuid(lines: list[str]) -> str:
    found = UUID.search("\n".join(lines))
    assert found
    return found[0]
