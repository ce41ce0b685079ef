import { expect, test } from "vitest";
import type { FloatingIp, Network, Port, Router } from "../api/types";
import { plan } from "./publicAddress";

const port = (id: string, network_id: string, address = "10.0.0.5", device_id = "server") =>
  ({ id, network_id, device_id, fixed_ips: [{ subnet_id: `subnet-${network_id}`, ip_address: address }] }) as Port;
const router = (id: string, network_id: string | null) => ({ id, external_gateway_info: network_id ? { network_id } : null }) as Router;
const ip = (id: string, floating_network_id: string, port_id: string | null) => ({ id, floating_network_id, port_id, floating_ip_address: `192.0.2.${id}` }) as FloatingIp;
const external = [{ id: "public", name: "public" }] as Network[];

test("a server that has an address keeps it", () => {
  expect(plan([port("p", "net")], [], [], [ip("7", "public", "p")], external)).toEqual({ kind: "has", address: "192.0.2.7" });
});

test("behind a router a free address is used again before another is taken", () => {
  const found = plan([port("p", "net")], [port("i", "net", "10.0.0.1", "r")], [router("r", "public")], [ip("7", "other", null), ip("8", "public", null)], external);
  expect(found).toMatchObject({ kind: "do", router: null, reuse: { id: "8" } });
  const none = plan([port("p", "net")], [port("i", "net", "10.0.0.1", "r")], [router("r", "public")], [ip("7", "public", "elsewhere")], external);
  expect(none).toMatchObject({ kind: "do", router: null, reuse: null });
});

test("of several ports the one with a way out is taken", () => {
  const found = plan([port("a", "closed"), port("b", "open")], [port("i", "open", "10.0.0.1", "r")], [router("r", "public")], [], external);
  expect(found).toMatchObject({ kind: "do", port: { id: "b" }, router: null });
});

test("without a way out the network is joined to a router that has one, or to a new one", () => {
  expect(plan([port("p", "net")], [], [router("r", "public")], [], external)).toMatchObject({ router: { make: false, id: "r", subnetId: "subnet-net" } });
  expect(plan([port("p", "net")], [], [router("r", null)], [], external)).toMatchObject({ router: { make: true, id: null, subnetId: "subnet-net" } });
});

test("what can't be is said", () => {
  expect(plan([], [], [], [], external)).toEqual({ kind: "impossible", why: "no-port" });
  expect(plan([port("p", "net", "fd00::5")], [], [], [], external)).toEqual({ kind: "impossible", why: "no-port" });
  expect(plan([port("p", "net")], [], [], [], [])).toEqual({ kind: "impossible", why: "no-external-network" });
});
