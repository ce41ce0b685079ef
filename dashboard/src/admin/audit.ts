import { t } from "../language";

/** A line of GET /audit. */
export interface AuditLine {
  seq: number; at: string; kind: string; resource_id: string; resource_name: string | null; project_id: string | null; project_name: string | null;
  user_id: string | null; user_name: string | null; request_id: string | null; source: string; event: string; message: string | null;
}

export const KINDS = ["server", "volume", "volume_snapshot", "volume_backup", "image", "network", "subnet", "port", "router", "floating_ip",
  "security_group", "load_balancer", "host", "machine", "user", "project", "group", "role", "domain"];

/** Where a resource is shown; null where it has no page, or is of another project, in which this session isn't. */
type Named = Pick<AuditLine, "kind" | "resource_id" | "resource_name" | "event">;
const PAGES: Record<string, (line: Named) => string> = {
  server: (line) => `/servers/${line.resource_id}`,
  volume: (line) => `/volumes/${line.resource_id}`,
  load_balancer: (line) => `/load-balancers/${line.resource_id}`,
  host: (line) => `/admin/hosts/${line.resource_name}`,
  machine: (line) => `/admin/machines/${line.resource_name}`,
};

export function pageOf(line: Named): string | null {
  return line.resource_name === null || line.event === "deleted" ? null : PAGES[line.kind]?.(line) ?? null;
}

export function nameOfKind(kind: string): string {
  return kind.replaceAll("_", " ").replace(/\bip\b/, "IP");
}

const HOUR = 3_600_000;

export function SPANS(): { id: string; title: string; hours: number }[] {
  return [
    { id: "1h", title: t("The last hour"), hours: 1 },
    { id: "1d", title: t("The last day"), hours: 24 },
    { id: "7d", title: t("The last week"), hours: 24 * 7 },
    { id: "30d", title: t("The last month"), hours: 24 * 30 },
  ];
}

/** From when on, in whole minutes, so that asking again a second later is the same question. */
export function since(span: string, now: Date): string | undefined {
  const found = SPANS().find((one) => one.id === span);
  if (!found) return undefined;
  return new Date(Math.floor((now.getTime() - found.hours * HOUR) / 60_000) * 60_000).toISOString();
}
