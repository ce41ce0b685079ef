import { Alert, Card, CardBody, CardTitle, DescriptionList, Gallery, GalleryItem } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { has } from "../api/catalog";
import { compute, stackling } from "../api/http";
import { useSession } from "../api/session";
import type { Server } from "../api/types";
import { t } from "../language";
import { bytes, memory } from "../parts/format";
import { Loading } from "../parts/Loading";
import { Problem } from "../parts/Problem";
import { Term } from "../parts/Term";
import { counted, type Diagnostics, rates, type Rates, type Sample } from "./rates";

const KEPT = 60;

/** What a running server does right now, from its hypervisor's counters; kept as long as the page is open. */
export function MetricsTab({ server }: { server: Server }) {
  const own = has(useSession().catalog, "stackling");
  const query = useQuery({
    queryKey: ["servers", "diagnostics", server.id], refetchInterval: 3000, retry: false,
    queryFn: async (): Promise<Sample> => ({
      found: own ? (await stackling.get<{ metrics: Diagnostics }>(`/servers/${server.id}/metrics`)).metrics : await compute.get<Diagnostics>(`/servers/${server.id}/diagnostics`), at: Date.now() }),
  });
  const [past, setPast] = useState<Sample[]>([]);
  const sample = query.data;
  useEffect(() => {
    if (sample) setPast((before) => [...before.slice(-KEPT), sample]);
  }, [sample]);
  if (query.error && !sample) return <Problem error={query.error} retry={() => void query.refetch()} title={t("There are no numbers now")} />;
  if (!sample) return <Loading />;
  const course = past.slice(1).map((now, index) => rates(past[index], now));
  const now = course.at(-1);
  const { found } = sample;
  const speed = (value: number | null | undefined) => (value == null ? "–" : `${bytes(Math.round(value))}/s`);
  return (
    <>
      {!counted(found) && <Alert isInline variant="info" title={t("This cloud's hypervisors don't tell what servers use")}>{t("What a server may use is known; how much of it is used can be seen in the server itself.")}</Alert>}
      {counted(found) && <Gallery hasGutter minWidths={{ default: "240px" }}>
        <Meter title={t("Processors")} text={now?.cpu == null ? "–" : t("{{used}} of {{all}}", { used: now.cpu.toFixed(2), all: found.num_cpus })} course={course} of={(one) => one.cpu} most={found.num_cpus} />
        <Meter title={t("Memory")} text={found.memory_details.used == null ? t("{{all}} in all", { all: memory(found.memory_details.maximum ?? 0) }) : t("{{used}} of {{all}}", { used: memory(found.memory_details.used), all: memory(found.memory_details.maximum ?? 0) })} />
        <Meter title={t("Received")} text={speed(now?.received)} course={course} of={(one) => one.received} />
        <Meter title={t("Sent")} text={speed(now?.sent)} course={course} of={(one) => one.sent} />
        <Meter title={t("Read from disks")} text={speed(now?.read)} course={course} of={(one) => one.read} />
        <Meter title={t("Written to disks")} text={speed(now?.written)} course={course} of={(one) => one.written} />
      </Gallery>}
      <Card isPlain>
        <CardBody>
          <DescriptionList isHorizontal isCompact>
            <Term name={t("Processors")}>{found.num_cpus}</Term>
            <Term name={t("Memory")}>{memory(found.memory_details.maximum ?? 0)}</Term>
            {found.driver && <Term name={t("Hypervisor")}>{[found.driver, found.hypervisor].filter(Boolean).join(" · ")}</Term>}
            {found.nic_details.filter((nic) => nic.rx_octets !== null).map((nic) => (
              <Term key={nic.mac_address} name={t("Network card")}><span className="st-mono">{nic.mac_address}</span><br />{t("{{received}} received, {{sent}} sent, {{dropped}} packets dropped", { received: bytes(nic.rx_octets), sent: bytes(nic.tx_octets), dropped: nic.rx_drop == null ? "–" : nic.rx_drop + (nic.tx_drop ?? 0) })}</Term>
            ))}
          </DescriptionList>
        </CardBody>
      </Card>
    </>
  );
}

function Meter({ title, text, course = [], of, most }: { title: string; text: string; course?: Rates[]; of?: (one: Rates) => number | null; most?: number }) {
  const values = of ? course.map(of).map((value) => value ?? 0) : [];
  const top = Math.max(most ?? 0, ...values, 1e-9);
  const points = values.map((value, index) => `${(100 * index) / Math.max(1, values.length - 1)},${30 - (28 * value) / top}`).join(" ");
  return (
    <GalleryItem>
      <Card isCompact isFullHeight>
        <CardTitle component="h2">{title}</CardTitle>
        <CardBody>
          <strong>{text}</strong>
          {values.length > 1 && <svg className="st-course" viewBox="0 0 100 31" preserveAspectRatio="none" aria-hidden="true"><polyline points={points} /></svg>}
        </CardBody>
      </Card>
    </GalleryItem>
  );
}
