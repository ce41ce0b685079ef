import { Button } from "@patternfly/react-core";
import { HddIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link } from "react-router";
import { useVolumes } from "../api/lists";
import type { Server, Volume } from "../api/types";
import { t } from "../language";
import { memory } from "../parts/format";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { AttachVolume } from "../volumes/dialogs";
import { detach, nameOf } from "../volumes/work";

/** The volumes that a server has, and one more. */
export function VolumesTab({ server, write }: { server: Server; write: boolean }) {
  const volumes = useVolumes();
  const [attaching, setAttaching] = useState(false);
  const mine = volumes.data?.filter((one) => one.attachments.some((a) => a.server_id === server.id));
  const possible = !server.locked && ["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED"].includes(server.status);
  const button = write && <Button variant="secondary" isDisabled={!possible} onClick={() => setAttaching(true)}>{t("Attach a volume")}</Button>;
  const columns: Column<Volume>[] = [
    { title: t("Name"), cell: (v) => <Link to={`/volumes/${v.id}`}>{nameOf(v)}</Link>, sort: (v) => v.name ?? "" },
    { title: t("Status"), cell: (v) => <Status value={v.status} />, sort: (v) => v.status, nowrap: true },
    { title: t("Size"), cell: (v) => memory(v.size * 1024), sort: (v) => v.size, nowrap: true },
    { title: t("Device"), cell: (v) => v.attachments.find((a) => a.server_id === server.id)?.device ?? "–", nowrap: true },
  ];
  return (
    <>
      <ResourceTable label={t("Volumes")} rows={mine} error={volumes.error} retry={() => void volumes.refetch()} columns={columns} rowKey={(v) => v.id} toolbar={button}
        actions={write ? (v) => [{ title: t("Detach"), isDisabled: v.status !== "in-use" || !possible, onClick: () => detach(v.id, nameOf(v), server.id, server.name) }] : undefined}
        empty={{ icon: HddIcon, title: t("No volumes attached"), action: button || undefined, body: t("A volume is a disk that outlives its server. Attach one that is free, or create one first.") }} />
      {attaching && <AttachVolume close={() => setAttaching(false)} server={server} />}
    </>
  );
}
