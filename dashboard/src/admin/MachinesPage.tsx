import { Alert } from "@patternfly/react-core";
import { CubesIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { stackling } from "../api/http";
import { every } from "../api/live";
import { number, t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { ago } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { perform, refresh } from "../parts/work";
import type { Machine } from "./machines";

/** The iron below the hosts: Stackling's own API, hidden on other clouds. */
export function MachinesPage() {
  const machines = useQuery({ queryKey: ["machines"], refetchInterval: every(5000), queryFn: () => stackling.get<{ machines: Machine[] }>("/machines").then((body) => body.machines) });
  const columns: Column<Machine>[] = [
    { title: t("Machine"), cell: (m) => <Link to={`/admin/machines/${m.name}`}>{m.name}</Link>, sort: (m) => m.name, nowrap: true },
    { title: t("State"), cell: (m) => <><Status value={m.state} />{m.reason && <div className="st-muted">{m.reason}</div>}</>, sort: (m) => m.state },
    { title: t("Heard of"), cell: (m) => ago(m.heartbeat_at), sort: (m) => m.heartbeat_at ?? "", nowrap: true },
    { title: t("Holds the hosts"), cell: (m) => m.hosts.map((host) => <div key={host.id}><Link to={`/admin/hosts/${host.name}`}>{host.name}</Link> <span className="st-muted">{t("lease {{epoch}}", { epoch: host.epoch })}{host.fenced ? ` · ${t("fenced")}` : ""}</span></div>) },
    { title: t("Planned stop"), cell: (m) => m.planned_stop ? m.planned_stop.reason || t("yes") : t("none") },
    { title: t("Servers moving"), cell: (m) => Object.entries(m.evacuation_counts).filter(([, found]) => found > 0).map(([kind, found]) => `${number(found)} ${kind}`).join(", ") || "–" },
  ];
  const alarms = (machines.data ?? []).filter((machine) => machine.alarm);
  return (
    <Page title={t("Machines")} lead={t("The iron. A machine holds a host's lease; when it is lost and fenced, its servers start elsewhere.")}>
      {alarms.map((machine) => <Alert key={machine.id} isInline variant="warning" title={machine.name}>{machine.alarm}</Alert>)}
      <ResourceTable label={t("Machines")} rows={machines.data} error={machines.error} retry={() => void machines.refetch()} columns={columns} rowKey={(m) => m.id} text={(m) => m.name}
        actions={(m) => (m.planned_stop ? [{ title: t("End the planned stop"), onClick: () => void perform(t("End the planned stop of {{name}}", { name: m.name }), () => stackling.post(`/machines/${m.name}/action`, { resume: null }), ["machines"]) }]
          : [{ title: t("Plan a stop of one hour"), onClick: () => confirmLoss({ title: t("Plan a stop of {{name}}?", { name: m.name }), button: t("Plan it"), body: t("For an hour nobody fences the machine when it falls silent, and its servers aren't started elsewhere."),
              run: async () => { await stackling.post(`/machines/${m.name}/action`, { stop: { seconds: 3600, reason: "dashboard" } }); refresh(["machines"]); } }) }])}
        empty={{ icon: CubesIcon, title: t("No machines yet"), body: t("A machine appears when its agent has reported for the first time.") }} />
    </Page>
  );
}
