"""A running QEMU gets another Ceph key, cut off after every step: with a monitor that knows nodes, secrets and use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackling.drivers.libvirt.rekey import MonitorRefused, rekey

CACHE = {"writeback": True, "direct": False, "no-flush": False}


class Qemu:
    """What a monitor shows of disks ``numbers``; the command number *dies* isn't carried out any more."""

    def __init__(self, numbers: tuple[int, ...] = (1,), drv: str = "raw") -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.below: dict[str, str] = {}
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.dies = -1
        self.drv = drv
        for number in numbers:
            name, secret = f"libvirt-{number}-storage", f"libvirt-{number}-storage-auth-secret0"
            self.secrets[secret] = "old"
            self.nodes[name] = {"driver": "rbd", "pool": "p", "image": f"i{number}", "conf": "/c", "user": "m1",
                                "key-secret": secret}
            self.below[f"libvirt-{number}-format"] = name

    def ask(self, command: str, **arguments: Any) -> Any:
        if self.dies == 0:
            raise KeyboardInterrupt
        self.dies -= 1
        self.said.append((command, arguments))
        return getattr(self, command.replace("-", "_"))(**{name.replace("-", "_"): value
                                                           for name, value in arguments.items()})

    def query_named_block_nodes(self, flat: bool) -> list[dict[str, Any]]:
        shown = [{"node-name": name, "drv": "rbd", "ro": False, "cache": CACHE, "detect_zeroes": "off",
                  "file": "json:" + json.dumps({key: value for key, value in node.items() if key != "key-secret"})}
                 for name, node in self.nodes.items()]
        return [*shown, *({"node-name": name, "drv": self.drv, "ro": False, "cache": CACHE, "detect_zeroes": "unmap",
                           "file": "json:{}"} for name in self.below)]

    def object_add(self, qom_type: str, id: str, data: str, format: str) -> None:
        if id in self.secrets:
            raise MonitorRefused("duplicate")
        self.secrets[id] = data

    def object_del(self, id: str) -> None:
        if id not in self.secrets or any(node["key-secret"] == id for node in self.nodes.values()):
            raise MonitorRefused("not there, or in use")
        del self.secrets[id]

    def blockdev_add(self, node_name: str, **options: Any) -> None:
        if node_name in self.nodes or options["key_secret"] not in self.secrets:
            raise MonitorRefused("duplicate")
        self.nodes[node_name] = {name: options[name] for name in ("driver", "pool", "image", "conf", "user")} | {
            "key-secret": options["key_secret"]}

    def blockdev_del(self, node_name: str) -> None:
        if node_name not in self.nodes or node_name in self.below.values():
            raise MonitorRefused("not there, or in use")
        del self.nodes[node_name]

    def blockdev_reopen(self, options: list[dict[str, Any]]) -> None:
        if options[0]["file"] not in self.nodes:
            raise MonitorRefused("no such node")
        self.below[options[0]["node-name"]] = options[0]["file"]

    def whole(self, number: int, user: str, key: str) -> bool:
        """The disk is as libvirt knows it, and reached as *user*."""
        name = f"libvirt-{number}-storage"
        return (self.below[f"libvirt-{number}-format"] == name and self.nodes[name]["user"] == user
                and self.nodes[name]["image"] == f"i{number}"
                and self.secrets[self.nodes[name]["key-secret"]] == key)


def renew(qemu: Qemu) -> int:
    return rekey(qemu.ask, "m1_2", "new", lambda pool, image: True)


def test_every_disk_is_reached_anew_under_its_own_name() -> None:
    qemu = Qemu((1, 3))
    names, secrets = set(qemu.nodes), set(qemu.secrets)
    assert renew(qemu) == 2
    assert [qemu.whole(number, "m1_2", "new") for number in (1, 3)] == [True, True]
    assert (set(qemu.nodes), set(qemu.secrets)) == (names, secrets)
    assert renew(qemu) == 0


def test_formats_keep_their_settings() -> None:
    qemu = Qemu(drv="luks")
    renew(qemu)
    for options in (arguments["options"][0] for command, arguments in qemu.said if command == "blockdev-reopen"):
        assert options["driver"] == "luks"
        assert options["key-secret"] == "libvirt-1-format-encryption-secret0"
        assert (options["discard"], options["detect-zeroes"]) == ("unmap", "unmap")
        assert options["cache"] == {"direct": False, "no-flush": False}


@pytest.mark.parametrize("step", range(1, 20))
def test_who_dies_after_any_step_leaves_what_the_next_one_finishes(step: int) -> None:
    qemu = Qemu((1, 2))
    qemu.dies = step
    try:
        renew(qemu)
    except KeyboardInterrupt:
        assert set(qemu.below.values()) <= set(qemu.nodes)      # the guest has its disks at any time
    qemu.dies = -1
    renew(qemu)
    assert [qemu.whole(number, "m1_2", "new") for number in (1, 2)] == [True, True]
    assert not [name for name in (*qemu.nodes, *qemu.secrets) if name.startswith("stackling-")]


def test_a_disk_that_was_unplugged_meanwhile_is_let_go() -> None:
    qemu = Qemu((1, 2))
    qemu.dies = 6                           # on a node of ours
    with pytest.raises(KeyboardInterrupt):
        renew(qemu)
    assert qemu.below["libvirt-1-format"] == "stackling-1"
    del qemu.below["libvirt-1-format"]      # by libvirt, which removes the node that it knows as well
    qemu.nodes.pop("libvirt-1-storage", None)
    qemu.dies = -1
    assert renew(qemu) == 1
    assert [name for name in qemu.nodes if "1" in name.split("-")] == []


def test_a_qemu_that_refuses_goes_on_as_before() -> None:
    qemu = Qemu()

    def refuse(options: list[dict[str, Any]]) -> None:
        raise MonitorRefused("not supported")

    qemu.blockdev_reopen = refuse           # type: ignore[method-assign]
    with pytest.raises(MonitorRefused, match="not supported"):
        renew(qemu)
    assert qemu.whole(1, "m1", "old")
    assert len(qemu.nodes) == 1
