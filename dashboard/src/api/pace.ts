import type { Query, QueryCacheNotifyEvent } from "@tanstack/react-query";
import { queries } from "./queries";

/**
 * Lists that are asked for again because something has changed. In a cloud where something always changes, a long list
 * would be broken off by the next change before it has come, or would come again and again and leave no room for anything
 * else: no answer is broken off, and a slow one rests three times as long as it took.
 */
const SLOW = 500;
const REST = 3;

/** When the question under way was asked, and how long the last one took (milliseconds), by the query's hash. */
const asked = new Map<string, number>();
const took = new Map<string, number>();
/** Queries that are asked again as soon as their answer is there, and those that wait until they have rested. */
const again = new Set<string>();
const waiting = new Map<string, ReturnType<typeof setTimeout>>();

/** Ask again for what is shown of the queries that *isStale* finds; what isn't shown is asked for when it is. */
export function renew(isStale: (query: Query) => boolean): void {
  void queries.invalidateQueries({ predicate: isStale, refetchType: "none" });
  for (const query of queries.getQueryCache().findAll({ predicate: isStale, type: "active" })) {
    if (query.state.fetchStatus === "idle") soon(query);
    else again.add(query.queryHash);
  }
}

/** How long a query whose answer took *milliseconds* rests. */
export function rest(milliseconds: number): number {
  return milliseconds < SLOW ? 0 : REST * milliseconds;
}

function soon(query: Query): void {
  const { queryHash } = query;
  if (waiting.has(queryHash)) return;
  const left = query.state.dataUpdatedAt + rest(took.get(queryHash) ?? 0) - Date.now();
  waiting.set(queryHash, setTimeout(() => {
    waiting.delete(queryHash);
    void queries.refetchQueries({ predicate: (found) => found === query, type: "active" }, { cancelRefetch: false });
  }, Math.max(0, left)));
}

function note(event: QueryCacheNotifyEvent): void {
  const { queryHash } = event.query;
  if (event.type === "removed") {
    clearTimeout(waiting.get(queryHash));
    for (const known of [asked, took, again, waiting]) known.delete(queryHash);
  }
  if (event.type !== "updated") return;
  const { type } = event.action;
  if (type === "fetch") asked.set(queryHash, Date.now());
  else if (type === "error") again.delete(queryHash);
  else if (type === "success" && !event.action.manual) {
    took.set(queryHash, Date.now() - (asked.get(queryHash) ?? Date.now()));
    if (again.delete(queryHash)) soon(event.query);
  }
}

queries.getQueryCache().subscribe(note);
