"""TOML out of plain values: tables, arrays of tables, and what fits on a line."""

from __future__ import annotations

from typing import Any

from stackling.deploy.embedded.configuration import toml as value_of

Table = dict[str, Any]


def toml(table: Table, prefix: str = "") -> str:
    """*table* as text: its plain values first, then its tables."""
    plain = [f"{key} = {_inline(value)}" for key, value in table.items() if not _is_nested(value)]
    parts = ["\n".join(plain) + "\n"] if plain else []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            parts.append(f"\n[{name}]\n{toml(value, f'{name}.')}")
        elif _is_nested(value):
            parts += [f"\n[[{name}]]\n{toml(one, f'{name}.')}" for one in value]
    return "".join(parts)


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], dict))


def _inline(value: Any) -> str:
    return value_of(list(value) if isinstance(value, tuple) else value)
