import { useEffect } from "react";
import { has, endpointOf } from "./catalog";
import { renew } from "./pace";
import { queries } from "./queries";
import { isAdmin, type Session, useSessionState } from "./session";
import { EventReader, type StreamEvent } from "./sse";
import { type Change, isStale } from "./stale";

/** While events come, what is shown is asked for again only this often: an event may be lost, the cloud may fall silent. */
const CALM = 15_000;
/** Changes that come in quick succession are one reason to ask again. */
const TOGETHER = 120;
const APART = 1000;
const SILENCE = 40_000;
const HIDDEN = 60_000;
const PAUSES = [1000, 30_000] as const;

let live = false;
const watchers = new Set<(changes: Change[]) => void>();

export function isLive(): boolean {
  return live;
}

/** How often to ask: every *interval* milliseconds, seldom while events tell what has changed. */
export function every(interval: number): () => number {
  return () => asked(interval);
}

export function asked(interval: number): number {
  return live ? Math.max(interval, CALM) : interval;
}

/** Hear of changes, at most once a second; gives what ends it. */
export function watch(watcher: (changes: Change[]) => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** Follow the cloud's stream of events while somebody is logged in and looks; elsewhere than on Stackling there is none. */
export function useLive(): void {
  const { session } = useSessionState();
  const token = session?.token;
  useEffect(() => {
    if (!session || !has(session.catalog, "stackling")) return undefined;
    const ending = new AbortController();
    void follow(session, ending.signal);
    return () => ending.abort();
    // the session is another one exactly when its token is
  }, [token]);
}

/** Stays connected until *ending*; comes back where it was after an interruption. */
export async function follow(session: Session, ending: AbortSignal): Promise<void> {
  const url = `${endpointOf(session.catalog, "stackling", session.region)}/events${isAdmin(session) ? "?all_projects=true" : ""}`;
  const batch = new Batch(session.project.id);
  let last: string | null = null;
  let pause: number = PAUSES[0];
  while (!ending.aborted) {
    await seen(ending);
    if (ending.aborted) break;
    const attempt = new Attempt(ending);
    try {
      const response: Response = await fetch(url, {
        headers: { "X-Auth-Token": session.token, Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) },
        cache: "no-store", credentials: "omit", signal: attempt.signal });
      if ([400, 401, 403, 404, 405].includes(response.status)) return;
      if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
      for await (const event of events(response.body, attempt) as AsyncIterable<StreamEvent>) {
        if (event.event === "end") return;
        if (event.event === "ready") become(true);
        else if (event.event === "reset") void queries.invalidateQueries();
        else if (event.event === "change") batch.add(JSON.parse(event.data) as Change);
        last = event.id ?? last;
        pause = PAUSES[0];
      }
    } catch {
      // silence is what the pages' own questions tell of; here it is only tried again
    } finally {
      attempt.end();
      become(false, ending.aborted);
    }
    if (!ending.aborted && !document.hidden) await sleep(pause * (0.7 + 0.6 * Math.random()), ending);
    pause = Math.min(pause * 2, PAUSES[1]);
  }
}

/** From now on pages ask often again, or needn't. Whoever leaves doesn't look at what he has missed. */
function become(now: boolean, leaves = false): void {
  const ended = live && !now;
  live = now;
  if (ended && !leaves && !document.hidden) void queries.invalidateQueries();
}

/** One connection: ends with *ending*, after a long silence, and when nobody has looked for a while. */
class Attempt {
  private readonly control = new AbortController();
  private silence: ReturnType<typeof setTimeout> | undefined;
  private unseen: ReturnType<typeof setTimeout> | undefined;
  readonly signal = this.control.signal;

  constructor(private readonly ending: AbortSignal) {
    ending.addEventListener("abort", this.stop);
    document.addEventListener("visibilitychange", this.look);
    this.heard();
    this.look();
  }

  heard(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(this.stop, SILENCE);
  }

  end(): void {
    clearTimeout(this.silence);
    clearTimeout(this.unseen);
    this.ending.removeEventListener("abort", this.stop);
    document.removeEventListener("visibilitychange", this.look);
    this.control.abort();
  }

  private readonly stop = (): void => this.control.abort();

  private readonly look = (): void => {
    clearTimeout(this.unseen);
    if (document.hidden) this.unseen = setTimeout(this.stop, HIDDEN);
  };
}

async function* events(body: ReadableStream<Uint8Array>, attempt: Attempt): AsyncGenerator<StreamEvent> {
  const reader = body.getReader();
  const words = new TextDecoder();
  const found = new EventReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    attempt.heard();
    yield* found.take(words.decode(piece.value, { stream: true }));
  }
}

/** Changes that came one after another, told together. */
class Batch {
  private waiting = new Map<string, Change>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private told = 0;

  constructor(private readonly project: string) {}

  add(change: Change): void {
    this.waiting.set(`${change.kind} ${change.id}`, change);
    this.timer ??= setTimeout(() => this.tell(), Math.max(TOGETHER, this.told + APART - Date.now()));
  }

  private tell(): void {
    const changes = [...this.waiting.values()];
    this.waiting.clear();
    this.timer = undefined;
    this.told = Date.now();
    for (const watcher of watchers) watcher(changes);
    renew((query) => isStale(query.queryKey, changes, this.project));
  }
}

/** Until the page is looked at. */
async function seen(ending: AbortSignal): Promise<void> {
  while (document.hidden && !ending.aborted) {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        document.removeEventListener("visibilitychange", done);
        ending.removeEventListener("abort", done);
        resolve();
      };
      document.addEventListener("visibilitychange", done);
      ending.addEventListener("abort", done);
    });
  }
}

function sleep(milliseconds: number, ending: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      ending.removeEventListener("abort", done);
      resolve();
    }
    ending.addEventListener("abort", done);
  });
}
