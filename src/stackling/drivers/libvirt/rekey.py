"""Has a running QEMU reach its disks in Ceph as another user, while its guest goes on. Standard library only: the
worker process loads this file by itself.

Theory of operation. libvirt gives QEMU two nodes a disk: ``libvirt-N-storage`` (Ceph's), and on it
``libvirt-N-format`` (raw or LUKS), which the guest's device has. Ceph's client takes its key when a node is opened, so
a new key needs a new node; QEMU changes the node beneath a format by ``blockdev-reopen``, which first lets all requests
end, and holds back new ones for that moment. libvirt knows its nodes and secrets by their names alone, and removes
them when a disk is unplugged: so the format is put on a node of ours, libvirt's node is made anew under its own name,
and the format put back. Both Ceph clients are this machine's; the image's lock goes from one to the other as they ask.

Who dies between two steps is found out by what there is: a node of ours that can't be removed has the format on it,
and then libvirt's node is the one to be made anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Monitor = Callable[..., Any]
"""A command of QEMU's monitor and its arguments → what it returns. Raises ``MonitorRefused``."""
_STORAGE = re.compile(r"libvirt-([0-9]+)-storage")


class MonitorRefused(Exception):
    """QEMU's words."""


def rekey(ask: Monitor, user: str, key: str, discard: Callable[[str, str], bool]) -> int:
    """Have every disk in Ceph reached as *user* (without ``client.``) with *key* (base64); how many weren't yet.

    *discard* says of a disk (its pool and image) whether the guest's discards are passed on. Raises
    ``MonitorRefused``; then the disk is reached as before, and it may be tried again.
    """
    nodes = {node["node-name"]: node for node in ask("query-named-block-nodes", flat=True)}
    numbers = {found[1] for name in nodes if (found := re.fullmatch(r"stackling-([0-9]+)", name))}
    numbers |= {found[1] for name, node in nodes.items()
                if node["drv"] == "rbd" and (found := _STORAGE.fullmatch(name))}
    return sum(_Disk(ask, number, nodes, discard).renew(user, key) for number in sorted(numbers, key=int))


def described(node: dict[str, Any]) -> dict[str, Any]:
    """The options of a node by which it reaches its image."""
    text = str(node.get("file", ""))
    return json.loads(text.removeprefix("json:")) if text.startswith("json:") else {}


class _Disk:
    def __init__(self, ask: Monitor, number: str, nodes: dict[str, Any], discard: Callable[[str, str], bool]) -> None:
        self.ask, self.nodes, self.discard = ask, nodes, discard
        self.storage, self.format = f"libvirt-{number}-storage", f"libvirt-{number}-format"
        self.secret = f"{self.storage}-auth-secret0"
        self.ours, self.our_secret = f"stackling-{number}", f"stackling-{number}-secret"

    def renew(self, user: str, key: str) -> bool:
        on_ours = self.ours in self.nodes and not self._tried("blockdev-del", **{"node-name": self.ours})
        if not on_ours:
            self._tried("object-del", id=self.our_secret)
            if self.storage not in self.nodes:          # unplugged meanwhile
                return False
        reached = described(self.nodes[self.ours if on_ours else self.storage])
        if not on_ours and reached.get("user") == user:
            return False
        found = self.nodes.get(self.format)
        if found is None:
            raise MonitorRefused(f"{self.storage} isn't beneath a node of its format, as with libvirt 9")
        options = self._options(reached, found, user)
        if not on_ours:
            self._add(self.ours, self.our_secret, options, key)
            try:
                self._put_on(self.ours, found, reached)
            except MonitorRefused:
                self._remove(self.ours, self.our_secret)
                raise
        self._remove(self.storage, self.secret)
        self._add(self.storage, self.secret, options, key)
        self._put_on(self.storage, found, reached)
        self._remove(self.ours, self.our_secret)
        return True

    def _options(self, reached: dict[str, Any], format: dict[str, Any], user: str) -> dict[str, Any]:
        """Of the node in Ceph, as libvirt gives them."""
        known = {name: reached[name] for name in ("pool", "namespace", "image", "conf", "server") if name in reached}
        return {"driver": "rbd", **known, "user": user, "auth-client-required": ["cephx", "none"],
                "auto-read-only": True, **self._common(reached, format)}

    def _common(self, reached: dict[str, Any], format: dict[str, Any]) -> dict[str, Any]:
        cache = format["cache"]
        passed = self.discard(str(reached.get("pool")), str(reached.get("image")))
        return {"read-only": format["ro"], "discard": "unmap" if passed else "ignore",
                "cache": {"direct": cache["direct"], "no-flush": cache["no-flush"]}}

    def _put_on(self, node: str, format: dict[str, Any], reached: dict[str, Any]) -> None:
        options = {"driver": format["drv"], "node-name": self.format, "file": node, **self._common(reached, format),
                   "detect-zeroes": format.get("detect_zeroes", "off")}
        if format["drv"] == "luks":
            options["key-secret"] = f"{self.format}-encryption-secret0"
        self.ask("blockdev-reopen", options=[options])

    def _add(self, node: str, secret: str, options: dict[str, Any], key: str) -> None:
        self._tried("object-del", id=secret)
        self.ask("object-add", **{"qom-type": "secret", "id": secret, "data": key, "format": "base64"})
        try:
            self.ask("blockdev-add", **{**options, "node-name": node, "key-secret": secret})
        except MonitorRefused:
            self._tried("object-del", id=secret)
            raise

    def _remove(self, node: str, secret: str) -> None:
        self._tried("blockdev-del", **{"node-name": node})
        self._tried("object-del", id=secret)

    def _tried(self, command: str, **arguments: Any) -> bool:
        try:
            self.ask(command, **arguments)
        except MonitorRefused:
            return False
        return True
