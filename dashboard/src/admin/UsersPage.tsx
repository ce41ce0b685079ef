import { Button } from "@patternfly/react-core";
import { UsersIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { identity } from "../api/http";
import { useSession } from "../api/session";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { perform, refresh } from "../parts/work";
import { type User, useUsers } from "./people";

export function UsersPage() {
  const session = useSession();
  const users = useUsers();
  const [dialog, setDialog] = useState<User | "make" | null>(null);
  const columns: Column<User>[] = [
    { title: t("Name"), cell: (u) => u.name, sort: (u) => u.name },
    { title: t("E-mail"), cell: (u) => u.email ?? "–", sort: (u) => u.email ?? "" },
    { title: t("Description"), cell: (u) => u.description ?? "–" },
    { title: t("Enabled"), cell: (u) => (u.enabled ? t("yes") : t("no")), sort: (u) => Number(u.enabled) },
  ];
  return (
    <Page title={t("Users")} actions={<Button onClick={() => setDialog("make")}>{t("Create a user")}</Button>} lead={t("People and programs that log in. What they may do comes from their roles in projects.")}>
      <ResourceTable label={t("Users")} rows={users.data} error={users.error} retry={() => void users.refetch()} columns={columns} rowKey={(u) => u.id} text={(u) => `${u.name} ${u.email ?? ""}`}
        actions={(u) => [
          { title: t("Set a password"), onClick: () => setDialog(u) },
          { title: u.enabled ? t("Disable") : t("Enable"), isDisabled: u.id === session.user.id, onClick: () => void perform(t("Change {{name}}", { name: u.name }), () => identity.patch(`/users/${u.id}`, { user: { enabled: !u.enabled } }), ["users"]) },
          { title: t("Delete"), isDanger: true, isDisabled: u.id === session.user.id, onClick: () => confirmLoss({ title: t("Delete {{name}}?", { name: u.name }), button: t("Delete"),
            body: t("Tokens and application credentials of this user end at once. What belongs to projects stays."), run: async () => { await identity.delete(`/users/${u.id}`); refresh(["users", "projects"]); } }) },
        ]}
        empty={{ icon: UsersIcon, title: t("No users"), body: t("Create the first one.") }} />
      {dialog === "make" && <Create close={() => setDialog(null)} />}
      {dialog !== null && dialog !== "make" && <Password user={dialog} close={() => setDialog(null)} />}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  return (
    <FormDialog title={t("Create a user")} button={t("Create")} close={close} ready={name.trim() !== "" && password !== ""} description={t("Then give the user a role in a project, on the page of projects.")}
      submit={async () => { await identity.post("/users", { user: { name: name.trim(), password, ...(email ? { email } : {}) } }); refresh(["users"]); }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("E-mail")} type="email" value={email} set={setEmail} />
      <TextField label={t("Password")} type="password" value={password} set={setPassword} required autoComplete="new-password" />
    </FormDialog>
  );
}

function Password({ user, close }: { user: User; close: () => void }) {
  const [password, setPassword] = useState("");
  return (
    <FormDialog title={t("Set a password for {{name}}", { name: user.name })} button={t("Set")} close={close} ready={password !== ""} description={t("Every session of this user ends.")}
      submit={async () => { await identity.patch(`/users/${user.id}`, { user: { password } }); refresh(["users"]); }}>
      <TextField label={t("New password")} type="password" value={password} set={setPassword} required autoFocus autoComplete="new-password" />
    </FormDialog>
  );
}
