"""What the engine needs: the work queue, the timeline, the latest changes, tombstones, guard rows, the era, settled
requests."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, String, Table

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long

BigId = BigInteger().with_variant(Integer, "sqlite")

work = Table(
    "work", metadata,
    Column("kind", String(32), primary_key=True),
    Column("id", Id, primary_key=True),
    Column("due_at", Double),                       # seconds since the epoch; null: converged
    Column("checked_at", Double),                   # when a turn last ended
    Column("deadline_at", Double),                  # when what is under way is overdue; null: nothing under way
    Column("attempts", Integer, nullable=False, default=0, server_default="0"),
    Column("nudges", Integer, nullable=False, default=0, server_default="0"),
    Column("owner", String(64)),
    Column("lease_until", Double),
    Column("epoch", Integer, nullable=False, default=0, server_default="0"),
    Column("blocked_on", String(100)),              # "kind:id" of what it waits for
    Column("error", Long),                          # why the last turn didn't converge
    Index("ix_work_due_at", "due_at"),
    Index("ix_work_blocked_on", "blocked_on"),
    Index("ix_work_checked_at", "checked_at"),
)

events = Table(
    "events", metadata,
    Column("seq", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("resource_id", Id, nullable=False),
    Column("project_id", Id),
    Column("user_id", Id),
    Column("request_id", String(64)),
    Column("at", Instant, nullable=False),
    Column("source", String(32), nullable=False),   # api, scheduler, engine, agent, network …
    Column("event", String(64), nullable=False),
    Column("message", Long),
    Column("details", Json),
    Index("ix_events_kind_resource_id_seq", "kind", "resource_id", "seq"),
    Index("ix_events_project_id_seq", "project_id", "seq"),
    Index("ix_events_user_id_seq", "user_id", "seq"),
)

changes = Table(
    "changes", metadata,
    Column("seq", BigId, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("resource_id", Id, nullable=False),
    Column("project_id", Id),                       # null: for administrators only
)
"""What changed lately, for those who follow it (``store.changes``); the oldest rows are dropped."""

tombstones = Table(
    "tombstones", metadata,
    Column("kind", String(32), primary_key=True),
    Column("id", Id, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("deleted_at", Instant, nullable=False),
    Index("ix_tombstones_deleted_at", "deleted_at"),
)

guards = Table(
    "guards", metadata,
    Column("name", String(160), primary_key=True),
    Column("generation", BigInteger, nullable=False),
)

settings = Table(
    "settings", metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Json, nullable=False),
)
"""Facts of the whole cloud: the era, secrets encrypted under the key file, what first start has made."""

requests = Table(
    "requests", metadata,
    Column("id", String(80), primary_key=True),
    Column("at", Double, nullable=False),
    Index("ix_requests_at", "at"),
)
