import { Alert, Button, Flex, FlexItem, Label, LabelGroup } from "@patternfly/react-core";
import { ShieldAltIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { ApiError } from "../api/errors";
import { network } from "../api/http";
import { useSecurityGroups } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { SecurityGroup, SecurityRule } from "../api/types";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { type Column, Nothing, ResourceTable } from "../parts/ResourceTable";
import { perform, refresh } from "../parts/work";
import { isCidr } from "./cidr";
import { missing, type NewRule, type Preset, presets, remote, summary, traffic } from "./rules";

const STALE = ["security-groups", "usage"];

export function SecurityGroupPage() {
  const { id } = useParams();
  const write = mayWrite(useSession());
  const groups = useSecurityGroups();
  const [adding, setAdding] = useState(false);
  const parents = [{ title: t("Security groups"), to: "/security-groups" }];
  const own = groups.data?.find((found) => found.id === id);
  const other = useQuery({ queryKey: ["security-groups", "one", id], enabled: groups.data !== undefined && !own, retry: false,
    queryFn: () => network.get<{ security_group: SecurityGroup }>(`/security-groups/${id}`).then((body) => body.security_group) });
  const group = own ?? other.data;
  const gone = other.error instanceof ApiError && other.error.status === 404;
  const error = groups.error ?? other.error;
  if (!group) {
    return (
      <Page title={t("Security group")} parents={parents}>
        {error && !gone ? <Problem error={error} retry={() => { void groups.refetch(); void other.refetch(); }} /> : gone
          ? <Nothing icon={ShieldAltIcon} title={t("This security group isn't there any more")} body={t("It has been deleted, or it belongs to another project.")} action={<Link to="/security-groups">{t("To the security groups")}</Link>} /> : <Loading />}
      </Page>
    );
  }
  const nameOf = (wanted: string) => groups.data?.find((found) => found.id === wanted)?.name ?? t("another project");
  const columns: Column<SecurityRule>[] = [
    { title: t("Direction"), cell: (r) => (r.direction === "ingress" ? t("in") : t("out")), sort: (r) => (r.direction === "ingress" ? 0 : 1) },
    { title: t("Traffic"), cell: traffic, sort: traffic },
    { title: t("From or to"), cell: (r) => remote(r, nameOf), sort: (r) => remote(r, nameOf) },
    { title: t("Version"), cell: (r) => r.ethertype, sort: (r) => r.ethertype },
  ];
  return (
    <Page title={group.name} parents={parents} lead={group.description} actions={write && <Button onClick={() => setAdding(true)}>{t("Add a rule")}</Button>}>
      <Alert isInline isPlain variant="info" title={t("In plain words")} component="h2">
        {summary(group.security_group_rules, nameOf).map((line) => <div key={line}>{line}</div>)}
      </Alert>
      {write && (
        <Flex gap={{ default: "gapSm" }} alignItems={{ default: "alignItemsCenter" }}>
          <FlexItem>{t("Let in with one click:")}</FlexItem>
          <FlexItem>
            <LabelGroup numLabels={10} aria-label={t("Presets")}>
              {presets().map((preset) => {
                const wanted = missing(preset.rules, group.security_group_rules);
                return <Label key={preset.id} color={wanted.length === 0 ? "green" : "blue"} onClick={wanted.length === 0 ? undefined : () => add(group, preset, wanted)}>
                  {wanted.length === 0 ? t("{{title}} is in", { title: preset.title }) : preset.title}</Label>;
              })}
            </LabelGroup>
          </FlexItem>
        </Flex>
      )}
      <ResourceTable label={t("Rules")} rows={group.security_group_rules} columns={columns} rowKey={(r) => r.id}
        actions={write ? (r) => [{ title: t("Delete"), isDanger: true, onClick: () => void perform(t("Delete the rule for {{what}}", { what: traffic(r) }), () => network.delete(`/security-group-rules/${r.id}`), STALE) }] : undefined}
        empty={{ icon: ShieldAltIcon, title: t("No rules"), body: t("Nothing goes in or out.") }} />
      {adding && <Add group={group} groups={groups.data ?? []} close={() => setAdding(false)} />}
    </Page>
  );
}

function add(group: SecurityGroup, preset: Preset, rules: NewRule[]): void {
  void perform(t("Let in: {{title}}", { title: preset.title }), () => network.post("/security-group-rules", {
    security_group_rules: rules.map((rule) => ({ ...rule, security_group_id: group.id })) }), STALE);
}

function Add({ group, groups, close }: { group: SecurityGroup; groups: SecurityGroup[]; close: () => void }) {
  const [direction, setDirection] = useState("ingress");
  const [protocol, setProtocol] = useState("tcp");
  const [ports, setPorts] = useState("");
  const [from, setFrom] = useState("anywhere");
  const [range, setRange] = useState("");
  const withPorts = protocol === "tcp" || protocol === "udp";
  const match = /^(\d{1,5})(?:\s*[-–]\s*(\d{1,5}))?$/.exec(ports.trim());
  const [first, last] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? match?.[1] ?? 0)];
  const badPorts = withPorts && ports.trim() !== "" && (!match || first < 1 || last > 65535 || first > last);
  const badRange = from === "range" && range !== "" && !isCidr(range);
  async function submit(): Promise<void> {
    const versions = from === "range" ? [range.includes(":") ? "IPv6" : "IPv4"] : ["IPv4", "IPv6"];
    await network.post("/security-group-rules", { security_group_rules: versions.map((ethertype) => ({
      security_group_id: group.id, direction, ethertype,
      protocol: protocol === "any" ? null : protocol === "icmp" && ethertype === "IPv6" ? "ipv6-icmp" : protocol,
      ...(withPorts && match ? { port_range_min: first, port_range_max: last } : {}),
      ...(from === "range" ? { remote_ip_prefix: range.trim() } : from === "anywhere" ? {} : { remote_group_id: from }) })) });
    refresh(STALE);
  }
  return (
    <FormDialog title={t("Add a rule to {{name}}", { name: group.name })} button={t("Add")} close={close} submit={submit}
      ready={!badPorts && !badRange && (from !== "range" || range !== "")}>
      <ChoiceField label={t("Direction")} value={direction} set={setDirection} options={[{ value: "ingress", label: t("In: to the servers") }, { value: "egress", label: t("Out: from the servers") }]} />
      <ChoiceField label={t("Protocol")} value={protocol} set={setProtocol} options={[{ value: "tcp", label: "TCP" }, { value: "udp", label: "UDP" }, { value: "icmp", label: "ICMP" }, { value: "any", label: t("Any") }]} />
      {withPorts && <TextField label={t("Ports")} value={ports} set={setPorts} placeholder="8080" help={t("One, or a range like 8000-8100; empty for all.")} error={badPorts ? t("Ports are 1 to 65535, the first not above the last.") : undefined} />}
      <ChoiceField label={direction === "ingress" ? t("From") : t("To")} value={from} set={setFrom}
        options={[{ value: "anywhere", label: t("Anywhere") }, { value: "range", label: t("An address range") }, ...groups.map((found) => ({ value: found.id, label: t("Servers of group {{name}}", { name: found.name }) }))]} />
      {from === "range" && <TextField label={t("Address range")} value={range} set={setRange} required placeholder="192.0.2.0/24" error={badRange ? t("Write it like 10.0.0.0/24 or fd00::/64.") : undefined} />}
    </FormDialog>
  );
}
