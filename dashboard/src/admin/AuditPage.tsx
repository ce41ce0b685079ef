import { Alert, Button, FormSelect, FormSelectOption, Label, Switch, Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core";
import { FilterIcon, HistoryIcon } from "@patternfly/react-icons";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { stackling } from "../api/http";
import { asked } from "../api/live";
import { t } from "../language";
import { ago, when } from "../parts/format";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { LoadingRows, Nothing } from "../parts/ResourceTable";
import { type AuditLine, KINDS, nameOfKind, pageOf, SPANS, since } from "./audit";
import { useProjects, useUsers } from "./people";

const ROWS = 50;

/** Who did what and when, in every project: Stackling's own API, hidden on other clouds. */
export function AuditPage() {
  const [params, setParams] = useSearchParams();
  const wanted = { kind: params.get("kind") ?? "", user_id: params.get("user") ?? "", project_id: params.get("project") ?? "", resource_id: params.get("id") ?? "" };
  const people = params.get("all") === null;
  const span = params.get("span") ?? "";
  const users = useUsers();
  const projects = useProjects();
  const query = useInfiniteQuery({
    queryKey: ["audit", wanted, people, span],
    queryFn: ({ pageParam, signal }) => stackling.get<{ events: AuditLine[]; next: number | null }>("/audit",
      { ...wanted, by_people: people, since: since(span, new Date()), marker: pageParam, limit: ROWS }, { signal }),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    refetchInterval: (found) => ((found.state.data?.pages.length ?? 0) > 1 ? false : asked(8000)),
  });
  const lines = query.data?.pages.flatMap((page) => page.events);
  const filtered = Object.values(wanted).some(Boolean) || span !== "";
  function set(name: string, value: string | null): void {
    setParams((before) => {
      const next = new URLSearchParams(before);
      if (value) next.set(name, value);
      else next.delete(name);
      return next;
    }, { replace: true });
  }
  const choice = (name: string, label: string, value: string, all: string, options: { value: string; label: string }[]) => (
    <ToolbarItem>
      <FormSelect className="st-filter" aria-label={label} value={value} onChange={(_event, found) => set(name, found)}>
        <FormSelectOption value="" label={all} />
        {options.map((option) => <FormSelectOption key={option.value} value={option.value} label={option.label} />)}
      </FormSelect>
    </ToolbarItem>
  );
  return (
    <Page title={t("Audit")} lead={t("Who did what and when, in every project, and what the cloud did by itself.")}>
      <Toolbar>
        <ToolbarContent>
          {choice("span", t("Time"), span, t("Any time"), SPANS().map((one) => ({ value: one.id, label: one.title })))}
          {choice("kind", t("Kind"), wanted.kind, t("Everything"), KINDS.map((kind) => ({ value: kind, label: nameOfKind(kind) })))}
          {choice("user", t("User"), wanted.user_id, t("Everybody"), (users.data ?? []).map((user) => ({ value: user.id, label: user.name })))}
          {choice("project", t("Project"), wanted.project_id, t("Every project"), (projects.data ?? []).map((project) => ({ value: project.id, label: project.name })))}
          <ToolbarItem alignSelf="center"><Switch label={t("What the cloud did by itself, too")} isChecked={!people} onChange={(_event, on) => set("all", on ? "1" : null)} /></ToolbarItem>
          {wanted.resource_id && <ToolbarItem alignSelf="center"><Label onClose={() => set("id", null)}>{t("One resource: {{name}}", { name: lines?.find((line) => line.resource_name)?.resource_name ?? wanted.resource_id.slice(0, 8) })}</Label></ToolbarItem>}
        </ToolbarContent>
      </Toolbar>
      {query.error && <Problem error={query.error} retry={() => void query.refetch()} />}
      {lines?.length === 0 && !filtered && <Nothing icon={HistoryIcon} title={t("Nothing was done yet")} body={t("Everything that is made, changed or deleted in this cloud appears here, with who asked for it.")} />}
      {lines?.length === 0 && filtered && <Alert isInline isPlain variant="info" title={t("Nothing of that kind was done.")}>
        <Button variant="link" isInline onClick={() => setParams({}, { replace: true })}>{t("Show all")}</Button></Alert>}
      {(!lines || lines.length > 0) && !(query.error && !lines) && (
        <Table aria-label={t("Audit")} variant="compact">
          <Thead><Tr>{[t("When"), t("Who"), t("Project"), t("What"), t("On"), t("Detail")].map((title) => <Th key={title} modifier="nowrap">{title}</Th>)}</Tr></Thead>
          {!lines ? <LoadingRows columns={6} /> : <Tbody>{lines.map((line) => <Line key={line.seq} line={line} only={(name, value) => set(name, value)} />)}</Tbody>}
        </Table>
      )}
      {query.hasNextPage && <div className="st-below"><Button variant="secondary" isLoading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t("Show older")}</Button></div>}
    </Page>
  );
}

function Line({ line, only }: { line: AuditLine; only: (name: string, value: string) => void }) {
  const page = pageOf(line);
  const name = line.resource_name ?? line.resource_id.slice(0, 8);
  return (
    <Tr>
      <Td dataLabel={t("When")} modifier="nowrap" title={when(line.at)}>{ago(line.at)}</Td>
      <Td dataLabel={t("Who")} modifier="nowrap">{line.user_id
        ? <Button variant="link" isInline onClick={() => only("user", line.user_id ?? "")}>{line.user_name ?? line.user_id.slice(0, 8)}</Button>
        : <span className="st-muted">{t("the cloud ({{part}})", { part: line.source })}</span>}</Td>
      <Td dataLabel={t("Project")} modifier="nowrap">{line.project_name ?? "–"}</Td>
      <Td dataLabel={t("What")} modifier="nowrap">{line.event.replaceAll("_", " ")}</Td>
      <Td dataLabel={t("On")} modifier="breakWord">
        <span className="st-muted">{nameOfKind(line.kind)}</span> {page ? <Link to={page}>{name}</Link> : name}{" "}
        <Button variant="plain" size="sm" hasNoPadding icon={<FilterIcon />} aria-label={t("Only {{name}}", { name })} title={t("Only {{name}}", { name })} onClick={() => only("id", line.resource_id)} />
      </Td>
      <Td dataLabel={t("Detail")} modifier="breakWord">{line.message ?? "–"}{line.request_id && <div className="st-mono st-muted">{line.request_id}</div>}</Td>
    </Tr>
  );
}
