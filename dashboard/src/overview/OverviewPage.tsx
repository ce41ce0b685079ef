import { Card, CardBody, CardTitle, Gallery, GalleryItem, Grid, GridItem, Progress, ProgressMeasureLocation, Skeleton } from "@patternfly/react-core";
import { ServerIcon } from "@patternfly/react-icons";
import { Link } from "react-router";
import { useQuery } from "@tanstack/react-query";
import { has } from "../api/catalog";
import { compute } from "../api/http";
import { every } from "../api/live";
import { mayWrite, useSession } from "../api/session";
import { isTold } from "../api/silence";
import type { Server } from "../api/types";
import { number, t } from "../language";
import { ago, memory } from "../parts/format";
import { LinkButton } from "../parts/LinkButton";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { busy } from "../servers/actions";
import { useUsage } from "./usage";

export interface Gauge { title: string; used: number; limit: number; to?: string; unit?: (value: number) => string }

export function OverviewPage() {
  const session = useSession();
  const usage = useUsage();
  const latest = useQuery({
    queryKey: ["servers", "latest"], enabled: has(session.catalog, "compute"), refetchInterval: every(5000),
    queryFn: () => compute.get<{ servers: Server[] }>("/servers/detail", { limit: 8, sort_key: "updated_at", sort_dir: "desc" }).then((body) => body.servers),
  });
  const c = usage.data?.compute;
  const n = usage.data?.network;
  const v = usage.data?.volume;
  const gauges: Gauge[] = [
    ...(c ? [
      { title: t("Servers"), used: c.totalInstancesUsed ?? 0, limit: c.maxTotalInstances ?? -1, to: "/servers" },
      { title: t("vCPUs"), used: c.totalCoresUsed ?? 0, limit: c.maxTotalCores ?? -1 },
      { title: t("Memory"), used: c.totalRAMUsed ?? 0, limit: c.maxTotalRAMSize ?? -1, unit: memory },
    ] : []),
    ...(v ? [
      { title: t("Volumes"), used: v.totalVolumesUsed ?? 0, limit: v.maxTotalVolumes ?? -1, to: "/volumes" },
      { title: t("Volumes' size"), used: v.totalGigabytesUsed ?? 0, limit: v.maxTotalVolumeGigabytes ?? -1, unit: (gib: number) => memory(gib * 1024) },
    ] : []),
    ...(n ? [
      { title: t("Floating IPs"), key: "floatingip", to: "/floating-ips" }, { title: t("Networks"), key: "network", to: "/networks" },
      { title: t("Routers"), key: "router", to: "/routers" }, { title: t("Ports"), key: "port" }, { title: t("Security groups"), key: "security_group", to: "/security-groups" },
    ].flatMap(({ key, ...rest }) => (n[key] ? [{ ...rest, used: n[key].used, limit: n[key].limit }] : [])) : []),
  ];
  return (
    <Page title={session.project.name} lead={t("What this project uses, and what it may use.")}
      actions={mayWrite(session) && <LinkButton to="/servers/launch">{t("Launch a server")}</LinkButton>}>
      {usage.error && <Problem error={usage.error} retry={() => void usage.refetch()} />}
      <Gallery hasGutter minWidths={{ default: "220px" }}>
        {usage.data ? gauges.map((gauge) => <GalleryItem key={gauge.title}><GaugeCard gauge={gauge} /></GalleryItem>)
          : (!usage.error || isTold(usage.error)) && Array.from({ length: 8 }, (_, index) => <GalleryItem key={index}><Card isCompact><CardBody><Skeleton height="4.5rem" screenreaderText={t("Loading")} /></CardBody></Card></GalleryItem>)}
      </Gallery>
      <Grid hasGutter>
        <GridItem span={12}>
          <Card>
            <CardTitle component="h2">{t("Changed last")}</CardTitle>
            <CardBody>
              {latest.error && <Problem error={latest.error} retry={() => void latest.refetch()} />}
              {!latest.data ? (!latest.error || isTold(latest.error)) && <Skeleton screenreaderText={t("Loading")} />
                : latest.data.length === 0 ? <Nothing icon={ServerIcon} title={t("No servers yet")} body={t("Launch one: a name, an image and a size are enough.")} />
                : <table className="pf-v6-c-table pf-m-compact pf-m-grid-md" aria-label={t("Changed last")}><tbody className="pf-v6-c-table__tbody">
                    {latest.data.map((server) => (
                      <tr key={server.id} className="pf-v6-c-table__tr">
                        <td className="pf-v6-c-table__td"><Link to={`/servers/${server.id}`}>{server.name}</Link></td>
                        <td className="pf-v6-c-table__td"><Status value={server["OS-EXT-STS:task_state"] ?? server.status} busy={busy(server)} /></td>
                        <td className="pf-v6-c-table__td st-muted">{ago(server.updated)}</td>
                      </tr>
                    ))}
                  </tbody></table>}
            </CardBody>
          </Card>
        </GridItem>
      </Grid>
    </Page>
  );
}

function GaugeCard({ gauge }: { gauge: Gauge }) {
  const { title, used, limit, to, unit = number } = gauge;
  const part = limit > 0 ? Math.min(100, (100 * used) / limit) : limit === 0 ? 100 : 0;
  return (
    <Card isCompact isFullHeight>
      <CardTitle component="h2">{to ? <Link to={to}>{title}</Link> : title}</CardTitle>
      <CardBody>
        {limit < 0 ? <><strong>{unit(used)}</strong> <span className="st-muted">{t("used, no limit")}</span></>
          : <Progress value={part} size="sm" measureLocation={ProgressMeasureLocation.none} aria-label={title}
              variant={part >= 100 ? "danger" : part >= 80 ? "warning" : undefined} title={t("{{used}} of {{limit}}", { used: unit(used), limit: unit(limit) })} />}
      </CardBody>
    </Card>
  );
}
