import { Button, Card, CardBody, CardTitle, CodeBlock, CodeBlockAction, CodeBlockCode, ClipboardCopyButton, Grid, GridItem, Tab, Tabs, TabTitleText } from "@patternfly/react-core";
import { DownloadIcon } from "@patternfly/react-icons";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useState } from "react";
import { useSession } from "../api/session";
import { t } from "../language";
import { download } from "../parts/download";
import { Page } from "../parts/Page";
import { Credentials } from "./Credentials";
import { cloudName, cloudsYaml, openrc, terraform } from "./access";

export function AccessPage() {
  const session = useSession();
  const [tab, setTab] = useState(0);
  const files = [
    { title: "clouds.yaml", name: "clouds.yaml", text: cloudsYaml(session, session.domain), how: t("Put it into ~/.config/openstack/, then: openstack --os-cloud {{name}} server list", { name: cloudName(session) }) },
    { title: "openrc", name: `${cloudName(session)}-openrc.sh`, text: openrc(session, session.domain), how: t("For a shell: it asks for the password and sets the variables that every client reads.") },
    { title: "Terraform", name: "main.tf", text: terraform(session), how: t("Beside clouds.yaml. OpenTofu takes the same.") },
  ];
  return (
    <Page title={t("API access")} lead={t("This is an OpenStack cloud: its clients work as they are. No file here holds your password.")}>
      <Grid hasGutter>
        <GridItem span={12}>
          <Card isFullHeight>
            <CardTitle component="h2">{t("Files for clients")}</CardTitle>
            <CardBody>
              <Tabs activeKey={tab} onSelect={(_event, key) => setTab(Number(key))} aria-label={t("Files for clients")}>
                {files.map((file, index) => (
                <Tab key={file.name} eventKey={index} title={<TabTitleText>{file.title}</TabTitleText>}>
                  <CodeBlock actions={[
                    <CodeBlockAction key="copy"><ClipboardCopyButton id={`copy-${index}`} variant="plain" aria-label={t("Copy")} onClick={() => void navigator.clipboard.writeText(file.text)}>{t("Copy")}</ClipboardCopyButton></CodeBlockAction>,
                    <CodeBlockAction key="download"><Button variant="plain" aria-label={t("Download {{name}}", { name: file.name })} icon={<DownloadIcon />} onClick={() => download(file.name, file.text, "text/plain")} /></CodeBlockAction>,
                  ]}><CodeBlockCode>{file.text}</CodeBlockCode></CodeBlock>
                  <p className="st-muted">{file.how}</p>
                </Tab>
                ))}
              </Tabs>
            </CardBody>
          </Card>
        </GridItem>
        <GridItem span={12}>
          <Card isFullHeight>
            <CardTitle component="h2">{t("Credentials for programs")}</CardTitle>
            <CardBody><Credentials /></CardBody>
          </Card>
        </GridItem>
        <GridItem span={12}>
          <Card isFullHeight>
            <CardTitle component="h2">{t("Services")}</CardTitle>
            <CardBody>
              <Table aria-label={t("Services")} variant="compact">
                <Thead><Tr><Th>{t("Service")}</Th><Th>{t("Address")}</Th></Tr></Thead>
                <Tbody>
                  {[...session.catalog].sort((a, b) => a.type.localeCompare(b.type)).map((entry) => (
                    <Tr key={entry.type + entry.name}>
                      <Td dataLabel={t("Service")} modifier="nowrap">{entry.type}</Td>
                      <Td dataLabel={t("Address")}>{entry.endpoints.filter((e) => e.interface === "public").map((e) => <div key={e.url} className="st-mono">{e.url}</div>)}</Td>
                    </Tr>
                  ))}
                </Tbody>
              </Table>
            </CardBody>
          </Card>
        </GridItem>
      </Grid>
    </Page>
  );
}
