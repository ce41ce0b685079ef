"""What OVN's controllers say of the members that they check: the southbound table ``Service_Monitor``, read only."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ovs import poller
from ovs.db import idl
from ovsdbapp.backend.ovs_idl import connection

log = logging.getLogger(__name__)
Checked = tuple[str, str, int, str]             # logical port, address, port, protocol
AFTER_FAILURE = 1.0                             # seconds
_STRING = {"key": "string", "min": 0, "max": 1}
_SCHEMA = {"name": "OVN_Southbound", "version": "20.0.0", "tables": {"Service_Monitor": {"isRoot": True, "columns": {
    "ip": {"type": "string"}, "protocol": {"type": _STRING}, "port": {"type": "integer"},
    "logical_port": {"type": "string"}, "status": {"type": _STRING}}}}}


class _Replica(connection.OvsdbIdl):
    def __init__(self, remote: str, told: Callable[[str], None]) -> None:
        helper = idl.SchemaHelper(schema_json=_SCHEMA)
        helper.register_all()
        self._told = told
        super().__init__(remote, helper, leader_only=False)
        self._session.reconnect.min_backoff, self._session.reconnect.max_backoff = 100, 1000    # milliseconds

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """A row came, changed or went (called by the library while it reads an update)."""
        port = next(iter(row._data["logical_port"].values), None)
        if port is not None:
            self._told(str(port.value))


class Monitors:
    """The monitors at *remote*. ``told`` hears the logical port of each that came, changed or went.

    A southbound database that doesn't answer leaves its last news in force: members that were well stay so.
    """

    def __init__(self, remote: str, told: Callable[[str], None]) -> None:
        self._remote, self._told = remote, told
        self._lock = threading.Lock()
        self._known: Mapping[Checked, bool] = {}
        self._closed = False
        self._wake = -1
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read in a thread of its own, from now on."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._thread = threading.Thread(target=self._run, name="ovn-sb", daemon=True)
                self._thread.start()

    def known(self) -> Mapping[Checked, bool]:
        """Whether each checked end answers; one that hasn't been found to do or not to do so is left out."""
        return self._known

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._closed = True
            if self._thread is not None:
                with suppress(OSError):
                    os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        heard: list[str] = []
        replica = _Replica(self._remote, heard.append)
        while not self._closed:
            polling = poller.Poller()
            try:
                replica.run()
                if heard:
                    self._known = _read(replica)
                    for port in dict.fromkeys(heard):
                        self._told(port)
                    heard.clear()
                replica.wait(polling)
            except Exception:
                log.exception("reading OVN's southbound database failed; connecting anew")
                replica.force_reconnect()
                time.sleep(AFTER_FAILURE)
                continue
            polling.fd_wait(self._wake, poller.POLLIN)
            polling.block()
        replica.close()
        os.close(self._wake)


def _read(replica: _Replica) -> dict[Checked, bool]:
    found: dict[Checked, bool] = {}
    for row in replica.tables["Service_Monitor"].rows.values():
        value = {name: next((one.value for one in row._data[name].values), None)
                 for name in ("logical_port", "ip", "port", "protocol", "status")}
        if value["status"]:
            found[str(value["logical_port"]), str(value["ip"]), int(value["port"] or 0),
                  str(value["protocol"] or "tcp")] = value["status"] == "online"
    return found
