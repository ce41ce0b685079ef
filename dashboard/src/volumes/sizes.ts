import type { Image } from "../api/types";
import { t } from "../language";

const GIB = 1024 ** 3;

/** The smallest volume, in GiB, that what it starts with fits in. */
export function smallest(image: Pick<Image, "size" | "min_disk"> | undefined, origin: number | undefined): number {
  return Math.max(1, origin ?? 0, image ? Math.max(image.min_disk, Math.ceil((image.size ?? 0) / GIB)) : 0);
}

export function sizeError(typed: string, least: number): string | null {
  const size = Number(typed);
  if (!Number.isInteger(size) || size < 1) return t("A whole number of GiB.");
  return size < least ? t("At least {{least}} GiB.", { least }) : null;
}

/** The body of POST /volumes; *from* is "", or "image:", "snapshot:", "volume:" and an id. */
export function volumeBody(wish: { name: string; size: number; from: string; type: string; description: string }): object {
  const [kind, id] = wish.from.split(":");
  const field = { image: "imageRef", snapshot: "snapshot_id", volume: "source_volid" }[kind ?? ""];
  return { volume: {
    name: wish.name.trim(), size: wish.size,
    ...(field ? { [field]: id } : {}), ...(wish.type ? { volume_type: wish.type } : {}), ...(wish.description ? { description: wish.description } : {}) } };
}
