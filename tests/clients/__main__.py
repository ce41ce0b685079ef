"""``python -m tests.clients``: start a simulated cloud, and let each client walk through it; ends with the counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.tempest.cloud import prepare, running

HERE = Path(__file__).parent
BIN = HERE.parent.parent / ".clients/bin"
SECONDS = 600
"""The most that one command of a client may take."""
FILES = {
    "data.bin": bytes(100_000), "data.txt": b"hello\n", "filters.json": b'{"interface": "public"}',
    "rules.json": b'[{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}]',
    "key.pub": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF2ZYxC/Uj9taWEid86hutClLmIwAQUs7HhCYqQNOgX9 somebody\n"}
"""What the commands read."""


class Walker:
    """Runs programs of the clients' environment as the administrator of the cloud in *state*."""

    def __init__(self, state: Path) -> None:
        cloud = yaml.safe_load((state / "clouds.yaml").read_text())["clouds"]["stackling"]
        base = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(state), "LANG": "C.UTF-8"}
        self.by_variables = {**base, "OS_REGION_NAME": cloud["region_name"], "OS_IDENTITY_API_VERSION": "3",
                             **{f"OS_{key.upper()}": value for key, value in cloud["auth"].items()}}
        self.by_file = {**base, "OS_CLIENT_CONFIG_FILE": str(state / "clouds.yaml"), "OS_CLOUD": "stackling"}

    def run(self, program: str, *arguments: str, seconds: float = SECONDS, **variables: str) -> str:
        """What it prints; raises ``RuntimeError`` with all of it where it fails."""
        done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, timeout=seconds, check=False,
                              env={**self.by_variables, **variables}, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def openstack(self, *arguments: str) -> Any:
        """What ``openstack … -f json`` says."""
        return json.loads(self.run("openstack", *arguments, "-f", "json") or "null")

    def playbook(self, *arguments: str) -> str:
        """The recap of Ansible's run of the stack."""
        done = subprocess.run([BIN / "ansible-playbook", "-i", "localhost,", HERE / "stack.yaml", *arguments],
                              capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
                              env={**self.by_file, "PYTHONPATH": str(HERE / "site")})
        recap = done.stdout.rpartition("PLAY RECAP")[2]
        if done.returncode or "failed=0" not in recap:
            raise RuntimeError(done.stdout[-4000:] + done.stderr[-2000:])
        return recap


def until(look: Callable[[], Any], wanted: Any) -> None:
    """Wait for *look* to give *wanted*."""
    ends = time.monotonic() + 180
    while (found := look()) != wanted:
        if time.monotonic() > ends:
            raise RuntimeError(f"still {found!r}, not {wanted!r}")
        time.sleep(0.5)


def shells(walker: Walker) -> None:
    """The commands nova, glance and cinder."""
    name = f"shells-{uuid.uuid4().hex[:6]}"
    with tempfile.NamedTemporaryFile() as image:
        image.write(bytes(1 << 20))
        image.flush()
        walker.run("glance", "image-create", "--name", name, "--disk-format", "raw", "--container-format", "bare",
                   "--file", image.name)
    assert name in walker.run("glance", "image-list")
    network = walker.openstack("network", "create", name)["id"]
    walker.openstack("subnet", "create", "--network", name, "--subnet-range", "192.168.74.0/24", name)
    walker.run("nova", "boot", "--poll", "--image", name, "--flavor", "tempest-1", "--nic", f"net-id={network}", name)
    server = walker.openstack("server", "show", name)
    assert server["status"] == "ACTIVE"
    walker.run("cinder", "create", "--name", name, "--poll", "1")
    volume = walker.openstack("volume", "show", name)["id"]
    walker.run("nova", "volume-attach", server["id"], volume)
    until(lambda: walker.openstack("volume", "show", name)["status"], "in-use")
    assert volume in walker.run("nova", "volume-attachments", server["id"])
    for action in ("stop", "start", "lock", "unlock", "pause", "unpause"):
        walker.run("nova", action, server["id"])
        wanted = {"stop": "SHUTOFF", "pause": "PAUSED"}.get(action, "ACTIVE")
        until(lambda: walker.openstack("server", "show", name)["status"], wanted)
    walker.run("nova", "volume-detach", server["id"], volume)
    until(lambda: walker.openstack("volume", "show", name)["status"], "available")
    walker.run("nova", "delete", server["id"])
    until(lambda: [one["Name"] for one in walker.openstack("server", "list") if one["Name"] == name], [])
    walker.run("cinder", "delete", volume)
    walker.run("openstack", "network", "delete", name)
    walker.run("glance", "image-delete", next(
        one["ID"] for one in walker.openstack("image", "list") if one["Name"] == name))


def placement(walker: Walker) -> None:
    """osc-placement."""
    hosts = walker.openstack("resource", "provider", "list")
    assert hosts
    inventory = walker.openstack("resource", "provider", "inventory", "list", hosts[0]["uuid"])
    assert {"VCPU", "MEMORY_MB"} <= {one["resource_class"] for one in inventory}
    newest = ("--os-placement-api-version", "1.39")
    assert walker.openstack("trait", "list", *newest)
    assert walker.openstack("allocation", "candidate", "list", "--resource", "VCPU=1", *newest)


def balancers(walker: Walker) -> None:
    """python-octaviaclient's commands."""
    name = f"balanced-{uuid.uuid4().hex[:6]}"
    walker.openstack("network", "create", name)
    walker.openstack("subnet", "create", "--network", name, "--subnet-range", "192.168.75.0/24", name)
    walker.openstack("loadbalancer", "create", "--name", name, "--vip-subnet-id", name, "--provider", "ovn", "--wait")
    walker.openstack("loadbalancer", "listener", "create", "--name", name, "--protocol", "TCP", "--protocol-port", "80",
                     "--wait", name)
    walker.openstack("loadbalancer", "pool", "create", "--name", name, "--protocol", "TCP", "--lb-algorithm",
                     "SOURCE_IP_PORT", "--listener", name, "--wait")
    walker.openstack("loadbalancer", "member", "create", "--address", "192.168.75.9", "--protocol-port", "80", "--wait",
                     name)
    assert [one["address"] for one in walker.openstack("loadbalancer", "member", "list", name)] == ["192.168.75.9"]
    walker.run("openstack", "loadbalancer", "delete", "--cascade", "--wait", name)
    walker.run("openstack", "network", "delete", name)


def bindings(walker: Walker) -> None:
    """The Python bindings of nova, neutron, glance and cinder."""
    walker.run("python", str(HERE / "bindings.py"))


def commands(walker: Walker) -> None:
    """Every group of commands of ``openstack``: the lines of ``commands/*.txt``, what works and what is refused."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in FILES.items():
            (Path(directory) / name).write_bytes(text)
        files = sorted((HERE / "commands").glob("*.txt"))
        walker.run("python", str(HERE / "commands.py"), directory, *map(str, files), seconds=6 * SECONDS)


def libcloud(walker: Walker) -> None:
    """Apache libcloud."""
    walker.run("python", str(HERE / "libcloud_walk.py"))


def ansible(walker: Walker) -> None:
    """Ansible's openstack.cloud: a stack made twice, of which the second time changes nothing, and taken away."""
    walker.playbook()
    again = walker.playbook()
    assert "changed=0" in again, again
    walker.playbook("-e", "state=absent")


WALKS = (shells, bindings, placement, balancers, libcloud, ansible, commands)


def main() -> int:
    wanted = set(sys.argv[1:]) or {walk.__name__ for walk in WALKS}
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="stackling-clients-") as state, running(Path(state), 3) as client:
        prepare(client)
        walker = Walker(Path(state))
        for walk in WALKS:
            if walk.__name__ not in wanted:
                continue
            begun = time.monotonic()
            try:
                walk(walker)
            except (RuntimeError, AssertionError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"FAILED {walk.__name__}: {error}", flush=True)
            else:
                passed += 1
                print(f"passed {walk.__name__}, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
