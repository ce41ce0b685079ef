import { CheckCircleIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { compute } from "../api/http";
import { every } from "../api/live";
import type { Server } from "../api/types";
import { t } from "../language";
import { ago, memory, when } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { useProjects } from "./people";

type Failed = Server & { tenant_id: string };

/** Servers in error, of every project, and why: most often since no host would take them. */
export function RefusalsPage() {
  const projects = useProjects();
  const failed = useQuery({ queryKey: ["servers", "failed"], refetchInterval: every(8000),
    queryFn: () => compute.get<{ servers: Failed[] }>("/servers/detail", { all_tenants: 1, status: "ERROR", limit: 200, sort_key: "created_at", sort_dir: "desc" }).then((body) => body.servers) });
  const columns: Column<Failed>[] = [
    { title: t("Server"), cell: (s) => <Link to={`/servers/${s.id}?tab=timeline`}>{s.name}</Link>, nowrap: true },
    { title: t("Project"), cell: (s) => projects.data?.find((one) => one.id === s.tenant_id)?.name ?? "–" },
    { title: t("Asked for"), cell: (s) => t("{{vcpus}} vCPU, {{memory}}, {{disk}} GiB disk", { vcpus: s.flavor.vcpus, memory: memory(s.flavor.ram), disk: s.flavor.disk }) },
    { title: t("Why not"), cell: (s) => <>{s.fault?.message ?? "–"}{s.fault?.details && s.fault.details !== s.fault.message && <div className="st-muted">{s.fault.details.replace(s.fault.message, "").trim()}</div>}</> },
    { title: t("When"), cell: (s) => <span title={when(s.fault?.created ?? s.created)}>{ago(s.fault?.created ?? s.created)}</span>, nowrap: true },
  ];
  return (
    <Page title={t("Refusals")} lead={t("Servers that couldn't be, in every project, and what the scheduler or a host said.")}>
      <ResourceTable label={t("Refusals")} rows={failed.data} error={failed.error} retry={() => void failed.refetch()} columns={columns} rowKey={(s) => s.id} text={(s) => `${s.name} ${s.fault?.message ?? ""}`}
        empty={{ icon: CheckCircleIcon, title: t("Nothing was refused"), body: t("Servers that no host takes, or that fail on one, appear here with the reason.") }} />
    </Page>
  );
}
