"""The lab's Ceph: outside of the machines, with a cable to their storage network, so that their power isn't its own.

Its daemons run in the lab's control group, and end with the lab.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stackling.deploy.embedded import namespaces
from stackling.lab import record
from stackling.lab.ceph import Ceph, CephFailed
from stackling.lab.networks import batch
from stackling.lab.problem import LabError
from stackling.lab.record import LabDirectory
from stackling.lab.topology import CEPH, Network, Topology, port

if TYPE_CHECKING:
    from stackling.lab.lab import Lab

GROUP = "ceph"
OSDS = 2


def ceph(lab: Lab) -> Ceph:
    """The lab's Ceph, running or not."""
    return _of(lab.directory)


def start(lab: Lab) -> None:
    """Start it, or what is missing of it. Raises ``LabError``."""
    _plug(lab.topology)
    record.group(lab.record, GROUP).make()
    done = subprocess.run([sys.executable, "-I", "-m", "stackling.lab.storage", "--directory",
                           str(lab.directory.root)], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f"Ceph doesn't start: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def _of(directory: LabDirectory) -> Ceph:
    places = record.topology(directory.read())
    return Ceph(directory.root / "ceph", places.address(Network.STORAGE, CEPH), places.ceph, osds=OSDS)


def _plug(places: Topology) -> None:
    if not namespaces.exists(places.ceph):
        namespaces.make(places.ceph)
    if namespaces.has_device(places.ceph, Network.STORAGE.device):
        return
    end = port(GROUP, Network.STORAGE)
    batch(places.switches, f"link add {end} type veth peer name {Network.STORAGE.device} netns {places.ceph}",
          f"link set {end} master {Network.STORAGE.bridge} up")
    batch(places.ceph, f"address add {places.interface(Network.STORAGE, CEPH)} dev {Network.STORAGE.device}",
          f"link set {Network.STORAGE.device} up")


def main() -> None:
    """``python -m stackling.lab.storage``: starts it in the lab's control group, and leaves it running."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    directory = LabDirectory(parser.parse_args().directory)
    try:
        record.group(directory.read(), GROUP).enter()
        _of(directory).start()
    except (CephFailed, LabError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
