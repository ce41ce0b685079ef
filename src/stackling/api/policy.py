"""Who may do what: rules in the policy language of OpenStack, compiled once into closures.

The language is oslo.policy's (https://docs.openstack.org/oslo.policy/latest/admin/policy-yaml-file.html):
``role:X``, ``rule:X``, ``@``, ``!``, ``attribute:%(target)s``, ``attribute:literal``, ``literal:%(target)s``,
``not``, ``and``, ``or`` and parentheses.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stackling.api import policy_file
from stackling.api.policy_file import PolicyFileError
from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Forbidden

log = logging.getLogger(__name__)
Target = Mapping[str, Any] | None
Check = Callable[[Context, Target], bool]

_TOKEN = re.compile(r"\(|\)|[^\s()]*%\([^)]*\)s|[^\s()]+")
_TARGET = re.compile(r"%\(([^)]+)\)s\Z")
_REMOTE = ("http", "https")
LOOK_EVERY = 1.0
"""Seconds between two looks at the file of overrides."""
_LITERALS = {"True": True, "False": False, "None": None}


class PolicySyntax(ValueError):
    """A rule that can't be read; the message names it, and so does ``rule``."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(f"policy rule {rule!r} {problem}")
        self.rule = rule
        self.problem = problem


class Policy:
    """The rules of one service: *defaults* by name, and an administrator's *overrides*.

    *message* makes the refusal's text from the rule's name.
    """

    def __init__(self, defaults: Mapping[str, str], overrides: Mapping[str, str] | None = None, *,
                 message: str = "Policy doesn't allow {rule} to be performed.") -> None:
        self._defaults = {**defaults, **(overrides or {})}
        self._message = message
        self._file: Path | None = None
        self._stamp: policy_file.Stamp = None
        self._look_at = 0.0
        self._take({})

    def follow(self, path: Path) -> None:
        """Override rules by what stands in *path* (it may be missing), now and whenever it changes.

        Raises ``PolicyFileError`` where it can't be used now. What can't be used later is logged, and the rules stay
        as they were.
        """
        self._file, self._stamp = path, policy_file.stamp(path)
        self._take(policy_file.read(path))
        self._look_at = clock.monotonic() + LOOK_EVERY

    def refresh(self) -> None:
        """Look, not too often, whether the file has changed."""
        if self._file is None or clock.monotonic() < self._look_at:
            return
        self._look_at = clock.monotonic() + LOOK_EVERY
        stamp = policy_file.stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._take(policy_file.read(self._file))
        except PolicyFileError as error:
            log.error("the policy stays as it was: %s", error)
        else:
            log.info("the policy is read again from %s", self._file)

    def _take(self, overrides: Mapping[str, policy_file.Line]) -> None:
        rules = {**self._defaults, **{name: line.text for name, line in overrides.items()}}
        try:
            compiled = _Compiler(rules).all()
        except PolicySyntax as error:
            line = overrides.get(error.rule)
            if line is None:        # one of ours, which only what stands in the file can have broken
                raise PolicyFileError(self._file, 1, str(error)) if overrides else error from None
            raise PolicyFileError(self._file, line.number, str(error)) from None
        self.rules, self._compiled = rules, compiled

    def allows(self, rule: str | None, ctx: Context, target: Target = None) -> bool:
        """Whether *ctx* fulfils *rule*. None is always allowed; an unknown rule is the ``default`` rule, or no."""
        if rule is None:
            return True
        check = self._compiled.get(rule) or self._compiled.get("default")
        return check is not None and check(ctx, target)

    def authorize(self, rule: str | None, ctx: Context, target: Target = None) -> None:
        """Raises ``Forbidden`` where ``allows`` says no."""
        if not self.allows(rule, ctx, target):
            raise Forbidden(self._message.format(rule=rule), type="PolicyNotAuthorized")


class _Compiler:
    """Makes closures of rules that may refer to each other."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = rules
        self._compiled: dict[str, Check] = {}

    def all(self) -> dict[str, Check]:
        """Every rule, by name. Raises ``PolicySyntax``."""
        for name in self._rules:
            self._check(name, ())
        return self._compiled

    def _check(self, name: str, path: tuple[str, ...]) -> Check:
        if name in path:
            raise PolicySyntax(name, "refers to itself")
        found = self._compiled.get(name)
        if found is None:
            text = self._rules.get(name)
            if text is None:
                raise PolicySyntax(path[-1] if path else name, f"refers to unknown rule {name!r}")
            found = self._compiled[name] = self._parse(name, text, (*path, name))
        return found

    def _parse(self, name: str, text: str, path: tuple[str, ...]) -> Check:
        tokens = _TOKEN.findall(text)
        if not tokens:
            return lambda ctx, target: True
        check, rest = self._either(tokens, name, path)
        if rest:
            raise PolicySyntax(name, f"has an unexpected {rest[0]!r}")
        return check

    def _either(self, tokens: list[str], name: str, path: tuple[str, ...]) -> tuple[Check, list[str]]:
        check, tokens = self._both(tokens, name, path)
        while tokens and tokens[0].lower() == "or":
            right, tokens = self._both(tokens[1:], name, path)
            check = _or(check, right)
        return check, tokens

    def _both(self, tokens: list[str], name: str, path: tuple[str, ...]) -> tuple[Check, list[str]]:
        check, tokens = self._single(tokens, name, path)
        while tokens and tokens[0].lower() == "and":
            right, tokens = self._single(tokens[1:], name, path)
            check = _and(check, right)
        return check, tokens

    def _single(self, tokens: list[str], name: str, path: tuple[str, ...]) -> tuple[Check, list[str]]:
        if not tokens:
            raise PolicySyntax(name, "ends too early")
        head, rest = tokens[0], tokens[1:]
        if head.lower() == "not":
            inner, rest = self._single(rest, name, path)
            return (lambda ctx, target: not inner(ctx, target)), rest
        if head == "(":
            inner, rest = self._either(rest, name, path)
            if not rest or rest[0] != ")":
                raise PolicySyntax(name, "lacks a closing parenthesis")
            return inner, rest[1:]
        return self._atom(head, name, path), rest

    def _atom(self, text: str, name: str, path: tuple[str, ...]) -> Check:
        if text == "@":
            return lambda ctx, target: True
        if text == "!":
            return lambda ctx, target: False
        left, colon, right = text.partition(":")
        if not colon:
            raise PolicySyntax(name, f"has {text!r} in it, which nobody can read")
        if left == "role":
            role = right.lower()
            return lambda ctx, target: role in ctx.roles
        if left == "rule":
            return self._check(right, path)
        if left in _REMOTE:
            raise PolicySyntax(name, f"asks another server ({text}), which isn't offered")
        if left == "field":
            return _field(name, right)
        return _compare(left, right)


def _or(a: Check, b: Check) -> Check:
    return lambda ctx, target: a(ctx, target) or b(ctx, target)


def _and(a: Check, b: Check) -> Check:
    return lambda ctx, target: a(ctx, target) and b(ctx, target)


def _field(name: str, text: str) -> Check:
    """Neutron's ``field:<collection>:<attribute>=<value>``: the target's attribute has this value; ``=~<regex>``: it
    begins like this."""
    attribute, equals, value = text.partition(":")[2].partition("=")
    if not equals:
        raise PolicySyntax(name, f"has field:{text} in it, which is not of the form field:resource:attribute=value")
    if value.startswith("~"):
        try:
            begins = re.compile(value[1:]).match
        except re.error as error:
            problem = f"has field:{text} in it, whose regular expression can't be read: {error}"
            raise PolicySyntax(name, problem) from None
        return lambda ctx, target: target is not None and begins(str(target.get(attribute) or "")) is not None
    return lambda ctx, target: target is not None and str(target.get(attribute)) == value


def _compare(left: str, right: str) -> Check:
    """``project_id:%(project_id)s``, ``is_admin:True``, ``'public':%(visibility)s``, ``None:%(share)s`` …"""
    match = _TARGET.match(right)
    key = match.group(1) if match else None

    def credential(ctx: Context) -> Any:
        if left in _LITERALS:
            return _LITERALS[left]
        if left.startswith(("'", '"')):
            return left[1:-1]
        return getattr(ctx, _CREDENTIALS.get(left, left), None)

    def check(ctx: Context, target: Target) -> bool:
        mine = credential(ctx)
        if key is None:
            return str(mine) == right.strip("'\"")
        theirs = _lookup(target, key, ctx)
        return mine == theirs and (mine is not None or left == "None")

    return check


_CREDENTIALS = {"tenant": "project_id", "tenant_id": "project_id", "user": "user_id",
                "token.domain.id": "domain_id", "token.project.domain.id": "project_domain_id"}


def _lookup(target: Target, key: str, ctx: Context) -> Any:
    if target is None:                          # no target: the caller's own
        return getattr(ctx, _CREDENTIALS.get(key, key), None)
    if key in target:
        return target[key]
    value: Any = target
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return target.get("project_id") if key == "tenant_id" else None
        value = value[part]     # pyright: ignore[reportUnknownVariableType]
    return value    # pyright: ignore[reportUnknownVariableType]
