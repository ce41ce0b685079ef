export interface Wish {
  name: string;
  subnet: string;
  protocol: "TCP" | "UDP";
  port: number;
  /** The port on the members, often the same. */
  memberPort: number;
  members: { name: string; address: string; subnet: string }[];
  watch: boolean;
}

/** The body of POST /lbaas/loadbalancers that makes everything at once. */
export function balancerBody(wish: Wish): object {
  const monitor = { type: wish.protocol === "UDP" ? "UDP-CONNECT" : wish.protocol, delay: 5, timeout: 3, max_retries: 3 };
  return { loadbalancer: {
    name: wish.name.trim(), vip_subnet_id: wish.subnet,
    listeners: [{
      name: `${wish.name.trim()}-${wish.port}`, protocol: wish.protocol, protocol_port: wish.port,
      default_pool: {
        name: `${wish.name.trim()}-servers`, protocol: wish.protocol,
        lb_algorithm: "SOURCE_IP_PORT",
        members: wish.members.map((one) => memberBody(one, wish.memberPort)),
        ...(wish.watch ? { healthmonitor: monitor } : {}),
      } }] } };
}

export function memberBody(one: Wish["members"][number], port: number): object {
  return { name: one.name, address: one.address, protocol_port: port, subnet_id: one.subnet };
}

export function isPort(text: string): boolean {
  const port = Number(text);
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}
