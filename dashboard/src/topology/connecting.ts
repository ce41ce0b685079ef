import { compute, network } from "../api/http";
import type { ListedPort, Network, Router } from "../api/types";
import { t } from "../language";
import { disconnect } from "../network/RoutersPage";
import { confirmLoss } from "../parts/dialog";
import { perform } from "../parts/work";
import { STALE as SERVERS } from "../servers/work";
import type { Guest } from "./layout";

const ROUTERS = ["routers", "ports", "networks", "usage"];

export function connectRouter(router: Router, to: Network): Promise<unknown> {
  return perform(t("Connect {{name}} to {{network}}", { name: router.name, network: to.name }), () => (to["router:external"]
    ? network.put(`/routers/${router.id}`, { router: { external_gateway_info: { network_id: to.id } } })
    : network.put(`/routers/${router.id}/add_router_interface`, { subnet_id: to.subnets[0] })), ROUTERS);
}

export function connectServer(guest: Guest, to: Network): Promise<unknown> {
  return perform(t("Connect {{name}} to {{network}}", { name: guest.name, network: to.name }),
    () => compute.post(`/servers/${guest.id}/os-interface`, { interfaceAttachment: { net_id: to.id } }), SERVERS);
}

export function cutRouter(router: Router, port: ListedPort, name: string): void {
  confirmLoss({
    title: t("Disconnect {{router}} from {{network}}?", { router: router.name, network: name }), button: t("Disconnect"),
    body: t("The network's servers lose their way to the outside and to the router's other networks. Public addresses in use keep it from being disconnected."),
    run: async () => disconnect(router, port),
  });
}
