import { Button } from "@patternfly/react-core";
import { ObjectGroupIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link } from "react-router";
import { compute } from "../api/http";
import { useServerGroups } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { ServerGroup } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { performEach, refresh } from "../parts/work";
import { useServerNames } from "./all";

export function policies(): Record<string, string> {
  return {
    "anti-affinity": t("each on another host, or not at all"),
    "soft-anti-affinity": t("on different hosts as far as there are any"),
    affinity: t("all on one host, or not at all"),
    "soft-affinity": t("on one host as far as there is room"),
  };
}

export function ServerGroupsPage() {
  const write = mayWrite(useSession());
  const groups = useServerGroups();
  const names = useServerNames().data;
  const [making, setMaking] = useState(false);
  const button = write && <Button onClick={() => setMaking(true)}>{t("Create a server group")}</Button>;
  const columns: Column<ServerGroup>[] = [
    { title: t("Name"), cell: (g) => g.name, sort: (g) => g.name },
    { title: t("Its servers run"), cell: (g) => policies()[g.policy] ?? g.policy, sort: (g) => g.policy },
    { title: t("Servers"), cell: (g) => g.members.length === 0 ? <span className="st-muted">{t("none yet")}</span> : g.members.map((id) => <div key={id}><Link to={`/servers/${id}`}>{names?.get(id) ?? t("a server")}</Link></div>), sort: (g) => g.members.length },
  ];
  const remove = (found: ServerGroup[]) => confirmLoss({
    title: t("Delete {{name}}?", { name: found.length === 1 ? found[0]?.name : t("{{number}} chosen", { number: found.length }) }), button: t("Delete"), body: t("Its servers stay where they are."),
    run: async () => void performEach(t("Delete server groups"), found, (one) => one.name, (one) => compute.delete(`/os-server-groups/${one.id}`), ["server-groups"]),
  });
  return (
    <Page title={t("Server groups")} actions={groups.data?.length ? button : undefined} lead={t("Which servers shall share a host, and which shall not. A server joins when it is launched.")}>
      <ResourceTable label={t("Server groups")} rows={groups.data} error={groups.error} retry={() => void groups.refetch()} columns={columns} rowKey={(g) => g.id} text={(g) => g.name}
        actions={write ? (g) => [{ title: t("Delete"), isDanger: true, onClick: () => remove([g]) }] : undefined}
        bulk={write ? [{ title: t("Delete"), isDanger: true, run: remove }] : undefined}
        empty={{ icon: ObjectGroupIcon, title: t("No server groups yet"), action: button, body: t("A group keeps servers apart, so that one broken host doesn't take them all, or together, so that they are near each other.") }} />
      {making && <Create close={() => setMaking(false)} />}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [policy, setPolicy] = useState("soft-anti-affinity");
  return (
    <FormDialog title={t("Create a server group")} button={t("Create")} close={close} ready={name.trim() !== ""}
      submit={async () => {
        await compute.post("/os-server-groups", { server_group: { name: name.trim(), policy } });
        refresh(["server-groups"]);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <ChoiceField label={t("Its servers run")} value={policy} set={setPolicy} options={Object.entries(policies()).map(([value, label]) => ({ value, label }))} />
    </FormDialog>
  );
}
