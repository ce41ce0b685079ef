import { Button, Checkbox } from "@patternfly/react-core";
import { CubeIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { compute } from "../api/http";
import type { Flavor } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { memory } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { refresh } from "../parts/work";

export function FlavorsPage() {
  const [making, setMaking] = useState(false);
  const flavors = useQuery({ queryKey: ["flavors", "all"], queryFn: () => compute.get<{ flavors: Flavor[] }>("/flavors/detail", { is_public: "None" }).then((body) => body.flavors) });
  const button = <Button onClick={() => setMaking(true)}>{t("Create a flavor")}</Button>;
  const columns: Column<Flavor>[] = [
    { title: t("Name"), cell: (f) => f.name, sort: (f) => f.name },
    { title: t("vCPUs"), cell: (f) => f.vcpus, sort: (f) => f.vcpus },
    { title: t("Memory"), cell: (f) => memory(f.ram), sort: (f) => f.ram },
    { title: t("Disk"), cell: (f) => (f.disk ? t("{{disk}} GiB", { disk: f.disk }) : t("the image's")), sort: (f) => f.disk },
    { title: t("Seen by"), cell: (f) => (f["os-flavor-access:is_public"] === false ? t("chosen projects") : t("everybody")) },
  ];
  return (
    <Page title={t("Flavors")} actions={button} lead={t("The sizes that servers come in.")}>
      <ResourceTable label={t("Flavors")} rows={flavors.data} error={flavors.error} retry={() => void flavors.refetch()} columns={columns} rowKey={(f) => f.id} text={(f) => f.name}
        actions={(f) => [{ title: t("Delete"), isDanger: true, onClick: () => confirmLoss({ title: t("Delete {{name}}?", { name: f.name }), button: t("Delete"), body: t("Servers of this size stay as they are; new ones can't have it."),
          run: async () => { await compute.delete(`/flavors/${f.id}`); refresh(["flavors"]); } }) }]}
        empty={{ icon: CubeIcon, title: t("No flavors yet"), action: button, body: t("Without a flavor nobody can launch a server.") }} />
      {making && <Create close={() => setMaking(false)} />}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [vcpus, setVcpus] = useState("1");
  const [ram, setRam] = useState("1024");
  const [disk, setDisk] = useState("10");
  const [shared, setShared] = useState(true);
  return (
    <FormDialog title={t("Create a flavor")} button={t("Create")} close={close} ready={name.trim() !== "" && Number(vcpus) > 0 && Number(ram) > 0 && Number(disk) >= 0}
      submit={async () => {
        await compute.post("/flavors", { flavor: { name: name.trim(), vcpus: Number(vcpus), ram: Number(ram), disk: Number(disk), "os-flavor-access:is_public": shared } });
        refresh(["flavors"]);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("vCPUs")} type="number" value={vcpus} set={setVcpus} required />
      <TextField label={t("Memory (MiB)")} type="number" value={ram} set={setRam} required />
      <TextField label={t("Disk (GiB)")} type="number" value={disk} set={setDisk} required help={t("0: as large as the image.")} />
      <Checkbox id="shared" label={t("Everybody may use it")} isChecked={shared} onChange={(_event, on) => setShared(on)} />
    </FormDialog>
  );
}
