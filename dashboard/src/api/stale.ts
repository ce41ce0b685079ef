/** What an event of a stream says: this resource looks different now. */
export interface Change { kind: string; id: string; project_id: string | null; at: string }

type Key = readonly unknown[];

/** Queries that show something of a kind of resource; the pages of servers are mended by `useServerChanges` instead. */
const SHOWN: Record<string, string[]> = {
  server: ["servers", "usage"],
  port: ["ports"],
  network: ["networks"],
  subnet: ["subnets", "networks"],
  router: ["routers", "ports"],
  floating_ip: ["floating-ips", "usage"],
  security_group: ["security-groups"],
  load_balancer: ["balancers", "balancer"],
  image: ["images"],
  volume: ["volumes", "usage"],
  volume_snapshot: ["volume-snapshots"],
  volume_backup: ["volume-backups"],
};

/** Queries of administrators, which show everybody's. */
const EVERYBODYS: Record<string, string[]> = { host: ["hosts", "machines"], machine: ["machines", "hosts"], server: ["hosts"], volume: ["storage"],
  user: ["users", "projects"], project: ["projects"], group: ["projects"] };

/** Whether what a query shows may have changed by *changes*, in the project that the dashboard shows. */
export function isStale(key: Key, changes: Change[], project: string): boolean {
  const [list, what, id] = key;
  return changes.some((change) => {
    const own = change.project_id === project;
    if (list === "explain") return change.kind === what && change.id === id;
    if (list === "servers" && what === "failed") return change.kind === "server";
    if (EVERYBODYS[change.kind]?.includes(list as string)) return true;
    if (list === "servers" && what === "page") return false;
    if (list === "servers" && (what === "one" || what === "timeline" || what === "log" || what === "diagnostics")) {
      return change.kind === "server" && change.id === id && what !== "log" && what !== "diagnostics";
    }
    if (what === "one" && id !== undefined) return SHOWN[change.kind]?.[0] === list && change.id === id;
    return own && (SHOWN[change.kind]?.includes(list as string) ?? false);
  });
}
