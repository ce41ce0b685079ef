"""A simulated cloud as a user meets it: no root, real processes, the unmodified client, and what kills they survive."""

from __future__ import annotations

import contextlib
import filecmp
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackling.deploy.embedded import credentials
from tests.e2e.clouds import TestCloud, cloud

pytestmark = pytest.mark.e2e
PROCESSES = ("agent", "control-api", "control-engine", "supervisor")


@pytest.fixture(scope="module")
def simulated() -> Iterator[TestCloud]:
    with cloud("--simulated", "--hosts", "2") as made:
        image = made.directory.root / "image.raw"
        image.write_bytes(bytes(1 << 20))
        made.openstack("image", "create", "--file", str(image), "--disk-format", "raw", "--public", "small")
        made.openstack("network", "create", "net")
        made.openstack("subnet", "create", "--network", "net", "--subnet-range", "10.7.0.0/24", "sub")
        yield made


def build(cloud: TestCloud, name: str) -> None:
    cloud.openstack("server", "create", "--image", "small", "--flavor", "m1.tiny", "--network", "net", name)


def active(cloud: TestCloud, name: str) -> dict[str, object]:
    return cloud.eventually(lambda: cloud.openstack("server", "show", name), lambda found: found["status"] == "ACTIVE")


def test_the_client_gets_a_token_and_a_server(simulated: TestCloud) -> None:
    assert simulated.openstack("token", "issue")["id"]
    build(simulated, "one")
    server = active(simulated, "one")
    assert server["addresses"]["net"][0].startswith("10.7.0.")
    assert server["OS-EXT-STS:power_state"] == 1


def peaks(cloud: TestCloud) -> dict[str, int]:
    """The most memory that each process has ever had, in KiB."""
    texts = {name: Path(f"/proc/{cloud.pid(name)}/status").read_text() for name in PROCESSES}
    return {name: int(text.split("VmHWM:")[1].split()[0]) for name, text in texts.items()}


def test_an_image_is_never_whole_in_memory(simulated: TestCloud, tmp_path: Path) -> None:
    sent, got, size = tmp_path / "large.raw", tmp_path / "got.raw", 256 << 20
    with sent.open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(size)
    before = peaks(simulated)
    run = simulated.openstack
    made = run("image", "create", "--file", str(sent), "--disk-format", "raw", "large")
    assert (made["status"], made["size"]) == ("active", size)
    run("image", "save", "--file", str(got), "large")
    assert filecmp.cmp(sent, got, shallow=False)
    grown = {name: now - before[name] for name, now in peaks(simulated).items()}
    assert max(grown.values()) < size // 8 // 1024, grown
    run("image", "delete", "large")


def test_every_host_gets_the_keys_of_its_servers_volumes(simulated: TestCloud) -> None:
    run = simulated.openstack
    run("volume", "type", "create", "--encryption-provider", "luks", "--encryption-control-location", "front-end",
        "secret")
    for host in ("host-1", "host-2"):
        run("volume", "create", "--type", "secret", "--size", "1", f"on-{host}")
        run("server", "create", "--image", "small", "--flavor", "m1.tiny", "--network", "net", "--availability-zone",
            f"nova:{host}", host)
    for host in ("host-1", "host-2"):
        active(simulated, host)
        simulated.eventually(lambda host=host: run("volume", "show", f"on-{host}")["status"],
                             lambda status: status == "available")
        run("server", "add", "volume", host, f"on-{host}")
        simulated.eventually(lambda host=host: run("volume", "show", f"on-{host}")["status"],
                             lambda status: status == "in-use")
        run("server", "delete", "--wait", host)


def test_the_state_directory_is_complete_and_secret(simulated: TestCloud) -> None:
    root = simulated.directory.root
    for name in ("clouds.yaml", "cluster.key", "machine.credential", "stackling.db"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600, name
    for name in PROCESSES:
        pid = simulated.pid(name)
        assert os.getsid(pid) == pid
    password = credentials.read(simulated.directory).admin_password
    for path in (root / "logs").iterdir():
        assert password not in path.read_text()
    for pid, _ in simulated.processes():
        assert password not in Path(f"/proc/{pid}/cmdline").read_text()


def test_up_twice_changes_nothing(simulated: TestCloud) -> None:
    before = simulated.processes()
    clouds = simulated.directory.clouds_yaml.read_text()
    simulated.run("up")
    assert simulated.processes() == before
    assert simulated.directory.clouds_yaml.read_text() == clouds


def test_up_with_other_options_while_it_is_up_is_refused(simulated: TestCloud) -> None:
    done = simulated.run("up", "--hosts", "3", check=False)
    assert done.returncode == 1
    assert "stackling down" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("role", ["control-api", "control-engine", "agent"])
def test_a_killed_role_comes_back_and_a_server_that_was_being_built_is_finished(
        simulated: TestCloud, role: str) -> None:
    before = simulated.pid(role)
    build(simulated, f"killed-{role}")
    os.kill(before, signal.SIGKILL)
    active(simulated, f"killed-{role}")
    simulated.eventually(lambda: simulated.pid(role), lambda pid: pid != before)
    build(simulated, f"after-{role}")
    active(simulated, f"after-{role}")


def test_without_its_supervisor_the_cloud_goes_on_and_up_starts_another(simulated: TestCloud) -> None:
    others = {name: simulated.pid(name) for name in PROCESSES if name != "supervisor"}
    os.kill(simulated.pid("supervisor"), signal.SIGKILL)
    assert simulated.openstack("token", "issue")["id"]
    assert simulated.run("status", check=False).returncode == 4
    simulated.run("up")
    assert {name: simulated.pid(name) for name in others} == others
    assert simulated.stackling("status")["up"]


def test_after_everything_was_killed_up_brings_it_back(simulated: TestCloud) -> None:
    build(simulated, "survivor")
    active(simulated, "survivor")
    os.kill(simulated.pid("supervisor"), signal.SIGKILL)
    for pid, _ in simulated.processes():
        with contextlib.suppress(ProcessLookupError):       # some end with those that they belong to
            os.kill(pid, signal.SIGKILL)
    simulated.eventually(simulated.processes, lambda left: not left)
    simulated.run("up")
    active(simulated, "survivor")


def test_down_leaves_no_process_and_keeps_the_data(simulated: TestCloud) -> None:
    build(simulated, "kept")
    active(simulated, "kept")
    simulated.run("down")
    assert simulated.processes() == []
    assert not list(simulated.directory.root.glob("*.pid"))
    done = simulated.run("status", check=False)
    assert done.returncode == 4
    simulated.run("down")
    simulated.run("up")
    active(simulated, "kept")


def test_two_clouds_live_side_by_side(simulated: TestCloud) -> None:
    with cloud("--simulated") as other:
        assert other.stackling("status")["api"] != simulated.stackling("status")["api"]
        assert other.openstack("server", "list", "--all-projects") == []
    assert simulated.openstack("token", "issue")["id"]


def test_launch_makes_what_it_needs_and_is_idempotent(simulated: TestCloud) -> None:
    first = simulated.stackling("launch", "web", "--image", "small", "--network", "net", "--no-ip")
    assert first["status"] == "ACTIVE"
    assert simulated.stackling("launch", "web", "--image", "small", "--network", "net", "--no-ip") == first
    told = simulated.stackling("explain", "web")
    assert told[0]["kind"] == "server"
    assert any(event["event"] == "create" for event in told[0]["events"])
    done = simulated.run("ssh", "web", check=False)
    assert done.returncode == 1
    assert "floating IP" in done.stderr
    assert simulated.run("ssh", "nobody", check=False).returncode == 3


def test_launch_says_what_to_do_where_the_image_does_not_fit(simulated: TestCloud) -> None:
    simulated.openstack("image", "set", "--min-disk", "1000", "small")
    try:
        for options in ((), ("--flavor", "m1.tiny")):
            done = simulated.run("launch", "huge", "--image", "small", *options, check=False)
            assert done.returncode == 1
            assert "image small needs 1000 GiB of disk" in done.stderr.splitlines()[-1]
            assert "openstack flavor create --disk 1000" in done.stderr.splitlines()[-1]
    finally:
        simulated.openstack("image", "set", "--min-disk", "0", "small")
    assert simulated.run("explain", "huge", check=False).returncode == 3
