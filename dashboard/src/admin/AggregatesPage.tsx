import { Button, Label } from "@patternfly/react-core";
import { ObjectGroupIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { compute } from "../api/http";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { perform, refresh } from "../parts/work";

interface Aggregate { id: number; name: string; availability_zone: string | null; hosts: string[]; metadata: Record<string, string> }
type Dialog = { kind: "make" } | { kind: "host" | "property"; found: Aggregate };

const STALE = ["aggregates", "hosts"];

/** Groups of hosts: availability zones, and what flavors can ask for. */
export function AggregatesPage() {
  const aggregates = useQuery({ queryKey: ["aggregates"], refetchInterval: 15_000, queryFn: () => compute.get<{ aggregates: Aggregate[] }>("/os-aggregates").then((body) => body.aggregates) });
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const button = <Button onClick={() => setDialog({ kind: "make" })}>{t("Create an aggregate")}</Button>;
  const act = (title: string, found: Aggregate, body: object) => void perform(title, () => compute.post(`/os-aggregates/${found.id}/action`, body), STALE);
  const properties = (found: Aggregate) => Object.entries(found.metadata).filter(([key]) => key !== "availability_zone");
  const columns: Column<Aggregate>[] = [
    { title: t("Name"), cell: (a) => a.name, sort: (a) => a.name },
    { title: t("Availability zone"), cell: (a) => a.availability_zone ?? "–", sort: (a) => a.availability_zone ?? "" },
    { title: t("Hosts"), cell: (a) => a.hosts.length === 0 ? <span className="st-muted">{t("none yet")}</span> : a.hosts.map((host) => <div key={host}><Link to={`/admin/hosts/${host}`}>{host}</Link></div>), sort: (a) => a.hosts.length },
    { title: t("Properties"), cell: (a) => properties(a).map(([key, value]) => <Label key={key} isCompact>{key}={value}</Label>) },
  ];
  return (
    <Page title={t("Aggregates")} actions={aggregates.data?.length ? button : undefined} lead={t("Groups of hosts: zones that people choose, properties that flavors ask for.")}>
      <ResourceTable label={t("Aggregates")} rows={aggregates.data} error={aggregates.error} retry={() => void aggregates.refetch()} columns={columns} rowKey={(a) => String(a.id)} text={(a) => `${a.name} ${a.availability_zone ?? ""} ${a.hosts.join(" ")}`}
        actions={(a) => [
          { title: t("Add a host"), onClick: () => setDialog({ kind: "host", found: a }) },
          ...a.hosts.map((host) => ({ title: t("Take {{name}} out", { name: host }), onClick: () => act(t("Take {{name}} out", { name: host }), a, { remove_host: { host } }) })),
          { title: t("Set a property"), onClick: () => setDialog({ kind: "property", found: a }) },
          ...properties(a).map(([key]) => ({ title: t("Remove {{name}}", { name: key }), onClick: () => act(t("Remove {{name}}", { name: key }), a, { set_metadata: { metadata: { [key]: null } } }) })),
          { isSeparator: true },
          { title: a.hosts.length > 0 ? t("Delete (take its hosts out first)") : t("Delete"), isDanger: true, isDisabled: a.hosts.length > 0, onClick: () => confirmLoss({
            title: t("Delete {{name}}?", { name: a.name }), button: t("Delete"), body: t("Flavors that ask for its properties find no host by them any more."),
            run: async () => { await compute.delete(`/os-aggregates/${a.id}`); refresh(STALE); } }) },
        ]}
        empty={{ icon: ObjectGroupIcon, title: t("No aggregates yet"), action: button, body: t("An aggregate puts hosts together: as an availability zone, or because they have something in common, such as fast disks.") }} />
      {dialog?.kind === "make" && <Create close={() => setDialog(null)} />}
      {dialog?.kind === "host" && <AddHost found={dialog.found} close={() => setDialog(null)} />}
      {dialog?.kind === "property" && <SetProperty found={dialog.found} close={() => setDialog(null)} />}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [zone, setZone] = useState("");
  return (
    <FormDialog title={t("Create an aggregate")} button={t("Create")} close={close} ready={name.trim() !== ""}
      submit={async () => {
        await compute.post("/os-aggregates", { aggregate: { name: name.trim(), ...(zone.trim() ? { availability_zone: zone.trim() } : {}) } });
        refresh(STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("Availability zone")} value={zone} set={setZone} help={t("Empty: its hosts stay in the zones they are in.")} />
    </FormDialog>
  );
}

function AddHost({ found, close }: { found: Aggregate; close: () => void }) {
  const services = useQuery({ queryKey: ["hosts", "services"], queryFn: () => compute.get<{ services: { binary: string; host: string }[] }>("/os-services").then((body) => body.services) });
  const free = (services.data ?? []).filter((one) => one.binary === "nova-compute" && !found.hosts.includes(one.host)).map((one) => one.host).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const [chosen, setChosen] = useState("");
  const host = chosen || free[0] || "";
  return (
    <FormDialog title={t("Add a host to {{name}}", { name: found.name })} button={t("Add")} close={close} ready={host !== ""}
      submit={async () => {
        await compute.post(`/os-aggregates/${found.id}/action`, { add_host: { host } });
        refresh(STALE);
      }}>
      <ChoiceField label={t("Host")} value={host} set={setChosen} options={free.map((value) => ({ value, label: value }))} error={services.data && free.length === 0 ? t("Every host is in it already.") : undefined} />
    </FormDialog>
  );
}

function SetProperty({ found, close }: { found: Aggregate; close: () => void }) {
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  return (
    <FormDialog title={t("Set a property of {{name}}", { name: found.name })} button={t("Set")} close={close} ready={key.trim() !== "" && value.trim() !== ""}
      submit={async () => {
        await compute.post(`/os-aggregates/${found.id}/action`, { set_metadata: { metadata: { [key.trim()]: value.trim() } } });
        refresh(STALE);
      }}>
      <TextField label={t("Name")} value={key} set={setKey} required autoFocus placeholder="ssd" />
      <TextField label={t("Value")} value={value} set={setValue} required placeholder="true" />
    </FormDialog>
  );
}
