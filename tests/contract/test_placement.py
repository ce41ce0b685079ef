"""Placement's rows mean the same on SQLite, MariaDB and PostgreSQL, and two at the same time can't both win."""

from __future__ import annotations

import threading

from sqlalchemy import update

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, StacklingError
from stackling.core.ids import new_id
from stackling.placement import allocations, inventories, labels, providers
from stackling.placement.allocations import Claim
from stackling.placement.model import Inventory
from stackling.store.database import Database
from stackling.store.tables.fleet import hosts
from stackling.store.transaction import Tx


def host(tx: Tx) -> str:
    _, id = compute.register_machine(tx, "h1", "hash")
    tx.execute(update(hosts).values(vcpus=4, cpu_ratio=1.0, memory_mib=1024, memory_mib_free=1024, disk_gib=10))
    return id


def give(tx: Tx, id: str, **found: Inventory) -> None:
    known = providers.world(tx)
    inventories.replace_all(tx, known, known.providers[id], {**known.inventories[id], **found})


def test_what_is_written_is_read(database: Database) -> None:
    id = database.write(host)
    pool, aggregate, consumer = (new_id() for _ in range(3))
    database.write(providers.create, pool, "pool", id)
    database.write(labels.add_class, "CUSTOM_X")
    assert not database.write(labels.add_trait, "HW_CPU_X86_AVX2")
    database.write(lambda tx: give(tx, pool, CUSTOM_X=Inventory(4)))
    database.write(lambda tx: give(tx, id, VCPU=Inventory(4, 1, allocation_ratio=2.0), CUSTOM_X=Inventory(2)))
    known = database.read(providers.world)
    assert (known.providers[pool].root_id, known.inventories[id]["VCPU"].capacity) == (id, 6)
    database.write(lambda tx: labels.set_traits(tx, known, known.providers[id], ["HW_CPU_X86_AVX2"]))
    fresh = database.read(providers.world)
    database.write(lambda tx: labels.set_aggregates(tx, fresh, fresh.providers[id], [aggregate], count=True))
    amounts = {pool: {"CUSTOM_X": 3}, id: {"VCPU": 2}}
    database.write(allocations.put, [Claim(consumer, "projet é", "u", amounts, None, "TEST")], generations=True)
    found = database.read(providers.world)
    assert (found.used[pool]["CUSTOM_X"], found.used[id]["VCPU"]) == (3, 2)
    assert (found.aggregates[id], found.traits[id]) == ({aggregate}, {"COMPUTE_NODE", "HW_CPU_X86_AVX2"})
    assert {one.provider_id: dict(one.amounts) for one in database.read(allocations.of_project, "projet é")} == amounts
    database.write(allocations.put, [Claim(consumer, "p", "u", {pool: {"CUSTOM_X": 4}}, 1, "TEST")], generations=True)
    [now] = database.read(allocations.of_consumer, consumer)
    assert (now.generation, now.project_id, dict(now.amounts)) == (2, "p", {"CUSTOM_X": 4})
    assert database.read(providers.world).used[id]["VCPU"] == 0
    database.write(allocations.remove, consumer)
    database.write(providers.remove, pool)
    assert set(database.read(providers.world).providers) == {id}


def test_of_two_who_take_the_last_one_loses(database: Database) -> None:
    pool = new_id()
    database.write(providers.create, pool, "pool", None)
    database.write(lambda tx: give(tx, pool, VGPU=Inventory(1)))
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def take() -> None:
        start.wait()
        try:
            database.write(allocations.put, [Claim(new_id(), "p", "u", {pool: {"VGPU": 1}}, None, "TEST")],
                           generations=True)
        except StacklingError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("taken")

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == [Conflict.__name__, "taken"]
    assert database.read(providers.world).used[pool] == {"VGPU": 1}
