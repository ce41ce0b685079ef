"""The cloud on this machine, as commands meet it: failures become problems with a next step."""

from __future__ import annotations

import fcntl
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackling.cli.problem import NOT_UP, Problem
from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded.configuration import Configuration, ConfigurationError
from stackling.deploy.embedded.directory import SYSTEM_DIRECTORY, StateDirectory, default_directory


def configuration(directory: StateDirectory) -> Configuration:
    """The cloud's configuration; a problem when there is no cloud."""
    try:
        return configurations.read(directory.configuration)
    except FileNotFoundError:
        refuse_cluster(directory)
        raise Problem(f"there is no cloud in {directory.root}; `stackling up` makes one", NOT_UP) from None
    except PermissionError:
        raise Problem(f"{directory.root} can't be read; are you who started the cloud?", NOT_UP) from None
    except ConfigurationError as error:
        raise Problem(str(error)) from None


def invocation(directory: StateDirectory, *words: str) -> str:
    """How to call ``stackling`` again for the same cloud."""
    program = Path(sys.argv[0])
    named = () if directory.root == default_directory() else ("--state-dir", str(directory.root))
    called = str(program) if program.name == "stackling" else "stackling"
    return shlex.join([called, words[0], *named, *words[1:]])


@contextmanager
def one_at_a_time(directory: StateDirectory) -> Iterator[None]:
    """What a cloud begins with is made once, though several commands find it missing."""
    with (directory.root / ".beginning.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def refuse_cluster(directory: StateDirectory) -> None:
    """A machine of a cluster has no cloud of its own in the system's directory."""
    if directory.root == SYSTEM_DIRECTORY and Path("/etc/stackling/cluster.toml").exists():
        raise Problem("this machine is one of a cluster; see `stackling cluster status`", NOT_UP)


def check_policies(directory: Path) -> None:
    """Refuse access rules that no process could start with, before one tries."""
    if not any(directory.glob("*.yaml")):
        return
    from stackling.api import policies
    from stackling.api.policy_file import PolicyFileError

    try:
        for _ in policies.effective(directory):
            pass
    except PolicyFileError as error:
        raise Problem(str(error)) from None


@contextmanager
def explained() -> Iterator[None]:
    """Show failures of the local set-up as one line."""
    from stackling.deploy.embedded.cloud import CloudError

    try:
        yield
    except (CloudError, ConfigurationError) as error:
        raise Problem(str(error)) from None
    except OSError as error:
        raise Problem(f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")) from None
