import RFB from "@novnc/novnc";
import { useEffect, useRef } from "react";
import { t } from "../language";
import type { Line } from "./ConsoleTab";
import { soon } from "./soon";

/** A server's screen. Its keys are the server's; Ctrl+F6 gives them back to the page. */
export default function VncScreen({ url, line, controls }: { url: string; line: Line; controls: (send: { restart?: () => void; focus: () => void }) => void }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => soon(() => {
    const rfb = new RFB(place.current as HTMLElement, url, { wsProtocols: ["binary"] });
    rfb.scaleViewport = true;
    rfb.background = "transparent";
    let closed = false;
    rfb.addEventListener("connect", () => {
      line("open");
      rfb.focus();
    });
    rfb.addEventListener("disconnect", () => !closed && line("closed"));
    controls({ restart: () => rfb.sendCtrlAltDel(), focus: () => rfb.focus() });
    return () => {
      closed = true;
      rfb.disconnect();
    };
  }), [url, line, controls]);
  return <div ref={place} className="st-screen" role="application" aria-label={t("The server's screen")} />;
}
