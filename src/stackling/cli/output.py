"""What commands show: progress while they work, and a result as a table for people or JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH = 80
AT_ONCE = 1.0       # seconds
GREEN, RED, YELLOW = "green", "red", "yellow"


def show(style: str, value: Any, *tables: tuple[Sequence[str], Sequence[Sequence[Any]]]) -> None:
    """*value* as JSON, or *tables* (headings, rows) one after the other."""
    if style == "json":
        click.echo(json.dumps(value, indent=2, default=str))
        return
    for headings, rows in tables:
        _console().print(_table(headings, rows))


def facts(style: str, value: Mapping[str, Any]) -> None:
    """One resource: JSON, or a name and a value a line."""
    if style == "json":
        click.echo(json.dumps(value, indent=2, default=str))
        return
    widest = max(map(len, value), default=0)
    for name, text in value.items():
        click.echo(f"{name.replace('_', ' '):<{widest}}  {text if text is not None else '-'}")


def done(style: str, value: Any, text: str, *, err: bool = True) -> None:
    """What a command has done: *value* as JSON, or *text* (on standard error unless *err* is false)."""
    if style == "json":
        click.echo(json.dumps(value, indent=2, default=str))
    else:
        click.echo(text, err=err)


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        made.add_column(heading.upper(), overflow="fold", no_wrap=heading is not headings[-1])
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(_shown(cell)) for cell in row))
    return made


def _shown(cell: Any) -> str:
    return "-" if cell is None or cell == "" else str(cell)


def _console(*, errors: bool = False) -> Console:
    """At least 80 columns wide, so that a file gets what a terminal shows."""
    from rich.console import Console

    return Console(stderr=errors, highlight=False, width=None if sys.stdout.isatty() else max(
        WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def colored(text: str, color: str) -> Text:
    """*text* in *color*, where the terminal has colours."""
    from rich.text import Text

    return Text(text, color)


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


def number(count: int, noun: str) -> str:
    """``1 server``, ``2 servers``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class Steps:
    """Progress on standard error: a line that moves on a terminal, a plain line for each finished step elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._note: Callable[[str], None] = lambda _text: None

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step with its time: shown while it runs, ticked off when it ends. One that is refused at once isn't
        shown: the refusal says it all."""
        began, done = time.monotonic(), False
        try:
            with self._moving(title) if self._live else nullcontext():
                yield
            done = True
        finally:
            self._note = lambda _text: None
            took = time.monotonic() - began
            if not self._quiet and (done or took > AT_ONCE):        # after the moving line is gone
                sign = click.style("✓", fg=GREEN) if done else click.style("✗", fg=RED)
                click.echo(f"  {sign} {title:<52.52} {took:6.1f} s", err=True)

    def note(self, text: str) -> None:
        """What the present step is doing."""
        self._note(text)

    @contextmanager
    def _moving(self, title: str) -> Iterator[None]:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=_console(errors=True), transient=True) as progress:
            task = progress.add_task(title, total=None)
            self._note = lambda text: progress.update(task, description=f"{title}  {text}"[:WIDTH - 16])
            yield
