import type { ListedPort, Server } from "../api/types";
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

/** Servers of a network: *all* of them, and those that come *first* by name; the others are never sorted. */
export interface Crowd { all: Guest[]; first: Guest[] }

/** Those *each* of a network's servers that are drawn: first what somebody looks for, which is drawn even where nothing else is. */
export function drawn(here: Crowd, each: number, isSought: ((guest: Guest) => boolean) | null): Guest[] {
  if (!isSought || here.all.length <= each) return here.first.slice(0, each);
  const sought = first(here.all.filter(isSought), Math.max(each, 1));
  const found = new Set(sought);
  return [...sought, ...here.first.filter((guest) => !found.has(guest)).slice(0, Math.max(0, each - sought.length))].sort(byName);
}

/** The *most* of *items* whose names come first, in order. */
export function first<T extends { name: string }>(items: T[], most: number): T[] {
  const found: T[] = [];
  for (const item of items) {
    const last = found[most - 1];
    if (last && byName(item, last) >= 0) continue;
    let [from, to] = [0, found.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (byName(found[middle] as T, item) <= 0) from = middle + 1;
      else to = middle;
    }
    found.splice(from, 0, item);
    if (found.length > most) found.pop();
  }
  return found;
}

/** Where servers lie: *on* the network of their oldest card that is seen, or, without any card, *loose*. *others* are the ports that no server has, *used* the networks that servers are on. */
export interface Homes { home: Map<string, string>; on: Map<string, Crowd>; loose: Crowd; cards: Map<string, ListedPort[]>; others: ListedPort[]; used: Set<string> }

export function homes(guests: Guest[], ports: ListedPort[], networks: string[]): Homes {
  const cards = new Map<string, ListedPort[]>();
  const others: ListedPort[] = [];
  const used = new Set<string>();
  for (const port of ports) {
    if (!port.device_owner.startsWith("compute:")) {
      others.push(port);
      continue;
    }
    used.add(port.network_id);
    const known = cards.get(port.device_id);
    if (known) known.push(port);
    else cards.set(port.device_id, [port]);
  }
  const on = new Map<string, Guest[]>(networks.map((id) => [id, []]));
  const home = new Map<string, string>();
  const loose: Guest[] = [];
  for (const guest of guests) {
    const own = cards.get(guest.id);
    if (own && own.length > 1) own.sort((a, b) => (a.created_at ?? "") < (b.created_at ?? "") ? -1 : 1);
    const oldest = own?.find((port) => on.has(port.network_id));
    if (!own) loose.push(guest);
    if (!oldest) continue;
    home.set(guest.id, oldest.network_id);
    on.get(oldest.network_id)?.push(guest);
  }
  const crowd = (all: Guest[]): Crowd => ({ all, first: first(all, MOST) });
  return { home, on: new Map([...on].map(([id, all]) => [id, crowd(all)])), loose: crowd(loose), cards, others, used };
}

export function guestOf(server: Server): Guest {
  return { id: server.id, name: server.name, status: server.status, locked: server.locked, floating: addresses(server).floating };
}
