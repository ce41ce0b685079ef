import { t } from "../language";

/** A setting as GET /settings shows it. */
export interface Setting { group: string; name: string; value: unknown; default: unknown; help: string }

/** Settings by their group, in the order in which they came, those that *text* is found in. */
export function groups(settings: Setting[], text: string): [string, Setting[]][] {
  const wanted = text.trim().toLowerCase();
  const found = new Map<string, Setting[]>();
  for (const one of settings) {
    if (wanted && !`${one.group} ${one.name} ${shown(one.value)} ${one.help}`.toLowerCase().includes(wanted)) continue;
    found.set(one.group, [...(found.get(one.group) ?? []), one]);
  }
  return [...found];
}

export function shown(value: unknown): string {
  if (value === true) return t("yes");
  if (value === false) return t("no");
  if (value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) return "–";
  return Array.isArray(value) ? value.map(shown).join(", ") : String(value);
}

/** Whether somebody has changed it; one without a default was always chosen. */
export function isChanged(one: Setting): boolean {
  return one.default !== null && JSON.stringify(one.value) !== JSON.stringify(one.default);
}
