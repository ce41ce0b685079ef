/** A line of GET /work. */
export interface Item {
  kind: string; id: string; name: string | null; engine: string | null; attempts: number; reason: string | null; waits_for: string | null; next_try_in: number | null; deadline_at: string | null;
}

export interface Work { work: Item[]; counts: { under_way: number; failing: number; unsettled: number } }

/** What each engine has in hand, by its name, and what failed and waits for its next try. */
export function byEngine(work: Item[]): { engines: { engine: string; items: Item[] }[]; failing: Item[] } {
  const engines = new Map<string, Item[]>();
  for (const item of work) if (item.engine !== null) engines.set(item.engine, [...(engines.get(item.engine) ?? []), item]);
  return {
    engines: [...engines].map(([engine, items]) => ({ engine, items })).sort((a, b) => a.engine.localeCompare(b.engine, undefined, { numeric: true })),
    failing: work.filter((item) => item.engine === null && item.reason !== null),
  };
}
