import { Alert, Button, Card, CardBody, CardTitle, DescriptionList, ExpandableSection } from "@patternfly/react-core";
import { CubesIcon } from "@patternfly/react-icons";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { ApiError } from "../api/errors";
import { stackling } from "../api/http";
import { every } from "../api/live";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { ago, when } from "../parts/format";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { Term } from "../parts/Term";
import { refresh } from "../parts/work";
import { Events } from "../servers/TimelineTab";
import type { MachineDetail } from "./machines";

/** One machine: whether it lives, what proves that it doesn't, and where its servers go. */
export function MachinePage() {
  const { name = "" } = useParams();
  const query = useQuery({ queryKey: ["machines", name], refetchInterval: every(4000), queryFn: () => stackling.get<{ machine: MachineDetail }>(`/machines/${name}`).then((body) => body.machine) });
  const [confirming, setConfirming] = useState(false);
  const parents = [{ title: t("Machines"), to: "/admin/machines" }];
  const machine = query.data;
  if (!machine) {
    const gone = query.error instanceof ApiError && query.error.status === 404;
    return (
      <Page title={t("Machine")} parents={parents}>
        {gone ? <Nothing icon={CubesIcon} title={t("There is no such machine")} body={t("It may never have reported.")} action={<Link to="/admin/machines">{t("To the machines")}</Link>} />
          : query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <Loading />}
      </Page>
    );
  }
  const off = machine.state !== "up" && !machine.fenced_at;
  return (
    <Page title={machine.name} parents={parents} lead={machine.reason} badge={<Status value={machine.state} />}
      actions={off && <Button variant="danger" onClick={() => setConfirming(true)}>{t("It is switched off")}</Button>}>
      {query.error && <Problem error={query.error} title={t("This may be out of date")} />}
      {machine.alarm && <Alert isInline variant="warning" title={machine.alarm} />}
      <Card>
        <CardBody>
          <DescriptionList isHorizontal isCompact>
            <Term name={t("In the cluster")}>{machine.standing}</Term>
            <Term name={t("Heard of")}><span title={when(machine.heartbeat_at)}>{ago(machine.heartbeat_at)}</span></Term>
            {machine.lost_at && <Term name={t("Lost")}><span title={when(machine.lost_at)}>{ago(machine.lost_at)}</span></Term>}
            {machine.fenced_at && <Term name={t("Fenced")}><span title={when(machine.fenced_at)}>{ago(machine.fenced_at)}</span></Term>}
            <Term name={t("Planned stop")}>{machine.planned_stop ? t("until {{time}}: {{reason}}", { time: when(machine.planned_stop.until), reason: machine.planned_stop.reason ?? "–" }) : t("none")}</Term>
            <Term name={t("Holds the hosts")}>{machine.hosts.length === 0 ? t("none") : machine.hosts.map((host) => (
              <div key={host.id}><Link to={`/admin/hosts/${host.name}`}>{host.name}</Link> <span className="st-muted">{[t("lease {{epoch}}", { epoch: host.epoch }), host.fenced && t("fenced"), host.disabled && t("disabled"), host.forced_down && t("forced down")].filter(Boolean).join(" · ")}</span></div>
            ))}</Term>
          </DescriptionList>
        </CardBody>
      </Card>
      <Card className="st-below">
        <CardTitle component="h2">{t("Proofs that it was off")}</CardTitle>
        <CardBody>{machine.proofs.length === 0 ? <span className="st-muted">{t("none; it has never been fenced")}</span> : machine.proofs.map((proof) => <Proof key={proof.id} proof={proof} />)}</CardBody>
      </Card>
      {machine.evacuations.length > 0 && (
        <Card className="st-below">
          <CardTitle component="h2">{t("Servers moved away")}</CardTitle>
          <CardBody>
            <Table aria-label={t("Servers moved away")} variant="compact">
              <Thead><Tr><Th>{t("Server")}</Th><Th>{t("State")}</Th><Th>{t("To host")}</Th><Th>{t("Since")}</Th><Th>{t("Detail")}</Th></Tr></Thead>
              <Tbody>{machine.evacuations.map((move) => (
                <Tr key={move.server_id}>
                  <Td dataLabel={t("Server")}><Link to={`/servers/${move.server_id}`}>{move.server}</Link></Td>
                  <Td dataLabel={t("State")}><Status value={move.state} /></Td>
                  <Td dataLabel={t("To host")}>{move.target ?? "–"}</Td>
                  <Td dataLabel={t("Since")} title={when(move.since)}>{ago(move.since)}</Td>
                  <Td dataLabel={t("Detail")} modifier="breakWord">{move.reason ?? "–"}</Td>
                </Tr>
              ))}</Tbody>
            </Table>
          </CardBody>
        </Card>
      )}
      <Events kind="machine" id={machine.id} />
      {confirming && <ConfirmOff machine={machine} close={() => setConfirming(false)} />}
    </Page>
  );
}

function Proof({ proof }: { proof: MachineDetail["proofs"][number] }) {
  return (
    <div>
      <p><strong>{proof.summary}</strong> <span className="st-muted">{[proof.source, proof.strength, when(proof.proven_at), proof.ended_at && t("ended {{time}}", { time: when(proof.ended_at) })].filter(Boolean).join(" · ")}</span></p>
      <ExpandableSection toggleText={t("Evidence")}><pre className="st-log">{JSON.stringify(proof.evidence, null, 2)}</pre></ExpandableSection>
    </div>
  );
}

/** An operator's word stands in for a fencing device: said wrongly, two copies of a server write to one disk. */
function ConfirmOff({ machine, close }: { machine: MachineDetail; close: () => void }) {
  const [typed, setTyped] = useState("");
  return (
    <FormDialog title={t("Is {{name}} switched off?", { name: machine.name })} button={t("I have seen that it is off")} danger close={close} ready={typed === machine.name}
      description={t("Its servers are started elsewhere on your word. If it still runs, two of each write to the same disk and destroy it.")}
      submit={async () => {
        await stackling.post(`/machines/${machine.name}/action`, { confirm_off: { confirm: typed } });
        refresh(["machines"]);
      }}>
      <TextField label={t("Type the machine's name")} value={typed} set={setTyped} required autoFocus />
    </FormDialog>
  );
}
