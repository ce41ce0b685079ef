"""``StorageFence`` by Ceph's blocklist of a whole address (``ADDRESS:0/0``), which every OSD enforces.

The entry ends by itself after its time: whoever needs it longer renews it. A client that was shut out never recovers;
its QEMU has to be started again, and so have our own workers, which end by themselves then.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from stackling.drivers.ceph.client import CephAccess, CephClient, CephError
from stackling.ports.storage_fence import StorageFenceError

WHOLE = ":0/0"


class CephFence:
    """As a user whose rights contain the blocklist (``rights.images_user``)."""

    def __init__(self, access: CephAccess) -> None:
        self.client = CephClient(access)

    def shut_out(self, address: str, seconds: float) -> None:
        with _explained():
            self.client.quick("blocklist_add", address=_entity(address), seconds=seconds)

    def let_in(self, address: str) -> None:
        with _explained():
            self.client.quick("blocklist_remove", address=_entity(address))

    def shut_out_until(self) -> dict[str, float]:
        with _explained():
            entries = self.client.quick("blocklist")
        return {entry["addr"].removesuffix(WHOLE).strip("[]"): datetime.fromisoformat(entry["until"]).timestamp()
                for entry in entries if entry["addr"].endswith(WHOLE)}

    def close(self) -> None:
        """End the worker."""
        self.client.close()


def _entity(address: str) -> str:
    found = ipaddress.ip_address(address)
    return f"[{found}]{WHOLE}" if found.version == 6 else f"{found}{WHOLE}"


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except CephError as error:
        raise StorageFenceError(str(error)) from None
