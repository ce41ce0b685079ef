import {
  Alert, Button, Card, CardBody, CardTitle, ClipboardCopy, DescriptionList, Dropdown, DropdownItem, DropdownList, Flex, FlexItem, Grid, GridItem, Label, MenuToggle, Tab, Tabs, TabTitleText,
} from "@patternfly/react-core";
import { ClockIcon, GlobeIcon, ServerIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { has } from "../api/catalog";
import { ApiError } from "../api/errors";
import { compute } from "../api/http";
import { useImages, useFlavors } from "../api/lists";
import { isAdmin, mayWrite, useSession } from "../api/session";
import type { Server } from "../api/types";
import { ConsoleTab } from "../console/ConsoleTab";
import { t } from "../language";
import { give, publicAddressActions } from "../network/PublicAddress";
import { FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { ago, memory, when } from "../parts/format";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { Term } from "../parts/Term";
import { perform } from "../parts/work";
import { addresses, busy, possible } from "./actions";
import { useServer } from "./queries";
import { MetricsTab } from "./MetricsTab";
import { NetworksTab } from "./NetworksTab";
import { TimelineTab } from "./TimelineTab";
import { VolumesTab } from "./VolumesTab";
import { act, remove, STALE } from "./work";

export function ServerPage() {
  const { id = "" } = useParams();
  const session = useSession();
  const write = mayWrite(session);
  const volumes = has(session.catalog, "volume");
  const [params, setParams] = useSearchParams();
  const query = useServer(id);
  const parents = [{ title: t("Servers"), to: "/servers" }];
  const server = query.data;
  const gone = query.error instanceof ApiError && query.error.status === 404;
  if (!server || gone) {
    return (
      <Page title={t("Server")} parents={parents}>
        {gone ? <Nothing icon={ServerIcon} title={t("This server isn't there any more")} body={t("It has been deleted, or it belongs to another project.")}
          action={<Link to="/servers">{t("To the servers")}</Link>} />
          : query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <Loading />}
      </Page>
    );
  }
  const tab = params.get("tab") ?? "overview";
  return (
    <Page title={server.name} parents={parents} lead={server.description}
      badge={<Status value={server["OS-EXT-STS:task_state"] ?? server.status} busy={busy(server)} />}
      actions={write && <Menu server={server} />}>
      {query.error && <Problem error={query.error} title={t("This may be out of date")} />}
      {server.fault && server.status === "ERROR" && (
        <Alert isInline variant="danger" title={t("The server has failed")}>
          <p><strong>{server.fault.message}</strong></p>
          <p>{t("The timeline tells what was tried. Correct the cause and launch again, or ask an administrator.")}</p>
        </Alert>
      )}
      <Tabs activeKey={tab} onSelect={(_event, key) => setParams(key === "overview" ? {} : { tab: String(key) }, { replace: true })} aria-label={t("Parts of the server")}>
        <Tab eventKey="overview" title={<TabTitleText>{t("Overview")}</TabTitleText>}>
          <div className="st-tab">{tab === "overview" && <Overview server={server} write={write} />}</div>
        </Tab>
        {has(session.catalog, "network") && (
          <Tab eventKey="networks" title={<TabTitleText>{t("Networks")}</TabTitleText>}>
            <div className="st-tab">{tab === "networks" && <NetworksTab server={server} write={write} />}</div>
          </Tab>
        )}
        {volumes && (
          <Tab eventKey="volumes" title={<TabTitleText>{t("Volumes")}</TabTitleText>}>
            <div className="st-tab">{tab === "volumes" && <VolumesTab server={server} write={write} />}</div>
          </Tab>
        )}
        <Tab eventKey="console" title={<TabTitleText>{t("Console")}</TabTitleText>}>
          <div className="st-tab">{tab === "console" && <ConsoleTab server={server} write={write} />}</div>
        </Tab>
        <Tab eventKey="log" title={<TabTitleText>{t("Log")}</TabTitleText>}>
          <div className="st-tab">{tab === "log" && <Log server={server} />}</div>
        </Tab>
        <Tab eventKey="timeline" title={<TabTitleText>{t("Timeline")}</TabTitleText>}>
          <div className="st-tab">{tab === "timeline" && <TimelineTab server={server} />}</div>
        </Tab>
        {(isAdmin(session) || has(session.catalog, "stackling")) && (
          <Tab eventKey="metrics" title={<TabTitleText>{t("Metrics")}</TabTitleText>}>
            <div className="st-tab">{tab === "metrics" && <MetricsTab server={server} />}</div>
          </Tab>
        )}
      </Tabs>
    </Page>
  );
}

function Menu({ server }: { server: Server }) {
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const [dialog, setDialog] = useState<"rename" | "resize" | "image" | "rebuild" | null>(null);
  const entries: [string, () => void][] = possible(server).map((action) => [action.title, () => act(action, [server])]);
  return (
    <Flex gap={{ default: "gapSm" }} flexWrap={{ default: "nowrap" }}>
      {addresses(server).floating.length === 0 && (
        <FlexItem>
          <Button variant="secondary" icon={<GlobeIcon />} isDisabled={addresses(server).fixed.length === 0} onClick={() => void give(server)}>
            {t("Give a public address")}
          </Button>
        </FlexItem>
      )}
      <FlexItem>
        <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen onSelect={() => setOpen(false)} popperProps={{ position: "right" }}
          toggle={(ref) => <MenuToggle ref={ref} variant="primary" isExpanded={open} onClick={() => setOpen(!open)}>{t("Actions")}</MenuToggle>}>
          <DropdownList>
            {entries.map(([title, run]) => <DropdownItem key={title} onClick={run}>{title}</DropdownItem>)}
            {addresses(server).floating.length > 0 && publicAddressActions(server).map((item) => (
              <DropdownItem key={String(item.title)} onClick={(event) => item.onClick?.(event as never, 0, {}, {})}>{item.title}</DropdownItem>
            ))}
            <DropdownItem onClick={() => setDialog("rename")}>{t("Rename")}</DropdownItem>
            <DropdownItem isDisabled={server.locked || !["ACTIVE", "SHUTOFF"].includes(server.status)} onClick={() => setDialog("resize")}>{t("Change the size")}</DropdownItem>
            <DropdownItem isDisabled={!["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"].includes(server.status)} onClick={() => setDialog("image")}>{t("Save as an image")}</DropdownItem>
            <DropdownItem isDanger isDisabled={server.locked || !server.image || !["ACTIVE", "SHUTOFF", "ERROR"].includes(server.status)} onClick={() => setDialog("rebuild")}>{t("Start again from an image")}</DropdownItem>
            <DropdownItem isDanger isDisabled={server.locked} onClick={() => remove([server], () => void navigate("/servers"))}>{t("Delete")}</DropdownItem>
          </DropdownList>
        </Dropdown>
      </FlexItem>
      {dialog === "rename" && <Rename server={server} close={() => setDialog(null)} />}
      {dialog === "resize" && <Resize server={server} close={() => setDialog(null)} />}
      {dialog === "image" && <SaveImage server={server} close={() => setDialog(null)} />}
      {dialog === "rebuild" && <Rebuild server={server} close={() => setDialog(null)} />}
    </Flex>
  );
}

function Rename({ server, close }: { server: Server; close: () => void }) {
  const [name, setName] = useState(server.name);
  const [description, setDescription] = useState(server.description ?? "");
  return (
    <FormDialog title={t("Rename {{name}}", { name: server.name })} button={t("Save")} ready={name.trim() !== ""} close={close}
      submit={async () => {
        await compute.put(`/servers/${server.id}`, { server: { name: name.trim(), description: description || null } });
        void perform(t("Rename {{name}}", { name: server.name }), async () => undefined, STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("Description")} value={description} set={setDescription} />
    </FormDialog>
  );
}

function Resize({ server, close }: { server: Server; close: () => void }) {
  const flavors = (useFlavors().data ?? []).filter((flavor) => flavor.name !== server.flavor.original_name && flavor.disk >= server.flavor.disk);
  const [chosen, setChosen] = useState("");
  const id = chosen || flavors[0]?.id || "";
  return (
    <FormDialog title={t("Change the size of {{name}}", { name: server.name })} button={t("Change")} ready={id !== ""} close={close}
      description={t("The server restarts. Afterwards you keep the new size or go back to the old one.")}
      submit={async () => {
        await compute.post(`/servers/${server.id}/action`, { resize: { flavorRef: id } });
        void perform(t("Change the size of {{name}}", { name: server.name }), async () => undefined, STALE);
      }}>
      <ChoiceField label={t("New size")} value={id} set={setChosen}
        options={flavors.map((f) => ({ value: f.id, label: t("{{name}}: {{vcpus}} vCPU, {{memory}}, {{disk}} GiB disk", { name: f.name, vcpus: f.vcpus, memory: memory(f.ram), disk: f.disk }) }))} />
    </FormDialog>
  );
}

function SaveImage({ server, close }: { server: Server; close: () => void }) {
  const [name, setName] = useState(`${server.name}-${new Date().toISOString().slice(0, 10)}`);
  return (
    <FormDialog title={t("Save {{name}} as an image", { name: server.name })} button={t("Save")} ready={name.trim() !== ""} close={close}
      description={t("The server goes on while its disk is copied.")}
      submit={async () => {
        await compute.post(`/servers/${server.id}/action`, { createImage: { name: name.trim() } });
        void perform(t("Save image {{name}}", { name }), async () => undefined, [...STALE, "images"]);
      }}>
      <TextField label={t("Name of the image")} value={name} set={setName} required autoFocus />
    </FormDialog>
  );
}

function Rebuild({ server, close }: { server: Server; close: () => void }) {
  const images = (useImages().data ?? []).filter((found) => found.status === "active");
  const [chosen, setChosen] = useState(server.image ? server.image.id : "");
  const id = images.some((found) => found.id === chosen) ? chosen : images[0]?.id ?? "";
  return (
    <FormDialog danger title={t("Start {{name}} again from an image?", { name: server.name })} button={t("Start again")} ready={id !== ""} close={close}
      description={t("What is on its disk is lost. Its addresses, its key pair and its volumes stay.")}
      submit={async () => {
        await compute.post(`/servers/${server.id}/action`, { rebuild: { imageRef: id } });
        void perform(t("Start {{name}} again", { name: server.name }), async () => undefined, STALE);
      }}>
      <ChoiceField label={t("Image")} value={id} set={setChosen} options={images.map((found) => ({ value: found.id, label: found.name ?? found.id }))} />
    </FormDialog>
  );
}

function Overview({ server, write }: { server: Server; write: boolean }) {
  const images = useImages();
  const admin = isAdmin(useSession());
  const { floating } = addresses(server);
  const image = server.image ? images.data?.find((found) => found.id === (server.image as { id: string }).id) : undefined;
  return (
    <Grid hasGutter>
      <GridItem lg={6}>
        <Card isFullHeight>
          <CardTitle component="h2">{t("Reach it")}</CardTitle>
          <CardBody>
            <DescriptionList isHorizontal isCompact>
              <Term name={t("Public address")}>
                {floating.length > 0 ? floating.map((address) => <ClipboardCopy key={address} isReadOnly hoverTip={t("Copy")} clickTip={t("Copied")} variant="inline-compact">{address}</ClipboardCopy>)
                  : write ? <Button variant="link" isInline onClick={() => void give(server)}>{t("Give a public address")}</Button> : t("none")}
              </Term>
              {Object.entries(server.addresses).map(([network, list]) => (
                <Term key={network} name={network}>
                  {list.filter((a) => a["OS-EXT-IPS:type"] !== "floating").map((a) => <div key={a.addr} className="st-mono">{a.addr} <span className="st-muted">{a["OS-EXT-IPS-MAC:mac_addr"]}</span></div>)}
                </Term>
              ))}
              <Term name={t("Key pair")}>{server.key_name ?? t("none")}</Term>
              <Term name={t("Security groups")}>
                {(server.security_groups ?? []).length === 0 ? t("none") : [...new Set((server.security_groups ?? []).map((group) => group.name))].map((name) => <Label key={name} isCompact>{name}</Label>)}
                {" "}<Link to="?tab=networks" replace>{write ? t("Who may reach it, and change it") : t("Who may reach it")}</Link>
              </Term>
            </DescriptionList>
          </CardBody>
        </Card>
      </GridItem>
      <GridItem lg={6}>
        <Card isFullHeight>
          <CardTitle component="h2">{t("What it is")}</CardTitle>
          <CardBody>
            <DescriptionList isHorizontal isCompact>
              <Term name={t("Size")}>{t("{{name}}: {{vcpus}} vCPU, {{memory}}, {{disk}} GiB disk", { name: server.flavor.original_name, vcpus: server.flavor.vcpus, memory: memory(server.flavor.ram), disk: server.flavor.disk })}</Term>
              <Term name={t("Image")}>{server.image ? image?.name ?? t("deleted since") : t("none; it starts from a volume")}</Term>
              <Term name={t("Created")}><span title={when(server.created)}>{ago(server.created)}</span></Term>
              <Term name={t("Changed")}><span title={when(server.updated)}>{ago(server.updated)}</span></Term>
              <Term name={t("Zone")}>{server["OS-EXT-AZ:availability_zone"] || "–"}</Term>
              {admin && <Term name={t("Host")}>{server["OS-EXT-SRV-ATTR:host"] ?? "–"}</Term>}
              <Term name={t("Locked")}>{server.locked ? t("yes") : t("no")}</Term>
              <Term name={t("Id")}><span className="st-mono">{server.id}</span></Term>
            </DescriptionList>
          </CardBody>
        </Card>
      </GridItem>
      {Object.keys(server.metadata).length > 0 && (
        <GridItem span={12}>
          <Card><CardTitle component="h2">{t("Metadata")}</CardTitle><CardBody>
            {Object.entries(server.metadata).map(([key, value]) => <Label key={key} isCompact>{key}={value}</Label>)}
          </CardBody></Card>
        </GridItem>
      )}
    </Grid>
  );
}

function Log({ server }: { server: Server }) {
  const query = useQuery({
    queryKey: ["servers", "log", server.id],
    queryFn: () => compute.post<{ output: string }>(`/servers/${server.id}/action`, { "os-getConsoleOutput": { length: 500 } }).then((body) => body.output),
    refetchInterval: server.status === "ACTIVE" ? 5000 : false,
  });
  if (query.error) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (query.data === undefined) return <Loading />;
  if (!query.data.trim()) return <Nothing icon={ClockIcon} title={t("The console has said nothing yet")} body={t("What the server writes to its first serial port appears here as it comes.")} />;
  return <pre className="st-log" tabIndex={0} aria-label={t("Log")}>{query.data}</pre>;
}
