import {
  Alert, Card, CardBody, CardTitle, DescriptionList, Dropdown, DropdownItem, DropdownList, Grid, GridItem, MenuToggle,
} from "@patternfly/react-core";
import { HddIcon } from "@patternfly/react-icons";
import type { IAction } from "@patternfly/react-table";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { ApiError } from "../api/errors";
import { compute, volume } from "../api/http";
import { asked } from "../api/live";
import { useVolumeBackups, useVolumeSnapshots } from "../api/lists";
import { moving } from "../api/moving";
import { mayWrite, useSession } from "../api/session";
import type { Server, Volume } from "../api/types";
import { t } from "../language";
import { ago, memory, when } from "../parts/format";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { Term } from "../parts/Term";
import { volumeActions, type VolumeDialog } from "./actions";
import { VolumeDialogs } from "./VolumesPage";
import { nameOf, whyOf } from "./work";

/** Names of the few servers that one volume is attached to; a project may have thousands. */
function useNamesOf(ids: string[]): Map<string, string> {
  return useQueries({
    queries: ids.map((id) => ({ queryKey: ["servers", "one", id], staleTime: 30_000, queryFn: () => compute.get<{ server: Server }>(`/servers/${id}`).then((body) => body.server) })),
    combine: (results) => new Map(results.flatMap(({ data }) => (data ? [[data.id, data.name]] : []))),
  });
}

export function VolumePage() {
  const { id = "" } = useParams();
  const write = mayWrite(useSession());
  const query = useQuery({
    queryKey: ["volumes", "one", id], queryFn: () => volume.get<{ volume: Volume }>(`/volumes/${id}`).then((body) => body.volume),
    refetchInterval: (query) => asked(query.state.data && moving(query.state.data.status) ? 1500 : 8000),
  });
  const [dialog, setDialog] = useState<VolumeDialog | null>(null);
  const names = useNamesOf((query.data?.attachments ?? []).map((one) => one.server_id));
  const found = query.data;
  const parents = [{ title: t("Volumes"), to: "/volumes" }];
  const gone = query.error instanceof ApiError && query.error.status === 404;
  if (!found || gone) {
    return (
      <Page title={t("Volume")} parents={parents}>
        {gone ? <Nothing icon={HddIcon} title={t("This volume isn't there any more")} body={t("It has been deleted, or it belongs to another project.")} action={<Link to="/volumes">{t("To the volumes")}</Link>} />
          : query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <Loading />}
      </Page>
    );
  }
  return (
    <Page title={nameOf(found)} parents={parents} lead={found.description} badge={<Status value={found.status} />}
      actions={write && <Menu found={found} names={names} open={setDialog} />}>
      {query.error && <Problem error={query.error} title={t("This may be out of date")} />}
      {found.status.startsWith("error") && <Failed found={found} />}
      <Grid hasGutter>
        <GridItem lg={6}><Card isFullHeight><CardTitle component="h2">{t("What it is")}</CardTitle><CardBody><About found={found} /></CardBody></Card></GridItem>
        <GridItem lg={6}><Card isFullHeight><CardTitle component="h2">{t("Attached to")}</CardTitle><CardBody>
          {found.attachments.length === 0 ? <span className="st-muted">{t("nothing; it is free")}</span>
            : found.attachments.map((a) => <div key={a.attachment_id}><Link to={`/servers/${a.server_id}`}>{names.get(a.server_id) ?? t("a server")}</Link> {a.device && <span className="st-muted">{t("as {{device}}", { device: a.device })}</span>}</div>)}
        </CardBody></Card></GridItem>
        <GridItem lg={6}><Saved title={t("Snapshots")} id={id} kind="snapshots" /></GridItem>
        <GridItem lg={6}><Saved title={t("Backups")} id={id} kind="backups" /></GridItem>
      </Grid>
      <VolumeDialogs dialog={dialog} close={() => setDialog(null)} />
    </Page>
  );
}

function About({ found }: { found: Volume }) {
  return (
    <DescriptionList isHorizontal isCompact>
      <Term name={t("Size")}>{memory(found.size * 1024)}</Term>
      <Term name={t("Type")}>{found.volume_type === "__DEFAULT__" ? t("default") : found.volume_type ?? "–"}</Term>
      <Term name={t("Started with")}>{found.volume_image_metadata?.image_name ? t("image {{name}}", { name: found.volume_image_metadata.image_name }) : found.snapshot_id ? t("a snapshot") : found.source_volid ? t("a copy of another volume") : t("nothing (empty)")}</Term>
      <Term name={t("Starts a server")}>{found.bootable === "true" ? t("yes") : t("no")}</Term>
      <Term name={t("Encrypted")}>{found.encrypted ? t("yes") : t("no")}</Term>
      <Term name={t("Zone")}>{found.availability_zone}</Term>
      <Term name={t("Created")}><span title={when(found.created_at)}>{ago(found.created_at)}</span></Term>
      <Term name={t("Id")}><span className="st-mono">{found.id}</span></Term>
    </DescriptionList>
  );
}

function Failed({ found }: { found: Volume }) {
  const why = useQuery({ queryKey: ["volumes", "why", found.id], queryFn: () => whyOf(found.id) });
  return (
    <Alert isInline variant="danger" title={t("The volume has failed")}>
      {why.data && <p><strong>{why.data}</strong></p>}
      <p>{t("Correct the cause and try again, or delete it. An administrator sees more.")}</p>
    </Alert>
  );
}

function Saved({ title, id, kind }: { title: string; id: string; kind: "snapshots" | "backups" }) {
  const snapshots = useVolumeSnapshots(kind === "snapshots");
  const backups = useVolumeBackups(kind === "backups");
  const query = kind === "snapshots" ? snapshots : backups;
  const found = (query.data ?? []).filter((one) => one.volume_id === id);
  return (
    <Card isFullHeight>
      <CardTitle component="h2"><Link to={`/volumes?tab=${kind}`}>{title}</Link></CardTitle>
      <CardBody>
        {query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : found.length === 0 ? <span className="st-muted">{query.data ? t("none yet") : "–"}</span>
          : found.map((one) => <div key={one.id}>{nameOf(one)} <Status value={one.status} /> <span className="st-muted">{ago(one.created_at)}</span></div>)}
      </CardBody>
    </Card>
  );
}

function Menu({ found, names, open: openDialog }: { found: Volume; names: Map<string, string>; open: (dialog: VolumeDialog) => void }) {
  const [open, setOpen] = useState(false);
  const navigate = useNavigate();
  const items = volumeActions(found, names, openDialog, () => void navigate("/volumes")).filter((item): item is IAction => !item.isSeparator);
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen onSelect={() => setOpen(false)} popperProps={{ position: "right" }}
      toggle={(ref) => <MenuToggle ref={ref} variant="primary" isExpanded={open} onClick={() => setOpen(!open)}>{t("Actions")}</MenuToggle>}>
      <DropdownList>
        {items.map((item) => <DropdownItem key={String(item.title)} isDanger={item.isDanger} isDisabled={item.isDisabled} onClick={(event) => item.onClick?.(event as never, 0, {}, {})}>{item.title}</DropdownItem>)}
      </DropdownList>
    </Dropdown>
  );
}
