import { Alert, Button } from "@patternfly/react-core";
import { LockIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { identity } from "../api/http";
import { type Session, useSession } from "../api/session";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { download } from "../parts/download";
import { ChoiceField, TextField } from "../parts/fields";
import { ago, when } from "../parts/format";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { perform, refresh } from "../parts/work";
import { credentialYaml } from "./access";

interface Credential { id: string; name: string; description: string | null; project_id: string; expires_at: string | null; roles: { name: string }[]; secret?: string }

const STALE = ["credentials"];
const DAY = 86_400_000;

/** Credentials for programs: each for this project only, with an end and taken back one by one; no password is in them. */
export function Credentials() {
  const session = useSession();
  const [making, setMaking] = useState(false);
  const path = `/users/${session.user.id}/application_credentials`;
  const query = useQuery({ queryKey: [...STALE, session.user.id, session.project.id],
    queryFn: () => identity.get<{ application_credentials: Credential[] }>(path).then((body) => body.application_credentials.filter((one) => one.project_id === session.project.id)) });
  const button = <Button variant="secondary" onClick={() => setMaking(true)}>{t("Create a credential")}</Button>;
  const columns: Column<Credential>[] = [
    { title: t("Name"), cell: (c) => c.name, sort: (c) => c.name },
    { title: t("May do"), cell: (c) => c.roles.map((role) => role.name).join(", ") },
    { title: t("Ends"), cell: (c) => c.expires_at ? <span title={when(c.expires_at)}>{ago(c.expires_at)}</span> : t("never"), sort: (c) => c.expires_at ?? "9" },
  ];
  return (
    <>
      <ResourceTable label={t("Credentials for programs")} rows={query.data} error={query.error} retry={() => void query.refetch()} columns={columns} rowKey={(c) => c.id} toolbar={button}
        actions={(c) => [{ title: t("Delete"), isDanger: true, onClick: () => confirmLoss({
          title: t("Delete {{name}}?", { name: c.name }), button: t("Delete"), body: t("Programs that use it are shut out at once."),
          run: async () => { await identity.delete(`${path}/${c.id}`); refresh(STALE); } }) }]}
        empty={{ icon: LockIcon, title: t("No credentials yet"), action: button, body: t("A program shouldn't know your password. A credential lets it into this project alone, until you take it back.") }} />
      {making && <Create session={session} path={path} close={() => setMaking(false)} />}
    </>
  );
}

function Create({ session, path, close }: { session: Session; path: string; close: () => void }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const [role, setRole] = useState("");
  return (
    <FormDialog title={t("Create a credential")} button={t("Create and download")} close={close} ready={name.trim() !== ""}
      submit={async () => {
        const expires_at = days ? new Date(Date.now() + Number(days) * DAY).toISOString().slice(0, 19) : undefined;
        const body = await identity.post<{ application_credential: Credential }>(path, { application_credential: { name: name.trim(), expires_at, ...(role ? { roles: [{ name: role }] } : {}) } });
        const made = body.application_credential;
        download("clouds.yaml", credentialYaml(session, made.id, made.secret ?? ""), "text/plain");
        refresh(STALE);
        void perform(t("Credential {{name}}", { name: made.name }), async (tell) => tell(t("Its clouds.yaml holds the secret, which nobody can show again: chmod 600 clouds.yaml")));
      }}>
      <Alert isInline isPlain variant="info" title={t("The secret is in the file that is downloaded, and nowhere else.")} />
      <TextField label={t("Name")} value={name} set={setName} required autoFocus placeholder={t("backup script")} />
      <ChoiceField label={t("Ends")} value={days} set={setDays} options={[
        { value: "30", label: t("after 30 days") }, { value: "90", label: t("after 90 days") }, { value: "365", label: t("after a year") }, { value: "", label: t("never") }]} />
      <ChoiceField label={t("May do")} value={role} set={setRole} options={[{ value: "", label: t("all that you may do in this project") }, ...session.roles.map((found) => ({ value: found, label: t("only what role {{role}} allows", { role: found }) }))]} />
    </FormDialog>
  );
}
