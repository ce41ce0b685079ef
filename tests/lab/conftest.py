"""A lab of two machines for all tests of a file, each of which finds both on, healed and running; and a whole cluster
for all scenarios."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackling.lab import Lab, Machine
from stackling.lab import lab as labs
from stackling.lab.power import Mode, set_mode
from tests.lab.cloud import Cloud
from tests.lab.stage import KEEP, Stage
from tests.lab.story import Story, told

_numbers = itertools.count()


def new_name() -> str:
    """A name that no other lab has."""
    return f"t{os.getpid() % 100_000}{chr(ord('a') + next(_numbers) % 26)}"


@pytest.fixture(scope="module")
def made() -> Iterator[Lab]:
    """The lab."""
    name = new_name()
    try:
        yield labs.up(name, machines=2)
    finally:
        labs.down(name)


@pytest.fixture
def lab(made: Lab) -> Lab:
    """The lab, in order."""
    set_mode(made.directory, Mode.OK)
    for machine in made.machines:
        machine.heal()
        if machine.life():
            machine.resume()
        machine.on()
        machine.wait_running()
    return made


@pytest.fixture
def m1(lab: Lab) -> Machine:
    return lab.machine("m1")


@pytest.fixture
def m2(lab: Lab) -> Machine:
    return lab.machine("m2")


# -- scenarios

@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(Path("/var/tmp/stackling-lab-keys") if KEEP else tmp_path_factory.mktemp("keys"), keep=KEEP)
    yield made
    made.clear()


@pytest.fixture
def cloud(stage: Stage, request: pytest.FixtureRequest) -> Cloud:
    """The cluster of this scenario."""
    return stage.cloud(2 if request.node.get_closest_marker("remote") else 0)


@pytest.fixture
def story(cloud: Cloud) -> Iterator[Story]:
    with told(cloud) as one:
        yield one
