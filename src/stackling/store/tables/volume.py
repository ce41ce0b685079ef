"""The volume service's tables (Block Storage v3).

``status`` and ``attach_status`` are caches of ``volume.rules``, recomputed in every transaction that changes an input.
A volume's ``task`` is asked for once and has a number; ``task_done`` is the number of the last that was done.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    false,
    true,
)

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long, Name

volumes = Table(
    "volumes", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id),
    Column("name", Name),
    Column("description", Long),
    Column("size_gib", Integer, nullable=False),
    Column("type_id", Id),
    Column("availability_zone", Name),
    Column("metadata", Json, nullable=False),
    Column("image_metadata", Json),                               # of the image that it was made from; null: none
    Column("bootable", Boolean, nullable=False, default=False, server_default=false()),
    Column("readonly", Boolean),                                  # null: nobody has said
    Column("multiattach", Boolean, nullable=False, default=False, server_default=false()),
    Column("encryption", Json),                                   # of its type when it was made, and ``key_id``
    Column("snapshot_id", Id),                                    # what it was made from, as clients see it
    Column("source_volid", Id),
    Column("source", Json),                                       # volume.model.Source
    Column("group_id", Id),
    Column("backend", Name),                                      # volume_services.host; null: no room anywhere
    Column("consumes_quota", Boolean, nullable=False, default=True, server_default=true()),
    Column("transfer_id", Id),                                    # under which it waits for another project
    Column("task", Json),                                         # volume.model.Task
    Column("deleting", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("generation", Integer, nullable=False, default=1, server_default="1"),
    # what was seen
    Column("observed_generation", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_size_gib", Integer, nullable=False, default=0, server_default="0"),
    Column("task_done", Integer, nullable=False, default=0, server_default="0"),
    Column("location", String(255)),                              # what the backend calls it
    Column("failed", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("overdue", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("last_error", Long),
    Column("forced_status", String(32)),                          # os-reset_status
    Column("previous_status", String(32)),
    Column("migration_status", String(32)),
    Column("replication_status", String(32)),
    Column("status", String(32), nullable=False),
    Column("attach_status", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Column("launched_at", Instant),
    Index("ix_volumes_list", "project_id", "created_at", "id"),
    Index("ix_volumes_all", "created_at", "id"),
    Index("ix_volumes_group_id", "group_id"),
    Index("ix_volumes_type_id", "type_id"),
    Index("ix_volumes_backend", "backend", "size_gib"),
)

volume_keys = Table(
    "volume_keys", metadata,
    Column("id", Id, primary_key=True),                           # encryption_key_id
    Column("volume_id", Id),                                      # that it opens; null: of a backup
    Column("sealed", Long, nullable=False),                       # store.sealing
    Column("created_at", Instant, nullable=False),
)
"""What opens encrypted volumes and backups. A copy has a key of its own with the same content."""

volume_metadata = Table(
    "volume_metadata", metadata,
    Column("volume_id", Id, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("image", SmallInteger, primary_key=True),              # 1: of its image
    Column("value", Long, nullable=False),
    Index("ix_volume_metadata_name", "name"),
)
"""A volume's metadata once more, for filters."""

volume_attachments = Table(
    "volume_attachments", metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("server_id", Id),
    Column("status", String(32), nullable=False),                 # reserved, attaching, attached, detaching
    Column("mode", String(8), nullable=False),                    # rw, ro
    Column("mountpoint", String(255)),
    Column("host_name", Name),
    Column("connector", Json),
    Column("connection_info", Json),
    Column("by_compute", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Column("attached_at", Instant),
    Index("ix_volume_attachments_volume_id", "volume_id"),
    Index("ix_volume_attachments_server_id", "server_id"),
    Index("ix_volume_attachments_list", "project_id", "created_at", "id"),
)

volume_snapshots = Table(
    "volume_snapshots", metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id),
    Column("name", Name),
    Column("description", Long),
    Column("size_gib", Integer, nullable=False),                  # the volume's when it was made
    Column("type_id", Id),
    Column("metadata", Json, nullable=False),
    Column("group_snapshot_id", Id),
    Column("source", Json),                                       # what it is adopted from, or released to
    Column("backend", Name),
    Column("consumes_quota", Boolean, nullable=False, default=True, server_default=true()),
    Column("by_host", SmallInteger, nullable=False, default=0, server_default="0"),     # the server's host copies it
    Column("internal", SmallInteger, nullable=False, default=0, server_default="0"),    # of a backup; shown to nobody
    Column("deleting", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("generation", Integer, nullable=False, default=1, server_default="1"),
    Column("observed_generation", Integer, nullable=False, default=0, server_default="0"),
    Column("failed", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("last_error", Long),
    Column("forced_status", String(32)),
    Column("progress", String(16)),
    Column("status", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Index("ix_volume_snapshots_list", "project_id", "created_at", "id"),
    Index("ix_volume_snapshots_volume_id", "volume_id"),
    Index("ix_volume_snapshots_group_snapshot_id", "group_snapshot_id"),
)

volume_types = Table(
    "volume_types", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("description", Long),
    Column("is_public", Boolean, nullable=False, default=True, server_default=true()),
    Column("extra_specs", Json, nullable=False),
    Column("qos_specs_id", Id),
    Column("encryption", Json),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    UniqueConstraint("name"),
)

volume_type_access = Table(
    "volume_type_access", metadata,
    Column("type_id", Id, primary_key=True),
    Column("project_id", Id, primary_key=True),
)

volume_default_types = Table(
    "volume_default_types", metadata,
    Column("project_id", Id, primary_key=True),
    Column("type_id", Id, nullable=False),
)

volume_qos_specs = Table(
    "volume_qos_specs", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("consumer", String(16), nullable=False),               # back-end, front-end, both
    Column("specs", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("name"),
)

volume_quotas = Table(
    "volume_quotas", metadata,
    Column("scope", String(160), primary_key=True),               # a project, "class:<name>"
    Column("resource", Name, primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

volume_transfers = Table(
    "volume_transfers", metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, nullable=False),
    Column("name", Name),
    Column("salt", String(64), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("no_snapshots", Boolean, nullable=False, default=False, server_default=false()),
    Column("source_project_id", Id, nullable=False),
    Column("destination_project_id", Id),
    Column("accepted", Boolean, nullable=False, default=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
    Index("ix_volume_transfers_list", "source_project_id", "created_at", "id"),
    Index("ix_volume_transfers_volume_id", "volume_id"),
)

volume_backups = Table(
    "volume_backups", metadata,
    Column("id", Id, primary_key=True),
    Column("volume_id", Id, nullable=False),
    Column("snapshot_id", Id),
    Column("parent_id", Id),                                      # of an incremental one
    Column("project_id", Id, nullable=False),
    Column("user_id", Id),
    Column("name", Name),
    Column("description", Long),
    Column("size_gib", Integer, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("availability_zone", Name),
    Column("container", Name),
    Column("source", Json, nullable=False),                       # where the data is read
    Column("backend", Name),
    Column("data_timestamp", Instant),
    Column("restore", Json),                                      # volume.model.Task: into which volume
    Column("restore_done", Integer, nullable=False, default=0, server_default="0"),
    Column("record", Json),                                       # of an imported one
    Column("deleting", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("generation", Integer, nullable=False, default=1, server_default="1"),
    Column("observed_generation", Integer, nullable=False, default=0, server_default="0"),
    Column("object_count", Integer, nullable=False, default=0, server_default="0"),
    Column("failed", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("last_error", Long),
    Column("forced_status", String(32)),
    Column("status", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Index("ix_volume_backups_list", "project_id", "created_at", "id"),
    Index("ix_volume_backups_volume_id", "volume_id"),
)

volume_group_types = Table(
    "volume_group_types", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("description", Long),
    Column("is_public", Boolean, nullable=False, default=True, server_default=true()),
    Column("specs", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("name"),
)

volume_groups = Table(
    "volume_groups", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id),
    Column("name", Name),
    Column("description", Long),
    Column("group_type_id", Id, nullable=False),
    Column("volume_types", Json, nullable=False),
    Column("availability_zone", Name),
    Column("backend", Name),
    Column("group_snapshot_id", Id),
    Column("source_group_id", Id),
    Column("status", String(32), nullable=False),
    Column("deleting", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Index("ix_volume_groups_list", "project_id", "created_at", "id"),
)

volume_group_snapshots = Table(
    "volume_group_snapshots", metadata,
    Column("id", Id, primary_key=True),
    Column("group_id", Id, nullable=False),
    Column("group_type_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id),
    Column("name", Name),
    Column("description", Long),
    Column("forced_status", String(32)),
    Column("deleting", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("status", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Index("ix_volume_group_snapshots_list", "project_id", "created_at", "id"),
    Index("ix_volume_group_snapshots_group_id", "group_id"),
)

volume_messages = Table(
    "volume_messages", metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("request_id", String(64)),
    Column("resource_type", String(32)),
    Column("resource_uuid", Id),
    Column("action_id", String(8), nullable=False),
    Column("detail_id", String(8), nullable=False),
    Column("text", Long, nullable=False),
    Column("level", String(16), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_volume_messages_list", "project_id", "created_at", "id"),
)

volume_services = Table(
    "volume_services", metadata,
    Column("host", Name, primary_key=True),                       # of a backend: ``where@backend``
    Column("binary", String(32), primary_key=True),               # cinder-volume, cinder-scheduler, cinder-backup
    Column("id", Id, nullable=False),
    Column("availability_zone", Name, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False, server_default=false()),
    Column("disabled_reason", Long),
    Column("frozen", Boolean, nullable=False, default=False, server_default=false()),
    Column("pool", Name),
    Column("driver", String(32)),
    Column("shared", Boolean, nullable=False, default=True, server_default=true()),
    Column("live", Boolean, nullable=False, default=True, server_default=true()),
    Column("total_gib", Double, nullable=False, default=0.0, server_default="0"),
    Column("free_gib", Double, nullable=False, default=0.0, server_default="0"),
    Column("error", Long),                                        # why it can't be reached now
    Column("updated_at", Instant, nullable=False),
)
"""Backends, and the names under which clients look for the rest of the service. ``live``: the backend itself snapshots
and extends volumes that a guest writes to; otherwise the guest's host does it."""
