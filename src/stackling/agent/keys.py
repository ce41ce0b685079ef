"""Fetches the keys of encrypted volumes from control when a guest needs them; blocking, for threads. They are never
written to this machine's disks."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Sequence

import msgspec

from stackling.agent.images import connect
from stackling.agent.wire import Endpoint
from stackling.ports.document import VolumeKey
from stackling.ports.hypervisor import HypervisorError

LARGEST = 4096
PATIENCE = 5.0              # seconds for a node to answer; a server that waits for its key starts no sooner
Keys = Callable[[str], str]
"""The id of a key → what opens its volume. Raises ``HypervisorError``."""


class KeyFetch:
    """``Keys`` from control: ``GET /internal/volume-keys/{id}``, any node in turn."""

    def __init__(self, endpoints: Sequence[Endpoint], headers: dict[str, str],
                 tls: ssl.SSLContext | None = None) -> None:
        self._endpoints, self._headers, self._tls = endpoints, headers, tls

    def __call__(self, key_id: str) -> str:
        """Raises ``HypervisorError``."""
        problem = ""
        for endpoint in self._endpoints:
            connection = connect(endpoint, self._tls, PATIENCE)
            try:
                connection.request("GET", f"/internal/volume-keys/{key_id}", headers=self._headers)
                answer = connection.getresponse()
                body = answer.read(LARGEST)
            except (OSError, http.client.HTTPException) as error:
                problem = f"{endpoint.url}: {error}"
                continue
            finally:
                connection.close()
            if answer.status == 200:
                return msgspec.json.decode(body, type=VolumeKey).passphrase
            problem = f"{endpoint.url} answered {answer.status}"
        raise HypervisorError(f"the key of an encrypted volume can't be fetched ({problem})")


def none(key_id: str) -> str:
    """``Keys`` where there are none."""
    raise HypervisorError("this machine can't fetch the keys of encrypted volumes")
