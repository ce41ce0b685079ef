import { Button, FileUpload, Flex, FlexItem, FormGroup } from "@patternfly/react-core";
import { ImageIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { image } from "../api/http";
import { useImages } from "../api/lists";
import { isAdmin, mayWrite, useSession } from "../api/session";
import type { Image } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { ago, bytes, when } from "../parts/format";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { deleteEach } from "../parts/removal";
import { Status } from "../parts/Status";
import { perform, refresh } from "../parts/work";
import { guessed, isAddress } from "./address";
import { fetchImage } from "./importing";
import { formatOf, upload } from "./upload";

const PATCH = { headers: { "Content-Type": "application/openstack-images-v2.1-json-patch" } };

export function ImagesPage() {
  const session = useSession();
  const write = mayWrite(session);
  const images = useImages();
  const [dialog, setDialog] = useState<"upload" | "fetch" | null>(null);
  const methods = useQuery({ queryKey: ["import-methods"], enabled: write, staleTime: Infinity,
    queryFn: () => image.get<{ "import-methods": { value: string[] } }>("/info/import").then((body) => body["import-methods"].value) });
  const button = write && (
    <Flex gap={{ default: "gapSm" }}>
      <FlexItem><Button onClick={() => setDialog("upload")}>{t("Upload an image")}</Button></FlexItem>
      {methods.data?.includes("web-download") && <FlexItem><Button variant="secondary" onClick={() => setDialog("fetch")}>{t("Fetch one from an address")}</Button></FlexItem>}
    </Flex>
  );
  const mine = (i: Image) => i.owner === session.project.id || isAdmin(session);
  const columns: Column<Image>[] = [
    { title: t("Name"), cell: (i) => i.name ?? t("(no name)"), sort: (i) => i.name ?? "" },
    { title: t("Status"), cell: (i) => <Status value={i.status} />, sort: (i) => i.status, nowrap: true },
    { title: t("Size"), cell: (i) => bytes(i.size), sort: (i) => i.size ?? 0, nowrap: true },
    { title: t("Format"), cell: (i) => i.disk_format ?? "–", sort: (i) => i.disk_format ?? "" },
    { title: t("Seen by"), cell: (i) => ({ public: t("everybody"), shared: t("this project and those it is shared with"), community: t("whoever knows it"), private: t("this project") })[i.visibility] ?? i.visibility, sort: (i) => i.visibility },
    { title: t("Created"), cell: (i) => <span title={when(i.created_at)}>{ago(i.created_at)}</span>, sort: (i) => i.created_at, nowrap: true },
  ];
  return (
    <Page title={t("Images")} actions={images.data?.length ? button : undefined} lead={t("What a server's disk starts with.")}>
      <ResourceTable label={t("Images")} rows={images.data} error={images.error} retry={() => void images.refetch()} columns={columns} rowKey={(i) => i.id} text={(i) => `${i.name ?? ""} ${i.disk_format ?? ""}`}
        bulk={write ? [{ title: t("Delete"), isDanger: true, fits: (i) => mine(i) && !i.protected, run: (found) => deleteEach(found, (one) => one.name ?? one.id,
          t("Servers made of them stay; new ones can't be made of them any more."), (one) => image.delete(`/images/${one.id}`), ["images"]) }] : undefined}
        actions={write ? (i) => (!mine(i) ? [] : [
          ...(isAdmin(session) ? [i.visibility === "public" ? { title: t("Show to this project only"), onClick: () => show(i, "private") } : { title: t("Show to everybody"), onClick: () => show(i, "public") }] : []),
          i.protected ? { title: t("Let it be deleted"), onClick: () => protect(i, false) } : { title: t("Protect it from being deleted"), onClick: () => protect(i, true) },
          { title: i.protected ? t("Delete (it is protected)") : t("Delete"), isDanger: true, isDisabled: i.protected, onClick: () => confirmLoss({
            title: t("Delete {{name}}?", { name: i.name ?? i.id }), button: t("Delete"), body: t("Servers made of it stay; new ones can't be made of it any more."),
            run: async () => { await image.delete(`/images/${i.id}`); refresh(["images"]); } }) },
        ]) : undefined}
        empty={{ icon: ImageIcon, title: t("No images yet"), action: button, body: t("An image is the disk that a server starts with: upload a distribution's cloud image (qcow2) once, launch from it as often as you like.") }} />
      {dialog === "upload" && <Upload close={() => setDialog(null)} />}
      {dialog === "fetch" && <Fetch close={() => setDialog(null)} />}
      {images.data?.length ? <p className="st-muted">{t("A server's menu saves its disk as an image too.")} <Link to="/servers">{t("To the servers")}</Link></p> : null}
    </Page>
  );
}

function show(found: Image, visibility: string): void {
  void perform(t("Change who sees {{name}}", { name: found.name ?? found.id }),
    () => image.patch(`/images/${found.id}`, [{ op: "replace", path: "/visibility", value: visibility }], PATCH), ["images"]);
}

function protect(found: Image, on: boolean): void {
  void perform(on ? t("Protect {{name}}", { name: found.name ?? found.id }) : t("Let {{name}} be deleted", { name: found.name ?? found.id }),
    () => image.patch(`/images/${found.id}`, [{ op: "replace", path: "/protected", value: on }], PATCH), ["images"]);
}

function Upload({ close }: { close: () => void }) {
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState("");
  const [format, setFormat] = useState("qcow2");
  const [minDisk, setMinDisk] = useState("");
  async function choose(found: File): Promise<void> {
    setFile(found);
    if (!name) setName(found.name.replace(/\.(qcow2|img|raw|iso|vmdk)$/i, ""));
    setFormat(formatOf(found.name, new Uint8Array(await found.slice(0, 8).arrayBuffer())));
  }
  return (
    <FormDialog title={t("Upload an image")} button={t("Upload")} close={close} ready={file !== null && name.trim() !== ""}
      description={t("It goes on in the background; keep this tab open until it is through.")}
      submit={async () => {
        if (file) void perform(t("Upload {{name}}", { name }), (tell) => upload(file, name.trim(), format, Number(minDisk) || 0, tell), ["images"]);
      }}>
      <FormGroup label={t("File")} fieldId="image-file" isRequired>
        <FileUpload id="image-file" className="st-dropzone" hideDefaultPreview value={file ?? undefined} filename={file ? `${file.name} (${bytes(file.size)})` : ""} filenamePlaceholder={t("Drop a file here, or browse")}
          browseButtonText={t("Browse")} clearButtonText={t("Clear")} onFileInputChange={(_event, found) => void choose(found)} onClearClick={() => setFile(null)} />
      </FormGroup>
      <TextField label={t("Name")} value={name} set={setName} required />
      <ChoiceField label={t("Format")} value={format} set={setFormat} options={["qcow2", "raw", "iso", "vmdk"].map((value) => ({ value, label: value }))} help={t("Taken from the file's first bytes; the cloud checks it.")} />
      <TextField label={t("Smallest disk (GiB)")} type="number" value={minDisk} set={setMinDisk} help={t("Sizes with less disk can't start it. Empty: any.")} />
    </FormDialog>
  );
}

/** The cloud fetches the image itself, which an administrator has to allow; so nothing goes through this browser. */
function Fetch({ close }: { close: () => void }) {
  const [address, setAddress] = useState("");
  const [name, setName] = useState<string | null>(null);
  const [format, setFormat] = useState<string | null>(null);
  const guess = guessed(address.trim());
  const shownName = name ?? guess.name;
  const shownFormat = format ?? guess.format;
  return (
    <FormDialog title={t("Fetch an image from an address")} button={t("Fetch")} close={close} ready={isAddress(address) && shownName.trim() !== ""}
      description={t("The cloud fetches it; it goes on when this tab is closed.")}
      submit={async () => {
        void perform(t("Fetch {{name}}", { name: shownName.trim() }), (tell) => fetchImage(address, shownName.trim(), shownFormat, tell), ["images"]);
      }}>
      <TextField label={t("Address")} value={address} set={setAddress} required autoFocus placeholder="https://" help={t("Of a cloud image, as distributions offer them.")}
        error={address.trim() !== "" && !isAddress(address) ? t("An address starts with https:// or http://.") : undefined} />
      <TextField label={t("Name")} value={shownName} set={setName} required />
      <ChoiceField label={t("Format")} value={shownFormat} set={setFormat} options={["qcow2", "raw", "iso", "vmdk"].map((value) => ({ value, label: value }))} help={t("Taken from the address; the cloud checks it.")} />
    </FormDialog>
  );
}
