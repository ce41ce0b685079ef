import type { IAction } from "@patternfly/react-table";
import { network } from "../api/http";
import type { FloatingIp, Server } from "../api/types";
import { t } from "../language";
import { perform } from "../parts/work";
import { addresses } from "../servers/actions";
import { givePublicAddress } from "./giveAddress";

const STALE = ["servers", "floating-ips", "routers", "ports", "usage"];

export async function give(server: Server): Promise<void> {
  await perform(t("Public address for {{name}}", { name: server.name }), async (tell) => {
    const address = await givePublicAddress({ device_id: server.id }, tell);
    tell(t("{{name}} answers on {{address}}.", { name: server.name, address }), 1);
  }, STALE);
}

/** Take the public addresses from the server; they go back to the cloud where *release* says so. */
export async function take(server: Server, release: boolean): Promise<void> {
  const title = release ? t("Release {{address}}", { address: addresses(server).floating.join(", ") })
    : t("Take {{address}} from {{name}}", { address: addresses(server).floating.join(", "), name: server.name });
  await perform(title, async () => {
    for (const address of addresses(server).floating) {
      const { floatingips } = await network.get<{ floatingips: FloatingIp[] }>("/floatingips", { floating_ip_address: address });
      for (const ip of floatingips) {
        if (release) await network.delete(`/floatingips/${ip.id}`);
        else await network.put(`/floatingips/${ip.id}`, { floatingip: { port_id: null } });
      }
    }
  }, STALE);
}

/** The actions about a server's public address, for whichever menu shows them. */
export function publicAddressActions(server: Server): IAction[] {
  const { floating, fixed } = addresses(server);
  return floating.length > 0
    ? [{ title: t("Keep {{address}}, without the server", { address: floating[0] }), onClick: () => void take(server, false) },
       { title: t("Release {{address}}", { address: floating[0] }), onClick: () => void take(server, true) }]
    : [{ title: t("Give a public address"), isDisabled: fixed.length === 0, onClick: () => void give(server) }];
}
