/**
 * The WebSocket that a remote console's address leads to. A VNC console's address is a page's, with the socket in `path`
 * (as noVNC takes it); a serial console's is the socket itself. Where the cloud calls itself *origin* and is reached
 * at *here* (a tunnel, another name of the same machine), the socket is opened there.
 */
export function socketOf(url: string, origin: string, here: string): string {
  const found = new URL(url);
  const same = found.host === new URL(origin).host;
  const reached = same ? new URL(here) : found;
  const secure = reached.protocol === "https:" || reached.protocol === "wss:";
  const base = `${secure ? "wss" : "ws"}://${reached.host}`;
  const path = found.searchParams.get("path");
  if (path !== null) return `${base}/${path.replace(/^\//, "")}`;
  if (/^wss?:$/.test(found.protocol)) return base + found.pathname + found.search;
  return `${base}/?token=${encodeURIComponent(found.searchParams.get("token") ?? "")}`;
}

/** The same page where this browser reaches it. */
export function pageOf(url: string, origin: string, here: string): string {
  return url.startsWith(`${origin}/`) ? here + url.slice(origin.length) : url;
}
