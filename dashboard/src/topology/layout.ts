import type { ListedPort, Network, Router, Subnet } from "../api/types";
import { count, t } from "../language";
import { byName, drawn, type Crowd, type Homes, homes, share } from "./crowd";
import { extent, fitted, GAP, grid, type Place, scale, WIDER } from "./shelves";

/** What is drawn: networks that their servers lie in, routers between them, and the lines that join what doesn't touch. */
export interface Box extends Place {
  id: string;
  kind: "network" | "outside" | "loose" | "router" | "server" | "more";
  name: string;
  detail: string;
  status: "up" | "down" | "wrong" | "none";
  /** The networks it can be connected to; servers and routers have some. */
  open: string[];
}

/** *second* leads from a server to a network that it doesn't lie in. */
export interface Line { id: string; from: string; to: string; up: boolean; second?: boolean; points: [number, number][] }

/** *hidden*: how many servers aren't drawn, since they are too many. */
export interface Drawing { boxes: Box[]; lines: Line[]; hidden: number }

/** What is drawn in any case where not everything is: names and addresses with *text* (lower case) in them, and *id*. */
export interface Sought { text: string; id: string | null }

export interface Guest { id: string; name: string; status: string; floating: string[]; locked: boolean }

export interface Known { networks: Network[]; subnets: Subnet[]; routers: Router[]; ports: ListedPort[]; guests: Guest[] }

/** The id of the frame around servers that are on no network. */
export const LOOSE = "loose";
export const HEADER = 52;
const SERVER = { width: 164, height: 52 };
const PAD = 12;
/** Shapes that a router with its networks may have; the one that fits best is drawn. */
const SHAPES = [0.6, 1, 1.65, 2.6];
export function interfaces(router: Router, ports: ListedPort[]): ListedPort[] {
  return ports.filter((port) => port.device_id === router.id && port.device_owner.startsWith("network:router_interface"));
}

/** The networks that a router can still be connected to: outer ones where it has no way out, inner ones it isn't on. */
export function connectable(router: Router, networks: Network[], ports: ListedPort[]): string[] {
  const joined = new Set(ports.filter((port) => port.device_id === router.id).map((port) => port.network_id));
  return networks.filter((network) => (network["router:external"] ? !router.external_gateway_info : network.subnets.length > 0 && !joined.has(network.id))).map((network) => network.id);
}

/** The networks that a server may join once it can be changed: inner ones with addresses that it isn't on. */
export function joinable(guest: Guest, networks: Network[], ports: ListedPort[]): string[] {
  if (guest.locked || !["ACTIVE", "SHUTOFF", "PAUSED"].includes(guest.status)) return [];
  const joined = new Set(ports.filter((port) => port.device_id === guest.id).map((port) => port.network_id));
  return networks.filter((network) => !network["router:external"] && network.subnets.length > 0 && !joined.has(network.id)).map((network) => network.id);
}

function standing(status: string): Box["status"] {
  return status === "ACTIVE" ? "up" : status === "ERROR" ? "wrong" : "down";
}

/** A frame with the boxes that lie in it, at its own origin. */
interface Group { frame: Box; inside: Box[]; width: number; height: number }

/** A router over the networks that hang from it; without one, networks that nothing leads out of. */
interface Block { router?: Box; groups: (Group & { x: number; y: number; row: number })[]; rows: number[]; width: number; height: number }

/** Where servers lie is found out once for what is known; what is looked for in it changes with every letter. */
const settled = new WeakMap<Known, Homes>();

function settle(known: Known): Homes {
  const found = settled.get(known) ?? homes(known.guests, known.ports, known.networks.map((network) => network.id));
  settled.set(known, found);
  return found;
}

export function draw(known: Known, sought: Sought = { text: "", id: null }): Drawing {
  const networks = [...known.networks].sort(byName);
  const routers = [...known.routers].sort(byName);
  const outside = networks.filter((network) => network["router:external"]);
  const { home, on, loose, cards, others, used } = settle(known);
  const ways = new Set(routers.map((router) => router.external_gateway_info?.network_id));
  const shownOutside = outside.length > 3 ? outside.filter((network) => used.has(network.id) || ways.has(network.id)) : outside;
  const inner = networks.filter((network) => !network["router:external"]);

  const columns = Math.max(2, Math.min(5, Math.round(10 / Math.max(1, inner.length))));
  const each = share([...on.values(), loose].map((found) => found.all.length));
  const address = (guest: Guest) => cards.get(guest.id)?.find((port) => port.network_id === home.get(guest.id))?.fixed_ips[0]?.ip_address;
  const detailOf = (guest: Guest) => [guest.status === "ACTIVE" ? "" : guest.status.toLowerCase().replaceAll("_", " "), guest.floating[0] ?? address(guest) ?? ""].filter(Boolean).join(" · ");
  const boxOf = (guest: Guest): Box => ({ ...SERVER, x: 0, y: 0, id: guest.id, kind: "server", name: guest.name, status: standing(guest.status), open: joinable(guest, known.networks, cards.get(guest.id) ?? []), detail: detailOf(guest) });
  const isSought = sought.text === "" && sought.id === null ? null : (guest: Guest) => guest.id === sought.id || (sought.text !== "" && `${guest.name} ${detailOf(guest)}`.toLowerCase().includes(sought.text));
  let hidden = 0;
  const boxes = (here: Crowd, frame: string): Box[] => {
    const found = drawn(here, each, isSought).map(boxOf);
    const left = here.all.length - found.length;
    hidden += left;
    const more: Box = { ...SERVER, x: 0, y: 0, id: `more-${frame}`, kind: "more", name: found.length > 0 ? t("{{number}} more", { number: left }) : count("{{number}} server", "{{number}} servers", left), detail: "", status: "none", open: [] };
    return left > 0 ? [...found, more] : found;
  };
  const groupOf = (network: Network): Group => {
    const cidrs = known.subnets.filter((subnet) => subnet.network_id === network.id).map((subnet) => subnet.cidr).join(", ");
    const external = network["router:external"];
    return framed({ id: network.id, kind: external ? "outside" : "network", name: network.name || t("(no name)"), status: "none", open: [],
      detail: external ? [t("outside"), cidrs].filter(Boolean).join(" · ") : cidrs || t("no subnet") }, boxes(on.get(network.id) ?? { all: [], first: [] }, network.id), external ? 5 : columns);
  };

  const taken = new Set<string>();
  const parts = routers.map((router) => {
    const joined = new Set(interfaces(router, others).map((port) => port.network_id));
    const mine = inner.filter((network) => joined.has(network.id) && !taken.has(network.id));
    for (const network of mine) taken.add(network.id);
    const box: Box = { ...SERVER, x: 0, y: 0, id: router.id, kind: "router", name: router.name || t("(no name)"), status: standing(router.status), open: connectable(router, known.networks, others),
      detail: router.external_gateway_info?.external_fixed_ips?.[0]?.ip_address ?? (router.external_gateway_info ? "" : t("no way out")) };
    return { groups: mine.map(groupOf), router: box as Box | undefined };
  });
  const rest = inner.filter((network) => !taken.has(network.id)).map(groupOf);
  if (loose.all.length > 0) rest.push(framed({ id: LOOSE, kind: "loose", name: t("On no network"), detail: "", status: "none", open: [] }, boxes(loose, LOOSE), columns));
  if (rest.length > 0) parts.push({ groups: rest, router: undefined });
  const tried = SHAPES.map((shape) => fitted(parts.map((part) => block(part.groups, shape, part.router)), WIDER));
  const laid = place(known, tried.reduce((best, one) => (scale(one, WIDER) > scale(best, WIDER) ? one : best)), shownOutside.map(groupOf), settle(known));
  return { ...laid, hidden };
}

function framed(frame: Omit<Box, keyof Place>, boxes: Box[], columns: number): Group {
  const across = boxes.length > columns ? Math.max(columns, Math.ceil(Math.sqrt(boxes.length * 0.8))) : boxes.length;
  const inside = grid(boxes, across, SERVER, PAD).map((box) => ({ ...box, x: box.x + PAD, y: box.y + HEADER + PAD }));
  const { width, height } = extent(inside);
  const full = { width: Math.max(SERVER.width + 2 * PAD, width + PAD), height: inside.length > 0 ? height + PAD : HEADER };
  return { frame: { ...frame, x: 0, y: 0, ...full }, inside, ...full };
}

function block(groups: Group[], shape: number, router?: Box): Block {
  const laid = fitted(groups, shape);
  const many = router !== undefined && laid.rows.length > 1;
  const [left, top] = [many ? GAP : 0, router ? SERVER.height + 2 * GAP : 0];
  const width = Math.max(laid.width, router ? SERVER.width : 0) + left;
  return {
    router: router && { ...router, x: left + (width - left - SERVER.width) / 2 },
    groups: laid.items.map((item) => ({ ...item, x: item.x + left, y: item.y + top })),
    rows: laid.rows.map((y) => y + top), width, height: groups.length > 0 ? laid.height + top : SERVER.height,
  };
}

/** Put the blocks below the outside, and draw what joins them: lines run in the gaps between rows and along the left. */
function place(known: Known, laid: ReturnType<typeof fitted<Block>>, outside: Group[], { cards, home, others }: Homes): Omit<Drawing, "hidden"> {
  const margin = outside.length > 0 && laid.rows.length > 1 ? GAP * outside.length : 0;
  const width = Math.max(laid.width + margin, outside.reduce((sum, group) => sum + group.width + GAP, -GAP));
  const drawing: Omit<Drawing, "hidden"> = { boxes: [], lines: [] };
  const frames = new Map<string, Box>();
  const add = (group: Group, x: number, y: number, wide = group.width) => {
    const frame = { ...group.frame, x, y, width: wide };
    frames.set(frame.id, frame);
    drawing.boxes.push(frame, ...group.inside.map((box) => ({ ...box, x: box.x + x, y: box.y + y })));
  };
  const spare = outside.length > 0 ? (width - outside.reduce((sum, group) => sum + group.width + GAP, -GAP)) / outside.length : 0;
  let x = 0;
  for (const group of outside) {
    add(group, x, 0, group.width + spare);
    x += group.width + spare + GAP;
  }
  const top = outside.length > 0 ? Math.max(...outside.map((group) => group.height)) + GAP * (1 + outside.length) : 0;
  const start = margin + Math.max(0, (width - margin - laid.width) / 2);
  for (const one of laid.items) {
    const [left, up] = [one.x + start, one.y + top];
    if (one.router) drawing.boxes.push({ ...one.router, x: one.router.x + left, y: up });
    for (const group of one.groups) add(group, group.x + left, group.y + up);
    if (one.router) drawing.lines.push(...lines(known, others, one, left, up, frames, { row: one.row, top: (laid.rows[one.row] ?? 0) + top, ids: outside.map((group) => group.frame.id) }));
  }
  const seen = new Map(drawing.boxes.map((box) => [box.id, box]));
  for (const port of drawing.boxes.flatMap((box) => (box.kind === "server" ? cards.get(box.id) ?? [] : []))) {
    const [server, frame] = [seen.get(port.device_id), frames.get(port.network_id)];
    if (!server || !frame || home.get(port.device_id) === port.network_id) continue;
    drawing.lines.push({ id: port.id, from: server.id, to: frame.id, up: port.status === "ACTIVE", second: true, points: straight(server, frame) });
  }
  return drawing;
}

function straight(from: Place, to: Place): [number, number][] {
  const below = to.y > from.y;
  return [[from.x + from.width / 2, below ? from.y + from.height : from.y], [to.x + to.width / 2, below ? to.y : to.y + to.height]];
}

/** A router's lines: to its own networks below it, to other blocks' straight, and to the outside above. */
function lines(known: Known, others: ListedPort[], block: Block, left: number, up: number, frames: Map<string, Box>, outer: { row: number; top: number; ids: string[] }): Line[] {
  const { router } = block;
  const real = known.routers.find((found) => found.id === router?.id);
  if (!router || !real) return [];
  const found: Line[] = [];
  const box = { ...router, x: router.x + left, y: up };
  const middle = box.x + box.width / 2;
  const bus = box.y + box.height + GAP;
  for (const port of interfaces(real, others)) {
    const to = frames.get(port.network_id);
    if (!to) continue;
    const group = block.groups.find((one) => one.frame.id === to.id);
    const center = to.x + to.width / 2;
    const points: [number, number][] = !group ? straight(box, to) : group.row === 0
      ? [[middle, box.y + box.height], [middle, bus], [center, bus], [center, to.y]]
      : [[middle, box.y + box.height], [middle, bus], [left, bus], [left, up + (block.rows[group.row] ?? 0) - GAP], [center, up + (block.rows[group.row] ?? 0) - GAP], [center, to.y]];
    found.push({ id: port.id, from: router.id, to: to.id, up: port.status === "ACTIVE", points });
  }
  const way = frames.get(real.external_gateway_info?.network_id ?? "");
  if (way) {
    const index = outer.ids.indexOf(way.id);
    const bottom = way.y + way.height;
    const [bar, trunk] = [bottom + GAP * (index + 1) - GAP / 2, GAP * index + GAP / 2];
    const over = (at: number) => at > way.x + 8 && at < way.x + way.width - 8;
    const center = way.x + way.width / 2;
    const points: [number, number][] = outer.row === 0
      ? over(middle) ? [[middle, bottom], [middle, box.y]] : [[center, bottom], [center, bar], [middle, bar], [middle, box.y]]
      : [...(over(trunk) ? [[trunk, bottom]] : [[center, bottom], [center, bar], [trunk, bar]]) as [number, number][], [trunk, outer.top - GAP / 2], [middle, outer.top - GAP / 2], [middle, box.y]];
    found.push({ id: `${router.id}-out`, from: router.id, to: way.id, up: real.status === "ACTIVE", points });
  }
  return found;
}
