"""Pacemaker's own form of a configuration, the CIB's XML: reading ours out of it, and putting ours into it.

What isn't ours (see ``configuration.PREFIX``) is kept as it is. So is what an operator sets on our resources for the
moment: ``target-role``, ``is-managed``, ``maintenance``.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackling.deploy.pacemaker import crm
from stackling.deploy.pacemaker.configuration import DESCRIPTION, PREFIX
from stackling.deploy.pacemaker.model import (
    Clone,
    Colocation,
    Configuration,
    Constraint,
    Group,
    Location,
    Operation,
    Options,
    Order,
    Primitive,
    Resource,
)

BY_HAND = ("target-role", "is-managed", "maintenance")
_SETS = {  # section: (its element, the set in it, the set's id)
    "crm_config": ("cluster_property_set", "cib-bootstrap-options"),
    "rsc_defaults": ("meta_attributes", "rsc-options"),
    "op_defaults": ("meta_attributes", "op-options"),
}
_KEYS = {"crm_config": "properties", "rsc_defaults": "resource_defaults", "op_defaults": "operation_defaults"}


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a CIB: what is ours, ids of what isn't, and what was set by hand on ours ("id: name=value")."""

    ours: Configuration
    others: tuple[str, ...]
    by_hand: tuple[str, ...]


# -- reading

def read(cib: ET.Element) -> Found:
    """The configuration in *cib*."""
    resources: list[Resource] = []
    others: list[str] = []
    for element in _section(cib, "resources"):
        if is_ours(element):
            resources += _resources(element)
        else:
            others.append(element.get("id", ""))
    constraints: list[Constraint] = []
    for element in _section(cib, "constraints"):
        found = _constraint(element) if is_ours(element) else None
        if found is None:
            others.append(element.get("id", ""))
        else:
            constraints.append(found)
    by_hand = tuple(
        f"{element.get('id')}: {pair.get('name')}={pair.get('value')}" for element in _section(cib, "resources")
        if is_ours(element) for pair in _by_hand(element))
    ours = Configuration(
        properties=_options(_set(cib, "crm_config")), resource_defaults=_options(_set(cib, "rsc_defaults")),
        operation_defaults=_options(_set(cib, "op_defaults")), resources=tuple(resources),
        constraints=tuple(constraints))
    return Found(ours, tuple(others), by_hand)


def is_ours(element: ET.Element) -> bool:
    """Whether Stackling made *element*."""
    return element.get("id", "").startswith(PREFIX) or element.get("description", "").startswith(DESCRIPTION)


def _section(cib: ET.Element, name: str) -> ET.Element:
    found = cib.find(f"configuration/{name}")
    return ET.Element(name) if found is None else found


def _set(cib: ET.Element, section: str) -> ET.Element | None:
    return _section(cib, section).find(f"{_SETS[section][0]}[@id='{_SETS[section][1]}']")


def _options(pairs: ET.Element | None) -> Options:
    return {} if pairs is None else {pair.get("name", ""): pair.get("value", "") for pair in pairs.iter("nvpair")}


def _by_hand(element: ET.Element) -> Iterator[ET.Element]:
    for meta in element.iter("meta_attributes"):
        for pair in meta.findall("nvpair"):
            if pair.get("name") in BY_HAND:
                yield pair


def _meta(element: ET.Element) -> Options:
    found = _options(element.find("meta_attributes"))
    return {name: value for name, value in found.items() if name not in BY_HAND}


def _resources(element: ET.Element) -> list[Resource]:
    identifier = element.get("id", "")
    if element.tag == "primitive":
        agent = ":".join(part for part in map(element.get, ("class", "provider", "type")) if part)
        operations = tuple(Operation(op.get("name", ""), {
            key: value for key, value in op.attrib.items() if key not in ("id", "name")
            and (key, value) != ("interval", "0s")}) for op in element.findall("operations/op"))
        return [Primitive(identifier, agent, _options(element.find("instance_attributes")), _meta(element), operations,
                          element.get("description", ""))]
    inner = [child for child in element if child.tag in ("primitive", "group")]
    found = [one for child in inner for one in _resources(child)]
    ids = tuple(child.get("id", "") for child in inner)
    if element.tag == "group":
        return [*found, Group(identifier, ids, _meta(element))]
    return [*found, Clone(identifier, ids[0] if ids else "", _meta(element))]


def _constraint(element: ET.Element) -> Constraint | None:
    identifier, get = element.get("id", ""), element.attrib.get
    if element.tag == "rsc_location" and get("rsc"):
        rule = element.find("rule")
        if rule is None:
            return Location(identifier, get("rsc", ""), get("score", ""), get("node", ""))
        expression = rule.find("expression")
        words = () if expression is None else tuple(
            expression.get(key, "") for key in ("attribute", "operation", "value"))
        return Location(identifier, get("rsc", ""), rule.get("score", ""), expression=words)
    if element.tag == "rsc_colocation":
        return Colocation(identifier, get("score", ""), get("rsc", ""), get("with-rsc", ""))
    if element.tag == "rsc_order":
        return Order(identifier, get("kind", "Mandatory"), get("first", ""), get("then", ""),
                     get("first-action") == get("then-action") == "stop")
    return None


# -- writing

def merged(cib: ET.Element, wanted: Configuration) -> ET.Element:
    """A copy of *cib* in which ours is as *wanted*; what is right already is untouched."""
    result = copy.deepcopy(cib)
    for section, key in _KEYS.items():
        _put_options(result, section, getattr(wanted, key))
    _put(_made(result, "resources"), list(_trees(wanted)))
    _put(_made(result, "constraints"), [_element(one) for one in wanted.constraints])
    return result


def _made(cib: ET.Element, section: str) -> ET.Element:
    found = cib.find(f"configuration/{section}")
    if found is None:
        configuration = cib.find("configuration")
        found = ET.SubElement(cib if configuration is None else configuration, section)
    return found


def _put_options(cib: ET.Element, section: str, wanted: Options) -> None:
    """Set those named; others in the set belong to Pacemaker or to the operator."""
    tag, identifier = _SETS[section]
    pairs = _set(cib, section)
    if pairs is None:
        pairs = ET.SubElement(_made(cib, section), tag, {"id": identifier})
    for name, value in wanted.items():
        pair = next((one for one in pairs.iter("nvpair") if one.get("name") == name), None)
        if pair is None:
            pair = ET.SubElement(pairs, "nvpair", {"id": f"{identifier}-{name}", "name": name})
        pair.set("value", value)


def _put(section: ET.Element, wanted: list[ET.Element]) -> None:
    by_id = {element.get("id"): element for element in wanted}
    for position, element in reversed(list(enumerate(section))):
        if not is_ours(element):
            continue
        new = by_id.pop(element.get("id"), None)
        if new is None:
            section.remove(element)
        elif _shown(new) != _shown(element):
            _keep_by_hand(element, new)
            section[position] = new
    for element in wanted:
        if element.get("id") in by_id:
            section.append(element)


def _shown(element: ET.Element) -> list[str]:
    constraint = _constraint(element)
    return [crm.block(constraint)] if constraint else [crm.block(one) for one in _resources(element)]


def _keep_by_hand(old: ET.Element, new: ET.Element) -> None:
    for holder in old.iter():
        target = next((one for one in new.iter(holder.tag) if one.get("id") == holder.get("id")), None)
        meta = holder.find("meta_attributes")
        if target is None or meta is None or holder.tag not in ("primitive", "group", "clone"):
            continue
        pairs = [pair for pair in meta.findall("nvpair") if pair.get("name") in BY_HAND]
        if pairs:
            there = target.find("meta_attributes")
            if there is None:
                there = ET.SubElement(target, "meta_attributes", {"id": f"{target.get('id')}-meta"})
            there.extend(pairs)


def _trees(wanted: Configuration) -> Iterator[ET.Element]:
    """The outermost resources, with what is in them."""
    resources = {one.id: one for one in wanted.resources}
    inner = {member for one in resources.values() for member in _members(one)}
    for one in resources.values():
        if one.id not in inner:
            yield _tree(one, resources)


def _members(one: Resource) -> tuple[str, ...]:
    return one.members if isinstance(one, Group) else (one.member,) if isinstance(one, Clone) else ()


def _tree(one: Resource, resources: dict[str, Resource]) -> ET.Element:
    if isinstance(one, Primitive):
        return _primitive(one)
    element = ET.Element("group" if isinstance(one, Group) else "clone", {"id": one.id})
    for member in _members(one):
        element.append(_tree(resources[member], resources))
    _pairs(element, "meta_attributes", "meta", one.meta)
    return element


def _primitive(one: Primitive) -> ET.Element:
    words = one.agent.split(":")
    names = ("class", "provider", "type") if len(words) == 3 else ("class", "type")
    element = ET.Element("primitive", {"id": one.id, **dict(zip(names, words, strict=True))})
    if one.description:
        element.set("description", one.description)
    _pairs(element, "instance_attributes", "params", one.parameters)
    _pairs(element, "meta_attributes", "meta", one.meta)
    if one.operations:
        operations = ET.SubElement(element, "operations")
        for op in one.operations:
            ET.SubElement(operations, "op", {"id": f"{one.id}-{op.name}-{op.interval}", "name": op.name,
                                             "interval": op.interval, **op.options})
    return element


def _pairs(element: ET.Element, tag: str, word: str, options: Options) -> None:
    if options:
        identifier = f"{element.get('id')}-{word}"
        pairs = ET.SubElement(element, tag, {"id": identifier})
        for name, value in options.items():
            ET.SubElement(pairs, "nvpair", {"id": f"{identifier}-{name}", "name": name, "value": value})


def _element(one: Constraint) -> ET.Element:
    match one:
        case Location(expression=()):
            return ET.Element("rsc_location", {"id": one.id, "rsc": one.resource, "score": one.score, "node": one.node})
        case Location():
            element = ET.Element("rsc_location", {"id": one.id, "rsc": one.resource})
            rule = ET.SubElement(element, "rule", {"id": f"{one.id}-rule", "score": one.score})
            words: Iterable[tuple[str, str]] = zip(("attribute", "operation", "value"), one.expression, strict=True)
            ET.SubElement(rule, "expression", {"id": f"{one.id}-rule-expression", **dict(words)})
            return element
        case Colocation():
            return ET.Element("rsc_colocation", {"id": one.id, "score": one.score, "rsc": one.resource,
                                                 "with-rsc": one.on})
        case Order():
            stops = {"first-action": "stop", "then-action": "stop", "symmetrical": "false"} if one.stops else {}
            return ET.Element("rsc_order", {"id": one.id, "kind": one.kind, "first": one.first, "then": one.then,
                                            **stops})
