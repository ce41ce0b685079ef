/** What GET /servers/{id}/diagnostics tells since 2.48; what the driver doesn't know is null, what runs it is for administrators. */
export interface Diagnostics {
  driver?: string;
  hypervisor?: string | null;
  uptime: number | null;
  num_cpus: number;
  cpu_details: { id: number; time: number | null; utilisation: number | null }[];
  memory_details: { maximum: number | null; used: number | null };
  nic_details: { mac_address: string; rx_octets: number | null; tx_octets: number | null; rx_packets: number | null; tx_packets: number | null; rx_drop: number | null; tx_drop: number | null }[];
  disk_details: { read_bytes: number | null; write_bytes: number | null; read_requests: number | null; write_requests: number | null }[];
}

export interface Sample { at: number; found: Diagnostics }

export interface Rates {
  /** Parts of one processor, 0 to the number of processors. */
  cpu: number | null;
  received: number | null;
  sent: number | null;
  read: number | null;
  written: number | null;
}

function total<T>(all: T[], value: (one: T) => number | null): number | null {
  const known = all.map(value).filter((one): one is number => one !== null);
  return known.length > 0 ? known.reduce((a, b) => a + b, 0) : null;
}

/** Bytes a second and processors used between two samples; null where a counter is unknown or has started again. */
export function rates(before: Sample | undefined, now: Sample): Rates {
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  const per = (value: (found: Diagnostics) => number | null, scale = 1): number | null => {
    const [old, new_] = [before ? value(before.found) : null, value(now.found)];
    return old === null || new_ === null || seconds <= 0 || new_ < old ? null : (new_ - old) / scale / seconds;
  };
  return {
    cpu: per((found) => total(found.cpu_details, (one) => one.time), 1e9),
    received: per((found) => total(found.nic_details, (one) => one.rx_octets)),
    sent: per((found) => total(found.nic_details, (one) => one.tx_octets)),
    read: per((found) => total(found.disk_details, (one) => one.read_bytes)),
    written: per((found) => total(found.disk_details, (one) => one.write_bytes)),
  };
}

/** Whether the hypervisor counts anything at all. */
export function counted(found: Diagnostics): boolean {
  return found.cpu_details.some((one) => one.time !== null) || found.memory_details.used !== null || found.nic_details.some((one) => one.rx_octets !== null)
    || found.disk_details.some((one) => one.read_bytes !== null);
}
