import { createContext, use, useEffect, useMemo, type ReactNode } from "react";
import { api, onUnauthorized } from "../api/client";
import type { Access } from "../api/types";
import { Loading } from "../ui/Panel";
import { sessionOf, UNKNOWN, type Session } from "./session";
import { useQuery } from "./useQuery";

const SessionContext = createContext<Session>(UNKNOWN);
const REFRESH_MS = 15_000;

/** Learns who looks at the page: at first, from time to time, and when a request is refused because nobody is logged in. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const { data, error, retry } = useQuery("session", (signal) => api.session(signal), {
    everyMs: REFRESH_MS,
    revision: Date.now,
  });
  useEffect(() => onUnauthorized(retry), [retry]);
  // The same object as long as nothing has changed: whoever reads it is not drawn again.
  const text = data === undefined ? null : JSON.stringify(data);
  const session = useMemo(() => (text === null ? UNKNOWN : sessionOf(JSON.parse(text) as Parameters<typeof sessionOf>[0])), [text]);
  if (text === null && error === null) return <Loading label="Loading the page" />;
  return <SessionContext value={session}>{children}</SessionContext>;
}

export const useSession = (): Session => use(SessionContext);
export const useMay = (access: Access): boolean => useSession().may.has(access);
