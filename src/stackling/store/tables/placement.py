"""Placement: resource providers beside the hosts, what hosts and they have, and who takes it besides servers."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Name

resource_providers = Table(
    "resource_providers", metadata,
    Column("id", Id, primary_key=True),                           # never a host's
    Column("name", Name, nullable=False, unique=True),
    Column("parent_id", Id),                                      # another of these, or a host
    Column("generation", Integer, nullable=False, default=0, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Index("ix_resource_providers_parent_id", "parent_id"),
)

provider_inventories = Table(
    "provider_inventories", metadata,
    Column("provider_id", Id, primary_key=True),                  # of a host: classes that it doesn't report itself
    Column("resource_class", Name, primary_key=True),
    Column("total", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("min_unit", Integer, nullable=False),
    Column("max_unit", Integer, nullable=False),
    Column("step_size", Integer, nullable=False),
    Column("allocation_ratio", Double, nullable=False),
    Index("ix_provider_inventories_resource_class", "resource_class"),
)

provider_traits = Table(
    "provider_traits", metadata,
    Column("provider_id", Id, primary_key=True),
    Column("trait", Name, primary_key=True),
    Index("ix_provider_traits_trait", "trait"),
)

provider_aggregates = Table(
    "provider_aggregates", metadata,
    Column("provider_id", Id, primary_key=True),
    Column("aggregate_id", Id, primary_key=True),                 # anybody's UUID
)

custom_traits = Table("custom_traits", metadata, Column("name", Name, primary_key=True))

custom_resource_classes = Table("custom_resource_classes", metadata, Column("name", Name, primary_key=True))

consumers = Table(
    "consumers", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("type", Name),                                         # since microversion 1.38
    Column("generation", Integer, nullable=False, default=0, server_default="0"),
    Index("ix_consumers_project_id", "project_id"),
)

allocations = Table(
    "allocations", metadata,
    Column("consumer_id", Id, primary_key=True),
    Column("provider_id", Id, primary_key=True),
    Column("resource_class", Name, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Index("ix_allocations_provider_id", "provider_id"),
)
"""What consumers other than servers take; of a host's processors, memory and disk it is in the host's sums as well."""
