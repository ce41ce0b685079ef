import { useQuery } from "@tanstack/react-query";
import { has } from "../api/catalog";
import { compute, network, volume } from "../api/http";
import { useSession } from "../api/session";
import { t } from "../language";
import type { Service } from "./HostsPage";

interface Agent { binary: string; host: string; alive: boolean; admin_state_up: boolean; heartbeat_timestamp: string }
interface VolumeService { binary: string; host: string; state: string; status: string; updated_at: string }

/** A service in one shape, whichever API told of it. */
export interface Part { key: string; name: string; of: string; host: string; up: boolean; enabled: boolean; at: string }

/** What the APIs say of the programs behind them: which are heard of, and when they were last. */
export function useParts() {
  const { catalog } = useSession();
  return useQuery({ queryKey: ["hosts", "all-services"], refetchInterval: 10_000, queryFn: async (): Promise<Part[]> => (await Promise.all([
    compute.get<{ services: Service[] }>("/os-services").then((body) => body.services.map((one) => part(t("Compute"), one.binary, one.host, one.state === "up", one.status === "enabled", one.updated_at))),
    has(catalog, "network") ? network.get<{ agents: Agent[] }>("/agents").then((body) => body.agents.map((one) => part(t("Network"), one.binary, one.host, one.alive, one.admin_state_up, one.heartbeat_timestamp))) : [],
    has(catalog, "volume") ? volume.get<{ services: VolumeService[] }>("/os-services").then((body) => body.services.map((one) => part(t("Block Storage"), one.binary, one.host, one.state === "up", one.status === "enabled", one.updated_at))) : [],
  ])).flat() });
}

function part(of: string, name: string, host: string, up: boolean, enabled: boolean, at: string): Part {
  return { key: `${of} ${name} ${host}`, name, of, host, up, enabled, at };
}
