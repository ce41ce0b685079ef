import { expect, test } from "vitest";
import type { SecurityRule } from "../api/types";
import { addressesIn, freeRange, isCidr } from "./cidr";
import { missing, presets, summary } from "./rules";

const rule = (part: Partial<SecurityRule>) => ({ direction: "ingress", ethertype: "IPv4", protocol: "tcp", port_range_min: 22, port_range_max: 22, remote_ip_prefix: null, remote_group_id: null, ...part }) as SecurityRule;

test("a group in plain words", () => {
  const rules = [rule({}), rule({ ethertype: "IPv6" }), rule({ port_range_min: 8000, port_range_max: 8100, remote_ip_prefix: "192.0.2.0/24" }),
    rule({ direction: "egress", protocol: null, port_range_min: null, port_range_max: null }), rule({ protocol: null, port_range_min: null, port_range_max: null, remote_group_id: "g" })];
  expect(summary(rules, () => "web")).toEqual([
    "In: SSH (tcp 22) from anywhere.", "In: tcp 8000 to 8100 from 192.0.2.0/24.", "In: everything from servers of group web.", "Out: everything to anywhere."]);
  expect(summary([], () => "")).toEqual(["Nobody may reach its servers.", "Its servers may reach nothing."]);
  expect(summary([rule({})], () => "", { ingress: "-", egress: "It may reach nothing." })).toEqual(["In: SSH (tcp 22) from anywhere.", "It may reach nothing."]);
});

test("of a preset only what is missing is added", () => {
  const ssh = presets().find((preset) => preset.id === "ssh")?.rules ?? [];
  expect(missing(ssh, [rule({})]).map((found) => found.ethertype)).toEqual(["IPv6"]);
  expect(missing(ssh, [rule({}), rule({ ethertype: "IPv6" })])).toEqual([]);
  expect(missing(ssh, [rule({ remote_ip_prefix: "10.0.0.0/8" })])).toHaveLength(2);
});

test("a new network's range overlaps none there is", () => {
  expect(freeRange([])).toBe("10.0.0.0/24");
  expect(freeRange(["10.0.0.0/16", "fd00::/64", "172.24.4.0/24"])).toBe("10.1.0.0/24");
  expect(freeRange(["10.0.0.128/25", "10.0.1.0/24"])).toBe("10.0.2.0/24");
});

test("ranges are checked as far as a form needs", () => {
  expect(["10.0.0.0/24", "fd00::/64"].every(isCidr)).toBe(true);
  expect(["10.0.0.0", "10.0.0/24", "300.0.0.0/8", "10.0.0.0/33", "x"].some(isCidr)).toBe(false);
});

test("addresses are read from what somebody typed", () => {
  expect(addressesIn(" 192.0.2.53, fd00::1;192.0.2.54 ")).toEqual(["192.0.2.53", "fd00::1", "192.0.2.54"]);
  expect(addressesIn("")).toEqual([]);
  expect(addressesIn("192.0.2.53, dns.example")).toBeNull();
  expect(addressesIn("192.0.2.0/24")).toBeNull();
});
