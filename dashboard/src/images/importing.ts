import { ApiError } from "../api/errors";
import { image } from "../api/http";
import type { Image } from "../api/types";
import { t } from "../language";
import type { Tell } from "../parts/work";

const ROUND = 1500;
const WAITING = new Set(["queued", "importing", "saving", "uploading"]);

/** Make an image of what is at *address*, which the cloud fetches itself, and follow it until it is there or has failed. */
export async function fetchImage(address: string, name: string, format: string, tell: Tell): Promise<void> {
  const made = await image.post<Image>("/images", { name, disk_format: format, container_format: "bare", visibility: "private" });
  try {
    await image.post(`/images/${made.id}/import`, { method: { name: "web-download", uri: address.trim() } });
    while (!(await arrived(made.id))) {
      tell(t("the cloud fetches it"));
      await new Promise((resolve) => setTimeout(resolve, ROUND));
    }
  } catch (error) {
    await image.delete(`/images/${made.id}`).catch(() => undefined);
    throw error;
  }
}

/** Whether the image is there; raises when it won't be. A cloud that doesn't answer now may do so later. */
async function arrived(id: string): Promise<boolean> {
  try {
    const { status } = await image.get<Image>(`/images/${id}`);
    if (status === "active") return true;
    const why = await failure(id);
    if (why === null && WAITING.has(status)) return false;
    throw new Error(`${why ?? t("The image is {{status}}.", { status })} ${t("Correct the address, or download the image and upload it.")}`);
  } catch (error) {
    if (error instanceof ApiError && [0, 401, 429, 500, 502, 503, 504].includes(error.status)) return false;
    throw error;
  }
}

/** What the import's task wrote down when it failed. */
async function failure(id: string): Promise<string | null> {
  const { tasks } = await image.get<{ tasks: { status: string; message: string | null }[] }>(`/images/${id}/tasks`);
  const failed = tasks.find((task) => task.status === "failure");
  return failed ? failed.message || t("The cloud couldn't fetch it.") : null;
}
