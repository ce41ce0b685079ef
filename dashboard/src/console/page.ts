export {};

/** What `/console/vnc.html` runs: connects noVNC with the WebSocket that `?path=` names, on this host only. */
const words = document.getElementById("words") as HTMLElement;
const place = document.getElementById("screen") as HTMLElement;
const path = (new URLSearchParams(location.search).get("path") ?? "").replace(/^\/+/, "");

function say(text: string): void {
  words.textContent = text;
  words.hidden = !text;
}

async function start(): Promise<void> {
  const { default: RFB } = await import("@novnc/novnc");
  const rfb = new RFB(place, `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/${path}`, { wsProtocols: ["binary"] });
  rfb.scaleViewport = true;
  rfb.background = "transparent";
  rfb.addEventListener("connect", () => {
    say("");
    rfb.focus();
  });
  rfb.addEventListener("disconnect", (event) => say((event as CustomEvent<{ clean: boolean }>).detail.clean
    ? "The console was closed."
    : "The console can't be reached: its address was used before or is too old, or the server is off. Ask for a new one."));
}

void start().catch(() => say("This browser can't show the console: it may be too old, or the cloud didn't send all of the page."));
