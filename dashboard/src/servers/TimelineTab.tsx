import { Alert, Card, CardBody, CardTitle } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useQuery } from "@tanstack/react-query";
import { has } from "../api/catalog";
import { compute, stackling } from "../api/http";
import { every } from "../api/live";
import { useSession } from "../api/session";
import type { Server, ServerAction } from "../api/types";
import { t } from "../language";
import { ago, instant, when } from "../parts/format";
import { Loading } from "../parts/Loading";
import { Problem } from "../parts/Problem";

export interface Explanation {
  work: { settled: boolean; reason: string | null; waits_for: string | null; attempts: number; next_try_in: number | null } | null;
  why: string | null;
  events: { at: string; source: string; event: string; message: string | null; request_id: string | null }[];
}

/** What was asked of a server and, on Stackling, what has come of it and what it waits for. */
export function TimelineTab({ server }: { server: Server }) {
  const own = has(useSession().catalog, "stackling");
  const query = useQuery({
    queryKey: ["servers", "timeline", server.id],
    queryFn: () => compute.get<{ instanceActions: ServerAction[] }>(`/servers/${server.id}/os-instance-actions`).then((body) => body.instanceActions),
    refetchInterval: every(5000),
  });
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading />;
  return (
    <>
      {own && <Waiting kind="server" id={server.id} />}
      <Table aria-label={t("Timeline")} variant="compact">
        <Thead><Tr><Th>{t("When")}</Th><Th>{t("What")}</Th><Th>{t("Took")}</Th><Th>{t("Result")}</Th><Th>{t("Request")}</Th></Tr></Thead>
        <Tbody>
          {query.data.map((action) => (
            <Tr key={action.request_id + action.action}>
              <Td dataLabel={t("When")} modifier="nowrap" title={when(action.start_time)}>{ago(action.start_time)}</Td>
              <Td dataLabel={t("What")}>{action.action}</Td>
              <Td dataLabel={t("Took")}>{action.updated_at ? `${Math.max(0, (instant(action.updated_at).getTime() - instant(action.start_time).getTime()) / 1000).toFixed(0)} s` : "–"}</Td>
              <Td dataLabel={t("Result")}>{action.message ?? t("as asked")}</Td>
              <Td dataLabel={t("Request")}><span className="st-mono st-muted">{action.request_id}</span></Td>
            </Tr>
          ))}
        </Tbody>
      </Table>
      {own && <Events kind="server" id={server.id} />}
    </>
  );
}

export function useExplanation(kind: string, id: string) {
  return useQuery({
    queryKey: ["explain", kind, id], refetchInterval: every(4000),
    queryFn: () => stackling.get<{ explanation: Explanation }>(`/explain/${kind}/${id}`).then((body) => body.explanation),
  });
}

/** What a resource waits for, when it does. */
export function Waiting({ kind, id }: { kind: string; id: string }) {
  const { work, why } = useExplanation(kind, id).data ?? {};
  const reason = why ?? (work && !work.settled ? work.reason ?? work.waits_for : null);
  if (!reason) return null;
  return (
    <Alert isInline variant="info" title={t("What it waits for")}>
      {reason}
      {work?.next_try_in != null && work.attempts > 1 && <p className="st-muted">{t("Tried {{attempts}} times; again in {{seconds}} s.", { attempts: work.attempts, seconds: Math.ceil(work.next_try_in) })}</p>}
    </Alert>
  );
}

/** Every step of a resource's life that the cloud wrote down, the newest first. */
export function Events({ kind, id }: { kind: string; id: string }) {
  const query = useExplanation(kind, id);
  const events = [...(query.data?.events ?? [])].reverse();
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (events.length === 0) return null;
  return (
    <Card isPlain>
      <CardTitle component="h2">{t("Step by step")}</CardTitle>
      <CardBody>
        <Table aria-label={t("Step by step")} variant="compact">
          <Thead><Tr><Th>{t("When")}</Th><Th>{t("Step")}</Th><Th>{t("By")}</Th><Th>{t("Detail")}</Th></Tr></Thead>
          <Tbody>
            {events.map((event, index) => (
              <Tr key={`${event.at}-${index}`}>
                <Td dataLabel={t("When")} modifier="nowrap" title={when(event.at)}>{ago(event.at)}</Td>
                <Td dataLabel={t("Step")}>{event.event.replaceAll("_", " ")}</Td>
                <Td dataLabel={t("By")}>{event.source}</Td>
                <Td dataLabel={t("Detail")} modifier="breakWord">{event.message ?? "–"}</Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      </CardBody>
    </Card>
  );
}
