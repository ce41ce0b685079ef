import { Alert, AlertActionLink, Button, Card, CardBody, Flex, FlexItem } from "@patternfly/react-core";
import { TopologyIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { compute, network } from "../api/http";
import { every } from "../api/live";
import { useNetworks, usePorts, useRouters, useSubnets } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Network, Router, Server } from "../api/types";
import { t } from "../language";
import { CreateNetwork } from "../network/NetworksPage";
import { CreateRouter, disconnect } from "../network/RoutersPage";
import { confirmLoss } from "../parts/dialog";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { perform } from "../parts/work";
import { addresses } from "../servers/actions";
import { Loading } from "../shell/Shell";
import { connectable, draw } from "./layout";
import { Picture } from "./Picture";

const STALE = ["routers", "ports", "networks", "usage"];

/** The project's networks, drawn; it follows changes. Networks and routers are made and connected in it. */
export function TopologyPage() {
  const write = mayWrite(useSession());
  const [networks, subnets, routers, ports] = [useNetworks(), useSubnets(), useRouters(), usePorts()];
  const guests = useQuery({ queryKey: ["servers", "topology"], refetchInterval: every(10_000),
    queryFn: () => compute.get<{ servers: Server[] }>("/servers/detail", { limit: 200 }).then((body) => body.servers.map((server) => ({ id: server.id, name: server.name, status: server.status, floating: addresses(server).floating }))) });
  const [dialog, setDialog] = useState<"network" | "router" | null>(null);
  const [connecting, setConnecting] = useState<string | null>(null);
  useEffect(() => {
    const leave = (event: KeyboardEvent) => event.key === "Escape" && setConnecting(null);
    addEventListener("keydown", leave);
    return () => removeEventListener("keydown", leave);
  }, []);
  const failed = [networks, subnets, routers, ports, guests].find((query) => query.error);
  const ready = networks.data && subnets.data && routers.data && ports.data && guests.data;
  const all = networks.data ?? [];
  const inner = all.filter((found) => !found["router:external"]);
  const router = routers.data?.find((found) => found.id === connecting);
  const targets = router ? connectable(router, all, ports.data ?? []) : new Set<string>();
  const buttons = write && (
    <Flex gap={{ default: "gapSm" }} flexWrap={{ default: "nowrap" }}>
      <FlexItem><Button variant="secondary" onClick={() => setDialog("router")}>{t("Create a router")}</Button></FlexItem>
      <FlexItem><Button onClick={() => setDialog("network")}>{t("Create a network")}</Button></FlexItem>
    </Flex>
  );
  const empty = inner.length === 0 && routers.data?.length === 0;
  return (
    <Page title={t("Topology")} lead={t("The outside on top, routers below it, then networks with their servers.")} actions={ready && !empty && buttons}>
      {failed && <Problem error={failed.error} retry={() => void failed.refetch()} />}
      {router && (
        <Alert isInline variant="info" title={targets.size > 0 ? t("Choose a network to connect {{name}} to", { name: router.name }) : t("{{name}} is connected to every network already", { name: router.name })}
          actionLinks={<AlertActionLink component={Button} onClick={() => setConnecting(null)}>{t("Cancel")}</AlertActionLink>} />
      )}
      {!ready ? !failed && <Loading /> : empty
        ? <Nothing icon={TopologyIcon} title={t("Nothing to draw yet")} action={buttons} body={t("As soon as there is a network, it appears here with its routers and servers.")} />
        : <Card><CardBody className="st-scroll">
            <Picture drawing={draw(all, subnets.data ?? [], routers.data ?? [], ports.data ?? [], guests.data ?? [])} targets={targets} connecting={connecting}
              edit={write ? {
                start: (id) => setConnecting(id === connecting ? null : id),
                finish: (id) => {
                  const to = all.find((found) => found.id === id);
                  if (router && to) void connect(router, to);
                  setConnecting(null);
                },
                cut: (routerId, portId) => {
                  const from = routers.data?.find((found) => found.id === routerId);
                  const port = ports.data?.find((found) => found.id === portId);
                  if (from && port) askCut(from, () => disconnect(from, port), all.find((found) => found.id === port.network_id)?.name ?? "");
                },
              } : undefined} />
          </CardBody></Card>}
      {dialog === "network" && <CreateNetwork close={() => setDialog(null)} taken={(subnets.data ?? []).map((subnet) => subnet.cidr)} external={all.find((found) => found["router:external"])} />}
      {dialog === "router" && <CreateRouter close={() => setDialog(null)} externals={all.filter((found) => found["router:external"]).map((found) => ({ value: found.id, label: found.name }))} />}
    </Page>
  );
}

async function connect(router: Router, to: Network): Promise<void> {
  await perform(t("Connect {{router}} to {{network}}", { router: router.name, network: to.name }), () => (to["router:external"]
    ? network.put(`/routers/${router.id}`, { router: { external_gateway_info: { network_id: to.id } } })
    : network.put(`/routers/${router.id}/add_router_interface`, { subnet_id: to.subnets[0] })), STALE);
}

function askCut(router: Router, run: () => void, name: string): void {
  confirmLoss({
    title: t("Disconnect {{router}} from {{network}}?", { router: router.name, network: name }), button: t("Disconnect"),
    body: t("The network's servers lose their way to the outside and to the router's other networks. Public addresses in use keep it from being disconnected."),
    run: async () => run(),
  });
}
