import { Button, Checkbox } from "@patternfly/react-core";
import { NetworkIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { network } from "../api/http";
import { useNetworks, usePorts, useSubnets } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Network, Port } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, refresh } from "../parts/work";
import { freeRange, isCidr } from "./cidr";

const STALE = ["networks", "subnets", "routers", "ports", "usage"];

export function NetworksPage() {
  const session = useSession();
  const write = mayWrite(session);
  const networks = useNetworks();
  const subnets = useSubnets();
  const ports = usePorts();
  const [making, setMaking] = useState(false);
  const button = write && <Button onClick={() => setMaking(true)}>{t("Create a network")}</Button>;
  const of = (found: Network) => (subnets.data ?? []).filter((subnet) => subnet.network_id === found.id);
  const columns: Column<Network>[] = [
    { title: t("Name"), cell: (n) => n.name || t("(no name)"), sort: (n) => n.name },
    { title: t("Status"), cell: (n) => <Status value={n.status} />, sort: (n) => n.status, nowrap: true },
    { title: t("Subnets"), cell: (n) => of(n).map((s) => <div key={s.id}>{s.cidr} <span className="st-muted">{s.name}</span></div>) },
    { title: t("Ports"), cell: (n) => (ports.data ?? []).filter((port) => port.network_id === n.id).length, sort: (n) => (ports.data ?? []).filter((port) => port.network_id === n.id).length },
    { title: t("Kind"), cell: (n) => (n["router:external"] ? t("external") : n.project_id === session.project.id ? t("this project's") : t("shared")), sort: (n) => Number(n["router:external"]) },
  ];
  return (
    <Page title={t("Networks")} actions={networks.data?.length ? button : undefined} lead={t("Servers on one network reach each other; a router leads out of it.")}>
      <ResourceTable label={t("Networks")} rows={networks.data} error={networks.error} retry={() => void networks.refetch()} columns={columns}
        rowKey={(n) => n.id} text={(n) => `${n.name} ${of(n).map((s) => s.cidr).join(" ")}`}
        actions={write ? (n) => (n.project_id === session.project.id && !n["router:external"] ? [{ title: t("Delete"), isDanger: true, onClick: () => remove(n) }] : []) : undefined}
        empty={{ icon: NetworkIcon, title: t("No networks yet"), action: button, body: t("A network connects your servers. Create one with a subnet, and a router if they are to reach the outside.") }} />
      {making && <CreateNetwork close={() => setMaking(false)} taken={(subnets.data ?? []).map((subnet) => subnet.cidr)} external={networks.data?.find((n) => n["router:external"])} />}
    </Page>
  );
}

function remove(found: Network): void {
  confirmLoss({
    title: t("Delete {{name}}?", { name: found.name }), button: t("Delete"),
    body: t("Its subnets go with it. Servers on it keep it from being deleted; routers are disconnected first."),
    run: async () => {
      const { ports } = await network.get<{ ports: Port[] }>("/ports", { network_id: found.id, device_owner: "network:router_interface" });
      for (const port of ports) await network.put(`/routers/${port.device_id}/remove_router_interface`, { port_id: port.id });
      await network.delete(`/networks/${found.id}`);
      refresh(STALE);
    },
  });
}

export function CreateNetwork({ close, taken, external }: { close: () => void; taken: string[]; external?: Network }) {
  const [name, setName] = useState("");
  const [cidr, setCidr] = useState(() => freeRange(taken));
  const [router, setRouter] = useState(Boolean(external));
  const bad = !isCidr(cidr);
  return (
    <FormDialog title={t("Create a network")} button={t("Create")} close={close} ready={name.trim() !== "" && !bad}
      submit={async () => {
        const made = await network.post<{ network: Network }>("/networks", { network: { name: name.trim() } });
        try {
          const { subnet } = await network.post<{ subnet: { id: string } }>("/subnets", {
            subnet: { network_id: made.network.id, name: `${name.trim()}-subnet`, cidr, ip_version: cidr.includes(":") ? 6 : 4 } });
          if (router && external) {
            const gateway = await network.post<{ router: { id: string } }>("/routers", {
              router: { name: `${name.trim()}-router`, external_gateway_info: { network_id: external.id } } });
            await network.put(`/routers/${gateway.router.id}/add_router_interface`, { subnet_id: subnet.id });
          }
        } finally {
          refresh(STALE);
        }
        void perform(t("Create network {{name}}", { name }), async () => undefined);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("Address range")} value={cidr} set={setCidr} required help={t("Chosen so that it overlaps no subnet you see.")}
        error={bad ? t("Write it like 10.0.0.0/24 or fd00::/64.") : undefined} />
      <Checkbox id="router" label={external ? t("Connect it to {{name}} with a router", { name: external.name }) : t("There is no external network to connect it to.")}
        isDisabled={!external} isChecked={router && Boolean(external)} onChange={(_event, on) => setRouter(on)} />
    </FormDialog>
  );
}
