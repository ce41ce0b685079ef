import { balancer, network } from "../api/http";
import { moving } from "../api/moving";
import type { Balancer, BalancerTree, FloatingIp } from "../api/types";
import { t } from "../language";
import { givePublicAddress } from "../network/giveAddress";
import { confirmLoss } from "../parts/dialog";
import { perform, performEach, type Tell } from "../parts/work";

export const STALE = ["balancers", "balancer", "floating-ips", "ports", "usage"];

/** Wait until a load balancer is through with what it was asked; while it works, it takes nothing else. */
export async function settled(id: string, tell: Tell): Promise<void> {
  for (let round = 0; round < 600; round++) {
    const { loadbalancer: found } = await balancer.get<{ loadbalancer: Balancer }>(`/lbaas/loadbalancers/${id}`);
    if (!moving(found.provisioning_status)) {
      if (found.provisioning_status === "ERROR") throw new Error(t("The load balancer has failed. Delete it and make it again, or ask an administrator."));
      return;
    }
    tell(found.provisioning_status.toLowerCase().replaceAll("_", " "));
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}

export async function publicAddress(found: Balancer): Promise<void> {
  await perform(t("Public address for {{name}}", { name: found.name }), async (tell) => {
    const address = await givePublicAddress({ id: found.vip_port_id }, tell);
    tell(t("{{name}} answers on {{address}}.", { name: found.name, address }), 1);
  }, STALE);
}

export async function release(ip: FloatingIp): Promise<void> {
  await perform(t("Release {{address}}", { address: ip.floating_ip_address }), () => network.delete(`/floatingips/${ip.id}`), STALE);
}

export function remove(found: Balancer[], done?: () => void): void {
  const name = found.length === 1 ? found[0]?.name : t("{{number}} load balancers", { number: found.length });
  confirmLoss({
    title: t("Delete {{name}}?", { name }), button: t("Delete"), body: t("Its listeners and pools go with it. The servers behind it stay, and so does its public address."),
    run: async () => {
      void performEach(t("Delete {{name}}", { name }), found, (one) => one.name, (one) => balancer.delete(`/lbaas/loadbalancers/${one.id}`, { cascade: true }), STALE);
      done?.();
    },
  });
}

export type Pool = BalancerTree["listeners"][number]["pools"][number];
