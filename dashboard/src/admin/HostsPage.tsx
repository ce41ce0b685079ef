import { Progress, ProgressMeasureLocation, Title } from "@patternfly/react-core";
import { ServerIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { compute } from "../api/http";
import { number, t } from "../language";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { ago, memory } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, refresh } from "../parts/work";
import { Services } from "./Services";

export interface Hypervisor {
  id: string; hypervisor_hostname: string; state: string; status: string; vcpus: number; vcpus_used: number; memory_mb: number; memory_mb_used: number; running_vms: number;
}
export interface Service { id: string; binary: string; host: string; zone: string; status: string; state: string; updated_at: string; disabled_reason: string | null; forced_down?: boolean }

/** The last microversion in which a hypervisor tells what it has and what is used. */
const WITH_USAGE = { headers: { "X-OpenStack-Nova-API-Version": "2.87", "OpenStack-API-Version": "compute 2.87" } };

export function useHypervisors() {
  return useQuery({ queryKey: ["hosts", "hypervisors"], refetchInterval: 10_000, queryFn: () => compute.get<{ hypervisors: Hypervisor[] }>("/os-hypervisors/detail", undefined, WITH_USAGE).then((body) => body.hypervisors) });
}

export function HostsPage() {
  const [disabling, setDisabling] = useState<Service | null>(null);
  const hosts = useHypervisors();
  const services = useQuery({ queryKey: ["hosts", "services"], refetchInterval: 10_000, queryFn: () => compute.get<{ services: Service[] }>("/os-services").then((body) => body.services) });
  const of = (host: Hypervisor) => services.data?.find((service) => service.binary === "nova-compute" && service.host === host.hypervisor_hostname);
  const gauge = (title: string, used: number, all: number, unit: (value: number) => string) => (
    <Progress value={all > 0 ? Math.min(100, (100 * used) / all) : 0} size="sm" measureLocation={ProgressMeasureLocation.none} aria-label={title} title={t("{{used}} of {{limit}}", { used: unit(used), limit: unit(all) })} />
  );
  const columns: Column<Hypervisor>[] = [
    { title: t("Host"), cell: (h) => <Link to={`/admin/hosts/${h.hypervisor_hostname}`}>{h.hypervisor_hostname}</Link>, sort: (h) => h.hypervisor_hostname, nowrap: true },
    { title: t("State"), cell: (h) => <Status value={h.state} bad={h.state !== "up"} />, sort: (h) => h.state, nowrap: true },
    { title: t("New servers"), cell: (h) => { const service = of(h); return h.status === "enabled" ? t("yes") : t("no: {{reason}}", { reason: service?.disabled_reason || t("disabled") }); }, sort: (h) => h.status },
    { title: t("Servers"), cell: (h) => number(h.running_vms), sort: (h) => h.running_vms },
    { title: t("vCPUs"), cell: (h) => gauge(t("vCPUs"), h.vcpus_used, h.vcpus, number), sort: (h) => h.vcpus_used },
    { title: t("Memory"), cell: (h) => gauge(t("Memory"), h.memory_mb_used, h.memory_mb, memory), sort: (h) => h.memory_mb_used },
    { title: t("Heard of"), cell: (h) => ago(of(h)?.updated_at) },
  ];
  return (
    <Page title={t("Hosts and services")} lead={t("Where servers run. A disabled host keeps its servers and takes no new ones.")}>
      <ResourceTable label={t("Hosts")} rows={hosts.data} error={hosts.error ?? services.error} retry={() => { void hosts.refetch(); void services.refetch(); }} columns={columns} rowKey={(h) => h.id} text={(h) => h.hypervisor_hostname}
        actions={(h) => { const service = of(h); return !service ? [] : service.status === "enabled" ? [{ title: t("Disable"), onClick: () => setDisabling(service) }]
          : [{ title: t("Enable"), onClick: () => void perform(t("Enable {{name}}", { name: service.host }), () => compute.put(`/os-services/${service.id}`, { status: "enabled" }), ["hosts"]) }]; }}
        empty={{ icon: ServerIcon, title: t("No hosts yet"), body: t("A host appears when its agent has reported for the first time.") }} />
      <Title headingLevel="h2" size="lg" className="st-section">{t("Services")}</Title>
      <Services />
      {disabling && <Disable service={disabling} close={() => setDisabling(null)} />}
    </Page>
  );
}

export function Disable({ service, close }: { service: Service; close: () => void }) {
  const [reason, setReason] = useState("");
  return (
    <FormDialog title={t("Disable {{name}}", { name: service.host })} button={t("Disable")} close={close} ready={reason.trim() !== ""} description={t("Its servers go on; new ones are placed elsewhere.")}
      submit={async () => { await compute.put(`/os-services/${service.id}`, { status: "disabled", disabled_reason: reason.trim() }); refresh(["hosts"]); }}>
      <TextField label={t("Why")} value={reason} set={setReason} required autoFocus help={t("Shown to whoever wonders later.")} />
    </FormDialog>
  );
}
