import { expect, test } from "vitest";
import type { Network, Port, Router, Server, Subnet } from "../api/types";
import { changed } from "../servers/changes";
import { first, guestOf } from "./crowd";
import { type Box, connectable, draw, type Guest, joinable, LOOSE } from "./layout";

const outside = { id: "out", name: "public", "router:external": true, subnets: ["x"] };
const networks = [outside, { id: "a", name: "a", subnets: ["sa"] }, { id: "b", name: "b", subnets: ["sb"] }, { id: "bare", name: "bare", subnets: [] }] as unknown as Network[];
const routerOf = (id: string, gateway: boolean) => ({ id, name: id, status: "ACTIVE", external_gateway_info: gateway ? { network_id: "out" } : null }) as Router;
const face = (id: string, router: string, network: string) => ({ id, device_id: router, device_owner: "network:router_interface", network_id: network, status: "ACTIVE", fixed_ips: [] }) as unknown as Port;
const card = (id: string, server: string, network: string) => ({ id, device_id: server, device_owner: "compute:nova", network_id: network, status: "ACTIVE", fixed_ips: [{ ip_address: "10.0.0.9" }] }) as unknown as Port;
const guest = (id: string, status = "ACTIVE") => ({ id, name: id, status, floating: [], locked: false }) as Guest;
const ports = [face("p", "r", "a")];

const apart = (a: Box, b: Box) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
const within = (a: Box, b: Box) => a.x >= b.x && a.y >= b.y && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height;
const frames = (boxes: Box[]) => boxes.filter((box) => ["network", "outside", "loose", "router"].includes(box.kind));

test("a router can be connected to what it isn't on, a server to inner networks that have addresses", () => {
  expect(connectable(routerOf("r", true), networks, ports)).toEqual(["b"]);
  expect(connectable(routerOf("r", false), networks, [])).toEqual(["out", "a", "b"]);
  expect(joinable(guest("web"), networks, [card("c", "web", "a")])).toEqual(["b"]);
  expect(joinable(guest("web", "BUILD"), networks, [])).toEqual([]);
  expect(joinable({ ...guest("web"), locked: true }, networks, [])).toEqual([]);
});

test("servers lie in their network, on none in a frame of their own, and a line leads to their second one", () => {
  const drawing = draw({ networks, subnets: [{ id: "sa", network_id: "a", cidr: "10.0.0.0/24" }] as Subnet[], routers: [routerOf("r", true)], guests: [guest("web"), guest("alone"), guest("direct")],
    ports: [...ports, card("c1", "web", "a"), { ...card("c2", "web", "b"), created_at: "2026-11-02T00:00:00Z" }, card("c3", "direct", "out")] });
  const box = (id: string) => drawing.boxes.find((found) => found.id === id) as Box;
  expect(within(box("web"), box("a"))).toBe(true);
  expect(within(box("direct"), box("out"))).toBe(true);
  expect(within(box("alone"), box(LOOSE))).toBe(true);
  expect(box("a").detail).toBe("10.0.0.0/24");
  expect(drawing.lines.map((line) => [line.id, line.from, line.to]).sort()).toEqual([["c2", "web", "b"], ["p", "r", "a"], ["r-out", "r", "out"]]);
});

test("a network whose servers are too many says how many more there are", () => {
  const many = Array.from({ length: 75 }, (_, index) => `s${index}`);
  const drawing = draw({ networks, subnets: [], routers: [], guests: many.map((id) => guest(id)), ports: many.map((id) => card(`c${id}`, id, "a")) });
  expect(drawing.boxes.filter((box) => box.kind === "server")).toHaveLength(60);
  expect(drawing.boxes.find((box) => box.kind === "more")?.name).toContain("15");
});

const crowd = (number: number, networks: number) => ({
  networks: Array.from({ length: networks }, (_, index) => ({ id: `n${index}`, name: `n${index}`, subnets: ["s"] })) as unknown as Network[], subnets: [], routers: [],
  guests: Array.from({ length: number }, (_, index) => guest(`web-${index}`)),
  ports: Array.from({ length: number }, (_, index) => ({ ...card(`c${index}`, `web-${index}`, `n${index % networks}`), fixed_ips: [{ ip_address: `10.1.${Math.floor(index / 250)}.${index % 250}` }] })) as unknown as Port[],
});
const servers = (boxes: Box[]) => boxes.filter((box) => box.kind === "server").map((box) => box.name);

test("of thousands of servers each network draws some and counts the others; one that draws none says how many it has", () => {
  const some = draw(crowd(5000, 20));
  expect(servers(some.boxes)).toHaveLength(300);
  expect(some.hidden).toBe(4700);
  expect(some.boxes.filter((box) => box.kind === "more").map((box) => box.name)).toEqual(Array(20).fill("235 more"));
  const none = draw(crowd(2000, 400));
  expect([servers(none.boxes).length, none.hidden]).toEqual([0, 2000]);
  expect(none.boxes.find((box) => box.id === "more-n0")?.name).toBe("5 servers");
  expect(draw(crowd(300, 30)).hidden).toBe(0);
});

test("what is looked for, and what is chosen, is drawn though there are too many", () => {
  const known = crowd(5000, 20);
  expect(servers(draw(known).boxes)).not.toContain("web-4711");
  expect(servers(draw(known, { text: "web-4711", id: null }).boxes)).toContain("web-4711");
  expect(servers(draw(known, { text: "10.1.18.211", id: null }).boxes)).toContain("web-4711");
  expect(servers(draw(known, { text: "", id: "web-4711" }).boxes)).toContain("web-4711");
  expect(servers(draw(known, { text: "web", id: null }).boxes)).toHaveLength(300);
  const one = draw(crowd(2000, 400), { text: "web-1999", id: null });
  expect([servers(one.boxes), one.hidden]).toEqual([["web-1999"], 1999]);
});

test("the first by name are found among many as by sorting all of them", () => {
  const names = Array.from({ length: 500 }, (_, index) => ({ name: `web-${(index * 7919) % 503}` }));
  const sorted = [...names].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  expect(first(names, 60)).toEqual(sorted.slice(0, 60));
  expect(first(names, 1000)).toEqual(sorted);
  expect(first(names, 0)).toEqual([]);
});

test("drawing costs nothing for servers that aren't drawn", () => {
  const known = crowd(10_000, 20);
  let read = 0;
  for (const one of known.guests) Object.defineProperty(one, "status", { get: () => { read++; return "ACTIVE"; } });
  draw(known);
  const once = read;
  draw(known, { text: "", id: "web-9999" });
  expect(once).toBeLessThan(300 * 5);
  expect(read).toBeLessThan(2 * once + 10);
});

test("servers on no network are counted, too", () => {
  const drawing = draw({ networks: [], subnets: [], routers: [], ports: [], guests: Array.from({ length: 70 }, (_, index) => guest(`s${index}`)) });
  expect(drawing.boxes.find((box) => box.id === `more-${LOOSE}`)?.name).toBe("10 more");
  expect(drawing.hidden).toBe(10);
});

test("servers that have changed become others, new ones come, and those that are gone go", () => {
  const told = (id: string, status: string) => ({ id, name: id, status, locked: false, addresses: {} }) as Server;
  expect(changed([guest("a"), guest("b"), guest("c")], [told("b", "SHUTOFF"), told("a", "DELETED"), told("d", "ACTIVE")], guestOf).map((one) => [one.id, one.status])).toEqual([["b", "SHUTOFF"], ["c", "ACTIVE"], ["d", "ACTIVE"]]);
});

test.each([[1, 1, 4], [30, 1, 100], [30, 6, 100], [7, 7, 0]])("%i networks with %i routers and %i servers: nothing overlaps, no line crosses a network that isn't its end, and it is a page", (number, routers, servers) => {
  const inner = Array.from({ length: number }, (_, index) => ({ id: `n${index}`, name: `net-${index}`, subnets: [`s${index}`] })) as unknown as Network[];
  const guests = Array.from({ length: servers }, (_, index) => guest(`g${index}`));
  const drawing = draw({ networks: [outside as unknown as Network, ...inner], subnets: [], routers: Array.from({ length: routers }, (_, index) => routerOf(`r${index}`, true)), guests,
    ports: [...inner.map((network, index) => face(`f${index}`, `r${index % routers}`, network.id)), ...guests.map((one, index) => card(`c${index}`, one.id, `n${index % number}`))] });
  expect(drawing.boxes).toHaveLength(1 + number + routers + servers);
  expect(drawing.lines).toHaveLength(number + routers);
  const blocks = frames(drawing.boxes);
  for (const [index, one] of blocks.entries()) for (const other of blocks.slice(index + 1)) expect(apart(one, other), `${one.id} and ${other.id}`).toBe(true);
  for (const line of drawing.lines) {
    for (const [index, from] of line.points.entries()) {
      const to = line.points[index + 1];
      if (!to) continue;
      const strip = { x: Math.min(from[0], to[0]), y: Math.min(from[1], to[1]), width: Math.abs(from[0] - to[0]), height: Math.abs(from[1] - to[1]) } as Box;
      for (const frame of blocks.filter((found) => found.id !== line.from && found.id !== line.to)) expect(apart(strip, frame), `${line.id} and ${frame.id}`).toBe(true);
    }
  }
  const width = Math.max(...drawing.boxes.map((box) => box.x + box.width));
  const height = Math.max(...drawing.boxes.map((box) => box.y + box.height));
  expect(width / height).toBeGreaterThan(0.7);
  expect(width / height).toBeLessThan(3.5);
});
