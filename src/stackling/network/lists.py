"""Lists of resources: visibility, filters, sorting and pages as one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    and_,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from stackling.core.context import Context
from stackling.network import access, rules, segments
from stackling.network.errors import not_found
from stackling.network.resources import (
    ADDRESS_GROUPS,
    ADDRESS_SCOPES,
    DEFAULT_RULES,
    DEFAULT_STATEFULNESS,
    FLAVORS,
    FLOATING_IPS,
    NETWORKS,
    PORTS,
    QOS_POLICIES,
    RBAC_POLICIES,
    ROUTERS,
    RULES,
    SECURITY_GROUPS,
    SEGMENTS,
    SERVICE_PROFILES,
    SUBNET_POOLS,
    SUBNETS,
    TRUNKS,
)
from stackling.network.rows import Record, Rows, many
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx
from stackling.store.types import Json, Long

Condition = ColumnElement[bool]
_n, _s, _p, _t = tables.networks, tables.subnets, tables.ports, tables.network_tags
_g, _r = tables.security_groups, tables.security_group_rules


@dataclass(slots=True)
class ListQuery:
    """What a list request asks for. Filter values are converted already; several mean any of them."""

    filters: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    sorts: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])       # (column, descending)
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


_INTERNAL = frozenset({"generation", "observed_generation", "settled", "deleting", "last_error", "held", "first_key",
                       "last_key", "next_key", "fingerprint", "metadata_port_id", "metadata_mac", "auto_server_id",
                       "pins"})
Filter = Callable[[Context, Sequence[Any]], Condition]


SERVED = frozenset({"network", "port", "subnet"})
"""What services see of all projects."""


@dataclass(frozen=True, slots=True)
class Listed:
    """How one resource is listed. ``own``: what a caller sees that is no administrator; ``page``: the columns that
    ``page`` gives, the id first."""

    resource: str
    rows: Rows
    own: Callable[[Context], Condition]
    special: Mapping[str, Filter] = field(default_factory=dict[str, Filter])
    page: tuple[str, ...] = ()
    bare: tuple[Any, ...] = field(init=False, repr=False)
    columns: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = self.rows.table
        object.__setattr__(self, "columns", tuple(one for one in table.c if one.name not in _INTERNAL))
        object.__setattr__(self, "bare", tuple(_bare(table.c[name]) for name in self.page))


def find(tx: Tx, ctx: Context, listed: Listed, query: ListQuery) -> list[Record]:
    """The rows of one page."""
    found = many(tx, _statement(tx, ctx, listed, query).with_only_columns(*listed.columns))
    return found[::-1] if query.reverse else found


def page(tx: Tx, ctx: Context, listed: Listed, query: ListQuery) -> Sequence[Sequence[Any]]:
    """The rows of one page as the database gives them: tuples of ``listed.page``, JSON as text, booleans as numbers.

    A list of a thousand spends most of its time on making values and dictionaries of rows.
    """
    found = tx.all(_statement(tx, ctx, listed, query).with_only_columns(*listed.bare))
    return found[::-1] if query.reverse else found


def _bare(column: Any) -> Any:
    if isinstance(column.type, Json):
        return type_coerce(column, Long).label(column.name)
    return type_coerce(column, Integer).label(column.name) if isinstance(column.type, Boolean) else column


def _statement(tx: Tx, ctx: Context, listed: Listed, query: ListQuery) -> Select[Any]:
    table = listed.rows.table
    conditions: list[Condition] = []
    if listed.rows.has_deleting:
        conditions.append(table.c.deleting.is_(False))
    if not (ctx.is_admin or (ctx.is_service and listed.resource in SERVED)):
        conditions.append(listed.own(ctx))
    conditions += [_condition(ctx, listed, name, values) for name, values in query.filters.items()]
    statement = select(table.c.id).where(*conditions)
    sorts = [*query.sorts, *([] if any(name == "id" for name, _ in query.sorts) else [("id", False)])]
    if query.reverse:
        sorts = [(name, not down) for name, down in sorts]
    if query.marker is not None:
        record = listed.rows.get(tx, query.marker)
        if record is None:
            raise not_found(listed.resource, query.marker)
        statement = statement.where(_after(table, sorts, record))
    statement = statement.order_by(*(_key(table, name).desc() if down else _key(table, name) for name, down in sorts))
    return statement if query.limit is None else statement.limit(query.limit)


def _key(table: Any, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if not column.nullable:
        return column
    return func.coalesce(column, -1 if column.type.python_type is int else "")


def _after(table: Any, sorts: Sequence[tuple[str, bool]], record: Record) -> Condition:
    """Rows that come after *record* in this order."""
    choices: list[Condition] = []
    before: list[Condition] = []
    for name, down in sorts:
        column, value = _key(table, name), record[name]
        if value is None:
            value = -1 if table.c[name].type.python_type is int else ""
        choices.append(and_(*before, column < value if down else column > value))
        before.append(column == value)
    return or_(*choices)


def _condition(ctx: Context, listed: Listed, name: str, values: Sequence[Any]) -> Condition:
    special = listed.special.get(name) or _TAGS.get(name)
    if special is not None:
        return special(ctx, values) if name not in _TAGS else _tagged(listed.rows.table, name, values)
    column = listed.rows.table.c[name]
    given = [value for value in values if value is not None]
    choices: list[Condition] = [column == given[0] if len(given) == 1 else column.in_(given)] if given else []
    if len(given) < len(values):
        choices.append(column.is_(None))
    return or_(*choices) if choices else false()


_TAGS: Mapping[str, Any] = {name: name for name in ("tags", "tags-any", "not-tags", "not-tags-any")}


def _tagged(table: Any, name: str, values: Sequence[str]) -> Condition:
    wanted = [tag for value in values for tag in value.split(",")]
    if not wanted:
        return true()
    has = [exists(select(_t.c.tag).where(_t.c.resource_id == table.c.id, _t.c.tag == tag)) for tag in wanted]
    together = or_(*has) if name.endswith("any") else and_(*has)
    return not_(together) if name.startswith("not") else together


# -- what each resource adds

def _of_project(table: Any) -> Callable[[Context], Condition]:
    return lambda ctx: table.c.project_id == ctx.project_id


def _networks(*conditions: Condition) -> Any:
    return select(_n.c.id).where(or_(*conditions), _n.c.deleting.is_(False))


def _own_networks(ctx: Context) -> Condition:
    return or_(_n.c.project_id == ctx.project_id, access.granted(
        "network", _n.c.id, ctx.project_id, (access.SHARED, access.EXTERNAL)))


def _own_subnets(ctx: Context) -> Condition:
    return or_(_s.c.project_id == ctx.project_id, _s.c.network_id.in_(_networks(_own_networks(ctx))))


def _own_ports(ctx: Context) -> Condition:
    return or_(_p.c.project_id == ctx.project_id, _p.c.network_id.in_(_networks(_n.c.project_id == ctx.project_id)))


def _own_or_shared(object_type: str, table: Any) -> Callable[[Context], Condition]:
    return lambda ctx: or_(table.c.project_id == ctx.project_id,
                           access.granted(object_type, table.c.id, ctx.project_id))


def _shared(object_type: str, column: Any) -> Filter:
    """By what ``shared`` says to the caller."""
    def condition(ctx: Context, values: Sequence[bool]) -> Condition:
        granted = access.granted(object_type, column, ctx.project_id or access.EVERYBODY)
        return or_(*(granted if value else not_(granted) for value in values))
    return condition


def _segment(column: str) -> Filter:
    return lambda ctx, values: segments.having(column, values)


def _own_rules(ctx: Context) -> Condition:
    groups = select(_g.c.id).where(_g.c.project_id == ctx.project_id)
    return or_(_r.c.project_id == ctx.project_id, _r.c.security_group_id.in_(groups))


def _network_external(ctx: Context, values: Sequence[bool]) -> Condition:
    return or_(*(_s.c.network_id.in_(_networks(_n.c.external.is_(value))) for value in values))


def _fixed_ips(ctx: Context, values: Sequence[str]) -> Condition:
    """``subnet_id=…``, ``ip_address=…``, ``ip_address_substr=…``, several of each."""
    allocated = tables.ip_allocations
    parts: dict[str, list[str]] = {}
    for value in values:
        key, _, wanted = value.partition("=")
        parts.setdefault(key, []).append(wanted)
    conditions: list[Condition] = [allocated.c.port_id == _p.c.id]
    if "subnet_id" in parts:
        conditions.append(allocated.c.subnet_id.in_(parts["subnet_id"]))
    if "ip_address" in parts:
        conditions.append(allocated.c.address.in_(parts["ip_address"]))
    for part in parts.get("ip_address_substr", ()):
        conditions.append(allocated.c.address.contains(part, autoescape=True))
    return exists(select(allocated.c.port_id).where(*conditions))


def _groups(ctx: Context, values: Sequence[str]) -> Condition:
    used = tables.port_security_groups
    return exists(select(used.c.port_id).where(used.c.port_id == _p.c.id, used.c.security_group_id.in_(values)))


def _parent_status(ctx: Context, values: Sequence[str]) -> Condition:
    return tables.trunks.c.port_id.in_(select(_p.c.id).where(_p.c.status.in_(values)))


def _in_default_group(ctx: Context, values: Sequence[bool]) -> Condition:
    groups = select(_g.c.id).where(_g.c.default_of.is_not(None))
    return or_(*(_r.c.security_group_id.in_(groups) if value else _r.c.security_group_id.not_in(groups)
                 for value in values))


def _protocols(ctx: Context, values: Sequence[Any]) -> Condition:
    same = {name for value in values if value is not None for name in [value, *(
        other for other, number in rules.PROTOCOLS.items() if str(number) == str(value))]}
    choices: list[Condition] = [_r.c.protocol.in_(sorted(same))] if same else []
    return or_(*choices, *([_r.c.protocol.is_(None)] if None in values else []))


PORT_PAGE = (
    "id", "project_id", "name", "description", "tags", "revision_number", "created_at", "updated_at", "network_id",
    "admin_state_up", "status", "mac_address", "device_id", "device_owner", "fixed_ips", "security_groups",
    "allowed_address_pairs", "extra_dhcp_opts", "port_security_enabled", "binding_host", "binding_profile",
    "binding_vnic_type", "dns_name", "dns_domain", "propagate_uplink_status", "qos_policy_id", "qos_network_policy_id",
    "trusted", "trunk_details")
LISTED: Mapping[str, Listed] = {one.resource: one for one in (
    Listed("network", NETWORKS, _own_networks, {
        "shared": _shared("network", _n.c.id),
        **{name: _segment(name) for name in ("network_type", "physical_network", "segmentation_id")}}),
    Listed("segment", SEGMENTS, lambda ctx: false()),
    Listed("subnet", SUBNETS, _own_subnets, {"shared": _shared("network", _s.c.network_id),
                                             "external": _network_external, "router:external": _network_external}),
    Listed("port", PORTS, _own_ports, {"fixed_ips": _fixed_ips, "security_groups": _groups}, PORT_PAGE),
    Listed("router", ROUTERS, _of_project(tables.routers)),
    Listed("floatingip", FLOATING_IPS, _of_project(tables.floating_ips)),
    Listed("security_group", SECURITY_GROUPS, _own_or_shared("security_group", _g),
           {"shared": _shared("security_group", _g.c.id)}),
    Listed("security_group_rule", RULES, _own_rules, {"belongs_to_default_sg": _in_default_group,
                                                      "protocol": _protocols}),
    Listed("subnetpool", SUBNET_POOLS, _own_or_shared("subnetpool", tables.subnet_pools),
           {"shared": _shared("subnetpool", tables.subnet_pools.c.id)}),
    Listed("address_scope", ADDRESS_SCOPES, _own_or_shared("address_scope", tables.address_scopes),
           {"shared": _shared("address_scope", tables.address_scopes.c.id)}),
    Listed("address_group", ADDRESS_GROUPS, _own_or_shared("address_group", tables.address_groups)),
    Listed("default_security_group_rule", DEFAULT_RULES, lambda ctx: true()),
    Listed("security_groups_default_statefulness", DEFAULT_STATEFULNESS,
           _of_project(tables.security_groups_default_statefulness)),
    Listed("flavor", FLAVORS, lambda ctx: true()),
    Listed("service_profile", SERVICE_PROFILES, lambda ctx: true() if ctx.is_admin else false()),
    Listed("trunk", TRUNKS, _of_project(tables.trunks), {"status": _parent_status}),
    Listed("policy", QOS_POLICIES, _own_or_shared("qos_policy", tables.qos_policies),
           {"shared": _shared("qos_policy", tables.qos_policies.c.id)}),
    Listed("rbac_policy", RBAC_POLICIES, _of_project(tables.rbac_policies)),
)}
