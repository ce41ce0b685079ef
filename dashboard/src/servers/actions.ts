import { t } from "../language";
import type { Server } from "../api/types";

/** One thing that can be done with a server, as the Compute API's action. */
export interface Action {
  id: string;
  title: string;
  body: object;
  /** Whether the server's state allows it, as the API reference's table of states says. */
  fits: (server: Server) => boolean;
  bulk: boolean;
}

const status = (...wanted: string[]) => (server: Server) => wanted.includes(server.status);

export function actions(): Action[] {
  return [
    { id: "start", title: t("Start"), body: { "os-start": null }, fits: status("SHUTOFF"), bulk: true },
    { id: "stop", title: t("Shut down"), body: { "os-stop": null }, fits: status("ACTIVE", "ERROR"), bulk: true },
    { id: "reboot", title: t("Reboot"), body: { reboot: { type: "SOFT" } }, fits: status("ACTIVE"), bulk: true },
    { id: "reset", title: t("Reset (hard reboot)"), body: { reboot: { type: "HARD" } }, bulk: true,
      fits: status("ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "ERROR") },
    { id: "pause", title: t("Pause"), body: { pause: null }, fits: status("ACTIVE"), bulk: false },
    { id: "unpause", title: t("Go on"), body: { unpause: null }, fits: status("PAUSED"), bulk: false },
    { id: "suspend", title: t("Suspend"), body: { suspend: null }, fits: status("ACTIVE"), bulk: false },
    { id: "resume", title: t("Resume"), body: { resume: null }, fits: status("SUSPENDED"), bulk: false },
    { id: "shelve", title: t("Shelve"), body: { shelve: null }, fits: status("ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"), bulk: false },
    { id: "unshelve", title: t("Unshelve"), body: { unshelve: null }, fits: status("SHELVED", "SHELVED_OFFLOADED"), bulk: false },
    { id: "rescue", title: t("Rescue (start from another disk)"), body: { rescue: {} }, fits: status("ACTIVE", "SHUTOFF", "ERROR"), bulk: false },
    { id: "unrescue", title: t("End the rescue"), body: { unrescue: null }, fits: status("RESCUE"), bulk: false },
    { id: "confirm", title: t("Keep the new size"), body: { confirmResize: null }, fits: status("VERIFY_RESIZE"), bulk: false },
    { id: "revert", title: t("Back to the old size"), body: { revertResize: null }, fits: status("VERIFY_RESIZE"), bulk: false },
    { id: "lock", title: t("Lock"), body: { lock: null }, fits: (server) => !server.locked, bulk: false },
    { id: "unlock", title: t("Unlock"), body: { unlock: null }, fits: (server) => server.locked, bulk: false },
  ];
}

export function busy(server: Server): boolean {
  return Boolean(server["OS-EXT-STS:task_state"]) || ["BUILD", "REBUILD", "RESIZE", "MIGRATING", "REBOOT", "HARD_REBOOT"].includes(server.status);
}

/** What can be done now; nothing that changes a server while something else does, nothing but unlocking a locked one. */
export function possible(server: Server): Action[] {
  return actions().filter((action) => action.fits(server) && (server.locked ? action.id === "unlock" : action.id === "lock" || !busy(server)));
}

export function addresses(server: Server): { fixed: string[]; floating: string[] } {
  const all = Object.values(server.addresses).flat();
  return {
    fixed: all.filter((a) => a["OS-EXT-IPS:type"] !== "floating").map((a) => a.addr),
    floating: all.filter((a) => a["OS-EXT-IPS:type"] === "floating").map((a) => a.addr),
  };
}
