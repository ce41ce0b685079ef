import type { Network, Port, Router, Subnet } from "../api/types";

/** Where things are drawn: networks are bars, routers stand between what they join, servers hang below their network. */
export interface Drawing {
  width: number;
  height: number;
  bars: { id: string; x: number; y: number; width: number; name: string; detail: string; external: boolean }[];
  boxes: { id: string; kind: "router" | "server" | "more"; x: number; y: number; name: string; detail: string; up: boolean }[];
  /** *port* and *router* are those of a router's interface, which can be taken away. */
  lines: { id: string; points: [number, number][]; up: boolean; router?: string; port?: string }[];
}

export interface Guest { id: string; name: string; status: string; floating: string[] }

export const BOX = { width: 150, height: 52 };
const GAP = 24;
const MOST = 12;

export function draw(networks: Network[], subnets: Subnet[], routers: Router[], ports: Port[], guests: Guest[]): Drawing {
  const known = new Map(guests.map((guest) => [guest.id, guest]));
  const cidrs = (id: string) => subnets.filter((subnet) => subnet.network_id === id).map((subnet) => subnet.cidr).join(", ");
  const inner = networks.filter((network) => !network["router:external"]);
  const used = new Set(routers.map((router) => router.external_gateway_info?.network_id));
  const outer = networks.filter((network) => network["router:external"] && (used.has(network.id) || used.size <= 1));
  const drawing: Drawing = { width: 0, height: 0, bars: [], boxes: [], lines: [] };
  const columns = 4;
  let x = GAP;
  let bottom = 0;
  const barY = 210;
  const middle = new Map<string, number>();
  for (const network of inner) {
    const on = ports.filter((port) => port.network_id === network.id && known.has(port.device_id));
    const shown = on.slice(0, on.length > MOST ? MOST - 1 : MOST);
    const across = Math.max(1, Math.min(columns, on.length));
    const width = across * (BOX.width + GAP) - GAP;
    drawing.bars.push({ id: network.id, x, y: barY, width, name: network.name, detail: cidrs(network.id), external: false });
    middle.set(network.id, x + width / 2);
    const places = on.length > shown.length ? [...shown, null] : shown;
    places.forEach((port, index) => {
      const left = x + (index % across) * (BOX.width + GAP);
      const top = barY + 66 + Math.floor(index / across) * (BOX.height + 28);
      const guest = port && known.get(port.device_id);
      drawing.boxes.push(guest ? { id: guest.id, kind: "server", x: left, y: top, name: guest.name, up: guest.status === "ACTIVE",
        detail: guest.floating[0] ?? port.fixed_ips[0]?.ip_address ?? "" }
        : { id: network.id, kind: "more", x: left, y: top, name: `+ ${on.length - shown.length}`, detail: "", up: true });
      if (index < across) drawing.lines.push({ id: `${port?.id ?? network.id}-up`, up: guest ? guest.status === "ACTIVE" : true, points: [[left + BOX.width / 2, barY + 44], [left + BOX.width / 2, top]] });
      bottom = Math.max(bottom, top + BOX.height);
    });
    x += width + 2 * GAP;
  }
  const width = Math.max(x, routers.length * (BOX.width + GAP) + GAP, 2 * GAP + 2 * BOX.width);
  outer.forEach((network, index) => {
    const part = (width - 2 * GAP - (outer.length - 1) * GAP) / outer.length;
    const left = GAP + index * (part + GAP);
    drawing.bars.push({ id: network.id, x: left, y: 16, width: part, name: network.name, detail: cidrs(network.id), external: true });
    middle.set(network.id, left + part / 2);
  });
  let free = GAP;
  const wanted = (router: Router) => {
    const joined = ports.filter((port) => port.device_id === router.id && middle.has(port.network_id) && port.device_owner.includes("router_interface")).map((port) => middle.get(port.network_id) as number);
    return joined.length > 0 ? joined.reduce((a, b) => a + b, 0) / joined.length : GAP;
  };
  for (const router of [...routers].sort((a, b) => wanted(a) - wanted(b))) {
    const left = Math.max(free, wanted(router) - BOX.width / 2);
    free = left + BOX.width + GAP;
    const top = 104;
    const center = left + BOX.width / 2;
    drawing.boxes.push({ id: router.id, kind: "router", x: left, y: top, name: router.name, up: router.status === "ACTIVE", detail: router.external_gateway_info?.external_fixed_ips?.[0]?.ip_address ?? "" });
    if (router.external_gateway_info && middle.has(router.external_gateway_info.network_id)) drawing.lines.push({ id: `${router.id}-out`, up: true, points: [[center, 60], [center, top]] });
    for (const port of ports.filter((found) => found.device_id === router.id && found.device_owner.includes("router_interface"))) {
      const to = middle.get(port.network_id);
      if (to !== undefined) drawing.lines.push({ id: port.id, router: router.id, port: port.id, up: port.status === "ACTIVE", points: [[center, top + BOX.height], [center, 182], [to, 182], [to, barY]] });
    }
  }
  drawing.width = Math.max(width, free);
  drawing.height = Math.max(bottom, barY + 40) + GAP;
  return drawing;
}

/** The networks that a router can still be connected to: outer ones where it has no way out, inner ones it isn't on. */
export function connectable(router: Router, networks: Network[], ports: Port[]): Set<string> {
  const joined = new Set(ports.filter((port) => port.device_id === router.id).map((port) => port.network_id));
  return new Set(networks.filter((network) => (network["router:external"] ? !router.external_gateway_info : network.subnets.length > 0 && !joined.has(network.id))).map((network) => network.id));
}
