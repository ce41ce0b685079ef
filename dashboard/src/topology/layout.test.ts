import { expect, test } from "vitest";
import type { Network, Port, Router, Subnet } from "../api/types";
import { connectable, draw } from "./layout";

const networks = [{ id: "out", name: "public", "router:external": true, subnets: ["x"] }, { id: "a", name: "a", subnets: ["sa"] }, { id: "b", name: "b", subnets: ["sb"] }, { id: "bare", name: "bare", subnets: [] }] as unknown as Network[];
const router = (gateway: boolean) => ({ id: "r", name: "r", status: "ACTIVE", external_gateway_info: gateway ? { network_id: "out" } : null }) as Router;
const ports = [{ id: "p", device_id: "r", device_owner: "network:router_interface", network_id: "a", status: "ACTIVE", fixed_ips: [] }] as unknown as Port[];

test("a router can be connected to what it isn't on", () => {
  expect([...connectable(router(true), networks, ports)]).toEqual(["b"]);
  expect([...connectable(router(false), networks, [])]).toEqual(["out", "a", "b"]);
});

test("an interface's line knows what it is", () => {
  const drawing = draw(networks, [{ id: "sa", network_id: "a", cidr: "10.0.0.0/24" }] as Subnet[], [router(true)], ports, []);
  expect(drawing.lines.find((line) => line.port === "p")).toMatchObject({ router: "r", up: true });
  expect(drawing.bars.map((bar) => bar.id).sort()).toEqual(["a", "b", "bare", "out"]);
});
