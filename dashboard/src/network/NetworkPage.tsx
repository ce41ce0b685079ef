import { Button, Checkbox, Title } from "@patternfly/react-core";
import { NetworkIcon, PlugIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { ApiError } from "../api/errors";
import { network } from "../api/http";
import { every } from "../api/live";
import { get, useRouters, useSubnets } from "../api/lists";
import { isAdmin, mayWrite, useSession } from "../api/session";
import type { Network, Port, Subnet } from "../api/types";
import { t } from "../language";
import { ActionsMenu } from "../parts/ActionsMenu";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { type Column, Nothing, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { refresh } from "../parts/work";
import { useServerNames } from "../servers/all";
import { addressesIn, freeRange, isCidr } from "./cidr";
import { removeNetwork, removeSubnet, STALE, subnetOf } from "./work";

type Dialog = { kind: "add" | "rename" } | { kind: "subnet"; subnet: Subnet };

/** One network: its subnets, and what is on it. */
export function NetworkPage() {
  const { id = "" } = useParams();
  const session = useSession();
  const navigate = useNavigate();
  const query = useQuery({ queryKey: ["networks", "one", id], refetchInterval: every(10_000), queryFn: () => network.get<{ network: Network }>(`/networks/${id}`).then((body) => body.network) });
  const subnets = useSubnets();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const parents = [{ title: t("Networks"), to: "/networks" }];
  const found = query.data;
  const gone = query.error instanceof ApiError && query.error.status === 404;
  if (!found || gone) {
    return (
      <Page title={t("Network")} parents={parents}>
        {gone ? <Nothing icon={NetworkIcon} title={t("This network isn't there any more")} body={t("It has been deleted, or it belongs to another project.")} action={<Link to="/networks">{t("To the networks")}</Link>} />
          : query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <Loading />}
      </Page>
    );
  }
  const write = mayWrite(session) && (found.project_id === session.project.id || isAdmin(session));
  const kind = found["router:external"] ? t("External: public addresses come from it.") : found.project_id === session.project.id ? t("This project's own.") : t("Shared with this project.");
  const add = write && <Button variant="secondary" onClick={() => setDialog({ kind: "add" })}>{t("Add a subnet")}</Button>;
  const columns: Column<Subnet>[] = [
    { title: t("Name"), cell: (s) => s.name || t("(no name)"), sort: (s) => s.name },
    { title: t("Address range"), cell: (s) => <span className="st-mono">{s.cidr}</span>, sort: (s) => s.cidr, nowrap: true },
    { title: t("Gateway"), cell: (s) => s.gateway_ip ? <span className="st-mono">{s.gateway_ip}</span> : t("none"), nowrap: true },
    { title: t("Tells servers their addresses"), cell: (s) => (s.enable_dhcp ? t("yes (DHCP)") : t("no")) },
    { title: t("Name servers"), cell: (s) => s.dns_nameservers.join(", ") || t("the cloud's") },
  ];
  return (
    <Page title={found.name || t("(no name)")} parents={parents} lead={`${kind} ${found.mtu ? t("Its packets carry up to {{mtu}} bytes.", { mtu: found.mtu }) : ""}`} badge={<Status value={found.status} />}
      actions={write && <ActionsMenu items={[
        { title: t("Add a subnet"), onClick: () => setDialog({ kind: "add" }) },
        { title: t("Rename"), onClick: () => setDialog({ kind: "rename" }) },
        { title: t("Delete"), isDanger: true, onClick: () => removeNetwork(found, () => void navigate("/networks")) },
      ]} />}>
      {query.error && <Problem error={query.error} title={t("This may be out of date")} />}
      <Title headingLevel="h2" size="lg">{t("Subnets")}</Title>
      <ResourceTable label={t("Subnets")} rows={subnets.data?.filter((subnet) => subnet.network_id === id)} error={subnets.error} retry={() => void subnets.refetch()} columns={columns} rowKey={(s) => s.id}
        actions={write ? (s) => [
          { title: t("Change"), onClick: () => setDialog({ kind: "subnet", subnet: s }) },
          { title: t("Delete"), isDanger: true, onClick: () => removeSubnet(s) },
        ] : undefined}
        empty={found.subnets.length > 0 ? { icon: NetworkIcon, title: t("Its subnets aren't shown to this project"), body: t("They belong to the cloud's administrators; addresses come from them all the same.") }
          : { icon: NetworkIcon, title: t("No subnets yet"), action: add || undefined, body: t("A subnet is the range from which servers on this network get their addresses.") }} />
      <Title headingLevel="h2" size="lg" className="st-section">{t("What is on it")}</Title>
      <Ports id={id} />
      {dialog?.kind === "rename" && <Rename found={found} close={() => setDialog(null)} />}
      {dialog?.kind === "add" && <AddSubnet found={found} taken={(subnets.data ?? []).map((subnet) => subnet.cidr)} close={() => setDialog(null)} />}
      {dialog?.kind === "subnet" && <ChangeSubnet subnet={dialog.subnet} close={() => setDialog(null)} />}
    </Page>
  );
}

/** What the page shows of a port: a network may have thousands. */
const ON = ["id", "name", "device_id", "device_owner", "project_id", "fixed_ips", "mac_address", "status"] as const;
type PortOn = Pick<Port, (typeof ON)[number]>;

function Ports({ id }: { id: string }) {
  const ports = useQuery({ queryKey: ["ports", "on", id], refetchInterval: every(8000), queryFn: () => get<PortOn>("/ports", "ports", { network_id: id, fields: [...ON] }) });
  const { project } = useSession();
  const servers = useServerNames();
  const routers = useRouters();
  const user = (port: PortOn) => {
    if (port.device_owner.startsWith("compute:")) return servers.data?.get(port.device_id) ?? (port.project_id === project.id ? t("a server") : t("another project's server"));
    if (port.device_owner.startsWith("network:router")) return routers.data?.find((found) => found.id === port.device_id)?.name ?? t("a router");
    if (port.device_owner === "network:floatingip") return t("a public address");
    if (/dhcp|distributed/.test(port.device_owner)) return t("the cloud itself (addresses and metadata)");
    return port.name || t("nothing; it is free");
  };
  const linked = (port: PortOn) => port.device_owner.startsWith("compute:") ? <Link to={`/servers/${port.device_id}`}>{user(port)}</Link>
    : port.device_owner.startsWith("network:router_interface") ? <Link to="/routers">{user(port)}</Link> : user(port);
  const columns: Column<PortOn>[] = [
    { title: t("Used by"), cell: linked, sort: user },
    { title: t("Addresses"), cell: (p) => p.fixed_ips.map((ip) => <div key={ip.ip_address} className="st-mono">{ip.ip_address}</div>), sort: (p) => p.fixed_ips[0]?.ip_address ?? "" },
    { title: t("MAC address"), cell: (p) => <span className="st-mono">{p.mac_address}</span>, nowrap: true },
    { title: t("Status"), cell: (p) => <Status value={p.status} />, sort: (p) => p.status, nowrap: true },
  ];
  return (
    <ResourceTable label={t("What is on it")} rows={ports.data} error={ports.error} retry={() => void ports.refetch()} columns={columns} rowKey={(p) => p.id}
      text={(p) => `${user(p)} ${p.fixed_ips.map((ip) => ip.ip_address).join(" ")} ${p.mac_address}`}
      empty={{ icon: PlugIcon, title: t("Nothing is on it yet"), body: t("Servers that are launched on this network, and routers that are connected to it, appear here.") }} />
  );
}

function Rename({ found, close }: { found: Network; close: () => void }) {
  const [name, setName] = useState(found.name);
  return (
    <FormDialog title={t("Rename {{name}}", { name: found.name })} button={t("Save")} close={close} ready={name.trim() !== ""}
      submit={async () => { await network.put(`/networks/${found.id}`, { network: { name: name.trim() } }); refresh(STALE); }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
    </FormDialog>
  );
}

function AddSubnet({ found, taken, close }: { found: Network; taken: string[]; close: () => void }) {
  const [name, setName] = useState("");
  const [cidr, setCidr] = useState(() => freeRange(taken));
  const [servers, setServers] = useState("");
  const bad = !isCidr(cidr);
  return (
    <FormDialog title={t("Add a subnet to {{name}}", { name: found.name })} button={t("Add")} close={close} ready={!bad && addressesIn(servers) !== null}
      submit={async () => {
        await network.post("/subnets", { subnet: { ...subnetOf(found.id, name.trim(), cidr.trim()), dns_nameservers: addressesIn(servers) ?? [] } });
        refresh(STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} autoFocus />
      <TextField label={t("Address range")} value={cidr} set={setCidr} required help={t("Chosen so that it overlaps no subnet you see.")} error={bad ? t("Write it like 10.0.0.0/24 or fd00::/64.") : undefined} />
      <NameServers value={servers} set={setServers} />
    </FormDialog>
  );
}

function ChangeSubnet({ subnet, close }: { subnet: Subnet; close: () => void }) {
  const [name, setName] = useState(subnet.name);
  const [servers, setServers] = useState(subnet.dns_nameservers.join(", "));
  const [dhcp, setDhcp] = useState(subnet.enable_dhcp);
  return (
    <FormDialog title={t("Change {{name}}", { name: subnet.name || subnet.cidr })} button={t("Save")} close={close} ready={addressesIn(servers) !== null}
      submit={async () => {
        await network.put(`/subnets/${subnet.id}`, { subnet: { name: name.trim(), dns_nameservers: addressesIn(servers) ?? [], enable_dhcp: dhcp } });
        refresh(STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} autoFocus />
      <NameServers value={servers} set={setServers} />
      <Checkbox id="dhcp" label={t("Tell servers their addresses (DHCP)")} isChecked={dhcp} onChange={(_event, on) => setDhcp(on)} />
    </FormDialog>
  );
}

function NameServers({ value, set }: { value: string; set: (value: string) => void }) {
  return <TextField label={t("Name servers")} value={value} set={set} placeholder="192.0.2.53" help={t("Addresses, with commas between them; empty for the cloud's own. Servers learn of a change when they renew their lease.")}
    error={addressesIn(value) === null ? t("Write addresses, like 192.0.2.53.") : undefined} />;
}
