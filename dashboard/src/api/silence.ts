import { notifyManager, type Query, type QueryCacheNotifyEvent } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { ApiError } from "./errors";
import { queries } from "./queries";

/** How often (milliseconds) what nothing has answered is asked for again. */
const AGAIN = 5000;
/** An answer that isn't there after so long (milliseconds) may never come. */
const LONG = 10_000;

/** Questions that nothing answered the last time, and the errors that tell so: a page says it once, whatever it is made of. */
const silent = new Set<Query>();
/** Since when questions under way have been waiting for their answer. */
const waiting = new Map<Query, number>();
const errors = new WeakSet<object>();

/** Whether something of what is shown isn't answered at all; then it is asked for again until it is. */
export function useSilence(): boolean {
  return useSyncExternalStore(watch, isSilent, isSilent);
}

/** Whether the page already tells of *error*. */
export function isTold(error: unknown): boolean {
  return typeof error === "object" && error !== null && errors.has(error);
}

export function isSilent(): boolean {
  return [...silent].some((query) => query.isActive()) || [...waiting].some(([query, since]) => query.isActive() && Date.now() - since > LONG);
}

/** Ask for what is shown and wasn't answered. */
export function askAgain(): void {
  void queries.refetchQueries({ type: "active", predicate: (query) => silent.has(query) }, { cancelRefetch: false });
}

function watch(listener: () => void): () => void {
  const stop = queries.getQueryCache().subscribe(notifyManager.batchCalls(listener));
  const timers = [setInterval(() => isSilent() && askAgain(), AGAIN), setInterval(listener, LONG / 10)];
  return () => {
    stop();
    for (const timer of timers) clearInterval(timer);
  };
}

function note(event: QueryCacheNotifyEvent): void {
  const { query } = event;
  if (event.type === "removed") for (const known of [silent, waiting]) known.delete(query);
  if (event.type !== "updated") return;
  const { action } = event;
  if (query.state.fetchStatus === "idle") waiting.delete(query);
  if (action.type === "fetch") waiting.set(query, Date.now());
  if (action.type === "failed" || action.type === "error") {
    const none = action.error instanceof ApiError && action.error.status === 0;
    if (none) errors.add(action.error as ApiError);
    if (none) silent.add(query);
    else silent.delete(query);
  }
  if (action.type === "success" && !action.manual) silent.delete(query);
}

queries.getQueryCache().subscribe(note);
