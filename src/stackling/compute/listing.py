"""Lists of servers: filters, order, pages. The columns are those that views need, JSON left as text to be spliced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, asc, bindparam, desc, exists, func, or_, select, type_coerce
from sqlalchemy.engine import Row

from stackling.compute import rows, rules
from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.network import facade as network
from stackling.store.tables.compute import server_tags, servers
from stackling.store.transaction import Tx

MAX_LIMIT = 1000
_SHOWN = (
    "id", "number", "project_id", "user_id", "name", "hostname", "description", "reservation_id", "launch_index",
    "created_at", "updated_at", "launched_at", "terminated_at", "deleted", "flavor_id", "image_id", "key_name",
    "user_data", "config_drive", "access_ip_v4", "access_ip_v6", "disk_config", "availability_zone",
    "pinned_availability_zone", "server_group_id", "locked", "locked_reason", "host_id", "host", "fault_code",
    "fault_message", "fault_details", "fault_at", "status", "vm_state", "task_state", "power_state", "addresses",
    "security_groups", "volumes",
)
_TEXTS = ("flavor", "image", "metadata", "tags", "scheduler_hints")
DETAIL = select(*(servers.c[name] for name in _SHOWN),
                *(type_coerce(servers.c[name], Text).label(name) for name in _TEXTS))
BASIC = select(servers.c.id, servers.c.name)
_ONE = DETAIL.where(servers.c.id == bindparam("id"))

SORT_KEYS: Mapping[str, Any] = {
    "uuid": servers.c.id, "id": servers.c.id, "created_at": servers.c.created_at, "updated_at": servers.c.updated_at,
    "launched_at": servers.c.launched_at, "terminated_at": servers.c.terminated_at, "deleted_at": servers.c.deleted_at,
    "display_name": servers.c.name, "display_description": servers.c.description, "hostname": servers.c.hostname,
    "host": servers.c.host, "node": servers.c.host, "vm_state": servers.c.vm_state, "task_state": servers.c.task_state,
    "power_state": servers.c.power_state, "image_ref": servers.c.image_id, "instance_type_id": servers.c.flavor_id,
    "key_name": servers.c.key_name, "availability_zone": servers.c.availability_zone, "locked": servers.c.locked,
    "locked_by": servers.c.locked_by, "project_id": servers.c.project_id, "user_id": servers.c.user_id,
    "launch_index": servers.c.launch_index, "access_ip_v4": servers.c.access_ip_v4,
    "access_ip_v6": servers.c.access_ip_v6, "config_drive": servers.c.config_drive, "deleted": servers.c.deleted,
    "auto_disk_config": servers.c.disk_config, "root_device_name": servers.c.id, "progress": servers.c.id,
}
_TEXT_FILTERS = {
    "host": servers.c.host, "node": servers.c.host, "hypervisor_hostname": servers.c.host,
    "project_id": servers.c.project_id, "tenant_id": servers.c.project_id, "user_id": servers.c.user_id,
    "image": servers.c.image_id, "flavor": servers.c.flavor_id, "reservation_id": servers.c.reservation_id,
    "availability_zone": servers.c.availability_zone, "key_name": servers.c.key_name, "vm_state": servers.c.vm_state,
    "task_state": servers.c.task_state, "uuid": servers.c.id, "hostname": servers.c.hostname,
    "locked_by": servers.c.locked_by, "image_ref": servers.c.image_id,
}
_PATTERN_FILTERS = {"name": servers.c.name, "display_name": servers.c.name, "description": servers.c.description,
                    "display_description": servers.c.description}
_NUMBER_FILTERS = {"power_state": servers.c.power_state, "launch_index": servers.c.launch_index}
_PREFIX_FILTERS = {"created_at": servers.c.created_at, "launched_at": servers.c.launched_at,
                   "terminated_at": servers.c.terminated_at}
_BOOLEAN_FILTERS = {"config_drive": servers.c.config_drive, "locked": servers.c.locked}
FILTERS = frozenset({*_TEXT_FILTERS, *_PATTERN_FILTERS, *_NUMBER_FILTERS, *_PREFIX_FILTERS, *_BOOLEAN_FILTERS,
                     "ip", "ip6", "status", "deleted", "changes-since", "changes-before", "tags", "tags-any",
                     "not-tags", "not-tags-any", "progress", "metadata", "access_ip_v4", "access_ip_v6"})


@dataclass(frozen=True, slots=True)
class Page:
    """Which servers: *filters* by the API's names (values as given), *sort* of (key, ascending)."""

    filters: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    project_id: str | None = None               # None: everybody's
    deleted: bool | None = False                # None: both
    statuses: Sequence[str] = ()
    since: str | None = None
    before: str | None = None
    sort: Sequence[tuple[str, bool]] = (("created_at", False),)
    limit: int = MAX_LIMIT
    marker: str | None = None


def show(tx: Tx, id: str) -> Row[Any] | None:
    """One server's row for a view."""
    return tx.one(_ONE, id=id)


def list_servers(tx: Tx, ctx: Context, page: Page, *, detail: bool) -> Sequence[Row[Any]]:
    """The page. Raises ``Invalid`` for a marker that doesn't exist or a pattern that can't be used."""
    if _is_plain(page):
        return _plain(tx, page, detail)
    conditions, patterns = _conditions(tx, ctx, page)
    searched = bool(_PATTERN_FILTERS.keys() & page.filters.keys())
    base = _searching(patterns) if searched else DETAIL if detail else BASIC
    statement = base.where(*conditions)
    keys = [(SORT_KEYS[key], up) for key, up in page.sort]
    if not any(column is servers.c.id for column, _ in keys):
        keys.append((servers.c.id, keys[-1][1] if keys else False))
    if page.marker is not None:
        statement = statement.where(_after(tx, page.marker, keys))
    statement = statement.order_by(*(asc(c) if up else desc(c) for c, up in keys))
    if not patterns:
        found = tx.all(statement.limit(page.limit))
    else:
        found = list(islice((row for row in tx.all(statement) if _matches(row, patterns)), page.limit))
    return _details(tx, [row.id for row in found]) if searched and detail else found


# -- what is searched by its name: an index tells which servers match, and only those are read

_OF_IDS = DETAIL.where(servers.c.id.in_(bindparam("ids", expanding=True)))
Pattern = tuple[Any, re.Pattern[str]]


def _searching(patterns: Sequence[Pattern]) -> Any:
    """The fewest columns by which it is found."""
    named = {column.name: column for column in (servers.c.id, servers.c.name, *(column for column, _ in patterns))}
    return select(*named.values())


def _matches(row: Row[Any], patterns: Sequence[Pattern]) -> bool:
    return all(pattern.search(str(getattr(row, column.name) or "")) for column, pattern in patterns)


def _details(tx: Tx, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Their rows, in the order of *ids*."""
    if not ids:
        return []
    found = {row.id: row for row in tx.all(_OF_IDS, ids=list(ids))}
    return [found[id] for id in ids if id in found]


# -- the usual page: a project's servers, the newest first

_NEWEST = (servers.c.created_at.desc(), servers.c.id.desc())
_AFTER = (servers.c.created_at <= bindparam("at"),
          or_(servers.c.created_at < bindparam("at"), servers.c.id < bindparam("marker")))


def _prepared(base: Any, project: bool, marker: bool) -> Any:
    conditions: list[Any] = [servers.c.deleted == 0]
    if project:
        conditions.append(servers.c.project_id == bindparam("project"))
    if marker:
        conditions += _AFTER
    return base.where(*conditions).order_by(*_NEWEST).limit(bindparam("most"))


_PLAIN = {(detail, project, marker): _prepared(DETAIL if detail else BASIC, project, marker)
          for detail in (False, True) for project in (False, True) for marker in (False, True)}


def _is_plain(page: Page) -> bool:
    return (not page.filters and page.deleted is False and not page.statuses and page.since is None
            and page.before is None and tuple(page.sort) == (("created_at", False),))


def _plain(tx: Tx, page: Page, detail: bool) -> Sequence[Row[Any]]:
    values: dict[str, Any] = {"most": page.limit}
    if page.project_id is not None:
        values["project"] = page.project_id
    if page.marker is not None:
        values.update(marker=page.marker, at=_marker(tx, page.marker)["created_at"])
    return tx.all(_PLAIN[detail, page.project_id is not None, page.marker is not None], **values)


def _marker(tx: Tx, id: str) -> Mapping[str, Any]:
    row = tx.one(select(servers).where(servers.c.id == id))
    if row is None:
        raise Invalid(f"marker [{id}] not found")
    return rows.mapping(row)


def _after(tx: Tx, marker: str, keys: Sequence[tuple[Any, bool]]) -> ColumnElement[bool]:
    """Rows behind the marker in the order of *keys*; a missing value counts as the smallest."""
    row = _marker(tx, marker)
    choices: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for column, up in keys:
        empty: Any = 0 if column.type.python_type is int else ""
        value, here = row[column.name], func.coalesce(column, empty)
        value = empty if value is None else value
        choices.append(and_(*equal, here > value if up else here < value))
        equal.append(here == value)
    return or_(*choices)


# -- filters

def _conditions(tx: Tx, ctx: Context, page: Page) -> tuple[list[Any], list[Pattern]]:
    found: list[Any] = []
    if page.project_id is not None:
        found.append(servers.c.project_id == page.project_id)
    if page.deleted is not None:
        found.append(servers.c.deleted == int(page.deleted))
    if page.statuses:
        found.append(servers.c.status.in_([status.upper() for status in page.statuses]))
    if page.since is not None:
        found.append(servers.c.updated_at >= page.since)
    if page.before is not None:
        found.append(servers.c.updated_at <= clock.whole_second(page.before))
    patterns: list[Pattern] = []
    for name, values in page.filters.items():
        found += _condition(tx, ctx, name, values, patterns)
    return found, patterns


def _condition(tx: Tx, ctx: Context, name: str, values: Sequence[str], patterns: list[Pattern]) -> list[Any]:
    value = values[-1]
    if name in _TEXT_FILTERS:
        return [_TEXT_FILTERS[name].in_(list(values))]
    if name in _PATTERN_FILTERS:
        return _pattern(_PATTERN_FILTERS[name], value, patterns)
    if name in _NUMBER_FILTERS:
        if not value.lstrip("-").isdecimal():
            raise Invalid(f"Invalid input for query parameters {name}. Value: {value}.")
        return [_NUMBER_FILTERS[name] == int(value)]
    if name in _PREFIX_FILTERS:
        return [_PREFIX_FILTERS[name].startswith(value.rstrip("Z"), autoescape=True)]
    if name in _BOOLEAN_FILTERS:
        return [_BOOLEAN_FILTERS[name] == int(is_true(value))]
    if name in ("ip", "ip6"):
        ids = network.servers_of_addresses(tx, ctx, **{name: value})
        return [servers.c.id.in_(sorted(ids))]
    if name in ("access_ip_v4", "access_ip_v6"):
        return [servers.c[name] == value]
    if name == "progress":
        return [] if value == "0" else [servers.c.id.is_(None)]
    if name in ("tags", "tags-any", "not-tags", "not-tags-any"):
        return _tags(name, value.split(","))
    return []


def _tags(name: str, tags: Sequence[str]) -> list[Any]:
    has = [exists().where(server_tags.c.server_id == servers.c.id, server_tags.c.tag == tag) for tag in tags]
    if name == "tags":
        return list(has)
    if name == "tags-any":
        return [or_(*has)]
    return [~and_(*has)] if name == "not-tags" else [~or_(*has)]


def is_true(value: str) -> bool:
    """Nova's words for yes."""
    return value.strip().lower() in ("1", "t", "true", "on", "y", "yes")


_PLAIN_TEXT = re.compile(r"(?:[\w \-@:,/]|\\[!-/:-@\[-`{-~])*\Z", re.ASCII)    # SQLite folds the case of ASCII alone
_ESCAPED = re.compile(r"\\(.)")


def _pattern(column: Any, text: str, patterns: list[Pattern]) -> list[Any]:
    """A regular expression, as in Nova; one that is only a text (``web\\.1``) is looked for by the database."""
    if _PLAIN_TEXT.match(text):
        plain = _ESCAPED.sub(r"\1", text).lower()
        return [func.lower(column).contains(plain, autoescape=True)] if plain else []
    patterns.append((column, safe_pattern(text)))
    return []


def safe_pattern(text: str) -> re.Pattern[str]:
    """*text* as a regular expression, if matching it is surely quick: no repetition of repetitions, at most four of
    them, no backward references. Raises ``Invalid``."""
    quantifiers = re.findall(r"(?<!\\)[*+?{]", text)
    nested = re.search(r"\([^)]*[*+{|][^)]*\)\s*[*+{]", text)
    if len(text) > 255 or len(quantifiers) > 4 or nested or re.search(r"\\[0-9]|\(\?", text):
        raise Invalid("The regular expression is too complex; use a shorter one.")
    try:
        return re.compile(text, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"The regular expression can't be read: {error}.") from None


def statuses_known(statuses: Sequence[str]) -> list[str]:
    """Those of *statuses* that exist."""
    return [status for status in statuses if rules.is_status(status)]
