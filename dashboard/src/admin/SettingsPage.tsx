import { Label, SearchInput, Title, Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { stackling } from "../api/http";
import { t } from "../language";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { LoadingRows } from "../parts/ResourceTable";
import { type Setting, groups, isChanged, shown } from "./settings";

/** What is configured, to be read: Stackling's own API, hidden on other clouds. */
export function SettingsPage() {
  const [text, setText] = useState("");
  const query = useQuery({ queryKey: ["settings"], staleTime: 60_000, queryFn: () => stackling.get<{ settings: Setting[] }>("/settings").then((body) => body.settings) });
  const found = groups(query.data ?? [], text);
  return (
    <Page title={t("Settings")} lead={t("What this cloud is configured with. It is changed in its file, on the machines; secrets are not shown.")}>
      {query.error && <Problem error={query.error} retry={() => void query.refetch()} />}
      {!query.data && !query.error && <Table aria-label={t("Settings")} variant="compact"><LoadingRows columns={3} /></Table>}
      {query.data && (
        <Toolbar><ToolbarContent><ToolbarItem>
          <SearchInput aria-label={t("Search")} placeholder={t("Search")} value={text} onChange={(_event, value) => setText(value)} onClear={() => setText("")} />
        </ToolbarItem></ToolbarContent></Toolbar>
      )}
      {query.data && found.length === 0 && <p className="st-muted">{t("Nothing matches")}</p>}
      {found.map(([group, settings]) => (
        <section key={group} className="st-below" aria-label={group}>
          <Title headingLevel="h2" size="lg">{group}</Title>
          <Table aria-label={group} variant="compact" className="st-settings">
            <Thead><Tr><Th>{t("Setting")}</Th><Th>{t("Value")}</Th><Th>{t("Meaning")}</Th></Tr></Thead>
            <Tbody>
              {settings.map((one) => (
                <Tr key={one.name}>
                  <Td dataLabel={t("Setting")} modifier="breakWord"><span className="st-mono">{one.name}</span></Td>
                  <Td dataLabel={t("Value")} modifier="breakWord"><strong>{shown(one.value)}</strong>
                    {isChanged(one) && <> <Label isCompact color="blue">{t("not the default: {{value}}", { value: shown(one.default) })}</Label></>}</Td>
                  <Td dataLabel={t("Meaning")} modifier="breakWord" className="st-muted">{one.help || "–"}</Td>
                </Tr>
              ))}
            </Tbody>
          </Table>
        </section>
      ))}
    </Page>
  );
}
