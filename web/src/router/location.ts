/** Where the page is: the address, read and changed without loading the page again. */
import { useCallback, useMemo, useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

function announce(): void {
  for (const listener of listeners) listener();
}
window.addEventListener("popstate", announce);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Goes to another address of the page; `replace` leaves no way back to the present one. */
export function navigate(to: string, { replace = false } = {}): void {
  const samePath = new URL(to, window.location.href).pathname === window.location.pathname;
  if (replace) window.history.replaceState(null, "", to);
  else window.history.pushState(null, "", to);
  announce();
  if (!samePath) window.scrollTo(0, 0);
}

export const usePath = (): string => useSyncExternalStore(subscribe, () => window.location.pathname);

/** What the address says after its `?`. */
export function useSearch(): URLSearchParams {
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  return useMemo(() => new URLSearchParams(search), [search]);
}

export type Changes = Record<string, string | null>;

/** Changes some parameters of the address; null takes one out. */
export function useChangeSearch(): (changes: Changes, options?: { replace?: boolean }) => void {
  return useCallback((changes, options) => {
    const address = new URL(window.location.href);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) address.searchParams.delete(name);
      else address.searchParams.set(name, value);
    }
    navigate(`${address.pathname}${address.search}`, options);
  }, []);
}
