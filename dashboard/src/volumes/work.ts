import { compute, volume } from "../api/http";
import { moving } from "../api/moving";
import type { Volume, VolumeBackup, VolumeSnapshot } from "../api/types";
import { t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { perform, performEach, refresh, type Tell } from "../parts/work";

export const STALE = ["volumes", "volume-snapshots", "volume-backups", "servers", "usage"];

export function nameOf(one: { name: string | null; id: string }): string {
  return one.name || t("(no name) {{id}}", { id: one.id.slice(0, 8) });
}

const PATHS = { volume: "volumes", snapshot: "snapshots", backup: "backups" } as const;
export type Kind = keyof typeof PATHS;

/** What each status is called while one waits for it. */
function words(status: string): string {
  return status.replaceAll("-", " ").replaceAll("_", " ");
}

/** Ask until the status is one that stays; an error says why, as the API's messages tell it. */
async function settle(kind: Kind, id: string, tell: Tell, good: (status: string) => boolean): Promise<void> {
  for (let round = 0; round < 3600; round++) {
    const body = await volume.get<Record<Kind, { status: string; fail_reason?: string | null; "os-extended-snapshot-attributes:progress"?: string }>>(`/${PATHS[kind]}/${id}`);
    const { status, fail_reason: reason, "os-extended-snapshot-attributes:progress": done } = body[kind];
    if (good(status)) return;
    if (!moving(status)) throw new Error(reason || (await whyOf(id)) || t("It is {{status}} now.", { status: words(status) }));
    tell(words(status), done ? Number.parseFloat(done) / 100 : null);
    if (round % 2 === 0) refresh(["volumes", "volume-snapshots", "volume-backups"]);
    await new Promise((resolve) => setTimeout(resolve, round < 10 ? 700 : 2000));
  }
}

/** What Block Storage has written down about a resource that failed. */
export async function whyOf(id: string): Promise<string | null> {
  try {
    const { messages } = await volume.get<{ messages: { user_message: string; created_at: string }[] }>("/messages", { resource_uuid: id });
    return messages.sort((a, b) => b.created_at.localeCompare(a.created_at))[0]?.user_message ?? null;
  } catch {
    return null;
  }
}

const rests = (status: string) => status === "available" || status === "in-use";

/** Follow what was *made* until it can be used. */
export function follow(title: string, kind: Kind, made: { id: string }): void {
  void perform(title, (tell) => settle(kind, made.id, tell, rests), STALE);
}

export async function attach(found: Volume, server: { id: string; name: string }): Promise<void> {
  await compute.post(`/servers/${server.id}/os-volume_attachments`, { volumeAttachment: { volumeId: found.id } });
  void perform(t("Attach {{volume}} to {{server}}", { volume: nameOf(found), server: server.name }),
    (tell) => settle("volume", found.id, tell, (status) => status === "in-use"), STALE);
}

export function detach(id: string, name: string, serverId: string, serverName: string): void {
  confirmLoss({
    title: t("Detach {{volume}} from {{server}}?", { volume: name, server: serverName }), button: t("Detach"),
    body: t("Unmount it in the server first: what isn't written yet is lost. The volume itself stays."),
    run: async () => {
      await compute.delete(`/servers/${serverId}/os-volume_attachments/${id}`);
      void perform(t("Detach {{volume}}", { volume: name }), (tell) => settle("volume", id, tell, rests), STALE);
    },
  });
}

export async function extend(found: Volume, size: number): Promise<void> {
  await volume.post(`/volumes/${found.id}/action`, { "os-extend": { new_size: size } });
  void perform(t("Extend {{name}} to {{size}} GiB", { name: nameOf(found), size }), (tell) => settle("volume", found.id, tell, rests), STALE);
}

export async function restore(backup: VolumeBackup): Promise<void> {
  const { restore: made } = await volume.post<{ restore: { volume_id: string } }>(`/backups/${backup.id}/restore`, { restore: {} });
  follow(t("Restore {{name}}", { name: nameOf(backup) }), "volume", { id: made.volume_id });
}

const LOSS: Record<Kind, () => string> = {
  volume: () => t("What is on it is gone then. Backups of it stay; its snapshots have to be deleted first."),
  snapshot: () => t("Its volume stays as it is; nobody can go back to this point any more."),
  backup: () => t("The volume stays as it is; what is only in this backup is gone then."),
};

/** Delete after asking, and say when it is gone. */
export function remove(kind: Kind, found: (Volume | VolumeSnapshot | VolumeBackup)[], done?: () => void): void {
  const name = found.length === 1 && found[0] ? nameOf(found[0]) : t("{{number}} chosen", { number: found.length });
  confirmLoss({
    title: t("Delete {{name}}?", { name }), button: t("Delete"), body: LOSS[kind](),
    run: async () => {
      void performEach(t("Delete {{name}}", { name }), found, nameOf, (one) => volume.delete(`/${PATHS[kind]}/${one.id}`), STALE);
      done?.();
    },
  });
}
