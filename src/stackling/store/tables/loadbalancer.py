"""The load balancer service's tables.

A load balancer is one object of the fabric, with everything below it: ``generation`` counts changes of any part that
the fabric must follow, ``observed_generation`` is the last one that it did. The parts have no generation of their own;
nothing can be changed while the load balancer is on its way, so what is pending belongs to its present generation.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, UniqueConstraint, false, true

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long, Name

Short = String(64)
Address = String(64)


def _standard(*, described: bool = True) -> list[Column[Any]]:
    return [
        Column("id", Id, primary_key=True), Column("project_id", Id, nullable=False),
        Column("name", Name, nullable=False, default="", server_default=""),
        *([Column("description", Long)] if described else []),
        Column("tags", Json),
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant),
        Column("admin_state_up", Boolean, nullable=False, default=True, server_default=true()),
        Column("provisioning_status", Short, nullable=False),
        Column("operating_status", Short, nullable=False),
    ]


load_balancers = Table(
    "load_balancers", metadata,
    *_standard(),
    Column("generation", BigInteger, nullable=False, default=1, server_default="1"),
    Column("observed_generation", BigInteger, nullable=False, default=0, server_default="0"),
    Column("deleting", Boolean, nullable=False, default=False, server_default=false()),
    Column("last_error", Long),
    Column("vip_address", Address, nullable=False),
    Column("vip_port_id", Id, nullable=False),
    Column("vip_subnet_id", Id, nullable=False),
    Column("vip_network_id", Id, nullable=False),
    Column("additional_vips", Json),                # [{subnet_id, ip_address, port_id}]
    Column("provider", Short, nullable=False),
    Index("ix_load_balancers_project_id", "project_id"),
    Index("ix_load_balancers_vip_port_id", "vip_port_id"),
)

lb_listeners = Table(
    "lb_listeners", metadata,
    *_standard(),
    Column("load_balancer_id", Id, nullable=False),
    Column("protocol", Short, nullable=False),
    Column("protocol_port", Integer, nullable=False),
    Column("connection_limit", Integer, nullable=False),
    Column("default_pool_id", Id),
    Column("timeout_client_data", BigInteger, nullable=False),     # milliseconds, as are the next three
    Column("timeout_member_connect", BigInteger, nullable=False),
    Column("timeout_member_data", BigInteger, nullable=False),
    Column("timeout_tcp_inspect", BigInteger, nullable=False),
    UniqueConstraint("load_balancer_id", "protocol", "protocol_port", name="uq_lb_listeners_protocol_port"),
    Index("ix_lb_listeners_project_id", "project_id"),
    Index("ix_lb_listeners_default_pool_id", "default_pool_id"),
)

lb_pools = Table(
    "lb_pools", metadata,
    *_standard(),
    Column("load_balancer_id", Id, nullable=False),
    Column("protocol", Short, nullable=False),
    Column("lb_algorithm", Short, nullable=False),
    Column("session_persistence", Json),
    Index("ix_lb_pools_project_id", "project_id"),
    Index("ix_lb_pools_load_balancer_id", "load_balancer_id"),
)

lb_members = Table(
    "lb_members", metadata,
    *_standard(described=False),
    Column("load_balancer_id", Id, nullable=False),
    Column("pool_id", Id, nullable=False),
    Column("address", Address, nullable=False),
    Column("protocol_port", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("backup", Boolean, nullable=False, default=False, server_default=false()),
    Column("subnet_id", Id),
    UniqueConstraint("pool_id", "address", "protocol_port", name="uq_lb_members_end"),
    Index("ix_lb_members_project_id", "project_id"),
    Index("ix_lb_members_load_balancer_id", "load_balancer_id"),
)

lb_health_monitors = Table(
    "lb_health_monitors", metadata,
    *_standard(described=False),
    Column("load_balancer_id", Id, nullable=False),
    Column("pool_id", Id, nullable=False),
    Column("type", Short, nullable=False),
    Column("delay", Integer, nullable=False),       # seconds
    Column("timeout", Integer, nullable=False),     # seconds
    Column("max_retries", Integer, nullable=False),
    Column("max_retries_down", Integer, nullable=False),
    UniqueConstraint("pool_id", name="uq_lb_health_monitors_pool_id"),
    Index("ix_lb_health_monitors_project_id", "project_id"),
    Index("ix_lb_health_monitors_load_balancer_id", "load_balancer_id"),
)

lb_tags = Table(
    "lb_tags", metadata,
    Column("resource_id", Id, primary_key=True),
    Column("tag", Name, primary_key=True),
    Index("ix_lb_tags_tag", "tag"),
)

lb_quotas = Table(
    "lb_quotas", metadata,
    Column("project_id", Id, primary_key=True),
    Column("resource", Short, primary_key=True),
    Column("quota", Integer, nullable=False),
)
