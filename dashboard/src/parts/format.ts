import { number, t } from "../language";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  let rest = value;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${number(rest >= 100 ? Math.round(rest) : Math.round(rest * 10) / 10)} ${UNITS[unit]}`;
}

const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [1e9, "year"]];

/** An instant of the API (UTC, with or without its Z) as a Date. */
export function instant(text: string): Date {
  return new Date(/Z|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`);
}

/** "3 minutes ago". */
export function ago(text: string | null | undefined, now: number = Date.now()): string {
  if (!text) return "–";
  let rest = (instant(text).getTime() - now) / 1000;
  if (Math.abs(rest) < 5) return t("just now");
  for (const [size, unit] of STEPS) {
    if (Math.abs(rest) < size) return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(rest), unit);
    rest /= size;
  }
  return text;
}

export function when(text: string | null | undefined): string {
  return text ? instant(text).toLocaleString() : "–";
}

export function memory(mebibytes: number): string {
  return bytes(mebibytes * 1024 * 1024);
}
