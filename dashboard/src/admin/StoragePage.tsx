import { Progress, ProgressMeasureLocation } from "@patternfly/react-core";
import { HddIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { has } from "../api/catalog";
import { volume } from "../api/http";
import { useSession } from "../api/session";
import { number, t } from "../language";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { ago, memory } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, refresh } from "../parts/work";
import { StorageCheck } from "./StorageCheck";

interface Pool {
  name: string;
  capabilities: { volume_backend_name: string; storage_protocol: string; backend_state?: string; total_capacity_gb: number | string; free_capacity_gb: number | string; allocated_capacity_gb?: number; provisioned_capacity_gb?: number; total_volumes?: number };
}
interface VolumeService { binary: string; host: string; zone: string; status: string; state: string; backend_state?: string; updated_at: string; disabled_reason: string | null }

const gib = (value: number) => memory(value * 1024);

/** Where volumes lie: how full each backend is, and whether its service answers. */
export function StoragePage() {
  const own = has(useSession().catalog, "stackling");
  const pools = useQuery({ queryKey: ["storage", "pools"], refetchInterval: 10_000, queryFn: () => volume.get<{ pools: Pool[] }>("/scheduler-stats/get_pools", { detail: true }).then((body) => body.pools) });
  const services = useQuery({ queryKey: ["storage", "services"], refetchInterval: 10_000, queryFn: () => volume.get<{ services: VolumeService[] }>("/os-services").then((body) => body.services) });
  const [disabling, setDisabling] = useState<VolumeService | null>(null);
  const columns: Column<Pool>[] = [
    { title: t("Backend"), cell: (p) => p.capabilities.volume_backend_name, sort: (p) => p.capabilities.volume_backend_name, nowrap: true },
    { title: t("State"), cell: (p) => <Status value={p.capabilities.backend_state ?? "up"} bad={p.capabilities.backend_state === "down"} />, sort: (p) => p.capabilities.backend_state ?? "", nowrap: true },
    { title: t("Used"), cell: (p) => <Fill pool={p} /> },
    { title: t("Promised"), cell: (p) => (p.capabilities.provisioned_capacity_gb === undefined ? "–" : gib(p.capabilities.provisioned_capacity_gb)), sort: (p) => p.capabilities.provisioned_capacity_gb ?? 0, nowrap: true },
    { title: t("Volumes"), cell: (p) => p.capabilities.total_volumes === undefined ? "–" : number(p.capabilities.total_volumes), sort: (p) => p.capabilities.total_volumes ?? 0 },
    { title: t("Protocol"), cell: (p) => p.capabilities.storage_protocol },
  ];
  const parts: Column<VolumeService>[] = [
    { title: t("Service"), cell: (s) => s.binary, sort: (s) => s.binary, nowrap: true },
    { title: t("Host"), cell: (s) => s.host, sort: (s) => s.host },
    { title: t("State"), cell: (s) => <Status value={s.state} bad={s.state !== "up"} />, sort: (s) => s.state, nowrap: true },
    { title: t("New volumes"), cell: (s) => (s.status === "enabled" ? t("yes") : t("no: {{reason}}", { reason: s.disabled_reason || t("disabled") })), sort: (s) => s.status },
    { title: t("Heard of"), cell: (s) => ago(s.updated_at), nowrap: true },
  ];
  return (
    <Page title={t("Storage")} lead={t("Where volumes lie, how full it is, and whether it answers.")}>
      <ResourceTable label={t("Backends")} rows={pools.data} error={pools.error} retry={() => void pools.refetch()} columns={columns} rowKey={(p) => p.name}
        empty={{ icon: HddIcon, title: t("No backends"), body: t("A backend appears when its service has reported for the first time.") }} />
      <section className="st-below">
        <h2 className="pf-v6-c-title pf-m-lg">{t("Services")}</h2>
        <ResourceTable label={t("Services")} rows={services.data} error={services.error} retry={() => void services.refetch()} columns={parts} rowKey={(s) => s.binary + s.host}
          actions={(s) => (s.binary !== "cinder-volume" ? [] : [s.status === "enabled" ? { title: t("Disable"), onClick: () => setDisabling(s) }
            : { title: t("Enable"), onClick: () => void perform(t("Enable {{name}}", { name: s.host }), () => volume.put("/os-services/enable", { binary: s.binary, host: s.host }), ["storage"]) }])}
          empty={{ icon: HddIcon, title: t("No services"), body: t("A service appears when it has reported for the first time.") }} />
      </section>
      {own && <section className="st-section"><h2 className="pf-v6-c-title pf-m-lg st-above">{t("What lies in them")}</h2><StorageCheck /></section>}
      {disabling && <Disable service={disabling} close={() => setDisabling(null)} />}
    </Page>
  );
}

function Fill({ pool }: { pool: Pool }) {
  const { total_capacity_gb: total, free_capacity_gb: free } = pool.capabilities;
  if (typeof total !== "number" || typeof free !== "number" || total <= 0) return <span className="st-muted">{t("nobody knows")}</span>;
  const part = Math.min(100, (100 * (total - free)) / total);
  return <Progress value={part} size="sm" measureLocation={ProgressMeasureLocation.none} aria-label={t("Used")} variant={part >= 95 ? "danger" : part >= 80 ? "warning" : undefined} title={t("{{used}} of {{limit}}", { used: gib(Math.max(0, total - free)), limit: gib(total) })} />;
}

function Disable({ service, close }: { service: VolumeService; close: () => void }) {
  const [reason, setReason] = useState("");
  return (
    <FormDialog title={t("Disable {{name}}", { name: service.host })} button={t("Disable")} close={close} ready={reason.trim() !== ""} description={t("Its volumes stay usable; new ones are made elsewhere.")}
      submit={async () => {
        await volume.put("/os-services/disable-log-reason", { binary: service.binary, host: service.host, disabled_reason: reason.trim() });
        refresh(["storage"]);
      }}>
      <TextField label={t("Why")} value={reason} set={setReason} required autoFocus help={t("Shown to whoever wonders later.")} />
    </FormDialog>
  );
}
