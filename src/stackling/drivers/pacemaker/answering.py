"""Whether a machine that should be off answers on any of its networks: a question to its kernel, not to its services.

A connection to a port is either made or refused, and both say that somebody is there; silence says nothing. A machine
of which only the management network is cut answers on the others, whatever its fence device says of it.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Mapping, Sequence

PORT = 22
PATIENCE = 1.2              # seconds; the kernel asks again after one


class Answering:
    """Over the machines' *addresses*, by name."""

    def __init__(self, addresses: Mapping[str, Sequence[str]], port: int = PORT, patience: float = PATIENCE) -> None:
        self._addresses, self._port, self._patience = addresses, port, patience

    def __call__(self, machine: str) -> str | None:
        """The first address at which *machine* answers; None when it is silent."""
        with selectors.DefaultSelector() as waiting:
            try:
                for address in self._addresses.get(machine, ()):
                    family = socket.AF_INET6 if ":" in address else socket.AF_INET
                    trial = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                    waiting.register(trial, selectors.EVENT_WRITE, address)
                    if _there(trial.connect_ex((address, self._port))):
                        return address
                return self._wait(waiting)
            finally:
                for key in list(waiting.get_map().values()):
                    waiting.unregister(key.fileobj)
                    assert isinstance(key.fileobj, socket.socket)
                    key.fileobj.close()

    def _wait(self, waiting: selectors.BaseSelector) -> str | None:
        deadline = time.monotonic() + self._patience
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                trial = key.fileobj
                assert isinstance(trial, socket.socket)
                if _there(trial.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                    return str(key.data)
                waiting.unregister(trial)
                trial.close()
        return None


def _there(error: int) -> bool:
    return error in (0, errno.ECONNREFUSED, errno.ECONNRESET)
