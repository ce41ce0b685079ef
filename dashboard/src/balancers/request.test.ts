import { expect, test } from "vitest";
import { balancerBody, isPort } from "./request";

test("one request makes the whole load balancer", () => {
  const members = [{ name: "web-1", address: "10.0.0.3", subnet: "s" }];
  const body = balancerBody({ name: " web ", subnet: "s", protocol: "TCP", port: 80, memberPort: 8080, members, watch: true });
  expect(body).toEqual({ loadbalancer: { name: "web", vip_subnet_id: "s", listeners: [{ name: "web-80", protocol: "TCP", protocol_port: 80,
    default_pool: { name: "web-servers", protocol: "TCP", lb_algorithm: "SOURCE_IP_PORT", members: [{ name: "web-1", address: "10.0.0.3", protocol_port: 8080, subnet_id: "s" }],
      healthmonitor: { type: "TCP", delay: 5, timeout: 3, max_retries: 3 } } }] } });
  expect(JSON.stringify(balancerBody({ name: "d", subnet: "s", protocol: "UDP", port: 53, memberPort: 53, members, watch: false }))).not.toContain("healthmonitor");
});

test("ports are whole numbers below 65536", () => {
  expect(["1", "65535"].every(isPort)).toBe(true);
  expect(["", "0", "65536", "8.5", "http"].some(isPort)).toBe(false);
});
