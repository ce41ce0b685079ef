import { expect, test } from "vitest";
import { type AuditLine, nameOfKind, pageOf, since } from "./audit";
import { groups, isChanged, type Setting, shown } from "./settings";

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
