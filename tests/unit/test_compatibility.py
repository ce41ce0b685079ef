"""The table of operations says what our routes are."""

from __future__ import annotations

from tests.compatibility.table import COMMAND, TABLE, compare, text


def test_the_table_is_what_the_routes_are() -> None:
    assert TABLE.read_text() == text(), f"docs/{TABLE.name} is stale; run `{COMMAND}` and commit it"


def test_whatever_is_missing_has_its_reason() -> None:
    unexplained = [f"{one.operation.service} {one.operation.method} {one.operation.path} ({one.operation.title})"
                   for one in compare() if one.state == "no" and not one.reason]
    assert not unexplained, "say why in tests/compatibility/reasons.toml:\n" + "\n".join(unexplained)
