import { Alert, AlertActionLink, Bullseye, Button, Flex, FlexItem, ToggleGroup, ToggleGroupItem } from "@patternfly/react-core";
import { PowerOffIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { has } from "../api/catalog";
import { compute } from "../api/http";
import { IDENTITY, session } from "../api/session";
import type { Server } from "../api/types";
import { t } from "../language";
import { Loading } from "../parts/Loading";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { perform } from "../parts/work";
import { pageOf, socketOf } from "./address";

const VncScreen = lazy(() => import("./VncScreen"));
const SerialTerminal = lazy(() => import("./SerialTerminal"));

export type Line = (state: "open" | "closed") => void;
type Kind = "vnc" | "serial";
interface Controls { restart?: () => void; focus: () => void }

/** The screen or the serial port of a server, through a token that Compute gives for ten minutes and one connection. */
export function ConsoleTab({ server, write }: { server: Server; write: boolean }) {
  const [kind, setKind] = useState<Kind>("vnc");
  const [round, setRound] = useState(0);
  if (!write) return <Nothing icon={PowerOffIcon} title={t("Not for readers")} body={t("Who has a console can type into it. Your role lets you look at the log instead.")} />;
  if (!["ACTIVE", "PAUSED", "RESCUE", "REBOOT", "HARD_REBOOT", "VERIFY_RESIZE", "PASSWORD"].includes(server.status)) {
    return <Nothing icon={PowerOffIcon} title={t("The server isn't running")} body={t("Its console appears here when it is started.")} />;
  }
  return <OneConsole key={`${kind}-${round}`} server={server} kind={kind} choose={setKind} again={() => setRound(round + 1)} />;
}

function OneConsole({ server, kind, choose, again }: { server: Server; kind: Kind; choose: (kind: Kind) => void; again: () => void }) {
  const [state, setState] = useState<"connecting" | "open" | "closed">("connecting");
  const controls = useRef<Controls>(null);
  const frame = useRef<HTMLDivElement>(null);
  const toolbar = useRef<HTMLButtonElement>(null);
  const query = useQuery({
    queryKey: ["console", server.id, kind, "token"], gcTime: 0, staleTime: Infinity, retry: false, refetchOnWindowFocus: false,
    queryFn: () => addressOf(server, kind),
  });
  const line = useCallback<Line>((found) => setState(found), []);
  const keep = useCallback((found: Controls) => {
    controls.current = found;
  }, []);
  useEffect(() => {
    const place = frame.current;
    const leave = (event: KeyboardEvent) => {
      if (event.key !== "F6" || !event.ctrlKey) return;
      event.preventDefault();
      event.stopPropagation();
      toolbar.current?.focus();
    };
    place?.addEventListener("keydown", leave, { capture: true });
    return () => place?.removeEventListener("keydown", leave, { capture: true });
  });
  const kinds = (
    <ToggleGroup aria-label={t("Kind of console")} isCompact>
      <ToggleGroupItem text={t("Screen")} buttonId="console-vnc" isSelected={kind === "vnc"} onChange={() => choose("vnc")} />
      <ToggleGroupItem text={t("Serial port")} buttonId="console-serial" isSelected={kind === "serial"} onChange={() => choose("serial")} />
    </ToggleGroup>
  );
  if (query.error) return <>{kinds}<Problem error={query.error} retry={again} title={t("There is no console to be had")} /></>;
  if (!query.data) return <Loading />;
  const here = new URL(IDENTITY).origin;
  const url = socketOf(query.data, session().origin, here);
  const Shown = kind === "vnc" ? VncScreen : SerialTerminal;
  return (
    <>
      <Flex gap={{ default: "gapSm" }} alignItems={{ default: "alignItemsCenter" }}>
        <FlexItem>{kinds}</FlexItem>
        <FlexItem><Button ref={toolbar} variant="secondary" size="sm" onClick={again}>{t("Connect again")}</Button></FlexItem>
        {kind === "vnc" && <FlexItem><Button variant="secondary" size="sm" isDisabled={state !== "open"} onClick={() => { controls.current?.restart?.(); controls.current?.focus(); }}>{t("Send Ctrl+Alt+Del")}</Button></FlexItem>}
        <FlexItem><Button variant="secondary" size="sm" onClick={() => void frame.current?.requestFullscreen().then(() => controls.current?.focus())}>{t("Full screen")}</Button></FlexItem>
        {kind === "vnc" && <FlexItem><Button variant="link" size="sm" onClick={() => void openWindow(server)}>{t("In a window of its own")}</Button></FlexItem>}
        <FlexItem className="st-muted">{t("Click into it to type; Ctrl+F6 comes back to the page.")}</FlexItem>
      </Flex>
      {state === "closed" && (
        <Alert isInline variant="warning" title={t("The console has been closed")} actionLinks={<AlertActionLink component={Button} onClick={again}>{t("Connect again")}</AlertActionLink>}>
          {t("The server may have been stopped or moved, or nobody opened the console within ten minutes.")}
        </Alert>
      )}
      <div ref={frame} className="st-console" data-state={state}>
        <Suspense fallback={<Loading />}><Shown url={url} line={line} controls={keep} /></Suspense>
        {state === "connecting" && <Bullseye className="st-console-wait" aria-live="polite">{t("Connecting …")}</Bullseye>}
      </div>
    </>
  );
}

/** An address that is good for one connection, where the cloud is Stackling; other clouds' are good for many. */
async function addressOf(server: Server, kind: Kind): Promise<string> {
  const remote_console = kind === "vnc" ? { protocol: "vnc", type: "novnc" } : { protocol: "serial", type: "serial" };
  const headers: Record<string, string> = has(session().catalog, "stackling") ? { "X-Stackling-Console": "once" } : {};
  const body = await compute.post<{ remote_console: { url: string } }>(`/servers/${server.id}/remote-consoles`, { remote_console }, { headers });
  return body.remote_console.url;
}

/** A second view of the screen needs a token of its own. The window is opened first: a browser lets only a click do that. */
async function openWindow(server: Server): Promise<void> {
  const opened = window.open("", "_blank");
  if (!opened) return;
  opened.opener = null;
  const address = await perform(t("Open the console of {{name}}", { name: server.name }), () => addressOf(server, "vnc"));
  if (address) opened.location.href = pageOf(address, session().origin, new URL(IDENTITY).origin);
  else opened.close();
}
