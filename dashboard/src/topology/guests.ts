import { useQuery } from "@tanstack/react-query";
import { compute } from "../api/http";
import { every } from "../api/live";
import { queries } from "../api/queries";
import type { Server } from "../api/types";
import { since } from "../servers/changes";
import { changed, guestOf } from "./crowd";
import type { Guest } from "./layout";

/** As many as Nova gives at once where nobody has configured less. */
const PAGE = 1000;
const KEY = ["servers", "topology"];
/** Until then (milliseconds) changes are put into what is known; a clock that goes wrong may have hidden some. */
const WHOLE = 300_000;

interface Told { asked: Date; whole: Date; guests: Guest[] }

/** All servers of the project. Where they are more than a page, only what has changed is asked for again. */
export function useGuests() {
  return useQuery({ queryKey: KEY, refetchInterval: every(10_000), queryFn: ({ signal }) => ask(signal), select: (told) => told.guests });
}

async function ask(signal: AbortSignal): Promise<Told> {
  const before = queries.getQueryData<Told>(KEY);
  const now = new Date();
  if (before && before.guests.length > PAGE && now.getTime() - before.whole.getTime() < WHOLE) {
    const { servers } = await page({ "changes-since": since(before.asked) }, signal);
    if (servers.length < PAGE) return { ...before, asked: now, guests: changed(before.guests, servers) };
  }
  const guests: Guest[] = [];
  for (let marker: string | undefined = ""; marker !== undefined;) {
    const { servers, servers_links }: Page = await page({ marker }, signal);
    guests.push(...servers.map(guestOf));
    marker = servers_links ? servers.at(-1)?.id : undefined;
  }
  return { asked: now, whole: now, guests };
}

interface Page { servers: Server[]; servers_links?: unknown[] }

function page(query: Record<string, string>, signal: AbortSignal): Promise<Page> {
  return compute.get<Page>("/servers/detail", { limit: PAGE, ...query }, { signal });
}
