import { useSyncExternalStore } from "react";

const KEY = "stackling.theme";
const DARK = "pf-v6-theme-dark";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

function dark(): boolean {
  const chosen = localStorage.getItem(KEY);
  return chosen ? chosen === "dark" : system.matches;
}

export function applyTheme(): void {
  document.documentElement.classList.toggle(DARK, dark());
  for (const listener of listeners) listener();
}

system.addEventListener("change", applyTheme);

export function useTheme(): [boolean, (dark: boolean) => void] {
  const now = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, dark);
  return [now, (wanted) => {
    localStorage.setItem(KEY, wanted ? "dark" : "light");
    applyTheme();
  }];
}
