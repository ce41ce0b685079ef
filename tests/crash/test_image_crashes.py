"""Images whose server dies: at every step of a turn, twice at every step, and for real with SIGKILL."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackling.core.context import Context
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.several import Several
from stackling.engine.kinds import Fence, Stale
from stackling.engine.worker import Worker
from stackling.image import images, imports, rows, uploads
from stackling.image.kinds import ImageKind
from stackling.image.model import Image, NewImage
from stackling.image.settings import ImageSettings
from stackling.ports.images import ImageStore, Stored
from stackling.store.database import Database
from stackling.store.tables import metadata
from stackling.store.work import SqlWorkQueue

SETTINGS = ImageSettings()
CTX = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member"}))
ID = "00000000-0000-4000-8000-000000000001"
DATA = b"data of an image"
STORED = Stored(len(DATA), "0" * 32, hashlib.sha512(DATA).hexdigest())


class Killed(BaseException):
    """The process dies here."""


class Dying(ImageKind):
    """Dies before or after its n-th step, once; runs every other step twice."""

    def __init__(self, store: ImageStore, at: int, after: bool) -> None:
        super().__init__(store, grace=0.0, patience=60.0)
        self._at, self._after, self._count = at, after, 0

    def apply(self, fence: Fence, desired: Image, step: Any) -> None:
        self._count += 1
        if self._count == self._at and not self._after:
            raise Killed
        super().apply(fence, desired, step)
        if self._count == self._at:
            raise Killed
        super().apply(fence, desired, step)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    found = LocalImageStore(tmp_path / "store", reserve=0)
    yield found
    found.close()


def write(store: LocalImageStore, number: int) -> None:
    held = store.open(ID, number)
    store.at("staging", ID, number).write_bytes(DATA)
    held.keep()
    held.close()


def staged(database: Database, store: LocalImageStore) -> Image:
    database.write(images.create, CTX, NewImage(id=ID, owner="p", disk_format="raw", container_format="bare"), SETTINGS)
    begun = database.write(uploads.begin, CTX, current(database), "stage", None, SETTINGS)
    write(store, begun.upload or 0)
    return database.write(uploads.finish_stage, CTX, ID, begun.upload or 0, STORED, SETTINGS)


def current(database: Database) -> Image:
    image = database.read(rows.get, ID)
    assert image is not None
    return image


def run(database: Database, kind: ImageKind) -> None:
    """Turns until nothing is due; a death ends the process, and the lease of its turn runs out."""
    worker = Worker(SqlWorkQueue(database), [kind], lease=0.0)
    for _ in range(30):
        try:
            if not worker.step():
                return
        except Killed:
            pass
    raise AssertionError("no end")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_import_and_delete_survive_a_death_at_every_step(sqlite: Database, store: LocalImageStore, at: int,
                                                         after: bool) -> None:
    image = staged(sqlite, store)
    sqlite.write(imports.begin, CTX, image, "t1", {"method": {"name": "glance-direct"}}, ["local"])
    run(sqlite, Dying(store, at, after))
    assert current(sqlite).status == "active"
    (piece,) = store.inventory()
    assert not piece.staged
    sqlite.write(images.delete, CTX, current(sqlite))
    run(sqlite, Dying(store, at, after))
    assert store.inventory() == []
    assert sqlite.read(rows.get, ID) is None
    assert sqlite.read(rows.was_deleted, ID)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("into", [["local", "second", "third"], ["third", "local"], ["second"]])
def test_several_stores_survive_a_death_at_every_step(sqlite: Database, store: LocalImageStore, tmp_path: Path,
                                                      into: list[str], at: int, after: bool) -> None:
    others = {name: LocalImageStore(tmp_path / name, name=name, prefix=f"{name}:", reserve=0)
              for name in ("second", "third")}
    both = Several("local", {"local": store, **others})
    sqlite.write(imports.begin, CTX, staged(sqlite, store), "t1", {"method": {"name": "glance-direct"}}, into)
    run(sqlite, Dying(both, at, after))
    image = current(sqlite)
    assert (image.status, [name for name, _ in image.places], image.copying) == ("active", into, None)
    found = {piece.location for piece in both.inventory()}
    assert found == {location for _, location in image.places}
    missing = [name for name in both.members if name not in into]
    if missing:
        sqlite.write(imports.begin_copy, CTX, current(sqlite), "t2", {"method": {"name": "copy-image"}}, missing)
        run(sqlite, Dying(both, at, after))
    assert len(both.inventory()) == len(current(sqlite).places) == 3
    sqlite.write(images.delete_copy, CTX, current(sqlite), "local")
    run(sqlite, Dying(both, at, after))
    assert store.inventory() == []
    sqlite.write(images.delete, CTX, current(sqlite))
    run(sqlite, Dying(both, at, after))
    assert both.inventory() == []
    assert sqlite.read(rows.was_deleted, ID)


@pytest.mark.parametrize("at", [0, 1])
def test_a_sleeping_turn_removes_nothing_that_is_wanted(sqlite: Database, store: LocalImageStore, at: int) -> None:
    """A turn is paused after it has seen the row, and again after it has looked into the store; meanwhile an
    upload dies, is given up, and another one finishes. When it goes on, the new data must stay."""
    sqlite.write(images.create, CTX, NewImage(id=ID, owner="p", disk_format="raw", container_format="bare"), SETTINGS)
    begun = sqlite.write(uploads.begin, CTX, current(sqlite), "file", None, SETTINGS)
    write(store, begun.upload or 0)
    kind = ImageKind(store, grace=0.0)
    if at == 1:
        sqlite.write(uploads.abandon, None, ID, begun.upload or 0, "dead")
    desired = sqlite.read(kind.load, ID)
    observed = kind.observe(desired) if at == 1 else None
    if at == 0:
        sqlite.write(uploads.abandon, None, ID, begun.upload or 0, "dead")
    again = sqlite.write(uploads.begin, CTX, current(sqlite), "file", None, SETTINGS)
    write(store, again.upload or 0)
    location = store.commit(ID, again.upload or 0)
    sqlite.write(uploads.finish_file, CTX, ID, again.upload or 0, "local", location,
                 Stored(len(DATA), "0" * 32, "0" * 128), "raw", len(DATA), SETTINGS)
    observed = observed or kind.observe(desired)
    for step in kind.plan(desired, observed):
        kind.apply(Fence(1, desired.generation), desired, step)
    assert store.size(location) == len(DATA)
    run(sqlite, kind)
    assert [piece.location for piece in store.inventory()] == [location]
    assert current(sqlite).status == "active"


def test_a_late_import_gives_up(sqlite: Database, store: LocalImageStore) -> None:
    image = staged(sqlite, store)
    sqlite.write(imports.begin, CTX, image, "t1", {"method": {"name": "glance-direct"}}, ["local"])
    kind = ImageKind(store)
    desired = sqlite.read(kind.load, ID)
    observed = kind.observe(desired)
    sqlite.write(images.delete, CTX, current(sqlite))
    run(sqlite, ImageKind(store))
    (step,) = kind.plan(desired, observed)
    with pytest.raises(Stale):
        kind.apply(Fence(1, desired.generation), desired, step)
    assert store.inventory() == []


def test_unknown_data_is_left_alone(sqlite: Database, store: LocalImageStore) -> None:
    from stackling.engine.audit import audit

    queue, kind = SqlWorkQueue(sqlite), ImageKind(store)
    write(store, 7)
    assert audit(queue, kind).unknown == (ID,)
    assert len(store.inventory()) == 1
    sqlite.write(lambda tx: tx.forget("image", ID, 6))
    assert audit(queue, kind).removed == ()
    sqlite.write(lambda tx: tx.forget("image", ID, 7))
    assert audit(queue, kind).removed == (ID,)
    assert store.inventory() == []


# -- a real process

SERVER = """
import sys
from pathlib import Path
import uvicorn
from stackling.api.app import build_app
from stackling.api.cloud import Cloud
from stackling.api.image.service import service
from stackling.core.context import Context
from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.worker import Worker
from stackling.image.kinds import ImageKind
from stackling.store.database import Database
from stackling.store.work import SqlWorkQueue

directory = Path(sys.argv[1])
database = Database(f"sqlite:///{directory / 's.db'}")
store = LocalImageStore(directory / "store", reserve=0)
ctx = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member", "reader"}))
worker = Worker(SqlWorkQueue(database), [ImageKind(store, grace=0.2)], lease=1.0)
database.on_nudge = lambda keys: worker.wake()
worker.start()
app = build_app(Cloud(database, lambda tx, token, request: ctx, public_url="http://x", image_store=store), [service()])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


class Server:
    """The image service in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/image/v2", headers={"X-Auth-Token": "x"})
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.directory), str(self.port)])
        wait(self.answers)

    def answers(self) -> bool:
        try:
            return self.http.get("/images").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    database = Database(f"sqlite:///{tmp_path / 's.db'}")
    metadata.create_all(database.engine)
    database.close()
    found = Server(tmp_path)
    yield found
    found.kill()
    found.http.close()


@pytest.mark.crash
def test_killed_while_data_comes_in(server: Server, store: LocalImageStore) -> None:
    image = server.http.post("/images", json={"disk_format": "raw", "container_format": "bare"}).json()
    path = f"/images/{image['id']}"

    def status() -> str:
        return server.http.get(path).json()["status"]

    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"PUT /image/v2{path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: x\r\nContent-Length: 9000000\r\n"
                       "Content-Type: application/octet-stream\r\n\r\n".encode() + b"x" * 3_000_000)
        wait(lambda: status() == "saving" and bool(store.inventory()))
        time.sleep(0.5)                         # longer than the grace: a held upload isn't given up
        assert status() == "saving"
        server.kill()
        assert len(store.inventory()) == 1
    server.start()
    wait(lambda: status() == "queued" and not store.inventory())
    data = os.urandom(2_000_000)
    answer = server.http.put(f"{path}/file", content=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 204
    server.kill()
    server.start()
    assert server.http.get(f"{path}/file").content == data
    assert server.http.delete(path).status_code == 204
    wait(lambda: not store.inventory())


@pytest.mark.crash
def test_a_client_dies_in_the_middle(server: Server, store: LocalImageStore) -> None:
    image = server.http.post("/images", json={"disk_format": "raw", "container_format": "bare"}).json()
    path = f"/images/{image['id']}"
    for coding in ("Content-Length: 9000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n10000\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(f"PUT /image/v2{path}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: x\r\n"
                           f"Content-Type: application/octet-stream\r\n{coding}".encode() + b"x" * 60_000)
            wait(lambda: server.http.get(path).json()["status"] == "saving")
        wait(lambda: server.http.get(path).json()["status"] == "queued" and not store.inventory())
