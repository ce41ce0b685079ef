"""A configuration in the syntax of the crm shell, one block an object: what ``crm configure show`` would show."""

from __future__ import annotations

import re

from stackling.deploy.pacemaker.model import (
    Clone,
    Colocation,
    Configuration,
    Group,
    Location,
    Object,
    Operation,
    Options,
    Order,
    Primitive,
)

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@%+-]+\Z")


def text(configuration: Configuration) -> str:
    """The whole configuration, as ``crm configure load update`` takes it."""
    return "\n".join(block for block in blocks(configuration).values()) + "\n"


def blocks(configuration: Configuration) -> dict[str, str]:
    """Each object's text by its id; options are ``property``, ``rsc_defaults`` and ``op_defaults``."""
    found = {one.id: block(one) for one in configuration.objects()}
    for word, options in (("property", configuration.properties),
                          ("rsc_defaults", configuration.resource_defaults),
                          ("op_defaults", configuration.operation_defaults)):
        if options:
            found[word] = _lines(word, [_pair(name, options[name]) for name in sorted(options)])
    return found


def block(one: Object) -> str:
    """One object's text."""
    match one:
        case Primitive():
            return _primitive(one)
        case Group():
            return _lines(f"group {one.id} {' '.join(one.members)}", _section("meta", one.meta))
        case Clone():
            return _lines(f"clone {one.id} {one.member}", _section("meta", one.meta))
        case Location():
            where = f"{_score(one.score)} {one.node}" if one.node else ""
            where = where.replace(" ", ": ", 1) or f"rule {_score(one.score)}: {' '.join(one.expression)}"
            return f"location {one.id} {one.resource} {where}"
        case Colocation():
            return f"colocation {one.id} {_score(one.score)}: {one.resource} {one.on}"
        case Order(stops=True):
            return f"order {one.id} {one.kind}: {one.first}:stop {one.then}:stop symmetrical=false"
        case Order():
            return f"order {one.id} {one.kind}: {one.first} {one.then}"


def _primitive(one: Primitive) -> str:
    parts: list[str] = []
    if one.description:
        parts.append(_pair("description", one.description))
    parts += _section("params", one.parameters) + _section("meta", one.meta)
    parts += [_operation(operation) for operation in sorted(one.operations, key=lambda op: (op.name, op.interval))]
    return _lines(f"primitive {one.id} {one.agent}", parts)


def _operation(operation: Operation) -> str:
    options = {"interval": operation.interval, **operation.options}
    return " ".join(["op", operation.name, *(_pair(name, options[name]) for name in sorted(options))])


def _section(word: str, options: Options) -> list[str]:
    return [" ".join([word, *(_pair(name, options[name]) for name in sorted(options))])] if options else []


def _pair(name: str, value: str) -> str:
    return f"{name}={value}" if _PLAIN.match(value) else f"{name}={_quoted(value)}"


def _quoted(value: str) -> str:
    return "'" + value + "'" if '"' in value else '"' + value + '"'


def _score(score: str) -> str:
    return {"INFINITY": "inf", "-INFINITY": "-inf"}.get(score, score)


def _lines(first: str, more: list[str]) -> str:
    return " \\\n\t".join([first, *more])
