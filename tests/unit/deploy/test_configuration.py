"""stackling.toml, the state directory and the secrets in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from stackling.deploy.embedded import agent, configuration, credentials
from stackling.deploy.embedded.configuration import Configuration, ConfigurationError
from stackling.deploy.embedded.directory import SYSTEM_DIRECTORY, StateDirectory
from stackling.main import agent_settings


def make(tmp_path: Path, **changes: object) -> Configuration:
    return Configuration("stk-test", str(tmp_path), **changes)      # type: ignore[arg-type]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = make(tmp_path, driver="simulated", hosts=7, port=9999, public_url='http://"quoted"\\')
    configuration.write(tmp_path / "stackling.toml", written)
    assert configuration.read(tmp_path / "stackling.toml") == written


def test_every_key_is_explained() -> None:
    assert set(configuration.HELP) == set(Configuration.__dataclass_fields__)


@pytest.mark.parametrize(("line", "words"), [
    ("colour = 1", "unknown key 'colour'"),
    ("hosts = 0", "hosts must be between"),
    ('hosts = "two"', "hosts must be a int"),
    ("hosts = true", "hosts must be a int"),
    ('driver = "xen"', "driver must be one of"),
    ('access = "uplink"', "uplink names an interface"),
    ('floating_range = "10.0.0.0/30"', "at least 8 addresses"),
    ('floating_range = "banana"', "banana"),
    ("hosts = 3", "only with --simulated"),
    ("= 1", "stackling.toml"),
])
def test_a_mistake_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "stackling.toml"
    path.write_text(f'instance = "x"\nrun_directory = "/run/x"\n{line}\n')
    with pytest.raises(ConfigurationError, match=words) as caught:
        configuration.read(path)
    assert "stackling.toml" in str(caught.value)


def test_a_missing_key_without_default_is_named(tmp_path: Path) -> None:
    (tmp_path / "stackling.toml").write_text("hosts = 1\n")
    with pytest.raises(ConfigurationError, match="instance"):
        configuration.read(tmp_path / "stackling.toml")


@pytest.mark.parametrize("resume", [True, False])
def test_the_agent_is_told_whether_servers_resume(tmp_path: Path, resume: bool) -> None:
    made = make(tmp_path, driver="simulated", resume_guests_state_on_host_boot=resume)
    agent.write(StateDirectory.at(tmp_path), made)
    assert agent_settings.read(tmp_path / "agent.toml").resume_guests_state_on_host_boot is resume


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    directory = StateDirectory.at(tmp_path)
    first = credentials.ensure(directory, make(tmp_path))
    assert credentials.ensure(directory, make(tmp_path)) == first
    for path in (directory.clouds_yaml, directory.cluster_key, directory.machine_credential):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first.admin_password) >= 20
    assert first.admin_password not in repr(first)


def test_clouds_yaml_follows_the_address_and_keeps_what_people_added(tmp_path: Path) -> None:
    directory = StateDirectory.at(tmp_path)
    made = credentials.ensure(directory, make(tmp_path))
    with directory.clouds_yaml.open("a") as file:
        file.write("  mine:\n    auth: {auth_url: http://elsewhere/}\n")
    credentials.ensure(directory, make(tmp_path, public_url="http://127.0.0.1:1234"))
    clouds = yaml.safe_load(directory.clouds_yaml.read_text())["clouds"]
    assert clouds["stackling"]["auth"] == {
        "auth_url": "http://127.0.0.1:1234/identity/v3", "username": "admin", "password": made.admin_password,
        "project_name": "admin", "user_domain_name": "Default", "project_domain_name": "Default"}
    assert clouds["mine"]["auth"]["auth_url"] == "http://elsewhere/"


def test_names_fit_and_differ_by_directory(tmp_path: Path) -> None:
    one, two = StateDirectory.at(tmp_path / "one"), StateDirectory.at(tmp_path / "two")
    assert one.instance != two.instance
    assert one.run != two.run
    assert len(one.instance) <= 13
    assert StateDirectory(SYSTEM_DIRECTORY).instance == "stackling"
    deep = StateDirectory.at(tmp_path / ("x" * 200))
    assert len(os.fsencode(deep.run / "internal.sock")) < 108


def test_only_a_state_directory_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(ValueError, match="not deleted"):
        StateDirectory.at(tmp_path).remove()
    assert (tmp_path / "precious").exists()
