"""Requests that a restricted application credential may make (keystone's access rules).

A rule names a service type, a method and a path in which ``{name}`` stands for one segment, ``*`` for anything within
a segment and ``**`` for anything. The path is the service's own (``/v2.1/servers``) or the whole one
(``/compute/v2.1/servers``), because clients see both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_PART = re.compile(r"\*\*|\*|\{[^/{}]+\}")


@lru_cache(maxsize=1024)
def _pattern(path: str) -> re.Pattern[str]:
    found, at = "", 0
    for match in _PART.finditer(path):
        found += re.escape(path[at:match.start()])
        found += ".*" if match.group() == "**" else "[^/]*" if match.group() == "*" else "[^/]+"
        at = match.end()
    return re.compile(found + re.escape(path[at:]) + r"\Z")


def permits(rules: Iterable[tuple[str, str, str]], service: str, prefix: str, method: str, path: str) -> bool:
    """Whether any of the ``(service, method, path)`` *rules* is for this request."""
    inner = path.removeprefix(prefix) or "/"
    return any(
        rule_service == service and rule_method == method
        and (_pattern(rule_path).match(path) or _pattern(rule_path).match(inner))
        for rule_service, rule_method, rule_path in rules)
