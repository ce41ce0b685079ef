import { Button, ClipboardCopy } from "@patternfly/react-core";
import { GlobeIcon } from "@patternfly/react-icons";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { network } from "../api/http";
import { get, useFloatingIps, useNetworks } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { FloatingIp, Port } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { ChoiceField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, performEach, refresh } from "../parts/work";
import { useServerNames } from "../servers/all";

const STALE = ["floating-ips", "servers", "usage"];
const AT_ONCE = 100;

/** Which server each port is of, for addresses whose cloud doesn't say it with them: asked for those that are shown, a hundred at once. */
function useServersOfPorts(ips: FloatingIp[] | undefined): Map<string, string> {
  const ids = (ips ?? []).flatMap((ip) => (ip.port_id && ip.port_details === undefined ? [ip.port_id] : [])).sort();
  const parts = Array.from({ length: Math.ceil(ids.length / AT_ONCE) }, (_, index) => ids.slice(index * AT_ONCE, (index + 1) * AT_ONCE));
  return useQueries({
    queries: parts.map((id) => ({ queryKey: ["ports", "of", id], queryFn: () => get<Pick<Port, "id" | "device_id">>("/ports", "ports", { id, fields: ["id", "device_id"] }) })),
    combine: (results) => new Map(results.flatMap((result) => result.data ?? []).map((port) => [port.id, port.device_id])),
  });
}

export function FloatingIpsPage() {
  const write = mayWrite(useSession());
  const ips = useFloatingIps();
  const networks = useNetworks();
  const servers = useServersOfPorts(ips.data);
  const names = useServerNames();
  const [dialog, setDialog] = useState<{ kind: "take" } | { kind: "give"; ip: FloatingIp } | null>(null);
  const button = write && <Button onClick={() => setDialog({ kind: "take" })}>{t("Take an address")}</Button>;
  const serverOf = (ip: FloatingIp) => ip.port_details?.device_id ?? servers.get(ip.port_id ?? "");
  const netNames = new Map((networks.data ?? []).map((found) => [found.id, found.name]));
  const columns: Column<FloatingIp>[] = [
    { title: t("Address"), cell: (ip) => <ClipboardCopy isReadOnly hoverTip={t("Copy")} clickTip={t("Copied")} variant="inline-compact">{ip.floating_ip_address}</ClipboardCopy>, sort: (ip) => ip.floating_ip_address, nowrap: true },
    { title: t("Leads to"), cell: (ip) => { const id = serverOf(ip); return ip.port_id === null ? <span className="st-muted">{t("nothing; it is free")}</span> : id && names.data?.has(id) ? <Link to={`/servers/${id}`}>{names.data.get(id)}</Link> : ip.fixed_ip_address; }, sort: (ip) => names.data?.get(serverOf(ip) ?? "") ?? "" },
    { title: t("Inner address"), cell: (ip) => ip.fixed_ip_address ?? "–", nowrap: true },
    { title: t("From"), cell: (ip) => netNames.get(ip.floating_network_id) ?? "–" },
    { title: t("Status"), cell: (ip) => <Status value={ip.status} />, nowrap: true },
  ];
  return (
    <Page title={t("Floating IPs")} actions={ips.data?.length ? button : undefined} lead={t("Public addresses of this project. One stays yours until you release it, whichever server it leads to.")}>
      <ResourceTable label={t("Floating IPs")} rows={ips.data} error={ips.error} retry={() => void ips.refetch()} columns={columns} rowKey={(ip) => ip.id}
        text={(ip) => `${ip.floating_ip_address} ${ip.fixed_ip_address ?? ""} ${names.data?.get(serverOf(ip) ?? "") ?? ""}`}
        bulk={write ? [{ title: t("Release"), isDanger: true, run: releaseAll }] : undefined}
        actions={write ? (ip) => [
          ip.port_id === null ? { title: t("Give to a server"), onClick: () => setDialog({ kind: "give", ip }) }
            : { title: t("Take from the server"), onClick: () => void perform(t("Free {{address}}", { address: ip.floating_ip_address }), () => network.put(`/floatingips/${ip.id}`, { floatingip: { port_id: null } }), STALE) },
          { title: t("Release"), isDanger: true, onClick: () => confirmLoss({
            title: t("Release {{address}}?", { address: ip.floating_ip_address }), button: t("Release"),
            body: t("It goes back to the cloud; somebody else may get it next."),
            run: async () => { await network.delete(`/floatingips/${ip.id}`); refresh(STALE); } }) },
        ] : undefined}
        empty={{ icon: GlobeIcon, title: t("No public addresses yet"), action: button, body: t("A floating IP is an address that the outside can reach. A server's page gives it one with a single click.") }} />
      {dialog?.kind === "take" && <Take close={() => setDialog(null)} networks={(networks.data ?? []).filter((n) => n["router:external"]).map((n) => ({ value: n.id, label: n.name }))} />}
      {dialog?.kind === "give" && <Give close={() => setDialog(null)} ip={dialog.ip} servers={[...(names.data ?? [])].map(([value, label]) => ({ value, label }))} />}
    </Page>
  );
}

function releaseAll(found: FloatingIp[]): void {
  const address = found.length === 1 && found[0] ? found[0].floating_ip_address : t("{{number}} chosen", { number: found.length });
  confirmLoss({
    title: t("Release {{address}}?", { address }), button: t("Release"), body: t("They go back to the cloud; somebody else may get them next."),
    run: async () => void performEach(t("Release {{address}}", { address }), found, (ip) => ip.floating_ip_address, (ip) => network.delete(`/floatingips/${ip.id}`), STALE),
  });
}

function Take({ close, networks }: { close: () => void; networks: { value: string; label: string }[] }) {
  const [chosen, setChosen] = useState(networks[0]?.value ?? "");
  return (
    <FormDialog title={t("Take an address")} button={t("Take")} close={close} ready={chosen !== ""} description={networks.length === 0 ? t("This cloud has no external network.") : undefined}
      submit={async () => { await network.post("/floatingips", { floatingip: { floating_network_id: chosen } }); refresh(STALE); }}>
      <ChoiceField label={t("From")} value={chosen} set={setChosen} options={networks} />
    </FormDialog>
  );
}

function Give({ close, ip, servers }: { close: () => void; ip: FloatingIp; servers: { value: string; label: string }[] }) {
  const [chosen, setChosen] = useState("");
  const server = chosen || servers[0]?.value || "";
  const ports = useQuery({ queryKey: ["ports", "of server", server], enabled: server !== "", queryFn: () => get<Port>("/ports", "ports", { device_id: server }) });
  const port = ports.data?.find((found) => found.fixed_ips.some((fixed) => !fixed.ip_address.includes(":")));
  return (
    <FormDialog title={t("Give {{address}} to a server", { address: ip.floating_ip_address })} button={t("Give")} close={close} ready={Boolean(port)}
      submit={async () => { await network.put(`/floatingips/${ip.id}`, { floatingip: { port_id: port?.id } }); refresh(STALE); }}>
      <ChoiceField label={t("Server")} value={server} set={setChosen} options={servers} error={server && ports.data && !port ? t("It has no IPv4 address in any network.") : undefined} />
    </FormDialog>
  );
}
