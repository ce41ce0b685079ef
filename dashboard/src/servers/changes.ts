import type { Server } from "../api/types";

export interface ServerPage { servers: Server[]; more: boolean }

/** What a page of the list looks like after *changed* servers became known; `again` where only the API can tell. */
export function merged(page: ServerPage, changed: Server[]): { page: ServerPage; again: boolean } {
  const news = new Map(changed.map((server) => [server.id, server]));
  let again = false;
  const servers: Server[] = [];
  for (const server of page.servers) {
    const now = news.get(server.id);
    news.delete(server.id);
    if (!now) servers.push(server);
    else if (now.status === "DELETED") again = true;
    else {
      servers.push(now);
      if (now.status !== server.status || now.name !== server.name) again = true;
    }
  }
  for (const server of news.values()) if (server.status !== "DELETED") again = true;
  return { page: { ...page, servers }, again };
}

/** Everything that is *known* after *servers* became others, came or went. */
export function changed<T extends { id: string }>(known: T[], servers: Server[], of: (server: Server) => T): T[] {
  const found = new Map(known.map((one) => [one.id, one]));
  for (const server of servers) {
    if (["DELETED", "SOFT_DELETED"].includes(server.status)) found.delete(server.id);
    else found.set(server.id, of(server));
  }
  return [...found.values()];
}

/** From when on to ask for changes next: a little before the last question, since clocks and commits aren't exact. */
export function since(asked: Date): string {
  return `${new Date(asked.getTime() - 5000).toISOString().slice(0, 19)}Z`;
}
