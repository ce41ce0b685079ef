"""``/internal``: documents down, reports up, image data.

A machine that is taken for fenced and asks for something is alive: the proof ends, in a transaction of its own that is
serialised with evacuations, before its documents are read (``hosts.back``). So whatever its documents say it may run
will not be moved away on the old proof. Only a request that comes in counts: one that was held since before the loss
may have nobody at its other end any more, and just ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.image.data import Data
from stackling.api.internal import hosts, passwords
from stackling.api.internal.hosts import Fenced
from stackling.api.internal.wakeups import CREDENTIAL, Wakeups, integer, poll, waiting_time
from stackling.api.policy import Policy
from stackling.api.route import Route, Service
from stackling.compute import facade as compute
from stackling.core.errors import Forbidden, Invalid, NotFound, StacklingError, TooLarge, Unavailable
from stackling.ha import facade as ha
from stackling.image import facade as images
from stackling.image import stores
from stackling.image.model import Image, Place
from stackling.image.settings import ImageSettings
from stackling.ports.document import IMAGE_LOCATION, Documents, HostDocument, Report, VolumeKey

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

MAX_REPORT = 64 << 20
MACHINE = "X-Machine"       # the name in the client's certificate, set in front of us
_decode_report = msgspec.json.Decoder(Report).decode
_encode = msgspec.json.Encoder().encode


def _error(error: StacklingError, request_id: str) -> tuple[Any, str]:
    return {"error": {"code": error.status, "message": error.message, "request_id": request_id}}, "application/json"


def service(wakeups: Wakeups | None = None) -> Service:
    """The service; of the wake-ups ``("host", id)`` matters here."""
    woken = wakeups or Wakeups()

    async def documents(call: Call) -> Reply:
        return await _documents(call, woken)

    async def held(call: Call) -> Reply:
        return await hosts.held(call, woken)

    return Service("internal", "/internal", [
        Route("GET", "/machines/{machine}/documents", documents, None, mode="stream"),
        Route("GET", "/machines/{machine}/hosts", held, None, mode="stream"),
        Route("POST", "/machines/{machine}/heartbeat", hosts.heartbeat, None, mode="stream"),
        Route("POST", "/machines/{machine}/hosts/{host}/take", hosts.take, None, mode="stream"),
        Route("POST", "/machines/{machine}/hosts/{host}/release", hosts.release, None, mode="stream"),
        Route("POST", "/machines/{machine}/report", report, None, mode="stream", limit=MAX_REPORT),
        Route("GET", "/machines/{machine}/servers/{server}/password", passwords.posted, None, mode="stream"),
        Route("POST", "/machines/{machine}/servers/{server}/password", passwords.post, None, mode="stream"),
        Route("GET", "/images/{image}/file", image_file, None, mode="stream"),
        Route("GET", "/volume-keys/{key}", volume_key, None, mode="stream"),
        Route("PUT", "/images/{image}/file", take_snapshot, None, mode="stream"),
    ], Policy({}), _error)


# -- documents

def _look(tx: Tx, machine: str, credential: str | None, host: str, since: int, epoch: int | None,
          ) -> tuple[str, HostDocument | None]:
    """(host id, what is new)."""
    machine_id = compute.check_machine(tx, machine, credential)
    if ha.is_fenced(tx, machine_id):
        raise Fenced
    return compute.host_id(tx, host), compute.documents(tx, machine_id, host, since, epoch)


async def _documents(call: Call, wakeups: Wakeups) -> Reply:
    """GET …/documents?host&since&epoch&wait."""
    host = call.query.last("host")
    if not host:
        raise Invalid("host is missing.")
    since, epoch = integer(call, "since") or 0, integer(call, "epoch")
    arguments = (call.params["machine"], call.header(CREDENTIAL), host, since, epoch)

    async def look() -> tuple[tuple[str, str], HostDocument | None]:
        host_id, found = await call.cloud.read(_look, *arguments)
        return ("host", host_id), found

    try:
        first = await look()
    except Fenced:
        await call.cloud.transact(hosts.back, *arguments[:2])
        first = await look()
    found = await poll(wakeups, first, look, waiting_time(call), Fenced)
    if found is None:
        return Reply(status=204)
    return Reply(_encode(Documents(documents=(found,))))


# -- reports

async def _body(call: Call, limit: int) -> bytes:
    data = bytearray()
    async for chunk in call.request.stream:
        data += chunk
        if len(data) > limit:
            raise TooLarge(f"The report is larger than {limit} bytes.")
    return bytes(data)


async def report(call: Call) -> Reply:
    """POST …/report."""
    try:
        received = _decode_report(await _body(call, MAX_REPORT))
    except msgspec.MsgspecError as error:
        raise Invalid(f"The report can't be read: {error}") from None
    answer = await call.cloud.transact(_take, call.params["machine"], call.header(CREDENTIAL), received)
    return Reply(_encode(answer))


def _take(tx: Tx, machine: str, credential: str | None, received: Report) -> Any:
    machine_id = compute.check_machine(tx, machine, credential)
    ha.heard_of(tx, machine_id)
    return compute.accept_report(tx, machine_id, received)


# -- image data

def _machine(tx: Tx, credential: str | None, machine: str | None) -> str:
    """The id of the machine that asks; where its certificate has named it, the credential must be that one's."""
    if machine is None:
        return compute.machine_of(tx, credential)
    return compute.check_machine(tx, machine, credential)


def _find_file(tx: Tx, credential: str | None, machine: str | None, image: str
               ) -> tuple[tuple[Place, ...], int, str]:
    machine_id = _machine(tx, credential, machine)
    if not compute.names_image(tx, machine_id, image):
        raise Forbidden(f"No document of this machine names image {image}.")
    return images.image_file(tx, image)


async def image_file(call: Call) -> Reply:
    """GET …/images/{id}/file: the data of an image that a document of the asking machine names."""
    places, size, digest = await call.cloud.read(_find_file, call.header(CREDENTIAL), call.header(MACHINE),
                                                    call.params["image"])
    store = call.cloud.image_store
    if store is None:
        raise Unavailable("This process has no image store.")
    return Reply(stream=stores.read(store, await stores.find(store, places)), content_type="application/octet-stream",
                 headers={"Content-Length": str(size), "X-Image-Sha512": digest})


def _find_key(tx: Tx, credential: str | None, machine: str | None, key: str) -> VolumeKey:
    return VolumeKey(passphrase=compute.volume_key(tx, _machine(tx, credential, machine), key))


async def volume_key(call: Call) -> Reply:
    """GET …/volume-keys/{key}: what opens an encrypted volume that a document of the asking machine names."""
    return Reply(_encode(await call.cloud.read(_find_key, call.header(CREDENTIAL), call.header(MACHINE),
                                               call.params["key"])))


def _begin_snapshot(tx: Tx, credential: str | None, machine: str | None, image: str,
                    declared: int | None) -> tuple[Image, str]:
    """The image, and the server that is being saved as it."""
    _machine(tx, credential, machine)
    server_id = compute.saves_image(tx, credential, image)
    if server_id is None:
        raise NotFound(f"No server of this machine is being saved as image {image}.")
    return images.begin_snapshot(tx, image, declared), server_id


async def take_snapshot(call: Call) -> Reply:
    """PUT …/images/{id}/file: the data of a snapshot that a document of the sending machine asks for."""
    store = call.cloud.image_store
    if store is None:
        raise Unavailable("This process has no image store.")
    declared = call.request.content_length
    image, server_id = await call.cloud.transact(_begin_snapshot, call.header(CREDENTIAL), call.header(MACHINE),
                                                 call.params["image"], declared)
    if source := call.header(IMAGE_LOCATION):
        await Data(ImageSettings()).take_copy(call, store, image, source, server_id)
    else:
        await Data(ImageSettings()).take(call, store, image, declared, "file")
    return Reply(status=204)
