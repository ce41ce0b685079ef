import { Button } from "@patternfly/react-core";
import { ShieldAltIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { network } from "../api/http";
import { useSecurityGroups } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { SecurityGroup } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { deleteEach } from "../parts/removal";
import { refresh } from "../parts/work";
import { summary } from "./rules";

export function SecurityGroupsPage() {
  const write = mayWrite(useSession());
  const groups = useSecurityGroups();
  const [making, setMaking] = useState(false);
  const button = write && <Button onClick={() => setMaking(true)}>{t("Create a security group")}</Button>;
  const nameOf = (id: string) => groups.data?.find((group) => group.id === id)?.name ?? t("another project");
  const columns: Column<SecurityGroup>[] = [
    { title: t("Name"), cell: (g) => <Link to={`/security-groups/${g.id}`}>{g.name}</Link>, sort: (g) => g.name, nowrap: true },
    { title: t("What it allows"), cell: (g) => summary(g.security_group_rules, nameOf).map((line) => <div key={line}>{line}</div>) },
    { title: t("Description"), cell: (g) => g.description },
  ];
  return (
    <Page title={t("Security groups")} actions={button} lead={t("What may reach your servers, and what they may reach. Everything else is dropped.")}>
      <ResourceTable label={t("Security groups")} rows={groups.data} error={groups.error} retry={() => void groups.refetch()} columns={columns}
        rowKey={(g) => g.id} text={(g) => `${g.name} ${g.description}`}
        bulk={write ? [{ title: t("Delete"), isDanger: true, fits: (g) => g.name !== "default", run: (found) => deleteEach(found, (g) => g.name,
          t("Servers that use them keep them from being deleted."), (g) => network.delete(`/security-groups/${g.id}`), ["security-groups"]) }] : undefined}
        actions={write ? (g) => (g.name === "default" ? [] : [{ title: t("Delete"), isDanger: true, onClick: () => confirmLoss({
          title: t("Delete {{name}}?", { name: g.name }), button: t("Delete"), body: t("Servers that use it keep it from being deleted."),
          run: async () => { await network.delete(`/security-groups/${g.id}`); refresh(["security-groups"]); } }) }]) : undefined}
        empty={{ icon: ShieldAltIcon, title: t("No security groups"), action: button, body: t("A security group says what may reach your servers.") }} />
      {making && <Create close={() => setMaking(false)} />}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  return (
    <FormDialog title={t("Create a security group")} button={t("Create")} close={close} ready={name.trim() !== ""}
      description={t("It lets its servers out and nobody in, until you add what may come in.")}
      submit={async () => {
        const made = await network.post<{ security_group: SecurityGroup }>("/security-groups", { security_group: { name: name.trim(), description } });
        refresh(["security-groups"]);
        await navigate(`/security-groups/${made.security_group.id}`);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("Description")} value={description} set={setDescription} />
    </FormDialog>
  );
}
