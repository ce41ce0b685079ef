import type { Port, Server } from "../api/types";
import { addresses } from "../servers/actions";
import type { Guest } from "./layout";

/** So many servers of a network, and in all, are drawn; a network's page has all of its own. */
const MOST = 60;
const ALL = 300;

const order = new Intl.Collator(undefined, { numeric: true });
export const byName = <T extends { name: string }>(a: T, b: T) => order.compare(a.name, b.name);

/** How many servers each network may show, so that those of all networks, of which there are *numbers*, aren't too many. */
export function share(numbers: number[]): number {
  let each = MOST;
  while (each > 0 && numbers.reduce((sum, number) => sum + Math.min(number, each), 0) > ALL) each--;
  return each;
}

/** Those *each* of a network's servers that are drawn: first what somebody looks for, which is drawn even where nothing else is. */
export function drawn(here: Guest[], each: number, isSought: (guest: Guest) => boolean): Guest[] {
  const sorted = [...here].sort(byName);
  if (sorted.length <= each) return sorted;
  const sought = sorted.filter(isSought).slice(0, Math.max(each, 1));
  const rest = each > sought.length ? sorted.filter((guest) => !isSought(guest)).slice(0, each - sought.length) : [];
  return [...sought, ...rest].sort(byName);
}

/** Where servers lie: *on* the network of their oldest card that is seen, or, without any card, *loose*. */
export interface Homes { home: Map<string, string>; on: Map<string, Guest[]>; loose: Guest[]; cards: Map<string, Port[]> }

export function homes(guests: Guest[], ports: Port[], networks: string[]): Homes {
  const cards = new Map<string, Port[]>();
  for (const port of [...ports].sort((a, b) => order.compare(a.created_at ?? "", b.created_at ?? ""))) {
    const known = cards.get(port.device_id);
    if (known) known.push(port);
    else cards.set(port.device_id, [port]);
  }
  const on = new Map<string, Guest[]>(networks.map((id) => [id, []]));
  const home = new Map<string, string>();
  for (const guest of guests) {
    const first = cards.get(guest.id)?.find((port) => on.has(port.network_id));
    if (!first) continue;
    home.set(guest.id, first.network_id);
    on.get(first.network_id)?.push(guest);
  }
  return { home, on, loose: guests.filter((guest) => !cards.has(guest.id)), cards };
}

export function guestOf(server: Server): Guest {
  return { id: server.id, name: server.name, status: server.status, locked: server.locked, floating: addresses(server).floating };
}

/** *guests* after *servers* of them became others, came or went. */
export function changed(guests: Guest[], servers: Server[]): Guest[] {
  const found = new Map(guests.map((guest) => [guest.id, guest]));
  for (const server of servers) {
    if (["DELETED", "SOFT_DELETED"].includes(server.status)) found.delete(server.id);
    else found.set(server.id, guestOf(server));
  }
  return [...found.values()];
}
