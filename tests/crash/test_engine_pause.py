"""The engine process of a simulated cloud sleeps past its lease, which is set to 8 s (``engine_lease``) here.

``test_real_cloud`` has the same with OVN and the lease of 60 s that clouds have.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stackling.deploy.embedded import configuration
from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.ports.fabric import FabricKind, FabricNetwork
from tests.crash.engine_pause import sleep_past_the_lease
from tests.e2e.clouds import TestCloud, cloud

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.slow]
LEASE = 8


@pytest.fixture
def simulated() -> Iterator[TestCloud]:
    with cloud("--simulated") as made:
        yield made


def fabric(cloud: TestCloud) -> dict[str, str]:
    """Names of the networks in the simulated fabric, by id; read as another process reads it."""
    held = SimulatedFabric(cloud.directory.root / "fabric")
    try:
        found: dict[str, str] = {}
        for id in held.inventory(FabricKind.NETWORK):
            network = held.holds(FabricKind.NETWORK, id)
            assert isinstance(network, FabricNetwork)
            found[id] = network.name
        return found
    finally:
        held.close()


def test_its_work_is_taken_over_and_it_changes_nothing(simulated: TestCloud) -> None:
    simulated.run("down")
    file = simulated.directory.configuration
    configuration.write(file, configuration.read(file).changed(engine_lease=LEASE))
    simulated.run("up")
    sleep_past_the_lease(simulated, LEASE, lambda: fabric(simulated))
