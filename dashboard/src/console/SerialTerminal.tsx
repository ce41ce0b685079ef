import "@xterm/xterm/css/xterm.css";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { useEffect, useRef } from "react";
import { t } from "../language";
import type { Line } from "./ConsoleTab";
import { soon } from "./soon";
import { withoutInlineStyles } from "./styles";

/** A server's first serial port. */
export default function SerialTerminal({ url, line, controls }: { url: string; line: Line; controls: (send: { focus: () => void }) => void }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => soon(() => {
    const sheets = withoutInlineStyles(document);
    const terminal = new Terminal({
      convertEol: false, cursorBlink: true, fontFamily: "'Red Hat Mono', 'RedHatMono', monospace", fontSize: 14, scrollback: 5000,
      screenReaderMode: false, documentOverride: sheets.document, theme: { background: "#151515", foreground: "#e0e0e0" } });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    sheets.during(() => terminal.open(place.current as HTMLElement));
    fit.fit();
    const socket = new WebSocket(url, ["binary"]);
    socket.binaryType = "arraybuffer";
    let closed = false;
    socket.onopen = () => {
      line("open");
      terminal.focus();
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => terminal.write(new Uint8Array(event.data));
    socket.onclose = () => !closed && line("closed");
    const words = new TextEncoder();
    const typed = terminal.onData((text) => socket.readyState === WebSocket.OPEN && socket.send(words.encode(text)));
    const size = new ResizeObserver(() => fit.fit());
    size.observe(place.current as HTMLElement);
    controls({ focus: () => terminal.focus() });
    return () => {
      closed = true;
      size.disconnect();
      typed.dispose();
      socket.close();
      terminal.dispose();
      sheets.remove();
    };
  }), [url, line, controls]);
  return <div ref={place} className="st-terminal" role="group" aria-label={t("The server's serial port")} />;
}
