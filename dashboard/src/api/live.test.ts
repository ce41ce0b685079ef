import { expect, test } from "vitest";
import { EventReader } from "./sse";
import { type Change, isStale } from "./stale";

const change = (kind: string, id = "a", project_id: string | null = "mine"): Change => ({ kind, id, project_id, at: "2026-11-23T06:00:00Z" });

test("events are read however the stream is cut", () => {
  const text = ": hello\n\nretry: 2000\n\nid: 1-7\nevent: change\ndata: {\"kind\":\"server\"}\n\nevent: ready\r\ndata: one\r\ndata: two\r\n\r\n";
  const whole = new EventReader().take(text);
  expect(whole).toEqual([
    { id: "1-7", event: "change", data: "{\"kind\":\"server\"}" },
    { id: "1-7", event: "ready", data: "one\ntwo" },
  ]);
  const reader = new EventReader();
  expect([...text.replaceAll("\r", "")].flatMap((letter) => reader.take(letter))).toEqual(whole);
  expect(reader.take("event: nothing\n\n")).toEqual([]);
});

test("a server's change is shown by its own pages and by lists, and not by another server's", () => {
  const server = [change("server")];
  expect(isStale(["servers", "one", "a"], server, "mine")).toBe(true);
  expect(isStale(["servers", "one", "b"], server, "mine")).toBe(false);
  expect(isStale(["servers", "timeline", "a"], server, "mine")).toBe(true);
  expect(isStale(["explain", "server", "a"], server, "mine")).toBe(true);
  expect(isStale(["explain", "server", "b"], server, "mine")).toBe(false);
  expect(isStale(["servers", "latest"], server, "mine")).toBe(true);
  expect(isStale(["servers", "log", "a"], server, "mine")).toBe(false);
  expect(isStale(["usage", "mine"], server, "mine")).toBe(true);
  expect(isStale(["volumes", "list"], server, "mine")).toBe(false);
});

test("pages of servers are mended by what has changed, not asked for again", () => {
  expect(isStale(["servers", "page", { name: "" }], [change("server")], "mine")).toBe(false);
});

test("an administrator's lists of one project take no notice of another's", () => {
  const others = [change("server", "x", "theirs"), change("port", "p", "theirs"), change("host", "h", null)];
  expect(isStale(["servers", "latest"], others, "mine")).toBe(false);
  expect(isStale(["ports", "list"], others, "mine")).toBe(false);
  expect(isStale(["servers", "failed"], others, "mine")).toBe(true);
  expect(isStale(["hosts", "servers", "host-1"], others, "mine")).toBe(true);
  expect(isStale(["servers", "one", "x"], others, "mine")).toBe(true);
});

test("every list that shows a kind hears of it", () => {
  const lists: [string, string][] = [["port", "ports"], ["network", "networks"], ["subnet", "networks"], ["router", "routers"], ["floating_ip", "floating-ips"],
    ["security_group", "security-groups"], ["load_balancer", "balancers"], ["image", "images"], ["volume", "volumes"], ["volume_snapshot", "volume-snapshots"], ["volume_backup", "volume-backups"]];
  for (const [kind, list] of lists) {
    expect(isStale([list, "list"], [change(kind)], "mine"), kind).toBe(true);
    expect(isStale([list, "list"], [change("something new")], "mine"), kind).toBe(false);
  }
});
