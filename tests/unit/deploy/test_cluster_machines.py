"""What ``cluster init``, ``cluster join`` and ``install`` put on machines, under roots of their own."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from stackling.cli.main import run
from stackling.deploy.cluster import bundle, description, member, unit
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.main import agent_settings
from stackling.main import cluster as clusters

pytestmark = pytest.mark.root      # files belong to the accounts of services

DESCRIPTION = """\
name = "c1"
virtual_ip = "10.9.0.100/24"

[[machines]]
name = "m1"
address = "10.9.0.1"

[[machines]]
name = "m2"
address = "10.9.0.2"
compute = false

[[machines]]
name = "c3"
address = "10.9.0.3"
control = false
"""


@pytest.fixture
def roots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Paths]:
    """Three machines of a cluster, made by the commands."""
    (tmp_path / "cluster.toml").write_text(DESCRIPTION)
    roots = {name: Paths(tmp_path / name) for name in ("m1", "m2", "c3")}
    assert run(["cluster", "init", "--from", str(tmp_path / "cluster.toml"), "--machine", "m1", "--root",
                str(roots["m1"].root)]) == 0
    for name in ("m2", "c3"):
        ticket = member.bundles(roots["m1"]) / f"{name}.bundle"
        assert stat.S_IMODE(ticket.stat().st_mode) == 0o600
        assert run(["cluster", "join", str(ticket), "--root", str(roots[name].root)]) == 0
    capsys.readouterr()
    return roots


def units(paths: Paths) -> set[str]:
    return {path.name for path in unit.directory(paths).iterdir()}


def test_each_machine_gets_what_its_role_needs(roots: dict[str, Paths]) -> None:
    control = {"stackling-api.service", "stackling-engine.service", "stackling-database.service"}
    assert units(roots["m1"]) >= {*control, "stackling-agent.service"}
    assert units(roots["m2"]) >= control
    assert "stackling-agent.service" not in units(roots["m2"])
    assert "stackling-agent.service" in units(roots["c3"])
    assert not units(roots["c3"]) & control
    assert {name: paths.name for name, paths in roots.items()} == {"m1": "m1", "m2": "m2", "c3": "c3"}
    assert {paths.cluster.read_text() for paths in roots.values()} == {roots["m1"].cluster.read_text()}


def test_a_machine_without_control_holds_no_secret_of_control(roots: dict[str, Paths]) -> None:
    hidden = [path.read_bytes().strip() for path in roots["m1"].secrets.iterdir()
              if path.name not in ("pacemaker_key", "credentials")]
    everything = b"\n".join(path.read_bytes() for path in roots["c3"].root.rglob("*") if path.is_file())
    assert not [secret for secret in hidden if secret in everything]
    assert not (roots["c3"].pki / "ca.key").exists()


def test_no_file_with_a_secret_can_be_read_by_others(roots: dict[str, Paths]) -> None:
    for paths in roots.values():
        secrets = [path.read_bytes().strip() for path in paths.secrets.iterdir()]
        for path in paths.root.rglob("*"):
            open_to = 0o007 if path.is_file() and path.group() == "haclient" else 0o077     # Pacemaker's own account
            if path.is_file() and stat.S_IMODE(path.stat().st_mode) & open_to:
                content = path.read_bytes()
                assert not [one for one in secrets if one in content], path
                assert b"PRIVATE KEY" not in content, path


def test_the_processes_can_use_what_is_written(roots: dict[str, Paths]) -> None:
    for name in ("m1", "m2"):
        made = clusters.deployment(roots[name])
        assert made.node == name
        assert made.public_url == "https://10.9.0.100:8700"
        assert [(machine.name, machine.host) for machine in made.machines] == [("m1", "m1"), ("m2", None), ("c3", "c3")]
        assert made.internal.mutual
        assert made.public.tls is not None
        assert "unix_socket=" in made.database_url
    with pytest.raises(ClusterError, match="no control machine"):
        clusters.deployment(roots["c3"])
    for name, first in (("m1", "https://10.9.0.1:8701"), ("c3", "https://10.9.0.1:8701")):
        settings = agent_settings.read(roots[name].etc / "agent.toml")
        assert settings.own is not None
        assert settings.control[0] == first
        assert set(settings.control) == {"https://10.9.0.1:8701", "https://10.9.0.2:8701"}
        assert settings.callers == ("m1", "m2")
    cloud = yaml.safe_load(roots["m1"].clouds_yaml.read_text())["clouds"]["stackling"]
    assert cloud["auth"]["auth_url"] == "https://10.9.0.100:8700/identity/v3"
    assert Path(cloud["cacert"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_systemd_finds_nothing_wrong(roots: dict[str, Paths]) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    for name in ("m1", "c3"):
        files = [str(path) for path in unit.directory(roots[name]).glob("*.service")]
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True,
                              timeout=60, check=False)
        problems = [line for line in done.stderr.splitlines() if "stackling-" in line]
        assert (done.returncode, problems) == (0, [])


def test_control_and_agent_tell_systemd_that_they_live(roots: dict[str, Paths]) -> None:
    for name in ("stackling-api", "stackling-engine", "stackling-agent"):
        lines = (unit.directory(roots["m1"]) / f"{name}.service").read_text().splitlines()
        assert {"Type=notify", "Restart=always", "NoNewPrivileges=yes"} <= set(lines)
        assert any(line.startswith("WatchdogSec=") for line in lines)
    for name in ("stackling-api", "stackling-engine"):
        lines = (unit.directory(roots["m1"]) / f"{name}.service").read_text().splitlines()
        assert {"ProtectSystem=strict", "PrivateTmp=yes", "PrivateDevices=yes"} <= set(lines)


def test_install_is_repeatable(roots: dict[str, Paths], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["install", "--root", str(roots["m1"].root)]) == 0
    assert capsys.readouterr().out == "everything is in place\n"
    (roots["m1"].etc / "agent.toml").write_text("")
    assert run(["install", "--root", str(roots["m1"].root)]) == 0
    assert str(roots["m1"].etc / "agent.toml") in capsys.readouterr().out


def test_a_machine_belongs_to_one_cluster(roots: dict[str, Paths], tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    before = roots["m1"].cluster.read_text()
    assert run(["cluster", "init", "--from", str(tmp_path / "cluster.toml"), "--machine", "m1", "--root",
                str(roots["m1"].root)]) == 1
    assert "one of cluster c1 already" in capsys.readouterr().err
    other = member.bundles(roots["m1"]) / "c3.bundle"
    assert run(["cluster", "join", str(other), "--root", str(roots["m2"].root)]) == 1
    assert "this is machine m2" in capsys.readouterr().err
    assert roots["m1"].cluster.read_text() == before
    assert roots["m2"].name == "m2"


def test_joining_twice_changes_nothing(roots: dict[str, Paths]) -> None:
    files = {path: path.stat().st_mtime_ns for path in roots["m2"].etc.rglob("*") if path.is_file()}
    assert run(["cluster", "join", str(member.bundles(roots["m1"]) / "m2.bundle"), "--root",
                str(roots["m2"].root)]) == 0
    assert {path: path.stat().st_mtime_ns for path in roots["m2"].etc.rglob("*") if path.is_file()} == files


def test_an_interrupted_init_is_done_again(tmp_path: Path) -> None:
    cluster = Cluster(name="c1", virtual_ip="10.9.0.100/24", machines=(
        Machine(name="m1", address="10.9.0.1"), Machine(name="m2", address="10.9.0.2")))
    paths = Paths(tmp_path)
    member.init(cluster, "m1", paths)
    paths.cluster.unlink()                  # it is written last
    others = member.init(cluster, "m1", paths)
    made = bundle.read(others["m2"])
    assert made.ca == (paths.pki / "ca.crt").read_text()
    assert made.secrets.cluster_key == (paths.secrets / "cluster_key").read_text().strip()


@pytest.mark.parametrize(("text", "says"), [
    ("{}", "no bundle"), ("\x00", "no bundle"), ('{"machine": 1}', "no bundle")])
def test_what_is_no_bundle_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(ClusterError, match=says):
        bundle.read(tmp_path / "x")


def test_the_first_machine_must_be_for_control(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text(DESCRIPTION)
    with pytest.raises(ClusterError, match="control machine"):
        member.init(description.read(tmp_path / "cluster.toml"), "c3", Paths(tmp_path / "c3"))
