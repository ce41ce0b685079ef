import { Button, Checkbox } from "@patternfly/react-core";
import { NetworkIcon } from "@patternfly/react-icons";
import { useMemo, useState } from "react";
import { Link } from "react-router";
import { useNetworks, usePorts, useSubnets } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Network } from "../api/types";
import { number, t } from "../language";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { deleteEach } from "../parts/removal";
import { Status } from "../parts/Status";
import { perform } from "../parts/work";
import { freeRange, isCidr } from "./cidr";
import { deleteNetwork, makeNetwork, removeNetwork, STALE } from "./work";

export function NetworksPage() {
  const session = useSession();
  const write = mayWrite(session);
  const networks = useNetworks();
  const subnets = useSubnets();
  const ports = usePorts();
  const [making, setMaking] = useState(false);
  const button = write && <Button onClick={() => setMaking(true)}>{t("Create a network")}</Button>;
  const mine = (found: Network) => found.project_id === session.project.id && !found["router:external"];
  const numbers = useMemo(() => {
    const found = new Map<string, number>();
    for (const port of ports.data ?? []) found.set(port.network_id, (found.get(port.network_id) ?? 0) + 1);
    return found;
  }, [ports.data]);
  const of = (found: Network) => (subnets.data ?? []).filter((subnet) => subnet.network_id === found.id);
  const columns: Column<Network>[] = [
    { title: t("Name"), cell: (n) => <Link to={`/networks/${n.id}`}>{n.name || t("(no name)")}</Link>, sort: (n) => n.name },
    { title: t("Status"), cell: (n) => <Status value={n.status} />, sort: (n) => n.status, nowrap: true },
    { title: t("Subnets"), cell: (n) => of(n).map((s) => <div key={s.id}>{s.cidr} <span className="st-muted">{s.name}</span></div>) },
    { title: t("Ports"), cell: (n) => (ports.data ? number(numbers.get(n.id) ?? 0) : "–"), sort: (n) => numbers.get(n.id) ?? 0 },
    { title: t("Kind"), cell: (n) => (n["router:external"] ? t("external") : n.project_id === session.project.id ? t("this project's") : t("shared")), sort: (n) => Number(n["router:external"]) },
  ];
  return (
    <Page title={t("Networks")} actions={networks.data?.length ? button : undefined} lead={t("Servers on one network reach each other; a router leads out of it.")}>
      <ResourceTable label={t("Networks")} rows={networks.data} error={networks.error} retry={() => void networks.refetch()} columns={columns}
        rowKey={(n) => n.id} text={(n) => `${n.name} ${of(n).map((s) => s.cidr).join(" ")}`}
        bulk={write ? [{ title: t("Delete"), isDanger: true, fits: mine, run: (found) => deleteEach(found, (one) => one.name,
          t("Their subnets go with them. Servers on them keep them from being deleted; routers are disconnected first."), deleteNetwork, STALE) }] : undefined}
        actions={write ? (n) => (mine(n) ? [{ title: t("Delete"), isDanger: true, onClick: () => removeNetwork(n) }] : []) : undefined}
        empty={{ icon: NetworkIcon, title: t("No networks yet"), action: button, body: t("A network connects your servers. Create one with a subnet, and a router if they are to reach the outside.") }} />
      {making && <CreateNetwork close={() => setMaking(false)} taken={(subnets.data ?? []).map((subnet) => subnet.cidr)} external={networks.data?.find((n) => n["router:external"])} />}
    </Page>
  );
}

export function CreateNetwork({ close, taken, external }: { close: () => void; taken: string[]; external?: Network }) {
  const [name, setName] = useState("");
  const [cidr, setCidr] = useState(() => freeRange(taken));
  const [router, setRouter] = useState(Boolean(external));
  const bad = !isCidr(cidr);
  return (
    <FormDialog title={t("Create a network")} button={t("Create")} close={close} ready={name.trim() !== "" && !bad}
      submit={async () => {
        await makeNetwork(name.trim(), cidr.trim(), router ? external : undefined);
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
