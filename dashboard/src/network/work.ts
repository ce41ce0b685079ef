import { network } from "../api/http";
import type { Network, Port, Router, Subnet } from "../api/types";
import { t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { refresh } from "../parts/work";

export const STALE = ["networks", "subnets", "routers", "ports", "usage"];

/** What the API is asked for; without the modes nobody would tell servers their IPv6 addresses. */
export function subnetOf(network_id: string, name: string, cidr: string): object {
  return { network_id, name, cidr, ...(cidr.includes(":") ? { ip_version: 6, ipv6_address_mode: "slaac", ipv6_ra_mode: "slaac" } : { ip_version: 4 }) };
}

/** A network with a subnet, and a router to *external* where that is given; what was made of it goes again if the rest can't be. */
export async function makeNetwork(name: string, cidr: string, external?: Network): Promise<Network> {
  const { network: made } = await network.post<{ network: Network }>("/networks", { network: { name } });
  const undo = [`/networks/${made.id}`];
  try {
    const { subnet } = await network.post<{ subnet: Subnet }>("/subnets", { subnet: subnetOf(made.id, `${name}-subnet`, cidr) });
    if (external) {
      const { router } = await network.post<{ router: Router }>("/routers", { router: { name: `${name}-router`, external_gateway_info: { network_id: external.id } } });
      undo.unshift(`/routers/${router.id}`);
      await network.put(`/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
    }
    return made;
  } catch (error) {
    for (const path of undo) await network.delete(path).catch(() => undefined);
    throw error;
  } finally {
    refresh(STALE);
  }
}

/** Delete after asking; *done* runs when the API has done it. */
export function removeNetwork(found: Network, done?: () => void): void {
  confirmLoss({
    title: t("Delete {{name}}?", { name: found.name }), button: t("Delete"),
    body: t("Its subnets go with it. Servers on it keep it from being deleted; routers are disconnected first."),
    run: async () => {
      await deleteNetwork(found);
      refresh(STALE);
      done?.();
    },
  });
}

/** Delete a network that nothing but routers is on; where something else is, the API says so and the routers stay. */
export async function deleteNetwork(found: Network): Promise<void> {
  await release(await portsOn(found.id));
  await network.delete(`/networks/${found.id}`);
}

async function portsOn(id: string): Promise<Port[]> {
  return (await network.get<{ ports: Port[] }>("/ports", { network_id: id })).ports;
}

/** Disconnect the routers among *ports* (from one *subnet* only), unless what is deleted next would stay anyway. */
async function release(ports: Port[], subnet?: string): Promise<void> {
  if (ports.some((port) => !port.device_owner.startsWith("network:"))) return;
  for (const port of ports.filter((one) => one.device_owner.startsWith("network:router_interface"))) {
    await network.put(`/routers/${port.device_id}/remove_router_interface`, subnet ? { subnet_id: subnet } : { port_id: port.id });
  }
}

export function removeSubnet(found: Subnet): void {
  confirmLoss({
    title: t("Delete {{name}}?", { name: found.name || found.cidr }), button: t("Delete"),
    body: t("Addresses of it that are in use keep it from being deleted; routers are disconnected first."),
    run: async () => {
      await release((await portsOn(found.network_id)).filter((port) => port.fixed_ips.some((ip) => ip.subnet_id === found.id)), found.id);
      await network.delete(`/subnets/${found.id}`);
      refresh(STALE);
    },
  });
}
