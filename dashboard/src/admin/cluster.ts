import type { Hypervisor } from "./HostsPage";
import type { Machine } from "./machines";
import type { Part } from "./serviceList";

/** A host as the map shows it; *epoch* counts who has held its lease, null where the cloud has no leases. */
export interface MapHost { name: string; up: boolean; enabled: boolean; epoch: number | null; fenced: boolean; servers: number; gauges: { used: number; all: number }[]; parts: Part[] }

/** A machine with the hosts whose leases it holds and the services that run on it beside theirs; null: nobody's, or *shared*: everybody's. */
export interface MapMachine { machine: Machine | null; shared: boolean; hosts: MapHost[]; parts: Part[] }

/** What the services are called that every engine of the cloud is behind: `stackling@ceph`, Block Storage's scheduler. */
const SHARED = "stackling";

/**
 * Put together what three APIs tell of a cluster. Services are found by the name of their host, without back end and
 * pool (`host@backend#pool`). What all engines share is on the only machine, or has a place of its own.
 */
export function clusterMap(machines: Machine[], hypervisors: Hypervisor[], parts: Part[]): MapMachine[] {
  const on = (name: string) => parts.filter((part) => place(part) === name);
  const host = (found: Hypervisor, held?: Machine["hosts"][number]): MapHost => ({
    name: found.hypervisor_hostname, up: found.state === "up", enabled: found.status === "enabled", epoch: held?.epoch ?? null, fenced: held?.fenced ?? false, servers: found.running_vms,
    gauges: [{ used: found.vcpus_used, all: found.vcpus }, { used: found.memory_mb_used, all: found.memory_mb }], parts: on(found.hypervisor_hostname) });
  const known = new Map(hypervisors.map((found) => [found.hypervisor_hostname, found]));
  const held = new Set<string>();
  const shown: MapMachine[] = [...machines].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })).map((machine) => ({
    machine,
    shared: false,
    hosts: machine.hosts.flatMap((one) => {
      const found = known.get(one.name);
      held.add(one.name);
      return found ? [host(found, one)] : [];
    }),
    parts: known.has(machine.name) ? [] : on(machine.name),
  }));
  const only = shown.length === 1 ? shown[0] : undefined;
  const shared = known.has(SHARED) || machines.some((machine) => machine.name === SHARED) ? [] : on(SHARED);
  if (only) only.parts.push(...shared);
  else if (shown.length > 0 && shared.length > 0) shown.push({ machine: null, shared: true, hosts: [], parts: shared });
  const free = hypervisors.filter((found) => !held.has(found.hypervisor_hostname)).map((found) => host(found));
  const placed = new Set([...shown.flatMap((one) => [...one.parts, ...one.hosts.flatMap((each) => each.parts)]), ...free.flatMap((one) => one.parts)].map((part) => part.key));
  const elsewhere = parts.filter((part) => !placed.has(part.key));
  return free.length + elsewhere.length > 0 ? [...shown, { machine: null, shared: false, hosts: free, parts: elsewhere }] : shown;
}

function place(part: Part): string {
  return part.host.split(/[@#]/)[0] ?? part.host;
}

/** The back end that a service stands for, if it does for one: `ceph` of `stackling@ceph#pool`. */
export function backend(part: Part): string | undefined {
  return part.host.split("#")[0]?.split("@")[1];
}

/** What isn't well, by kind. */
export function troubles(map: MapMachine[]): { machines: string[]; hosts: string[]; parts: string[] } {
  const hosts = map.flatMap((one) => one.hosts);
  return {
    machines: map.flatMap((one) => (one.machine && one.machine.state !== "up" ? [one.machine.name] : [])),
    hosts: hosts.filter((one) => !one.up).map((one) => one.name),
    parts: [...map.flatMap((one) => one.parts), ...hosts.flatMap((one) => one.parts)].filter((part) => !part.up).map((part) => `${part.name} (${part.host})`),
  };
}
