import type { FloatingIp, Network, Port, Router } from "../api/types";

/** What has to be done so that a server answers on a public address. */
export type Plan =
  | { kind: "has"; address: string }
  | { kind: "impossible"; why: "no-port" | "no-external-network" | "no-router-right" }
  | { kind: "do"; port: Port; external: Network; router: { make: boolean; id: string | null; subnetId: string } | null; reuse: FloatingIp | null };

/**
 * The steps for a server's *ports* (its own), given the project's routers, all router interfaces it sees, its floating
 * IPs and the external networks. A port on a network that already has a way out is preferred; a free address of that
 * external network is reused before another is allocated; where no network has a way out, a router is made (or one
 * that has a gateway is given an interface).
 */
export function plan(ports: Port[], interfaces: Port[], routers: Router[], floatingIps: FloatingIp[], externals: Network[]): Plan {
  const own = new Set(ports.map((port) => port.id));
  const existing = floatingIps.find((ip) => ip.port_id !== null && own.has(ip.port_id));
  if (existing) return { kind: "has", address: existing.floating_ip_address };
  const candidates = ports.filter((port) => ipv4(port));
  const first = candidates[0];
  if (!first) return { kind: "impossible", why: "no-port" };
  if (externals.length === 0) return { kind: "impossible", why: "no-external-network" };
  for (const port of candidates) {
    for (const joined of interfaces.filter((found) => found.network_id === port.network_id)) {
      const gateway = routers.find((router) => router.id === joined.device_id)?.external_gateway_info?.network_id;
      const external = externals.find((found) => found.id === gateway);
      if (external) return { kind: "do", port, external, router: null, reuse: free(floatingIps, external) };
    }
  }
  const router = routers.find((found) => externals.some((e) => e.id === found.external_gateway_info?.network_id)) ?? null;
  const external = externals.find((found) => found.id === router?.external_gateway_info?.network_id) ?? externals[0] as Network;
  const subnetId = (ipv4(first) as { subnet_id: string }).subnet_id;
  return { kind: "do", port: first, external, router: { make: router === null, id: router?.id ?? null, subnetId }, reuse: free(floatingIps, external) };
}

function ipv4(port: Port) {
  return port.fixed_ips.find((ip) => !ip.ip_address.includes(":"));
}

function free(floatingIps: FloatingIp[], external: Network): FloatingIp | null {
  return floatingIps.find((ip) => ip.port_id === null && ip.floating_network_id === external.id) ?? null;
}
