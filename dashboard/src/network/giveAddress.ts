import { network } from "../api/http";
import { session } from "../api/session";
import type { FloatingIp, Network, Port, Router } from "../api/types";
import { t } from "../language";
import type { Tell } from "../parts/work";
import { plan } from "./publicAddress";

/** Give a server (by *where* its ports are), or a single port, a public address, making what is missing; gives the address. */
export async function givePublicAddress(where: { device_id: string } | { id: string }, tell: Tell = () => undefined): Promise<string> {
  tell(t("Look for a way out"), 0.1);
  const project_id = session().project.id;
  const [ports, interfaces, routers, ips, externals] = await Promise.all([
    network.get<{ ports: Port[] }>("/ports", where),
    network.get<{ ports: Port[] }>("/ports", { device_owner: ["network:router_interface", "network:ha_router_replicated_interface", "network:router_interface_distributed"] }),
    network.get<{ routers: Router[] }>("/routers", { project_id }),
    network.get<{ floatingips: FloatingIp[] }>("/floatingips", { project_id }),
    network.get<{ networks: Network[] }>("/networks", { "router:external": true }),
  ]);
  const found = plan(ports.ports, interfaces.ports, routers.routers, ips.floatingips, externals.networks);
  if (found.kind === "has") return found.address;
  if (found.kind === "impossible") throw new Error(reason(found.why));
  if (found.router) {
    let router = found.router.id;
    if (router === null) {
      tell(t("Make a router to {{network}}", { network: found.external.name }), 0.3);
      const made = await network.post<{ router: Router }>("/routers", { router: { name: "router", external_gateway_info: { network_id: found.external.id } } });
      router = made.router.id;
    }
    tell(t("Connect the network to the router"), 0.5);
    await network.put(`/routers/${router}/add_router_interface`, { subnet_id: found.router.subnetId });
  }
  if (found.reuse) {
    tell(t("Use {{address}}, which is free", { address: found.reuse.floating_ip_address }), 0.8);
    const used = await network.put<{ floatingip: FloatingIp }>(`/floatingips/${found.reuse.id}`, { floatingip: { port_id: found.port.id } });
    return used.floatingip.floating_ip_address;
  }
  tell(t("Take an address from {{network}}", { network: found.external.name }), 0.8);
  const made = await network.post<{ floatingip: FloatingIp }>("/floatingips", {
    floatingip: { floating_network_id: found.external.id, port_id: found.port.id } });
  return made.floatingip.floating_ip_address;
}

function reason(why: "no-port" | "no-external-network" | "no-router-right"): string {
  if (why === "no-port") return t("The server has no IPv4 address in any network yet. Connect it to a network, or wait until it is built.");
  return t("This cloud has no external network that you may use. An administrator has to make one.");
}
