"""Which processes one machine's cloud has."""

from __future__ import annotations

import sys

from stackling.deploy.embedded import agent
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.process import ProcessSpec

API, ENGINE = "control-api", "control-engine"
PYTHON = (sys.executable, "-I", "-m")


def specs(directory: StateDirectory, configuration: Configuration) -> tuple[ProcessSpec, ...]:
    """Every process of the cloud. Control waits for nobody: it tries until what it needs answers."""
    control = _control(directory, configuration)
    if configuration.simulated:
        return (*control, agent.spec(directory, after=(ENGINE,)))
    from stackling.deploy.embedded import engines

    return (*engines.specs(directory), *control, agent.spec(directory, after=(ENGINE, *engines.NEEDED_BY_AGENT)))


def _control(directory: StateDirectory, configuration: Configuration) -> tuple[ProcessSpec, ...]:
    control = (*PYTHON, "stackling.main.control", "--state-dir", str(directory.root), "--role")
    ready = directory.run / "ready"
    return (
        ProcessSpec(API, (*control, "api"), ready=ready / API, listen=(configuration.listen, configuration.port),
                    stop_timeout=8.0),
        ProcessSpec(ENGINE, (*control, "engine,stream"), ready=ready / ENGINE, stop_timeout=15.0),
    )
