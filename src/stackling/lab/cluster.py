"""A lab's machines made one cloud, as an administrator would do it: `cluster init` on the first, `join` elsewhere.

Everything can be repeated: what is done is left alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stackling.deploy.cluster import description
from stackling.deploy.cluster.description import Cluster, External, Fencing
from stackling.deploy.cluster.description import Machine as Described
from stackling.deploy.cluster.paths import Paths
from stackling.lab import storage
from stackling.lab.lab import Lab
from stackling.lab.machine import Machine
from stackling.lab.problem import LabError
from stackling.lab.topology import Network

AGENT = "fence_lab"
READY_WITHIN = 300.0        # seconds; on two cores everything starts at once
TRIES, BETWEEN = 8, 10.0    # looks at a new description, and seconds between two
_HERE = Paths()
_DESCRIPTION = "/run/lab/cluster.toml"
_BUNDLE = "/run/lab/bundle"
Progress = Callable[[str], None]


def describe(lab: Lab) -> Cluster:
    """The cluster of all machines of *lab*. Raises ``ClusterError``."""
    places = lab.topology
    machines = tuple(
        Described(name=one.name, address=one.address(Network.MGMT), storage=one.address(Network.STORAGE),
                  tenant=one.address(Network.TENANT), control=one.member.control, fence={"port": one.name})
        for one in lab.machines)
    external = External(range=str(places.range(Network.EXTERNAL)), gateway=places.gateway, pool=places.pool,
                        device=Network.EXTERNAL.device)
    return description.check(Cluster(name=lab.name, virtual_ip=places.virtual_ip, machines=machines, external=external,
                                     fencing=Fencing(agent=AGENT)))


def bootstrap(lab: Lab, *, ceph: bool = False, progress: Progress = lambda _: None) -> None:
    """Make the running machines of *lab* one cloud that answers at its virtual IP. Raises ``LabError``."""
    first, *others = lab.machines
    progress(f"{first.name} makes the cluster")
    if not first.path(str(_HERE.cluster)).exists():
        first.path(_DESCRIPTION).write_text(description.write(describe(lab)))
        first.run(["stackling", "cluster", "init", "--from", _DESCRIPTION, "--machine", first.name],
                  timeout=READY_WITHIN)
    progress(f"{', '.join(one.name for one in others) or 'nobody'} joins")
    with ThreadPoolExecutor(max(1, len(others))) as pool:
        list(pool.map(lambda machine: _join(first, machine), others))
    progress("the cluster's members meet")
    _wait_members(first)
    first.run(["stackling", "ha", "apply"], timeout=120)
    progress("the APIs start")
    _wait_api(lab)
    if ceph:
        progress("storage")
        storage.start(lab)
        _add_ceph(lab, first)
        with ThreadPoolExecutor(len(lab.machines)) as pool:
            list(pool.map(_follow, lab.machines))
        _wait_api(lab)


def _join(first: Machine, machine: Machine) -> None:
    if machine.path(str(_HERE.cluster)).exists():
        return
    bundle = first.path(str(_HERE.state / "bundles" / f"{machine.name}.bundle"))
    if not bundle.exists():
        raise LabError(f"{first.name} has no bundle for {machine.name}, which was not in the lab when the cluster was "
                       "made; `stackling lab down`, then `up` with all machines")
    target = machine.path(_BUNDLE)
    target.touch(0o600)
    target.write_bytes(bundle.read_bytes())
    machine.run(["stackling", "cluster", "join", _BUNDLE], timeout=READY_WITHIN)
    target.unlink()
    bundle.unlink()


def _wait_members(first: Machine) -> None:
    """Until Pacemaker has elected somebody: before that it takes no configuration."""
    if first.run(["systemctl", "is-enabled", "pacemaker"], check=False).stdout.strip() != "enabled":
        raise LabError(f"Pacemaker isn't set up on {first.name}; `stackling lab ssh {first.name} stackling install`")
    _until(lambda: "with_quorum=\"true\"" in first.run(["crm_mon", "-1", "--output-as=xml"], check=False).stdout,
           f"Pacemaker on {first.name} has no quorum; see `stackling lab ssh {first.name} crm_mon -1`")


def _wait_api(lab: Lab) -> None:
    url = describe(lab).public_url + "/healthz"
    _until(lambda: answers(lab, url), f"{url} doesn't answer; see `stackling lab status`")


def answers(lab: Lab, url: str) -> bool:
    """Whether the lab's client gets a good answer there, by the cluster's certificate."""
    authority = next((path for one in lab.machines if one.life()
                      and (path := one.path(str(_HERE.pki / "ca.crt"))).exists()), None)
    script = ("import ssl, sys, urllib.request as r; "
              "r.urlopen(sys.argv[1], timeout=3, context=ssl.create_default_context(cadata=sys.stdin.read()))")
    return authority is not None and lab.client.run(
        [sys.executable, "-I", "-c", script, url], check=False, input=authority.read_text()).returncode == 0


def _add_ceph(lab: Lab, first: Machine) -> None:
    """Hand the lab's Ceph over to the cloud."""
    found = storage.ceph(lab)
    for path, name in ((found.conf, "ceph.conf"), (found.admin_keyring, "admin.keyring")):
        target = first.path(f"/run/lab/{name}")
        target.touch(0o600)
        target.write_bytes(path.read_bytes())
    first.run(["stackling", "storage", "add", "ceph", "--conf", "/run/lab/ceph.conf", "--keyring",
               "/run/lab/admin.keyring", "--no-wait"], timeout=READY_WITHIN)


def _follow(machine: Machine) -> None:
    """Take the cluster's new description now, which it would by itself within a minute; a look at a control node that
    is being restarted with it fails, and is repeated as the machine's own timer would."""
    for left in reversed(range(TRIES)):
        try:
            machine.run(["systemctl", "start", "stackling-sync.service"], timeout=READY_WITHIN)
            return
        except LabError:
            if not left:
                raise
            time.sleep(BETWEEN)


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not done():
        if time.monotonic() > deadline:
            raise LabError(f"after {READY_WITHIN:g} s {what}")
        time.sleep(0.5)
