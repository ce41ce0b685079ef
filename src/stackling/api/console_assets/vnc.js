// Connects noVNC (https://novnc.com) with the WebSocket that ?path= names, on this host only.
const words = document.getElementById("words");
const say = (text) => { words.textContent = text; words.hidden = !text; };
const path = new URLSearchParams(location.search).get("path") || "";
const scheme = location.protocol === "https:" ? "wss" : "ws";

import("./novnc/core/rfb.js").then(({ default: RFB }) => {
  const rfb = new RFB(document.getElementById("screen"), `${scheme}://${location.host}/${path}`, { wsProtocols: ["binary"] });
  rfb.scaleViewport = true;
  rfb.addEventListener("connect", () => { say(""); rfb.focus(); });
  rfb.addEventListener("disconnect", (event) => say(event.detail.clean
    ? "The console was closed."
    : "The console can't be reached: its address is too old, or the server is off. Ask for a new one."));
}).catch(() => say("noVNC isn't installed on the cloud's control machine. Its administrator can: apt-get install novnc"));
