"""What a cloud starts with: one transaction, so that it is made wholly or, after an interruption, made again.

Theory of operation. Several control nodes may start for the first time at once. The tables are made under a lock that
the database holds (``store.schema``); what is in them, in one transaction that guards ``first_start`` and looks again:
of two such transactions one waits or is run again, and then finds that it is done.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from stackling.compute import facade as compute
from stackling.identity import facade as identity
from stackling.image import facade as image
from stackling.main.deployment import Registered
from stackling.network import facade as network
from stackling.store import schema
from stackling.store.transaction import Tx
from stackling.volume import facade as volume

if TYPE_CHECKING:
    from stackling.main.wiring import Plant

log = logging.getLogger(__name__)
DONE, FLEET = "first_start", "fleet"


def first_start(plant: Plant) -> None:
    """Make the tables, the administrator, the catalog, the external network, definitions of metadata, flavors, and the
    machines with hosts."""
    schema.prepare(plant.database)
    fleet = _fleet(plant.deployment.machines)
    done, known, offload = plant.database.read(
        lambda tx: (tx.setting(DONE), tx.setting(FLEET), tx.setting(compute.OFFLOAD_AFTER)))
    if not done:
        password = identity.hash_password(plant.deployment.admin_password)
        if plant.database.write(_make, plant, password):
            log.info("first start is done")
    if known != fleet:
        plant.database.write(_register, plant.deployment.machines, plant.deployment.cluster is None)
    if (offload or 0) != plant.deployment.shelved_offload_time:
        plant.database.write(Tx.set_setting, compute.OFFLOAD_AFTER, plant.deployment.shelved_offload_time)


def _make(tx: Tx, plant: Plant, password: str) -> bool:
    tx.guard(DONE)
    if tx.setting(DONE):
        return False
    identity.bootstrap(tx, plant.identity, password, region=plant.deployment.region)
    project = identity.project_named(tx, "admin")
    assert project is not None
    network.bootstrap(tx, project, external=plant.deployment.external)
    image.bootstrap(tx)
    compute.bootstrap(tx)
    volume.bootstrap(tx)
    network.lift_quotas(tx, project)
    compute.lift_quotas(tx, project)
    volume.lift_quotas(tx, project)
    tx.set_setting(DONE, True)
    return True


def _register(tx: Tx, machines: tuple[Registered, ...], ours_alone: bool) -> None:
    """Make *machines* known. In a cluster our files may be older than the database, to which others have joined: there
    what it knows stays as it is."""
    tx.guard(DONE)
    known: list[list[Any]] = [] if ours_alone else tx.setting(FLEET) or []
    new = [machine for machine in machines if machine.name not in {one[0] for one in known}]
    for machine in new:
        if machine.host is not None:
            compute.register_machine(tx, machine.name, machine.credential_hash, machine.host)
    if new:
        tx.set_setting(FLEET, [*known, *_fleet(tuple(new))])
        log.info("%d machines are registered", len(new))


def _fleet(machines: tuple[Registered, ...]) -> list[Any]:
    return [[machine.name, machine.credential_hash, machine.host] for machine in machines]
