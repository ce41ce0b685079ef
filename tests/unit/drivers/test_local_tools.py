"""The tools that work on disks in a directory run with limits; what becomes of those that meet them."""

from __future__ import annotations

import pytest

from stackling.drivers.local.volumes import tool
from stackling.ports.volumes import StoreDown, StoreRefused

THREADS = "qemu: qemu_thread_create: Resource temporarily unavailable"


def test_memory_is_not_set_aside_for_each_thread() -> None:
    assert tool("sh", "-c", "echo $MALLOC_ARENA_MAX") == "1\n"


def test_a_tool_that_finds_no_room_for_its_threads_is_tried_again() -> None:
    with pytest.raises(StoreDown, match="no room for its threads"):
        tool("sh", "-c", f"echo '{THREADS}' >&2; exit 1")


def test_any_other_failure_is_a_refusal() -> None:
    with pytest.raises(StoreRefused, match="Invalid argument"):
        tool("sh", "-c", "echo 'qemu-img: Invalid argument' >&2; exit 1")
