import { Checkbox } from "@patternfly/react-core";
import { useState } from "react";
import { volume } from "../api/http";
import { useImages, useVolumes, useVolumeSnapshots, useVolumeTypes } from "../api/lists";
import type { Image, Volume, VolumeBackup, VolumeSnapshot } from "../api/types";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Problem } from "../parts/Problem";
import { refresh } from "../parts/work";
import { useServerNames } from "../servers/all";
import { smallest, sizeError, volumeBody } from "./sizes";
import { attach, extend, follow, nameOf, STALE } from "./work";

/** Everything a new volume can start from: nothing, an image, a snapshot, another volume. */
export function CreateVolume({ close, snapshot, source }: { close: () => void; snapshot?: VolumeSnapshot; source?: Volume }) {
  const images = useImages();
  const snapshots = useVolumeSnapshots();
  const volumes = useVolumes();
  const types = useVolumeTypes();
  const [name, setName] = useState("");
  const [from, setFrom] = useState(snapshot ? `snapshot:${snapshot.id}` : source ? `volume:${source.id}` : "");
  const [sizeTyped, setSize] = useState("");
  const [type, setType] = useState("");
  const [description, setDescription] = useState("");
  const [kind, id = ""] = from.split(":");
  const image = kind === "image" ? images.data?.find((found) => found.id === id) : undefined;
  const origin = kind === "snapshot" ? snapshots.data?.find((found) => found.id === id) ?? snapshot : kind === "volume" ? volumes.data?.find((found) => found.id === id) ?? source : undefined;
  const least = smallest(image, origin?.size);
  const size = sizeTyped || String(Math.max(least, origin || image ? least : 10));
  const error = sizeError(size, least);
  const usable = (images.data ?? []).filter((found: Image) => found.status === "active");
  return (
    <FormDialog title={t("Create a volume")} button={t("Create")} close={close} ready={name.trim() !== "" && !error}
      description={t("A disk of its own, which outlives the server that it is attached to.")}
      submit={async () => {
        const { volume: made } = await volume.post<{ volume: Volume }>("/volumes", volumeBody({ name, size: Number(size), from, type, description }));
        refresh(STALE);
        follow(t("Create volume {{name}}", { name: name.trim() }), "volume", made);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <ChoiceField label={t("Starts with")} value={from} set={setFrom} help={t("A volume made from an image can start a server.")}
        options={[{ value: "", label: t("nothing (empty)") },
          ...usable.map((found) => ({ value: `image:${found.id}`, label: t("image {{name}}", { name: found.name ?? found.id }) })),
          ...(snapshots.data ?? []).filter((found) => found.status === "available").map((found) => ({ value: `snapshot:${found.id}`, label: t("snapshot {{name}}", { name: nameOf(found) }) })),
          ...(volumes.data ?? []).filter((found) => ["available", "in-use"].includes(found.status)).map((found) => ({ value: `volume:${found.id}`, label: t("a copy of {{name}}", { name: nameOf(found) }) }))]} />
      <TextField label={t("Size (GiB)")} type="number" value={size} set={setSize} required error={error ?? undefined}
        help={least > 1 ? t("At least {{least}} GiB, so that what it starts with fits.", { least }) : undefined} />
      {(types.data?.length ?? 0) > 1 && (
        <ChoiceField label={t("Type")} value={type} set={setType} options={[{ value: "", label: t("the default") }, ...(types.data ?? []).map((found) => ({ value: found.name, label: found.description ? `${found.name}: ${found.description}` : found.name }))]} />
      )}
      <TextField label={t("Description")} value={description} set={setDescription} />
    </FormDialog>
  );
}

/** Attach *found* to a server, or a volume to *server*. */
export function AttachVolume({ close, found, server }: { close: () => void; found?: Volume; server?: { id: string; name: string } }) {
  const servers = useServerNames(!server);
  const volumes = useVolumes(!found);
  const [chosen, setChosen] = useState("");
  const free = (volumes.data ?? []).filter((one) => one.status === "available" || (one.multiattach && one.status === "in-use" && one.attachments.every((a) => a.server_id !== server?.id)));
  const options = server ? free.map((one) => ({ value: one.id, label: t("{{name}} ({{size}} GiB)", { name: nameOf(one), size: one.size }) }))
    : [...(servers.data ?? [])].map(([value, label]) => ({ value, label }));
  const id = chosen || options[0]?.value || "";
  const loaded = server ? volumes.data : servers.data;
  return (
    <FormDialog title={found ? t("Attach {{name}}", { name: nameOf(found) }) : t("Attach a volume to {{name}}", { name: server?.name })} button={t("Attach")} close={close} ready={id !== ""}
      description={t("It appears in the server as another disk. A new volume needs a file system; the server makes and mounts it.")}
      submit={async () => {
        const one = found ?? free.find((candidate) => candidate.id === id);
        const to = server ?? { id, name: servers.data?.get(id) ?? "" };
        if (one) await attach(one, to);
        refresh(STALE);
      }}>
      {(volumes.error || servers.error) && <Problem error={volumes.error ?? servers.error} />}
      <ChoiceField label={server ? t("Volume") : t("Server")} value={id} set={setChosen} required options={options}
        error={loaded && options.length === 0 ? (server ? t("There is no free volume. Create one first.") : t("There is no server yet. Launch one first.")) : undefined} />
    </FormDialog>
  );
}

export function ExtendVolume({ close, found }: { close: () => void; found: Volume }) {
  const [size, setSize] = useState(String(found.size * 2));
  const error = sizeError(size, found.size + 1);
  return (
    <FormDialog title={t("Extend {{name}}", { name: nameOf(found) })} button={t("Extend")} close={close} ready={!error}
      description={t("A volume grows and never shrinks. Afterwards the file system on it has to be grown as well, in the server.")}
      submit={() => extend(found, Number(size))}>
      <TextField label={t("New size (GiB)")} type="number" value={size} set={setSize} required autoFocus error={error ?? undefined} help={t("It has {{size}} GiB now.", { size: found.size })} />
    </FormDialog>
  );
}

/** Save a volume's content: as a snapshot beside it, or as a backup elsewhere. */
export function SaveVolume({ close, found, as }: { close: () => void; found: Volume; as: "snapshot" | "backup" }) {
  const [name, setName] = useState(`${nameOf(found)}-${new Date().toISOString().slice(0, 10)}`);
  const [incremental, setIncremental] = useState(false);
  const busy = found.status === "in-use";
  return (
    <FormDialog title={as === "snapshot" ? t("Snapshot {{name}}", { name: nameOf(found) }) : t("Back up {{name}}", { name: nameOf(found) })} button={as === "snapshot" ? t("Take the snapshot") : t("Back up")} close={close} ready={name.trim() !== ""}
      description={as === "snapshot" ? t("A snapshot lies beside its volume and is quick. It is no backup: it goes where its storage goes.") : t("A backup is a copy on other storage.")}
      submit={async () => {
        const body = { volume_id: found.id, name: name.trim(), force: busy, ...(as === "backup" ? { incremental } : {}) };
        const made = await volume.post<{ snapshot: VolumeSnapshot; backup: VolumeBackup }>(`/${as}s`, { [as]: body });
        refresh(STALE);
        follow(as === "snapshot" ? t("Snapshot {{name}}", { name: nameOf(found) }) : t("Back up {{name}}", { name: nameOf(found) }), as, made[as]);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus help={busy ? t("A server uses it now: what it hasn't written yet isn't in it.") : undefined} />
      {as === "backup" && <Checkbox id="incremental" label={t("Only what changed since the last backup")} isChecked={incremental} onChange={(_event, on) => setIncremental(on)} />}
    </FormDialog>
  );
}

export function RenameVolume({ close, found }: { close: () => void; found: Volume }) {
  const [name, setName] = useState(found.name ?? "");
  const [description, setDescription] = useState(found.description ?? "");
  return (
    <FormDialog title={t("Rename {{name}}", { name: nameOf(found) })} button={t("Save")} close={close} ready={name.trim() !== ""}
      submit={async () => {
        await volume.put(`/volumes/${found.id}`, { volume: { name: name.trim(), description } });
        refresh(STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextField label={t("Description")} value={description} set={setDescription} />
    </FormDialog>
  );
}
