"""Serves metadata to guests: one asyncio server for all networks of this machine.

Theory of operation. Who asks is known by the network (the listening socket that the connection came in by) and the
source address alone, and OVN lets no guest send from an address that isn't its own. Headers that a guest sends
(``X-Forwarded-For``, ``X-Instance-ID`` …) mean nothing. Namespaces outlive the agent; a new one finds them and only
listens again.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from stackling.agent.metadata.passwords import Passwords, is_password
from stackling.agent.metadata.tree import lookup
from stackling.agent.metadata.wiring import Plant, WiringFailed
from stackling.agent.run import Run
from stackling.agent.serve import MAX_HEAD, Handler, Request, Response, Server
from stackling.ports.document import MetadataNetwork, ServerDesired

log = logging.getLogger(__name__)
CHECK = 60.0            # seconds between two looks whether the namespaces are as they should be
RETRY = (0.5, 30.0)


@dataclass(slots=True)
class Served:
    """A network that is served."""

    network: MetadataNetwork
    wired: bool = False
    servers: list[asyncio.Server] = field(default_factory=list[asyncio.Server])

    def close(self) -> None:
        """Stop listening."""
        for server in self.servers:
            server.close()
        self.servers = []


class MetadataService:
    """*find* gives a server of the ledger; *passwords*: where those that guests post go, None: nowhere."""

    def __init__(self, plant: Plant, run: Run, find: Callable[[str], ServerDesired | None],
                 passwords: Passwords | None = None) -> None:
        self._plant, self._run, self._find, self._passwords = plant, run, find, passwords
        self._server = Server()
        self._wanted: dict[str, MetadataNetwork] = {}
        self._served: dict[str, Served] = {}
        self._changed = asyncio.Event()

    def set_networks(self, networks: Sequence[MetadataNetwork]) -> None:
        """Serve these networks and no others. Who has which address counts at once, the rest a little later."""
        self._wanted = {network.network_id: network for network in networks}
        for id, served in self._served.items():
            if network := self._wanted.get(id):
                served.wired = served.wired and _wiring(network) == _wiring(served.network)
                served.network = network
        self._changed.set()

    async def run(self) -> None:
        """Keep namespaces and sockets as they should be until cancelled."""
        failures = 0
        try:
            while True:
                self._changed.clear()
                good = await self._converge()
                failures = 0 if good else failures + 1
                wait = CHECK if good else min(RETRY[1], RETRY[0] * 2 ** min(failures, 8))
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    for served in self._served.values():
                        served.wired = False
        finally:
            for served in self._served.values():
                served.close()

    # -- how

    async def _converge(self) -> bool:
        good = True
        for id in [id for id in self._served if id not in self._wanted]:
            self._served.pop(id).close()
            await self._run(self._plant.remove, self._plant.namespace(id), id)
        names = {self._plant.namespace(id) for id in self._wanted}
        for name in await self._run(self._plant.present):
            if name not in names:
                await self._run(self._plant.remove, name)
        for id, network in list(self._wanted.items()):
            served = self._served.setdefault(id, Served(network))
            try:
                if not served.wired:
                    await self._run(self._plant.make, network)
                    served.wired = True
                if not served.servers:
                    await self._listen(id, served)
            except (WiringFailed, OSError) as error:
                log.warning("metadata of network %s can't be served: %s", id, error)
                good = False
        return good

    async def _listen(self, id: str, served: Served) -> None:
        callback = self._server.connected(self._handler(served), id)
        for each in await self._run(self._plant.listen, id):
            served.servers.append(await asyncio.start_server(callback, sock=each, limit=MAX_HEAD))

    def _handler(self, served: Served) -> Handler:
        async def answer(request: Request) -> Response:
            return await answer_to(request, served.network, self._find, self._passwords)
        return answer


def _wiring(network: MetadataNetwork) -> tuple[object, ...]:
    return (network.port_id, network.mac, network.mtu, network.addresses)


async def answer_to(request: Request, network: MetadataNetwork, find: Callable[[str], ServerDesired | None],
                    passwords: Passwords | None) -> Response:
    """``respond``, with the password that the guest posts, or has posted."""
    answer = respond(request, network, find)
    if passwords is None or not is_password(_path(request)) or request.method not in ("GET", "HEAD", "POST"):
        return answer
    reading = replace(request, method="GET")
    server = who(request.client, network, find)
    if server is None or respond(reading, network, find).status != 200:     # no version that has one
        return respond(reading, network, find)
    return await passwords.answer(request, server.id)


def respond(request: Request, network: MetadataNetwork, find: Callable[[str], ServerDesired | None]) -> Response:
    """The answer to a guest's request that came in by *network*."""
    server = who(request.client, network, find)
    if server is None:
        return Response(404, b"no server of this cloud has your address\n")
    path = _path(request)
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"only GET\n")
    content = lookup(server.metadata, path, _seed)
    if content is None:
        return Response(404, b"404 Not Found\n")
    return Response(200, content.body, content.type)


def _path(request: Request) -> str:
    return unquote(urlsplit(request.target).path)


def who(client: str, network: MetadataNetwork, find: Callable[[str], ServerDesired | None]) -> ServerDesired | None:
    """The server with the source address *client* in *network*; a link-local address stands for its interface's MAC."""
    client = client.partition("%")[0]
    address = ipaddress.ip_address(client)
    server_id = network.servers.get(client)
    if server_id is not None:
        return find(server_id)
    if address.version == 6 and address.is_link_local:
        for candidate in {*network.servers.values()}:
            server = find(candidate)
            nics = server.nics if server else ()
            if any(nic.network_id == network.network_id and link_local(nic.mac) == address for nic in nics):
                return server
    return None


def link_local(mac: str) -> ipaddress.IPv6Address:
    """The link-local address that an interface derives from its MAC (EUI-64)."""
    parts = [int(part, 16) for part in mac.split(":")]
    identifier = [parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:6]]
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes(identifier))


def _seed() -> str:
    return base64.b64encode(os.urandom(512)).decode()
