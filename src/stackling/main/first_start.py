"""What a cloud starts with: one transaction, so that it is made wholly or, after an interruption, made again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stackling.store import schema
from stackling.store.transaction import Tx

if TYPE_CHECKING:
    from stackling.main.wiring import Plant

log = logging.getLogger(__name__)
DONE = "first_start"


def first_start(plant: Plant) -> None:
    """Make the tables, the administrator, the catalog, the external network, flavors, and this machine."""
    schema.prepare(plant.database)
    if plant.database.read(lambda tx: tx.setting(DONE)):
        return
    from stackling.identity.facade import hash_password

    password = hash_password(plant.credentials.admin_password)
    plant.database.write(_make, plant, password)
    log.info("first start is done")


def _make(tx: Tx, plant: Plant, password: str) -> None:
    from stackling.identity.facade import bootstrap as identity

    identity(tx, plant.identity, password, region=plant.configuration.region)
    tx.set_setting(DONE, True)
