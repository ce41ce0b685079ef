/** Stackling's own API of machines, GET /machines. */
export interface Machine {
  id: string; name: string; state: string; standing: string; reason: string | null; alarm: string | null; heartbeat_at: string | null; lost_at: string | null; fenced_at: string | null;
  returned_at: string | null;
  proof: { source: string; strength: string; summary: string; proven_at: string | null } | null;
  planned_stop: { until?: string; reason?: string | null } | null;
  hosts: { id: string; name: string; epoch: number; fenced: boolean; disabled: boolean; disabled_reason: string | null; forced_down: boolean }[];
  evacuation_counts: Record<string, number>;
}

export interface MachineDetail extends Machine {
  evacuations: { server_id: string; server: string; state: string; reason: string | null; target: string | null; since: string | null; moved_at: string | null }[];
  proofs: { id: string; source: string; strength: string; summary: string; evidence: unknown; lost_at: string | null; proven_at: string | null; ended_at: string | null }[];
}

