"""The routes of every API that clients use, as a control process composes them."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from stackling.api.route import Service
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.credentials import Credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.identity.facade import Identity
from stackling.main import embedded, services
from stackling.main.wiring import Plant


@cache
def public_services() -> tuple[Service, ...]:
    """What ``main.services`` puts on the public port, without a database or anything else that runs."""
    directory = StateDirectory.at(Path(tempfile.gettempdir()) / "nowhere")
    configuration = Configuration(instance="nowhere", run_directory=str(directory.run), web_download=True)
    plant = Plant.__new__(Plant)
    plant.deployment = embedded.deployment(directory, configuration, Credentials("00" * 32, "machine", "password"))
    plant.identity = Identity(os.urandom(32), plant.deployment.identity)
    return tuple(services.public(plant))
