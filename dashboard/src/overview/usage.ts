import { useQuery } from "@tanstack/react-query";
import { has } from "../api/catalog";
import { compute, network, volume } from "../api/http";
import { every } from "../api/live";
import { useSession } from "../api/session";

export type Limits = Record<string, number>;
export type NetworkQuota = Record<string, { used: number; limit: number; reserved: number }>;

/** What the project uses and what it may use. */
export function useUsage() {
  const { catalog, project } = useSession();
  return useQuery({
    queryKey: ["usage", project.id],
    queryFn: async () => {
      const [limits, quota, storage] = await Promise.all([
        has(catalog, "compute") ? compute.get<{ limits: { absolute: Limits } }>("/limits").then((body) => body.limits.absolute) : null,
        has(catalog, "network") ? network.get<{ quota: NetworkQuota }>(`/quotas/${project.id}/details.json`).then((body) => body.quota) : null,
        has(catalog, "volume") ? volume.get<{ limits: { absolute: Limits } }>("/limits").then((body) => body.limits.absolute) : null,
      ]);
      return { compute: limits, network: quota, volume: storage };
    },
    refetchInterval: every(15_000),
  });
}
