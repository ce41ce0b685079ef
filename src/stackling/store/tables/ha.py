"""High availability: what is known of each machine's life, proofs of fencing, evacuations and leases on their way."""

from sqlalchemy import Boolean, Column, Double, Index, Integer, SmallInteger, String, Table, false

from stackling.store.tables.base import metadata
from stackling.store.tables.engine import BigId
from stackling.store.types import Id, Instant, Json, Long, Name

ha_machines = Table(
    "ha_machines", metadata,
    Column("machine_id", Id, primary_key=True),
    Column("generation", Integer, nullable=False, default=1, server_default="1"),
    Column("state", String(16), nullable=False),                  # ha.model.State
    Column("reason", Long),                                       # why nothing more is done
    Column("alarm", Long),                                        # what an operator must look at
    Column("standing", String(16)),                               # as the membership said last; null: unknown
    Column("lost_at", Double),                                    # its last sign of life, seconds since the epoch
    Column("lost_boot_id", String(64)),                           # the boot that was lost
    Column("asked_at", Double),                                   # when the fencer was last asked to switch it off
    Column("fenced_at", Double),
    Column("proof_id", Id),                                       # of ``ha_proofs``; null: not fenced
    Column("returned_at", Double),                                # when it was first heard of after a fencing
    Column("distrusted", Boolean, nullable=False, default=False, server_default=false()),   # fenced, and lived on
    Column("planned_at", Double),                                 # a planned stop: no fail-over from here
    Column("planned_until", Double),                              # to here
    Column("planned_reason", Long),
    Column("planned_by", Id),
    Column("planned_gone", SmallInteger, nullable=False, default=0, server_default="0"),    # it has gone since
    Column("updated_at", Instant, nullable=False),
)

ha_proofs = Table(
    "ha_proofs", metadata,
    Column("id", Id, primary_key=True),
    Column("machine_id", Id, nullable=False),
    Column("source", String(16), nullable=False),                 # power, storage, operator
    Column("strength", String(16), nullable=False),               # ha.model.Strength
    Column("summary", Long, nullable=False),                      # one sentence
    Column("evidence", Json, nullable=False),
    Column("lost_at", Double),
    Column("proven_at", Double, nullable=False),
    Column("ended_at", Double),                                   # when the machine was heard of again
    Index("ix_ha_proofs_machine_id", "machine_id", "proven_at"),
)

ha_evacuations = Table(
    "ha_evacuations", metadata,
    Column("server_id", Id, primary_key=True),
    Column("generation", Integer, nullable=False, default=1, server_default="1"),
    Column("machine_id", Id, nullable=False),                     # that was lost
    Column("host_id", Id, nullable=False),                        # that the server was on
    Column("state", String(16), nullable=False),                  # ha.model.Evacuation
    Column("disk", String(8), nullable=False),                    # local, shared, rbd
    Column("priority", Integer, nullable=False, default=0, server_default="0"),
    Column("position", Integer, nullable=False, default=0, server_default="0"),     # among equals of one machine
    Column("reason", Long),                                       # why it waits or is held
    Column("target_id", Id),                                      # the host that it moved to
    Column("target", Name),
    Column("since", Double, nullable=False),
    Column("moved_at", Double),
    Column("deadline_at", Double, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_ha_evacuations_machine_id", "machine_id"),
    Index("ix_ha_evacuations_state_target_id", "state", "target_id"),
)

ha_leases = Table(
    "ha_leases", metadata,
    Column("host_id", Id, primary_key=True),
    Column("releasing_at", Double),                               # its machine shall stop its guests and let go
    Column("released_at", Double),                                # it has; null: held
    Column("released_by", Id),                                    # machine
    Column("changes", BigId, nullable=False, default=0, server_default="0"),
)
"""Identity take-over: whether the machine that holds a host is giving it up."""
