"""What OVN's databases need around them: ``prepare nb|sb`` before the server starts, ``settings`` when it runs.

``settings`` waits until there is a leader, as long as that takes, writes what isn't there, and ends.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from stackling.deploy.cluster import description
from stackling.deploy.cluster.description import Cluster
from stackling.deploy.cluster.ovn.layout import RAFT_PORTS, SB_PORT, SCHEMAS, Layout
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.embedded.command import CommandFailed, run
from stackling.deploy.embedded.ovn import SCHEMA_FILES

ROLE = "ovn-controller"
PROBE = 5000                    # milliseconds without a word, after which a connection is tested
# A gateway that falls silent is given up after 3 times 300 ms.
BFD = {"bfd-min-rx": "300", "bfd-min-tx": "300", "bfd-mult": "3"}


def prepare(cluster: Cluster, name: str, at: Layout, which: str) -> None:
    """Make this machine's copy of the database *which*: the first of all by its token, else one that joins the others.
    One that is there is left alone. Raises ``CommandFailed``.
    """
    centre, token = at.centre, at.token(which)
    for directory in (centre.state, centre.run, centre.log):
        directory.mkdir(parents=True, exist_ok=True)
    centre.state.chmod(0o700)
    centre.run.chmod(0o700)
    file = centre.database(which)
    (file.parent / f".{file.name}.~lock~").unlink(missing_ok=True)
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        own = _raft(cluster, name, which)
        if token.exists():
            run("ovsdb-tool", "create-cluster", str(fresh), str(SCHEMA_FILES[which]), own)
        else:
            others = [_raft(cluster, machine.name, which) for machine in cluster.control if machine.name != name]
            run("ovsdb-tool", "join-cluster", str(fresh), SCHEMAS[which], own, *others)
        fresh.replace(file)
    token.unlink(missing_ok=True)


def settings(cluster: Cluster, at: Layout, timeout: int = 30) -> None:
    """Where the southbound database listens and with which role, and how quickly a gateway is given up. Idempotent.
    Raises ``CommandFailed``, when there is no leader within *timeout* seconds, too.
    """
    targets = [f"pssl:{SB_PORT}:{machine.address}" for machine in cluster.control]
    commands: list[str] = []
    for number, target in enumerate(targets):
        commands += ["--", f"--id=@c{number}", "create", "Connection", f'target="{target}"', f"role={ROLE}",
                     f"inactivity_probe={PROBE}"]
    ids = ",".join(f"@c{number}" for number in range(len(targets)))
    if _rows(at, timeout) != {(target, ROLE, str(PROBE)) for target in targets}:
        _ctl("ovn-sbctl", at, "sb", timeout, *commands, "--", "set", "SB_Global", ".", f"connections={ids}")
    _ctl("ovn-nbctl", at, "nb", timeout, "set", "NB_Global", ".",
         *(f"options:{key}={value}" for key, value in BFD.items()))


def _rows(at: Layout, timeout: int) -> set[tuple[str, ...]]:
    text = _ctl("ovn-sbctl", at, "sb", timeout, "--format=csv", "--data=bare", "--no-headings",
                "--columns=target,role,inactivity_probe", "list", "Connection")
    return {tuple(line.split(",")) for line in text.splitlines() if line}


def _ctl(program: str, at: Layout, which: str, timeout: int, *arguments: str) -> str:
    """Any member of the cluster takes a transaction to the leader."""
    return run(program, f"--db=unix:{at.centre.socket(which)}", "--no-leader-only", f"--timeout={timeout}", *arguments,
               timeout=timeout + 5)


def _raft(cluster: Cluster, name: str, which: str) -> str:
    return f"ssl:{cluster.machine(name).address}:{RAFT_PORTS[which]}"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="stackling-ovn", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("what", choices=("prepare", "settings"))
    parser.add_argument("database", choices=tuple(SCHEMAS), nargs="?")
    options = parser.parse_args()
    paths = Paths(options.root)
    cluster, at = description.read(paths.cluster), Layout(paths)
    if options.what == "prepare":
        prepare(cluster, paths.name, at, options.database)
        return 0
    while True:
        try:
            settings(cluster, at)
            return 0
        except CommandFailed as error:
            print(error, file=sys.stderr, flush=True)
            time.sleep(2)


if __name__ == "__main__":
    sys.exit(main())
