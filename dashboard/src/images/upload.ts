import { ApiError, messageOf } from "../api/errors";
import { endpointOf } from "../api/catalog";
import { image } from "../api/http";
import { session } from "../api/session";
import type { Image } from "../api/types";
import { t } from "../language";
import { bytes } from "../parts/format";
import type { Tell } from "../parts/work";

/** What a file says of itself in its first bytes and its name; the cloud inspects it again and has the last word. */
export function formatOf(name: string, head: Uint8Array): string {
  const magic = String.fromCharCode(...head.slice(0, 4));
  if (magic === "QFI\u00fb") return "qcow2";
  if (magic === "KDMV") return "vmdk";
  if (/\.iso$/i.test(name)) return "iso";
  return "raw";
}

/** Make an image of *file*, telling how far it is. `fetch` tells nothing of an upload, so this is an XMLHttpRequest. */
export async function upload(file: File, name: string, format: string, minDisk: number, tell: Tell): Promise<void> {
  const made = await image.post<Image>("/images", { name, disk_format: format, container_format: "bare", visibility: "private", ...(minDisk ? { min_disk: minDisk } : {}) });
  try {
    await put(made.id, file, tell);
  } catch (error) {
    await image.delete(`/images/${made.id}`).catch(() => undefined);
    throw error;
  }
}

function put(id: string, file: File, tell: Tell): Promise<void> {
  const { token, catalog, region } = session();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `${endpointOf(catalog, "image", region)}/images/${id}/file`);
    request.setRequestHeader("X-Auth-Token", token);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) tell(t("{{sent}} of {{all}}", { sent: bytes(event.loaded), all: bytes(event.total) }), event.loaded / event.total);
    };
    const path = `PUT /images/${id}/file`;
    request.onload = () => (request.status < 300 ? resolve() : reject(new ApiError(
      request.status, messageOf(request.responseText, request.getResponseHeader("content-type") ?? "", request.status), path, request.getResponseHeader("x-openstack-request-id"))));
    request.onerror = () => reject(new ApiError(0, t("The upload was cut off."), path, null));
    request.send(file);
  });
}
