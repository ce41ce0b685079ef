"""Compare our routes with the operations of OpenStack's API reference, and write the table.

``operations.tsv`` holds the operations (service, method, path, title), ``reasons.toml`` says why one isn't there. A
route that refuses before it has looked at its request (retired upstream, or not offered here) is found by calling its
handler without one.
"""

from __future__ import annotations

import csv
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stackling.api.route import Service
from stackling.core.errors import Gone, StacklingError
from tests.routes import public_services

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "compatibility-table.md"
COMMAND = "make compatibility"
TITLES = {"identity": "Identity", "image": "Image", "placement": "Placement", "compute": "Compute",
          "network": "Network", "block-storage": "Block Storage", "object-store": "Object Store"}
PREFIXES: Mapping[str, tuple[tuple[str, str], ...]] = {
    # (of our prefix and path, as in the reference)
    "identity": (("/identity", ""),),
    "image": (("/image", ""),),
    "placement": (("/placement", ""),),
    "compute": (("/compute/v2.1", ""), ("/compute", "")),
    "network": (("/network", ""),),
    "block-storage": (("/volume/v3/{project_id}", "/v3/{project_id}"), ("/volume/v3", "/v3"),
                      ("/volume/v3", "/v3/{project_id}"), ("/volume", "")),
    "object-store": (("/object-store", ""),),
}
NAMES = re.compile(
    r"^/(v2/schemas(/metadefs)?|(v3/\{\}/)?os-(services|certificates|cloudpipe|floating-ips-bulk))/[\w-]+$")
"""Paths of the reference that end in a name where we have a place for any."""
PLACE = re.compile(r"\{[^}]*\}")
AS_UPSTREAM = "as upstream: "
"""How a reason begins of what upstream refuses as well, in a deployment like ours."""
ACTION = re.compile(r"\(([\w-]+) Action\)")


@dataclass(frozen=True)
class Operation:
    """One line of the reference."""

    service: str
    method: str
    path: str
    title: str


@dataclass(frozen=True)
class Found:
    """What there is of an operation: ``yes``, ``refused`` (as upstream refuses it) or ``no``, with the reason."""

    operation: Operation
    state: str
    reason: str = ""


@cache
def operations() -> tuple[Operation, ...]:
    """All operations of the reference."""
    with (HERE / "operations.tsv").open() as file:
        return tuple(Operation(**row) for row in csv.DictReader(file, delimiter="\t"))


def compare() -> list[Found]:
    """Every operation with what there is of it."""
    ours = dict(_routes(public_services()))
    return [_find(one, ours) for one in operations()]


def _routes(services: Iterable[Service]) -> Iterator[tuple[tuple[str, str, str], Callable[..., Any]]]:
    for service in services:
        for route in service.routes:
            whole = service.prefix + route.path
            methods = {route.method, "HEAD"} if service.head and route.method == "GET" else {route.method}
            for name, prefixes in PREFIXES.items():
                for ours, theirs in prefixes:
                    if whole == ours or whole.startswith(ours + "/"):
                        path = theirs + whole.removeprefix(ours) or "/"
                        for method in methods:
                            yield (name, method, PLACE.sub("{}", path)), route.handler


def _find(wanted: Operation, ours: Mapping[tuple[str, str, str], Callable[..., Any]]) -> Found:
    path = PLACE.sub("{}", wanted.path)
    candidates = ["/v2.1" if wanted.path == "/{api_version}" else path]
    if NAMES.match(path):
        candidates.append(re.sub(r"[^/]+$", "{}", path))
    if wanted.service == "network" and path.startswith("/v2.0/{}/{}/tags"):
        candidates.append(path.replace("/v2.0/{}", "/v2.0/networks"))   # what has tags has them alike
    handler = next((ours[key] for one in candidates if (key := (wanted.service, wanted.method, one)) in ours), None)
    if handler is not None and wanted.service == "compute" and path == "/servers/{}/action":
        handler = _server_action(wanted.title)
    if handler is None:
        return Found(wanted, "no", reason_for(wanted))
    refusal = _refusal(handler)
    if refusal is None:
        return Found(wanted, "yes")
    reason, answer = reason_for(wanted), f"answers {refusal.status}"
    if isinstance(refusal, Gone):
        return Found(wanted, "refused", f"{answer}: retired")
    if reason.startswith(AS_UPSTREAM):
        return Found(wanted, "refused", f"{answer}: {reason.removeprefix(AS_UPSTREAM)}")
    return Found(wanted, "no", reason or f"{answer}: {refusal.message}")


def _server_action(title: str) -> Callable[..., Any] | None:
    from stackling.api.compute.server_actions import ACTIONS

    named = ACTION.search(title)
    action = ACTIONS.get(named.group(1) if named else re.sub(r" in server$", "", title.lower()).replace(" ", "_"))
    return None if action is None else action.handler


def _refusal(handler: Callable[..., Any]) -> StacklingError | None:
    """What a handler answers whatever is asked; None where it looks at the request."""
    if inspect.iscoroutinefunction(handler):
        return None
    for count in (2, 4):
        try:
            handler(*[None] * count)
        except StacklingError as refused:
            return refused
        except Exception:   # it wanted to see the request
            continue
        return None
    return None


@cache
def _reasons() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    with (HERE / "reasons.toml").open("rb") as file:
        found = tomllib.load(file)
    return tuple((service, re.compile(pattern), reason) for service, lines in found.items()
                 for pattern, reason in lines.items())


def reason_for(operation: Operation) -> str:
    """Why an operation isn't there; empty where nobody has said it."""
    what = f"{operation.method} {operation.path} {operation.title}"
    return next((reason for service, pattern, reason in _reasons()
                 if service == operation.service and pattern.search(what)), "")


def text() -> str:
    """The whole document."""
    found = compare()
    lines = [
        "# Every operation of OpenStack's API reference",
        "",
        f"Generated by `{COMMAND}` from our routes and the operations of the API reference (2026.2). Don't edit it:",
        "the reasons stand in `tests/compatibility/reasons.toml`. [compatibility](compatibility.md) tells what",
        "passes of OpenStack's own tests. *Refused as upstream*: retired there (410), or off unless more is set up.",
        "",
        "| service | operations | there | refused as upstream | missing |",
        "|---|---:|---:|---:|---:|",
    ]
    for service, title in TITLES.items():
        lines.append(_counts(f"[{title}](#{title.lower().replace(' ', '-')})", [one for one in found
                                                                               if one.operation.service == service]))
    lines += [_counts("all", found), ""]
    for service, title in TITLES.items():
        lines += _section(title, [one for one in found if one.operation.service == service])
    return "\n".join(lines)


def _counts(title: str, found: list[Found]) -> str:
    count = Counter(one.state for one in found)
    return f"| {title} | {len(found)} | {count['yes']} | {count['refused']} | {count['no']} |"


def _section(title: str, found: list[Found]) -> Iterator[str]:
    yield from (f"## {title}", "")
    states = {one.state for one in found}
    if states == {"no"} and len({one.reason for one in found}) == 1:
        yield from (f"None of its {len(found)} operations: {found[0].reason}.", "")
        return
    missing = [one for one in found if one.state == "no"]
    if missing:
        yield from ("| missing | | reason |", "|---|---|---|")
        for one in missing:
            yield f"| `{one.operation.method} {one.operation.path}` | {one.operation.title} | {one.reason} |"
        yield ""
    yield from ("| there | | |", "|---|---|---|")
    for one in found:
        if one.state != "no":
            yield f"| `{one.operation.method} {one.operation.path}` | {one.operation.title} | {one.reason} |"
    yield ""
