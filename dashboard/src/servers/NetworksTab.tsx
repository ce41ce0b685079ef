import { Alert, Button, Checkbox, FormGroup } from "@patternfly/react-core";
import { NetworkIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { compute, network } from "../api/http";
import { every } from "../api/live";
import { useNetworks } from "../api/lists";
import type { Port, SecurityGroup, Server } from "../api/types";
import { t } from "../language";
import { summary } from "../network/rules";
import { FormDialog } from "../parts/dialog";
import { ChoiceField } from "../parts/fields";
import { Problem } from "../parts/Problem";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { refresh } from "../parts/work";
import { disconnect, STALE } from "./work";

const CHANGES = [...STALE, "security-groups"];
type Dialog = { kind: "connect" } | { kind: "groups"; port: Port };

/** The security groups of some ports, whichever project they are of. */
function useGroupsOf(ports: Port[] | undefined) {
  const ids = [...new Set((ports ?? []).flatMap((port) => port.security_groups))].sort();
  return useQuery({
    queryKey: ["security-groups", "of", ids], enabled: ids.length > 0, refetchInterval: every(15_000),
    queryFn: () => network.get<{ security_groups: SecurityGroup[] }>("/security-groups", { id: ids }).then((body) => body.security_groups),
  });
}

/** What a server is connected to, who may reach it there, and both changed. */
export function NetworksTab({ server, write }: { server: Server; write: boolean }) {
  const ports = useQuery({ queryKey: ["ports", "of", server.id], refetchInterval: every(8000),
    queryFn: () => network.get<{ ports: Port[] }>("/ports", { device_id: server.id }).then((body) => body.ports) });
  const networks = useNetworks();
  const groups = useGroupsOf(ports.data);
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const known = new Map((groups.data ?? []).map((group) => [group.id, group]));
  const nameOf = (port: Port) => networks.data?.find((found) => found.id === port.network_id)?.name ?? Object.keys(server.addresses).find((name) => server.addresses[name]?.some((a) => a["OS-EXT-IPS-MAC:mac_addr"] === port.mac_address)) ?? t("another project's network");
  const possible = !server.locked && ["ACTIVE", "SHUTOFF", "PAUSED"].includes(server.status);
  const button = write && <Button variant="secondary" isDisabled={!possible} onClick={() => setDialog({ kind: "connect" })}>{t("Connect to a network")}</Button>;
  const columns: Column<Port>[] = [
    { title: t("Network"), cell: nameOf, sort: nameOf },
    { title: t("Addresses"), cell: (p) => p.fixed_ips.map((ip) => <div key={ip.ip_address} className="st-mono">{ip.ip_address}</div>) },
    { title: t("MAC address"), cell: (p) => <span className="st-mono">{p.mac_address}</span>, nowrap: true },
    { title: t("Security groups"), cell: (p) => p.security_groups.length === 0 ? <span className="st-muted">{t("none")}</span>
      : p.security_groups.map((id) => <div key={id}><Link to={`/security-groups/${id}`}>{known.get(id)?.name ?? "…"}</Link></div>) },
    { title: t("Status"), cell: (p) => <Status value={p.status} />, nowrap: true },
  ];
  return (
    <>
      {groups.error && <Problem error={groups.error} retry={() => void groups.refetch()} />}
      {ports.data && (groups.data || ports.data.every((port) => port.security_groups.length === 0)) && sorts(ports.data).map(([key, alike]) => (
        <Alert key={key} isInline isPlain variant="info" component="h2" className="st-above"
          title={sorts(ports.data).length > 1 ? t("Who may reach it on {{networks}}", { networks: alike.map(nameOf).join(", ") }) : t("Who may reach it")}>
          {reach(alike[0] as Port, known).map((line) => <div key={line}>{line}</div>)}
        </Alert>
      ))}
      <ResourceTable label={t("Networks")} rows={ports.data} error={ports.error} retry={() => void ports.refetch()} columns={columns} rowKey={(p) => p.id} toolbar={button}
        actions={write ? (p) => [
          { title: t("Change the security groups"), isDisabled: p.port_security_enabled === false, onClick: () => setDialog({ kind: "groups", port: p }) },
          { title: t("Disconnect"), isDanger: true, isDisabled: !possible, onClick: () => disconnect(server, p, nameOf(p)) },
        ] : undefined}
        empty={{ icon: NetworkIcon, title: t("Not on any network"), action: button || undefined, body: t("Connect the server to a network, so that others reach it and it gets a public address.") }} />
      {dialog?.kind === "connect" && <Connect server={server} close={() => setDialog(null)} taken={(ports.data ?? []).map((port) => port.network_id)} />}
      {dialog?.kind === "groups" && <Groups port={dialog.port} name={server.name} close={() => setDialog(null)} />}
    </>
  );
}

/** Ports that the same security groups guard, together. */
function sorts(ports: Port[]): [string, Port[]][] {
  const found = new Map<string, Port[]>();
  for (const port of ports) {
    const key = port.port_security_enabled === false ? "open" : [...port.security_groups].sort().join();
    found.set(key, [...(found.get(key) ?? []), port]);
  }
  return [...found];
}

function reach(port: Port, known: Map<string, SecurityGroup>): string[] {
  if (port.port_security_enabled === false) return [t("Everybody, with everything: its port has no security.")];
  const lines = summary(port.security_groups.flatMap((id) => known.get(id)?.security_group_rules ?? []), (id) => known.get(id)?.name ?? t("another"),
    { ingress: t("Nobody may reach it."), egress: t("It may reach nothing.") });
  return port.security_groups.every((id) => known.has(id)) ? lines : [...lines, t("Besides, it has a security group that isn't shown to you.")];
}

function Connect({ server, taken, close }: { server: Server; taken: string[]; close: () => void }) {
  const networks = useNetworks();
  const [chosen, setChosen] = useState("");
  const offered = (networks.data ?? []).filter((found) => !found["router:external"] && found.subnets.length > 0);
  const id = chosen || offered.find((found) => !taken.includes(found.id))?.id || offered[0]?.id || "";
  return (
    <FormDialog title={t("Connect {{name}} to a network", { name: server.name })} button={t("Connect")} close={close} ready={id !== ""}
      description={t("The server gets one more network card; its system may have to be told to use it.")}
      submit={async () => {
        await compute.post(`/servers/${server.id}/os-interface`, { interfaceAttachment: { net_id: id } });
        refresh(CHANGES);
      }}>
      <ChoiceField label={t("Network")} value={id} set={setChosen} help={networks.data && offered.length === 0 ? t("There is no network yet.") : undefined}
        options={offered.map((found) => ({ value: found.id, label: taken.includes(found.id) ? t("{{name}} (once more)", { name: found.name }) : found.name }))} />
    </FormDialog>
  );
}

function Groups({ port, name, close }: { port: Port; name: string; close: () => void }) {
  const groups = useQuery({ queryKey: ["security-groups", "list", port.project_id],
    queryFn: () => network.get<{ security_groups: SecurityGroup[] }>("/security-groups", { project_id: port.project_id }).then((body) => body.security_groups) });
  const [chosen, setChosen] = useState<string[]>(port.security_groups);
  return (
    <FormDialog title={t("Who may reach {{name}}", { name })} button={t("Save")} close={close} ready={groups.data !== undefined}
      description={t("What any of the chosen groups lets through may pass; everything else is dropped.")}
      submit={async () => {
        await network.put(`/ports/${port.id}`, { port: { security_groups: chosen } });
        refresh(CHANGES);
      }}>
      {groups.error && <Problem error={groups.error} retry={() => void groups.refetch()} />}
      <FormGroup role="group" label={t("Security groups")}>
        {(groups.data ?? []).map((group) => (
          <Checkbox key={group.id} id={`port-group-${group.id}`} label={group.name} isChecked={chosen.includes(group.id)}
            description={summary(group.security_group_rules, (id) => groups.data?.find((found) => found.id === id)?.name ?? t("another")).join(" ")}
            onChange={(_event, on) => setChosen(on ? [...chosen, group.id] : chosen.filter((found) => found !== group.id))} />
        ))}
      </FormGroup>
    </FormDialog>
  );
}
