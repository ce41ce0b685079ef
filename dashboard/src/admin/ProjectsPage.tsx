import { Button, Label } from "@patternfly/react-core";
import { FolderIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { identity } from "../api/http";
import { useSession } from "../api/session";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { perform, refresh } from "../parts/work";
import { Quota } from "./Quota";
import { type Project, type Role, useProjects, useUsers } from "./people";

type Dialog = { kind: "make" } | { kind: "member" | "quota"; project: Project };

export function ProjectsPage() {
  const session = useSession();
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const projects = useProjects();
  const assignments = useQuery({ queryKey: ["projects", "members"], queryFn: () => identity.get<{ role_assignments: { user?: { id: string; name: string }; role: { id: string; name: string }; scope: { project?: { id: string } } }[] }>("/role_assignments", { include_names: true }).then((body) => body.role_assignments) });
  const members = (project: Project) => (assignments.data ?? []).filter((found) => found.scope.project?.id === project.id && found.user);
  const columns: Column<Project>[] = [
    { title: t("Name"), cell: (p) => p.name, sort: (p) => p.name },
    { title: t("Members"), cell: (p) => members(p).map((found, index) => <Label key={`${found.user?.id}${index}`} isCompact closeBtnAriaLabel={t("Take role {{role}} from {{name}}", { role: found.role.name, name: found.user?.name })}
      onClose={p.id === session.project.id && found.user?.id === session.user.id ? undefined : () => takeRole(p, found.user as { id: string; name: string }, found.role)}>{found.user?.name} · {found.role.name}</Label>) },
    { title: t("Description"), cell: (p) => p.description, sort: (p) => p.description },
    { title: t("Enabled"), cell: (p) => (p.enabled ? t("yes") : t("no")), sort: (p) => Number(p.enabled) },
  ];
  return (
    <Page title={t("Projects")} lead={t("A project owns servers, networks and images, and has quotas. People have roles in it.")} actions={<Button onClick={() => setDialog({ kind: "make" })}>{t("Create a project")}</Button>}>
      <ResourceTable label={t("Projects")} rows={projects.data} error={projects.error ?? assignments.error} retry={() => { void projects.refetch(); void assignments.refetch(); }} columns={columns} rowKey={(p) => p.id} text={(p) => `${p.name} ${p.description}`}
        actions={(p) => [
          { title: t("Give somebody a role"), onClick: () => setDialog({ kind: "member", project: p }) },
          { title: t("Quotas"), onClick: () => setDialog({ kind: "quota", project: p }) },
          { title: p.enabled ? t("Disable") : t("Enable"), isDisabled: p.id === session.project.id, onClick: () => void perform(t("Change {{name}}", { name: p.name }), () => identity.patch(`/projects/${p.id}`, { project: { enabled: !p.enabled } }), ["projects"]) },
          { title: t("Delete"), isDanger: true, isDisabled: p.id === session.project.id, onClick: () => confirmLoss({ title: t("Delete {{name}}?", { name: p.name }), button: t("Delete"),
            body: t("Its members lose access at once. Delete its servers and networks first: nobody could reach them afterwards."), run: async () => { await identity.delete(`/projects/${p.id}`); refresh(["projects"]); } }) },
        ]}
        empty={{ icon: FolderIcon, title: t("No projects"), body: t("Create the first one.") }} />
      {dialog?.kind === "make" && <Create close={() => setDialog(null)} />}
      {dialog?.kind === "member" && <Member project={dialog.project} close={() => setDialog(null)} />}
      {dialog?.kind === "quota" && <Quota project={dialog.project} close={() => setDialog(null)} />}
    </Page>
  );
}

function takeRole(project: Project, user: { id: string; name: string }, role: Role): void {
  confirmLoss({
    title: t("Take role {{role}} in {{project}} from {{name}}?", { role: role.name, project: project.name, name: user.name }), button: t("Take it"),
    body: t("What the role allowed ends at once, in sessions that are open too."),
    run: async () => { await identity.delete(`/projects/${project.id}/users/${user.id}/roles/${role.id}`); refresh(["projects"]); },
  });
}

function Create({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  return (
    <FormDialog title={t("Create a project")} button={t("Create")} close={close} ready={name.trim() !== ""}
      submit={async () => { await identity.post("/projects", { project: { name: name.trim(), description } }); refresh(["projects"]); }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("Description")} value={description} set={setDescription} />
    </FormDialog>
  );
}

function Member({ project, close }: { project: Project; close: () => void }) {
  const users = useUsers();
  const roles = useQuery({ queryKey: ["roles"], queryFn: () => identity.get<{ roles: Role[] }>("/roles").then((body) => body.roles) });
  const [user, setUser] = useState("");
  const [role, setRole] = useState("");
  const people = users.data ?? [];
  const kinds = roles.data ?? [];
  const userId = user || people[0]?.id || "";
  const roleId = role || kinds.find((found) => found.name === "member")?.id || kinds[0]?.id || "";
  return (
    <FormDialog title={t("Give somebody a role in {{name}}", { name: project.name })} button={t("Give")} close={close} ready={userId !== "" && roleId !== ""}
      submit={async () => { await identity.put(`/projects/${project.id}/users/${userId}/roles/${roleId}`); refresh(["projects"]); }}>
      <ChoiceField label={t("User")} value={userId} set={setUser} options={people.map((found) => ({ value: found.id, label: found.name }))} />
      <ChoiceField label={t("Role")} value={roleId} set={setRole} options={kinds.map((found) => ({ value: found.id, label: found.name }))} help={t("A member uses the project, a reader looks, an admin administers the whole cloud.")} />
    </FormDialog>
  );
}
