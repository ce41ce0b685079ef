"""The image service's SQL means the same on SQLite, MariaDB and PostgreSQL."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from stackling.api.call import Query
from stackling.core.context import Context
from stackling.core.errors import Conflict, Gone, TooLarge
from stackling.image import filters, images, lists, members, rows, uploads
from stackling.image.model import NewImage
from stackling.image.settings import ImageSettings
from stackling.ports.images import Stored
from stackling.store.database import Database
from stackling.store.transaction import Tx

SETTINGS = ImageSettings()
MINE = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member", "reader"}))
OTHER = Context("req-2", user_id="v", project_id="q", roles=frozenset({"member", "reader"}))


def make(database: Database, id: str, **attributes: Any) -> None:
    attributes = {"owner": "p", "disk_format": "raw", "container_format": "bare", **attributes}
    database.write(images.create, MINE, NewImage(id=id, **attributes), SETTINGS)


def listed(database: Database, query: str, ctx: Context = MINE) -> list[str]:
    asked = filters.listing(Query.parse(query), SETTINGS)
    return [row.id for row in database.read(lists.page, ctx, asked)]


def test_lists(database: Database) -> None:
    make(database, "a", name="Ärger", tags=("x", "y"), properties={"os": "linux"}, min_ram=5)
    make(database, "b", name="arger", tags=("x",), visibility="community")
    make(database, "c", visibility="public", protected=True)
    make(database, "d", visibility="private", os_hidden=True)
    database.write(lambda tx: members.add(tx, MINE, images.visible(tx, MINE, "a"), "q", SETTINGS))
    for query, ids in {
        "sort=id:asc": ["a", "b", "c"], "": ["c", "b", "a"], "os_hidden=true": ["d"], "tag=x&sort=id:asc": ["a", "b"],
        "tag=x&tag=y": ["a"], "os=linux": ["a"], "os=Linux": [], "name=arger": ["b"],
        "name=in:arger,%C3%84rger": ["b", "a"],
        "protected=true": ["c"], "min_ram=5": ["a"], "visibility=public": ["c"], "size_min=0": [],
        "sort=name:asc&limit=2": ["c", "b"], "sort=name:asc&marker=b": ["a"], "sort=size:desc&marker=b&limit=1": ["a"],
        "created_at=lt:2100-01-01T00:00:00Z&sort=id:desc": ["c", "b", "a"], "status=queued&limit=1": ["c"],
    }.items():
        assert listed(database, query) == ids, query
    assert listed(database, "", OTHER) == ["c"]
    assert listed(database, "visibility=all", OTHER) == ["c", "b"]
    assert listed(database, "member_status=pending", OTHER) == ["c", "a"]
    assert listed(database, "visibility=shared&member_status=all", OTHER) == ["a"]


def test_an_upload(database: Database) -> None:
    make(database, "a")
    image = database.read(images.visible, MINE, "a")
    begun = database.write(uploads.begin, MINE, image, "file", 3, SETTINGS)
    with pytest.raises(Conflict):
        database.write(uploads.begin, MINE, image, "file", 3, SETTINGS)
    number = begun.upload or 0
    stored = Stored(2**40, "0" * 32, "0" * 128)
    done = database.write(uploads.finish_file, MINE, "a", number, "local", "images/a.2", stored, "raw", 2**41, SETTINGS)
    assert (done.status, done.size, done.virtual_size) == ("active", 2**40, 2**41)
    assert database.read(images.visible, MINE, "a") == done
    with pytest.raises(Gone):
        database.write(uploads.finish_file, MINE, "a", number, "local", "images/a.2", stored, "raw", 1, SETTINGS)
    database.write(uploads.abandon, None, "a", number, "too late")
    assert database.read(images.visible, MINE, "a") == done
    assert database.read(images.usage, "p") == (1, 2**40)
    database.write(lambda tx: images.delete(tx, MINE, rows.get(tx, "a") or done))
    gone = database.read(rows.get, "a")
    assert gone is not None
    assert gone.status == "deleted"
    database.write(rows.remove, gone)
    assert database.read(rows.get, "a") is None
    assert database.read(rows.was_deleted, "a")


def test_two_changes_at_once(database: Database) -> None:
    make(database, "a")
    old = database.read(images.visible, MINE, "a")
    database.write(images.save, old, replace(old, name="first"), SETTINGS)
    with pytest.raises(Conflict):
        database.write(images.save, old, replace(old, name="second"), SETTINGS)
    assert database.read(images.visible, MINE, "a").name == "first"


def test_a_quota_from_two_clients_at_once(database: Database) -> None:
    settings = ImageSettings(image_count_total=3)
    outcomes: list[str] = []

    def create(id: str) -> None:
        try:
            database.write(images.create, MINE, NewImage(id=id, owner="p"), settings)
            outcomes.append("made")
        except TooLarge:
            outcomes.append("refused")

    threads = [threading.Thread(target=create, args=(f"i{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["made"] * 3 + ["refused"] * 5

    def count(tx: Tx) -> int:
        return images.usage(tx, "p")[0]

    assert database.read(count) == 3
