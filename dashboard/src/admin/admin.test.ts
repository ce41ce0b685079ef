import { expect, test } from "vitest";
import type { Hypervisor } from "./HostsPage";
import type { Machine } from "./machines";
import type { Part } from "./serviceList";
import { backend, clusterMap, troubles } from "./cluster";
import { type AuditLine, nameOfKind, pageOf, since } from "./audit";
import { groups, isChanged, type Setting, shown } from "./settings";
import { byEngine } from "./inHand";

const line = (kind: string, more: Partial<AuditLine> = {}): AuditLine => ({ seq: 1, at: "2026-11-23T06:00:00Z", kind, resource_id: "id-1", resource_name: "web", project_id: "p", project_name: "demo",
  user_id: "u", user_name: "maria", request_id: "req-1", source: "api", event: "create", message: null, ...more });

test("a line leads to what it is about, while that is there", () => {
  expect(pageOf(line("server"))).toBe("/servers/id-1");
  expect(pageOf(line("host"))).toBe("/admin/hosts/web");
  expect(pageOf(line("port"))).toBe(null);
  expect(pageOf(line("server", { event: "deleted" }))).toBe(null);
  expect(pageOf(line("volume", { resource_name: null }))).toBe(null);
  expect(nameOfKind("floating_ip")).toBe("floating IP");
});

test("the same question within a minute", () => {
  const at = (second: number) => since("1h", new Date(Date.UTC(2026, 10, 23, 6, 0, second)));
  expect(at(1)).toBe("2026-11-23T05:00:00.000Z");
  expect(at(59)).toBe(at(1));
  expect(since("", new Date())).toBeUndefined();
});

test("settings are found by any of their words, and say what was changed", () => {
  const settings: Setting[] = [
    { group: "Cloud", name: "region", value: "RegionOne", default: "RegionOne", help: "the name of the region" },
    { group: "Images", name: "web_download", value: true, default: false, help: "whether images may be fetched" },
    { group: "Cloud", name: "hosts", value: 3, default: 1, help: "how many" }];
  expect(groups(settings, "").map(([group, found]) => [group, found.length])).toEqual([["Cloud", 2], ["Images", 1]]);
  expect(groups(settings, "FETCHED").map(([group]) => group)).toEqual(["Images"]);
  expect(settings.map(isChanged)).toEqual([false, true, true]);
  expect([shown(true), shown([]), shown(["a", "b"]), shown(0), shown("")]).toEqual(["yes", "–", "a, b", "0", "–"]);
});

const machine = (name: string, hosts: [string, number][], state = "up") => ({ id: name, name, state, hosts: hosts.map(([host, epoch]) => ({ id: host, name: host, epoch, fenced: false })) }) as Machine;
const hypervisor = (name: string, state = "up") => ({ id: name, hypervisor_hostname: name, state, status: "enabled", vcpus: 4, vcpus_used: 1, memory_mb: 8, memory_mb_used: 2, running_vms: 1 }) as Hypervisor;
const service = (name: string, host: string, up = true) => ({ key: `${name} ${host}`, name, host, up, enabled: true, of: "", at: "" }) as Part;

test("a cluster is put together: who holds which host, and where services run", () => {
  const map = clusterMap([machine("m10", []), machine("m2", [["m2", 1], ["m10", 3]])], [hypervisor("m2"), hypervisor("m10", "down"), hypervisor("lost")],
    [service("nova-compute", "m2"), service("nova-compute", "m10", false), service("cinder-volume", "m10@ceph"), service("cinder-scheduler", "control")]);
  expect(map.map((one) => [one.machine?.name, one.hosts.map((host) => `${host.name} ${host.epoch}: ${host.parts.map((part) => part.name).join("+")}`), one.parts.map((part) => part.name)])).toEqual([
    ["m2", ["m2 1: nova-compute", "m10 3: nova-compute+cinder-volume"], []],
    ["m10", [], []],
    [undefined, ["lost null: "], ["cinder-scheduler"]],
  ]);
  expect(troubles(map)).toEqual({ machines: [], hosts: ["m10"], parts: ["nova-compute (m10)"] });
});

test("services of all engines are on the only machine, or beside several; a stranger's are on none", () => {
  const parts = [service("cinder-volume", "stackling@ceph#volumes"), service("cinder-scheduler", "stackling"), service("cinder-backup", "stackling"), service("cinder-volume", "gone@lvm")];
  const places = (machines: Machine[], hosts: Hypervisor[]) => clusterMap(machines, hosts, parts).map((one) => [one.shared ? "shared" : one.machine?.name, one.parts.map((part) => part.name)]);
  const all = ["cinder-volume", "cinder-scheduler", "cinder-backup"];
  expect(places([machine("box", [["box", 1]])], [hypervisor("box")])).toEqual([["box", all], [undefined, ["cinder-volume"]]]);
  expect(places([machine("m1", []), machine("m2", [])], [])).toEqual([["m1", []], ["m2", []], ["shared", all], [undefined, ["cinder-volume"]]]);
  expect(places([machine("m1", []), machine("stackling", [])], [])).toEqual([["m1", []], ["stackling", all], [undefined, ["cinder-volume"]]]);
  expect(places([], [hypervisor("h")])).toEqual([[undefined, ["cinder-volume", "cinder-scheduler", "cinder-backup", "cinder-volume"]]]);
  expect(parts.map(backend)).toEqual(["ceph", undefined, undefined, "lvm"]);
});

test("work is told by the engine that has it; what failed and rests until its next try is told beside it", () => {
  const item = (id: string, engine: string | null, reason: string | null = null) => ({ kind: "server", id, name: id, engine, attempts: 0, reason, waits_for: null, next_try_in: null, deadline_at: null });
  const { engines, failing } = byEngine([item("a", "m10"), item("b", "m2"), item("c", "m10", "no room"), item("d", null, "no room"), item("e", null)]);
  expect(engines.map(({ engine, items }) => [engine, items.map((one) => one.id)])).toEqual([["m2", ["b"]], ["m10", ["a", "c"]]]);
  expect(failing.map((one) => one.id)).toEqual(["d"]);
});
