import { Button, Flex, FlexItem } from "@patternfly/react-core";
import { ServerIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { compute } from "../api/http";
import { every } from "../api/live";
import type { Server } from "../api/types";
import { t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { ago, memory } from "../parts/format";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { type Column, Nothing, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, performEach } from "../parts/work";
import { busy } from "../servers/actions";
import { Disable, type Service } from "./HostsPage";

interface Migration { id: number; instance_uuid: string; source_compute: string; dest_compute: string | null; status: string; migration_type: string; created_at: string; updated_at: string | null }

const STALE = ["hosts", "servers"];

/** One host: the servers on it, moving them away, and what has moved. */
export function HostPage() {
  const { name = "" } = useParams();
  const [disabling, setDisabling] = useState<Service | null>(null);
  const services = useQuery({ queryKey: ["hosts", "services"], refetchInterval: 10_000, queryFn: () => compute.get<{ services: Service[] }>("/os-services").then((body) => body.services) });
  const servers = useQuery({ queryKey: ["hosts", "servers", name], refetchInterval: every(4000),
    queryFn: () => compute.get<{ servers: (Server & { tenant_id: string })[] }>("/servers/detail", { all_tenants: 1, host: name, limit: 1000 }).then((body) => body.servers) });
  const moves = useQuery({ queryKey: ["hosts", "migrations", name], refetchInterval: 4000,
    queryFn: () => compute.get<{ migrations: Migration[] }>("/os-migrations", { host: name, limit: 50 }).then((body) => body.migrations) });
  const service = services.data?.find((found) => found.binary === "nova-compute" && found.host === name);
  const live = (found: Server[]) => void performEach(t("Move away from {{host}}", { host: name }), found, (one) => one.name,
    (one) => compute.post(`/servers/${one.id}/action`, { "os-migrateLive": { host: null, block_migration: "auto" } }), STALE);
  const cold = (found: Server[]) => confirmLoss({
    title: t("Move with a restart?"), button: t("Move"), body: t("Each server is stopped, moved and started again. Afterwards it has to be confirmed on its page."),
    run: async () => void performEach(t("Move with a restart"), found, (one) => one.name, (one) => compute.post(`/servers/${one.id}/action`, { migrate: null }), STALE),
  });
  const running = (one: Server) => ["ACTIVE", "PAUSED"].includes(one.status) && !busy(one);
  const movable = (one: Server) => ["ACTIVE", "SHUTOFF"].includes(one.status) && !busy(one);
  const columns: Column<Server>[] = [
    { title: t("Name"), cell: (s) => <Link to={`/servers/${s.id}`}>{s.name}</Link>, sort: (s) => s.name },
    { title: t("Status"), cell: (s) => <Status value={s["OS-EXT-STS:task_state"] ?? s.status} busy={busy(s)} />, sort: (s) => s.status, nowrap: true },
    { title: t("Size"), cell: (s) => t("{{vcpus}} vCPU, {{memory}}", { vcpus: s.flavor.vcpus, memory: memory(s.flavor.ram) }), sort: (s) => s.flavor.ram, nowrap: true },
  ];
  const past: Column<Migration>[] = [
    { title: t("When"), cell: (m) => ago(m.created_at), nowrap: true },
    { title: t("Kind"), cell: (m) => m.migration_type },
    { title: t("Status"), cell: (m) => <Status value={m.status} />, nowrap: true },
    { title: t("From"), cell: (m) => m.source_compute },
    { title: t("To"), cell: (m) => m.dest_compute ?? "–" },
    { title: t("Server"), cell: (m) => <Link to={`/servers/${m.instance_uuid}`}>{servers.data?.find((one) => one.id === m.instance_uuid)?.name ?? t("a server")}</Link> },
  ];
  const all = servers.data ?? [];
  const parents = [{ title: t("Hosts and services"), to: "/admin/hosts" }];
  if (services.data && !service && all.length === 0) {
    return (
      <Page title={name} parents={parents}>
        <Nothing icon={ServerIcon} title={t("There is no such host")} body={t("It may never have reported, or it has been removed.")} action={<Link to="/admin/hosts">{t("To the hosts")}</Link>} />
      </Page>
    );
  }
  return (
    <Page title={name} parents={parents} badge={service && <><Status value={service.state} bad={service.state !== "up"} /><Status value={service.status} /></>} lead={service?.disabled_reason}
      actions={service && (
        <Flex gap={{ default: "gapSm" }} flexWrap={{ default: "nowrap" }}>
          <FlexItem>{service.status === "enabled" ? <Button variant="secondary" onClick={() => setDisabling(service)}>{t("Disable")}</Button>
            : <Button variant="secondary" onClick={() => void perform(t("Enable {{name}}", { name }), () => compute.put(`/os-services/${service.id}`, { status: "enabled" }), ["hosts"])}>{t("Enable")}</Button>}</FlexItem>
          <FlexItem><Button isDisabled={!all.some(running)} onClick={() => live(all.filter(running))}>{t("Move all away")}</Button></FlexItem>
        </Flex>
      )}>
      {services.error && <Problem error={services.error} retry={() => void services.refetch()} />}
      <ResourceTable label={t("Servers")} rows={servers.data} error={servers.error} retry={() => void servers.refetch()} columns={columns} rowKey={(s) => s.id} text={(s) => s.name}
        actions={(s) => [
          { title: t("Move away, running"), isDisabled: !running(s), onClick: () => live([s]) },
          { title: t("Move with a restart"), isDisabled: !movable(s), onClick: () => cold([s]) },
        ]}
        bulk={[{ title: t("Move away, running"), fits: running, run: live }, { title: t("Move with a restart"), fits: movable, run: cold }]}
        empty={{ icon: ServerIcon, title: t("No servers on this host"), body: t("New ones come here while it is enabled and has room.") }} />
      {(moves.data?.length ?? 0) > 0 && (
        <section className="st-below"><h2 className="pf-v6-c-title pf-m-lg">{t("What has moved")}</h2>
          <ResourceTable label={t("What has moved")} rows={moves.data} columns={past} rowKey={(m) => String(m.id)} empty={{ icon: ServerIcon, title: "", body: "" }} />
        </section>
      )}
      {moves.error && <Problem error={moves.error} />}
      {disabling && <Disable service={disabling} close={() => setDisabling(null)} />}
    </Page>
  );
}
