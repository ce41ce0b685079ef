import { expect, test } from "vitest";
import type { Flavor, Image, Network, Server } from "../api/types";
import { possible } from "./actions";
import { merged, since } from "./changes";
import { base64, body, defaultFlavor, defaultNetwork } from "./launch";
import { escapeRegex } from "./escape";
import { type Diagnostics, rates } from "./rates";

const server = (part: Partial<Server>) => ({ id: "1", name: "web", status: "ACTIVE", locked: false, addresses: {}, "OS-EXT-STS:task_state": null, ...part }) as Server;
const ids = (found: Server) => possible(found).map((action) => action.id);

test("only what fits a server's state is offered", () => {
  expect(ids(server({}))).toContain("stop");
  expect(ids(server({}))).not.toContain("start");
  expect(ids(server({ status: "SHUTOFF" }))).toContain("start");
  expect(ids(server({ status: "VERIFY_RESIZE" }))).toEqual(expect.arrayContaining(["confirm", "revert"]));
  expect(ids(server({ "OS-EXT-STS:task_state": "powering-off" }))).toEqual(["lock"]);
  expect(ids(server({ locked: true }))).toEqual(["unlock"]);
});

test("changes go into the page, and what changes its order is asked again", () => {
  const page = { servers: [server({}), server({ id: "2" })], more: false };
  expect(merged(page, [server({ id: "2", updated: "now" })])).toEqual({ page: { servers: [server({}), server({ id: "2", updated: "now" })], more: false }, again: false });
  expect(merged(page, [server({ id: "2", status: "DELETED" })])).toMatchObject({ page: { servers: [{ id: "1" }] }, again: true });
  expect(merged(page, [server({ id: "3" })]).again).toBe(true);
  expect(merged(page, [server({ id: "9", status: "DELETED" })]).again).toBe(false);
});

test("the next question overlaps the last", () => {
  expect(since(new Date("2026-01-01T00:00:10.900Z"))).toBe("2026-01-01T00:00:05Z");
});

test("a launch has sensible defaults", () => {
  const flavors = [{ id: "s", ram: 256, disk: 1 }, { id: "m", ram: 1024, disk: 10 }] as Flavor[];
  expect(defaultFlavor(flavors, { min_ram: 512, min_disk: 5 } as Image)?.id).toBe("m");
  expect(defaultFlavor(flavors, { min_ram: 0, min_disk: 0 } as Image)?.id).toBe("s");
  const networks = [{ id: "out", "router:external": true, subnets: ["a"] }, { id: "bare", subnets: [] }, { id: "shared", subnets: ["b"], project_id: "x" }, { id: "mine", subnets: ["c"], project_id: "p" }] as unknown as Network[];
  expect(defaultNetwork(networks, "p")?.id).toBe("mine");
  expect(defaultNetwork(networks, "q")?.id).toBe("shared");
});

test("the request says only what was chosen", () => {
  const wish = { name: " web ", image: "i", flavor: "f", network: "", keyPair: "", groups: [], userData: "", count: 1, description: "" };
  expect(body(wish, "n")).toEqual({ server: { name: "web", imageRef: "i", flavorRef: "f", networks: [{ uuid: "n" }] } });
  expect(body({ ...wish, keyPair: "k", groups: ["g"], userData: "ü", count: 3 }, "n").server).toMatchObject({ key_name: "k", security_groups: [{ name: "g" }], user_data: "w7w=", min_count: 3, max_count: 3 });
  expect(body({ ...wish, disk: { kind: "new", size: 5, keep: true } }, "n").server).toEqual({ name: "web", flavorRef: "f", networks: [{ uuid: "n" }],
    block_device_mapping_v2: [{ boot_index: 0, uuid: "i", source_type: "image", destination_type: "volume", volume_size: 5, delete_on_termination: false }] });
  expect(JSON.stringify(body({ ...wish, disk: { kind: "volume", id: "v" } }, "n"))).not.toContain("imageRef");
  expect(base64("#!/bin/sh")).toBe("IyEvYmluL3No");
});

test("what is typed is found as it is", () => {
  expect(new RegExp(escapeRegex("a.b[1]")).test("xa.b[1]")).toBe(true);
  expect(new RegExp(escapeRegex("a.b")).test("axb")).toBe(false);
});

test("rates are what counters gained a second, and nothing after they start again", () => {
  const sample = (at: number, time: number, rx: number | null) => ({ at, found: { cpu_details: [{ id: 0, time, utilisation: null }], nic_details: [{ rx_octets: rx, tx_octets: null }], disk_details: [] } as unknown as Diagnostics });
  expect(rates(sample(0, 0, 100), sample(2000, 1e9, 300))).toEqual({ cpu: 0.5, received: 100, sent: null, read: null, written: null });
  expect(rates(sample(0, 5, 100), sample(1000, 0, null))).toMatchObject({ cpu: null, received: null });
  expect(rates(undefined, sample(0, 0, 0)).cpu).toBeNull();
});
