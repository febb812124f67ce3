/** The viewer's theme: the system's, until they choose one. Kept in this browser. */
import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark";

const STORED = "tillstream.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

let chosen = stored();

function stored(): Theme | null {
  try {
    const theme = window.localStorage.getItem(STORED);
    return theme === "light" || theme === "dark" ? theme : null;
  } catch {
    return null; // storage is closed to us: the choice lasts as long as the page
  }
}

export const currentTheme = (): Theme => chosen ?? (system.matches ? "dark" : "light");

/** Makes the tokens of styles/tokens.css follow the theme. */
export function applyTheme(): void {
  document.documentElement.style.colorScheme = currentTheme();
  document.documentElement.dataset.theme = currentTheme();
  for (const listener of listeners) listener();
}

export function chooseTheme(theme: Theme): void {
  chosen = theme;
  applyTheme();
  try {
    window.localStorage.setItem(STORED, theme);
  } catch {
    // see stored()
  }
}

system.addEventListener("change", applyTheme);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, currentTheme);
