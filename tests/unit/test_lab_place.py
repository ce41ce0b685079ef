"""What machines of a lab don't see of the real machine through their overlay, and need bound."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stackling.lab import place


@pytest.mark.parametrize("where", ["/tmp/checkout/.venv", "/var/tmp/checkout/.venv", "/run/checkout/.venv"])
def test_a_program_where_machines_have_files_of_their_own_is_bound(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _self: True)
    monkeypatch.setattr(sys, "prefix", where)
    assert where in place.also_needed()
    assert place.also_needed().count(where) == 1


def test_what_lies_on_the_root_filesystem_is_seen_as_it_is() -> None:
    assert "/usr" not in place.also_needed() or Path("/usr").stat().st_dev != Path("/").stat().st_dev
