import type { IAction, ISeparator } from "@patternfly/react-table";
import { volume } from "../api/http";
import type { Volume, VolumeSnapshot } from "../api/types";
import { t } from "../language";
import { perform } from "../parts/work";
import { detach, nameOf, remove, STALE } from "./work";

export type VolumeDialog =
  | { kind: "create"; snapshot?: VolumeSnapshot; source?: Volume }
  | { kind: "attach" | "extend" | "rename" | "snapshot" | "backup"; found: Volume };

/** What a volume's status lets one do with it. */
export function volumeActions(v: Volume, servers: Map<string, string> | undefined, open: (dialog: VolumeDialog) => void, done?: () => void): (IAction | ISeparator)[] {
  const free = v.status === "available";
  const usable = free || v.status === "in-use";
  return [
    ...(free || (v.multiattach && usable) ? [{ title: t("Attach to a server"), onClick: () => open({ kind: "attach", found: v }) }] : []),
    ...(v.status === "in-use" ? v.attachments.map((a) => ({
      title: t("Detach from {{server}}", { server: servers?.get(a.server_id) ?? t("a server") }), onClick: () => detach(v.id, nameOf(v), a.server_id, servers?.get(a.server_id) ?? t("a server")) })) : []),
    { title: t("Extend"), isDisabled: !usable, onClick: () => open({ kind: "extend", found: v }) },
    { title: t("Take a snapshot"), isDisabled: !usable, onClick: () => open({ kind: "snapshot", found: v }) },
    { title: t("Back up"), isDisabled: !usable, onClick: () => open({ kind: "backup", found: v }) },
    { title: t("Copy into a new volume"), isDisabled: !usable, onClick: () => open({ kind: "create", source: v }) },
    ...(usable && v.bootable !== "true" ? [{ title: t("Let servers start from it"), onClick: () => void perform(t("Let servers start from {{name}}", { name: nameOf(v) }), () => volume.post(`/volumes/${v.id}/action`, { "os-set_bootable": { bootable: true } }), STALE) }] : []),
    { title: t("Rename"), onClick: () => open({ kind: "rename", found: v }) },
    { isSeparator: true },
    { title: v.status === "in-use" ? t("Delete (detach it first)") : t("Delete"), isDanger: true, isDisabled: !["available", "error", "error_restoring", "error_extending", "error_managing"].includes(v.status),
      onClick: () => remove("volume", [v], done) },
  ];
}
