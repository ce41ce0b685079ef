/** Boxes in rows, as books on shelves. Lengths are in pixels at full size. */
export interface Size { width: number; height: number }
export interface Place extends Size { x: number; y: number }

export const GAP = 28;
/** How much wider than high a drawing should be: about what a window leaves for it. */
export const WIDER = 1.65;
const TRIED = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.15, 1.3, 1.5, 1.8, 2.2];

/** How large something of this size can be shown in a window of that shape. */
export function scale(size: Size, wider: number): number {
  return Math.min(wider / Math.max(1, size.width), 1 / Math.max(1, size.height));
}

/** Shelves whose width lets *items* be shown as large as possible in a window that is *wider* than high. */
export function fitted<T extends Size>(items: T[], wider: number): ReturnType<typeof shelve<T>> {
  const area = items.reduce((sum, item) => sum + (item.width + GAP) * (item.height + 2 * GAP), 0);
  const least = Math.max(0, ...items.map((item) => item.width));
  const tried = TRIED.map((factor) => shelve(items, Math.max(least, Math.sqrt(area * wider) * factor)));
  return tried.reduce((best, one) => (scale(one, wider) > scale(best, wider) ? one : best));
}

/** *items* from left to right, in a new row where *width* would be passed; *rows* are where each row begins. */
export function shelve<T extends Size>(items: T[], width: number): { items: (T & Place & { row: number })[]; rows: number[]; width: number; height: number } {
  const placed: (T & Place & { row: number })[] = [];
  const rows: number[] = [];
  let [x, y, tall, widest] = [0, 0, 0, 0];
  for (const item of items) {
    if (rows.length === 0) rows.push(0);
    else if (x + item.width > width) {
      y += tall + 2 * GAP;
      rows.push(y);
      [x, tall] = [0, 0];
    }
    placed.push({ ...item, x, y, row: rows.length - 1 });
    x += item.width + GAP;
    tall = Math.max(tall, item.height);
    widest = Math.max(widest, x - GAP);
  }
  return { items: placed, rows, width: widest, height: y + tall };
}

/** *items* of one size in rows of *across*. */
export function grid<T extends Place>(items: T[], across: number, size: Size, gap: number): T[] {
  return items.map((item, index) => ({ ...item, x: (index % across) * (size.width + gap), y: Math.floor(index / across) * (size.height + gap) }));
}

export function extent(places: Place[]): Size {
  return { width: Math.max(0, ...places.map((place) => place.x + place.width)), height: Math.max(0, ...places.map((place) => place.y + place.height)) };
}
