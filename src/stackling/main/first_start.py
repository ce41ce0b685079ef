"""What a cloud starts with: one transaction, so that it is made wholly or, after an interruption, made again."""

from __future__ import annotations

import ipaddress
import logging
from typing import TYPE_CHECKING

from stackling.compute import facade as compute
from stackling.deploy.embedded.configuration import Configuration
from stackling.identity import facade as identity
from stackling.network import facade as network
from stackling.store import schema
from stackling.store.transaction import Tx

if TYPE_CHECKING:
    from stackling.main.wiring import Plant

log = logging.getLogger(__name__)
DONE, FLEET = "first_start", "fleet"
PHYSICAL_NETWORK = "public"


def first_start(plant: Plant) -> None:
    """Make the tables, the administrator, the catalog, the external network, flavors, and this machine's hosts."""
    schema.prepare(plant.database)
    fleet = [compute.credential_hash(plant.credentials.machine), *plant.configuration.host_names]
    done, known = plant.database.read(lambda tx: (tx.setting(DONE), tx.setting(FLEET)))
    if not done:
        password = identity.hash_password(plant.credentials.admin_password)
        plant.database.write(_make, plant, password)
        log.info("first start is done")
    if known != fleet:
        plant.database.write(_register, fleet)
        log.info("%d hosts are registered", len(fleet) - 1)


def _make(tx: Tx, plant: Plant, password: str) -> None:
    identity.bootstrap(tx, plant.identity, password, region=plant.configuration.region)
    project = identity.project_named(tx, "admin")
    assert project is not None
    network.bootstrap(tx, project, external=external(plant.configuration))
    compute.bootstrap(tx)
    network.lift_quotas(tx, project)
    compute.lift_quotas(tx, project)
    tx.set_setting(DONE, True)


def _register(tx: Tx, fleet: list[str]) -> None:
    credential, *names = fleet
    for name in names:
        compute.register_machine(tx, name, credential, name)
    tx.set_setting(FLEET, fleet)


def external(configuration: Configuration) -> network.External:
    """The external network as the configuration describes it."""
    cidr = str(ipaddress.IPv4Network(configuration.floating_range))
    return network.External(cidr, configuration.gateway, configuration.pool, PHYSICAL_NETWORK)
