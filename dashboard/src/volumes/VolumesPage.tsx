import { Button, Tab, Tabs, TabTitleText } from "@patternfly/react-core";
import { CameraIcon, ClockIcon, HddIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { useVolumeBackups, useVolumes, useVolumeSnapshots } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Volume, VolumeBackup, VolumeSnapshot } from "../api/types";
import { t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { ago, memory, when } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { useServerNames } from "../servers/all";
import { volumeActions, type VolumeDialog } from "./actions";
import { AttachVolume, CreateVolume, ExtendVolume, RenameVolume, SaveVolume } from "./dialogs";
import { nameOf, remove, restore } from "./work";

/** The project's volumes, and what was saved of them. */
export function VolumesPage() {
  const write = mayWrite(useSession());
  const [params, setParams] = useSearchParams();
  const [dialog, setDialog] = useState<VolumeDialog | null>(null);
  const tab = params.get("tab") ?? "volumes";
  const all = useVolumes(tab === "volumes");
  const button = write && <Button onClick={() => setDialog({ kind: "create" })}>{t("Create a volume")}</Button>;
  return (
    <Page title={t("Volumes")} actions={tab !== "volumes" || all.data?.length ? button : undefined} lead={t("Disks that outlive the servers they are attached to.")}>
      <Tabs activeKey={tab} onSelect={(_event, key) => setParams(key === "volumes" ? {} : { tab: String(key) }, { replace: true })} aria-label={t("Volumes and what was saved of them")}>
        <Tab eventKey="volumes" title={<TabTitleText>{t("Volumes")}</TabTitleText>}>
          <div className="st-tab">{tab === "volumes" && <Volumes write={write} open={setDialog} />}</div>
        </Tab>
        <Tab eventKey="snapshots" title={<TabTitleText>{t("Snapshots")}</TabTitleText>}>
          <div className="st-tab">{tab === "snapshots" && <Snapshots write={write} open={setDialog} />}</div>
        </Tab>
        <Tab eventKey="backups" title={<TabTitleText>{t("Backups")}</TabTitleText>}>
          <div className="st-tab">{tab === "backups" && <Backups write={write} />}</div>
        </Tab>
      </Tabs>
      <VolumeDialogs dialog={dialog} close={() => setDialog(null)} />
    </Page>
  );
}

export function VolumeDialogs({ dialog, close }: { dialog: VolumeDialog | null; close: () => void }) {
  switch (dialog?.kind) {
    case "create": return <CreateVolume close={close} snapshot={dialog.snapshot} source={dialog.source} />;
    case "attach": return <AttachVolume close={close} found={dialog.found} />;
    case "extend": return <ExtendVolume close={close} found={dialog.found} />;
    case "rename": return <RenameVolume close={close} found={dialog.found} />;
    case "snapshot": case "backup": return <SaveVolume close={close} found={dialog.found} as={dialog.kind} />;
    default: return null;
  }
}

interface Part { write: boolean; open: (dialog: VolumeDialog) => void }

function Volumes({ write, open }: Part) {
  const volumes = useVolumes();
  const names = useServerNames().data;
  const kinds = new Set((volumes.data ?? []).map((one) => one.volume_type));
  const columns: Column<Volume>[] = [
    { title: t("Name"), cell: (v) => <Link to={`/volumes/${v.id}`}>{nameOf(v)}</Link>, sort: (v) => v.name ?? "" },
    { title: t("Status"), cell: (v) => <Status value={v.status} />, sort: (v) => v.status, nowrap: true },
    { title: t("Size"), cell: (v) => memory(v.size * 1024), sort: (v) => v.size, nowrap: true },
    { title: t("Attached to"), cell: (v) => v.attachments.length === 0 ? <span className="st-muted">{t("nothing")}</span>
      : v.attachments.map((a) => <div key={a.attachment_id}><Link to={`/servers/${a.server_id}`}>{names?.get(a.server_id) ?? t("a server")}</Link>{a.device && <span className="st-muted"> {a.device}</span>}</div>) },
    ...(kinds.size > 1 ? [{ title: t("Type"), cell: (v: Volume) => v.volume_type === "__DEFAULT__" ? t("default") : v.volume_type ?? "–", sort: (v: Volume) => v.volume_type ?? "" }] : []),
    { title: t("Starts a server"), cell: (v) => (v.bootable === "true" ? t("yes") : t("no")), sort: (v) => v.bootable },
    { title: t("Created"), cell: (v) => <span title={when(v.created_at)}>{ago(v.created_at)}</span>, sort: (v) => v.created_at, nowrap: true },
  ];
  return (
    <ResourceTable label={t("Volumes")} rows={volumes.data} error={volumes.error} retry={() => void volumes.refetch()} columns={columns} rowKey={(v) => v.id} text={(v) => `${v.name ?? ""} ${v.status}`}
      actions={write ? (v) => volumeActions(v, names, open) : undefined}
      bulk={write ? [{ title: t("Delete"), isDanger: true, fits: (v) => !["in-use", "attaching", "detaching"].includes(v.status), run: (found) => remove("volume", found) }] : undefined}
      empty={{ icon: HddIcon, title: t("No volumes yet"), body: t("A volume is a disk of its own. Create one, attach it to a server, and what is on it stays when the server goes."),
        action: write && <Button onClick={() => open({ kind: "create" })}>{t("Create a volume")}</Button> }} />
  );
}

function Snapshots({ write, open }: Part) {
  const snapshots = useVolumeSnapshots();
  const volumes = useVolumes();
  const columns: Column<VolumeSnapshot>[] = [
    { title: t("Name"), cell: (s) => nameOf(s), sort: (s) => s.name ?? "" },
    { title: t("Status"), cell: (s) => <Status value={s.status} />, sort: (s) => s.status, nowrap: true },
    { title: t("Of volume"), cell: (s) => <Origin id={s.volume_id} volumes={volumes.data} /> },
    { title: t("Size"), cell: (s) => memory(s.size * 1024), sort: (s) => s.size, nowrap: true },
    { title: t("Created"), cell: (s) => <span title={when(s.created_at)}>{ago(s.created_at)}</span>, sort: (s) => s.created_at, nowrap: true },
  ];
  return (
    <ResourceTable label={t("Snapshots")} rows={snapshots.data} error={snapshots.error} retry={() => void snapshots.refetch()} columns={columns} rowKey={(s) => s.id} text={(s) => s.name ?? ""}
      actions={write ? (s) => [
        { title: t("Make a volume of it"), isDisabled: s.status !== "available", onClick: () => open({ kind: "create", snapshot: s }) },
        { isSeparator: true },
        { title: t("Delete"), isDanger: true, onClick: () => remove("snapshot", [s]) },
      ] : undefined}
      bulk={write ? [{ title: t("Delete"), isDanger: true, run: (found) => remove("snapshot", found) }] : undefined}
      empty={{ icon: CameraIcon, title: t("No snapshots yet"), body: t("A snapshot keeps a volume as it is now. A volume's menu takes one; a new volume can be made of it.") }} />
  );
}

function Backups({ write }: { write: boolean }) {
  const backups = useVolumeBackups();
  const volumes = useVolumes();
  const columns: Column<VolumeBackup>[] = [
    { title: t("Name"), cell: (b) => nameOf(b), sort: (b) => b.name ?? "" },
    { title: t("Status"), cell: (b) => <><Status value={b.status} />{b.fail_reason && <div className="st-muted">{b.fail_reason}</div>}</>, sort: (b) => b.status },
    { title: t("Of volume"), cell: (b) => <Origin id={b.volume_id} volumes={volumes.data} /> },
    { title: t("Kind"), cell: (b) => (b.is_incremental ? t("what had changed") : t("whole")), sort: (b) => Number(b.is_incremental) },
    { title: t("Size"), cell: (b) => memory(b.size * 1024), sort: (b) => b.size, nowrap: true },
    { title: t("Created"), cell: (b) => <span title={when(b.created_at)}>{ago(b.created_at)}</span>, sort: (b) => b.created_at, nowrap: true },
  ];
  return (
    <ResourceTable label={t("Backups")} rows={backups.data} error={backups.error} retry={() => void backups.refetch()} columns={columns} rowKey={(b) => b.id} text={(b) => b.name ?? ""}
      actions={write ? (b) => [
        { title: t("Restore into a new volume"), isDisabled: b.status !== "available", onClick: () => confirmLoss({
          title: t("Restore {{name}}?", { name: nameOf(b) }), button: t("Restore"), body: t("A new volume of {{size}} GiB is made of it. The old one stays as it is.", { size: b.size }), run: () => restore(b) }) },
        { isSeparator: true },
        { title: b.has_dependent_backups ? t("Delete (later ones need it)") : t("Delete"), isDanger: true, isDisabled: b.has_dependent_backups, onClick: () => remove("backup", [b]) },
      ] : undefined}
      bulk={write ? [{ title: t("Delete"), isDanger: true, fits: (b) => !b.has_dependent_backups, run: (found) => remove("backup", found) }] : undefined}
      empty={{ icon: ClockIcon, title: t("No backups yet"), body: t("A backup is a copy of a volume on other storage. A volume's menu makes one.") }} />
  );
}

function Origin({ id, volumes }: { id: string; volumes: Volume[] | undefined }) {
  const found = volumes?.find((one) => one.id === id);
  return found ? <Link to={`/volumes/${id}`}>{nameOf(found)}</Link> : <span className="st-muted">{volumes ? t("deleted since") : "–"}</span>;
}
