"""The secrets of one cloud, made at random at the first ``up`` and kept in files that only the owner reads."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from stackling.deploy.embedded.configuration import Configuration, replace_file
from stackling.deploy.embedded.directory import StateDirectory

CLOUD = "stackling"
_CLOUDS = """\
# Written by Stackling. Use it as `openstack --os-cloud stackling …` in this directory, with OS_CLIENT_CONFIG_FILE set
# to this file, or copied to ~/.config/openstack/clouds.yaml.
clouds:
  {cloud}:
    auth:
      auth_url: {auth_url}
      username: admin
      password: "{password}"
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: {region}
    interface: public
    identity_api_version: 3
"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """``cluster_key`` seals secrets in the database; ``machine`` is the agent's."""

    cluster_key: str
    machine: str
    admin_password: str

    def __repr__(self) -> str:
        return "Credentials(…)"


def ensure(directory: StateDirectory, configuration: Configuration) -> Credentials:
    """The credentials, made where they are missing; ``clouds.yaml`` is rewritten when the address has changed."""
    for path in (directory.cluster_key, directory.machine_credential):
        if not path.exists():
            replace_file(path, secrets.token_hex(32) + "\n", 0o600)
    auth_url = f"{configuration.public_url}/identity/v3"
    if admin_password(directory) is None:
        replace_file(directory.clouds_yaml, _CLOUDS.format(
            cloud=CLOUD, auth_url=auth_url, password=secrets.token_urlsafe(18), region=configuration.region), 0o600)
    else:
        _point(directory, auth_url)
    return read(directory)


def _point(directory: StateDirectory, auth_url: str) -> None:
    """Keep what people have added to ``clouds.yaml``, and change only the address when it is no longer true."""
    old = directory.clouds_yaml.read_text()
    new = re.sub(r"^(\s*auth_url:).*$", rf"\1 {auth_url}", old, count=1, flags=re.MULTILINE)
    if new != old:
        replace_file(directory.clouds_yaml, new, 0o600)


def read(directory: StateDirectory) -> Credentials:
    """The credentials; raises ``FileNotFoundError`` before the first ``up``."""
    return Credentials(
        directory.cluster_key.read_text().strip(), directory.machine_credential.read_text().strip(),
        admin_password(directory) or "")


def admin_password(directory: StateDirectory) -> str | None:
    """The password in ``clouds.yaml``. (Read without a YAML parser: the file is ours, and this is on every start.)"""
    try:
        text = directory.clouds_yaml.read_text()
    except FileNotFoundError:
        return None
    found = re.search(r'^\s*password: "([^"]*)"$', text, re.MULTILINE)
    return found.group(1) if found else None
