"""Lists of resources: visibility, filters, sorting and pages as one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select, true

from stackling.core.errors import Invalid
from stackling.loadbalancer.rows import BALANCERS, LISTENERS, MEMBERS, MONITORS, POOLS, Record, Rows, many
from stackling.store.tables.loadbalancer import lb_tags
from stackling.store.transaction import Tx

_t = lb_tags
_COMMON = ("id", "project_id", "name", "admin_state_up", "provisioning_status", "operating_status", "created_at",
           "updated_at")
TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")


@dataclass(frozen=True, slots=True)
class Listed:
    """How one resource is listed: what one may filter and sort by, and the column of each; ``same``: what the provider
    doesn't have, and which therefore is the same for all."""

    rows: Rows
    columns: Mapping[str, str]
    same: Mapping[str, Any]


@dataclass(slots=True)
class ListQuery:
    """What a list request asks for; *filters* by column."""

    filters: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    tags: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    sorts: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])       # (column, descending)
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False
    nothing: bool = False       # a filter that no resource can pass


def _listed(rows: Rows, same: Mapping[str, Any], *more: str, **aliases: str) -> Listed:
    return Listed(rows, {**{name: name for name in (*_COMMON, *more)}, "tenant_id": "project_id", **aliases}, same)


def _none(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names)


_SAME: Mapping[str, Mapping[str, Any]] = {
    "loadbalancer": {**_none("flavor_id", "availability_zone", "vip_qos_policy_id"), "vip_vnic_type": "normal"},
    "listener": {
        **_none("default_tls_container_ref", "client_ca_tls_container_ref", "client_crl_container_ref", "tls_ciphers",
                "hsts_max_age"),
        "client_authentication": "NONE", "hsts_include_subdomains": False, "hsts_preload": False},
    "pool": {**_none("tls_container_ref", "ca_tls_container_ref", "crl_container_ref", "tls_ciphers"),
             "tls_enabled": False},
    "member": {**_none("monitor_address", "monitor_port"), "vnic_type": "normal"},
    "healthmonitor": _none("http_method", "url_path", "expected_codes", "http_version", "domain_name"),
}
LISTED: Mapping[str, Listed] = {
    "loadbalancer": _listed(BALANCERS, _SAME["loadbalancer"], "description", "vip_address", "vip_port_id",
                            "vip_subnet_id", "vip_network_id", "provider"),
    "listener": _listed(LISTENERS, _SAME["listener"], "description", "protocol", "protocol_port", "connection_limit",
                        "default_pool_id", "timeout_client_data", "timeout_member_connect", "timeout_member_data",
                        "timeout_tcp_inspect", "load_balancer_id", loadbalancer_id="load_balancer_id"),
    "pool": _listed(POOLS, _SAME["pool"], "description", "protocol", "lb_algorithm", "load_balancer_id",
                    loadbalancer_id="load_balancer_id"),
    "member": _listed(MEMBERS, _SAME["member"], "address", "protocol_port", "weight", "backup", "subnet_id", "pool_id"),
    "healthmonitor": _listed(MONITORS, _SAME["healthmonitor"], "type", "delay", "timeout", "max_retries",
                             "max_retries_down", "pool_id"),
}


def find(tx: Tx, listed: Listed, query: ListQuery) -> list[Record]:
    """The rows of one page."""
    if query.nothing:
        return []
    table = listed.rows.table
    conditions: list[ColumnElement[bool]] = []
    for name, values in query.filters.items():
        conditions.append(table.c[name] == values[0] if len(values) == 1 else table.c[name].in_(values))
    conditions += [_tagged(table, name, values) for name, values in query.tags.items()]
    statement = select(table).where(*conditions)
    sorts = [*query.sorts, *((name, False) for name in ("created_at", "id")
                             if all(name != other for other, _ in query.sorts))]
    if query.reverse:
        sorts = [(name, not down) for name, down in sorts]
    if query.marker is not None:
        marker = listed.rows.get(tx, query.marker)
        if marker is None:
            raise Invalid(f"Supplied pagination marker '{query.marker}' is not valid.")
        statement = statement.where(_after(table, sorts, marker))
    statement = statement.order_by(*(_key(table, name).desc() if down else _key(table, name) for name, down in sorts))
    found = many(tx, statement if query.limit is None else statement.limit(query.limit))
    return found[::-1] if query.reverse else found


def _tagged(table: Any, name: str, values: Sequence[str]) -> ColumnElement[bool]:
    wanted = [tag for value in values for tag in value.split(",")]
    if not wanted:
        return true()
    has = [exists(select(_t.c.tag).where(_t.c.resource_id == table.c.id, _t.c.tag == tag)) for tag in wanted]
    together = or_(*has) if name.endswith("any") else and_(*has)
    return not_(together) if name.startswith("not") else together


def _key(table: Any, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if not column.nullable:
        return column
    return func.coalesce(column, -1 if column.type.python_type is int else "")


def _after(table: Any, sorts: Sequence[tuple[str, bool]], record: Record) -> ColumnElement[bool]:
    choices: list[ColumnElement[bool]] = []
    before: list[ColumnElement[bool]] = []
    for name, down in sorts:
        column, value = _key(table, name), record[name]
        if value is None:
            value = -1 if table.c[name].type.python_type is int else ""
        choices.append(and_(*before, column < value if down else column > value))
        before.append(column == value)
    return or_(*choices)
