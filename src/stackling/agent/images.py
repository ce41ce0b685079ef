"""Fetches image data from control, and hands copies of disks over to it; blocking, for threads."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from stackling.agent.wire import Endpoint
from stackling.ports.disks import Exported
from stackling.ports.document import IMAGE_LOCATION, RootDisk
from stackling.ports.hypervisor import GuestRefused, HypervisorError

log = logging.getLogger(__name__)
CHUNK = 1 << 18
NOT_WANTED = (404, 409, 410, 413, 415)
TIMEOUT = 30.0          # seconds without a byte
COPY_TIMEOUT = 3600.0   # seconds that control may take to copy a disk within the storage


class ImageFetch:
    """``ports.disks.Fetch`` from control: ``GET /internal/images/{id}/file``, any node in turn."""

    def __init__(self, endpoints: Sequence[Endpoint], headers: dict[str, str],
                 tls: ssl.SSLContext | None = None) -> None:
        self._endpoints, self._headers, self._tls = endpoints, headers, tls

    def __call__(self, disk: RootDisk, write: Callable[[bytes], object]) -> None:
        """Raises ``HypervisorError``, ``GuestRefused`` when control has no such image."""
        problem = ""
        for endpoint in self._endpoints:
            connection = connect(endpoint, self._tls)
            try:
                connection.request("GET", f"/internal/images/{disk.image_id}/file", headers=self._headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                problem = f"{endpoint.url}: {error}"
                connection.close()
                continue
            try:
                self._take(disk, answer, write)
                return
            except http.client.HTTPException as error:
                raise HypervisorError(f"the image broke off while it was fetched: {error}") from None
            except TimeoutError:
                raise HypervisorError("the image came to a halt while it was fetched") from None
            finally:
                connection.close()
        raise HypervisorError(f"the image can't be fetched, no control node answers ({problem})")

    def _take(self, disk: RootDisk, answer: http.client.HTTPResponse, write: Callable[[bytes], object]) -> None:
        if answer.status == 404:
            raise GuestRefused(f"The image {disk.image_id} is gone, and this host has no copy of it.")
        if answer.status != 200:
            raise HypervisorError(f"the image can't be fetched: control answered {answer.status}")
        while chunk := answer.read(CHUNK):
            write(chunk)


class ImageSend:
    """``ports.disks.HandOver`` to control: ``PUT /internal/images/{id}/file``, any node in turn."""

    def __init__(self, endpoints: Sequence[Endpoint], headers: dict[str, str],
                 tls: ssl.SSLContext | None = None) -> None:
        self._endpoints, self._headers, self._tls = endpoints, headers, tls

    def __call__(self, image_id: str, copy: Exported) -> None:
        """Raises ``HypervisorError``. An image that control doesn't want any more, or refuses, is done with.

        Of a copy in the shared storage only the location is sent; control's answer then takes as long as copying.
        """
        problem = ""
        for endpoint in self._endpoints:
            connection = connect(endpoint, self._tls)
            try:
                answer = self._put(connection, f"/internal/images/{image_id}/file", copy)
            except FileNotFoundError:
                raise HypervisorError(f"the copy of the root disk for image {image_id} is gone") from None
            except (OSError, http.client.HTTPException) as error:
                problem = f"{endpoint.url}: {error}"
                continue
            finally:
                connection.close()
            if answer.status < 300:
                return
            if answer.status in NOT_WANTED:
                log.warning("image %s isn't taken: control answered %d", image_id, answer.status)
                return
            problem = f"{endpoint.url} answered {answer.status}"
        raise HypervisorError(f"the image can't be handed over ({problem})")


    def _put(self, connection: http.client.HTTPConnection, url: str, copy: Exported) -> http.client.HTTPResponse:
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        if isinstance(copy, str):
            connection.connect()
            connection.sock.settimeout(COPY_TIMEOUT)
            connection.request("PUT", url, body=b"", headers={**headers, IMAGE_LOCATION: copy})
            return connection.getresponse()
        with copy.open("rb") as file:
            connection.request("PUT", url, body=file, headers={**headers, "Content-Length": str(copy.stat().st_size)})
            return connection.getresponse()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path, self._patience = path, timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._patience)
        self.sock.connect(self._path)


def connect(endpoint: Endpoint, tls: ssl.SSLContext | None, timeout: float = TIMEOUT) -> http.client.HTTPConnection:
    """A connection to a control node, not opened yet; *timeout* is in seconds without a byte."""
    if endpoint.socket is not None:
        return _UnixConnection(endpoint.socket, timeout)
    if endpoint.tls:
        return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout, context=tls)
    return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)
