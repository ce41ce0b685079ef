import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { has } from "../api/catalog";
import { compute, network, volume } from "../api/http";
import { useSession } from "../api/session";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { Problem } from "../parts/Problem";
import { refresh } from "../parts/work";
import type { Project } from "./people";

type Numbers = Record<string, number>;
type Service = "compute" | "volume" | "network";

function fields(): Record<Service, [string, string][]> {
  return {
    compute: [["instances", t("Servers")], ["cores", t("vCPUs")], ["ram", t("Memory (MiB)")], ["key_pairs", t("Key pairs")], ["server_groups", t("Server groups")]],
    volume: [["volumes", t("Volumes")], ["gigabytes", t("Volumes and snapshots (GiB)")], ["snapshots", t("Volume snapshots")], ["backups", t("Backups")]],
    network: [["network", t("Networks")], ["router", t("Routers")], ["port", t("Ports")], ["floatingip", t("Floating IPs")], ["security_group", t("Security groups")]],
  };
}

async function ask(service: Service, project: string): Promise<Numbers> {
  if (service === "compute") return (await compute.get<{ quota_set: Numbers }>(`/os-quota-sets/${project}`)).quota_set;
  if (service === "volume") return (await volume.get<{ quota_set: Numbers }>(`/os-quota-sets/${project}`)).quota_set;
  return (await network.get<{ quota: Numbers }>(`/quotas/${project}`)).quota;
}

async function tell(service: Service, project: string, numbers: Numbers): Promise<void> {
  if (service === "compute") await compute.put(`/os-quota-sets/${project}`, { quota_set: numbers });
  else if (service === "volume") await volume.put(`/os-quota-sets/${project}`, { quota_set: numbers });
  else await network.put(`/quotas/${project}`, { quota: numbers });
}

/** What a project may use; only what was changed is sent. */
export function Quota({ project, close }: { project: Project; close: () => void }) {
  const { catalog } = useSession();
  const services = (["compute", "volume", "network"] as const).filter((service) => has(catalog, service));
  const current = useQuery({ queryKey: ["projects", "quota", project.id], staleTime: 0,
    queryFn: async () => Object.fromEntries(await Promise.all(services.map(async (service) => [service, await ask(service, project.id)]))) as Record<Service, Numbers> });
  const [changed, setChanged] = useState<Record<string, string>>({});
  const value = (service: Service, key: string) => changed[`${service}.${key}`] ?? String(current.data?.[service]?.[key] ?? "");
  const good = (service: Service, key: string) => /^(-1|\d+)$/.test(value(service, key));
  const shown = services.map((service) => [service, fields()[service].filter(([key]) => current.data?.[service]?.[key] !== undefined)] as const);
  return (
    <FormDialog title={t("Quotas of {{name}}", { name: project.name })} button={t("Save")} close={close} description={t("-1: no limit.")}
      ready={current.data !== undefined && shown.every(([service, list]) => list.every(([key]) => good(service, key)))}
      submit={async () => {
        for (const [service, list] of shown) {
          const news = list.filter(([key]) => changed[`${service}.${key}`] !== undefined && Number(value(service, key)) !== current.data?.[service]?.[key]);
          if (news.length > 0) await tell(service, project.id, Object.fromEntries(news.map(([key]) => [key, Number(value(service, key))])));
        }
        refresh(["projects", "usage"]);
      }}>
      {current.error && <Problem error={current.error} retry={() => void current.refetch()} />}
      <div className="st-pairs">
        {shown.map(([service, list]) => list.map(([key, label]) => (
          <TextField key={service + key} label={label} type="number" value={value(service, key)} error={good(service, key) ? undefined : t("A whole number, or -1.")}
            set={(text) => setChanged({ ...changed, [`${service}.${key}`]: text })} />
        )))}
      </div>
    </FormDialog>
  );
}
