"""Machines and hosts. A machine is iron; a host is an identity in the API, held by a machine under a lease."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, false

from stackling.store.tables.base import metadata
from stackling.store.types import Id, Instant, Json, Long, Name

machines = Table(
    "machines", metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("credential_hash", String(64), nullable=False),       # SHA-256 of the agent's bearer credential
    Column("boot_id", String(64)),
    Column("address", String(255)),                               # where the agent's own socket answers
    Column("facts", Json),                                        # kernel, hypervisor version, datapath …
    Column("last_seen", Double),
    Column("created_at", Instant, nullable=False),
)

hosts = Table(
    "hosts", metadata,
    Column("id", Id, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),       # what the API shows where it wants an integer
    Column("name", Name, nullable=False, unique=True),
    Column("machine_id", Id),                                     # who holds the lease
    Column("lease_epoch", Integer, nullable=False, default=0, server_default="0"),
    Column("generation", BigInteger, nullable=False, default=0, server_default="0"),   # guard row and document version
    Column("report_sequence", BigInteger, nullable=False, default=0, server_default="0"),   # of this epoch
    Column("unknown_guests", Json),                               # found on the machine, named by no document
    Column("vcpus", Integer, nullable=False, default=0, server_default="0"),
    Column("memory_mib", Integer, nullable=False, default=0, server_default="0"),
    Column("disk_gib", Integer, nullable=False, default=0, server_default="0"),
    Column("vcpus_reserved", Integer, nullable=False, default=0, server_default="0"),         # kept from servers
    Column("memory_mib_reserved", Integer, nullable=False, default=0, server_default="0"),
    Column("disk_gib_reserved", Integer, nullable=False, default=0, server_default="0"),
    Column("vcpus_used", Integer, nullable=False, default=0, server_default="0"),
    Column("memory_mib_used", Integer, nullable=False, default=0, server_default="0"),
    Column("memory_mib_free", BigInteger, nullable=False, default=0, server_default="0"),  # of what isn't reserved
    Column("disk_gib_used", Integer, nullable=False, default=0, server_default="0"),
    Column("servers", Integer, nullable=False, default=0, server_default="0"),
    Column("cpu_ratio", Double, nullable=False, default=16.0, server_default="16.0"),
    Column("memory_ratio", Double, nullable=False, default=1.0, server_default="1.0"),
    Column("disk_ratio", Double, nullable=False, default=1.0, server_default="1.0"),
    Column("availability_zone", Name, nullable=False, default="nova", server_default="nova"),
    Column("hypervisor_type", String(32), nullable=False, default="QEMU", server_default="QEMU"),
    Column("hypervisor_version", Integer, nullable=False, default=0, server_default="0"),
    Column("cpu_info", Json),
    Column("disabled", Boolean, nullable=False, default=False, server_default=false()),
    Column("disabled_reason", Long),
    Column("forced_down", Boolean, nullable=False, default=False, server_default=false()),
    Column("fenced", Boolean, nullable=False, default=False, server_default=false()),
    Column("suspect", Boolean, nullable=False, default=False, server_default=false()),     # its machine isn't well
    Column("fence_proof", Long),                                  # how that is known
    Column("storage", Name, nullable=False, default="local", server_default="local"),  # ports.document.Inventory
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant),
    Index("ix_hosts_memory_mib_free", "memory_mib_free"),
    Index("ix_hosts_machine_id", "machine_id"),
)
