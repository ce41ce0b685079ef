import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { compute } from "../api/http";
import { asked, watch } from "../api/live";
import { queries } from "../api/queries";
import { useSession } from "../api/session";
import type { Server } from "../api/types";
import { escapeRegex } from "./escape";
import { merged, type ServerPage, since } from "./changes";

export interface Wanted { name: string; status: string; sort: string; direction: "asc" | "desc"; marker: string; limit: number }

/** One page of the project's servers; one more than shown is asked for, to know whether there is a next one. */
export function useServerPage(wanted: Wanted) {
  return useQuery({
    queryKey: ["servers", "page", wanted],
    queryFn: async ({ signal }): Promise<ServerPage> => {
      const { servers } = await compute.get<{ servers: Server[] }>("/servers/detail", {
        limit: wanted.limit + 1, marker: wanted.marker, name: wanted.name ? escapeRegex(wanted.name) : "", status: wanted.status,
        sort_key: wanted.sort, sort_dir: wanted.direction }, { signal });
      return { servers: servers.slice(0, wanted.limit), more: servers.length > wanted.limit };
    },
    placeholderData: (before) => before,
    staleTime: 30_000,
  });
}

export function useServer(id: string) {
  return useQuery({
    queryKey: ["servers", "one", id],
    queryFn: () => compute.get<{ server: Server }>(`/servers/${id}`).then((body) => body.server),
    refetchInterval: (query) => asked(query.state.data?.status === "BUILD" || query.state.data?.["OS-EXT-STS:task_state"] ? 1500 : 5000),
  });
}

/**
 * Ask what has changed and put it into what is shown: when an event says so, and every few seconds where no events come.
 * A quiet cloud answers with an empty list.
 */
export function useServerChanges(): void {
  const { project } = useSession();
  const last = useRef(new Date());
  useEffect(() => {
    let stopped = false;
    let asking = false;
    let again = false;
    let timer: ReturnType<typeof setTimeout>;
    async function ask(): Promise<void> {
      const now = new Date();
      asking = true;
      try {
        const { servers } = await compute.get<{ servers: Server[] }>("/servers/detail", { "changes-since": since(last.current), limit: 1000 });
        last.current = now;
        if (!stopped && servers.length > 0) spread(servers);
      } catch {
        // the page's own queries show what is wrong; the next question asks from the same instant
      }
      asking = false;
      if (!stopped) timer = setTimeout(() => void ask(), again ? 500 : document.hidden ? 15_000 : asked(2500));
      again = false;
    }
    const unwatch = watch((changes) => {
      if (!changes.some((change) => change.kind === "server" && change.project_id === project.id)) return;
      again = asking;
      if (asking) return;
      clearTimeout(timer);
      void ask();
    });
    timer = setTimeout(() => void ask(), 1500);
    return () => {
      stopped = true;
      unwatch();
      clearTimeout(timer);
    };
  }, [project.id]);
}

function spread(changed: Server[]): void {
  for (const [key, page] of queries.getQueriesData<ServerPage>({ queryKey: ["servers", "page"] })) {
    if (!page) continue;
    const known = new Map(page.servers.map((server) => [server.id, server.updated + server.status + String(server["OS-EXT-STS:task_state"]) + JSON.stringify(server.addresses)]));
    const news = changed.filter((s) => s.status === "DELETED" ? known.has(s.id) : known.get(s.id) !== s.updated + s.status + String(s["OS-EXT-STS:task_state"]) + JSON.stringify(s.addresses));
    if (news.length === 0) continue;
    const result = merged(page, news);
    queries.setQueryData(key, result.page);
    if (result.again) void queries.invalidateQueries({ queryKey: key });
  }
}
