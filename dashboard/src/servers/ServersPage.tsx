import {
  Button, Dropdown, DropdownItem, DropdownList, Flex, FlexItem, FormSelect, FormSelectOption, MenuToggle, SearchInput, Toolbar, ToolbarContent,
  ToolbarGroup, ToolbarItem,
} from "@patternfly/react-core";
import { AngleLeftIcon, AngleRightIcon, ServerIcon } from "@patternfly/react-icons";
import { type IAction, Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { memo, useCallback, useEffect, useState } from "react";
import { Link, useLocation, useNavigate, useSearchParams } from "react-router";
import { mayWrite, useSession } from "../api/session";
import type { Server } from "../api/types";
import { t } from "../language";
import { publicAddressActions } from "../network/PublicAddress";
import { ago, memory, when } from "../parts/format";
import { LinkButton } from "../parts/LinkButton";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { LoadingRows, Nothing } from "../parts/ResourceTable";
import { RowActions } from "../parts/RowActions";
import { Status } from "../parts/Status";
import { useUsage } from "../overview/usage";
import { actions, addresses, busy, possible } from "./actions";
import { useServerChanges, useServerPage } from "./queries";
import { act, remove } from "./work";

const SIZES = [25, 50, 100, 200];
const STATUSES = ["ACTIVE", "SHUTOFF", "BUILD", "ERROR", "PAUSED", "SUSPENDED", "VERIFY_RESIZE", "RESCUE", "SHELVED_OFFLOADED"];
const SORTS: Record<number, string> = { 1: "display_name", 2: "vm_state", 5: "created_at" };

/** The way back: the markers of the pages before this one, kept in the browser's history with the page. */
interface Trail { before?: string[] }

export function ServersPage() {
  const session = useSession();
  const write = mayWrite(session);
  const [params, setParams] = useSearchParams();
  const location = useLocation();
  const navigate = useNavigate();
  const trail = (location.state as Trail | null)?.before ?? [];
  const wanted = {
    name: params.get("name") ?? "", status: params.get("status") ?? "", marker: params.get("from") ?? "",
    sort: params.get("sort") ?? "created_at", direction: params.get("dir") === "asc" ? "asc" as const : "desc" as const,
    limit: Number(params.get("size")) || 50,
  };
  const query = useServerPage(wanted);
  const usage = useUsage();
  useServerChanges();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const page = query.data;
  const servers = page?.servers ?? [];
  const selected = servers.filter((server) => chosen.has(server.id));
  const total = usage.data?.compute?.totalInstancesUsed;

  function set(changes: Record<string, string>): void {
    setParams((before) => {
      const next = new URLSearchParams(before);
      for (const [key, value] of Object.entries({ from: "", ...changes })) {
        if (value) next.set(key, value);
        else next.delete(key);
      }
      return next;
    }, { replace: "name" in changes });
    setChosen(new Set());
  }
  function turn(marker: string, before: string[]): void {
    const next = new URLSearchParams(params);
    if (marker) next.set("from", marker);
    else next.delete("from");
    void navigate({ search: next.toString() }, { state: { before } satisfies Trail });
    setChosen(new Set());
  }
  const toggle = useCallback((id: string, on: boolean) => setChosen((before) => {
    const next = new Set(before);
    if (on) next.add(id);
    else next.delete(id);
    return next;
  }), []);

  const filtered = Boolean(wanted.name || wanted.status || wanted.marker);
  const launch = write && <LinkButton to="/servers/launch">{t("Launch a server")}</LinkButton>;
  const remembered = query.isFetching && !query.isFetchedAfterMount;
  if (page && servers.length === 0 && !filtered && !query.isPlaceholderData && !remembered) {
    return (
      <Page title={t("Servers")}>
        <Nothing icon={ServerIcon} title={t("No servers yet")} action={launch}
          body={write ? t("A server is a virtual machine. Name one, choose an image and a size: everything else has a sensible default.") : t("A server is a virtual machine.")} />
      </Page>
    );
  }
  const first = trail.length * wanted.limit + 1;
  return (
    <Page title={t("Servers")} actions={launch}
      lead={total !== undefined ? t("{{number}} in this project; the list follows changes by itself.", { number: total }) : undefined}>
      <Toolbar>
        <ToolbarContent>
          <ToolbarItem><NameFilter value={wanted.name} set={(name) => set({ name })} /></ToolbarItem>
          <ToolbarItem>
            <FormSelect aria-label={t("Status")} value={wanted.status} onChange={(_event, value) => set({ status: value })}>
              <FormSelectOption value="" label={t("Every status")} />
              {STATUSES.map((status) => <FormSelectOption key={status} value={status} label={status.toLowerCase().replaceAll("_", " ")} />)}
            </FormSelect>
          </ToolbarItem>
          {write && <ToolbarItem><Bulk servers={selected} /></ToolbarItem>}
          <ToolbarGroup align={{ default: "alignEnd" }} variant="action-group-plain">
            <ToolbarItem alignSelf="center"><span className="st-muted st-nowrap st-count" aria-live="polite">
              {servers.length > 0 && t("{{first}} to {{last}}", { first, last: first + servers.length - 1 })}
            </span></ToolbarItem>
            <ToolbarItem>
              <FormSelect aria-label={t("Rows on a page")} value={wanted.limit} onChange={(_event, value) => set({ size: value })}>
                {SIZES.map((size) => <FormSelectOption key={size} value={size} label={t("{{size}} rows", { size })} />)}
              </FormSelect>
            </ToolbarItem>
            <ToolbarItem><Button variant="plain" aria-label={t("Page before")} icon={<AngleLeftIcon />} isDisabled={!wanted.marker}
              onClick={() => turn(trail.at(-1) ?? "", trail.slice(0, -1))} /></ToolbarItem>
            <ToolbarItem><Button variant="plain" aria-label={t("Next page")} icon={<AngleRightIcon />} isDisabled={!page?.more}
              onClick={() => turn(servers.at(-1)?.id ?? "", [...trail, wanted.marker])} /></ToolbarItem>
          </ToolbarGroup>
        </ToolbarContent>
      </Toolbar>
      {query.error && <Problem error={query.error} retry={() => void query.refetch()} title={page ? t("The list may be out of date") : undefined} />}
      {(page || !query.error) && (
        <Table aria-label={t("Servers")} variant="compact">
          <Thead>
            <Tr>
              {write && <Th aria-label={t("Choose all of this page")} select={{
                isSelected: servers.length > 0 && selected.length === servers.length,
                onSelect: (_event, on) => setChosen(new Set(on ? servers.map((server) => server.id) : [])) }} />}
              {[t("Name"), t("Status"), t("Addresses"), t("Size"), t("Created")].map((title, index) => {
                const sortKey = SORTS[index + 1];
                return (
                  <Th key={title} modifier="nowrap" sort={sortKey === undefined ? undefined : {
                    columnIndex: index, sortBy: { index: wanted.sort === sortKey ? index : undefined, direction: wanted.direction },
                    onSort: (_event, _index, direction) => set({ sort: sortKey, dir: direction }) }}>{title}</Th>
                );
              })}
              {write && <Th screenReaderText={t("Actions")} />}
            </Tr>
          </Thead>
          {!page || (remembered && servers.length === 0) ? <LoadingRows columns={write ? 7 : 5} rows={10} /> : (
            <Tbody>
              {servers.map((server, index) => <Row key={server.id} server={server} index={index} write={write} chosen={chosen.has(server.id)} toggle={toggle} />)}
            </Tbody>
          )}
        </Table>
      )}
      {page && servers.length === 0 && filtered && (
        <Flex justifyContent={{ default: "justifyContentCenter" }}>
          <FlexItem>{t("No server matches.")} <Button variant="link" isInline onClick={() => set({ name: "", status: "" })}>{t("Show all")}</Button></FlexItem>
        </Flex>
      )}
    </Page>
  );
}

function NameFilter({ value, set }: { value: string; set: (value: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const timer = setTimeout(() => set(text), 250);
    return () => clearTimeout(timer);
  });
  return <SearchInput aria-label={t("Find by name")} placeholder={t("Find by name")} value={text}
    onChange={(_event, found) => setText(found)} onClear={() => { setText(""); set(""); }} />;
}

function Bulk({ servers }: { servers: Server[] }) {
  const [open, setOpen] = useState(false);
  const offered = actions().filter((action) => action.bulk);
  const unlocked = servers.filter((server) => !server.locked);
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen toggle={(ref) => (
      <MenuToggle ref={ref} isExpanded={open} isDisabled={servers.length === 0} onClick={() => setOpen(!open)}>
        {servers.length > 0 ? t("With {{number}} chosen", { number: servers.length }) : t("With those chosen")}
      </MenuToggle>
    )}>
      <DropdownList>
        {offered.map((action) => {
          const fitting = servers.filter((server) => possible(server).some((found) => found.id === action.id));
          return (
            <DropdownItem key={action.id} isDisabled={fitting.length === 0} onClick={() => { setOpen(false); act(action, fitting); }}
              description={fitting.length < servers.length ? t("Fits {{number}} of them", { number: fitting.length }) : undefined}>
              {action.title}
            </DropdownItem>
          );
        })}
        <DropdownItem isDanger isDisabled={unlocked.length === 0} onClick={() => { setOpen(false); remove(unlocked); }}
          description={unlocked.length < servers.length ? t("Fits {{number}} of them", { number: unlocked.length }) : undefined}>{t("Delete")}</DropdownItem>
      </DropdownList>
    </Dropdown>
  );
}

const Row = memo(function Row({ server, index, write, chosen, toggle }: {
  server: Server; index: number; write: boolean; chosen: boolean; toggle: (id: string, on: boolean) => void;
}) {
  const { fixed, floating } = addresses(server);
  return (
    <Tr>
      {write && <Td select={{ rowIndex: index, isSelected: chosen, onSelect: (_event, on) => toggle(server.id, on) }} />}
      <Td dataLabel={t("Name")} modifier="breakWord"><Link to={`/servers/${server.id}`}>{server.name}</Link></Td>
      <Td dataLabel={t("Status")} modifier="nowrap">
        <Status value={server["OS-EXT-STS:task_state"] ?? server.status} busy={busy(server)} />
      </Td>
      <Td dataLabel={t("Addresses")} modifier="breakWord">
        {floating.length > 0 && <><strong>{floating.join(", ")}</strong> · </>}
        <span className="st-muted">{fixed.join(", ") || "–"}</span>
      </Td>
      <Td dataLabel={t("Size")} modifier="nowrap" title={t("{{vcpus}} vCPU, {{memory}}", { vcpus: server.flavor.vcpus, memory: memory(server.flavor.ram) })}>
        {server.flavor.original_name}
      </Td>
      <Td dataLabel={t("Created")} modifier="nowrap" title={when(server.created)}>{ago(server.created)}</Td>
      {write && (
        <Td isActionCell>
          <RowActions name={server.name} items={(): IAction[] => [
            ...publicAddressActions(server),
            ...possible(server).map((action) => ({ title: action.title, onClick: () => act(action, [server]) })),
            { isSeparator: true },
            { title: t("Delete"), isDanger: true, isDisabled: server.locked, onClick: () => remove([server]) },
          ]} />
        </Td>
      )}
    </Tr>
  );
});
