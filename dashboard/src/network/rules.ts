import type { SecurityRule } from "../api/types";
import { t } from "../language";

/** A rule that people know by name. */
export interface Preset { id: string; title: string; rules: NewRule[] }

export interface NewRule {
  direction: "ingress" | "egress";
  ethertype: "IPv4" | "IPv6";
  protocol: string | null;
  port_range_min: number | null;
  port_range_max: number | null;
  remote_ip_prefix: string | null;
}

function both(protocol: string | null, first: number | null, last: number | null): NewRule[] {
  return (["IPv4", "IPv6"] as const).map((ethertype) => ({
    direction: "ingress", ethertype, protocol: protocol === "icmp" && ethertype === "IPv6" ? "ipv6-icmp" : protocol,
    port_range_min: first, port_range_max: last, remote_ip_prefix: null }));
}

export function presets(): Preset[] {
  return [
    { id: "ssh", title: t("SSH"), rules: both("tcp", 22, 22) },
    { id: "web", title: t("Web"), rules: [...both("tcp", 80, 80), ...both("tcp", 443, 443)] },
    { id: "ping", title: t("Ping"), rules: both("icmp", null, null) },
    { id: "rdp", title: t("Remote desktop"), rules: both("tcp", 3389, 3389) },
    { id: "postgresql", title: t("PostgreSQL"), rules: both("tcp", 5432, 5432) },
    { id: "mysql", title: t("MySQL"), rules: both("tcp", 3306, 3306) },
    { id: "all", title: t("Everything"), rules: both(null, null, null) },
  ];
}

const KNOWN: Record<string, string> = { "tcp/22": "SSH", "tcp/80": "HTTP", "tcp/443": "HTTPS", "tcp/3389": "RDP", "tcp/5432": "PostgreSQL", "tcp/3306": "MySQL", "udp/53": "DNS", "tcp/53": "DNS", "udp/123": "NTP" };

/** What a rule lets through: "SSH (tcp 22)", "tcp 8000 to 8100", "ping", "everything". */
export function traffic(rule: Pick<SecurityRule, "protocol" | "port_range_min" | "port_range_max">): string {
  const protocol = rule.protocol?.toLowerCase() ?? null;
  if (protocol === null || protocol === "any" || protocol === "0") return t("everything");
  if (["icmp", "icmpv6", "ipv6-icmp", "1", "58"].includes(protocol)) {
    return rule.port_range_min === null ? t("ping and other ICMP") : t("ICMP type {{type}}", { type: rule.port_range_min });
  }
  const [first, last] = [rule.port_range_min, rule.port_range_max];
  if (first === null) return t("all of {{protocol}}", { protocol });
  if (first !== last) return t("{{protocol}} {{first}} to {{last}}", { protocol, first: String(first), last: String(last) });
  const known = KNOWN[`${protocol}/${first}`];
  return known ? `${known} (${protocol} ${first})` : `${protocol} ${first}`;
}

export function remote(rule: SecurityRule, groupName: (id: string) => string): string {
  if (rule.remote_group_id) return t("servers of group {{name}}", { name: groupName(rule.remote_group_id) });
  if (!rule.remote_ip_prefix || rule.remote_ip_prefix === "0.0.0.0/0" || rule.remote_ip_prefix === "::/0") return t("anywhere");
  return rule.remote_ip_prefix;
}

/** A group in plain words: who may reach its servers, and what they may reach; *nothing* is what is said where no rule allows any. */
export function summary(rules: SecurityRule[], groupName: (id: string) => string,
  nothing = { ingress: t("Nobody may reach its servers."), egress: t("Its servers may reach nothing.") }): string[] {
  const lines: string[] = [];
  for (const direction of ["ingress", "egress"] as const) {
    const byRemote = new Map<string, Set<string>>();
    for (const rule of rules.filter((found) => found.direction === direction)) {
      const from = remote(rule, groupName);
      byRemote.set(from, (byRemote.get(from) ?? new Set()).add(traffic(rule)));
    }
    if (byRemote.size === 0) lines.push(nothing[direction]);
    for (const [from, what] of byRemote) {
      const list = new Intl.ListFormat("en", { type: "conjunction" }).format(what.has(t("everything")) ? [t("everything")] : [...what]);
      lines.push(direction === "ingress" ? t("In: {{what}} from {{from}}.", { what: list, from }) : t("Out: {{what}} to {{to}}.", { what: list, to: from }));
    }
  }
  return lines;
}

/** The rules of *preset* that *rules* don't already have. */
export function missing(preset: NewRule[], rules: SecurityRule[]): NewRule[] {
  return preset.filter((wanted) => !rules.some((rule) => rule.direction === wanted.direction && rule.ethertype === wanted.ethertype
    && rule.protocol === wanted.protocol && rule.port_range_min === wanted.port_range_min && rule.port_range_max === wanted.port_range_max
    && (rule.remote_ip_prefix ?? null) === wanted.remote_ip_prefix && !rule.remote_group_id));
}
