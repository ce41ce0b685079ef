"""What the documents say: links lead somewhere, and the commands, options and targets that they name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stackling.cli.main import stackling

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]*)\)")
CODE = re.compile(r"`(stackling [^`]+)`")
BLOCK = re.compile(r"```(?:sh|console)?\n(.*?)```", re.DOTALL)
PASSED_ON = {("lab", "ssh"), ("lab", "run"), ("ssh",)}       # what follows is another program's

pytestmark = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def slugs(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(path: Path) -> None:
    dead: list[str] = []
    for link in LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in slugs(target)):
            dead.append(link)
    assert dead == []


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every call of ``stackling`` in a document."""
    text = path.read_text()
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    for line in [*(re.sub(r"^[#$] ", "", line.strip()) for line in lines), *CODE.findall(re.sub(r"\s+", " ", text))]:
        if line.startswith("stackling "):
            yield re.split(r" {3,}| # |[|;&]", line)[0].split()[1:]


def unknown(words: list[str]) -> str | None:
    """What of a call isn't there: the command, or an option of it."""
    command: click.Command = stackling
    context, found = click.Context(stackling), 0
    while isinstance(command, click.Group) and found < len(words) and re.fullmatch(r"[a-z][a-z-]*", words[found]):
        inner = command.get_command(context, words[found])
        if inner is None:
            return words[found]
        command, found = inner, found + 1
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "--version"}
    if tuple(words[:found]) in PASSED_ON:
        return None
    given = [re.match(r"\[?(--[a-z][a-z-]*)", word) for word in words[found:]]
    return next((match[1] for match in given if match and match[1] not in known), None)


def test_commands_are_there(path: Path) -> None:
    wrong = {" ".join(words): missing for words in commands(path) if (missing := unknown(words))}
    assert wrong == {}


def test_targets_are_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^# |^)make ([a-z][a-z-]*)", path.read_text(), re.MULTILINE))
    assert named <= targets
