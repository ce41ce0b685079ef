"""What commands show: progress while they work, and a result as a table for people or JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

WIDTH = 80
GREEN, RED, YELLOW = "green", "red", "yellow"


def show(style: str, value: Any, *tables: tuple[Sequence[str], Sequence[Sequence[Any]]]) -> None:
    """*value* as JSON, or *tables* (headings, rows) one after the other."""
    if style == "json":
        click.echo(json.dumps(value, indent=2, default=str))
        return
    for headings, rows in tables:
        click.echo(table(headings, rows))


def facts(style: str, value: Mapping[str, Any]) -> None:
    """One resource: JSON, or a name and a value a line."""
    if style == "json":
        click.echo(json.dumps(value, indent=2, default=str))
        return
    widest = max(map(len, value), default=0)
    for name, text in value.items():
        click.echo(f"{name.replace('_', ' '):<{widest}}  {text if text is not None else '-'}")


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as they must be; the last one gives way where the terminal is too narrow."""
    texts = [["-" if cell is None or cell == "" else str(cell) for cell in row] for row in rows]
    widths = [max([len(heading), *(_width(row[at]) for row in texts)]) for at, heading in enumerate(headings)]
    room = max(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) - sum(widths[:-1]) - 2 * (len(widths) - 1)
    lines = [[click.style(heading.upper(), bold=True) for heading in headings], *texts]
    shown: list[str] = []
    for line in lines:
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(line[:-1], widths, strict=False)]
        last = _wrapped(line[-1], max(room, 16))
        indent = " " * (sum(widths[:-1]) + 2 * (len(widths) - 1))
        shown.append("  ".join([*cells, f"\n{indent}".join(last)]).rstrip())
    return "\n".join(shown)


def _width(text: str) -> int:
    return len(click.unstyle(text))


def _wrapped(text: str, width: int) -> list[str]:
    if _width(text) <= width:
        return [text]
    import textwrap

    return textwrap.wrap(click.unstyle(text), width, break_on_hyphens=False) or [""]


def duration(seconds: float) -> str:
    """``3 s``, ``12 min``, ``5 h``, ``9 d``."""
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def size(number: float) -> str:
    """``12 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


class Steps:
    """Progress: a line that is rewritten on a terminal, plain lines elsewhere; on standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._live = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._started = time.monotonic()
        self._title = ""

    @contextmanager
    def step(self, title: str) -> Iterator[Steps]:
        """A step with its time: shown while it runs, ticked off when it ends."""
        outer, began = (self._title, self._started), time.monotonic()
        self._title, self._started = title, began
        self.note("")
        try:
            yield self
        except BaseException:
            self._line(click.style("✗", fg=RED), title, time.monotonic() - began)
            raise
        else:
            self._line(click.style("✓", fg=GREEN), title, time.monotonic() - began)
        finally:
            self._title, self._started = outer

    def note(self, text: str) -> None:
        """What the present step is doing."""
        if self._live:
            passed = time.monotonic() - self._started
            line = f"  … {self._title}  {text}"[:WIDTH - 10]
            sys.stderr.write(f"\r\x1b[K{line:<{WIDTH - 10}}{passed:6.1f} s")
            sys.stderr.flush()

    def _line(self, sign: str, title: str, seconds: float) -> None:
        if self._quiet:
            return
        if self._live:
            sys.stderr.write("\r\x1b[K")
        click.echo(f"  {sign} {title:<52.52} {seconds:6.1f} s", err=True)
