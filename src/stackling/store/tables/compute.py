"""Compute: flavors, key pairs, servers and what belongs to them, quotas, aggregates, server groups."""

from sqlalchemy import Boolean, Column, Double, Index, Integer, SmallInteger, String, Table, UniqueConstraint, false

from stackling.store.tables.base import metadata
from stackling.store.tables.engine import BigId
from stackling.store.types import Id, Instant, Json, Long, Name

flavors = Table(
    "flavors", metadata,
    Column("id", Name, primary_key=True),                         # Nova's flavorid
    Column("name", Name, nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("root_gib", Integer, nullable=False),
    Column("ephemeral_gib", Integer, nullable=False, default=0, server_default="0"),
    Column("swap_mib", Integer, nullable=False, default=0, server_default="0"),
    Column("rxtx_factor", Double, nullable=False, default=1.0, server_default="1.0"),
    Column("is_public", Boolean, nullable=False, default=True),
    Column("disabled", Boolean, nullable=False, default=False, server_default=false()),
    Column("description", Long),
    Column("extra_specs", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
)

flavor_access = Table(
    "flavor_access", metadata,
    Column("flavor_id", Name, primary_key=True),
    Column("project_id", Id, primary_key=True),
)

keypairs = Table(
    "keypairs", metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("user_id", Id, nullable=False),
    Column("name", Name, nullable=False),
    Column("type", String(8), nullable=False),                    # ssh, x509
    Column("fingerprint", String(255), nullable=False),
    Column("public_key", Long, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("user_id", "name"),
)

server_numbers = Table(
    "server_numbers", metadata,
    Column("number", BigId, primary_key=True, autoincrement=True),
    Column("server_id", Id, nullable=False),
    sqlite_autoincrement=True,
)
"""Every server there ever was, numbered: no number is given twice."""

servers = Table(
    "servers", metadata,
    Column("id", Id, primary_key=True),
    Column("number", BigId, nullable=False, default=0, server_default="0"),             # of server_numbers
    Column("project_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("name", Name, nullable=False),
    Column("hostname", Name, nullable=False),
    Column("description", Long),
    Column("reservation_id", String(32), nullable=False),
    Column("launch_index", Integer, nullable=False, default=0, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("launched_at", Instant),
    Column("terminated_at", Instant),
    Column("deleted_at", Instant),                                # the API's history begins here
    Column("deleted", SmallInteger, nullable=False, default=0, server_default="0"),
    # what was asked for
    Column("flavor_id", Name, nullable=False),
    Column("flavor", Json, nullable=False),                       # as it was when the server was made
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("root_gib", Integer, nullable=False),
    Column("ephemeral_gib", Integer, nullable=False, default=0, server_default="0"),
    Column("swap_mib", Integer, nullable=False, default=0, server_default="0"),
    Column("image_id", Id),
    Column("image", Json),                                        # format, size, checksum, properties
    Column("key_name", Name),
    Column("keypair", Json),
    Column("password", Long),                                     # set by its owner, for the key pair's holder alone
    Column("user_data", Long),
    Column("injected_files", Json),                               # [path, base64]: in its config drive
    Column("config_drive", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("metadata", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("access_ip_v4", String(45)),
    Column("access_ip_v6", String(45)),
    Column("disk_config", String(8), nullable=False, default="MANUAL", server_default="MANUAL"),
    Column("availability_zone", Name),                            # of its host
    Column("pinned_availability_zone", Name),                     # asked for
    Column("scheduler_hints", Json),
    Column("server_group_id", Id),
    Column("locked", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("locked_by", String(8)),                               # owner, admin
    Column("locked_reason", String(255)),
    Column("power", String(16), nullable=False),                  # desired, ports.document.Power
    Column("power_generation", Integer, nullable=False, default=1, server_default="1"),     # that asked for it
    Column("deleting", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("soft_reboots", Integer, nullable=False, default=0, server_default="0"),
    Column("hard_reboots", Integer, nullable=False, default=0, server_default="0"),
    Column("rebuilds", Integer, nullable=False, default=0, server_default="0"),
    Column("resizes", Integer, nullable=False, default=0, server_default="0"),
    Column("kept_resize", Integer, nullable=False, default=0, server_default="0"),      # before which the disk is kept
    Column("restored_resize", Integer, nullable=False, default=0, server_default="0"),  # to which it goes back
    Column("old_flavor", Json),                                   # that a resize left, until it is confirmed or undone
    Column("snapshot_id", Id),                                    # the image that the root disk is being saved as
    Column("shelve", String(16)),                                 # compute.shelving.Shelve
    Column("shelved_image_id", Id),                               # the image that it is made from again
    Column("shelved_image", Json),                                # as ``image``, once it has its data
    Column("offload_at", Double),                                 # when a shelved server leaves its host
    Column("root_flat", SmallInteger, nullable=False, default=0, server_default="0"),   # made without a base
    Column("rescue_image_id", Id),                                # that it boots meanwhile
    Column("rescue", Json),                                       # how: compute.rescue
    Column("rescues", Integer, nullable=False, default=0, server_default="0"),
    Column("move", String(16)),                                   # under way: compute.migrations.Type
    Column("migration_id", BigId),                                # of that move, or of a resize to be confirmed
    Column("held", SmallInteger, nullable=False, default=0, server_default="0"),   # until its former host let go
    Column("generation", Integer, nullable=False, default=1, server_default="1"),
    Column("host_id", Id),
    Column("host", Name),
    Column("host_generation", BigId, nullable=False, default=0, server_default="0"),   # the host's at the last change
    # what was seen (the last report of the agent)
    Column("observed_power", String(16)),
    Column("observed_generation", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_converged", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("observed_soft_reboots", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_hard_reboots", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_rebuilds", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_resizes", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_rescue", Integer, nullable=False, default=0, server_default="0"),
    Column("observed_step", String(255)),
    Column("observed_error", Long),
    Column("observed_terminal", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("observed_at", Instant),
    Column("started_at", String(40)),
    Column("overdue", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("forced_error", SmallInteger, nullable=False, default=0, server_default="0"),    # os-resetState
    Column("fault_code", Integer),
    Column("fault_message", String(255)),
    Column("fault_details", Long),                                # for administrators
    Column("fault_at", Instant),
    # caches of rules.state
    Column("status", String(20), nullable=False),
    Column("vm_state", String(20), nullable=False),
    Column("task_state", String(32)),
    Column("power_state", SmallInteger, nullable=False, default=0, server_default="0"),
    # caches of the network's view, as JSON to be shown
    Column("addresses", Long, nullable=False, default="{}"),
    Column("security_groups", Long, nullable=False, default="[]"),
    Column("nics", Long, nullable=False, default="[]"),
    Column("document", Long, nullable=False, default="{}"),       # a MetadataDocument
    Column("volumes", Long, nullable=False, default="[]"),        # what it shall have: compute.volumes.ServerVolume
    Index("ix_servers_list", "project_id", "deleted", "created_at", "id", "name"),      # a name is found in these alone
    Index("ix_servers_all", "deleted", "created_at", "id", "name"),
    Index("ix_servers_usage", "project_id", "deleted", "vcpus", "memory_mib"),
    Index("ix_servers_host_id_host_generation", "host_id", "host_generation"),
    Index("ix_servers_reservation_id", "reservation_id"),
    Index("ix_servers_server_group_id", "server_group_id"),
    Index("ix_servers_updated_at", "updated_at"),
)

migrations = Table(
    "migrations", metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("uuid", Id, nullable=False, unique=True),
    Column("server_id", Id, nullable=False),
    Column("type", String(16), nullable=False),                   # compute.migrations.Type
    Column("status", String(16), nullable=False),                 # compute.migrations.Status
    Column("source_id", Id, nullable=False),                      # host
    Column("source", Name, nullable=False),
    Column("dest_id", Id),
    Column("dest", Name),
    Column("old_flavor_id", Name, nullable=False),
    Column("new_flavor_id", Name, nullable=False),
    Column("project_id", Id),                                     # of whoever asked
    Column("user_id", Id),
    Column("storage", Name, nullable=False),                      # hosts.storage of the source
    Column("request", Json),                                      # of a live migration, for both hosts
    Column("host_generation", BigId, nullable=False, default=0, server_default="0"),   # dest's at its last change
    Column("progress", Json),                                     # of a live migration, as the source last said
    Column("reason", Long),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_migrations_server_id", "server_id"),
    Index("ix_migrations_created_at", "created_at", "id"),
    Index("ix_migrations_dest_id", "dest_id", "status"),
)

departures = Table(
    "departures", metadata,
    Column("host_id", Id, primary_key=True),
    Column("server_id", Id, primary_key=True),
    Column("generation", Integer, nullable=False),                # of the order to let go
    Column("host_generation", BigId, nullable=False),             # the host's at the last change
    Column("storage", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("politely", SmallInteger, nullable=False, default=0, server_default="0"),
    Column("awaited", SmallInteger, nullable=False, default=0, server_default="0"),    # the server is held until then
    Column("kept", SmallInteger, nullable=False, default=0, server_default="0"),       # its disks: it may come back
    Column("wipe", SmallInteger, nullable=False, default=0, server_default="0"),       # its disks go now
    Column("absent", SmallInteger, nullable=False, default=0, server_default="0"),     # the host says that it let go
    Column("since", Instant, nullable=False),
    Index("ix_departures_server_id", "server_id"),
)
"""Servers that have left a host which hasn't let go of them, or still has their local disks."""

console_tokens = Table(
    "console_tokens", metadata,
    Column("token_hash", String(64), primary_key=True),           # SHA-256, in hex
    Column("server_id", Id, nullable=False),
    Column("kind", String(16), nullable=False),                   # ports.hypervisor.ConsoleKind
    Column("user_id", Id),
    Column("expires_at", Double, nullable=False),
    Column("once", Boolean, nullable=False, default=False, server_default=false()),     # gone when it has opened one
    Index("ix_console_tokens_server_id", "server_id"),
    Index("ix_console_tokens_expires_at", "expires_at"),
)

server_tags = Table(
    "server_tags", metadata,
    Column("server_id", Id, primary_key=True),
    Column("tag", Name, primary_key=True),
    Index("ix_server_tags_tag", "tag"),
)

server_actions = Table(
    "server_actions", metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("server_id", Id, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("project_id", Id),
    Column("user_id", Id),
    Column("started_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("host", Name),
    Column("result", String(16)),                                 # Success, Error
    Column("message", Long),                                      # for the owner
    Column("details", Long),                                      # for administrators
    Index("ix_server_actions_server_id", "server_id", "id"),
    Index("ix_server_actions_request_id", "request_id"),
)

aggregates = Table(
    "aggregates", metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("uuid", Id, nullable=False, unique=True),
    Column("name", Name, nullable=False, unique=True),
    Column("metadata", Json, nullable=False),                     # availability_zone among it
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    sqlite_autoincrement=True,                                    # no id is given twice
)

aggregate_hosts = Table(
    "aggregate_hosts", metadata,
    Column("aggregate_id", BigId, primary_key=True, autoincrement=False),
    Column("host", Name, primary_key=True),
)

server_groups = Table(
    "server_groups", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("policy", String(32), nullable=False),
    Column("max_per_host", Integer, nullable=False, default=1, server_default="1"),
    Column("project_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_server_groups_project_id", "project_id"),
)

compute_quotas = Table(
    "compute_quotas", metadata,
    Column("scope", String(160), primary_key=True),   # a project, "user:<project>:<user>", "class:<name>"
    Column("resource", String(32), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)
