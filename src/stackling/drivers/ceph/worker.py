"""The process that talks to a Ceph cluster: ``/usr/bin/python3 -I worker.py CONF USER KEYRING OP_TIMEOUT``.

Debian's python3-rados and python3-rbd live outside of our environment, and a thread that hangs in librados can't be
ended, but a process can. So this file imports only the standard library, ``rados`` and ``rbd``, and nothing of ours.

The wire is that of ``drivers/worker.py``; calls that take data have it as their second argument, and a call that
returns ``bytes`` answers with data. Kinds of error: ``down`` (the cluster doesn't answer in OP_TIMEOUT seconds),
``blocklisted`` (the cluster has shut this machine out), ``refused`` (the key isn't allowed to), ``missing``,
``exists``, ``busy``, ``full`` and ``failed``. The process ends when its input does, and with it what it holds open.

Clones are always of the second format: then a snapshot that has clones can be given up, and goes with the last of
them, and whoever clones needs no right to write to the parent's pool.

USER may have a successor in KEYRING (``keyring.py``, which can't be imported here). When the file changes, the
connection is closed as soon as no call is under way and nothing is held open, and the next call makes a new one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rados  # pyright: ignore[reportMissingImports]
import rbd  # pyright: ignore[reportMissingImports]

THREADS = 16
ANSWER = 4                      # seconds in which monitors must let us in, whatever follows
FEATURES = 61                   # layering, exclusive lock, object map, fast diff, deep flatten
GROW_LEAST, GROW_MOST = 64 << 20, 4 << 30
SNAP = "snap"                   # the protected snapshot that makes an image a parent of clones
CHUNK = 4 << 20
LOOK = 1.0                      # seconds between two looks at the keyring
_DOWN = (errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN, errno.ENETUNREACH, errno.EHOSTUNREACH)
_KINDS = {errno.ENOENT: "missing", errno.EEXIST: "exists", errno.EBUSY: "busy", errno.ENOTEMPTY: "busy",
          errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EPERM: "refused", errno.EACCES: "refused",
          errno.ESHUTDOWN: "blocklisted", errno.EROFS: "busy", errno.ECANCELED: "stale", errno.ERANGE: "stale",
          errno.EOVERFLOW: "stale"}


class Failure(Exception):
    """An answer of the kind that is its first argument."""


class Handle:
    """An image that is held open; *grown* guards its size."""

    def __init__(self, image: Any) -> None:
        self.image, self.grown = image, threading.Lock()


class Worker:
    """One connection to the cluster; calls by name."""

    def __init__(self, conf: str, user: str, keyring: str, timeout: str) -> None:
        self.conf, self.user, self.keyring, self.timeout = conf, user, keyring, timeout
        self.cluster: Any = None
        self.pools: dict[str, Any] = {}
        self.connecting = threading.Lock()
        self.output = threading.Lock()
        self.handles: dict[int, Handle] = {}
        self.numbers = itertools.count(1)
        self.rbd = rbd.RBD()
        self.resting, self.calls = threading.Condition(), 0
        self.login: tuple[int, int] | None = None       # the keyring that the connection was made with

    def run(self) -> None:
        threading.Thread(target=self._watch_keyring, daemon=True).start()
        stream = sys.stdin.buffer
        with ThreadPoolExecutor(THREADS) as pool:
            while line := stream.readline():
                request = json.loads(line)
                data = stream.read(request["bytes"]) if "bytes" in request else b""
                pool.submit(self._serve, request, data)
            for handle in list(self.handles):       # the cluster would remember us as a holder for half a minute
                close(self, handle)
            os._exit(0)

    # -- wire

    def say(self, message: dict[str, Any], data: bytes = b"") -> None:
        head = json.dumps(message).encode() + b"\n"
        with self.output:
            try:
                sys.stdout.buffer.write(head)
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except OSError:
                os._exit(0)

    def _serve(self, request: dict[str, Any], data: bytes) -> None:
        with self.resting:
            self.calls += 1
        try:
            self._answer(request, data)
        finally:
            with self.resting:
                self.calls -= 1
                self.resting.notify_all()

    def _answer(self, request: dict[str, Any], data: bytes) -> None:
        number = request["id"]
        try:
            arguments = request.get("args", {})
            call = CALLS[request["call"]]
            result = call(self, data, **arguments) if "bytes" in request else call(self, **arguments)
            if isinstance(result, bytes):
                self.say({"id": number, "bytes": len(result)}, result)
            else:
                self.say({"id": number, "result": result})
        except Failure as failure:
            self.say({"id": number, "error": list(failure.args)})
        except Exception as error:
            kind, words = explain(error)
            self.say({"id": number, "error": [kind, words]})
            if kind == "blocklisted":       # this connection stays shut out for ever, a new one may not be
                os._exit(0)

    # -- connection

    def connected(self) -> Any:
        with self.connecting:
            if self.cluster is None:
                answer = min(ANSWER, int(self.timeout))
                self.login = stamp(self.keyring)
                cluster = rados.Rados(conffile=self.conf, rados_id=current(self.keyring, self.user), conf={
                    "keyring": self.keyring, "client_mount_timeout": str(answer), "rados_mon_op_timeout": self.timeout,
                    "rados_osd_op_timeout": self.timeout, "rbd_default_clone_format": "2", "rbd_cache": "false",
                    "log_to_stderr": "false", "log_file": "", "admin_socket": ""})
                cluster.connect(timeout=answer)
                self.cluster = cluster
            return self.cluster

    def _watch_keyring(self) -> None:
        while True:
            time.sleep(LOOK)
            if self.cluster is None or stamp(self.keyring) in (None, self.login):
                continue
            with self.resting:
                if self.resting.wait_for(lambda: not self.calls and not self.handles, LOOK):
                    self._disconnect()

    def _disconnect(self) -> None:
        for pool in self.pools.values():
            pool.close()
        self.pools = {}
        cluster, self.cluster = self.cluster, None
        if cluster is not None:
            cluster.shutdown()

    def pool(self, name: str) -> Any:
        cluster = self.connected()
        with self.connecting:
            if name not in self.pools:
                self.pools[name] = found = cluster.open_ioctx(name)
                found.set_osdmap_full_try()     # a full pool says so, and what is deleted can go, instead of waiting
            return self.pools[name]

    @contextlib.contextmanager
    def image(self, pool: str, name: str, snapshot: str | None = None, *, write: bool = False) -> Iterator[Any]:
        image = rbd.Image(self.pool(pool), name, snapshot, read_only=not write)
        try:
            yield image
        finally:
            image.close()

    def hold(self, image: Any) -> int:
        number = next(self.numbers)
        self.handles[number] = Handle(image)
        return number

    def held(self, handle: int) -> Handle:
        found = self.handles.get(handle)
        if found is None:
            raise Failure("missing", "the image isn't open any more")
        return found

    def command(self, **words: Any) -> Any:
        status, output, errors = self.connected().mon_command(json.dumps({**words, "format": "json"}), b"")
        if status:
            raise Failure(kind_of(-status), errors or os.strerror(-status))
        return json.JSONDecoder().raw_decode(output.decode())[0] if output.strip() else None     # words may follow


def stamp(path: str) -> tuple[int, int] | None:
    """Another value when the file is another one; None when it isn't there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def current(keyring: str, user: str) -> str:
    """As whom the keyring lets us in: *user* or its successor."""
    with contextlib.suppress(OSError):
        for name in re.findall(r"^\s*\[client\.([^\]\s]+)\]", Path(keyring).read_text(), re.MULTILINE):
            if name == user or re.fullmatch(re.escape(user) + "_[0-9]+", name):
                return name
    return user


def kind_of(number: int | None) -> str:
    """The kind of an errno."""
    return "down" if number in _DOWN else _KINDS.get(number or 0, "failed")


def explain(error: Exception) -> tuple[str, str]:
    """Kind and words of an error of the bindings."""
    number = getattr(error, "errno", None)
    if isinstance(error, (rados.Error, rbd.Error)) and isinstance(number, int):
        return kind_of(abs(number)), str(error)
    if isinstance(error, rbd.ConnectionShutdown):
        return "blocklisted", str(error)
    return "failed", f"{type(error).__name__}: {error}"


# -- the cluster

def cluster(worker: Worker) -> dict[str, Any]:
    connection = worker.connected()
    return {"fsid": connection.get_fsid(), "address": address_of(connection.get_addrs())}


def address_of(text: str) -> str:
    """``[v2:10.0.0.1:0/12,…]`` or ``10.0.0.1:0/12`` → ``10.0.0.1``."""
    first = text.strip("[]").split(",")[0].removeprefix("v2:").removeprefix("v1:").partition("/")[0]
    return first.rpartition(":")[0].strip("[]")


def health(worker: Worker) -> dict[str, Any]:
    found = worker.command(prefix="health")
    return {"status": found["status"], "checks": sorted(
        name for name, check in found.get("checks", {}).items() if not check.get("muted"))}


def space(worker: Worker, pool: str) -> dict[str, int]:
    for each in worker.command(prefix="df")["pools"]:
        if each["name"] == pool:
            stats = each["stats"]
            quota = worker.command(prefix="osd pool get-quota", pool=pool)["quota_max_bytes"]
            free = stats["max_avail"]
            stored = stats.get("stored", stats.get("bytes_used", 0))
            if quota:
                free = max(0, min(free, quota - stored))
            return {"free": free, "used": stored}
    raise Failure("missing", f"there is no pool {pool}")


def blocklist_add(worker: Worker, address: str, seconds: float) -> None:
    """Returns when the cluster has it, and so have the OSDs that our own requests reach from now on."""
    worker.command(prefix="osd blocklist", blocklistop="add", addr=address, expire=float(seconds))
    worker.connected().wait_for_latest_osdmap()


def blocklist_remove(worker: Worker, address: str) -> None:
    try:
        worker.command(prefix="osd blocklist", blocklistop="rm", addr=address)
    except Failure as failure:
        if failure.args[0] != "missing":
            raise


def blocklist(worker: Worker) -> list[dict[str, str]]:
    return worker.command(prefix="osd blocklist ls")


# -- images

def create(worker: Worker, pool: str, name: str, size: int) -> None:
    worker.rbd.create(worker.pool(pool), name, size, old_format=False, features=FEATURES)


def names(worker: Worker, pool: str, prefix: str = "") -> list[str]:
    return [name for name in worker.rbd.list(worker.pool(pool)) if name.startswith(prefix)]


def show(worker: Worker, pool: str, name: str) -> dict[str, Any] | None:
    """Size, snapshots (name → size, protected), metadata, who has it open; None when there is none."""
    try:
        with worker.image(pool, name) as image:
            snapshots = {each["name"]: {"size": each["size"], "protected": image.is_protected_snap(each["name"])}
                         for each in image.list_snaps() if each.get("namespace", 0) == 0}
            return {"size": image.size(), "snapshots": snapshots, "metadata": dict(image.metadata_list()),
                    "watchers": [address_of(each["addr"]) for each in image.watchers_list()]}
    except rbd.ImageNotFound:
        return None


def show_all(worker: Worker, pool: str) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda name: (name, show(worker, pool, name)), names(worker, pool))
        return [{"name": name, **facts} for name, facts in found if facts is not None]


def remember(worker: Worker, pool: str, name: str, metadata: dict[str, str]) -> None:
    with worker.image(pool, name, write=True) as image:
        for key, value in metadata.items():
            image.metadata_set(key, value)


def clone(worker: Worker, pool: str, name: str, snapshot: str, to_pool: str, to_name: str, size: int) -> None:
    """A copy-on-write clone, grown to *size* (0: as it is)."""
    worker.rbd.clone(worker.pool(pool), name, snapshot, worker.pool(to_pool), to_name, features=FEATURES)
    if size:
        with worker.image(to_pool, to_name, write=True) as image:
            if image.size() < size:
                image.resize(size)


def resize(worker: Worker, pool: str, name: str, size: int) -> None:
    with worker.image(pool, name, write=True) as image:
        if image.size() != size:
            image.resize(size)


def grow(worker: Worker, pool: str, name: str, size: int) -> None:
    """Make it at least that large, beneath whoever uses it."""
    with worker.image(pool, name, write=True) as image:
        if image.size() < size:
            image.resize(size)


def rename(worker: Worker, pool: str, name: str, to: str) -> None:
    worker.rbd.rename(worker.pool(pool), name, to)


def depth(worker: Worker, pool: str, name: str) -> int:
    """How many images it reads through: a clone of a clone has 2."""
    image = rbd.Image(worker.pool(pool), name, read_only=True)
    found = 0
    try:
        while True:
            try:
                where, parent = image.get_parent_image_spec(), image.parent_id()
            except rbd.ImageNotFound:
                return found
            found += 1
            image.close()
            image = rbd.Image(worker.pool(where["pool_name"]), image_id=parent, read_only=True)
    finally:
        image.close()


def flatten(worker: Worker, pool: str, name: str) -> None:
    with worker.image(pool, name, write=True) as image:
        if image.overlap():
            image.flatten()


def snapshot(worker: Worker, pool: str, name: str, snapshot: str, protect: bool = False) -> None:
    with worker.image(pool, name, write=True) as image:
        if not image.snap_exists(snapshot):
            image.create_snap(snapshot)
        if protect and not image.is_protected_snap(snapshot):
            image.protect_snap(snapshot)


def rename_snapshot(worker: Worker, pool: str, name: str, snapshot: str, to: str) -> None:
    with worker.image(pool, name, write=True) as image:
        if not image.snap_exists(to):
            image.rename_snap(snapshot, to)


def drop_snapshot(worker: Worker, pool: str, name: str, snapshot: str) -> None:
    with contextlib.suppress(rbd.ImageNotFound), worker.image(pool, name, write=True) as image:
        _drop(image, snapshot)


def _drop(image: Any, snapshot: str) -> None:
    if image.snap_exists(snapshot):
        if image.is_protected_snap(snapshot):
            image.unprotect_snap(snapshot)
        image.remove_snap(snapshot)


def rollback(worker: Worker, pool: str, name: str, snapshot: str) -> None:
    with worker.image(pool, name, write=True) as image:
        image.rollback_to_snap(snapshot)


def discard(worker: Worker, pool: str, name: str, delay: float) -> None:
    """Into the trash, with its snapshots given up; an image that somebody has open is ``busy``."""
    ioctx = worker.pool(pool)
    try:
        with worker.image(pool, name) as image:
            if others := sorted({address_of(each["addr"]) for each in image.watchers_list()}):
                raise Failure("busy", f"it is in use by {', '.join(others)}")
        with worker.image(pool, name, write=True) as image:
            for each in image.list_snaps():
                if each.get("namespace", 0) == 0:
                    _drop(image, each["name"])
        worker.rbd.trash_move(ioctx, name, delay)
    except rbd.ImageNotFound:
        _drop_rest(worker, pool, name)


def _drop_rest(worker: Worker, pool: str, name: str) -> None:
    """What is left of an image that was being made or removed by somebody who died."""
    try:
        worker.pool(pool).stat(f"rbd_id.{name}")
    except rados.ObjectNotFound:
        return
    with contextlib.suppress(rbd.ImageNotFound):
        worker.rbd.remove(worker.pool(pool), name)


def abandon(worker: Worker, pool: str, suffix: str, seconds: float) -> None:
    """Discard what has a name with *suffix*, was made so long ago, and is held open by nobody."""
    everything = names(worker, pool)
    for name in everything:
        if not name.endswith(suffix):
            continue
        with contextlib.suppress(rbd.ImageNotFound, Failure):
            with worker.image(pool, name) as image:
                age = datetime.now(UTC) - image.create_timestamp().replace(tzinfo=UTC)
                id = image.id()
            with contextlib.suppress(rbd.ImageNotFound), worker.image(pool, name.removesuffix(suffix)) as image:
                if image.id() == id:        # being renamed when somebody died
                    continue
            if age.total_seconds() > seconds:
                discard(worker, pool, name, 0.0)


def purge(worker: Worker, pool: str, prefixes: list[str] | None = None) -> dict[str, int]:
    """Remove what is in the trash, due, and needed by no clone; how many went, and how many stay."""
    ioctx, gone = worker.pool(pool), 0
    while True:
        before, kept = gone, 0
        for each in worker.rbd.trash_list(ioctx):
            if prefixes is not None and not each["name"].startswith(tuple(prefixes)):
                continue
            try:
                worker.rbd.trash_remove(ioctx, each["id"])
                gone += 1
            except (rbd.PermissionError, rbd.ImageBusy, rbd.ImageHasSnapshots, rbd.ImageNotFound):
                kept += 1
        if gone == before or not kept:      # else what went may have been the last clone of what stayed
            return {"gone": gone, "kept": kept}


def trash(worker: Worker, pool: str) -> int:
    """How many images are in the trash."""
    return len(list(worker.rbd.trash_list(worker.pool(pool))))


def children(worker: Worker, pool: str, name: str, snapshot: str) -> list[str]:
    """The clones of a snapshot, those in the trash too."""
    try:
        with worker.image(pool, name, snapshot) as image:
            return [f"{each['pool']}/{each['image']}" for each in image.list_children2()]
    except rbd.ImageNotFound:
        return []


def break_lock(worker: Worker, pool: str, name: str, allowed: list[str]) -> list[str]:
    """Break the exclusive lock of an owner at one of the addresses *allowed*; owners that are left.

    The cluster then shuts that one client out, so that it can't go on writing.
    """
    left: list[str] = []
    with contextlib.suppress(rbd.ImageNotFound), worker.image(pool, name, write=True) as image:
        for owner in image.lock_get_owners():
            address = address_of(owner["owner"])
            if address in allowed:
                with contextlib.suppress(rbd.ImageNotFound, rbd.ImageBusy):
                    image.lock_break(rbd.RBD_LOCK_MODE_EXCLUSIVE, owner["owner"])
            else:
                left.append(address)
    return left


# -- data

def open_new(worker: Worker, pool: str, name: str) -> int:
    """Make an empty image and hold it open for writing."""
    create(worker, pool, name, 0)
    return worker.hold(rbd.Image(worker.pool(pool), name))


def open_hold(worker: Worker, pool: str, name: str) -> int:
    """Hold an image open so that others see it held."""
    return worker.hold(rbd.Image(worker.pool(pool), name))


def open_old(worker: Worker, pool: str, name: str, snapshot: str | None = None) -> dict[str, int]:
    """Hold an image open for reading."""
    image = rbd.Image(worker.pool(pool), name, snapshot, read_only=True)
    return {"handle": worker.hold(image), "size": image.size()}


def write(worker: Worker, data: bytes, handle: int, offset: int) -> None:
    held = worker.held(handle)
    end = offset + len(data)
    with held.grown:
        size = held.image.size()
        if end > size:
            held.image.resize(max(end, min(2 * size, size + GROW_MOST), GROW_LEAST))
    held.image.write(data, offset)


def finish(worker: Worker, handle: int, size: int) -> None:
    """All is written: cut the image to *size* and make it durable."""
    held = worker.held(handle)
    held.image.flush()
    if held.image.size() != size:
        held.image.resize(size)


def read(worker: Worker, handle: int, offset: int, length: int) -> bytes:
    return worker.held(handle).image.read(offset, length)


def close(worker: Worker, handle: int) -> None:
    if held := worker.handles.pop(handle, None):
        held.image.close()


def put(worker: Worker, data: bytes, pool: str, name: str) -> None:
    """Write the beginning of an image."""
    with worker.image(pool, name, write=True) as image:
        image.write(data, 0)
        image.flush()


# -- small objects, changed only as they were read

def load(worker: Worker, pool: str, name: str) -> str:
    """The object's text; empty when there is none."""
    try:
        return worker.pool(pool).read(name, 65_536).decode()
    except rados.ObjectNotFound:
        return ""


def store(worker: Worker, pool: str, name: str, text: str, old: str) -> None:
    """Replace the text *old* (empty: make the object) by *text* (empty: remove it); ``stale`` if it isn't *old*.

    The texts are JSON objects, so that none is the beginning of another one.
    """
    with rados.WriteOpCtx() as operation:
        if old:
            operation.cmpext(old.encode(), 0)
        else:
            operation.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
        if text:
            operation.write_full(text.encode())
        else:
            operation.remove()
        try:
            worker.pool(pool).operate_write_op(operation, name)
        except (rados.ObjectExists, rados.ObjectNotFound) as error:
            raise Failure("stale", str(error)) from None
        except rados.Error as error:
            if abs(getattr(error, "errno", 0) or 0) >= 4095:        # cmpext: 4095 and where it differs
                raise Failure("stale", str(error)) from None
            raise


def objects(worker: Worker, pool: str, prefix: str) -> list[str]:
    return [each.key for each in worker.pool(pool).list_objects() if each.key.startswith(prefix)]


CALLS: dict[str, Any] = {call.__name__: call for call in (
    cluster, health, space, blocklist_add, blocklist_remove, blocklist, create, names, show, show_all, remember, clone,
    resize, grow, rename, depth, abandon, flatten, snapshot, rename_snapshot, drop_snapshot, rollback, discard, purge,
    trash, children, break_lock, open_new, open_hold, open_old, write, finish, read, close, put, load, store, objects)}

if __name__ == "__main__":
    Worker(*sys.argv[1:5]).run()
