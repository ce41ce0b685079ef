"""An older database is put back alone; the rest of the state directory is younger than it."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.cli import client as clients
from stackling.cli.client import Client
from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.ports.fabric import FabricKind, FabricNetwork
from tests.crash.test_simulated_cloud import counted, prepare, settled
from tests.e2e.clouds import TestCloud, cloud

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def simulated() -> Iterator[TestCloud]:
    with cloud("--simulated", "--hosts", "2") as made:
        yield made


def back_up(made: TestCloud, copy: Path) -> None:
    """A consistent copy of the database, of a cloud that is up."""
    with contextlib.closing(sqlite3.connect(made.directory.database)) as database, \
            contextlib.closing(sqlite3.connect(copy)) as target:
        database.backup(target)


def put_back(made: TestCloud, copy: Path) -> None:
    """Down, the copy instead of the database, up."""
    made.run("down")
    for left in made.directory.root.glob("stackling.db-*"):
        left.unlink()
    made.directory.database.write_bytes(copy.read_bytes())
    made.run("up")


def era(made: TestCloud) -> int:
    """The database's."""
    with contextlib.closing(sqlite3.connect(made.directory.database)) as database:
        found = database.execute("SELECT value FROM settings WHERE name = 'era'").fetchone()
    return int(json.loads(found[0])) if found else 1


def waiting(made: TestCloud) -> list[tuple[str, str, str]]:
    """What the engine hasn't brought about, with the reason."""
    with contextlib.closing(sqlite3.connect(made.directory.database)) as database:
        return database.execute("SELECT kind, id, error FROM work WHERE due_at IS NOT NULL OR error IS NOT NULL"
                                ).fetchall()


def names(made: TestCloud) -> dict[str, str]:
    """Of the networks in the simulated fabric, by id."""
    held = SimulatedFabric(made.directory.root / "fabric")
    with contextlib.closing(held):
        found = {id: held.holds(FabricKind.NETWORK, id) for id in held.inventory(FabricKind.NETWORK)}
        return {id: one.name for id, one in found.items() if isinstance(one, FabricNetwork)}


def rename(client: Client, id: str, name: str) -> None:
    client.put("network", f"/networks/{id}", {"network": {"name": name}})


def act(client: Client, id: str, action: str) -> None:
    client.post("compute", f"/servers/{id}/action", {action: None})


def statuses(made: TestCloud) -> dict[str, str]:
    found = clients.connect(made.directory).get("compute", "/servers/detail")["servers"]
    return {one["name"]: one["status"] for one in found if not one["OS-EXT-STS:task_state"]}


def test_what_the_older_database_says_wins(simulated: TestCloud, tmp_path: Path) -> None:
    client, copy = clients.connect(simulated.directory), tmp_path / "copy"
    network, image, flavor = prepare(client)

    def build(name: str) -> str:
        return client.post("compute", "/servers", {"server": {
            "name": name, "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}})["server"]["id"]

    def group() -> str:
        return client.post("network", "/security-groups", {"security_group": {"name": "g"}})["security_group"]["id"]

    kept, stopped, deleted, kept_group, gone_group = build("kept"), build("stopped"), build("deleted"), group(), group()
    gone = client.post("network", "/networks", {"network": {"name": "gone"}})["network"]["id"]
    settled(simulated)
    back_up(simulated, copy)
    settings: dict[str, Any] = {"security_group": {"description": "younger"}}

    def change() -> None:
        """Raise the generations of everything, delete some, make others."""
        for number in range(5):
            rename(client, network, f"younger-{number}")
            client.put("network", f"/security-groups/{kept_group}", settings)
        act(client, stopped, "os-stop")
        client.delete("compute", f"/servers/{deleted}")
        client.delete("network", f"/networks/{gone}")
        client.delete("network", f"/security-groups/{gone_group}")
        build("younger")
        simulated.eventually(lambda: statuses(simulated), lambda found: found == {
            "kept": "ACTIVE", "stopped": "SHUTOFF", "younger": "ACTIVE"})
        simulated.eventually(lambda: names(simulated),
                             lambda found: found[network] == "younger-4" and gone not in found)

    for number in (1, 2):
        change()
        put_back(simulated, copy)
        client = clients.connect(simulated.directory)
        simulated.eventually(lambda: statuses(simulated), lambda found: found == {
            "kept": "ACTIVE", "stopped": "ACTIVE", "deleted": "ACTIVE"}, 60)
        simulated.eventually(lambda: waiting(simulated), lambda left: not left, 60)
        assert {id: names(simulated).get(id) for id in (network, gone)} == {network: "net", gone: "gone"}
        assert era(simulated) == 1 + number
        counted(simulated)
    rename(client, network, "goes on")
    act(client, kept, "os-stop")
    simulated.eventually(lambda: names(simulated)[network], lambda name: name == "goes on")
    simulated.eventually(lambda: statuses(simulated).get("kept"), lambda status: status == "SHUTOFF")


def test_an_ordinary_restart_begins_no_era(simulated: TestCloud) -> None:
    network = prepare(clients.connect(simulated.directory))[0]
    for number in range(2):
        rename(clients.connect(simulated.directory), network, f"name-{number}")
        simulated.run("down")
        simulated.run("up")
        assert era(simulated) == 1


def test_a_directory_that_is_put_back_as_a_whole_begins_no_era(simulated: TestCloud) -> None:
    root = simulated.directory.root
    simulated.run("down")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(root, copy)
        simulated.run("up")
        network = prepare(clients.connect(simulated.directory))[0]
        simulated.run("down")
        shutil.rmtree(root)
        shutil.copytree(copy, root)
    simulated.run("up")
    assert era(simulated) == 1
    assert network not in names(simulated)
