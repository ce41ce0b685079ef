"""A real cloud on this machine, for the tests that log in to servers: libvirt, OVN, disks in directories or in Ceph.

It is isolated: floating IPs exist only in the namespace ``INSTANCE-outside``, which stands for the world. So tempest
runs there, and reaches the APIs through a listener of that namespace that this process holds.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stackling.deploy.embedded.configuration import read
from stackling.deploy.guest import build
from tests.ceph import bare_ceph
from tests.tempest.cloud import IMAGES, STACKLING, Client, Prepared, shared_type

FLAVORS = ("m1.nano", "m1.micro")       # the guest starts in the first one's 192 MiB
BIND = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"."], [listener.fileno()])
"""


@contextmanager
def running(state: Path, *, keep: bool, ceph: bool) -> Iterator[Client]:
    """A real, isolated cloud in *state*; at the end it is stopped, and all of it removed unless it is to be kept. With
    *ceph* its images, disks and volumes are in a cluster of its own, which goes with this."""
    with bare_ceph(gib=8) if ceph else nullcontext() as storage:
        try:
            _stackling(state, "up", "--isolated")
            if storage is not None:
                _stackling(state, "down")
                _stackling(state, "storage", "add", "ceph", "--conf", str(storage.ceph.conf),
                           "--keyring", str(storage.ceph.admin_keyring))
                _stackling(state, "up")
            yield Client(state / "clouds.yaml")
        finally:
            _stackling(state, "down" if keep else "purge")


def _stackling(state: Path, *words: str) -> None:
    subprocess.run([*STACKLING, *words, "--state-dir", str(state)], check=True, stdout=subprocess.DEVNULL)


def prepare(client: Client, guest: Path, *, ceph: bool) -> Prepared:
    """The guest as two images, written to *guest*; flavors and the public network are every cloud's own. Volumes in
    Ceph may have several servers; files in qcow2 have one writer."""
    build.build(guest)
    flavors = {flavor["name"]: flavor["id"] for flavor in client.get("compute", "/v2.1/flavors")["flavors"]}
    (network,) = client.get("network", "/v2.0/networks?router:external=true")["networks"]
    return Prepared(tuple(_image(client, name, guest) for name in IMAGES), tuple(flavors[name] for name in FLAVORS),
                    network["id"], network["name"], shared_type(client) if ceph else "")


def _image(client: Client, name: str, guest: Path) -> str:
    for image in client.get("image", f"/v2/images?name={name}&status=active")["images"]:
        return image["id"]
    wanted = {"name": name, "disk_format": "qcow2", "container_format": "bare", "visibility": "public",
              "hw_qemu_guest_agent": "yes", "hw_rng_model": "virtio"}
    made: dict[str, Any] = client.request("POST", "image", "/v2/images", json=wanted).json()
    client.request("PUT", "image", f"/v2/images/{made['id']}/file", content=guest.read_bytes(),
                   headers={"Content-Type": "application/octet-stream"})
    return made["id"]


# -- the world


def world(state: Path) -> str:
    """The namespace that stands for it."""
    return f"{read(state / 'stackling.toml').instance}-outside"


@contextmanager
def reachable(client: Client, namespace: str) -> Iterator[None]:
    """Let the APIs be found in *namespace* where they are found here."""
    api = urlsplit(client.auth["auth_url"])
    assert api.hostname
    assert api.port
    listener = _listener(namespace, api.port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(_forward(listener, api.hostname, api.port),),
                              daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(_stop, loop)
        thread.join(10)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _listener(namespace: str, port: int) -> socket.socket:
    """A socket that listens in *namespace*, wherever its owner is."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "--", sys.executable, "-c", BIND, str(port),
                        str(theirs.fileno())], pass_fds=[theirs.fileno()], check=True, timeout=60)
        _, (fd,), *_ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=fd)


async def _forward(listener: socket.socket, host: str, port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, forth), _pipe(back, writer))

    server = await asyncio.start_server(serve, sock=listener)
    with suppress(asyncio.CancelledError):
        await server.serve_forever()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
