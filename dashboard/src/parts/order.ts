import { useRef } from "react";

const words = new Intl.Collator(undefined, { numeric: true });

type Key = string | number;

/** *rows* in the order of their *keys*; where those are the same as before, so is the answer, and nothing is sorted. */
export function ordered<T>(rows: T[], keys: Key[], descending: boolean): T[] {
  const sign = descending ? -1 : 1;
  const compare = (a: Key, b: Key) => sign * (typeof a === "number" && typeof b === "number" ? a - b : words.compare(String(a), String(b)));
  return rows.map((row, index) => ({ row, key: keys[index] as Key })).sort((a, b) => compare(a.key, b.key)).map((one) => one.row);
}

/** Thousands of rows in order; they are sorted again only where their keys have changed. */
export function useOrdered<T>(rows: T[], by: ((row: T) => Key) | undefined, descending: boolean): T[] {
  const last = useRef<{ rows: T[]; keys: Key[]; descending: boolean; found: T[] } | null>(null);
  if (!by) return rows;
  const keys = rows.map(by);
  const before = last.current;
  if (before && before.descending === descending && same(before.rows, rows) && same(before.keys, keys)) return before.found;
  last.current = { rows, keys, descending, found: ordered(rows, keys, descending) };
  return last.current.found;
}

function same<T>(one: T[], other: T[]): boolean {
  return one === other || (one.length === other.length && one.every((item, index) => item === other[index]));
}
