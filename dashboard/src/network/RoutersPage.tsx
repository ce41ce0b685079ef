import { Button } from "@patternfly/react-core";
import { RouteIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link } from "react-router";
import { network } from "../api/http";
import { useInterfaces, useNetworks, useRouters, useSubnets } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Port, Router } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, refresh } from "../parts/work";

const STALE = ["routers", "ports", "networks", "usage"];

export function RoutersPage() {
  const write = mayWrite(useSession());
  const routers = useRouters();
  const networks = useNetworks();
  const ports = useInterfaces();
  const subnets = useSubnets();
  const [dialog, setDialog] = useState<{ kind: "make" } | { kind: "connect"; router: Router } | null>(null);
  const button = write && <Button onClick={() => setDialog({ kind: "make" })}>{t("Create a router")}</Button>;
  const interfaces = (router: Router) => (ports.data ?? []).filter((port) => port.device_id === router.id);
  const nameOf = (id: string | undefined) => networks.data?.find((n) => n.id === id)?.name ?? "–";
  const columns: Column<Router>[] = [
    { title: t("Name"), cell: (r) => r.name || t("(no name)"), sort: (r) => r.name },
    { title: t("Status"), cell: (r) => <Status value={r.status} />, sort: (r) => r.status, nowrap: true },
    { title: t("Way out"), cell: (r) => r.external_gateway_info ? <><Link to={`/networks/${r.external_gateway_info.network_id}`}>{nameOf(r.external_gateway_info.network_id)}</Link> <span className="st-muted">{r.external_gateway_info.external_fixed_ips?.map((ip) => ip.ip_address).join(", ")}</span></> : t("none") },
    { title: t("Connects"), cell: (r) => interfaces(r).map((port) => <div key={port.id}><Link to={`/networks/${port.network_id}`}>{nameOf(port.network_id)}</Link> <span className="st-muted">{port.fixed_ips[0]?.ip_address}</span></div>) },
  ];
  return (
    <Page title={t("Routers")} actions={routers.data?.length ? button : undefined} lead={t("A router joins networks and leads them to the outside, where public addresses are.")}>
      <ResourceTable label={t("Routers")} rows={routers.data} error={routers.error} retry={() => void routers.refetch()} columns={columns} rowKey={(r) => r.id} text={(r) => r.name}
        actions={write ? (r) => [
          { title: t("Connect a subnet"), onClick: () => setDialog({ kind: "connect", router: r }) },
          ...interfaces(r).map((port) => ({ title: t("Disconnect {{name}}", { name: nameOf(port.network_id) }), onClick: () => disconnect(r, port) })),
          { title: t("Delete"), isDanger: true, onClick: () => remove(r, interfaces(r)) },
        ] : undefined}
        empty={{ icon: RouteIcon, title: t("No routers yet"), action: button, body: t("Without a router, servers reach only their own network. Giving a server a public address makes one where it is missing.") }} />
      {dialog?.kind === "make" && <CreateRouter close={() => setDialog(null)} externals={(networks.data ?? []).filter((n) => n["router:external"]).map((n) => ({ value: n.id, label: n.name }))} />}
      {dialog?.kind === "connect" && <Connect close={() => setDialog(null)} router={dialog.router}
        options={(subnets.data ?? []).filter((s) => { const n = networks.data?.find((found) => found.id === s.network_id); return n && !n["router:external"] && !interfaces(dialog.router).some((port) => port.fixed_ips.some((ip) => ip.subnet_id === s.id)); })
          .map((s) => ({ value: s.id, label: `${nameOf(s.network_id)}: ${s.cidr}` }))} />}
    </Page>
  );
}

export function disconnect(router: Router, port: Pick<Port, "id">): void {
  void perform(t("Disconnect from {{name}}", { name: router.name }), () => network.put(`/routers/${router.id}/remove_router_interface`, { port_id: port.id }), STALE);
}

function remove(router: Router, interfaces: Port[]): void {
  confirmLoss({
    title: t("Delete {{name}}?", { name: router.name }), button: t("Delete"),
    body: t("Its networks are disconnected first and lose their way out. A public address in use keeps it from being deleted."),
    run: async () => {
      for (const port of interfaces) await network.put(`/routers/${router.id}/remove_router_interface`, { port_id: port.id });
      await network.delete(`/routers/${router.id}`);
      refresh(STALE);
    },
  });
}

export function CreateRouter({ close, externals }: { close: () => void; externals: { value: string; label: string }[] }) {
  const [name, setName] = useState("");
  const [external, setExternal] = useState(externals[0]?.value ?? "");
  return (
    <FormDialog title={t("Create a router")} button={t("Create")} close={close} ready={name.trim() !== ""}
      submit={async () => {
        await network.post("/routers", { router: { name: name.trim(), ...(external ? { external_gateway_info: { network_id: external } } : {}) } });
        refresh(STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <ChoiceField label={t("Way out")} value={external} set={setExternal} options={[...externals, { value: "", label: t("None") }]} />
    </FormDialog>
  );
}

function Connect({ close, router, options }: { close: () => void; router: Router; options: { value: string; label: string }[] }) {
  const [chosen, setChosen] = useState("");
  const subnet = chosen || options[0]?.value || "";
  return (
    <FormDialog title={t("Connect a subnet to {{name}}", { name: router.name })} button={t("Connect")} close={close} ready={subnet !== ""}
      submit={async () => {
        await network.put(`/routers/${router.id}/add_router_interface`, { subnet_id: subnet });
        refresh(STALE);
      }}>
      <ChoiceField label={t("Subnet")} value={subnet} set={setChosen} options={options} help={options.length === 0 ? t("Every subnet is connected already.") : undefined} />
    </FormDialog>
  );
}
