import { Alert, Card, CardBody, CardTitle, Gallery, Label, LabelGroup, Progress, ProgressMeasureLocation } from "@patternfly/react-core";
import { ServerIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { has } from "../api/catalog";
import { stackling } from "../api/http";
import { every } from "../api/live";
import { useSession } from "../api/session";
import { number, t } from "../language";
import { ago, memory, when } from "../parts/format";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { backend, clusterMap, type MapHost, type MapMachine, troubles } from "./cluster";
import { useHypervisors } from "./HostsPage";
import { InHand } from "./InHand";
import type { Machine } from "./machines";
import { type Part, useParts } from "./serviceList";

/** The whole cluster on one page: machines, the hosts whose leases they hold, and the services on them. */
export function ClusterPage() {
  const own = has(useSession().catalog, "stackling");
  const machines = useQuery({ queryKey: ["machines"], enabled: own, refetchInterval: every(5000), queryFn: () => stackling.get<{ machines: Machine[] }>("/machines").then((body) => body.machines) });
  const hosts = useHypervisors();
  const parts = useParts();
  const failed = [machines, hosts, parts].find((query) => query.error);
  const ready = (machines.data || !own) && hosts.data && parts.data;
  const map = ready ? clusterMap(machines.data ?? [], hosts.data ?? [], parts.data ?? []) : [];
  return (
    <Page title={t("Cluster")} lead={own ? t("Machines, the hosts whose leases they hold, and the services on them. A host is where servers run; it moves to another machine with its lease.") : t("Hosts and the services on them.")}>
      {failed && <Problem error={failed.error} title={ready ? t("This may be out of date") : undefined} retry={() => { for (const query of [machines, hosts, parts]) void query.refetch(); }} />}
      {!ready ? !failed && <Loading /> : map.length === 0
        ? <Nothing icon={ServerIcon} title={t("Nothing has reported yet")} body={t("A machine appears when its agent has reported for the first time.")} />
        : <>
            <Health map={map} />
            <Gallery hasGutter minWidths={{ default: "20rem" }} className="st-below" component="ul" aria-label={t("Machines")}>
              {map.map((one) => <li key={one.machine?.id ?? (one.shared ? "shared" : "")}><MachineCard found={one} own={own} /></li>)}
            </Gallery>
            {own && <InHand />}
          </>}
    </Page>
  );
}

function Health({ map }: { map: MapMachine[] }) {
  const { machines, hosts, parts } = troubles(map);
  if (machines.length + hosts.length + parts.length === 0) {
    return <Alert isInline isPlain variant="success" component="h2" title={t("Everything answers.")} />;
  }
  const line = (title: string, names: string[]) => names.length > 0 && <div>{title} {names.join(", ")}</div>;
  return (
    <Alert isInline variant="danger" component="h2" title={t("Not everything answers.")}>
      {line(t("Machines:"), machines)}{line(t("Hosts:"), hosts)}{line(t("Services:"), parts)}
      <p>{t("A machine's page tells what is done about it; the audit tells what happened.")} <Link to="/admin/audit?all=1">{t("To the audit")}</Link></p>
    </Alert>
  );
}

function MachineCard({ found, own }: { found: MapMachine; own: boolean }) {
  const { machine, shared, hosts, parts } = found;
  return (
    <Card isFullHeight isCompact>
      <CardTitle component="h2">
        {machine ? <><Link to={`/admin/machines/${machine.name}`}>{machine.name}</Link> <Status value={machine.state} bad={machine.state !== "up"} /></> : shared ? t("On every machine with an engine") : own ? t("On no machine that is known") : t("Hosts")}
      </CardTitle>
      <CardBody>
        {shared && <p className="st-muted">{t("Their work is done by whichever engine has it in hand.")}</p>}
        {machine && <p className="st-muted">{t("heard of")} <span title={when(machine.heartbeat_at)}>{ago(machine.heartbeat_at)}</span>{machine.planned_stop && ` · ${t("a stop is planned")}`}</p>}
        {machine?.reason && <p>{machine.reason}</p>}
        {machine?.alarm && <Alert isInline isPlain variant="warning" title={machine.alarm} component="h3" />}
        {machine && hosts.length === 0 && <p className="st-muted">{t("It holds no host's lease.")}</p>}
        {hosts.map((host) => <Host key={host.name} host={host} />)}
        {parts.length > 0 && <Parts parts={parts} title={t("Services beside the hosts'")} withHost={machine === null && !shared} />}
      </CardBody>
    </Card>
  );
}

function Host({ host }: { host: MapHost }) {
  const [cpus, ram] = host.gauges;
  const gauge = (title: string, found: { used: number; all: number } | undefined, unit: (value: number) => string) => found && found.all > 0 && (
    <Progress value={Math.min(100, (100 * found.used) / found.all)} size="sm" measureLocation={ProgressMeasureLocation.none} aria-label={t("{{title}} of {{host}}", { title, host: host.name })}
      title={t("{{title}}: {{used}} of {{limit}}", { title, used: unit(found.used), limit: unit(found.all) })} />
  );
  return (
    <section className="st-part">
      <h3><Link to={`/admin/hosts/${host.name}`}>{host.name}</Link> <Status value={host.up ? "up" : "down"} bad={!host.up} />
        {!host.enabled && <Status value="disabled" />}{host.fenced && <Status value="fenced" />}</h3>
      <p className="st-muted">{[t("servers: {{number}}", { number: host.servers }), host.epoch !== null && t("lease {{epoch}}", { epoch: String(host.epoch) })].filter(Boolean).join(" · ")}</p>
      {gauge(t("vCPUs"), cpus, number)}
      {gauge(t("Memory"), ram, memory)}
      {host.parts.length > 0 && <Parts parts={host.parts} title={t("Services on {{host}}", { host: host.name })} />}
    </section>
  );
}

function Parts({ parts, title, withHost = false }: { parts: Part[]; title: string; withHost?: boolean }) {
  return (
    <LabelGroup numLabels={20} aria-label={title} className="st-below">
      {parts.map((part) => (
        <Label key={part.key} isCompact variant="outline" status={part.up ? "success" : "danger"} title={t("heard of {{time}}", { time: ago(part.at) })}>
          {[part.name, withHost ? part.host : backend(part)].filter(Boolean).join(" · ")}{part.up ? "" : ` · ${t("silent")}`}{part.enabled ? "" : ` · ${t("disabled")}`}
        </Label>
      ))}
    </LabelGroup>
  );
}
