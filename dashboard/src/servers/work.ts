import { compute } from "../api/http";
import type { Port, Server } from "../api/types";
import { t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { perform, performEach, refresh } from "../parts/work";
import type { Action } from "./actions";

export const STALE = ["servers", "ports", "floating-ips", "usage"];

export function act(action: Action, servers: Server[]): void {
  const title = servers.length === 1
    ? t("{{action}}: {{name}}", { action: action.title, name: servers[0]?.name })
    : t("{{action}}: {{number}} servers", { action: action.title, number: servers.length });
  const one = (server: Server) => compute.post(`/servers/${server.id}/action`, action.body);
  if (servers.length === 1) void perform(title, () => one(servers[0] as Server), STALE);
  else void performEach(title, servers, (server) => server.name, one, STALE);
}

/** Delete after asking; *done* runs when the API has taken it. */
export function remove(servers: Server[], done?: () => void): void {
  const name = servers.length === 1 ? servers[0]?.name : t("{{number}} servers", { number: servers.length });
  confirmLoss({
    title: t("Delete {{name}}?", { name }),
    body: t("Their disks go with them and can't be brought back. Public addresses stay yours and become free."),
    button: t("Delete"),
    run: async () => {
      void performEach(t("Delete {{name}}", { name }), servers, (server) => server.name,
        (server) => compute.delete(`/servers/${server.id}`), STALE);
      done?.();
    },
  });
}

/** Take *port* away from a server after asking; *network* is its network's name. */
export function disconnect(server: Pick<Server, "id" | "name">, port: Pick<Port, "id">, network: string): void {
  confirmLoss({
    title: t("Disconnect {{server}} from {{network}}?", { server: server.name, network }), button: t("Disconnect"),
    body: t("Its addresses there become free, and a public address that led to them leads nowhere."),
    run: async () => {
      await compute.delete(`/servers/${server.id}/os-interface/${port.id}`);
      refresh([...STALE, "security-groups"]);
    },
  });
}
