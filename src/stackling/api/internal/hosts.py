"""``/internal/machines/{machine}/hosts``: which host identities a machine holds; taking one over and letting go.

Taking and letting go is what the cluster's resource agent asks for (``ocf:stackling:host``); the answer to "let go"
says ``released`` false until the machine's own agent has said that no guest of the lease's epoch runs any more
(``stopped`` true, and ``epoch``). All of it may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.internal.wakeups import CREDENTIAL, Wakeups, poll, waiting_time
from stackling.compute import facade as compute
from stackling.core.errors import Invalid
from stackling.ha import facade as ha
from stackling.ports.document import HeldHost, HeldHosts

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

MAX_BODY = 4096
T = TypeVar("T")


class Fenced(Exception):
    """The machine is taken for fenced, and is asking."""


class _LetGo(msgspec.Struct, forbid_unknown_fields=True):
    stopped: bool = False
    epoch: int | None = None


class _Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    boot_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[0-9A-Za-z._-]+\Z")]


def _look(tx: Tx, machine: str, credential: str | None) -> tuple[str, HeldHosts]:
    machine_id = compute.check_machine(tx, machine, credential)
    if ha.is_fenced(tx, machine_id):
        raise Fenced
    held = ha.held(tx, machine_id)
    return machine_id, HeldHosts(hosts=tuple(HeldHost(host=one.host, epoch=one.epoch, releasing=one.releasing)
                                             for one in held), digest=ha.digest(held))


def back(tx: Tx, machine: str, credential: str | None) -> None:
    """A machine that was fenced asks for something: end the proof before it is answered."""
    ha.heard_of(tx, compute.check_machine(tx, machine, credential))


async def held(call: Call, wakeups: Wakeups) -> Reply:
    """GET …/hosts?known&wait: 204 when they are still those of the digest *known* after *wait* seconds."""
    known = call.query.last("known")
    arguments = (call.params["machine"], call.header(CREDENTIAL))

    async def look() -> tuple[tuple[str, str], HeldHosts | None]:
        machine_id, found = await call.cloud.read(_look, *arguments)
        return ("machine", machine_id), None if found.digest == known else found

    try:
        first = await look()
    except Fenced:
        await call.cloud.transact(back, *arguments)
        first = await look()
    found = await poll(wakeups, first, look, waiting_time(call), Fenced)
    if found is None:
        return Reply(status=204)
    hosts = [{"host": one.host, "epoch": one.epoch, "releasing": one.releasing} for one in found.hosts]
    return Reply({"hosts": hosts, "digest": found.digest})


def _take(tx: Tx, machine: str, credential: str | None, host: str) -> dict[str, Any]:
    machine_id = compute.check_machine(tx, machine, credential)
    ha.heard_of(tx, machine_id)
    return {"host": host, "epoch": ha.take_over(tx, host, machine_id)}


async def take(call: Call) -> Reply:
    """POST …/hosts/{host}/take: 200 with the epoch, 409 with the reason."""
    return Reply(await call.cloud.transact(_take, call.params["machine"], call.header(CREDENTIAL), call.params["host"]))


def _beat(tx: Tx, machine: str, credential: str | None, boot_id: str) -> None:
    ha.beat(tx, compute.check_machine(tx, machine, credential), boot_id)


async def heartbeat(call: Call) -> Reply:
    """POST …/heartbeat, with ``{"boot_id": …}``: a machine that holds no host is alive."""
    boot_id = (await _body(call, _Heartbeat)).boot_id
    await call.cloud.transact(_beat, call.params["machine"], call.header(CREDENTIAL), boot_id)
    return Reply(status=204)


def _release(tx: Tx, machine: str, credential: str | None, host: str, stopped: int | None) -> dict[str, Any]:
    machine_id = compute.check_machine(tx, machine, credential)
    ha.heard_of(tx, machine_id)
    return {"host": host, "released": ha.release(tx, host, machine_id, stopped=stopped)}


async def release(call: Call) -> Reply:
    """POST …/hosts/{host}/release, with ``{"stopped": true, "epoch": N}`` from the agent itself."""
    said = await _body(call, _LetGo)
    if said.stopped and said.epoch is None:
        raise Invalid("epoch is missing: that of the lease whose guests have been stopped.")
    stopped = said.epoch if said.stopped else None
    return Reply(await call.cloud.transact(
        _release, call.params["machine"], call.header(CREDENTIAL), call.params["host"], stopped))


async def _body(call: Call, kind: type[T]) -> T:
    """The request's body, ``{}`` where there is none. Raises ``Invalid``."""
    data = bytearray()
    async for chunk in call.request.stream:
        data += chunk
        if len(data) > MAX_BODY:
            raise Invalid("The body is too large.")
    try:
        return msgspec.json.decode(data.strip() or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"The body can't be read: {error}") from None
