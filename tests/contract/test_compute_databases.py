"""Compute's use-cases mean the same on SQLite, MariaDB and PostgreSQL, and two at the same time can't both win."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from stackling.compute import (
    actions,
    aggregates,
    boot_volumes,
    create,
    flavors,
    groups,
    hosts,
    keypairs,
    listing,
    placing,
    quotas,
    reports,
    rows,
    servers,
    timeline,
    usage,
)
from stackling.compute import documents as host_documents
from stackling.compute.kinds import ServerKind
from stackling.compute.model import Flavor, Need, NewServers, Placement
from stackling.core.context import Context
from stackling.core.errors import Conflict, QuotaExceeded, StacklingError
from stackling.core.ids import new_id
from stackling.engine.worker import Worker
from stackling.image.facade import BootImage
from stackling.ports.document import GuestReport, Inventory, Power, Report, ServerDesired
from stackling.store.database import Database
from stackling.store.work import SqlWorkQueue

MEMBER = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member", "reader"}))
ADMIN = Context("req-2", user_id="a", project_id="p", roles=frozenset({"admin", "member", "reader"}))
IMAGE = BootImage("5d1f7a3e-0000-4000-8000-000000000001", "tiny", "raw", 1024, 1024, "00", 0, 0, {}, "active")


@pytest.fixture(autouse=True)
def _image(monkeypatch: pytest.MonkeyPatch) -> None:
    for look in ("image_described", "image_for_boot", "image_for_server"):
        monkeypatch.setattr(boot_volumes.images, look, lambda tx, ctx, id: IMAGE)


class Fleet:
    """Hosts with a played agent each."""

    def __init__(self, database: Database, *names: str, memory: int = 1024) -> None:
        self.database = database
        self.sequence = 0
        self.machines: dict[str, str] = {}
        database.write(flavors.bootstrap, [Flavor("f", "f", 1, 512, 1)])
        for name in names:
            self.machines[name], _ = database.write(hosts.register_machine, name, "hash")
            self.report(name, inventory=Inventory(vcpus=8, memory_mib=memory, disk_gib=100))

    def report(self, host: str, *guests: GuestReport, **values: Any) -> bool:
        self.sequence += 1
        return self.database.write(reports.accept_report, self.machines[host], Report(
            machine=host, boot_id="b", sequence=self.sequence, host=host, epoch=1, document_generation=0, guests=guests,
            **values)).accepted

    def work(self) -> None:
        for host, machine in self.machines.items():
            document = self.database.read(host_documents.documents, machine, host, 0, None)
            assert document is not None
            self.report(host, *(done(server) for server in document.servers))


def done(server: ServerDesired) -> GuestReport:
    return GuestReport(id=server.id, generation=server.generation, converged=True,
                       power=server.power if server.present else Power.ABSENT, soft_reboots=server.soft_reboots,
                       hard_reboots=server.hard_reboots, rebuilds=server.rebuilds)


def make(database: Database, *, count: int = 1, ctx: Context = MEMBER, **values: Any) -> list[Any]:
    new = NewServers(**{"ids": tuple(new_id() for _ in range(count)), "reservation_id": "r-1", "name": "vm",
                        "flavor_ref": "f", "image_ref": IMAGE.id, "requested": "none", "min_count": count,
                        "max_count": count, **values})
    return database.write(create.create_servers, ctx, new)


def settle(database: Database) -> None:
    worker = Worker(SqlWorkQueue(database), [ServerKind()])
    for _ in range(20):
        if not worker.step(10):
            return
    raise AssertionError("the engine finds no end")


def test_a_life(database: Database) -> None:
    fleet = Fleet(database, "h1", "h2")
    made = make(database, count=2, tags=("x",), metadata={"ä": "ö"}, description="d", user_data="aGk=")
    fleet.work()
    settle(database)
    ids = [server["id"] for server in made]
    found = [database.read(rows.get, id) for id in ids]
    assert [(row["status"], row["metadata"], row["tags"]) for row in found if row] == [
        ("ACTIVE", {"ä": "ö"}, ["x"])] * 2
    flags = {"locked": ["false"], "power_state": ["1"], "config_drive": ["0"]}
    tags = {"not-tags": ["y"], "tags-any": ["x,y"], "not-tags-any": ["z"]}
    for page in (listing.Page(project_id="p"), listing.Page({"name": ["VM-1"]}, "p"),
                 listing.Page({"tags": ["x"]}, "p"), listing.Page({"name": ["^vm-[12]$"]}, "p"),
                 listing.Page({"created_at": ["20"]}, None), listing.Page(flags, "p", None, ("active",)),
                 listing.Page(sort=(("display_name", True), ("launched_at", False)), marker=ids[0]),
                 listing.Page(tags, since="2020", before="2099")):
        shown = database.read(listing.list_servers, MEMBER, page, detail=True)
        assert shown or page.marker, page
        assert all(row.flavor.startswith("{") for row in shown)
    row = database.read(rows.get, ids[0])
    assert row is not None
    database.write(actions.perform, MEMBER, row, actions.STOP)
    fleet.work()
    settle(database)
    stopped = database.read(rows.get, ids[0])
    assert stopped is not None
    assert stopped["status"] == "SHUTOFF"
    assert [a.action for a in database.read(timeline.list_actions, stopped)] == ["stop", "create"]
    assert {a.result for a in database.read(timeline.list_actions, stopped)} == {"Success"}
    assert database.read(rows.usage, "p") == (2, 2, 1024)
    assert len(database.read(usage.usages, "2020-01-01T00:00:00.000000", "2099-01-01T00:00:00.000000")) == 2
    host_ids = [host["id"] for host in database.read(hosts.list_hosts)]
    assert sum(len(found) for found in database.read(placing.servers_on, host_ids).values()) == 2
    assert sum(use["p"][1] for id in host_ids if (use := database.read(placing.use_by_project, id))) == 1024
    for id in ids:
        database.write(servers.delete_server, MEMBER, id)
    fleet.work()
    settle(database)
    assert database.read(listing.list_servers, MEMBER, listing.Page(project_id="p"), detail=False) == []
    assert [host["memory_mib_used"] for host in database.read(hosts.list_hosts)] == [0, 0]
    assert [host["memory_mib_free"] for host in database.read(hosts.list_hosts)] == [1024, 1024]


def test_flavors_keypairs_quotas_groups_aggregates(database: Database) -> None:
    Fleet(database, "h1")
    secret = database.write(flavors.create_flavor, Flavor("", "secret", 1, 1, 1, is_public=False))
    assert {flavor.name for flavor in database.read(flavors.list_flavors, MEMBER)} == {"f"}
    database.write(flavors.add_access, ADMIN, secret.id, "p")
    visible = database.read(flavors.list_flavors, MEMBER, min_memory=1, min_disk=1)
    assert {flavor.name for flavor in visible} == {"secret", "f"}
    stranger = Context("req-3", user_id="x", project_id="q", roles=frozenset({"member", "reader"}))
    assert [flavor.name for flavor in database.read(flavors.list_flavors, stranger)] == ["f"]
    for key in flavors.SORT_KEYS:
        database.read(flavors.list_flavors, ADMIN, is_public=None, sort=(key, False))
    database.write(keypairs.create_keypair, MEMBER, "u", "k", "ssh", keypairs.Material("ssh-x y", "aa:bb"))
    with pytest.raises(Conflict):
        database.write(keypairs.create_keypair, MEMBER, "u", "k", "ssh", keypairs.Material("ssh-x y", "aa:bb"))
    database.write(quotas.set_limits, "p", {"cores": 3})
    database.write(quotas.set_limits, "p", {"cores": 4})
    assert database.read(quotas.limits, "p")["cores"] == 4
    database.write(quotas.reset_limits, "p")
    assert database.read(quotas.limits, "p")["cores"] == 20
    group = database.write(groups.create_group, MEMBER, new_id(), "g", "anti-affinity")
    make(database, placement=Placement(hints={"group": group.id}))
    assert make(database, placement=Placement(hints={"group": group.id}))[0]["status"] == "ERROR"
    assert len(database.read(groups.get_group, MEMBER, group.id).members) == 2
    made = database.write(aggregates.create_aggregate, "east", "east")
    with pytest.raises(Conflict):
        database.write(aggregates.add_host, ADMIN, made.id, "h1")


def _together(*calls: Callable[[], Any]) -> list[Any]:
    """Run all at once; their results, or the refusals."""
    barrier = threading.Barrier(len(calls))
    found: list[Any] = [None] * len(calls)

    def run(i: int, call: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            found[i] = call()
        except StacklingError as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i, call)) for i, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_the_last_memory_goes_to_one(database: Database) -> None:
    Fleet(database, "h1", memory=1024)
    made = _together(*[lambda: make(database)[0]] * 6)
    assert sorted(server["status"] for server in made) == ["BUILD"] * 2 + ["ERROR"] * 4
    [host] = database.read(hosts.list_hosts)
    assert (host["memory_mib_used"], host["servers"]) == (1024, 2)
    assert database.read(hosts.candidates, Need(1, 512, 1)) == []


def test_the_last_of_the_quota_goes_to_one(database: Database) -> None:
    Fleet(database, "h1", memory=65536)
    database.write(quotas.set_limits, "p", {"instances": 3})
    made = _together(*[lambda: make(database)] * 6)
    assert sum(isinstance(found, QuotaExceeded) for found in made) == 3
    assert database.read(rows.usage, "p")[0] == 3


def test_the_last_place_beside_a_group_goes_to_one(database: Database) -> None:
    Fleet(database, "h1", "h2", memory=65536)
    group = database.write(groups.create_group, MEMBER, new_id(), "g", "anti-affinity")
    made = _together(*[lambda: make(database, placement=Placement(hints={"group": group.id}))[0]] * 4)
    assert sorted(server["host"] for server in made if server["host"]) == ["h1", "h2"]


def test_a_stop_and_a_delete_at_once_end_in_deletion(database: Database) -> None:
    fleet = Fleet(database, "h1")
    [server] = make(database)
    fleet.work()
    settle(database)
    id = server["id"]

    def stop(tx: Any) -> None:
        actions.perform(tx, MEMBER, servers.get_server(tx, MEMBER, id), actions.STOP)

    _together(lambda: database.write(stop), lambda: database.write(servers.delete_server, MEMBER, id))
    fleet.work()
    settle(database)
    row = database.read(rows.get, id)
    assert row is not None
    if not row["deleting"]:
        database.write(servers.delete_server, MEMBER, id)
        fleet.work()
        row = database.read(rows.get, id)
    assert row is not None
    assert row["status"] == "DELETED"


def test_a_race_is_decided_by_what_is_there_after_it(database: Database) -> None:
    """Who comes second looks again, instead of sending the client away: all deletions succeed, and all renames."""
    fleet = Fleet(database, "h1")
    [server] = make(database)
    fleet.work()
    settle(database)
    id = server["id"]

    def act(action: actions.Action) -> Callable[[], Any]:
        return lambda: database.write(
            lambda tx: actions.perform(tx, MEMBER, servers.get_server(tx, MEMBER, id), action))

    done = _together(*[act(actions.STOP)] * 3, *[lambda: database.write(servers.delete_server, MEMBER, id)] * 5)
    assert [one for one in done[3:] if isinstance(one, StacklingError)] == []
    assert [one.message for one in done if isinstance(one, StacklingError) and "same time" in one.message] == []
    fleet.work()
    settle(database)
    row = database.read(rows.get, id)
    assert row is None or row["status"] == "DELETED"
