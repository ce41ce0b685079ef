import { useQuery } from "@tanstack/react-query";
import { ApiError } from "../api/errors";
import { compute } from "../api/http";
import { every } from "../api/live";
import { queries } from "../api/queries";
import type { Server } from "../api/types";
import { changed, since } from "./changes";

/** As many as Nova gives at once where nobody has configured less. */
const PAGE = 1000;
/** Until then (milliseconds) changes are put into what is known; a clock that goes wrong may have hidden some. */
const WHOLE = 300_000;
/** A page can't be asked for where its marker has been deleted meanwhile; then it begins anew, this often. */
const TRIES = 3;
const STALE = 5_000;

/** The project's servers as far as their pages have come; `whole` once none is missing. */
export interface All<T> { found: T[]; whole: boolean; pages: number; begun: number; asked: Date }

interface Page { servers: Server[]; servers_links?: unknown[] }

/**
 * All servers of the project, as *of* makes them of what *path* tells, shown while their pages come. Where there are
 * several pages, only what has changed is asked for again.
 */
export function allServers<T extends { id: string }, R>(key: string, path: "/servers" | "/servers/detail", of: (server: Server) => T, select: (all: All<T>) => R) {
  const queryKey = ["servers", key];
  const show = (all: All<T>) => queries.setQueryData<All<T>>(queryKey, all);
  const ask = async (signal: AbortSignal): Promise<All<T>> => {
    const before = queries.getQueryData<All<T>>(queryKey);
    const asked = new Date();
    if (before?.whole && before.pages > 1 && asked.getTime() - before.begun < WHOLE) {
      const page = await compute.get<Page>("/servers/detail", { limit: PAGE, "changes-since": since(before.asked) }, { signal });
      if (!page.servers_links) return { ...before, asked, found: changed(before.found, page.servers, of) };
    }
    return read(path, of, signal, before?.whole ? () => undefined : show);
  };
  return function useAll(enabled = true) {
    return useQuery({
      queryKey, enabled, select, refetchInterval: every(15_000), queryFn: ({ signal }) => ask(signal),
      staleTime: (query) => (query.state.data?.whole === false ? 0 : STALE),
    });
  };
}

/** Page by page, by name; *show* is told what has come so far. */
async function read<T>(path: string, of: (server: Server) => T, signal: AbortSignal, show: (all: All<T>) => void): Promise<All<T>> {
  for (let tries = 1; ; tries++) {
    const all: All<T> = { found: [], whole: false, pages: 0, begun: Date.now(), asked: new Date() };
    try {
      for (let marker: string | undefined = ""; marker !== undefined; all.pages++) {
        const page: Page = await compute.get(path, { limit: PAGE, sort_key: "display_name", sort_dir: "asc", marker }, { signal });
        all.found.push(...page.servers.map(of));
        marker = page.servers_links ? page.servers.at(-1)?.id : undefined;
        if (marker) show({ ...all, found: [...all.found] });
      }
      return { ...all, whole: true };
    } catch (error) {
      if (tries === TRIES || all.pages === 0 || !(error instanceof ApiError) || error.status !== 400) throw error;
    }
  }
}

/** Names of the project's servers by id; a name says more than an id. */
export const useServerNames = allServers("names", "/servers", ({ id, name }) => ({ id, name }), (all) => new Map(all.found.map((server) => [server.id, server.name])));
